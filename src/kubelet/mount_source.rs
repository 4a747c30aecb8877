//! What stands behind a CRI mount. The CRI names no volumes, only paths on this node; but the
//! kubelet lays out its directory by rule ([`super::directory`]), so the path below `ROOT/pods/UID` tells
//! the volume's kind and name. Whether a path is what it says is for `host` to see.

use std::path::{Component, Path};

use super::directory::{self, volume_kind, VolumeKind};
use crate::proto::Mount;

/// Where what a container mounts comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountSource<'a> {
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
    /// An image volume: the reference of its image.
    Image(&'a str),
}

/// Tells what stands behind a mount of the pod with this UID.
pub fn source<'a>(mount: &'a Mount, pod_uid: &str, kubelet_root: &Path) -> MountSource<'a> {
    if let Some(image) = mount.image.as_ref() {
        return MountSource::Image(&image.image);
    }
    let pod_directory = directory::pod(kubelet_root, pod_uid);
    let below = match Path::new(&mount.host_path).strip_prefix(&pod_directory) {
        Ok(below) if !pod_uid.is_empty() => below,
        _ => return MountSource::HostPath(&mount.host_path),
    };
    let mut parts = below.components().map(|part| match part {
        Component::Normal(name) => name.to_str().unwrap_or_default(),
        _ => "",
    });
    let mut next = || parts.next().unwrap_or_default();
    match [next(), next(), next(), next(), next()] {
        ["volumes", plugin, name, ..] if !name.is_empty() => MountSource::Volume {
            kind: volume_kind(plugin),
            name,
            inside: inside(below, 3),
        },
        ["volume-subpaths", volume, _, index, ""] if !index.is_empty() => {
            MountSource::SubPath { volume, index }
        }
        ["etc-hosts", "", ..] => MountSource::EtcHosts,
        ["containers", _, file, "", ""] if !file.is_empty() => MountSource::KubeletOwn,
        _ => MountSource::HostPath(&mount.host_path),
    }
}

/// What is left of a path after its first `depth` components.
fn inside(path: &Path, depth: usize) -> &str {
    let mut parts = path.components();
    parts.by_ref().take(depth).for_each(drop);
    parts.as_path().to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kubelet::contents::ContentKind, proto::ImageSpec};

    const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

    fn mount(host_path: &str) -> Mount {
        Mount {
            container_path: "/data".to_owned(),
            host_path: host_path.replace("UID", UID),
            ..Default::default()
        }
    }

    fn volume<'a>(kind: VolumeKind<'a>, name: &'a str, inside: &'a str) -> MountSource<'a> {
        MountSource::Volume { kind, name, inside }
    }

    #[test]
    fn the_path_tells_the_volume() {
        const V: &str = "/var/lib/kubelet/pods/UID/volumes";
        let own = MountSource::KubeletOwn;
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
                MountSource::SubPath {
                    volume: "conf",
                    index: "0",
                },
            ),
            (
                "/var/lib/kubelet/pods/UID/etc-hosts".into(),
                MountSource::EtcHosts,
            ),
            (
                "/var/lib/kubelet/pods/UID/containers/main/1a2b3c4d".into(),
                own,
            ),
            (
                "/var/lib/kubelet//pods/UID/etc-hosts".into(),
                MountSource::EtcHosts,
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
            assert_eq!(got, MountSource::HostPath(&mount.host_path), "{path}");
        }
        let nobody = mount("/var/lib/kubelet/pods/etc-hosts");
        let got = source(&nobody, "", Path::new("/var/lib/kubelet"));
        assert_eq!(got, MountSource::HostPath(&nobody.host_path));
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
            MountSource::Image("sha256:1")
        );
    }
}
