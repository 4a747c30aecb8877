//! Where the kubelet looks for what a container said at its end.

use std::path::PathBuf;

use super::annotations;
use crate::proto::ContainerConfig;

/// The host path of a container's termination-log file: what is mounted at the path that its
/// annotation names. None where nothing is.
pub fn termination_log(config: &ContainerConfig) -> Option<PathBuf> {
    // The kubelet mounts a file of its own at `terminationMessagePath`, and reads that when the
    // container has ended (`makeMounts` and `getTerminationMessage` in
    // `pkg/kubelet/kuberuntime/kuberuntime_container.go`).
    let path = config.annotations.get(annotations::MESSAGE_PATH);
    let path = path.map_or(annotations::DEFAULT_MESSAGE_PATH, String::as_str);
    let mut mounts = config.mounts.iter();
    let mount = mounts.find(|mount| mount.container_path == path)?;
    Some(PathBuf::from(&mount.host_path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Mount;

    #[test]
    fn found_through_annotation_and_mounts() {
        let mount = |at: &str, host: &str| Mount {
            container_path: at.into(),
            host_path: host.into(),
            ..Default::default()
        };
        let rows = [
            (
                "the default path",
                None,
                vec![mount("/dev/termination-log", "/a")],
                Some("/a"),
            ),
            (
                "another path",
                Some("/t"),
                vec![mount("/x", "/b"), mount("/t", "/a")],
                Some("/a"),
            ),
            ("not mounted", None, vec![mount("/x", "/b")], None),
        ];
        for (name, annotation, mounts, want) in rows {
            let mut config = ContainerConfig {
                mounts,
                ..Default::default()
            };
            if let Some(path) = annotation {
                let key = annotations::MESSAGE_PATH.to_owned();
                config.annotations.insert(key, path.into());
            }
            assert_eq!(termination_log(&config), want.map(PathBuf::from), "{name}");
        }
    }
}
