//! Certificates and keys in PEM. ureq leaves out authorities that it cannot read and panics on a
//! key that does not fit its certificate, so all of them are tried out here.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rustls::{
    crypto::ring,
    pki_types::{
        pem::{self, PemObject},
        CertificateDer, PrivateKeyDer,
    },
    sign::CertifiedKey,
    RootCertStore,
};
use ureq::tls::{parse_pem, Certificate, ClientCert, PemItem, PrivateKey, RootCerts};

use super::Error;

/// PEM text, and the key and file that it came from, which errors name.
pub struct Pem {
    key: &'static str,
    path: PathBuf,
    text: Vec<u8>,
}

impl Pem {
    /// Reads the file that `key` names.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn read(key: &'static str, path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|source| Error::Unreadable {
            key,
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::new(key, path, text))
    }

    /// Text that stood under `key` in the file at `path`.
    pub fn new(key: &'static str, path: &Path, text: Vec<u8>) -> Self {
        let path = path.to_owned();
        Self { key, path, text }
    }

    /// Authorities to trust; at least one.
    ///
    /// # Errors
    /// [`Error::Bad`]: no certificate, or one that cannot be an authority.
    pub fn authorities(&self) -> Result<RootCerts, Error> {
        let mut store = RootCertStore::empty();
        for cert in self.certificates()? {
            store.add(cert).map_err(|e| self.bad(e))?;
        }
        Ok(RootCerts::from(self.ureq_certificates()))
    }

    /// Who we are: the chain in this text with the private key in another, which may be the same
    /// text once more.
    ///
    /// # Errors
    /// [`Error::Bad`]: no certificate here, no key there, or they do not fit each other.
    pub fn identity(&self, key: &Pem) -> Result<ClientCert, Error> {
        let chain = self.certificates()?;
        let der = PrivateKeyDer::from_pem_slice(&key.text).map_err(|e| match e {
            pem::Error::NoItemsFound => key.bad("no private key in it"),
            other => key.bad(other),
        })?;
        CertifiedKey::from_der(chain, der, &ring::default_provider()).map_err(|e| {
            let (key_of, path) = (self.key, self.path.display());
            key.bad(format!("not the key of {key_of} {path}: {e}"))
        })?;
        let ureq_key = PrivateKey::from_pem(&key.text).map_err(|e| key.bad(e))?;
        let chain: Vec<_> = self.ureq_certificates().collect();
        Ok(ClientCert::new_with_certs(&chain, ureq_key))
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

    fn ureq_certificates(&self) -> impl Iterator<Item = Certificate<'static>> + '_ {
        parse_pem(&self.text).filter_map(|item| match item {
            Ok(PemItem::Certificate(cert)) => Some(cert),
            _ => None,
        })
    }

    fn bad(&self, why: impl ToString) -> Error {
        Error::Bad {
            key: self.key,
            path: self.path.clone(),
            why: why.to_string(),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem")
            .field("key", &self.key)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Authority, *};

    /// As in the kubelet's `kubelet-client-current.pem`.
    #[test]
    fn certificate_and_key_may_share_a_file() {
        let authority = Authority::new();
        authority.issue("node");
        let [cert, key] =
            ["node.pem", "node.key"].map(|name| fs::read(authority.file(name)).unwrap());
        let shared = |text| Pem::new("client-certificate", Path::new("/x"), text);
        for text in [
            [cert.clone(), key.clone()].concat(),
            [key.clone(), cert.clone()].concat(),
        ] {
            let pem = shared(text);
            pem.identity(&pem).unwrap();
            assert!(pem.authorities().is_ok());
        }
        let error = shared(cert.clone()).identity(&shared(cert)).unwrap_err();
        assert!(error.to_string().contains("no private key in it"));
    }

    #[test]
    fn a_key_is_not_printed() {
        let pem = Pem::new("client-key", Path::new("/x"), b"hush".to_vec());
        let shown = format!("{pem:?}");
        assert!(shown.contains("client-key"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
    }
}
