//! What was found on this node behind a container's mounts. `host` reads the disk; what follows from
//! it is worked out elsewhere, in pure functions of these values.

use std::sync::Arc;

use super::contents::{ContentKind, Files};

/// What stands behind one mount of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundMount {
    /// The container's termination log, or the pod's /etc/hosts file where it was not read.
    KubeletOwn,
    /// The pod's /etc/hosts file, which the kubelet writes.
    EtcHosts(String),
    /// An image volume: the reference of its image.
    Image(String),
    /// Scratch space that the pod's containers share.
    EmptyDir {
        /// The volume's name in the pod.
        volume: String,
        /// The path below the volume; empty for all of it.
        inside: String,
        /// The pod's `emptyDir.medium`, as far as it shows: `Memory`, `HugePages-2Mi`, or empty.
        medium: String,
    },
    /// Files that the API server had.
    Content {
        /// Of what kind.
        kind: ContentKind,
        /// The volume's name in the pod.
        volume: String,
        /// The path below the volume that is mounted; empty for all of it.
        inside: String,
        /// Whether that is one file, not a directory.
        is_file: bool,
        /// The files, by their paths below what is mounted; a single one by its name.
        files: Arc<Files>,
    },
    /// A path of this node, which the pod names itself.
    HostPath {
        /// On this node.
        path: String,
        /// What is there.
        kind: PathKind,
    },
    /// A volume of any other plugin.
    Other {
        /// The plugin's short name: `csi`, `nfs`, `local-volume`...
        plugin: String,
        /// The volume's name in the pod, or the persistent volume's.
        volume: String,
        /// What the same files are called on this node outside of the kubelet's directory.
        elsewhere: Vec<String>,
    },
}

/// What is found at a host path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Nobody looked, or it is neither of the others.
    Unknown,
    /// A directory.
    Directory,
    /// A file.
    File,
}
