//! The threads that handle CRI calls: a fixed number, behind bounded queues. A full queue refuses
//! at once, so a flood costs neither memory nor threads.
//!
//! No kind of call takes all threads. What is said of one thing, from memory, needs none at all: gRPC's own
//! thread says it, because handing it over would take longer. Calls that read more of the memory have threads
//! and a queue of their own, so that they are answered while all others wait for disks. Those that touch what a pod names have a queue of
//! their own, and a quarter of the other threads, one at least, takes none of them: whatever hangs below
//! pods, they are stopped and removed.

use std::{
    io,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, never, select, Receiver, Sender, TrySendError};
use parking_lot::Mutex;

use crate::{
    telemetry::PoolMetrics,
    threads::{self, Threads},
};

/// No call waits for anybody; one that takes so long hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// One thread in so many more reads memory.
const READERS: usize = 4;
/// One thread in so many touches nothing that a pod names.
const RESERVED: usize = 4;

/// A piece of work, and since when it has waited.
type Work = (Instant, Box<dyn FnOnce() + Send>);

/// What a call may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Nothing, and it takes some microseconds however many pods there are: it is answered at once.
    None,
    /// Nothing: it is answered from memory.
    Memory,
    /// The state's disk.
    State,
    /// A file system that a pod names.
    Pod,
}

impl WaitsFor {
    /// That of an RPC, by its name.
    pub fn of(method: &str) -> Self {
        let reads = ["List", "Stream", "Get"];
        let is_read = reads.iter().any(|verb| method.starts_with(verb));
        match method {
            "Version" | "RuntimeConfig" | "PodSandboxStatus" | "ContainerStatus"
            | "ImageStatus" | "PodSandboxStats" | "ContainerStats" => Self::None,
            // With `verbose` it counts all pods.
            "Status" => Self::Memory,
            "CreateContainer" | "StartContainer" | "ReopenContainerLog" => Self::Pod,
            _ if is_read => Self::Memory,
            _ => Self::State,
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

struct Queues {
    memory: Sender<Work>,
    state: Sender<Work>,
    pod: Sender<Work>,
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
    /// of the queues holds `queue_length` calls.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(count: usize, queue_length: usize, metrics: PoolMetrics) -> io::Result<Self> {
        let threads = Threads::default();
        let (memory, memory_work) = bounded(queue_length);
        let (state, state_work) = bounded(queue_length);
        let (pod, pod_work) = bounded(queue_length);
        let start = |name: &'static str, number: usize, pods: Receiver<Work>, others| {
            let metrics = metrics.clone();
            threads.start(&format!("{name}-{number}"), move || {
                work_off(name, pods, others, &metrics);
            })
        };
        for number in 0..count.div_ceil(READERS).max(1) {
            start("cri-read", number, never(), memory_work.clone())?;
        }
        // A single thread does everything.
        let reserved = if count > 1 {
            count.div_ceil(RESERVED)
        } else {
            0
        };
        for number in 0..count.max(1) {
            let pods = match number < reserved {
                true => never(),
                false => pod_work.clone(),
            };
            start("cri", number, pods, state_work.clone())?;
        }
        Ok(Self {
            threads,
            queues: Mutex::new(Some(Queues { memory, state, pod })),
            metrics,
        })
    }

    /// Hands over work that does not panic, or refuses it at once. What waits for nothing is done here.
    ///
    /// # Errors
    /// [`Full`].
    pub fn hand_over(
        &self,
        waits_for: WaitsFor,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), Full> {
        let queue = {
            let queues = self.queues.lock();
            let queues = queues.as_ref().ok_or(Full)?;
            match waits_for {
                WaitsFor::None => None,
                WaitsFor::Memory => Some(queues.memory.clone()),
                WaitsFor::State => Some(queues.state.clone()),
                WaitsFor::Pod => Some(queues.pod.clone()),
            }
        };
        let Some(queue) = queue else {
            work();
            return Ok(());
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

/// Takes work from two queues until both are closed and empty; one that nothing comes from counts as closed
/// when the other one is.
fn work_off(
    name: &'static str,
    mut pods: Receiver<Work>,
    others: Receiver<Work>,
    metrics: &PoolMetrics,
) {
    let do_it = |(since, work): Work| {
        let _busy = metrics.begun(since.elapsed());
        threads::beat(name, LIMIT);
        work();
        threads::idle();
    };
    loop {
        select! {
            recv(others) -> work => match work {
                Ok(work) => do_it(work),
                Err(_) => break,
            },
            recv(pods) -> work => match work {
                Ok(work) => do_it(work),
                Err(_) => pods = never(),
            },
        }
    }
    // Both are closed at once, and of this one something may be left; `never` gives nothing at once.
    pods.try_iter().for_each(do_it);
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
        pool.hand_over(WaitsFor::State, move || {
            began.send(()).expect("heard");
            let _ = held.recv();
            first.send(1).expect("heard");
        })
        .expect("the thread is idle");
        begun.recv_timeout(Duration::from_secs(5)).expect("began");
        pool.hand_over(WaitsFor::State, move || finished.send(2).expect("heard"))
            .expect("one may wait");
        assert_eq!(pool.hand_over(WaitsFor::State, || {}), Err(Full));
        let (read, answers) = bounded(1);
        pool.hand_over(WaitsFor::Memory, move || read.send(()).expect("heard"))
            .expect("it has a queue of its own");
        answers
            .recv_timeout(Duration::from_secs(5))
            .expect("and a thread");
        drop(release);
        assert!(pool
            .stop(Instant::now() + Duration::from_secs(5))
            .is_empty());
        assert_eq!(results.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(pool.hand_over(WaitsFor::State, || {}), Err(Full));
    }

    #[test]
    fn what_only_reads_memory_has_threads_of_its_own() {
        for method in ["Version", "ContainerStatus", "PodSandboxStats"] {
            assert_eq!(WaitsFor::of(method), WaitsFor::None, "{method}");
        }
        for method in ["Status", "ListContainers", "GetContainerEvents"] {
            assert_eq!(WaitsFor::of(method), WaitsFor::Memory, "{method}");
        }
        for method in ["StopContainer", "RemovePodSandbox", "ImageFsInfo", "Other"] {
            assert_eq!(WaitsFor::of(method), WaitsFor::State, "{method}");
        }
        for method in ["CreateContainer", "StartContainer", "ReopenContainerLog"] {
            assert_eq!(WaitsFor::of(method), WaitsFor::Pod, "{method}");
        }
    }

    #[test]
    fn what_touches_pods_takes_neither_all_threads_nor_the_queue_of_others() {
        for count in [2, 5, 8] {
            let metrics = Metrics::default().pool("cri", count);
            let pool = Pool::start(count, 2, metrics).expect("starts");
            let (release, held) = bounded::<()>(0);
            let (began, begun) = bounded(count);
            let (mut refused, mut stuck) = (0, 0);
            while refused == 0 {
                let (began, held) = (began.clone(), held.clone());
                let call = move || {
                    began.send(()).expect("heard");
                    let _ = held.recv();
                };
                match pool.hand_over(WaitsFor::Pod, call) {
                    Ok(()) => {
                        stuck += usize::from(begun.recv_timeout(Duration::from_millis(300)).is_ok())
                    }
                    Err(Full) => refused += 1,
                }
            }
            assert_eq!(stuck, count - count.div_ceil(RESERVED), "{count}");
            let (answer, answers) = bounded(1);
            pool.hand_over(WaitsFor::State, move || answer.send(()).expect("heard"))
                .expect("it has a queue of its own");
            let answered = answers.recv_timeout(Duration::from_secs(5));
            answered.expect("and a thread that is left to it");
            drop(release);
            assert!(pool
                .stop(Instant::now() + Duration::from_secs(5))
                .is_empty());
        }
    }
}
