//! What files say about whom to trust and who we are, for every HTTP client of the daemon: PEM
//! certificates and keys (`pem`), bearer tokens (`token`), what TLS needs of them (`tls`), files that are read again when they change
//! (`reread`), and whether one has (`stamp`).
//!
//! Everything is tried out before it is used. An error names key and file, and never holds a part
//! of what is in the file.

mod pem;
mod reread;
mod stamp;
#[cfg(test)]
pub(crate) mod testing;
mod tls;
mod token;

use std::{io, path::PathBuf};

pub use self::{
    pem::Pem,
    reread::{Reread, Words, GRACE},
    stamp::Stamp,
    tls::TlsFiles,
    token::{bearer, TokenFile},
};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// It cannot be read.
    #[error("{key} {}", path.display())]
    Unreadable {
        key: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("{key} {}: {why}", path.display())]
    Bad {
        key: &'static str,
        path: PathBuf,
        /// What is wrong with it. Never a part of it.
        why: String,
    },
}
