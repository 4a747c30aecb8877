//! What stands behind a CRI mount. The CRI names no volumes, only paths on this node; but the
//! kubelet lays out its directory by rule (`pkg/kubelet/kubelet_getters.go`), so the path below
//! `ROOT/pods/UID` tells the volume's kind and name. Paths are compared as text, nothing is looked
//! up: whether a path is what it says is for `host` to see.

use std::path::{Component, Path};

use super::{prepared::ContentKind, Error};
use crate::proto::{Mount, MountPropagation};

/// Where what a container mounts comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// `volumes/PLUGIN/NAME` and perhaps a path inside.
    Volume {
        /// The kind of volume.
        kind: VolumeKind<'a>,
        /// The volume's name in the pod.
        name: &'a str,
        /// The path below the volume's directory; empty for the whole volume.
        inside: &'a str,
    },
    /// `volume-subpaths/VOLUME/CONTAINER/INDEX`: a part of a volume, which the kubelet mounted
    /// there. The path does not say which part, nor of what kind the volume is.
    SubPath {
        /// The volume's name in the pod.
        volume: &'a str,
        /// Which of the container's mounts it is, counted from 0.
        index: &'a str,
    },
    /// The container's termination log.
    KubeletOwn,
    /// The pod's /etc/hosts file.
    EtcHosts,
    /// A path of this node.
    HostPath(&'a str),
    /// The contents of an image.
    Image(&'a str),
}

/// Kinds of volumes that the kubelet prepares below a pod's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind<'a> {
    /// Scratch space that the pod's containers share.
    EmptyDir,
    /// Files that the API server had.
    Content(ContentKind),
    /// Any other volume plugin, by its short name: `csi`, `nfs`, `local-volume`...
    Plugin(&'a str),
}

/// Tells what stands behind a mount of the pod with this UID.
pub fn source<'a>(mount: &'a Mount, pod_uid: &str, kubelet_root: &Path) -> Source<'a> {
    if let Some(image) = mount.image.as_ref() {
        return Source::Image(&image.image);
    }
    let pod_directory = kubelet_root.join("pods").join(pod_uid);
    let below = match Path::new(&mount.host_path).strip_prefix(&pod_directory) {
        Ok(below) if !pod_uid.is_empty() => below,
        _ => return Source::HostPath(&mount.host_path),
    };
    let mut parts = below.components().map(|part| match part {
        Component::Normal(name) => name.to_str().unwrap_or_default(),
        _ => "",
    });
    let mut next = || parts.next().unwrap_or_default();
    match [next(), next(), next(), next(), next()] {
        ["volumes", plugin, name, ..] if !name.is_empty() => Source::Volume {
            kind: volume_kind(plugin),
            name,
            inside: inside(below, 3),
        },
        ["volume-subpaths", volume, _, index, ""] if !index.is_empty() => {
            Source::SubPath { volume, index }
        }
        ["etc-hosts", "", ..] => Source::EtcHosts,
        ["containers", _, file, "", ""] if !file.is_empty() => Source::KubeletOwn,
        _ => Source::HostPath(&mount.host_path),
    }
}

/// The kind of the volumes that the kubelet puts below `volumes/PLUGIN`.
pub fn volume_kind(plugin: &str) -> VolumeKind<'_> {
    let short = plugin.strip_prefix("kubernetes.io~").unwrap_or(plugin);
    match short {
        "empty-dir" => VolumeKind::EmptyDir,
        "configmap" => VolumeKind::Content(ContentKind::ConfigMap),
        "secret" => VolumeKind::Content(ContentKind::Secret),
        "projected" => VolumeKind::Content(ContentKind::Projected),
        "downward-api" => VolumeKind::Content(ContentKind::DownwardApi),
        other => VolumeKind::Plugin(other),
    }
}

/// What is left of a path after its first `depth` components.
fn inside(path: &Path, depth: usize) -> &str {
    let mut parts = path.components();
    parts.by_ref().take(depth).for_each(drop);
    parts.as_path().to_str().unwrap_or_default()
}

/// Checks what does not depend on the kind of volume.
///
/// # Errors
/// [`Error::Mount`] for a path that is not absolute or leads upwards, and for a demand that
/// contradicts itself.
pub fn check(mount: &Mount) -> Result<(), Error> {
    let fault = if let Some(fault) = path_fault(&mount.container_path) {
        format!("the path in the container {fault}")
    } else if let Some(fault) = host_path_fault(mount) {
        format!("the host path `{}` {fault}", mount.host_path)
    } else if mount.recursive_read_only && (!mount.readonly || propagation(mount) != PRIVATE) {
        "a recursively read-only mount must be read-only and of private propagation".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Mount {
        container_path: mount.container_path.clone(),
        fault,
    })
}

fn host_path_fault(mount: &Mount) -> Option<&'static str> {
    match mount.image.as_ref() {
        None => path_fault(&mount.host_path),
        // "HostPath is set to empty for image mounts", says the API.
        Some(_) if mount.host_path.is_empty() => None,
        Some(_) => Some("does not go with an image"),
    }
}

fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("is empty")
    } else if !path.starts_with('/') {
        Some("is not absolute")
    } else if path.split('/').any(|part| part == "..") {
        Some("contains `..`")
    } else if path.contains('\0') {
        Some("contains a NUL byte")
    } else {
        None
    }
}

const PRIVATE: MountPropagation = MountPropagation::PROPAGATION_PRIVATE;

/// How mounts made later show through. A value of a newer API counts as private.
pub(super) fn propagation(mount: &Mount) -> MountPropagation {
    mount.propagation.enum_value_or(PRIVATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ImageSpec;

    const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

    fn mount(host_path: &str) -> Mount {
        Mount {
            container_path: "/data".to_owned(),
            host_path: host_path.replace("UID", UID),
            ..Default::default()
        }
    }

    fn volume<'a>(kind: VolumeKind<'a>, name: &'a str, inside: &'a str) -> Source<'a> {
        Source::Volume { kind, name, inside }
    }

    #[test]
    fn the_path_tells_the_volume() {
        const V: &str = "/var/lib/kubelet/pods/UID/volumes";
        let own = Source::KubeletOwn;
        for (path, want) in [
            (
                format!("{V}/kubernetes.io~empty-dir/scratch"),
                volume(VolumeKind::EmptyDir, "scratch", ""),
            ),
            (
                format!("{V}/kubernetes.io~empty-dir/scratch/a/b"),
                volume(VolumeKind::EmptyDir, "scratch", "a/b"),
            ),
            (
                format!("{V}/kubernetes.io~configmap/conf"),
                volume(VolumeKind::Content(ContentKind::ConfigMap), "conf", ""),
            ),
            (
                format!("{V}/kubernetes.io~secret/key"),
                volume(VolumeKind::Content(ContentKind::Secret), "key", ""),
            ),
            (
                format!("{V}/kubernetes.io~projected/kube-api-access-x2x4z"),
                volume(
                    VolumeKind::Content(ContentKind::Projected),
                    "kube-api-access-x2x4z",
                    "",
                ),
            ),
            (
                format!("{V}/kubernetes.io~downward-api/info/"),
                volume(VolumeKind::Content(ContentKind::DownwardApi), "info", ""),
            ),
            (
                format!("{V}/kubernetes.io~csi/pvc-1/mount"),
                volume(VolumeKind::Plugin("csi"), "pvc-1", "mount"),
            ),
            (
                format!("{V}/kubernetes.io~local-volume/pv"),
                volume(VolumeKind::Plugin("local-volume"), "pv", ""),
            ),
            (
                format!("{V}/example.com~odd/v"),
                volume(VolumeKind::Plugin("example.com~odd"), "v", ""),
            ),
            (
                "/var/lib/kubelet/pods/UID/volume-subpaths/conf/main/0".into(),
                Source::SubPath {
                    volume: "conf",
                    index: "0",
                },
            ),
            (
                "/var/lib/kubelet/pods/UID/etc-hosts".into(),
                Source::EtcHosts,
            ),
            (
                "/var/lib/kubelet/pods/UID/containers/main/1a2b3c4d".into(),
                own,
            ),
            (
                "/var/lib/kubelet//pods/UID/etc-hosts".into(),
                Source::EtcHosts,
            ),
        ] {
            assert_eq!(
                source(&mount(&path), UID, Path::new("/var/lib/kubelet")),
                want,
                "{path}"
            );
        }
    }

    #[test]
    fn all_else_is_a_host_path() {
        for path in [
            "/data",
            "/",
            "/var/lib/kubelet",
            "/var/lib/kubelet/pods/UID",
            "/var/lib/kubelet/pods/UID/volumes",
            "/var/lib/kubelet/pods/UID/volumes/kubernetes.io~secret",
            "/var/lib/kubelet/pods/UID/volume-subpaths/conf/main",
            "/var/lib/kubelet/pods/UID/volume-subpaths/conf/main/0/x",
            "/var/lib/kubelet/pods/UID/etc-hosts/x",
            "/var/lib/kubelet/pods/UID/containers/main",
            "/var/lib/kubelet/pods/another/volumes/kubernetes.io~secret/key",
            "/var/lib/kubelet/pods/UIDx/etc-hosts",
            "/var/lib/kubelet2/pods/UID/etc-hosts",
        ] {
            let mount = mount(path);
            let got = source(&mount, UID, Path::new("/var/lib/kubelet"));
            assert_eq!(got, Source::HostPath(&mount.host_path), "{path}");
        }
        let nobody = mount("/var/lib/kubelet/pods/etc-hosts");
        let got = source(&nobody, "", Path::new("/var/lib/kubelet"));
        assert_eq!(got, Source::HostPath(&nobody.host_path));
    }

    #[test]
    fn images_need_no_path() {
        let mount = Mount {
            container_path: "/model".to_owned(),
            image: Some(ImageSpec {
                image: "sha256:1".to_owned(),
                ..Default::default()
            })
            .into(),
            ..Default::default()
        };
        assert_eq!(
            source(&mount, UID, Path::new("/k")),
            Source::Image("sha256:1")
        );
        assert!(check(&mount).is_ok());
    }

    #[test]
    fn mounts_that_make_no_sense() {
        let good = mount("/data");
        assert!(check(&good).is_ok());
        for (name, bad) in [
            (
                "no host path",
                Mount {
                    host_path: String::new(),
                    ..good.clone()
                },
            ),
            (
                "relative host path",
                Mount {
                    host_path: "data".into(),
                    ..good.clone()
                },
            ),
            (
                "upwards",
                Mount {
                    host_path: "/data/../etc".into(),
                    ..good.clone()
                },
            ),
            (
                "NUL",
                Mount {
                    host_path: "/da\0ta".into(),
                    ..good.clone()
                },
            ),
            (
                "nowhere",
                Mount {
                    container_path: String::new(),
                    ..good.clone()
                },
            ),
            (
                "relative",
                Mount {
                    container_path: "data".into(),
                    ..good.clone()
                },
            ),
            (
                "read-only below, writable above",
                Mount {
                    recursive_read_only: true,
                    ..good.clone()
                },
            ),
            (
                "recursive and shared",
                Mount {
                    recursive_read_only: true,
                    readonly: true,
                    propagation: MountPropagation::PROPAGATION_HOST_TO_CONTAINER.into(),
                    ..good.clone()
                },
            ),
            (
                "image and path",
                Mount {
                    image: Some(ImageSpec::default()).into(),
                    ..good.clone()
                },
            ),
        ] {
            let got = check(&bad);
            assert!(matches!(got, Err(Error::Mount { .. })), "{name}: {got:?}");
        }
    }
}
