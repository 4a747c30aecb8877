//! A pod as a kubelet 1.36 sends it, for the unit tests of this room.

use std::{path::Path, sync::Arc};

use protobuf::MessageField;

use super::{
    decode_container_config, encode_container_config, encode_sandbox_config, to_run, JobContainer,
};
use crate::{
    kubelet::{
        directory::VolumeKind, mount_source, ContentFile, ContentKind, FoundMount, MountSource,
        PathKind,
    },
    model::{
        Container, ContainerEntry, ContainerId, Exit, Job, JobUid, Nanos, Pod, Sandbox, SandboxId,
        StringMap, Submission,
    },
    proto::{
        ContainerConfig, DNSConfig, KeyValue, LinuxContainerConfig, LinuxContainerResources,
        LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount,
        NamespaceMode, NamespaceOption, PodSandboxConfig,
    },
};

/// The pod's UID.
pub const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";
/// The sandbox's id.
pub const SANDBOX: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// A pod whose first job carries containers with these names.
pub fn fixture(names: &[&str]) -> (Pod, Job) {
    let mut pod = Pod::new(sandbox());
    for (number, name) in names.iter().enumerate() {
        pod.add_container(container(name, number));
    }
    let uid = JobUid::derive(UID, &pod.sandbox.id, 0, 0);
    let job = Job {
        containers: pod.containers.iter().map(|c| c.id().clone()).collect(),
        names: names.iter().map(|name| (*name).into()).collect(),
        submission: Submission::Submitted { at: Nanos(0) },
        ..Job::new(0, uid, Nanos(0))
    };
    (pod, job)
}

/// A mount of a path of the node, or after `pod:` of one in the pod's directory.
#[cfg(test)]
pub fn mount(path: &str) -> Mount {
    let host_path = match path.strip_prefix("pod:") {
        Some(below) => format!("/var/lib/kubelet/pods/{UID}/{below}"),
        None => path.to_owned(),
    };
    Mount {
        container_path: "/data".to_owned(),
        host_path,
        ..Default::default()
    }
}

/// The containers of a job that are to run, with what would be found behind their mounts.
pub fn job_containers(pod: &Pod, job: &Job) -> Vec<JobContainer> {
    let job_container = |entry: &ContainerEntry| {
        let config = decode_container_config(&entry.container).expect("the config is good");
        JobContainer {
            container: entry.container.clone(),
            found: config.mounts.iter().map(behind).collect(),
            config,
        }
    };
    to_run(pod, job).map(job_container).collect()
}

/// What would be found on the node behind a mount: what its path says, with files that say
/// where they are from.
pub fn behind(mount: &Mount) -> FoundMount {
    let file = |text: &str, mode| ContentFile {
        mode,
        bytes: text.as_bytes().to_vec(),
    };
    match mount_source::source(mount, UID, Path::new("/var/lib/kubelet")) {
        MountSource::KubeletOwn => FoundMount::KubeletOwn,
        MountSource::EtcHosts => FoundMount::EtcHosts("127.0.0.1\tlocalhost\n".to_owned()),
        MountSource::Image(image) => FoundMount::Image(image.to_owned()),
        MountSource::HostPath(path) => FoundMount::HostPath {
            path: path.to_owned(),
            kind: PathKind::Unknown,
        },
        MountSource::SubPath { volume, index } => FoundMount::Content {
            kind: ContentKind::ConfigMap,
            volume: volume.to_owned(),
            inside: index.to_owned(),
            is_file: true,
            files: Arc::new([(index.to_owned(), file(index, 0o644))].into()),
        },
        MountSource::Volume { kind, name, inside } => match kind {
            VolumeKind::EmptyDir => FoundMount::EmptyDir {
                volume: name.to_owned(),
                inside: inside.to_owned(),
                medium: String::new(),
            },
            VolumeKind::Content(kind) => FoundMount::Content {
                kind,
                volume: name.to_owned(),
                inside: inside.to_owned(),
                is_file: false,
                files: Arc::new(
                    [
                        ("a".to_owned(), file(name, 0o644)),
                        ("b/c".to_owned(), file(inside, 0o600)),
                    ]
                    .into(),
                ),
            },
            VolumeKind::Plugin(plugin) => FoundMount::Other {
                plugin: plugin.to_owned(),
                volume: name.to_owned(),
                elsewhere: vec![format!("/shared/{name}")],
            },
        },
    }
}

/// How a container ended that is not to run.
pub fn exit() -> Exit {
    Exit {
        code: 0,
        reason: "Completed".to_owned(),
        message: String::new(),
        finished_at: Nanos(9),
        termination_message: None,
        used: None,
    }
}

/// The sandbox, to be changed.
pub fn sandbox_mut(pod: &mut Pod) -> &mut Sandbox {
    Arc::make_mut(&mut pod.sandbox)
}

fn map(pairs: &[(&str, &str)]) -> StringMap {
    pairs.iter().copied().collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn sandbox() -> Sandbox {
    let config = PodSandboxConfig {
        hostname: "train-7".to_owned(),
        dns_config: MessageField::some(DNSConfig {
            servers: texts(&["10.96.0.10"]),
            searches: texts(&["lab.svc.cluster.local"]),
            options: texts(&["ndots:5", "edns0"]),
            ..Default::default()
        }),
        linux: MessageField::some(LinuxPodSandboxConfig {
            security_context: MessageField::some(LinuxSandboxSecurityContext {
                namespace_options: MessageField::some(NamespaceOption {
                    pid: NamespaceMode::CONTAINER.into(),
                    ..Default::default()
                }),
                supplemental_groups: vec![2000],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    Sandbox {
        id: SandboxId::from(SANDBOX),
        name: "train-7".to_owned(),
        namespace: "lab".into(),
        uid: UID.to_owned(),
        is_uid_taken: false,
        attempt: 0,
        labels: map(&[
            ("app", "train"),
            ("io.kubernetes.pod.name", "train-7"),
            ("io.kubernetes.pod.namespace", "lab"),
            ("io.kubernetes.pod.uid", UID),
        ]),
        annotations: map(&[
            ("plugin.example/flags", "--partition=gpu"),
            ("kubernetes.io/config.seen", "2026-08-01T10:00:00Z"),
            ("kubernetes.io/config.source", "api"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
            ("io.kubernetes.cri.odd", "x"),
        ]),
        runtime_handler: Default::default(),
        log_directory: String::new(),
        created_at: Nanos(0),
        ip: None,
        config: encode_sandbox_config(&config).unwrap(),
    }
}

fn container(name: &str, number: usize) -> Container {
    let variable = |(key, value): (&str, &str)| KeyValue {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
        ..Default::default()
    };
    let mount = |container_path: &str, below: &str| Mount {
        container_path: container_path.to_owned(),
        host_path: format!("/var/lib/kubelet/pods/{UID}/{below}"),
        ..Default::default()
    };
    let config = ContainerConfig {
        command: texts(&["sh", "-c"]),
        args: texts(&["echo $A"]),
        working_dir: "/work".to_owned(),
        envs: [("A", "1"), ("B", "")].map(variable).into(),
        mounts: vec![
            mount("/scratch", "volumes/kubernetes.io~empty-dir/scratch"),
            mount("/etc/hosts", "etc-hosts"),
            mount("/dev/termination-log", "containers/main/5ad1c3f0"),
        ],
        linux: MessageField::some(LinuxContainerConfig {
            resources: MessageField::some(LinuxContainerResources {
                cpu_shares: 256,
                cpu_quota: 50_000,
                cpu_period: 100_000,
                memory_limit_in_bytes: 64 << 20,
                ..Default::default()
            }),
            security_context: MessageField::some(LinuxContainerSecurityContext {
                run_as_user: MessageField::some(crate::proto::Int64Value {
                    value: 65532,
                    ..Default::default()
                }),
                no_new_privs: true,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    Container {
        id: ContainerId::from(format!("{name}-{number}").as_str()),
        sandbox_id: SandboxId::from(SANDBOX),
        name: name.into(),
        attempt: 0,
        image: "busybox".into(),
        image_id: "sha256:0".into(),
        labels: StringMap::default(),
        annotations: map(&[
            (
                "io.kubernetes.container.terminationMessagePath",
                "/dev/termination-log",
            ),
            ("io.kubernetes.container.terminationMessagePolicy", "File"),
            ("io.kubernetes.pod.terminationGracePeriod", "30"),
        ])
        .into(),
        log_path: String::new(),
        created_at: Nanos(0),
        config: encode_container_config(&config).unwrap(),
    }
}
