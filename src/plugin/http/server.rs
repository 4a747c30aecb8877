//! The server: accepting connections, and serving each in a thread of its own.

use std::{
    collections::HashMap,
    io::Read as _,
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    error::Error,
    limits::Limits,
    listen::{ListenAddress, Listener},
    reader::Reader,
    request::{Failure, Request},
    respond::Responder,
    stop::StopSignal,
    stream::Stream,
};
use crate::threads::{self, Threads};

/// The answer to a request whose handler panicked: none of the words that a refusal has. What it was
/// doing may be done in part, and a client takes a 500 with words for a refusal, one without for doubt.
const HANDLER_FAILED: &str = "";

type Handler = dyn Fn(Request, Responder) + Send + Sync;

/// A server that runs. Dropping it stops it.
pub struct Server {
    shared: Arc<Shared>,
    address: ListenAddress,
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
        address: &ListenAddress,
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
    pub fn address(&self) -> &ListenAddress {
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
            log::warn!(
                "cannot stop listening on {}: {error}; the thread `http-accept` ends with the next \
                 connection",
                self.address
            );
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
        let accepted = threads::fault("accept").and(accepted);
        threads::point("http-accept");
        if shared.stop.is_stopped() {
            break;
        }
        match accepted {
            Ok(stream) => admit(shared, stream),
            Err(error) => {
                // Out of descriptors, most likely; without a pause this would spin.
                log::warn!("cannot accept a connection: {error}; the server tries again in 100 ms");
                shared.stop.wait(Duration::from_millis(100));
            }
        }
    }
    shared.threads.join();
}

fn admit(shared: &Arc<Shared>, stream: Stream) {
    if !stream.is_permitted() {
        log::warn!(
            "a connection of {} is closed: only root and this process's own user may connect",
            stream.peer()
        );
        return;
    }
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
        log::warn!("cannot start a thread for a connection: {error}; it is closed unanswered");
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
    let peer = stream.peer();
    loop {
        let request = match reader.next() {
            Ok(request) => Request {
                peer: peer.clone(),
                ..request
            },
            Err(Failure::Gone) => return,
            Err(Failure::Refused(status, text)) => return refuse(shared, stream, status, &text),
        };
        let responder = Responder::new(&request, stream, &shared.stop);
        let progress = responder.progress();
        let (method, target) = (request.method.clone(), request.target.clone());
        threads::point("http");
        // Only this request fails: the client makes it again, and ending the process would end the
        // answers to all others each time.
        let handled = threads::contain(|| (shared.handler)(request, responder));
        if let Err(panic) = handled {
            if !progress.has_begun() {
                log::error!("the handler of {method} {target} {panic}; it is answered 500");
                return refuse(shared, stream, 500, HANDLER_FAILED);
            }
            log::error!("the handler of {method} {target} {panic}; the connection is closed");
        }
        if !progress.is_reusable() || shared.stop.is_stopped() {
            stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Answers what is no request, or what no handler answers, and reads on for a moment: closing over unread bytes would
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
