//! From what a backend reports to what interLink's clients read.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time},
};

use crate::{
    interlink::wire::{PingAccelerator, PingResources, PingResponse, PodStatus},
    plugin::{
        backend::{Capacity, ContainerReport, PodReport, ReportedState},
        pods::ContainerExit,
    },
};

/// The key of what a container used of CPU time, in seconds: see docs/wire.md, "What a container used".
const CPU_SECONDS: &str = "cri.interlink.eu/cpu-seconds";

/// The entry of a pod in the answer to /status.
pub(super) fn pod_status(report: PodReport) -> PodStatus {
    let statuses = |containers: Vec<ContainerReport>| {
        let statuses = containers.into_iter().map(container_status);
        statuses.collect()
    };
    PodStatus {
        name: report.record.name.clone(),
        uid: report.record.uid.clone(),
        namespace: report.record.namespace.clone(),
        jid: report.record.jid.clone(),
        init_containers: statuses(report.init_containers),
        containers: statuses(report.containers),
    }
}

fn container_status(container: ContainerReport) -> ContainerStatus {
    let mut allocated_resources = None;
    let mut state = ContainerState::default();
    match container.state {
        ReportedState::Waiting { reason, message } => {
            state.waiting = Some(ContainerStateWaiting {
                reason: Some(reason.to_owned()),
                message,
            });
        }
        ReportedState::Running { started_at } => {
            state.running = Some(ContainerStateRunning {
                started_at: Some(Time(started_at)),
            });
        }
        ReportedState::Terminated(exit) => {
            allocated_resources = exit.cpu_millis.map(|millis| {
                BTreeMap::from([(CPU_SECONDS.to_owned(), Quantity(format!("{millis}m")))])
            });
            state.terminated = Some(terminated(exit, &container.id));
        }
    }
    let is_running = state.running.is_some();
    ContainerStatus {
        name: container.name,
        image: container.image,
        container_id: Some(container.id),
        ready: is_running,
        started: Some(is_running),
        state: Some(state),
        allocated_resources,
        ..ContainerStatus::default()
    }
}

fn terminated(exit: ContainerExit, id: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(id.to_owned()),
        exit_code: exit.code,
        signal: exit.signal,
        reason: Some(exit.reason),
        message: (!exit.message.is_empty()).then_some(exit.message),
        started_at: Some(Time(exit.started_at)),
        finished_at: Some(Time(exit.finished_at)),
    }
}

/// The answer to /pinglink, with Kubernetes quantities.
pub(super) fn ping(capacity: Capacity) -> PingResponse {
    let accelerators = capacity.accelerators.into_iter();
    PingResponse {
        status: "ok".to_owned(),
        resources: Some(PingResources {
            cpu: capacity.cpus.to_string(),
            memory: memory_quantity(capacity.memory_kib),
            pods: capacity.pods.to_string(),
            accelerators: accelerators
                .map(|kind| PingAccelerator {
                    resource_type: kind.resource,
                    available: kind.count.to_string(),
                })
                .collect(),
        }),
        // The virtual kubelet leaves the node's taints as they are where none are given.
        taints: None,
    }
}

/// Empty says nothing.
fn memory_quantity(kib: Option<u64>) -> String {
    kib.map_or_else(String::new, |kib| format!("{kib}Ki"))
}
