//! Every key about the figures for Prometheus, its default, and why.

use std::{net::SocketAddr, path::PathBuf};

use rustix::net::SocketAddrUnix;
use serde::{Deserialize, Serialize};

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where Prometheus may ask for the figures of docs/metrics.md, with `GET /metrics`: `IP:PORT`,
    /// `unix:///PATH` (mode 0600), or `off`. No names of pods and no secrets are in them, and nobody has to
    /// log in. Where the address cannot be had, the daemon says so and runs without.
    pub listen: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            // Each user of a login node may read it there, and nobody from elsewhere.
            listen: "127.0.0.1:9184".to_owned(),
        }
    }
}

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// An address of this machine; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Metrics {
    /// Where the listener is to be bound; none for a text that says nothing of the kind.
    pub fn listen(&self) -> Option<Listen> {
        if self.listen == "off" {
            return Some(Listen::Off);
        }
        match self.listen.strip_prefix("unix://") {
            Some(path) => {
                let is_path = path.starts_with('/') && !path.ends_with('/');
                (is_path && SocketAddrUnix::new(path).is_ok()).then(|| Listen::Unix(path.into()))
            }
            None => self.listen.parse().ok().map(Listen::Tcp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen() {
        let tcp = |text: &str| Listen::Tcp(text.parse().expect("an address"));
        let long = format!("unix:///{}", "x".repeat(120));
        for (text, want) in [
            ("off", Some(Listen::Off)),
            ("127.0.0.1:9184", Some(tcp("127.0.0.1:9184"))),
            ("[::1]:0", Some(tcp("[::1]:0"))),
            (
                "unix:///run/m.sock",
                Some(Listen::Unix("/run/m.sock".into())),
            ),
            ("unix://run/m.sock", None),
            ("unix:///run/", None),
            (&*long, None),
            ("localhost:9184", None),
            ("9184", None),
            ("", None),
        ] {
            let metrics = Metrics {
                listen: text.to_owned(),
            };
            assert_eq!(metrics.listen(), want, "{text}");
        }
    }
}
