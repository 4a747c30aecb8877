//! Where the kubelet looks for what a container said at its end.

use std::path::PathBuf;

use super::annotations::{DEFAULT_MESSAGE_PATH, MESSAGE_PATH};
use crate::{model::StringMap, proto::Mount};

/// The host path of a container's termination-log file: which of its mounts is at the path that its
/// annotation names. None where nothing is.
pub fn termination_log(mounts: &[Mount], annotations: &StringMap) -> Option<PathBuf> {
    // The kubelet mounts a file of its own at `terminationMessagePath`, and reads that when the
    // container has ended (`makeMounts` and `getTerminationMessage` in
    // `pkg/kubelet/kuberuntime/kuberuntime_container.go`).
    let path = annotations.get(MESSAGE_PATH);
    let path = path.unwrap_or(DEFAULT_MESSAGE_PATH);
    let mount = mounts.iter().find(|mount| mount.container_path == path)?;
    Some(PathBuf::from(&mount.host_path))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let annotation = annotation.map(|path| (MESSAGE_PATH, path));
            let annotations = annotation.into_iter().collect();
            let found = termination_log(&mounts, &annotations);
            assert_eq!(found, want.map(PathBuf::from), "{name}");
        }
    }
}
