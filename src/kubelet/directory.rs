//! The layout of the kubelet's root directory (`pkg/kubelet/kubelet_getters.go`). Paths are made and
//! compared as text; nothing is looked up.
//!
//! ```text
//! ROOT/seccomp/                                       local seccomp profiles
//! ROOT/pods/UID/etc-hosts                             the pod's /etc/hosts file
//! ROOT/pods/UID/containers/NAME/HASH                  a container's termination log
//! ROOT/pods/UID/volumes/PLUGIN/NAME                   a volume
//! ROOT/pods/UID/volumeDevices/PLUGIN/NAME             a block device, as a symlink
//! ROOT/pods/UID/volume-subpaths/VOLUME/CONTAINER/N    a part of a volume, mounted there
//! ```

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;

use super::contents::ContentKind;

/// Directories of scratch space lie below this one.
pub const EMPTY_DIR: &str = "kubernetes.io~empty-dir";
/// Volumes from an NFS server.
pub const NFS: &str = "kubernetes.io~nfs";
/// Directories of this node behind persistent volumes.
pub const LOCAL_VOLUME: &str = "kubernetes.io~local-volume";
/// Volumes of CSI drivers; each is mounted at [`CSI_MOUNT`] below its directory.
pub const CSI: &str = "kubernetes.io~csi";
/// Where a CSI volume is mounted below its own directory.
pub const CSI_MOUNT: &str = "mount";

/// The directory of a pod.
pub fn pod(kubelet_root: &Path, pod_uid: &str) -> PathBuf {
    kubelet_root.join("pods").join(pod_uid)
}

/// The directory of a pod's volumes, with one directory for each plugin.
pub fn volumes(kubelet_root: &Path, pod_uid: &str) -> PathBuf {
    pod(kubelet_root, pod_uid).join("volumes")
}

/// The directory of a volume.
pub fn volume(kubelet_root: &Path, pod_uid: &str, plugin: &str, name: &str) -> PathBuf {
    volumes(kubelet_root, pod_uid).join(plugin).join(name)
}

/// The directory of local seccomp profiles.
pub fn seccomp_profiles(kubelet_root: &Path) -> PathBuf {
    kubelet_root.join("seccomp")
}

/// The name of the block volume that a device is; none for any other device.
pub fn block_volume(device: &str) -> Option<&str> {
    let (_, below) = device.split_once("/volumeDevices/")?;
    below.split_once('/').map(|(_, name)| name)
}

/// Kinds of volumes, as the directories below `volumes` tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind<'a> {
    /// Scratch space that the pod's containers share.
    EmptyDir,
    /// Files that the API server had.
    Content(ContentKind),
    /// Any other volume plugin, by its short name: `csi`, `nfs`, `local-volume`...
    Plugin(&'a str),
}

/// The kind of the volumes below `volumes/PLUGIN`.
pub fn volume_kind(plugin: &str) -> VolumeKind<'_> {
    if plugin == EMPTY_DIR {
        return VolumeKind::EmptyDir;
    }
    let mut kinds = ContentKind::ALL.into_iter();
    match kinds.find(|kind| content_plugin(*kind) == plugin) {
        Some(kind) => VolumeKind::Content(kind),
        None => VolumeKind::Plugin(plugin.strip_prefix("kubernetes.io~").unwrap_or(plugin)),
    }
}

/// The plugin below which the volumes of a kind lie.
fn content_plugin(kind: ContentKind) -> &'static str {
    match kind {
        ContentKind::ConfigMap => "kubernetes.io~configmap",
        ContentKind::Secret => "kubernetes.io~secret",
        ContentKind::Projected => "kubernetes.io~projected",
        ContentKind::DownwardApi => "kubernetes.io~downward-api",
    }
}

/// The plugin of a volume that the kubelet fills itself; none for one that is mounted from
/// elsewhere.
pub fn own_plugin(volume: &Volume) -> Option<&'static str> {
    if volume.empty_dir.is_some() {
        return Some(EMPTY_DIR);
    }
    ContentKind::of(volume).map(content_plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_kinds_are_each_other_s_inverse() {
        for kind in ContentKind::ALL {
            assert_eq!(volume_kind(content_plugin(kind)), VolumeKind::Content(kind));
        }
        assert_eq!(volume_kind(EMPTY_DIR), VolumeKind::EmptyDir);
        assert_eq!(volume_kind(CSI), VolumeKind::Plugin("csi"));
        let other = "example.com~odd";
        assert_eq!(volume_kind(other), VolumeKind::Plugin(other));
    }

    #[test]
    fn block_devices_are_told_from_others() {
        let device = "/var/lib/kubelet/pods/u-1/volumeDevices/kubernetes.io~csi/pvc-1";
        assert_eq!(block_volume(device), Some("pvc-1"));
        assert_eq!(block_volume("/dev/fuse"), None);
    }
}
