//! What the kubelet prepared on this node for a container, mount by mount, once somebody has
//! looked. `host` looks; here it is only told, so that what follows from it stays a pure function.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::model::ContainerId;

/// What stands behind one mount of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// The container's termination log, or the pod's /etc/hosts file where it was not read.
    KubeletOwn,
    /// The pod's /etc/hosts file, which the kubelet writes.
    EtcHosts(String),
    /// The contents of an image.
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
        /// The path.
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

/// Kinds of volumes whose files come from the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
    /// Contents of several sources, service account tokens among them.
    Projected,
    /// Fields of the pod itself.
    DownwardApi,
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

/// Files by their relative paths, with `/` between the parts.
pub type Files = BTreeMap<String, ContentFile>;

/// A file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// Permission bits.
    pub mode: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Without the bytes: they may be a secret.
impl std::fmt::Debug for ContentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {:#o}", self.bytes.len(), self.mode)
    }
}

/// What was found for the containers of a job: for each, one for each of its mounts, in their
/// order.
pub type PreparedMounts = HashMap<ContainerId, Vec<Prepared>>;
