//! Pods and containers as a kubelet sends them.

use std::{collections::HashMap, fs, path::Path};

use interlink_cri::proto::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, PodSandboxConfig, PodSandboxMetadata,
};
use protobuf::MessageField;

/// What a kubelet names in all messages of a pod.
pub struct Names {
    name: String,
    namespace: String,
    uid: String,
    log_directory: String,
}

impl Names {
    /// The names of a numbered pod; makes its log directory, as a kubelet does.
    pub fn new(directory: &Path, namespace: &str, number: usize) -> Self {
        let name = format!("solver-5d8f9c7b6d-{number:07}");
        let uid = format!("00000000-0000-4000-8000-{number:012}");
        let logs = directory.join(format!("pods/{namespace}_{name}_{uid}"));
        fs::create_dir_all(&logs).expect("the log directory");
        Self {
            log_directory: logs.display().to_string(),
            name,
            namespace: namespace.to_owned(),
            uid,
        }
    }

    fn labels(&self) -> HashMap<String, String> {
        map(&[
            ("io.kubernetes.pod.name", &self.name),
            ("io.kubernetes.pod.namespace", &self.namespace),
            ("io.kubernetes.pod.uid", &self.uid),
        ])
    }

    pub fn sandbox(&self) -> PodSandboxConfig {
        let metadata = PodSandboxMetadata {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            uid: self.uid.clone(),
            ..Default::default()
        };
        let mut labels = self.labels();
        labels.extend(map(&[
            ("app", "solver"),
            ("pod-template-hash", "5d8f9c7b6d"),
        ]));
        PodSandboxConfig {
            metadata: MessageField::some(metadata),
            hostname: self.name.clone(),
            log_directory: self.log_directory.clone(),
            labels,
            annotations: map(&[
                (
                    "kubernetes.io/config.seen",
                    "2026-11-26T00:00:00.000000000Z",
                ),
                ("kubernetes.io/config.source", "api"),
                ("slurm-job.vk.io/flags", "--partition=batch --time=60"),
            ]),
            ..Default::default()
        }
    }

    /// Where a container's log is.
    pub fn log(&self, container: &str) -> String {
        format!("{}/{container}/0.log", self.log_directory)
    }

    pub fn container(&self, name: &str, image: &str) -> ContainerConfig {
        let envs = (0..12).map(|n| KeyValue {
            key: format!("SERVICE_{n}_PORT_443_TCP_ADDR"),
            value: format!("10.96.{n}.1").into_bytes(),
            ..Default::default()
        });
        let image = ImageSpec {
            image: image.into(),
            ..Default::default()
        };
        let metadata = ContainerMetadata {
            name: name.into(),
            ..Default::default()
        };
        let mut labels = self.labels();
        labels.extend(map(&[("io.kubernetes.container.name", name)]));
        fs::create_dir_all(format!("{}/{name}", self.log_directory)).expect("the log directory");
        ContainerConfig {
            metadata: MessageField::some(metadata),
            image: MessageField::some(image),
            command: vec!["sleep".into(), "inf".into()],
            envs: envs.collect(),
            labels,
            annotations: map(&[
                ("io.kubernetes.container.hash", "5f2c1d3e"),
                ("io.kubernetes.container.restartCount", "0"),
                (
                    "io.kubernetes.container.terminationMessagePath",
                    "/dev/termination-log",
                ),
                ("io.kubernetes.container.terminationMessagePolicy", "File"),
                ("io.kubernetes.pod.terminationGracePeriod", "30"),
            ]),
            log_path: format!("{name}/0.log"),
            ..Default::default()
        }
    }
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}
