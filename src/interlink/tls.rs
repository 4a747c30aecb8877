//! Whom to trust and who we are: the PEM files, read and checked before the first connection.

use ureq::tls::TlsConfig;

use super::error::Error;
use crate::{
    config::schema::InterLink,
    net::{self, TlsFiles},
};

/// What ureq needs for TLS.
///
/// # Errors
/// A file is unreadable or does not hold what it should.
pub(super) fn config(from: &InterLink) -> Result<TlsConfig, Error> {
    let files = TlsFiles {
        authorities: ("interlink.ca_file", from.ca_file.as_deref()),
        certificate: (
            "interlink.client_cert_file",
            from.client_cert_file.as_deref(),
        ),
        key: ("interlink.client_key_file", from.client_key_file.as_deref()),
    };
    Ok(files.read()?)
}

impl From<net::Error> for Error {
    fn from(error: net::Error) -> Self {
        match error {
            net::Error::Unreadable { key, path, source } => Self::File { key, path, source },
            net::Error::Bad { key, path, why } => Self::BadFile { key, path, why },
        }
    }
}
