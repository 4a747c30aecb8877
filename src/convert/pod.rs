//! A job as the Kubernetes pod that interLink takes.

use std::collections::HashSet;

use k8s_openapi::{
    api::core::v1::{
        ConfigMap, Container as PodContainer, Pod as JobsPod, PodOS, PodSpec, PodStatus, Secret,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    api_spec,
    container::{pod_container, Surroundings},
    job_container::JobContainer,
    metadata, network, pod_resources,
    record_config::decode_sandbox_config,
    remote_names::{remote_container_name, remote_namespace},
    resources, security, security_policy,
    volumes::JobVolumes,
    Error, Settings,
};
use crate::{
    kubelet::{annotations, host_aliases, FoundMount},
    model::{ContainerEntry, Job, Pod},
};

/// A job's pod with the contents that it mounts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobPod {
    /// The pod.
    pub pod: JobsPod,
    /// ConfigMaps that it mounts, by their own names.
    pub configmaps: Vec<ConfigMap>,
    /// Secrets that it mounts, by their own names.
    pub secrets: Vec<Secret>,
    /// Projected and downward API volumes that it mounts, by the names of the volumes.
    pub projected: Vec<ConfigMap>,
}

/// Makes the pod of a job: its `containers` in the order of their starts, as main containers unless
/// they are known to be init containers, and never restarted over there, because restarts are the
/// kubelet's to decide. Where it is known what is `written` in the API server, the pod is completed
/// by that, and its containers come in that order. `default_memory` is the limit in bytes of containers
/// that bring none.
///
/// # Errors
/// A job of which no container was started that has not ended, or a stored configuration that cannot
/// be used.
pub fn job_pod(
    pod: &Pod,
    job: &Job,
    containers: &[JobContainer],
    written: Option<&PodSpec>,
    default_memory: Option<u64>,
    settings: &Settings,
) -> Result<JobPod, Error> {
    if to_run(pod, job).next().is_none() {
        return Err(Error::NoContainers);
    }
    let sandbox = decode_sandbox_config(&pod.sandbox)?;
    let linux = sandbox.linux.get_or_default();
    let context = &security_policy::permitted_sandbox(&linux.security_context, settings);
    let around = Surroundings {
        context,
        annotations: &pod.sandbox.annotations,
        default_memory,
        settings,
    };
    let mut volumes = JobVolumes::new(remote_namespace(&pod.sandbox), settings);
    let mut made = Vec::with_capacity(containers.len());
    for container in containers {
        made.push(pod_container(container, &mut volumes, &around)?);
    }
    // Without a kubelet's note nobody knows whose they are; the first container has them then.
    if let Some(first) = made.first_mut().filter(|first| first.ports.is_none()) {
        first.ports = network::ports_of_pod(&sandbox.port_mappings);
    }
    check_names(&made)?;
    if let Some(written) = written {
        complete_containers(&mut made, written);
    }
    let is_init = |container: &PodContainer| {
        let mut inits = job.inits.iter();
        inits.any(|init| remote_container_name(init) == container.name)
    };
    let of_pod = match written {
        Some(written) => pod_resources::written(&mut made, written),
        None => pod_resources::recovered(&mut made, is_init, &linux.resources),
    };
    complete_requests(&mut made, written);
    let (inits, mains): (Vec<_>, Vec<_>) = made.into_iter().partition(is_init);
    let mut all = inits.iter().chain(&mains);
    let has_signal = all.any(|one| {
        let lifecycle = one.lifecycle.as_ref();
        lifecycle.is_some_and(|lifecycle| lifecycle.stop_signal.is_some())
    });
    let mounted = volumes.take_volumes();
    let namespaces = security::namespaces(context);
    let mut spec = PodSpec {
        init_containers: (!inits.is_empty()).then_some(inits),
        containers: mains,
        volumes: (!mounted.is_empty()).then_some(mounted),
        restart_policy: Some("Never".to_owned()),
        termination_grace_period_seconds: grace_period(containers),
        hostname: network::hostname(&sandbox.hostname),
        host_aliases: etc_hosts(containers).and_then(host_aliases),
        dns_config: sandbox.dns_config.as_ref().and_then(network::dns_config),
        host_network: namespaces.host_network.then_some(true),
        host_pid: namespaces.host_pid.then_some(true),
        host_ipc: namespaces.host_ipc.then_some(true),
        share_process_namespace: namespaces.shared_pid.then_some(true),
        security_context: security::of_pod(context, &linux.sysctls),
        resources: of_pod,
        // A Kubernetes API server takes a signal only where the pod says for which system
        // (`pkg/apis/core/validation/validation.go`, since 1.33).
        os: has_signal.then(|| PodOS {
            name: "linux".to_owned(),
        }),
        ..PodSpec::default()
    };
    if let Some(written) = written {
        api_spec::complete_pod(&mut spec, written);
    }
    Ok(JobPod {
        pod: JobsPod {
            metadata: ObjectMeta {
                labels: Some(metadata::labels(&pod.sandbox, job, &settings.metadata)),
                ..metadata::identity(&pod.sandbox, job, &settings.metadata)
            },
            spec: Some(spec),
            status: Some(phase("Pending")),
        },
        configmaps: volumes.configmaps,
        secrets: volumes.secrets,
        projected: volumes.projected,
    })
}

fn complete_containers(containers: &mut [PodContainer], written: &PodSpec) {
    for container in &mut *containers {
        if let Some(written) = api_spec::container(written, &container.name) {
            api_spec::complete_container(container, written);
        }
    }
    containers.sort_by_key(|container| api_spec::position(written, &container.name));
}

fn complete_requests(containers: &mut [PodContainer], written: Option<&PodSpec>) {
    for container in containers {
        let written = written.and_then(|spec| api_spec::container(spec, &container.name));
        if let Some(own) = &mut container.resources {
            let written = written.and_then(|container| container.resources.as_ref());
            resources::default_requests(own, written);
        }
    }
}

fn check_names(containers: &[PodContainer]) -> Result<(), Error> {
    let mut names = HashSet::new();
    match containers
        .iter()
        .find(|container| !names.insert(&container.name))
    {
        Some(twice) => Err(Error::DuplicateContainer {
            name: twice.name.clone(),
        }),
        None => Ok(()),
    }
}

/// The containers of a job that have not ended.
pub fn to_run<'a>(pod: &'a Pod, job: &'a Job) -> impl Iterator<Item = &'a ContainerEntry> + 'a {
    job.containers
        .iter()
        .filter_map(|id| pod.container(id))
        .filter(|entry| entry.status.exit.is_none())
}

pub(super) fn phase(phase: &str) -> PodStatus {
    PodStatus {
        phase: Some(phase.to_owned()),
        ..PodStatus::default()
    }
}

/// The kubelet notes it on each container; it is the pod's, so the first one will do.
fn grace_period(containers: &[JobContainer]) -> Option<i64> {
    let mut containers = containers.iter();
    containers.find_map(|one| annotations::grace_period(&one.container.annotations))
}

/// The pod's /etc/hosts file, which the kubelet mounts into each container.
fn etc_hosts(containers: &[JobContainer]) -> Option<&str> {
    let mut found = containers.iter().flat_map(|container| &container.found);
    found.find_map(|found| match found {
        FoundMount::EtcHosts(text) => Some(text.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        convert::testing::{self, fixture, job_containers},
        model::{ContainerId, CriConfig, Exit, Nanos},
    };

    fn settings() -> Settings {
        Settings::new(&crate::config::Config::default()).unwrap()
    }

    /// The job's pod, without an API server and with the settings that nobody has changed.
    fn made(pod: &Pod, job: &Job) -> Result<JobPod, Error> {
        job_pod(pod, job, &job_containers(pod, job), None, None, &settings())
    }

    #[test]
    fn a_kubelet_s_pod_becomes_a_job() {
        let (pod, job) = fixture(&["main", "side"]);
        let got = made(&pod, &job).unwrap();
        assert!(got.configmaps.is_empty() && got.secrets.is_empty() && got.projected.is_empty());
        let origin = json!({
            "cri.interlink.eu/pod-name": "train-7",
            "cri.interlink.eu/pod-namespace": "lab",
            "cri.interlink.eu/pod-uid": testing::UID,
            "cri.interlink.eu/job-number": "0",
        });
        let with = |more: serde_json::Value| {
            let mut all = origin.as_object().unwrap().clone();
            all.extend(more.as_object().unwrap().clone());
            all
        };
        let container = |name: &str| {
            json!({
                "name": name,
                "image": "busybox",
                "command": ["sh", "-c"],
                "args": ["echo $A"],
                "workingDir": "/work",
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
                "resources": {
                    "limits": {"cpu": "500m", "memory": "64Mi"},
                    "requests": {"cpu": "250m", "memory": "64Mi"},
                },
                "securityContext": {"allowPrivilegeEscalation": false},
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            })
        };
        let want = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "train-7",
                "namespace": "lab",
                "uid": testing::UID,
                "labels": with(json!({
                    "app": "train",
                    "cri.interlink.eu/sandbox-id": "5a5a5a5a5a5a",
                })),
                "annotations": with(json!({
                    "plugin.example/flags": "--partition=gpu",
                    "cri.interlink.eu/sandbox-id": testing::SANDBOX,
                })),
            },
            "spec": {
                "containers": [container("main"), container("side")],
                "volumes": [{"name": "scratch", "emptyDir": {}}],
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 30,
                "hostname": "train-7",
                "dnsConfig": {
                    "nameservers": ["10.96.0.10"],
                    "searches": ["lab.svc.cluster.local"],
                    "options": [{"name": "ndots", "value": "5"}, {"name": "edns0"}],
                },
                "securityContext": {"supplementalGroups": [2000]},
            },
            "status": {"phase": "Pending"},
        });
        assert_eq!(serde_json::to_value(&got.pod).unwrap(), want);
    }

    #[test]
    fn an_empty_configuration_makes_the_least_pod() {
        let (mut pod, job) = fixture(&["main"]);
        testing::sandbox_mut(&mut pod).config = Default::default();
        let container = std::sync::Arc::make_mut(&mut pod.containers[0].container);
        container.config = Default::default();
        container.annotations = Default::default();
        let got = made(&pod, &job).unwrap().pod;
        let want = json!({
            "containers": [{"name": "main", "image": "busybox"}],
            "restartPolicy": "Never",
        });
        assert_eq!(serde_json::to_value(got.spec).unwrap(), want);
    }

    #[test]
    fn other_jobs_and_attempts_have_other_names() {
        let (mut pod, mut job) = fixture(&["main"]);
        let name = |pod: &Pod, job: &Job| {
            metadata::identity(&pod.sandbox, job, &settings().metadata)
                .name
                .unwrap()
        };
        assert_eq!(name(&pod, &job), "train-7");
        job.number = 3;
        assert_eq!(name(&pod, &job), "train-7-3-0f6e1c1a");
        job.number = 0;
        testing::sandbox_mut(&mut pod).attempt = 1;
        assert_eq!(name(&pod, &job), "train-7-0-0f6e1c1a");
        testing::sandbox_mut(&mut pod).name = "a".repeat(60) + ".b";
        assert_eq!(name(&pod, &job), "a".repeat(52) + "-0-0f6e1c1a");
        testing::sandbox_mut(&mut pod).attempt = 0;
        assert_eq!(name(&pod, &job), "a".repeat(60) + ".b");
        testing::sandbox_mut(&mut pod).name = "PodSandbox_1".to_owned();
        assert!(name(&pod, &job).starts_with("podsandbox-1-"));
    }

    #[test]
    fn labels_hold_what_fits_and_annotations_all() {
        let (mut pod, job) = fixture(&["main"]);
        let long = "n".repeat(200);
        testing::sandbox_mut(&mut pod).name.clone_from(&long);
        let got = made(&pod, &job).unwrap().pod.metadata;
        let key = "cri.interlink.eu/pod-name";
        assert_eq!(got.labels.unwrap()[key].len(), 63);
        assert_eq!(got.annotations.unwrap()[key], long);
    }

    #[test]
    fn what_has_ended_before_is_not_run() {
        let (mut pod, mut job) = fixture(&["main", "side"]);
        pod.containers[0].status.exit = Some(Box::new(Exit {
            code: 137,
            reason: "Error".to_owned(),
            message: String::new(),
            finished_at: Nanos(9),
            termination_message: None,
            used: None,
        }));
        // A record that was removed meanwhile.
        job.containers.push(ContainerId::from("gone"));
        let spec = made(&pod, &job).unwrap().pod.spec.unwrap();
        let names: Vec<_> = spec.containers.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["side"]);
        pod.containers[1].status = pod.containers[0].status.clone();
        let nothing = made(&pod, &job);
        assert!(matches!(nothing, Err(Error::NoContainers)), "{nothing:?}");
    }

    #[test]
    fn two_containers_of_one_name_and_damaged_records_are_errors() {
        let (pod, job) = fixture(&["main", "main"]);
        let got = made(&pod, &job);
        assert!(
            matches!(got, Err(Error::DuplicateContainer { .. })),
            "{got:?}"
        );
        let (mut pod, job) = fixture(&["main"]);
        testing::sandbox_mut(&mut pod).config = CriConfig::new([0xff, 0xff].into(), [].into());
        let got = made(&pod, &job);
        assert!(matches!(got, Err(Error::Decode { .. })), "{got:?}");
    }
}
