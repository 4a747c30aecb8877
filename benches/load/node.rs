//! A daemon with an interLink server, for what depends on a plugin.

use std::{fs, path::Path};

use interlink_cri::proto::{ContainerStatusRequest, ListContainersRequest};
use protobuf::Message as _;

use crate::{
    calls::{method, Connection, Pod},
    daemon::{self, Daemon, Process},
    interlink::InterLink,
    measure::{Figures, Times},
    messages::Names,
};

/// A daemon with an interLink server.
pub struct Node {
    directory: tempfile::TempDir,
    // Before the server, so that it goes first.
    _daemon: Daemon,
    pub interlink: InterLink,
    pub connection: Connection,
}

impl Node {
    /// With more lines of configuration.
    pub fn new(configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let interlink = InterLink::start();
        let file = directory.path().join("config.toml");
        fs::write(&file, configuration).expect("the configuration");
        let file = file.display().to_string();
        let flags = ["--interlink-url", &interlink.url(), "--config", &file];
        let daemon = Daemon::start_with(directory.path(), &flags);
        let connection = Connection::open(&daemon::socket(directory.path()));
        Self {
            directory,
            _daemon: daemon,
            interlink,
            connection,
        }
    }

    /// The process of the daemon.
    pub fn process(&self) -> Process {
        Process::behind(&daemon::socket(self.path()))
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Starts pods of one container each, under these numbers.
    pub fn run(&self, numbers: std::ops::Range<usize>, image: &str, times: &mut Times) -> Vec<Pod> {
        let image = self.connection.pull(image);
        numbers
            .map(|number| {
                let names = self.names(number);
                self.connection.run_pod(&names, &image, 1, times)
            })
            .collect()
    }

    /// The names of a pod.
    pub fn names(&self, number: usize) -> Names {
        Names::new(self.path(), "plugin", number)
    }

    /// A status and a list, in turns.
    pub fn reads(&self, pod: &Pod) -> [Figures; 2] {
        let status = ContainerStatusRequest {
            container_id: pod.container().to_owned(),
            ..Default::default()
        };
        let status = status.write_to_bytes().expect("a message");
        let list = ListContainersRequest::default();
        let list = list.write_to_bytes().expect("a message");
        let mut times = Times::default();
        for _ in 0..300 {
            for (name, request) in [
                ("/runtime.v1.RuntimeService/ContainerStatus", &status),
                ("/runtime.v1.RuntimeService/ListContainers", &list),
            ] {
                let method = method(name);
                times.time(name, || self.connection.raw(&method, request));
            }
        }
        ["ContainerStatus", "ListContainers"].map(|name| times.figures(name))
    }
}
