//! Where the kubelet looks for what a container said at its end.

use std::path::PathBuf;

use super::decode_container_config;
use crate::model::Container;

/// The annotation in which the kubelet names the path inside the container.
const ANNOTATION: &str = "io.kubernetes.container.terminationMessagePath";
const DEFAULT_PATH: &str = "/dev/termination-log";

/// The host path of a container's termination-log file: what is mounted at the path that its
/// annotation names. None where nothing is.
pub fn termination_log(container: &Container) -> Option<PathBuf> {
    let config = decode_container_config(container).ok()?;
    let path = config
        .annotations
        .get(ANNOTATION)
        .map_or(DEFAULT_PATH, String::as_str);
    let mount = config
        .mounts
        .into_iter()
        .find(|mount| mount.container_path == path)?;
    Some(mount.host_path.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protobuf::Message as _;

    use super::*;
    use crate::{
        plan::testing::{container, pod},
        proto::{ContainerConfig, Mount},
    };

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
                config.annotations.insert(ANNOTATION.into(), path.into());
            }
            let mut container = container(&pod(&[]), "a", 0);
            container.config = Arc::from(config.write_to_bytes().expect("encodes"));
            assert_eq!(
                termination_log(&container),
                want.map(PathBuf::from),
                "{name}"
            );
        }
    }
}
