//! Why the plugin does not start.

use std::{io, path::PathBuf};

use super::http;

/// Why the plugin does not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// The HTTP server does not start.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The address can be reached from other machines.
    #[error(
        "the local plugin does not listen on {address}: it runs what anybody sends, so it takes \
         unix sockets and loopback addresses only"
    )]
    Exposed { address: String },
    /// As root, on an address that every user of the machine reaches.
    #[error(
        "the local plugin runs as root and does not listen on {address} without a token: every user of \
         this machine could run commands as root; listen on a unix socket, or set --token-file"
    )]
    OpenToAll { address: String },
    /// The token cannot be used.
    #[error("cannot use the token file {}", path.display())]
    Token { path: PathBuf, source: io::Error },
    /// The root directory cannot be used.
    #[error("cannot use {} as the local plugin's root", path.display())]
    Root { path: PathBuf, source: io::Error },
    /// Another plugin holds the root directory's lock.
    #[error("another local plugin runs on {}", path.display())]
    RootInUse { path: PathBuf },
    /// A thread cannot be started.
    #[error("cannot start the thread `{name}`")]
    Thread {
        name: &'static str,
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals { source: io::Error },
}
