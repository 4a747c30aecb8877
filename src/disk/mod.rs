//! Calls to file systems that pods have a part in: host paths, volumes, log directories. Any of them
//! may lie on a mount that never answers, and a thread that touches it never comes back.
//!
//! - **Threads of their own.** A call runs on a `disk-N` thread; who makes it waits until the deadline, and
//!   gets [`Hung`] then, with the path. The thread stays where it is until the file system answers.
//! - **One for each pod.** While a pod's call is stuck, its next ones get [`Hung`] at once: one pod can
//!   hold up one thread, and one caller for the length of one deadline.
//! - **Bounded.** There are at most [`MOST`] threads. They start when they are needed, and those that
//!   have nothing to do end, but for a few.
//!
//! Files that pods name are also closed here ([`Disk::leave`]): that writes what is still to be written.

mod slots;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use parking_lot::{Condvar, Mutex};

pub use self::slots::MOST;
use self::slots::{Job, Next, Place, State, Work};
use crate::threads::{self, Threads};

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(30);
/// The deadline that the configuration has unless it says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// A file system has not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} has not answered within {deadline:?}: the file system there hangs; until it answers, whatever \
     else of this pod needs its disks is refused",
    path.display()
)]
pub struct Hung {
    /// What was touched.
    pub path: PathBuf,
    /// How long was waited for it.
    pub deadline: Duration,
}

/// The threads that touch what pods name. Clones share them; the threads end with the last one.
#[derive(Clone)]
pub struct Disk {
    owner: Arc<Owner>,
    deadline: Duration,
}

/// Ends the threads that wait when it is dropped; those that hang are left behind.
struct Owner {
    shared: Arc<Shared>,
    threads: Threads,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.state.lock().is_over = true;
        self.shared.work.notify_all();
    }
}

struct Shared {
    state: Mutex<State>,
    /// Notified when there is work.
    work: Condvar,
    /// Notified when a pod's call has come back.
    freed: Condvar,
}

thread_local! {
    /// Where the call of this thread is.
    static HERE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

impl Default for Disk {
    fn default() -> Self {
        Self::new(DEADLINE)
    }
}

impl Disk {
    /// With a deadline for each call. No thread is started before the first one.
    pub fn new(deadline: Duration) -> Self {
        Self {
            owner: Arc::new(Owner {
                shared: Arc::new(Shared {
                    state: Mutex::default(),
                    work: Condvar::new(),
                    freed: Condvar::new(),
                }),
                threads: Threads::default(),
            }),
            deadline,
        }
    }

    /// Touches what a pod names, which begins with `path`; the work says with [`at`] where it goes on to.
    /// What it gives after the deadline is dropped.
    ///
    /// # Errors
    /// [`Hung`]: it has not come back by the deadline, or an earlier call of this pod has not. The work
    /// may be done later all the same.
    pub fn call<T: Send + 'static>(
        &self,
        pod: &str,
        path: &Path,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hung> {
        let until = Instant::now() + self.deadline;
        let (send, answer) = bounded(1);
        let work = move || {
            // Whoever asked may have gone.
            let _ = send.send(threads::contain(|| {
                threads::point("disk-call");
                work()
            }));
        };
        let number = self.begin(pod, path, until, Box::new(work))?;
        let answered = answer.recv_deadline(until);
        let answered = answered.or_else(|_| match self.note_hung(pod, number) {
            // It may be coming back right now.
            Some(path) => answer.try_recv().map_err(|_| self.hung(path)),
            None => answer.recv().map_err(|_| self.hung(path.to_owned())),
        });
        match answered? {
            Ok(answer) => Ok(answer),
            // The fault of whoever asked: it is the one to fail for it.
            Err(panic) => std::panic::panic_any(panic.to_string()),
        }
    }

    /// Drops something that may touch what a pod names, an open file for example; waits for nothing.
    pub fn leave(&self, pod: &str, path: &Path, thing: impl Send + 'static) {
        let mut state = self.owner.shared.state.lock();
        if let Some(job) = state.leave(pod, path, Box::new(move || drop(thing))) {
            self.hand_over(&mut state, job);
        }
    }

    /// Takes the pod's turn, and hands the work to a thread; gives the call's number.
    fn begin(&self, pod: &str, path: &Path, until: Instant, work: Work) -> Result<u64, Hung> {
        let shared = &self.owner.shared;
        let mut state = shared.state.lock();
        loop {
            let (hung_at, is_hung) = match state.is_free(pod) {
                Ok(()) if !state.is_full() => break,
                Ok(()) => (path.to_owned(), false),
                Err(busy) => (busy.path, busy.is_hung),
            };
            if is_hung || shared.freed.wait_until(&mut state, until).timed_out() {
                return Err(self.hung(hung_at));
            }
        }
        let job = state.take(pod, path, work);
        let number = job.number;
        self.hand_over(&mut state, job);
        Ok(number)
    }

    fn hand_over(&self, state: &mut State, job: Job) {
        if state.queue(job) {
            let shared = self.owner.shared.clone();
            let name = format!("disk-{}", state.next_thread());
            if let Err(error) = self.owner.threads.run(&name, move || shared.run()) {
                // Those that run will come to it, or whoever asked will be told that it hangs.
                log::error!(error:%; "cannot start a thread for calls to disks");
                state.thread_ended();
            }
        }
        self.owner.shared.work.notify_one();
    }

    /// Notes that a call has not come back in time; gives where it is, unless it has come back now.
    fn note_hung(&self, pod: &str, number: u64) -> Option<PathBuf> {
        let path = self.owner.shared.state.lock().note_hung(pod, number)?;
        log::warn!(
            sandbox:% = pod;
            "{} has not answered within {:?}; what needs this pod's disks waits until it does",
            path.display(),
            self.deadline
        );
        Some(path)
    }

    fn hung(&self, path: PathBuf) -> Hung {
        let deadline = self.deadline;
        Hung { path, deadline }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Says what a call touches next, so that the right path is named if that hangs. Means nothing outside of
/// one.
pub fn at(path: &Path) {
    HERE.with_borrow(|here| {
        if let Some(place) = here {
            path.clone_into(&mut place.lock());
        }
    });
}

impl Shared {
    /// What a thread does.
    fn run(&self) {
        while let Some(job) = self.next() {
            let Job {
                pod, place, work, ..
            } = job;
            HERE.set(Some(place));
            work();
            // What was left here meanwhile goes in the same turn.
            loop {
                let next = self.state.lock().finish(&pod);
                match next {
                    Next::Leave(thing) => thing(),
                    Next::Done(hung) => {
                        if let Some((path, span)) = hung {
                            log::warn!(
                                sandbox:% = pod;
                                "{} has answered, after {span:.1?}",
                                path.display()
                            );
                        }
                        break;
                    }
                }
            }
            HERE.set(None);
            self.freed.notify_all();
        }
    }

    /// The next job; none when the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.next_job() {
                return Some(job);
            }
            if state.is_over {
                return None;
            }
            state.idle += 1;
            // Somebody may wait for a thread rather than for its pod's turn.
            self.freed.notify_all();
            let waited = self.work.wait_for(&mut state, IDLE);
            state.idle -= 1;
            if waited.timed_out() && state.may_end() {
                state.thread_ended();
                return None;
            }
        }
    }
}
