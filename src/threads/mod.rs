//! The one way to start a thread: it has a name and an owner, and it cannot die unseen.
//!
//! - **Owner.** A [`Threads`] starts threads, tells them to stop, and waits for them with a deadline;
//!   it names those that are late.
//! - **Loops.** [`Threads::start`] is for a thread that works until it is told to stop. When it panics
//!   or returns earlier, somebody's work is not done any more, and nobody would notice: pods that wait
//!   for ever look like pods that wait. So the process ends: one line in the log, exit code
//!   [`EXIT_CODE`], and systemd starts it again. All that was acknowledged is on disk by then, and what
//!   is owed to each pod is worked out again from there.
//! - **Pieces of work.** [`Threads::run`] is for a thread that ends by itself. It may return, not panic.
//! - **Calls.** Where somebody waits for an answer, a panic can be the answer: [`contain`] gives it as an
//!   error, and whoever called it logs it and answers with it. One request that cannot be handled then
//!   fails again and again, and the pods of all others go on.
//! - **Heartbeats.** A loop says until when it comes back ([`beat`]), so one that hangs is seen ([`late`]).
//! - **Everybody else's threads.** [`end_process_on_panic`] covers the main thread and those that
//!   libraries start.

mod failpoint;
mod heartbeat;
mod panics;
mod pulse;

use std::{
    io,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::Builder,
    time::Instant,
};

use crossbeam_channel::{bounded, Receiver, Sender};
use parking_lot::{Condvar, Mutex};

pub use self::{
    failpoint::{fault, point},
    heartbeat::{beat, watch},
    panics::{all_or_end, contain, end_process_on_panic, working_on, Panic, EXIT_CODE, LAST_LINE},
    pulse::{idle, late, Late},
};

/// Threads that have one owner. Dropping it lets them end, and waits for none.
pub struct Threads {
    shared: Arc<Shared>,
    /// Closed when the threads are to stop; nothing is ever sent.
    stop: Mutex<Option<Sender<()>>>,
    stopped: Receiver<()>,
}

#[derive(Default)]
struct Shared {
    may_end: AtomicBool,
    /// Names of the threads that have not ended.
    running: Mutex<Vec<String>>,
    /// Notified whenever one has ended.
    ended: Condvar,
}

impl Default for Threads {
    fn default() -> Self {
        let (stop, stopped) = bounded(0);
        Self {
            shared: Arc::default(),
            stop: Mutex::new(Some(stop)),
            stopped,
        }
    }
}

impl Threads {
    /// Starts a thread that works until it is told to stop. If it ends earlier, so does the process.
    /// The kernel keeps the first 15 bytes of a name.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(&self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.spawn(Builder::new(), name, Ends::WhenTold, body)
    }

    /// The same, with a stack of another size than the usual one.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start_with_stack(
        &self,
        name: &str,
        stack_bytes: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let builder = Builder::new().stack_size(stack_bytes);
        self.spawn(builder, name, Ends::WhenTold, body)
    }

    /// Starts a thread for one piece of work, after which it ends.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn run(&self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.spawn(Builder::new(), name, Ends::ByItself, body)
    }

    /// The same, with a stack of another size than the usual one.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn run_with_stack(
        &self,
        name: &str,
        stack_bytes: usize,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let builder = Builder::new().stack_size(stack_bytes);
        self.spawn(builder, name, Ends::ByItself, body)
    }

    fn spawn(
        &self,
        builder: Builder,
        name: &str,
        ends: Ends,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let body = failpoint::instead_of(name, body);
        let (shared, own_name) = (self.shared.clone(), name.to_owned());
        let guarded = move || {
            pulse::register(&own_name);
            // The hook of `end_process_on_panic` does not come back from a panic. Here arrive those of
            // a process that has not installed it: tests, benchmarks, and other programs.
            let result = catch_unwind(AssertUnwindSafe(body));
            if let Err(payload) = result {
                panics::end_process(&own_name, &panics::text_of(&*payload));
            }
            if ends == Ends::WhenTold && !shared.may_end.load(Ordering::SeqCst) {
                panics::end_process(&own_name, "it ended although nobody told it to stop");
            }
            shared.has_ended(&own_name);
        };
        self.shared.running.lock().push(name.to_owned());
        let started = builder.name(name.to_owned()).spawn(guarded);
        if started.is_err() {
            self.shared.has_ended(name);
        }
        // Nobody joins it: what it owned is dropped before it counts as ended.
        started.map(drop)
    }

    /// Closed when the threads are to stop. A loop that waits for several things waits for this one
    /// too.
    pub fn stopped(&self) -> Receiver<()> {
        self.stopped.clone()
    }

    /// Tells the threads to stop: from now on they may end. Comes before anything else that makes them
    /// end, such as closing the channel that they read.
    pub fn begin_stop(&self) {
        self.shared.may_end.store(true, Ordering::SeqCst);
        drop(self.stop.lock().take());
    }

    /// Tells the threads to stop, and waits until they have; gives the names of those that have not
    /// at the deadline.
    pub fn stop(&self, deadline: Instant) -> Vec<String> {
        self.begin_stop();
        let mut running = self.shared.running.lock();
        while !running.is_empty() {
            let waited = self.shared.ended.wait_until(&mut running, deadline);
            if waited.timed_out() {
                break;
            }
        }
        running.clone()
    }

    /// Tells the threads to stop, and waits until they have, however long that takes.
    pub fn join(&self) {
        self.begin_stop();
        let mut running = self.shared.running.lock();
        while !running.is_empty() {
            self.shared.ended.wait(&mut running);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

impl Shared {
    fn has_ended(&self, name: &str) {
        let mut running = self.running.lock();
        if let Some(at) = running.iter().position(|other| other == name) {
            running.swap_remove(at);
        }
        self.ended.notify_all();
    }
}

/// When a thread may return.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    WhenTold,
    ByItself,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn all_end_when_they_are_told_and_the_late_are_named() {
        let threads = Threads::default();
        let (release, held) = bounded::<()>(0);
        for number in 0..2 {
            let stopped = threads.stopped();
            let name = format!("quick-{number}");
            threads
                .start(&name, move || assert!(stopped.recv().is_err()))
                .unwrap();
        }
        let late = move || assert!(held.recv().is_err());
        threads.start_with_stack("late", 64 << 10, late).unwrap();
        assert_eq!(threads.stop(soon() - Duration::from_secs(19)), ["late"]);
        drop(release);
        assert!(threads.stop(soon()).is_empty());
        threads.join();
    }

    #[test]
    fn a_piece_of_work_ends_by_itself_and_drops_what_it_owned() {
        let threads = Threads::default();
        let owned = Arc::new(());
        let inner = owned.clone();
        threads.run("piece", move || drop(inner)).unwrap();
        assert!(threads.stop(soon()).is_empty());
        assert_eq!(Arc::strong_count(&owned), 1);
    }

    #[test]
    fn a_dropped_owner_lets_its_threads_end() {
        let threads = Threads::default();
        let stopped = threads.stopped();
        let (alive, ended) = bounded::<()>(0);
        threads
            .start("loop", move || {
                assert!(stopped.recv().is_err());
                drop(alive);
            })
            .unwrap();
        drop(threads);
        assert!(ended
            .recv_deadline(soon())
            .is_err_and(|e| e.is_disconnected()));
    }
}
