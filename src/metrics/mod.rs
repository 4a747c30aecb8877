//! The figures for Prometheus: what was counted and timed (`telemetry::Metrics`), gauges of what is on
//! record (`snapshot`), those of the process, and the listener that gives them out.
//!
//! It cannot hurt the daemon: one thread serves one request at a time, each with a deadline; a request
//! takes no lock for longer than a list does; a fault of its own is an error in the log.

mod document;
mod listener;
mod process;
mod snapshot;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::prometheus_text::{encode, CONTENT_TYPE},
    registry::Registry,
};

pub use self::{document::document, snapshot::Sources};
use self::{
    listener::{Answer, Listener},
    snapshot::Snapshot,
};
use crate::{
    config::metrics::Listen,
    threads::{self, contain, Threads},
};

/// Pause after a connection could not be accepted: out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(100);
/// A request that takes so long hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// The listener with its thread. Dropping it stops it.
pub struct MetricsServer {
    threads: Threads,
    listener: Arc<Listener>,
}

impl MetricsServer {
    /// Starts to listen; nothing for `off`.
    ///
    /// # Errors
    /// The address is taken or not to be had, or there is no thread.
    pub fn start(listen: &Listen, sources: Sources) -> io::Result<Option<Self>> {
        let Some(listener) = Listener::bind(listen)? else {
            return Ok(None);
        };
        let (listener, threads) = (Arc::new(listener), Threads::default());
        log::info!("metrics are served on {}/metrics", listener.address());
        let (accepting, stopped) = (listener.clone(), threads.stopped());
        let registry = registry(sources);
        let mut is_failing = false;
        threads.start("metrics", move || loop {
            let accepted = accepting.accept();
            threads::beat("metrics", LIMIT);
            let is_stopped = match accepted {
                Ok(mut stream) => {
                    is_failing = false;
                    let served =
                        contain(|| listener::serve(&mut stream, |path| answer(&registry, path)));
                    match served {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => {
                            log::debug!(error:%; "a request for metrics was not answered")
                        }
                        Err(panic) => {
                            log::error!("a request for metrics {panic}: a fault of interlink-cri")
                        }
                    }
                    stopped
                        .try_recv()
                        .is_err_and(|error| error.is_disconnected())
                }
                Err(error) => {
                    let is_over = stopped
                        .recv_timeout(PAUSE)
                        .is_err_and(|error| error.is_disconnected());
                    // Said once for each time that it begins; at the end the listener is closed.
                    if !is_over && !std::mem::replace(&mut is_failing, true) {
                        log::warn!(error:%; "a connection for metrics cannot be accepted, to be tried again");
                    }
                    is_over
                }
            };
            if is_stopped {
                return;
            }
            threads::idle();
        })?;
        Ok(Some(Self { threads, listener }))
    }

    /// Stops; gives the names of the threads that had not ended at the deadline.
    pub fn stop(&self, deadline: Instant) -> Vec<String> {
        self.threads.begin_stop();
        self.listener.close();
        self.threads.stop(deadline)
    }
}

/// All metrics.
fn registry(sources: Sources) -> Registry {
    let mut registry = Registry::default();
    sources.counters.metrics.register(&mut registry);
    registry.register_collector(Box::new(Snapshot::new(sources)));
    registry
}

fn answer(registry: &Registry, path: &str) -> Answer {
    if path != "/metrics" {
        return Answer::text("404 Not Found", "metrics are at /metrics");
    }
    let mut body = String::new();
    match encode(&mut body, registry) {
        Ok(()) => Answer {
            status: "200 OK",
            content_type: CONTENT_TYPE,
            body,
        },
        // Writing to a string does not fail; kept for form.
        Err(error) => Answer::text("500 Internal Server Error", &error.to_string()),
    }
}

#[cfg(test)]
mod tests;
