//! A kubelet 1.36, as far as it prepares a node for a pod and forms CRI requests
//! (`pkg/kubelet/kuberuntime`).

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{symlink, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use interlink_cri::proto::{
    ContainerConfig, DNSConfig, Int64Value, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, Mount, NamespaceMode, NamespaceOption, PodSandboxConfig,
    SecurityProfile, UserNamespace,
};
use protobuf::MessageField;
use serde_json::Value;

use crate::support::{self, Cri, Daemon, Fake, UID};

/// A node with a daemon, whose plugin writes down what it gets.
pub struct Node {
    pub fake: Fake,
    pub daemon: Daemon,
    root: tempfile::TempDir,
    /// What was mounted, to be unmounted.
    binds: Vec<PathBuf>,
}

impl Node {
    /// With more configuration: whole sections, or keys of `[pods]` before them.
    pub fn new(settings: &str) -> Self {
        let fake = Fake::start();
        let root = tempfile::tempdir().expect("a directory");
        let settings = format!("[pods]\nkubelet_root = {:?}\n{settings}", root.path());
        Self {
            daemon: Daemon::start(&fake.url(), &settings),
            fake,
            root,
            binds: Vec::new(),
        }
    }

    pub fn cri(&self) -> Cri {
        self.daemon.cri()
    }

    /// Starts a container in a new pod; gives the body of /create.
    pub fn created(&self, pod: &PodSandboxConfig, container: &ContainerConfig) -> Value {
        let before = self.fake.requests("/create").len();
        let cri = self.cri();
        let sandbox = cri.run(pod);
        cri.launch(&sandbox, container);
        let mut requests = self.fake.wait_for_requests("/create", before + 1);
        cri.remove_sandbox(&sandbox);
        requests.remove(before)
    }

    /// Why a container is refused.
    pub fn refused(
        &self,
        pod: &PodSandboxConfig,
        container: &ContainerConfig,
    ) -> (grpcio::RpcStatusCode, String) {
        let cri = self.cri();
        let sandbox = cri.run(pod);
        let refused = support::code(cri.try_create(&sandbox, container));
        cri.remove_sandbox(&sandbox);
        refused
    }

    /// The kubelet's root.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The pod's directory.
    pub fn pod(&self) -> PathBuf {
        self.root().join("pods").join(UID)
    }

    /// A volume's directory.
    pub fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        let plugin = format!("kubernetes.io~{plugin}");
        let volume = self.pod().join("volumes").join(plugin).join(name);
        fs::create_dir_all(&volume).expect("made");
        volume
    }

    /// A volume with these files: path, mode, contents.
    pub fn content(&self, plugin: &str, name: &str, files: &[(&str, u32, &[u8])]) -> PathBuf {
        let volume = self.volume(plugin, name);
        write(&volume, "2026_11_24_10_00_00.1", files);
        volume
    }

    /// A subPath mount, as the kubelet makes it: a bind mount of a part of a volume. None where
    /// the tests may not mount.
    pub fn sub_path(
        &mut self,
        volume: &Path,
        inside: &str,
        container: &str,
        index: u32,
    ) -> Option<PathBuf> {
        let name = volume.file_name().expect("a name");
        let binds = self
            .pod()
            .join("volume-subpaths")
            .join(name)
            .join(container);
        let bind = binds.join(index.to_string());
        fs::create_dir_all(&binds).expect("made");
        // Resolved, as the kubelet does it: `..data/key` is `..2026_11_24/key`.
        let part = volume.join(inside).canonicalize().expect("it is there");
        match part.is_dir() {
            true => fs::create_dir_all(&bind).expect("made"),
            false => fs::write(&bind, "").expect("made"),
        }
        self.bind(&part, &bind).map(|()| bind)
    }

    /// A bind mount, where the tests may mount.
    pub fn bind(&mut self, what: &Path, to: &Path) -> Option<()> {
        let mounted = Command::new("mount")
            .arg("--bind")
            .arg(what)
            .arg(to)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| self.binds.push(to.to_owned()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for bind in &self.binds {
            let _ = Command::new("umount").arg(bind).status();
        }
    }
}

/// As the kubelet's atomic writer does it.
pub fn write(volume: &Path, time: &str, files: &[(&str, u32, &[u8])]) {
    let data = volume.join(format!("..{time}"));
    fs::create_dir_all(&data).expect("made");
    for (path, mode, bytes) in files {
        let file = data.join(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        fs::write(&file, bytes).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).expect("set");
        let first = path.split('/').next().expect("a part");
        let _ = symlink(format!("..data/{first}"), volume.join(first));
    }
    let new = volume.join("..data_tmp");
    symlink(format!("..{time}"), &new).expect("linked");
    fs::rename(new, volume.join("..data")).expect("renamed");
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn int64(value: i64) -> MessageField<Int64Value> {
    MessageField::some(Int64Value {
        value,
        ..Default::default()
    })
}

fn namespaces() -> MessageField<NamespaceOption> {
    MessageField::some(NamespaceOption {
        pid: NamespaceMode::CONTAINER.into(),
        // Present for every pod.
        userns_options: MessageField::some(UserNamespace {
            mode: NamespaceMode::NODE.into(),
            ..Default::default()
        }),
        ..Default::default()
    })
}

/// `generatePodSandboxConfig` for a pod that asks for nothing.
pub fn pod() -> PodSandboxConfig {
    let mut config = support::sandbox("web");
    config.hostname = "web".to_owned();
    config.dns_config = MessageField::some(DNSConfig {
        servers: vec!["10.96.0.10".to_owned()],
        searches: vec!["lab.svc.cluster.local".to_owned()],
        options: vec!["ndots:5".to_owned()],
        ..Default::default()
    });
    config.labels.extend(map(&[
        ("io.kubernetes.pod.name", "web"),
        ("io.kubernetes.pod.namespace", "lab"),
    ]));
    config.annotations = map(&[
        ("kubernetes.io/config.seen", "2026-11-24T10:00:00Z"),
        ("kubernetes.io/config.source", "api"),
    ]);
    config.linux = MessageField::some(LinuxPodSandboxConfig {
        cgroup_parent: format!("/kubepods/besteffort/pod{UID}"),
        security_context: MessageField::some(LinuxSandboxSecurityContext {
            namespace_options: namespaces(),
            seccomp: MessageField::some(SecurityProfile::default()),
            ..Default::default()
        }),
        ..Default::default()
    });
    config
}

/// `generateContainerConfig` for a container that asks for nothing, with these mounts.
pub fn container(mounts: Vec<Mount>) -> ContainerConfig {
    let mut config = support::container("main", &["true"]);
    config.envs = vec![KeyValue {
        key: "KUBERNETES_SERVICE_HOST".to_owned(),
        value: b"10.96.0.1".to_vec(),
        ..Default::default()
    }];
    config.mounts = mounts;
    config.labels = map(&[
        ("io.kubernetes.container.name", "main"),
        ("io.kubernetes.pod.name", "web"),
        ("io.kubernetes.pod.namespace", "lab"),
        ("io.kubernetes.pod.uid", UID),
    ]);
    config.annotations = map(&[
        ("io.kubernetes.container.hash", "5f6a1b2c"),
        ("io.kubernetes.container.restartCount", "0"),
        (
            "io.kubernetes.container.terminationMessagePath",
            "/dev/termination-log",
        ),
        ("io.kubernetes.container.terminationMessagePolicy", "File"),
        ("io.kubernetes.pod.terminationGracePeriod", "30"),
    ]);
    config.linux = MessageField::some(LinuxContainerConfig {
        resources: MessageField::some(LinuxContainerResources {
            cpu_period: 100_000,
            cpu_shares: 2,
            oom_score_adj: 1000,
            unified: map(&[("memory.oom.group", "1")]),
            ..Default::default()
        }),
        security_context: MessageField::some(LinuxContainerSecurityContext {
            namespace_options: namespaces(),
            // What the image is said to have.
            run_as_user: int64(65532),
            masked_paths: vec!["/proc/kcore".to_owned()],
            readonly_paths: vec!["/proc/sys".to_owned()],
            seccomp: MessageField::some(SecurityProfile {
                profile_type: interlink_cri::proto::security_profile::ProfileType::Unconfined
                    .into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    });
    config
}

/// `makeMounts`: a volume, or a part of it, at a path.
pub fn mount(host_path: &Path, container_path: &str) -> Mount {
    Mount {
        host_path: host_path.display().to_string(),
        container_path: container_path.to_owned(),
        ..Default::default()
    }
}

pub fn read_only(host_path: &Path, container_path: &str) -> Mount {
    Mount {
        readonly: true,
        ..mount(host_path, container_path)
    }
}
