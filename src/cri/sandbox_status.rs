//! `PodSandboxStatus`.

use std::collections::HashMap;

use protobuf::{EnumOrUnknown, MessageField};
use serde_json::json;

use super::{filter::sandbox_state, CriContext, Error};
use crate::{
    convert,
    model::{Job, Nanos, Pod},
    proto::{
        LinuxPodSandboxStatus, Namespace, PodIP, PodSandboxMetadata, PodSandboxNetworkStatus,
        PodSandboxState, PodSandboxStatus, PodSandboxStatusRequest, PodSandboxStatusResponse,
    },
};

impl CriContext {
    pub(super) fn pod_sandbox_status(
        &self,
        request: &PodSandboxStatusRequest,
    ) -> Result<PodSandboxStatusResponse, Error> {
        let pod = self.sandbox(&request.pod_sandbox_id)?;
        let info = if request.verbose {
            self.sandbox_info(&pod)
        } else {
            HashMap::new()
        };
        let status = MessageField::some(status(&pod));
        // `containers_statuses` and `timestamp` stay unset: with them a kubelet that has the feature
        // gate EventedPLEG would stop asking ContainerStatus (`GetPodStatus` in
        // pkg/kubelet/kuberuntime/kuberuntime_manager.go).
        Ok(PodSandboxStatusResponse {
            status,
            info,
            ..Default::default()
        })
    }

    fn sandbox_info(&self, pod: &Pod) -> HashMap<String, String> {
        let jobs: Vec<_> = pod.jobs.iter().map(job_info).collect();
        HashMap::from([
            ("jobs".to_owned(), json!(jobs).to_string()),
            ("owed".to_owned(), self.pod_owed_info(pod).to_string()),
        ])
    }
}

/// A sandbox's metadata.
pub fn metadata(pod: &Pod) -> PodSandboxMetadata {
    let sandbox = &pod.sandbox;
    PodSandboxMetadata {
        name: sandbox.name.clone(),
        uid: sandbox.uid.clone(),
        namespace: sandbox.namespace.to_string(),
        attempt: sandbox.attempt,
        ..Default::default()
    }
}

/// A sandbox's status.
pub fn status(pod: &Pod) -> PodSandboxStatus {
    let sandbox = &pod.sandbox;
    let config = convert::shown_of_sandbox(sandbox);
    let state = sandbox_state(pod.phase()).unwrap_or(PodSandboxState::SANDBOX_NOTREADY);
    let options = config.linux.security_context.namespace_options.clone();
    // Left out where there is no address: an empty one would make the kubelet run the sandbox
    // again (`PodSandboxChanged` in pkg/kubelet/kuberuntime/util/util.go).
    let network = sandbox.ip.map(|ip| PodSandboxNetworkStatus {
        ip: ip.to_string(),
        additional_ips: Vec::<PodIP>::new(),
        ..Default::default()
    });
    let namespaces = Namespace {
        // As requested: the same function of the kubelet replaces a sandbox whose network is another,
        // and reads a missing message as a network of the pod's own.
        options,
        ..Default::default()
    };
    let linux = LinuxPodSandboxStatus {
        namespaces: MessageField::some(namespaces),
        ..Default::default()
    };
    PodSandboxStatus {
        id: sandbox.id.to_string(),
        metadata: MessageField::some(metadata(pod)),
        state: EnumOrUnknown::new(state),
        created_at: sandbox.created_at.0,
        network: MessageField::from_option(network),
        linux: MessageField::some(linux),
        labels: sandbox.labels.to_map(),
        annotations: sandbox.annotations.to_map(),
        runtime_handler: sandbox.runtime_handler.to_string(),
        ..Default::default()
    }
}

/// A job as people and the `jobs` command see it.
pub fn job_info(job: &Job) -> serde_json::Value {
    json!({
        "number": job.number,
        "uid": job.uid.to_string(),
        "remoteId": job.remote_id,
        "containers": job.names,
        "createdAt": job.created_at.rfc3339(),
        "submission": job.submission,
        "submittedAt": job.submitted_at().map(Nanos::rfc3339),
        "held": job.held,
        "owner": job.owner,
        "partition": job.partition,
        "trouble": job.trouble,
        "inDoubtSince": job.in_doubt_since.map(Nanos::rfc3339),
        "waiting": job.waiting,
        "cancel": job.cancel,
    })
}
