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
    server::{Server, ServerResolver},
};
use crate::{
    net::{self, bearer, Pem, Stamp, TokenFile},
    telemetry::chain,
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
pub(super) struct Session {
    pub(super) server: Server,
    bearer: Option<Bearer>,
    /// Keeps connections for the next call.
    pub(super) kept: Agent,
    /// Uses each connection once.
    pub(super) fresh: Agent,
}

/// A bearer token, by where it stands.
#[derive(Debug)]
enum Bearer {
    Inline(HeaderValue),
    File(TokenFile),
}

impl Bearer {
    fn value(&self) -> Result<HeaderValue, net::Error> {
        match self {
            Self::Inline(value) => Ok(value.clone()),
            Self::File(file) => file.bearer(),
        }
    }
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

/// Gives the [`Session`] of the moment.
#[derive(Debug)]
pub(super) struct Access {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<Arc<Session>>,
    /// All files that the session, or the last try to renew it, came from; but not a token's,
    /// which looks after itself.
    watched: Vec<Watched>,
}

impl Access {
    /// The value of the Authorization header for a call of this session, if it has a token.
    ///
    /// # Errors
    /// The token's file has been of no use for [`net::GRACE`].
    pub(super) fn bearer(&self, session: &Session) -> Result<Option<HeaderValue>, Error> {
        let value = session.bearer.as_ref().map(Bearer::value).transpose();
        value.map_err(|source| self.unfit(source))
    }

    fn unfit(&self, source: net::Error) -> Error {
        Error::Credentials {
            path: self.path.clone(),
            source: Arc::new(source),
        }
    }

    /// Nothing is read yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            state: Mutex::default(),
        }
    }

    /// The session; a few `stat` when nothing has changed. Files that have become useless are told
    /// once for each change, and what was read before stays in use.
    ///
    /// # Errors
    /// The files are of no use, and never were.
    pub(super) fn session(&self) -> Result<Arc<Session>, Error> {
        let mut state = self.state.lock();
        if let Some(session) = &state.session {
            if !state.watched.iter().any(Watched::has_changed) {
                return Ok(session.clone());
            }
        }
        let mut watched = Vec::new();
        match self.read(&mut watched) {
            Ok(session) => {
                if state.session.is_some() {
                    log::info!("read {} and its files again", self.path.display());
                }
                let session = Arc::new(session);
                *state = State {
                    session: Some(session.clone()),
                    watched,
                };
                Ok(session)
            }
            Err(error) => {
                let session = state.session.clone().ok_or_else(|| error.clone())?;
                log::warn!(
                    error = chain(&error);
                    "the credentials that were read before stay in use"
                );
                // The files of the session count as well: any of them may be put right.
                let is_new = |old: &Watched| watched.iter().all(|new| new.path != old.path);
                let old: Vec<_> = state.watched.iter().filter(|old| is_new(old)).collect();
                let old: Vec<_> = old.iter().map(|old| Watched::now(&old.path)).collect();
                watched.extend(old);
                state.watched = watched;
                Ok(session)
            }
        }
    }

    /// Stamps are taken before a file is read: what is written meanwhile shows at the next call.
    fn read(&self, watched: &mut Vec<Watched>) -> Result<Session, Error> {
        watched.push(Watched::now(&self.path));
        let text = read_limited(&self.path, MAX_KUBECONFIG_BYTES)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| not_text()))
            .map_err(|source| Error::Unreadable {
                path: self.path.clone(),
                source: Arc::new(source),
            })?;
        let config = Kubeconfig::parse(&self.path, &text)?;
        let files = config
            .authorities
            .iter()
            .chain(config.identity.iter().flat_map(|(cert, key)| [cert, key]));
        for file in files {
            if let Item::File { path, .. } = file {
                if watched.iter().all(|seen| seen.path != *path) {
                    watched.push(Watched::now(path));
                }
            }
        }
        self.connectable(config)
            .map_err(|source| self.unfit(source))
    }

    fn connectable(&self, config: Kubeconfig) -> Result<Session, net::Error> {
        let mut tls = TlsConfig::builder();
        if let Some(item) = &config.authorities {
            tls = tls.root_certs(self.pem(item)?.authorities()?);
        }
        if let Some((cert, key)) = &config.identity {
            tls = tls.client_cert(Some(self.pem(cert)?.identity(&self.pem(key)?)?));
        }
        let tls = tls.build();
        let agent = |idle| agent(&config.server, tls.clone(), idle);
        Ok(Session {
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

    fn pem(&self, item: &Item) -> Result<Pem, net::Error> {
        match item {
            Item::File { key, path } => Pem::read(key, path),
            Item::Inline { key, bytes } => Ok(Pem::new(key, &self.path, bytes.clone())),
        }
    }

    fn token(&self, item: &Item) -> Result<Bearer, net::Error> {
        match item {
            Item::File { key, path } => {
                let file = TokenFile::new(key, path);
                // Tried out: a session without a token is of no use.
                file.bearer()?;
                Ok(Bearer::File(file))
            }
            Item::Inline { key, bytes } => match bearer(bytes) {
                Ok(value) => Ok(Bearer::Inline(value)),
                Err(why) => Err(net::Error::Bad {
                    key,
                    path: self.path.clone(),
                    why: why.to_owned(),
                }),
            },
        }
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
    Agent::with_parts(config, connector, ServerResolver(server.clone()))
}

fn read_limited(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than there may be shows that there are more.
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {max} bytes"),
        )),
        false => Ok(bytes),
    }
}

fn not_text() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not UTF-8")
}

#[cfg(test)]
mod tests;
