//! Why the disk failed.

use std::{io, path::PathBuf, sync::Arc};

/// Why the disk failed.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// The state directory cannot be made or used.
    #[error("state directory {path} cannot be used")]
    Directory {
        path: PathBuf,
        source: Arc<io::Error>,
    },
    /// Another daemon has it.
    #[error("state directory {0} is in use by another interlink-cri; stop that one, or give this one a state directory of its own")]
    InUse(PathBuf),
    /// The store cannot be opened.
    #[error("state file {path} cannot be opened")]
    Open {
        path: PathBuf,
        source: Arc<redb::Error>,
    },
    /// Records cannot be read.
    #[error("state file {path} cannot be read")]
    Read {
        path: PathBuf,
        source: Arc<redb::Error>,
    },
    /// It is damaged, and what is good in it could not be saved.
    #[error("state file {path} is damaged, and what is good in it cannot be saved beside it")]
    Damaged {
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// A commit failed; nothing of it is on disk.
    #[error("state file {path} cannot be written; check for free space in its file system")]
    Commit {
        path: PathBuf,
        source: Arc<redb::Error>,
    },
    /// The writing thread is gone.
    #[error("the state file is closed")]
    Closed,
}

impl Error {
    /// Whether the file itself is bad, so that opening it again will not help. What comes from a newer
    /// daemon or from the disk is none.
    pub(super) fn is_damage(&self) -> bool {
        let (Self::Open { source, .. } | Self::Read { source, .. }) = self else {
            return false;
        };
        match &**source {
            redb::Error::Corrupted(_) | redb::Error::TableTypeMismatch { .. } => true,
            redb::Error::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ),
            _ => false,
        }
    }
}
