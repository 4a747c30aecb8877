//! The socket and the gRPC server behind it.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use grpcio::{ChannelBuilder, EnvBuilder, Environment, ServerBuilder, ServerCredentials};
use rustix::fs::{chmod, chown, Mode};

use super::{
    call::Caller,
    pool::Pool,
    services::{Images, Runtime},
    CriContext,
};
use crate::{
    bounded::InFlight,
    config::Config,
    owned,
    peer::{self, AtPath},
    proto::{image_service, runtime_service},
    threads::{self, Threads},
};

/// Completion queue threads: they only move messages; the handlers have threads of their own.
const QUEUE_THREADS: usize = 1;

/// The most calls whose messages are received at once: as many as grpcio takes by itself.
const MOST_RECEIVED: usize = 1024;

/// The fewest calls whose messages are received at once. A client that was stopped in the middle of sending
/// keeps its place until it goes on or is gone.
const LEAST_RECEIVED: usize = 8;

/// How long the answers of parked calls may take to leave at the daemon's end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why the CRI cannot be served.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum StartError {
    /// Somebody listens on the socket.
    #[error(
        "socket {0} is in use by another process; stop it, or give this daemon a socket of its own"
    )]
    InUse(PathBuf),
    /// What is at the socket's path is not a socket.
    #[error("{0} exists and is not a socket; remove it, or choose another path")]
    NotASocket(PathBuf),
    /// The path cannot be used.
    #[error("socket {path} cannot be used")]
    Path { path: PathBuf, source: io::Error },
    /// The group does not exist.
    #[error("group `{0}` of the socket does not exist on this machine")]
    NoGroup(String),
    /// A thread cannot be started.
    #[error("the handler threads cannot be started")]
    Threads(#[source] io::Error),
    /// gRPC refused.
    #[error("gRPC cannot serve on {path}")]
    Grpc {
        path: PathBuf,
        source: grpcio::Error,
    },
}

/// The running server.
pub struct Server {
    server: grpcio::Server,
    pool: Arc<Pool>,
    context: Arc<CriContext>,
    caller: Caller,
    socket: PathBuf,
    /// Its threads end when the last handle is gone.
    _environment: Arc<Environment>,
}

impl Server {
    /// Binds the socket (0660, the configured group) and serves.
    ///
    /// # Errors
    /// A socket that is in use or cannot be made.
    pub fn start(context: Arc<CriContext>, config: &Config) -> Result<Self, StartError> {
        let socket = config.daemon.socket.clone();
        clear_stale(&socket)?;
        let group = config
            .daemon
            .socket_group
            .as_deref()
            .map(group_id)
            .transpose()?;
        let threads = config.cri.handler_threads;
        let metrics = context.counters.metrics.pool("cri", Pool::size(threads));
        let pool = Pool::start(threads, config.cri.queue_length, metrics);
        let pool = Arc::new(pool.map_err(StartError::Threads)?);
        let in_flight = InFlight::new(config.limits.max_in_flight_bytes);
        let caller = Caller::new(pool.clone(), in_flight, context.counters.clone());
        let environment = Arc::new(
            EnvBuilder::new()
                .cq_count(QUEUE_THREADS)
                .name_prefix("grpc")
                .build(),
        );
        let limit = i32::try_from(config.cri.max_message_bytes).unwrap_or(i32::MAX);
        let arguments = ChannelBuilder::new(environment.clone())
            .max_receive_message_len(limit)
            .max_send_message_len(limit)
            .reuse_port(false)
            // It is for slow lines, and makes the first window of a call larger (see `received_at_once`).
            .http2_bdp_probe(false)
            .build_args();
        let failed = |source| StartError::Grpc {
            path: socket.clone(),
            source,
        };
        let mut server = ServerBuilder::new(environment.clone())
            .requests_slot_per_cq(received_at_once(config))
            .register_service(runtime_service(
                Arc::new(Runtime(context.clone())),
                caller.clone(),
            ))
            .register_service(image_service(
                Arc::new(Images(context.clone())),
                caller.clone(),
            ))
            .channel_args(arguments)
            .build()
            .map_err(failed)?;
        let unusable = |source| StartError::Path {
            path: socket.clone(),
            source,
        };
        // Nobody but the daemon's user may connect before owner and mode are right: it is made where nobody
        // else can go, and moved to its place then. The umask would be the whole process's.
        let workshop = Workshop::make(&socket).map_err(unusable)?;
        let fresh = workshop.0.join("s");
        server
            .add_listening_port(
                format!("unix:{}", fresh.display()),
                ServerCredentials::insecure(),
            )
            .map_err(failed)?;
        open_to_group(&fresh, group).map_err(unusable)?;
        fs::rename(&fresh, &socket).map_err(unusable)?;
        drop(workshop);
        server.start();
        Ok(Self {
            server,
            pool,
            context,
            caller,
            socket,
            _environment: environment,
        })
    }

    /// Stops accepting, lets calls in flight end, and removes the socket. Gives the names of the
    /// threads that had not ended at the deadline.
    pub fn stop(mut self, deadline: Instant) -> Vec<String> {
        let mut late = self.pool.stop(deadline);
        // Who waits for a stop asks again, and joins it: it is on disk.
        self.context.store.watches().end();
        let soon = Instant::now() + LAST_ANSWERS;
        self.caller.wait_for_answers(soon.min(deadline));
        // Ends what never ends by itself: event streams.
        self.server.cancel_all_calls();
        let shutdown = self.server.shutdown();
        // A thread, because the shutdown has no deadline of its own.
        let waiter = Threads::default();
        let waited = waiter.run("grpc-stop", move || {
            threads::point("grpc-stop");
            if let Err(error) = futures_executor::block_on(shutdown) {
                log::warn!(error:%; "gRPC did not shut down, and its calls end with the process");
            }
        });
        match waited {
            Ok(()) => late.extend(waiter.stop(deadline)),
            Err(error) => log::warn!(
                error:%;
                "cannot wait for gRPC to shut down, and its calls end with the process"
            ),
        }
        // gRPC removes it as well, in most versions.
        let _ = fs::remove_file(&self.socket);
        late
    }
}

/// How many calls' messages are received at once. gRPC keeps what has come of a message until it is whole, and
/// knows no bound for all of them together; of those that wait it takes no more than the first window of 64 KiB.
/// So what is being received takes no more memory than `limits.max_in_flight_bytes`, which what was received may
/// take again.
fn received_at_once(config: &Config) -> usize {
    let most = config.limits.max_in_flight_bytes / config.cri.max_message_bytes;
    most.clamp(LEAST_RECEIVED, MOST_RECEIVED) / QUEUE_THREADS
}

/// A directory beside the socket that only this process's user can enter; removed at the end.
struct Workshop(PathBuf);

impl Workshop {
    fn make(socket: &Path) -> io::Result<Self> {
        let directory = socket.with_file_name(".cri");
        match fs::remove_dir_all(&directory) {
            // A daemon that was killed in this moment has left it.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Self(directory))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // The next start removes it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes a socket that nobody listens on any more: a killed daemon leaves its own behind.
fn clear_stale(socket: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Path {
        path: socket.into(),
        source,
    };
    if let Some(directory) = socket.parent() {
        // Whatever the umask: whoever could write there could put a socket of theirs in this one's place.
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o755).create(directory);
        made.map_err(failed)?;
        owned::check_way(directory).map_err(failed)?;
    }
    match peer::socket_at(socket).map_err(failed)? {
        AtPath::Nothing => Ok(()),
        AtPath::NoSocket => Err(StartError::NotASocket(socket.into())),
        AtPath::Live => Err(StartError::InUse(socket.into())),
        AtPath::Dead => {
            log::info!(
                "removing socket {}, which nobody listens on",
                socket.display()
            );
            fs::remove_file(socket).map_err(failed)
        }
    }
}

fn open_to_group(socket: &Path, group: Option<rustix::fs::Gid>) -> io::Result<()> {
    if group.is_some() {
        chown(socket, None, group)?;
    }
    chmod(socket, Mode::from_raw_mode(0o660))?;
    Ok(())
}

/// The id of a group, by its name or as a number, from the group file.
fn group_id(name: &str) -> Result<rustix::fs::Gid, StartError> {
    let id = peer::group_id(name).ok_or_else(|| StartError::NoGroup(name.to_owned()))?;
    Ok(rustix::fs::Gid::from_raw(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_socket_is_cleared() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("deeper/cri.sock");
        clear_stale(&path).expect("nothing there");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("binds");
        assert!(matches!(clear_stale(&path), Err(StartError::InUse(_))));
        drop(listener);
        clear_stale(&path).expect("stale");
        assert!(!path.exists());
        fs::write(&path, "text").expect("writes");
        assert!(matches!(clear_stale(&path), Err(StartError::NotASocket(_))));
    }

    #[test]
    fn groups_by_name_or_number() {
        assert_eq!(group_id("root").expect("root").as_raw(), 0);
        assert_eq!(group_id("1234").expect("a number").as_raw(), 1234);
        assert!(matches!(
            group_id("no-such-group"),
            Err(StartError::NoGroup(_))
        ));
    }
}
