//! Who has which turn: memory only, behind one lock.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The most threads. A node has 110 pods unless its kubelet is told otherwise, and each holds up one.
pub const MOST: usize = 128;
/// Threads that stay when there is nothing to do.
const KEPT: usize = 4;

/// What a thread is to do.
pub type Work = Box<dyn FnOnce() + Send>;

/// Where a call is, as it goes along.
pub type Place = Arc<Mutex<PathBuf>>;

/// A call on its way to a thread.
pub struct Job {
    /// The pod whose turn it has.
    pub pod: String,
    /// Tells it from the pod's other calls.
    pub number: u64,
    /// Where it is.
    pub place: Place,
    /// What it does.
    pub work: Work,
}

/// The turn of a pod, which a call has.
struct Slot {
    number: u64,
    place: Place,
    since: Instant,
    is_hung: bool,
    /// What is to be done in the same turn.
    left: Vec<Work>,
}

/// Why a pod has no turn to give.
pub struct Busy {
    /// Where the call is that has it.
    pub path: PathBuf,
    /// Whether that call is past its deadline.
    pub is_hung: bool,
}

/// What a thread does after a call.
pub enum Next {
    /// This, in the same turn.
    Leave(Work),
    /// Nothing: the turn is free. Where the call was and for how long, if it was past its deadline.
    Done(Option<(PathBuf, Duration)>),
}

/// All turns and threads.
#[derive(Default)]
pub struct State {
    slots: HashMap<String, Slot>,
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    pub idle: usize,
    /// Nobody can bring another job.
    pub is_over: bool,
    threads: usize,
    numbers: u64,
    names: u64,
}

impl State {
    /// Whether a pod's turn is free.
    pub fn is_free(&self, pod: &str) -> Result<(), Busy> {
        match self.slots.get(pod) {
            None => Ok(()),
            Some(slot) => Err(Busy {
                path: slot.place.lock().clone(),
                is_hung: slot.is_hung,
            }),
        }
    }

    /// Whether no thread could take another job.
    pub fn is_full(&self) -> bool {
        self.threads >= MOST && self.jobs.len() >= self.idle
    }

    /// Takes the turn of a pod, which is free.
    pub fn take(&mut self, pod: &str, path: &Path, work: Work) -> Job {
        self.numbers += 1;
        let (number, place) = (self.numbers, Arc::new(Mutex::new(path.to_owned())));
        let slot = Slot {
            number,
            place: place.clone(),
            since: Instant::now(),
            is_hung: false,
            left: Vec::new(),
        };
        self.slots.insert(pod.to_owned(), slot);
        Job {
            pod: pod.to_owned(),
            number,
            place,
            work,
        }
    }

    /// Adds to the turn that the pod's call has, or makes a call of it.
    pub fn leave(&mut self, pod: &str, path: &Path, work: Work) -> Option<Job> {
        match self.slots.get_mut(pod) {
            Some(slot) => {
                slot.left.push(work);
                None
            }
            None => Some(self.take(pod, path, work)),
        }
    }

    /// Queues a job; true if it needs another thread, which counts from now on.
    pub fn queue(&mut self, job: Job) -> bool {
        self.jobs.push_back(job);
        let needs = self.jobs.len() > self.idle && self.threads < MOST;
        if needs {
            self.threads += 1;
        }
        needs
    }

    /// The number in the name of the next thread.
    pub fn next_thread(&mut self) -> u64 {
        self.names += 1;
        self.names - 1
    }

    /// The next job.
    pub fn next_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// Whether a thread that has nothing to do is one too many.
    pub fn may_end(&self) -> bool {
        self.threads > KEPT && self.jobs.is_empty()
    }

    /// A thread has ended.
    pub fn thread_ended(&mut self) {
        self.threads -= 1;
    }

    /// Marks a call as hung; gives where it is, or nothing if it has come back.
    pub fn note_hung(&mut self, pod: &str, number: u64) -> Option<PathBuf> {
        let slot = self.slots.get_mut(pod);
        let slot = slot.filter(|slot| slot.number == number)?;
        slot.is_hung = true;
        Some(slot.place.lock().clone())
    }

    /// A part of a turn is done.
    pub fn finish(&mut self, pod: &str) -> Next {
        let Some(slot) = self.slots.get_mut(pod) else {
            return Next::Done(None);
        };
        if let Some(left) = slot.left.pop() {
            return Next::Leave(left);
        }
        let hung = slot.is_hung.then(|| {
            let path = slot.place.lock().clone();
            (path, slot.since.elapsed())
        });
        self.slots.remove(pod);
        Next::Done(hung)
    }
}
