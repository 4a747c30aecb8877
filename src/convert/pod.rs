//! A job as the Kubernetes pod that interLink takes.

use std::collections::HashSet;

use k8s_openapi::{
    api::core::v1::{
        ConfigMap, Container as PodContainer, Pod as JobsPod, PodSpec, PodStatus, Secret,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use protobuf::Message;

use super::{
    author::{self, Author},
    container::{pod_container, Surroundings},
    forbidden, metadata,
    names::{remote_container_name, remote_namespace},
    network,
    prepared::PreparedMounts,
    security,
    volumes::JobVolumes,
    Error, Settings,
};
use crate::{
    model::{Container, ContainerEntry, Job, Pod, Sandbox},
    proto::{ContainerConfig, PodSandboxConfig},
};

/// Where the kubelet notes `terminationGracePeriodSeconds`.
const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
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

/// Makes the pod of a job: its containers in the order of their starts, as main containers all,
/// and never restarted over there, because restarts are the kubelet's to decide. Containers that
/// ended before the job was sent off are left out. `prepared` is what was found behind the mounts of
/// those that [`to_run`] gives. With an `author` containers are completed by what that wrote, and those
/// go along that the kubelet has not created yet.
///
/// # Errors
/// A job without containers to run, or a stored configuration that cannot be used.
pub fn job_pod(
    pod: &Pod,
    job: &Job,
    prepared: &PreparedMounts,
    author: Option<&Author>,
    settings: &Settings,
) -> Result<JobPod, Error> {
    let sandbox = decode_sandbox_config(&pod.sandbox)?;
    let linux = sandbox.linux.get_or_default();
    let context = &forbidden::permitted_sandbox(&linux.security_context, settings);
    let around = Surroundings {
        context,
        annotations: &pod.sandbox.annotations,
        settings,
    };
    let mut volumes = JobVolumes::new(remote_namespace(&pod.sandbox), settings);
    let mut containers = Vec::new();
    for entry in to_run(pod, job) {
        let config = decode_container_config(&entry.container)?;
        let found = prepared.get(entry.id()).map_or(&[][..], Vec::as_slice);
        let entry = &entry.container;
        containers.push(pod_container(entry, &config, found, &mut volumes, &around)?);
    }
    if containers.is_empty() {
        return Err(Error::NoContainers);
    }
    let expected = author.map_or(&[][..], |author| &author.expected);
    for one in expected {
        let (entry, config, found) = (&one.container, &one.config, &one.found);
        containers.push(pod_container(entry, config, found, &mut volumes, &around)?);
    }
    // Without a kubelet's note nobody knows whose they are; the first container has them then.
    if let Some(first) = containers.first_mut().filter(|first| first.ports.is_none()) {
        first.ports = network::ports_of_pod(&sandbox.port_mappings);
    }
    check_names(&containers)?;
    if let Some(author) = author {
        for container in &mut containers {
            if let Some(written) = author.container(&container.name) {
                author::complete(container, written);
            }
        }
        containers.sort_by_key(|container| author.position(&container.name));
    }
    let is_init = |container: &PodContainer| {
        let mut inits = job.inits.iter();
        inits.any(|init| remote_container_name(init) == container.name)
    };
    let (inits, containers): (Vec<_>, Vec<_>) = containers.into_iter().partition(is_init);
    let mounted = volumes.take_volumes();
    let namespaces = security::namespaces(context);
    let mut spec = PodSpec {
        init_containers: (!inits.is_empty()).then_some(inits),
        containers,
        volumes: (!mounted.is_empty()).then_some(mounted),
        restart_policy: Some("Never".to_owned()),
        termination_grace_period_seconds: grace_period(pod, job),
        hostname: network::hostname(&sandbox.hostname),
        host_aliases: network::host_aliases(prepared.values().flatten()),
        dns_config: sandbox.dns_config.as_ref().and_then(network::dns_config),
        host_network: namespaces.host_network.then_some(true),
        host_pid: namespaces.host_pid.then_some(true),
        host_ipc: namespaces.host_ipc.then_some(true),
        share_process_namespace: namespaces.shared_pid.then_some(true),
        security_context: security::of_pod(context, &linux.sysctls),
        ..PodSpec::default()
    };
    if let Some(author) = author {
        author::complete_pod_security(&mut spec, author);
        author::complete_scratch(&mut spec, author);
        author::rename_volumes(&mut spec, author);
    }
    Ok(JobPod {
        pod: JobsPod {
            metadata: ObjectMeta {
                labels: Some(metadata::labels(&pod.sandbox, job, settings)),
                ..metadata::identity(&pod.sandbox, job, settings)
            },
            spec: Some(spec),
            status: Some(phase("Pending")),
        },
        configmaps: volumes.configmaps,
        secrets: volumes.secrets,
        projected: volumes.projected,
    })
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
fn grace_period(pod: &Pod, job: &Job) -> Option<i64> {
    to_run(pod, job)
        .find_map(|entry| entry.container.annotations.get(GRACE_PERIOD))
        .and_then(|seconds| seconds.parse().ok())
        .filter(|seconds| *seconds >= 0)
}

/// Reads a sandbox's configuration back.
///
/// # Errors
/// [`Error::Decode`]: the record is damaged.
pub fn decode_sandbox_config(sandbox: &Sandbox) -> Result<PodSandboxConfig, Error> {
    PodSandboxConfig::parse_from_bytes(&sandbox.config).map_err(|source| Error::Decode {
        what: format!("pod sandbox {}", sandbox.id.short()),
        source,
    })
}

/// Reads a container's configuration back.
///
/// # Errors
/// [`Error::Decode`]: the record is damaged.
pub fn decode_container_config(container: &Container) -> Result<ContainerConfig, Error> {
    ContainerConfig::parse_from_bytes(&container.config).map_err(|source| Error::Decode {
        what: format!("container {}", container.id.short()),
        source,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        convert::testing::{self, fixture, found},
        model::{ContainerId, Exit, Nanos},
    };

    fn settings() -> Settings {
        Settings::new(&crate::config::Config::default()).unwrap()
    }

    #[test]
    fn a_kubelet_s_pod_becomes_a_job() {
        let (pod, job) = fixture(&["main", "side"]);
        let got = job_pod(&pod, &job, &found(&pod), None, &settings()).unwrap();
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
                    "requests": {"cpu": "250m"},
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
                    "slurm-job.vk.io/flags": "--partition=gpu",
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
        testing::sandbox_mut(&mut pod).config = [].into();
        let container = std::sync::Arc::make_mut(&mut pod.containers[0].container);
        container.config = [].into();
        container.annotations.clear();
        let got = job_pod(&pod, &job, &found(&pod), None, &settings())
            .unwrap()
            .pod;
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
            metadata::identity(&pod.sandbox, job, &settings())
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
        let got = job_pod(&pod, &job, &found(&pod), None, &settings())
            .unwrap()
            .pod
            .metadata;
        let key = "cri.interlink.eu/pod-name";
        assert_eq!(got.labels.unwrap()[key].len(), 63);
        assert_eq!(got.annotations.unwrap()[key], long);
    }

    #[test]
    fn what_has_ended_before_is_not_run() {
        let (mut pod, mut job) = fixture(&["main", "side"]);
        pod.containers[0].status.exit = Some(Exit {
            code: 137,
            reason: "Error".to_owned(),
            message: String::new(),
            finished_at: Nanos(9),
            termination_message: None,
        });
        // A record that was removed meanwhile.
        job.containers.push(ContainerId::from("gone"));
        let spec = job_pod(&pod, &job, &found(&pod), None, &settings())
            .unwrap()
            .pod
            .spec
            .unwrap();
        let names: Vec<_> = spec.containers.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["side"]);
        pod.containers[1].status = pod.containers[0].status.clone();
        let nothing = job_pod(&pod, &job, &found(&pod), None, &settings());
        assert!(matches!(nothing, Err(Error::NoContainers)), "{nothing:?}");
    }

    #[test]
    fn two_containers_of_one_name_and_damaged_records_are_errors() {
        let (pod, job) = fixture(&["main", "main"]);
        let got = job_pod(&pod, &job, &found(&pod), None, &settings());
        assert!(
            matches!(got, Err(Error::DuplicateContainer { .. })),
            "{got:?}"
        );
        let (mut pod, job) = fixture(&["main"]);
        testing::sandbox_mut(&mut pod).config = [0xff, 0xff].into();
        let got = job_pod(&pod, &job, &found(&pod), None, &settings());
        assert!(matches!(got, Err(Error::Decode { .. })), "{got:?}");
    }

    #[test]
    fn grace_periods_that_are_none_are_left_out() {
        let (mut pod, job) = fixture(&["main"]);
        for (given, want) in [("0", Some(0)), ("-1", None), ("soon", None), ("", None)] {
            let container = std::sync::Arc::make_mut(&mut pod.containers[0].container);
            container
                .annotations
                .insert(GRACE_PERIOD.to_owned(), given.to_owned());
            assert_eq!(grace_period(&pod, &job), want, "{given}");
        }
    }
}
