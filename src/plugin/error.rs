//! Why the plugin does not start.

use std::{io, path::PathBuf};

use super::http;

/// Why the plugin does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP server does not start.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The address can be reached from other machines.
    #[error(
        "the local plugin does not listen on {address}: it runs what anybody sends, so it takes \
         unix sockets and loopback addresses only"
    )]
    Exposed {
        /// The address, as a URL.
        address: String,
    },
    /// The root directory cannot be used.
    #[error("cannot use {} as the local plugin's root", path.display())]
    Root {
        /// The root directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another plugin holds the root directory's lock.
    #[error("another local plugin runs on {}", path.display())]
    RootInUse {
        /// The root directory.
        path: PathBuf,
    },
    /// A thread cannot be started.
    #[error("cannot start the thread `{name}`")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals {
        /// What the operating system said.
        source: io::Error,
    },
}
