//! Name resolution with a time limit. The resolver of the C library has none of its own that
//! one could set, so it runs on a thread, which ends by itself.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::threads::{self, Threads};

/// A look-up that takes longer hangs; whoever waited for it has given up.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks up one host. There is at most one look-up at a time, whoever asks: while a resolver
/// hangs, threads do not pile up.
#[derive(Debug)]
pub(super) struct NameResolver {
    host: String,
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Look-ups begun and ended; they differ by one while one runs.
    begun: u64,
    ended: u64,
    /// What the last one that ended found.
    last: Option<Result<Vec<SocketAddr>, (io::ErrorKind, String)>>,
}

impl NameResolver {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            shared: Arc::default(),
        }
    }

    /// The host's addresses; `None` when the deadline passes first.
    ///
    /// # Errors
    /// What the resolver says, or that no thread can be started.
    pub(super) fn look_up(&self, deadline: Option<Instant>) -> io::Result<Option<Vec<SocketAddr>>> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(Some(vec![SocketAddr::new(ip, self.port)]));
        }
        let mut state = self.shared.state.lock();
        if state.begun == state.ended {
            self.begin()?;
            state.begun += 1;
        }
        let mine = state.begun;
        while state.ended < mine {
            match deadline {
                None => self.shared.done.wait(&mut state),
                Some(at) => {
                    if self.shared.done.wait_until(&mut state, at).timed_out() {
                        break;
                    }
                }
            }
        }
        if state.ended < mine {
            return Ok(None);
        }
        match &state.last {
            Some(Ok(found)) => Ok(Some(found.clone())),
            Some(Err((kind, text))) => Err(io::Error::new(*kind, text.clone())),
            // Not reached: a look-up that ended has left its result.
            None => Ok(None),
        }
    }

    fn begin(&self) -> io::Result<()> {
        let shared = self.shared.clone();
        let host = self.host.clone();
        let port = self.port;
        // Nobody waits for its end, because nothing makes a resolver come back.
        Threads::default().run("resolve", move || {
            threads::beat("resolve", LIMIT);
            let found = (host.as_str(), port)
                .to_socket_addrs()
                .map(Vec::from_iter)
                .map_err(|error| (error.kind(), error.to_string()));
            let mut state = shared.state.lock();
            state.last = Some(found);
            state.ended += 1;
            shared.done.notify_all();
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(20))
    }

    #[test]
    fn addresses_need_no_look_up() {
        for (host, want) in [("127.0.0.1", "127.0.0.1:7"), ("::1", "[::1]:7")] {
            let resolver = NameResolver::new(host, 7);
            let found = resolver.look_up(soon()).unwrap().unwrap();
            assert_eq!(found, [want.parse().unwrap()], "{host}");
            assert_eq!(resolver.shared.state.lock().begun, 0, "{host}: no thread");
        }
    }

    #[test]
    fn names_are_looked_up_again_each_time() {
        let resolver = NameResolver::new("localhost", 7);
        for round in 1..=2 {
            let found = resolver.look_up(soon()).unwrap().unwrap();
            assert!(found.iter().all(|a| a.ip().is_loopback()), "{found:?}");
            assert_eq!(resolver.shared.state.lock().ended, round);
        }
    }

    #[test]
    fn unknown_names_and_late_answers() {
        // Too long for a label, so that no name server is asked.
        let resolver = NameResolver::new(&"x".repeat(70), 7);
        assert!(resolver.look_up(soon()).is_err());

        // As when the resolver hangs: a look-up has begun and does not end.
        resolver.shared.state.lock().begun += 1;
        let late = resolver.look_up(Some(Instant::now() + Duration::from_millis(5)));
        assert!(late.unwrap().is_none());
        assert_eq!(resolver.shared.state.lock().begun, 2, "no second thread");
    }
}
