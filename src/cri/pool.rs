//! The threads that handle CRI calls: a fixed number, behind a bounded queue. A full queue refuses
//! at once, so a flood costs neither memory nor threads.

use std::{
    io,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, Sender, TrySendError};
use parking_lot::Mutex;

type Work = Box<dyn FnOnce() + Send>;

/// The handler threads.
pub struct Pool {
    queue: Mutex<Option<Sender<Work>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The queue is full, or the pool has stopped.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(threads: usize, queue_length: usize) -> io::Result<Self> {
        let (queue, work) = bounded::<Work>(queue_length);
        let spawn = |number| {
            let work = work.clone();
            let body = move || work.into_iter().for_each(|work| work());
            std::thread::Builder::new()
                .name(format!("cri-{number}"))
                .spawn(body)
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<io::Result<_>>()?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            threads: Mutex::new(threads),
        })
    }

    /// Hands over work that does not panic, or refuses it at once.
    ///
    /// # Errors
    /// [`Full`].
    pub fn hand_over(&self, work: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let queue = self.queue.lock().clone().ok_or(Full)?;
        match queue.try_send(Box::new(work)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Full),
        }
    }

    /// Takes nothing more, and waits for what is under way; true when all of it ended in time.
    pub fn stop(&self, deadline: Instant) -> bool {
        drop(self.queue.lock().take());
        for thread in self.threads.lock().drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            if !thread.is_finished() {
                return false;
            }
            if thread.join().is_err() {
                log::error!("a CRI handler thread panicked");
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_at_once_and_a_stop_finishes_what_it_took() {
        let pool = Pool::start(1, 1).expect("starts");
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
        assert!(pool.stop(Instant::now() + Duration::from_secs(5)));
        assert_eq!(results.try_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(pool.hand_over(|| {}), Err(Full));
    }
}
