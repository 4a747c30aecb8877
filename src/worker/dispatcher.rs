//! Order within a pod, none between pods.
//!
//! The dispatcher hears which pods changed, works out what each is owed, and hands it to a worker
//! when it is due: one duty of a pod at a time, many pods side by side. It never blocks, so the
//! channels towards it may be unbounded: what lies in them is at most one name for each change
//! that was committed to disk, and one duty for each pod.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{select, Receiver, Sender};

use super::{
    current_rules::CurrentRules,
    priority::{Task, Tasks},
    stops::Told,
    waiting::Waiting,
};
use crate::{
    memory,
    model::{Nanos, Pod, SandboxId},
    plan::{
        owed::{Duty, Owed},
        stopping, Rules,
    },
    store::Store,
    telemetry::PoolMetrics,
    threads,
};

/// A worker's word that it is done with a pod.
#[derive(Debug)]
pub struct Done {
    /// The pod sandbox that it is done with.
    pub sandbox: SandboxId,
    /// Do nothing for it for this long: the duty could not even be noted as tried.
    pub hold: Option<Duration>,
}

/// The dispatcher's ends of its channels.
pub struct Channels {
    /// Pods that changed.
    pub woken: Receiver<SandboxId>,
    /// Duties for the workers.
    pub tasks: Tasks,
    /// Workers that are done.
    pub done: Receiver<Done>,
    /// Who else wants to know which pods changed. Full: it finds out by itself, later.
    pub listener: Option<Sender<SandboxId>>,
    /// When the time for stops is over.
    pub deadlines: Sender<Told>,
    /// Closed when it is time to end.
    pub stop: Receiver<()>,
    /// What waits for the workers is counted here.
    pub metrics: PoolMetrics,
    /// Tells what a pod is owed.
    pub next: fn(&Pod, Nanos, &Rules) -> Option<Owed>,
}

/// The longest wait. Waits do not go on while the machine sleeps, and the clock does, so this is also how soon
/// it is noticed that it has slept.
const LONGEST: Duration = Duration::from_secs(60);
/// The dispatcher only looks at memory between two waits.
const LIMIT: Duration = LONGEST.saturating_mul(3);

/// Runs until told to stop. What is undone then is on disk.
pub fn dispatch(store: &Arc<Store>, rules: &CurrentRules, channels: &Channels) {
    let mut dispatcher = Dispatcher {
        store,
        rules,
        tasks: &channels.tasks,
        metrics: &channels.metrics,
        next: channels.next,
        busy: HashSet::new(),
        timers: Timers::default(),
        waiting: Waiting::default(),
        deadlines: &channels.deadlines,
        stopping: HashSet::new(),
    };
    loop {
        threads::beat("dispatch", LIMIT);
        select! {
            recv(channels.woken) -> id => match id {
                Ok(id) => {
                    dispatcher.note(&id);
                    dispatcher.look_at(&id);
                    if let Some(listener) = &channels.listener {
                        let _ = listener.try_send(id);
                    }
                }
                Err(_) => return,
            },
            recv(channels.done) -> done => match done {
                Ok(done) => dispatcher.done(&done),
                Err(_) => return,
            },
            recv(channels.stop) -> _ => return,
            default(dispatcher.timers.until_next(store.clock().now())) => {
                for id in dispatcher.timers.take_due(store.clock().now()) {
                    dispatcher.look_at(&id);
                }
            }
        }
    }
}

struct Dispatcher<'a> {
    store: &'a Store,
    rules: &'a CurrentRules,
    tasks: &'a Tasks,
    metrics: &'a PoolMetrics,
    next: fn(&Pod, Nanos, &Rules) -> Option<Owed>,
    busy: HashSet<SandboxId>,
    timers: Timers,
    waiting: Waiting,
    deadlines: &'a Sender<Told>,
    /// Pods of which a stop is under way.
    stopping: HashSet<SandboxId>,
}

impl Dispatcher<'_> {
    /// Hands out what the pod is owed now, or sets its timer. A pod that a worker has in hand is
    /// looked at when the worker is done.
    fn look_at(&mut self, id: &SandboxId) {
        if self.busy.contains(id) || self.timers.is_held(id) {
            return;
        }
        self.timers.clear(id);
        let Some(pod) = self.store.pod(id) else {
            return;
        };
        let now = self.store.clock().now();
        let Some(owed) = (self.next)(&pod, now, self.rules) else {
            return;
        };
        let mut hastened = || self.waiting.take_hastened(id).map(Duty::Submit);
        let duty = match owed.due > now {
            true => hastened(),
            false => Some(owed.duty),
        };
        let Some(duty) = duty else {
            self.timers.set(id, owed.due, false);
            return;
        };
        self.busy.insert(id.clone());
        self.metrics.enqueued();
        self.tasks.send(Task {
            sandbox: id.clone(),
            duty,
            since: Instant::now(),
        });
    }

    /// Hears that a pod has changed: there may be room for another's job then, or a stop under way.
    fn note(&mut self, id: &SandboxId) {
        let (pod, limits) = (self.store.pod(id), &self.rules.limits);
        let deadline = pod.as_ref().and_then(|pod| stopping::next_deadline(pod));
        let was_stopping = match deadline {
            Some(_) => !self.stopping.insert(id.clone()),
            None => self.stopping.remove(id),
        };
        if deadline.is_some() || was_stopping {
            // Its reader has ended; so will this thread.
            let _ = self.deadlines.send((id.clone(), deadline));
        }
        if let Some(other) = self.waiting.note(limits, id, pod.as_deref()) {
            self.look_at(&other);
        }
    }

    fn done(&mut self, done: &Done) {
        self.busy.remove(&done.sandbox);
        match done.hold {
            Some(hold) => {
                let until = self.store.clock().now().plus(hold);
                self.timers.set(&done.sandbox, until, true);
            }
            None => self.look_at(&done.sandbox),
        }
    }
}

/// One timer for each pod that waits for one, by the daemon's clock.
#[derive(Default)]
struct Timers {
    order: BTreeSet<(Nanos, SandboxId)>,
    /// When, and whether the pod is held: not to be looked at before.
    by_pod: HashMap<SandboxId, (Nanos, bool)>,
}

impl Timers {
    fn set(&mut self, id: &SandboxId, at: Nanos, hold: bool) {
        self.clear(id);
        self.order.insert((at, id.clone()));
        self.by_pod.insert(id.clone(), (at, hold));
    }

    fn clear(&mut self, id: &SandboxId) {
        if let Some((at, _)) = self.by_pod.remove(id) {
            self.order.remove(&(at, id.clone()));
            memory::shrink(&mut self.by_pod);
        }
    }

    fn is_held(&self, id: &SandboxId) -> bool {
        self.by_pod.get(id).is_some_and(|(_, hold)| *hold)
    }

    fn until_next(&self, now: Nanos) -> Duration {
        let first = self.order.first().map(|(at, _)| at.until(now));
        first.map_or(LONGEST, |pause| pause.min(LONGEST))
    }

    fn take_due(&mut self, now: Nanos) -> Vec<SandboxId> {
        let mut due = Vec::new();
        while let Some((_, id)) = self.order.first().filter(|(at, _)| *at <= now).cloned() {
            self.clear(&id);
            due.push(id);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_and_in_order_and_not_before_they_are_due() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (mut timers, now) = (Timers::default(), Nanos(5));
        let (a, b) = (SandboxId::from("a"), SandboxId::from("b"));
        timers.set(&a, now.plus(HOUR), false);
        assert_eq!(timers.until_next(now), LONGEST);
        timers.set(&b, now, false);
        assert_eq!(timers.until_next(now), Duration::ZERO);
        assert_eq!(timers.take_due(now), std::slice::from_ref(&b));
        assert!(timers.take_due(now.plus(HOUR - LONGEST)).is_empty());
        timers.set(&a, now, true);
        assert!(timers.is_held(&a) && !timers.is_held(&b));
        assert_eq!(timers.take_due(now), std::slice::from_ref(&a));
        assert!(!timers.is_held(&a));
        assert!(timers.take_due(now.plus(HOUR)).is_empty());
    }
}
