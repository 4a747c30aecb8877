//! When a thread was last heard of: what [`heartbeat`](super::heartbeat) is told, and looks at.

use std::{
    cell::RefCell,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, OnceLock, Weak,
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// What a pulse holds while its thread waits for work.
const IDLE: u64 = 0;

/// A thread that has not come back in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The thread's name.
    pub thread: String,
    /// What it is working on, if it said so.
    pub task: Option<String>,
    /// How long ago its loop began what it has not come back from.
    pub silent_for: Duration,
    /// How long that may take.
    pub limit: Duration,
}

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (silent, limit) = (self.silent_for.as_secs_f32(), self.limit.as_secs_f32());
        write!(f, "thread `{}` has not come back", self.thread)?;
        if let Some(task) = &self.task {
            write!(f, " from {task}")?;
        }
        write!(f, " for {silent:.1} s, and should within {limit:.1} s")
    }
}

/// The life of one thread.
pub(super) struct Pulse {
    name: String,
    /// Milliseconds of [`now`] at the last beat, or [`IDLE`].
    since: AtomicU64,
    /// How long the loop may take from there, in milliseconds.
    limit: AtomicU64,
    pub(super) task: Mutex<Option<String>>,
}

thread_local! {
    static OWN: RefCell<Option<Arc<Pulse>>> = const { RefCell::new(None) };
}

fn all() -> &'static Mutex<Vec<Weak<Pulse>>> {
    static ALL: Mutex<Vec<Weak<Pulse>>> = Mutex::new(Vec::new());
    &ALL
}

/// Milliseconds since the first beat of the process; never [`IDLE`].
fn now() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let span = BEGIN.get_or_init(Instant::now).elapsed();
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Gives the current thread a pulse under this name, for as long as it lives.
pub(super) fn register(name: &str) {
    let pulse = Arc::new(Pulse {
        name: name.to_owned(),
        since: AtomicU64::new(IDLE),
        limit: AtomicU64::new(0),
        task: Mutex::default(),
    });
    let mut pulses = all().lock();
    pulses.retain(|other| other.strong_count() > 0);
    pulses.push(Arc::downgrade(&pulse));
    drop(pulses);
    OWN.set(Some(pulse));
}

/// The pulse of the current thread; none of one that `threads` has not started, and none while it ends.
pub(super) fn own() -> Option<Arc<Pulse>> {
    OWN.try_with(|own| own.try_borrow().ok()?.clone()).ok()?
}

/// Notes that the current thread comes back within `limit`.
pub(super) fn mark(limit: Duration) {
    if let Some(pulse) = own() {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        pulse.limit.store(limit, Ordering::Relaxed);
        pulse.since.store(now(), Ordering::Release);
    }
}

/// The thread waits for work from now on, for however long.
pub fn idle() {
    if let Some(pulse) = own() {
        pulse.since.store(IDLE, Ordering::Release);
    }
}

/// The threads of this process whose loop has not come back in time.
pub fn late() -> Vec<Late> {
    let now = now();
    let pulses: Vec<_> = all().lock().iter().filter_map(Weak::upgrade).collect();
    let mut late: Vec<_> = pulses.iter().filter_map(|pulse| pulse.late(now)).collect();
    late.sort_by(|one, other| one.thread.cmp(&other.thread));
    late
}

/// All threads that have a pulse.
pub(super) fn names() -> Vec<String> {
    let pulses = all()
        .lock()
        .iter()
        .filter_map(Weak::upgrade)
        .collect::<Vec<_>>();
    pulses.iter().map(|pulse| pulse.name.clone()).collect()
}

/// Lets the current thread count as late at once, for tests.
#[cfg(debug_assertions)]
pub(super) fn end_patience() {
    if let Some(pulse) = own() {
        pulse.limit.store(0, Ordering::Relaxed);
    }
}

impl Pulse {
    fn late(&self, now: u64) -> Option<Late> {
        let since = self.since.load(Ordering::Acquire);
        let limit = self.limit.load(Ordering::Relaxed);
        let silent_for = now.saturating_sub(since);
        (since != IDLE && silent_for > limit).then(|| Late {
            thread: self.name.clone(),
            task: self.task.lock().clone(),
            silent_for: Duration::from_millis(silent_for),
            limit: Duration::from_millis(limit),
        })
    }
}
