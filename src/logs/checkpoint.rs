//! What is kept on disk of how far a log has been read.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

use crate::plan::log_position::Position;

/// What is kept of a log sink across a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How much of the remote log was written.
    pub position: Position,
    /// The device of the file that it was written to.
    pub device: u64,
    /// The file's inode: the path leads to another file once the log was rotated.
    pub inode: u64,
    /// How long the file was, in bytes.
    pub length: u64,
}

impl Checkpoint {
    /// Reads what was kept. One that cannot be read is no worse than none.
    pub fn read(bytes: Option<&[u8]>) -> Self {
        bytes
            .and_then(|bytes| serde_json::from_slice(bytes).ok())
            .filter(|checkpoint: &Self| checkpoint.position.is_sound())
            .unwrap_or_default()
    }

    /// Whether it is about this file.
    pub fn is_of(&self, file: &Metadata) -> bool {
        (file.dev(), file.ino()) == (self.device, self.inode)
    }
}
