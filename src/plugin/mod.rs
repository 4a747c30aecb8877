//! The local plugin: a small interLink server that runs containers as plain processes of this
//! machine. It is what the demo and the tests run on, so that a pod can be seen end to end with
//! no cluster, no batch system and no root; and it is a model for people who write plugins.
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
//! - Whoever reaches it can run commands as its user. So it listens on unix sockets (mode 0600), which only
//!   root and its own user get through, and on loopback addresses, which every user of the machine
//!   reaches: there it wants a bearer token where it is root, and refuses what pages in browsers can send.
//!
//! # How it is built
//!
//! ```text
//! api       the interLink API: HTTP and JSON on one side, the backend on the other
//! backend   the seam: a trait that runs pods; knows neither HTTP nor processes
//! local     the backend that runs containers as processes of this machine
//! pods      what a pod is, whatever runs it: request, record, volumes, directories
//! http      the HTTP server; knows nothing of all this
//! ```
//!
//! The room has a wall: of the daemon it sees `interlink::wire`, `threads`, and the small rooms `bounded`, `confined`,
//! `disk`, `endpoint`, `json`, `owned`, `peer` and `text` alone, and no room but `daemon` and `cli` sees it. So the
//! plugin stays another program to what is tested against it, and agrees with it about the wire and nothing else.

mod api;
mod backend;
mod error;
pub mod http;
mod local;
mod pods;
mod refusal;

use std::{path::PathBuf, sync::Arc};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use self::{
    api::{Api, Faults, Guard},
    http::{Limits, ListenAddress, Request, Responder, Server},
    local::LocalBackend,
};

pub use self::{
    api::{Fault, FaultError, FAULT_HELP},
    error::Error,
    local::shim,
};

/// The running program, even after its file was replaced: what is usually the shim.
pub const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// What a plugin needs to know.
#[derive(Clone, Debug)]
pub struct PluginConfig {
    /// Where to listen: a unix socket, or a loopback address.
    pub listen: ListenAddress,
    /// File with a bearer token that requests must have.
    pub token_file: Option<PathBuf>,
    /// Where pods are kept; made if it does not exist.
    pub root: PathBuf,
    /// The executable that is started as `SHIM plugin-shim DIR` and calls [`shim::main`]:
    /// [`THIS_EXECUTABLE`], unless the program is a test.
    pub shim: PathBuf,
    /// The most that is kept of what a container prints, in bytes; 0 is no bound.
    pub max_output_bytes: u64,
    /// How to misbehave, for tests: a script, see [`FAULT_HELP`].
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
        let guard = guard(&config)?;
        let backend = LocalBackend::start(&config.root, config.shim, config.max_output_bytes)?;
        let api = Arc::new(Api::new(Box::new(backend), Faults::new(config.faults)).guarded(guard));
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
        // The server waits for its handlers, and a handler may wait for a pod's end.
        self.api.begin_stop();
        self.server.stop();
    }
}

/// What requests must have, so that not everybody can run commands here.
fn guard(config: &PluginConfig) -> Result<Guard, Error> {
    let token = config.token_file.as_ref().map(|path| {
        api::read_token(path).map_err(|source| Error::Token {
            path: path.clone(),
            source,
        })
    });
    let token = token.transpose()?;
    let ListenAddress::Tcp(address) = config.listen else {
        return Ok(Guard::new(false, token));
    };
    let text = || config.listen.to_string();
    if !address.ip().is_loopback() {
        return Err(Error::Exposed { address: text() });
    }
    if token.is_none() && rustix::process::geteuid().is_root() {
        return Err(Error::OpenToAll { address: text() });
    }
    if token.is_none() {
        log::warn!(
            "every user of this machine can run commands through {}; listen on a unix socket, or set a \
             token file",
            text()
        );
    }
    Ok(Guard::new(true, token))
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
