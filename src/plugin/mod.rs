//! The local plugin: a small interLink server that runs containers as plain processes of this
//! machine. It is what the demo and the tests run on, so that a pod can be seen end to end with
//! no cluster, no SLURM and no root; and it is a model for people who write plugins.
//!
//! # What a container is here
//!
//! - A process with a process group and a session of its own, a scratch directory as its
//!   working directory and `HOME`, and exactly the environment that the pod gives it (`PATH`,
//!   `HOME` and `HOSTNAME` are added where they are missing). stdout and stderr go to one file.
//! - It runs as the user of the plugin, on the machine's own file system and network. There are
//!   no images: `command` must be given, `image` is only a name. There are no namespaces and no
//!   cgroups: security contexts, resource limits, ports, probes and hooks are ignored; but a plugin
//!   that is root refuses what is to run as somebody else.
//! - Volumes are directories. A `mountPath` cannot be honoured without mount namespaces: a
//!   container finds a volume's path in `INTERLINK_VOLUME_<NAME>` (upper case, `_` for all that
//!   is neither letter nor digit), and under its `mountPath` only if that is relative or lies
//!   below its scratch directory. `readOnly` is not enforced.
//! - Init containers run one by one, main containers together after them. Everything runs once:
//!   `restartPolicy` is ignored. When a container's first process ends, whatever it left behind
//!   is killed, as in a PID namespace.
//!
//! # What it promises
//!
//! - A pod is created whole or not at all, and a container is started once, whatever crashes.
//! - Containers outlive the plugin: each has a [`shim`] that waits for it and records its end.
//!   The next plugin on the same root adopts what runs, what has ended and what was to be
//!   deleted. (A systemd unit needs `KillMode=process` for that.)
//! - A deletion that was answered is carried out: TERM, the grace period, KILL, and nothing of
//!   the pod is left. Processes that a container moved out of its session die with it as long
//!   as its shim lives; if the shim was killed, only those in the session can be found.
//! - It has no access control but the socket's: whoever reaches it can run commands as its
//!   user. So it listens on unix sockets (mode 0600) and loopback addresses only.

mod api;
mod container;
mod doorbell;
mod estate;
mod faults;
pub mod http;
mod layout;
mod logs;
mod names;
mod pod;
mod pod_dir;
mod processes;
mod program;
mod routes;
pub mod shim;
mod submission;
mod supervisor;
mod volumes;

use std::{io, path::PathBuf, sync::Arc};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use self::{
    api::Api,
    http::{Address, Limits, Request, Responder, Server},
    supervisor::Supervisor,
};

pub use self::faults::{Fault, FaultError, FAULT_HELP};

/// The running program, even after its file was replaced: what is usually the shim.
pub const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// Why the plugin does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP server does not start.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// It would be open to the network.
    #[error(
        "the local plugin does not listen on {address}: it runs what anybody sends, so it takes \
         unix sockets and loopback addresses only"
    )]
    Exposed {
        /// The address.
        address: String,
    },
    /// The root cannot be used.
    #[error("cannot use {} as the local plugin's root", path.display())]
    Root {
        /// The root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another plugin runs on the same root.
    #[error("another local plugin runs on {}", path.display())]
    Taken {
        /// The root.
        path: PathBuf,
    },
    /// There is no thread for it.
    #[error("cannot start the thread `{name}`")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals {
        /// Why.
        source: io::Error,
    },
}

/// What a plugin needs to know.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// Where to listen: a unix socket, or a loopback address.
    pub listen: Address,
    /// Where pods are kept; made if it does not exist.
    pub root: PathBuf,
    /// The executable that is started as `SHIM plugin-shim DIR` and calls [`shim::main`]:
    /// [`THIS_EXECUTABLE`], unless the program is a test.
    pub shim: PathBuf,
    /// The faults to commit, in their order.
    pub faults: Vec<Fault>,
}

/// A local plugin that runs. Dropping it stops it; containers go on.
pub struct Plugin {
    api: Arc<Api>,
    server: Server,
}

impl Plugin {
    /// Takes over the root and starts to listen.
    ///
    /// # Errors
    /// The root is not usable or has a plugin already, or the address is taken or exposed.
    pub fn start(config: PluginConfig) -> Result<Self, Error> {
        if let Address::Tcp(address) = config.listen {
            if !address.ip().is_loopback() {
                let address = config.listen.to_string();
                return Err(Error::Exposed { address });
            }
        }
        let api = Arc::new(Api {
            supervisor: Supervisor::start(&config.root, config.shim)?,
            faults: faults::Faults::new(config.faults),
        });
        let server = Server::start(&config.listen, Limits::default(), {
            let api = Arc::clone(&api);
            move |request: Request, responder: Responder| api.handle(&request, responder)
        })?;
        Ok(Self { api, server })
    }

    /// Where it listens, as the URL that clients use.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Stops. Containers go on, and the next plugin on the same root adopts them.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // First whoever waits for a pod's end, or the server would wait for them.
        self.api.supervisor.begin_stop();
        self.server.stop();
    }
}

/// Runs a plugin until SIGTERM or SIGINT; `ready` is called once it listens.
///
/// # Errors
/// As [`Plugin::start`].
pub fn run(config: PluginConfig, ready: impl FnOnce(&Plugin)) -> Result<(), Error> {
    let signals = Signals::new([SIGTERM, SIGINT]);
    let mut signals = signals.map_err(|source| Error::Signals { source })?;
    let plugin = Plugin::start(config)?;
    ready(&plugin);
    if let Some(signal) = signals.forever().next() {
        log::info!("signal {signal}: the local plugin stops, containers go on");
    }
    plugin.stop();
    Ok(())
}

/// Why a request is refused.
#[derive(Debug)]
struct Refusal {
    status: u16,
    text: String,
}

impl Refusal {
    fn invalid(text: impl Into<String>) -> Self {
        let (status, text) = (400, text.into());
        Self { status, text }
    }

    fn unknown(text: impl Into<String>) -> Self {
        let (status, text) = (404, text.into());
        Self { status, text }
    }

    fn conflict(text: impl Into<String>) -> Self {
        let (status, text) = (409, text.into());
        Self { status, text }
    }

    fn send(&self, request: &Request, responder: Responder) -> io::Result<()> {
        log::info!("{} refused: {}", request.path(), self.text);
        responder.text(self.status, &self.text)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self {
            status: 500,
            text: format!("the local plugin's machine fails: {error}"),
        }
    }
}
