//! The kubelet's kubeconfig: which API server, whom to trust, who we are. Pure: the files that it
//! names are read elsewhere.
//!
//! As client-go reads it (k8s.io/client-go/tools/clientcmd): paths are relative to the
//! kubeconfig's directory, `...-data` goes before a file, and `tokenFile` before `token`. What is
//! not done is refused rather than left out: the API server would meet another client than the
//! one that was meant.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use k8s_openapi::ByteString;
use serde_json::{Map, Value};

use super::{error::Error, server::Server};
use crate::bounded;

/// What the current context of a kubeconfig says.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// Where the API server is.
    pub server: Server,
    /// Authorities to trust, in PEM; none means the usual public ones.
    pub authorities: Option<Item>,
    /// Client certificate chain and its key, in PEM. They may be one file.
    pub identity: Option<(Item, Item)>,
    /// Bearer token.
    pub token: Option<Item>,
}

/// Something that stands in the kubeconfig itself or in a file that it names.
#[derive(Clone, PartialEq, Eq)]
pub enum Item {
    /// In a file.
    File {
        /// The key that names it.
        key: &'static str,
        /// The file, with the kubeconfig's directory in front where it is relative.
        path: PathBuf,
    },
    /// In the kubeconfig.
    Inline {
        /// The key that it stands under.
        key: &'static str,
        /// The decoded bytes; not shown by `Debug`.
        bytes: Vec<u8>,
    },
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { key, path } => write!(f, "{key}: {}", path.display()),
            Self::Inline { key, .. } => write!(f, "{key}: (hidden)"),
        }
    }
}

impl Kubeconfig {
    /// Reads the text of the kubeconfig at `path`.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`]: it is not YAML, something is missing, or it wants what is not done.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let root: Value = bounded::from_yaml(text).map_err(|error| {
            // The error's own text quotes the file.
            let at = error.location().map_or(1, |location| location.line());
            Error::Kubeconfig {
                path: path.to_owned(),
                key: format!("line {at}"),
                why: "not YAML; write it again, for example with `kubectl config`".to_owned(),
            }
        })?;
        let root = Section::new(path, String::new(), &root)?;
        let name = root.need("current-context", "name the context to use")?;
        let context = root.named("contexts", name, "context")?;
        let cluster = context.need("cluster", "name a cluster")?;
        let cluster = root.named("clusters", cluster, "cluster")?;
        let user = context.need("user", "name a user")?;
        let user = root.named("users", user, "user")?;
        let (identity, token) = credentials(&user)?;
        Ok(Self {
            server: server(&cluster)?,
            authorities: cluster.item("certificate-authority", "certificate-authority-data")?,
            identity,
            token,
        })
    }
}

fn server(cluster: &Section) -> Result<Server, Error> {
    cluster.refuse(
        "insecure-skip-tls-verify",
        "the API server is always verified; name its authority in certificate-authority",
    )?;
    cluster.refuse(
        "proxy-url",
        "proxies are not used; name a server that can be reached directly",
    )?;
    let url = cluster.need("server", "give the API server's URL")?;
    let server = Server::parse(url).map_err(|why| cluster.bad("server", why))?;
    match cluster.text("tls-server-name")? {
        None => Ok(server),
        Some(name) => server
            .known_as(name)
            .map_err(|why| cluster.bad("tls-server-name", why)),
    }
}

type Credentials = (Option<(Item, Item)>, Option<Item>);

fn credentials(user: &Section) -> Result<Credentials, Error> {
    for key in ["username", "password", "auth-provider", "exec"] {
        user.refuse(
            key,
            "not supported; name a kubeconfig with a client certificate or a token file, as the \
             kubelet's own",
        )?;
    }
    for key in ["as", "as-uid", "as-groups", "as-user-extra"] {
        user.refuse(key, "acting as somebody else is not supported; remove it")?;
    }
    let cert = user.item("client-certificate", "client-certificate-data")?;
    let key = user.item("client-key", "client-key-data")?;
    let identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            let why = "needs client-key beside it; it may name the same file";
            return Err(user.bad("client-certificate", why));
        }
        (None, Some(_)) => return Err(user.bad("client-key", "needs client-certificate beside it")),
    };
    let token = match user.text("tokenFile")? {
        Some(file) => Some(user.file("tokenFile", file)),
        None => user.text("token")?.map(|token| Item::Inline {
            key: "token",
            bytes: token.as_bytes().to_owned(),
        }),
    };
    if identity.is_none() && token.is_none() {
        let why = "needs client-certificate and client-key, or tokenFile";
        return Err(user.bad("", why));
    }
    Ok((identity, token))
}

/// A map in the kubeconfig, and the way to it.
struct Section<'a> {
    path: &'a Path,
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    fn new(path: &'a Path, at: String, value: &'a Value) -> Result<Self, Error> {
        match value {
            Value::Object(map) => Ok(Self { path, at, map }),
            _ => Err(Error::Kubeconfig {
                path: path.to_owned(),
                key: if at.is_empty() { "line 1".into() } else { at },
                why: "not a map of keys and values".to_owned(),
            }),
        }
    }

    /// What is called `name` in one of the kubeconfig's lists.
    fn named(&self, list: &str, name: &str, inner: &str) -> Result<Section<'a>, Error> {
        let items = self.map.get(list).and_then(Value::as_array);
        let is_it = |item: &&Value| item.get("name").and_then(Value::as_str) == Some(name);
        let value = items
            .and_then(|items| items.iter().find(is_it))
            .and_then(|item| item.get(inner))
            .ok_or_else(|| self.bad(list, format!("has no {inner} called {name:?}; add it")))?;
        Section::new(self.path, format!("{list}[{name}].{inner}"), value)
    }

    /// An empty text is none, as for client-go.
    fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.bad(key, "must be text; put it in quotes")),
        }
    }

    fn need(&self, key: &str, what_to_do: &str) -> Result<&'a str, Error> {
        self.text(key)?
            .ok_or_else(|| self.bad(key, format!("is missing; {what_to_do}")))
    }

    /// What stands under `data_key` in base64, or else in the file that `key` names.
    fn item(&self, key: &'static str, data_key: &'static str) -> Result<Option<Item>, Error> {
        if let Some(data) = self.text(data_key)? {
            let decoded: Result<ByteString, _> = serde_json::from_value(Value::from(data));
            let ByteString(bytes) =
                decoded.map_err(|_| self.bad(data_key, "is not base64; encode the PEM file"))?;
            let key = data_key;
            return Ok(Some(Item::Inline { key, bytes }));
        }
        Ok(self.text(key)?.map(|path| self.file(key, path)))
    }

    fn file(&self, key: &'static str, path: &str) -> Item {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        let path = directory.join(path);
        Item::File { key, path }
    }

    fn refuse(&self, key: &str, why: &str) -> Result<(), Error> {
        let is_unset = match self.map.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Bool(true) | Value::Number(_)) => false,
        };
        match is_unset {
            true => Ok(()),
            false => Err(self.bad(key, why)),
        }
    }

    fn bad(&self, key: &str, why: impl Into<String>) -> Error {
        let dot = if self.at.is_empty() || key.is_empty() {
            ""
        } else {
            "."
        };
        Error::Kubeconfig {
            path: self.path.to_owned(),
            key: format!("{}{dot}{key}", self.at),
            why: why.into(),
        }
    }
}

#[cfg(test)]
mod tests;
