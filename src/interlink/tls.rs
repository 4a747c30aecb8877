//! Whom to trust and who we are: the PEM files, read and checked before the first connection.
//! The server is always verified; there is no switch.

use std::{fs, path::Path};

use rustls::{
    crypto::ring,
    pki_types::{
        pem::{self, PemObject},
        CertificateDer, PrivateKeyDer,
    },
    sign::CertifiedKey,
    RootCertStore,
};
use ureq::tls::{parse_pem, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};

use super::error::Error;
use crate::config::schema::InterLink;

const CA: &str = "interlink.ca_file";
const CERT: &str = "interlink.client_cert_file";
const KEY: &str = "interlink.client_key_file";

/// A named file's bytes.
struct PemFile<'a> {
    key: &'static str,
    path: &'a Path,
    text: Vec<u8>,
}

/// What ureq needs for TLS. Everything is tried out here, because ureq leaves out authorities
/// that it cannot read and panics on a key that does not fit its certificate.
///
/// # Errors
/// A file is unreadable or does not hold what it should.
pub(super) fn config(from: &InterLink) -> Result<TlsConfig, Error> {
    let mut builder = TlsConfig::builder();
    if let Some(path) = &from.ca_file {
        builder = builder.root_certs(authorities(&PemFile::read(CA, path)?)?);
    }
    match (&from.client_cert_file, &from.client_key_file) {
        (Some(cert), Some(key)) => {
            let cert = PemFile::read(CERT, cert)?;
            let key = PemFile::read(KEY, key)?;
            builder = builder.client_cert(Some(identity(&cert, &key)?));
        }
        (None, None) => {}
        (Some(path), None) => return Err(alone(CERT, path, KEY)),
        (None, Some(path)) => return Err(alone(KEY, path, CERT)),
    }
    Ok(builder.build())
}

fn authorities(file: &PemFile) -> Result<RootCerts, Error> {
    let mut store = RootCertStore::empty();
    for cert in file.certificates()? {
        store.add(cert).map_err(|e| file.bad(e))?;
    }
    Ok(RootCerts::from(file.ureq_certificates()))
}

fn identity(cert: &PemFile, key: &PemFile) -> Result<ClientCert, Error> {
    let chain = cert.certificates()?;
    let der = PrivateKeyDer::from_pem_slice(&key.text).map_err(|e| match e {
        pem::Error::NoItemsFound => key.bad("no private key in it"),
        other => key.bad(other),
    })?;
    CertifiedKey::from_der(chain, der, &ring::default_provider()).map_err(|e| {
        key.bad(format!(
            "not the key of {CERT} {}: {e}",
            cert.path.display()
        ))
    })?;
    let ureq_key = PrivateKey::from_pem(&key.text).map_err(|e| key.bad(e))?;
    let chain: Vec<_> = cert.ureq_certificates().collect();
    Ok(ClientCert::new_with_certs(&chain, ureq_key))
}

fn alone(key: &'static str, path: &Path, other: &str) -> Error {
    Error::BadFile {
        key,
        path: path.to_owned(),
        why: format!("needs {other} beside it"),
    }
}

impl<'a> PemFile<'a> {
    fn read(key: &'static str, path: &'a Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|source| Error::File {
            key,
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { key, path, text })
    }

    /// All of them; at least one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let certs: Vec<_> = CertificateDer::pem_slice_iter(&self.text)
            .collect::<Result<_, _>>()
            .map_err(|e| self.bad(e))?;
        if certs.is_empty() {
            return Err(self.bad("no certificate in it"));
        }
        Ok(certs)
    }

    fn ureq_certificates(&self) -> impl Iterator<Item = ureq::tls::Certificate<'static>> + '_ {
        parse_pem(&self.text).filter_map(|item| match item {
            Ok(PemItem::Certificate(cert)) => Some(cert),
            _ => None,
        })
    }

    fn bad(&self, why: impl ToString) -> Error {
        Error::BadFile {
            key: self.key,
            path: self.path.to_owned(),
            why: why.to_string(),
        }
    }
}
