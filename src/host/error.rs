//! Why it cannot be told what stands behind a mount.

use std::{io, path::PathBuf};

use crate::disk::Hung;

/// What is wrong with a volume on this node. Names no contents.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// A file system does not answer.
    #[error(transparent)]
    Hung(#[from] Hung),
    /// The kubelet has not prepared the volume yet, or not again since the node started, or is
    /// about to take it away; or the disk fails. Later it may be another matter.
    #[error("volume `{volume}`: {}", path.display())]
    NotReady {
        /// The volume's name in the pod.
        volume: String,
        path: PathBuf,
        source: io::Error,
    },
    /// The kubelet's subPath mount is not there.
    #[error(
        "volume `{volume}`: nothing is mounted at {}; the daemon has to see the mounts that the \
         kubelet makes, so it cannot run in a mount namespace that is cut off from the kubelet's",
        path.display()
    )]
    NotMounted {
        /// The volume's name in the pod.
        volume: String,
        /// Where the kubelet should have mounted a part of it.
        path: PathBuf,
    },
    /// What is there is not what a kubelet makes. A symlink that leads elsewhere, for example,
    /// which the daemon would follow as root.
    #[error("volume `{volume}`: `{entry}` {fault}; a kubelet leaves no such thing there")]
    Odd {
        /// The volume's name in the pod.
        volume: String,
        /// The entry, below the volume's directory.
        entry: String,
        fault: &'static str,
    },
    /// More than is shipped with a job.
    #[error(
        "volume `{volume}`: with it the volumes of the pod hold more than {limit} bytes or {files} \
         files, which is what is shipped with a job; use a shared file system for it, or raise \
         `pods.max_volume_bytes`"
    )]
    TooLarge {
        /// The volume that was too much.
        volume: String,
        /// The limit in bytes.
        limit: u64,
        /// The limit for the number of files.
        files: usize,
    },
}

impl Error {
    /// Whether the same may go well later, without anybody's doing.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Hung(_) | Self::NotReady { .. } | Self::NotMounted { .. }
        )
    }

    /// Whether a file system does not answer.
    pub fn is_hung(&self) -> bool {
        matches!(self, Self::Hung(_))
    }
}
