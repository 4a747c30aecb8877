//! Whom to trust and who we are over TLS, from files that are checked before the first connection. The
//! server is always verified; there is no switch.

use std::path::Path;

use ureq::tls::TlsConfig;

use super::{Error, Pem};

/// The files, each with the key that names it in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct TlsFiles<'a> {
    /// The authorities; without it, the well-known ones.
    pub authorities: (&'static str, Option<&'a Path>),
    /// The client's certificate chain.
    pub certificate: (&'static str, Option<&'a Path>),
    /// The key of that certificate.
    pub key: (&'static str, Option<&'a Path>),
}

impl TlsFiles<'_> {
    /// What ureq needs for TLS.
    ///
    /// # Errors
    /// A file is unreadable or does not hold what it should, or a certificate is without its key.
    pub fn read(&self) -> Result<TlsConfig, Error> {
        let mut builder = TlsConfig::builder();
        if let (key, Some(path)) = self.authorities {
            builder = builder.root_certs(Pem::read(key, path)?.authorities()?);
        }
        let (of_certificate, of_key) = (self.certificate.0, self.key.0);
        match (self.certificate.1, self.key.1) {
            (Some(certificate), Some(key)) => {
                let certificate = Pem::read(of_certificate, certificate)?;
                let key = Pem::read(of_key, key)?;
                builder = builder.client_cert(Some(certificate.identity(&key)?));
            }
            (None, None) => {}
            (Some(path), None) => return Err(alone(of_certificate, path, of_key)),
            (None, Some(path)) => return Err(alone(of_key, path, of_certificate)),
        }
        Ok(builder.build())
    }
}

fn alone(key: &'static str, path: &Path, other: &str) -> Error {
    Error::Bad {
        key,
        path: path.to_owned(),
        why: format!("needs {other} beside it"),
    }
}
