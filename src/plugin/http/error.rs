//! Why a server does not start.

use std::{io, path::PathBuf};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be read.
    #[error("`{text}` is no address to listen on: {why}")]
    Address {
        /// As given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A server answers on that socket already.
    #[error("another server listens on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// What the operating system reports.
        source: io::Error,
    },
    /// No thread for it.
    #[error("cannot start the thread `{name}`")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the operating system reports.
        source: io::Error,
    },
}
