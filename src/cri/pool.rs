//! The threads that handle CRI calls: a fixed number, behind a bounded queue. A full queue refuses
//! at once, so a flood costs neither memory nor threads.

use std::{
    io,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, Sender, TrySendError};
use parking_lot::Mutex;

use crate::{
    telemetry::PoolMetrics,
    threads::{self, Threads},
};

/// No call waits for anybody; one that takes so long hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// A piece of work, and since when it has waited.
type Work = (Instant, Box<dyn FnOnce() + Send>);

/// The handler threads.
pub struct Pool {
    // Before the queue, so that they may end when both are dropped.
    threads: Threads,
    queue: Mutex<Option<Sender<Work>>>,
    metrics: PoolMetrics,
}

/// The queue is full, or the pool has stopped.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(count: usize, queue_length: usize, metrics: PoolMetrics) -> io::Result<Self> {
        let (queue, work) = bounded::<Work>(queue_length);
        let threads = Threads::default();
        for number in 0..count.max(1) {
            let (work, metrics) = (work.clone(), metrics.clone());
            threads.start(&format!("cri-{number}"), move || {
                for (since, work) in work {
                    let _busy = metrics.begun(since.elapsed());
                    threads::beat("cri", LIMIT);
                    work();
                    threads::idle();
                }
            })?;
        }
        Ok(Self {
            threads,
            queue: Mutex::new(Some(queue)),
            metrics,
        })
    }

    /// Hands over work that does not panic, or refuses it at once.
    ///
    /// # Errors
    /// [`Full`].
    pub fn hand_over(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let queue = self.queue.lock().clone().ok_or(Full)?;
        self.metrics.enqueued();
        match queue.try_send((Instant::now(), Box::new(work))) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.refused();
                Err(Full)
            }
        }
    }

    /// Takes nothing more, and waits for what is under way; gives the names of the threads that were
    /// not done at the deadline.
    pub fn stop(&self, deadline: Instant) -> Vec<String> {
        self.threads.begin_stop();
        drop(self.queue.lock().take());
        self.threads.stop(deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_full_queue_refuses_at_once_and_a_stop_finishes_what_it_took() {
        let metrics = Metrics::default().pool("cri", 1);
        let pool = Pool::start(1, 1, metrics).expect("starts");
        let (release, held) = bounded::<()>(0);
        let (began, begun) = bounded(1);
        let (finished, results) = bounded(8);
        let first = finished.clone();
        pool.hand_over(move || {
            began.send(()).expect("heard");
            let _ = held.recv();
            first.send(1).expect("heard");
        })
        .expect("the thread is idle");
        begun.recv_timeout(Duration::from_secs(5)).expect("began");
        pool.hand_over(move || finished.send(2).expect("heard"))
            .expect("one may wait");
        assert_eq!(pool.hand_over(|| {}), Err(Full));
        drop(release);
        assert!(pool
            .stop(Instant::now() + Duration::from_secs(5))
            .is_empty());
        assert_eq!(results.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(pool.hand_over(|| {}), Err(Full));
    }
}
