//! The threads that handle CRI calls: a fixed number, behind bounded queues. A full queue refuses
//! at once, so a flood costs neither memory nor threads.
//!
//! Calls that only read memory have threads and a queue of their own, so that they are answered while all
//! others wait for disks.

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

/// One thread in so many more reads memory.
const READERS: usize = 4;

/// A piece of work, and since when it has waited.
type Work = (Instant, Box<dyn FnOnce() + Send>);

/// What a call may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Nothing: it is answered from memory.
    Memory,
    /// The state's disk, or a file system that a pod names.
    Disk,
}

impl Lane {
    /// The lane of an RPC, by its name.
    pub fn of(method: &str) -> Self {
        let reads = ["List", "Stream", "Get"];
        let is_read = reads.iter().any(|verb| method.starts_with(verb));
        match method {
            "Version" | "Status" | "RuntimeConfig" | "PodSandboxStatus" | "ContainerStatus"
            | "ImageStatus" | "PodSandboxStats" | "ContainerStats" => Self::Memory,
            _ if is_read => Self::Memory,
            _ => Self::Disk,
        }
    }
}

/// The handler threads.
pub struct Pool {
    // Before the queue, so that they may end when both are dropped.
    threads: Threads,
    queues: Mutex<Option<Queues>>,
    metrics: PoolMetrics,
}

#[derive(Clone)]
struct Queues {
    memory: Sender<Work>,
    disk: Sender<Work>,
}

/// The queue is full, or the pool has stopped.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Pool {
    /// How many threads a pool has of which `count` are for calls that may touch a disk.
    pub fn size(count: usize) -> usize {
        count.max(1) + count.div_ceil(READERS).max(1)
    }

    /// Starts the threads: `count` for calls that may touch a disk, and some for those that do not. Each
    /// of the two queues holds `queue_length` calls.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(count: usize, queue_length: usize, metrics: PoolMetrics) -> io::Result<Self> {
        let threads = Threads::default();
        let lane = |name: &'static str, count: usize| -> io::Result<Sender<Work>> {
            let (queue, work) = bounded::<Work>(queue_length);
            for number in 0..count.max(1) {
                let (work, metrics) = (work.clone(), metrics.clone());
                threads.start(&format!("{name}-{number}"), move || {
                    for (since, work) in work {
                        let _busy = metrics.begun(since.elapsed());
                        threads::beat(name, LIMIT);
                        work();
                        threads::idle();
                    }
                })?;
            }
            Ok(queue)
        };
        let queues = Queues {
            memory: lane("cri-read", count.div_ceil(READERS))?,
            disk: lane("cri", count)?,
        };
        Ok(Self {
            threads,
            queues: Mutex::new(Some(queues)),
            metrics,
        })
    }

    /// Hands over work that does not panic, or refuses it at once.
    ///
    /// # Errors
    /// [`Full`].
    pub fn hand_over(&self, lane: Lane, work: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let queues = self.queues.lock().clone().ok_or(Full)?;
        let queue = match lane {
            Lane::Memory => queues.memory,
            Lane::Disk => queues.disk,
        };
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
        drop(self.queues.lock().take());
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
        pool.hand_over(Lane::Disk, move || {
            began.send(()).expect("heard");
            let _ = held.recv();
            first.send(1).expect("heard");
        })
        .expect("the thread is idle");
        begun.recv_timeout(Duration::from_secs(5)).expect("began");
        pool.hand_over(Lane::Disk, move || finished.send(2).expect("heard"))
            .expect("one may wait");
        assert_eq!(pool.hand_over(Lane::Disk, || {}), Err(Full));
        let (read, answers) = bounded(1);
        pool.hand_over(Lane::Memory, move || read.send(()).expect("heard"))
            .expect("it has a queue of its own");
        answers
            .recv_timeout(Duration::from_secs(5))
            .expect("and a thread");
        drop(release);
        assert!(pool
            .stop(Instant::now() + Duration::from_secs(5))
            .is_empty());
        assert_eq!(results.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(pool.hand_over(Lane::Disk, || {}), Err(Full));
    }

    #[test]
    fn what_only_reads_memory_has_a_lane_of_its_own() {
        for method in ["Version", "Status", "ListContainers", "GetContainerEvents"] {
            assert_eq!(Lane::of(method), Lane::Memory, "{method}");
        }
        for method in ["CreateContainer", "StartContainer", "ImageFsInfo", "Other"] {
            assert_eq!(Lane::of(method), Lane::Disk, "{method}");
        }
    }
}
