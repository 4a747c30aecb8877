//! The room against a scripted API server.

mod calls;
mod credentials;
mod events;
mod pauses;
mod source;

use std::{fs, path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::http_testing::{AfterAnswer, Connection, ReceivedRequest, Server as ApiServer};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Limits = Limits {
    time: Duration::from_secs(20),
    reply_bytes: 4 << 20,
};

/// A kubeconfig in a directory of its own.
struct Config {
    dir: TempDir,
}

impl Config {
    /// For a server, with more about the cluster, and a user, each in YAML.
    fn new(server: &str, cluster: &str, user: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Self { dir };
        config.write(server, cluster, user);
        config
    }

    fn write(&self, server: &str, cluster: &str, user: &str) {
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: '{server}', {cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        );
        fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("kubelet.conf")
    }

    fn client(&self) -> Client {
        Client::new(&self.path(), PATIENCE)
    }
}

/// A client with a token.
fn client(url: &str) -> (Config, Client) {
    let config = Config::new(url, "", "token: t0k3n");
    let client = config.client();
    (config, client)
}

/// A whole answer.
fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A server that gives the same bytes to every request.
fn always(bytes: impl Into<Vec<u8>>, after: AfterAnswer) -> ApiServer {
    let bytes = bytes.into();
    ApiServer::tcp(move |_: &ReceivedRequest, conn: &mut dyn Connection| {
        conn.send(&bytes);
        after
    })
}

const POD: &str =
    r#"{"metadata":{"name":"b","namespace":"a","uid":"u-1","managedFields":[{"manager":"x"}]}}"#;
