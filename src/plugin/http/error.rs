//! Why a server does not start.

use std::{io, path::PathBuf};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// The address cannot be read.
    #[error("`{text}` is no address to listen on: {why}")]
    Address {
        /// As given.
        text: String,
        why: String,
    },
    /// A server answers on that socket already.
    #[error("another server listens on {}", path.display())]
    InUse { path: PathBuf },
    /// The operating system refuses.
    #[error("cannot listen on {address}")]
    Bind { address: String, source: io::Error },
    /// No thread for it.
    #[error("cannot start the thread `{name}`")]
    Thread {
        name: &'static str,
        source: io::Error,
    },
}
