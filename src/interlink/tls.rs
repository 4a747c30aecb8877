//! Whom to trust and who we are: the PEM files, read and checked before the first connection.
//! The server is always verified; there is no switch.

use std::path::Path;

use ureq::tls::TlsConfig;

use super::error::Error;
use crate::{
    config::schema::InterLink,
    net::{self, Pem},
};

const CA: &str = "interlink.ca_file";
const CERT: &str = "interlink.client_cert_file";
const KEY: &str = "interlink.client_key_file";

/// What ureq needs for TLS.
///
/// # Errors
/// A file is unreadable or does not hold what it should.
pub(super) fn config(from: &InterLink) -> Result<TlsConfig, Error> {
    let mut builder = TlsConfig::builder();
    if let Some(path) = &from.ca_file {
        builder = builder.root_certs(Pem::read(CA, path)?.authorities()?);
    }
    match (&from.client_cert_file, &from.client_key_file) {
        (Some(cert), Some(key)) => {
            let cert = Pem::read(CERT, cert)?;
            let key = Pem::read(KEY, key)?;
            builder = builder.client_cert(Some(cert.identity(&key)?));
        }
        (None, None) => {}
        (Some(path), None) => return Err(alone(CERT, path, KEY)),
        (None, Some(path)) => return Err(alone(KEY, path, CERT)),
    }
    Ok(builder.build())
}

fn alone(key: &'static str, path: &Path, other: &str) -> Error {
    Error::BadFile {
        key,
        path: path.to_owned(),
        why: format!("needs {other} beside it"),
    }
}

impl From<net::Error> for Error {
    fn from(error: net::Error) -> Self {
        match error {
            net::Error::Unreadable { key, path, source } => Self::File { key, path, source },
            net::Error::Bad { key, path, why } => Self::BadFile { key, path, why },
        }
    }
}
