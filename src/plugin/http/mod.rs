//! A small blocking HTTP/1.1 server: one thread a connection, a cap on connections, limits on
//! everything that a client can make long. It serves the local plugin, and the fake interLink
//! servers of the tests, which is why a handler may do more than answer: a [`Responder`] can
//! wait, hang up before or amid its answer, send what is no HTTP, and stream without end.
//!
//! It never panics on what it reads, and it ends: [`Server::stop`] cuts every connection and
//! joins every thread. A handler that waits must wait through [`Responder::pause`].

mod listen;
mod request;
mod respond;
mod stop;

use std::{
    collections::HashMap,
    io::{self, Read as _},
    net::Shutdown,
    path::PathBuf,
    sync::{atomic::Ordering, Arc},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::threads::{self, Threads};

use self::{
    listen::{Listener, Stream},
    request::{Failure, Reader},
    stop::StopSignal,
};

pub use self::{
    listen::Address,
    request::Request,
    respond::{BodyWriter, Responder},
};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be read.
    #[error("`{text}` is no address to listen on: {why}")]
    Address {
        /// As given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A server answers on that socket already.
    #[error("another server listens on {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No thread for it.
    #[error("cannot start the thread `{name}`")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// What a client can make the server keep or wait for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; one more is answered 503 and closed.
    pub connections: usize,
    /// Bytes of a request's line and headers.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// How long a connection may rest between two requests.
    pub idle: Duration,
    /// How long a request may take to arrive.
    pub request: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head_bytes: 32 << 10,
            body_bytes: 32 << 20,
            idle: Duration::from_secs(30),
            request: Duration::from_secs(60),
            write: Duration::from_secs(30),
        }
    }
}

type Handler = dyn Fn(Request, Responder) + Send + Sync;

/// A server that runs. Dropping it stops it.
pub struct Server {
    shared: Arc<Shared>,
    address: Address,
    acceptor: Threads,
}

struct Shared {
    listener: Listener,
    limits: Limits,
    handler: Box<Handler>,
    stop: Arc<StopSignal>,
    connections: Mutex<Connections>,
    threads: Threads,
}

#[derive(Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, Arc<Stream>>,
}

impl Server {
    /// Starts to listen, and hands every request to `handler`, each connection's in its own
    /// thread.
    ///
    /// # Errors
    /// The address is taken or not to be had, or there is no thread.
    pub fn start(
        address: &Address,
        limits: Limits,
        handler: impl Fn(Request, Responder) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let listener = Listener::bind(address)?;
        let address = listener.address().map_err(|source| Error::Bind {
            address: address.to_string(),
            source,
        })?;
        let shared = Arc::new(Shared {
            listener,
            limits,
            handler: Box::new(handler),
            stop: Arc::default(),
            connections: Mutex::default(),
            threads: Threads::default(),
        });
        let name = "http-accept";
        let acceptor = Threads::default();
        acceptor
            .start(name, {
                let shared = Arc::clone(&shared);
                move || accept(&shared)
            })
            .map_err(|source| Error::Thread { name, source })?;
        Ok(Self {
            shared,
            address,
            acceptor,
        })
    }

    /// Where it listens, with the true port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Stops: no new connections, open ones are cut, handlers that pause are woken, and all
    /// threads have ended when this returns. Safe to call again.
    pub fn stop(&mut self) {
        if self.shared.stop.is_stopped() {
            return;
        }
        self.acceptor.begin_stop();
        self.shared.stop.stop();
        if let Err(error) = self.shared.listener.close() {
            log::warn!("cannot stop listening on {}: {error}", self.address);
        }
        for stream in self.shared.connections.lock().open.values() {
            stream.shutdown(Shutdown::Both);
        }
        self.acceptor.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Accepts until told to stop, then waits for the connections' threads.
fn accept(shared: &Arc<Shared>) {
    loop {
        let accepted = shared.listener.accept();
        threads::point("http-accept");
        if shared.stop.is_stopped() {
            break;
        }
        match accepted {
            Ok(stream) => admit(shared, stream),
            Err(error) => {
                // Out of descriptors, most likely; without a pause this would spin.
                log::warn!("cannot accept a connection: {error}");
                shared.stop.wait(Duration::from_millis(100));
            }
        }
    }
    shared.threads.join();
}

fn admit(shared: &Arc<Shared>, stream: Stream) {
    let stream = Arc::new(stream);
    if stream.limit_writes(shared.limits.write).is_err() {
        return;
    }
    let Some(number) = shared.enter(&stream) else {
        return refuse(shared, &stream, 503, "too many connections");
    };
    let served = Arc::clone(shared);
    let started = shared.threads.run(&format!("http-{number}"), move || {
        serve(&served, &stream);
        served.leave(number);
    });
    if let Err(error) = started {
        log::warn!("cannot start a thread for a connection: {error}; it is closed");
        shared.leave(number);
    }
}

impl Shared {
    fn enter(&self, stream: &Arc<Stream>) -> Option<u64> {
        let mut connections = self.connections.lock();
        // Looked at under the lock that `stop` takes to cut what is open: a connection is
        // either refused here or cut there.
        if connections.open.len() >= self.limits.connections || self.stop.is_stopped() {
            return None;
        }
        let number = connections.next;
        connections.next += 1;
        connections.open.insert(number, Arc::clone(stream));
        Some(number)
    }

    fn leave(&self, number: u64) {
        self.connections.lock().open.remove(&number);
    }
}

/// Serves one connection to its end.
fn serve(shared: &Shared, stream: &Arc<Stream>) {
    let mut reader = Reader::new(stream, &shared.limits);
    loop {
        let request = match reader.next() {
            Ok(request) => request,
            Err(Failure::Gone) => return,
            Err(Failure::Refused(status, text)) => return refuse(shared, stream, status, &text),
        };
        let responder = Responder::new(&request, stream, &shared.stop);
        let reusable = responder.reusable();
        let (method, target) = (request.method.clone(), request.target.clone());
        threads::point("http");
        // Only this request fails: the client makes it again, and ending the process would end the
        // answers to all others each time.
        let handled = threads::contain(|| (shared.handler)(request, responder));
        if let Err(panic) = handled {
            log::error!("the handler of {method} {target} {panic}; the connection is closed");
        }
        if !reusable.load(Ordering::Relaxed) || shared.stop.is_stopped() {
            stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Answers what is no request, and reads on for a moment: closing over unread bytes would
/// take the answer from the client with a reset.
fn refuse(shared: &Shared, stream: &Arc<Stream>, status: u16, text: &str) {
    let request = Request {
        headers: vec![("connection".to_owned(), "close".to_owned())],
        ..Request::default()
    };
    if Responder::new(&request, stream, &shared.stop)
        .text(status, text)
        .is_err()
    {
        return;
    }
    stream.shutdown(Shutdown::Write);
    let end = Instant::now() + Duration::from_millis(200);
    let mut sink = [0_u8; 16 * 1024];
    while Instant::now() < end && !shared.stop.is_stopped() {
        let limited = stream.limit_reads(end.saturating_duration_since(Instant::now()));
        if limited.is_err() || !matches!((&**stream).read(&mut sink), Ok(1..)) {
            break;
        }
    }
    stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests;
