//! The kubeconfig with all that it names, and read again when one of the files changes: the
//! kubelet renews its certificate by giving `kubelet-client-current.pem` another target.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ureq::{http::HeaderValue, tls::TlsConfig, unversioned::transport::DefaultConnector, Agent};

use super::{
    error::Error,
    kubeconfig::{Item, Kubeconfig},
    server::{Server, Whereabouts},
};
use crate::{
    telemetry::chain,
    tls::{self, bearer, Pem, Stamp, MAX_TOKEN_BYTES},
};

/// Who calls.
const USER_AGENT: &str = concat!("interlink-cri/", env!("CARGO_PKG_VERSION"));
/// Largest kubeconfig in bytes.
const MAX_KUBECONFIG_BYTES: u64 = 1 << 20;
/// Connections that are kept for the next call, and for how long: less than any load balancer in
/// front of an API server keeps its end.
const IDLE_CONNECTIONS: usize = 2;
const IDLE_AGE: Duration = Duration::from_secs(15);

/// The way to the API server, with the credentials of one moment.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) server: Server,
    pub(super) bearer: Option<HeaderValue>,
    /// Keeps connections for the next call.
    pub(super) kept: Agent,
    /// Uses each connection once.
    pub(super) fresh: Agent,
}

/// A file, and how it was when it was looked at; `None` when it was not there.
#[derive(Clone, Debug)]
struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl Watched {
    fn now(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            stamp: Stamp::read(path).ok(),
        }
    }

    fn has_changed(&self) -> bool {
        Stamp::read(&self.path).ok() != self.stamp
    }
}

/// Gives the [`Link`] of the moment.
#[derive(Debug)]
pub(super) struct Access {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Arc<Link>>,
    /// All files that the link, or the last try to renew it, came from.
    watched: Vec<Watched>,
}

impl Access {
    /// Nothing is read yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            state: Mutex::default(),
        }
    }

    /// The link; a few `stat` when nothing has changed. Files that have become useless are told
    /// once for each change, and what was read before stays in use.
    ///
    /// # Errors
    /// The files are of no use, and never were.
    pub(super) fn link(&self) -> Result<Arc<Link>, Error> {
        let mut state = self.state.lock();
        if let Some(link) = &state.link {
            if !state.watched.iter().any(Watched::has_changed) {
                return Ok(link.clone());
            }
        }
        let mut watched = Vec::new();
        match self.read(&mut watched) {
            Ok(link) => {
                if state.link.is_some() {
                    log::info!("read {} and its files again", self.path.display());
                }
                let link = Arc::new(link);
                *state = State {
                    link: Some(link.clone()),
                    watched,
                };
                Ok(link)
            }
            Err(error) => {
                let link = state.link.clone().ok_or_else(|| error.clone())?;
                log::warn!(
                    "{}; the credentials that were read before stay in use",
                    chain(&error)
                );
                // The files of the link count as well: any of them may be put right.
                let is_new = |old: &Watched| watched.iter().all(|new| new.path != old.path);
                let old: Vec<_> = state.watched.iter().filter(|old| is_new(old)).collect();
                let old: Vec<_> = old.iter().map(|old| Watched::now(&old.path)).collect();
                watched.extend(old);
                state.watched = watched;
                Ok(link)
            }
        }
    }

    /// Stamps are taken before a file is read: what is written meanwhile shows at the next call.
    fn read(&self, watched: &mut Vec<Watched>) -> Result<Link, Error> {
        watched.push(Watched::now(&self.path));
        let text = read_limited(&self.path, MAX_KUBECONFIG_BYTES)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| not_text()))
            .map_err(|source| Error::Unreadable {
                path: self.path.clone(),
                source: Arc::new(source),
            })?;
        let config = Kubeconfig::parse(&self.path, &text)?;
        let files = [&config.authorities, &config.token]
            .into_iter()
            .flatten()
            .chain(config.identity.iter().flat_map(|(cert, key)| [cert, key]));
        for file in files {
            if let Item::File { path, .. } = file {
                if watched.iter().all(|seen| seen.path != *path) {
                    watched.push(Watched::now(path));
                }
            }
        }
        self.connectable(config)
            .map_err(|source| Error::Credentials {
                path: self.path.clone(),
                source: Arc::new(source),
            })
    }

    fn connectable(&self, config: Kubeconfig) -> Result<Link, tls::Error> {
        let mut tls = TlsConfig::builder();
        if let Some(item) = &config.authorities {
            tls = tls.root_certs(self.pem(item)?.authorities()?);
        }
        if let Some((cert, key)) = &config.identity {
            tls = tls.client_cert(Some(self.pem(cert)?.identity(&self.pem(key)?)?));
        }
        let tls = tls.build();
        let agent = |idle| agent(&config.server, tls.clone(), idle);
        Ok(Link {
            bearer: config
                .token
                .as_ref()
                .map(|item| self.token(item))
                .transpose()?,
            kept: agent(IDLE_CONNECTIONS),
            fresh: agent(0),
            server: config.server,
        })
    }

    fn pem(&self, item: &Item) -> Result<Pem, tls::Error> {
        match item {
            Item::File { key, path } => Pem::read(key, path),
            Item::Inline { key, bytes } => Ok(Pem::new(key, &self.path, bytes.clone())),
        }
    }

    fn token(&self, item: &Item) -> Result<HeaderValue, tls::Error> {
        let (key, path, text) = match item {
            Item::Inline { key, bytes } => (*key, &self.path, bytes.clone()),
            Item::File { key, path } => {
                // One byte more than a token may have shows that there are more.
                let text = read_beginning(path, MAX_TOKEN_BYTES + 1).map_err(|source| {
                    tls::Error::Unreadable {
                        key,
                        path: path.clone(),
                        source,
                    }
                })?;
                (*key, path, text)
            }
        };
        bearer(&text).map_err(|why| tls::Error::Bad {
            key,
            path: path.clone(),
            why: why.to_owned(),
        })
    }
}

fn agent(server: &Server, tls: TlsConfig, idle: usize) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(IDLE_AGE)
        .user_agent(USER_AGENT)
        .http_status_as_error(false)
        // The credentials belong here and nowhere else.
        .max_redirects(0)
        // Taken from the environment otherwise.
        .proxy(None)
        .build();
    let connector = DefaultConnector::default();
    Agent::with_parts(config, connector, Whereabouts(server.clone()))
}

fn read_limited(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let bytes = read_beginning(path, max + 1)?;
    match bytes.len() as u64 > max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {max} bytes"),
        )),
        false => Ok(bytes),
    }
}

fn read_beginning(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not UTF-8")
}

#[cfg(test)]
mod tests;
