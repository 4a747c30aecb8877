//! What happened to sandboxes and containers, for those who listen.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc, Weak,
};

use parking_lot::Mutex;

use crate::model::{ContainerPhase, Nanos, Pod, SandboxPhase};

/// A change of a container or sandbox that subscribers of events are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Created,
    /// It was started.
    Started,
    /// It was stopped, or ended.
    Stopped,
    /// Its record was removed.
    Deleted,
}

/// One thing that happened to a sandbox or a container.
#[derive(Clone, Debug)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// The sandbox's or the container's id.
    pub id: String,
    /// When.
    pub at: Nanos,
    /// The pod as it is since.
    pub pod: Arc<Pod>,
}

/// What a subscriber made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It took it, and wants more.
    Taken,
    /// It is gone.
    Gone,
    /// It is too far behind and is cut off.
    Behind,
}

/// Takes events without ever blocking.
pub type Subscriber = Box<dyn Fn(&Event) -> Delivery + Send + Sync>;

/// Those who listen.
#[derive(Default)]
pub struct Subscribers {
    list: Mutex<Vec<(Weak<()>, Subscriber)>>,
    count: AtomicUsize,
}

impl Subscribers {
    /// Adds one; it hears what happens from now on, for as long as somebody holds `alive`.
    pub fn add(&self, subscriber: Subscriber, alive: &Arc<()>) {
        let mut list = self.list.lock();
        list.push((Arc::downgrade(alive), subscriber));
        self.let_go(&mut list);
    }

    /// How many listen.
    pub fn count(&self) -> usize {
        let mut list = self.list.lock();
        self.let_go(&mut list);
        list.len()
    }

    /// Whether it is worth the trouble to find out what there is to tell.
    pub fn are_there(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Lets go of those who are gone: when nothing happens for long, others come and go.
    fn let_go(&self, list: &mut Vec<(Weak<()>, Subscriber)>) {
        list.retain(|(alive, _)| alive.strong_count() > 0);
        self.count.store(list.len(), Ordering::Relaxed);
    }

    /// Tells everybody, and lets go of those who are gone or too slow.
    pub fn publish(&self, events: &[Event]) {
        if events.is_empty() || !self.are_there() {
            return;
        }
        let mut list = self.list.lock();
        list.retain(|(_, subscriber)| {
            events.iter().all(|event| match subscriber(event) {
                Delivery::Taken => true,
                Delivery::Gone => false,
                Delivery::Behind => {
                    log::warn!("an event subscriber is too far behind; its stream ends, and it has to subscribe again");
                    false
                }
            })
        });
        self.count.store(list.len(), Ordering::Relaxed);
    }
}

/// What happened between two states of a pod.
pub fn between(before: Option<&Pod>, after: &Arc<Pod>, at: Nanos) -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |kind, id: &str| {
        events.push(Event {
            kind,
            id: id.to_owned(),
            at,
            pod: after.clone(),
        });
    };
    let sandbox = after.sandbox.id.as_str();
    if before.is_none() {
        tell(EventKind::Created, sandbox);
        tell(EventKind::Started, sandbox);
    }
    let gone = before.iter().flat_map(|pod| &pod.containers);
    for old in gone.filter(|old| after.container(old.id()).is_none()) {
        if old.status.phase() == ContainerPhase::Running {
            tell(EventKind::Stopped, old.id().as_str());
        }
        tell(EventKind::Deleted, old.id().as_str());
    }
    for entry in &after.containers {
        let old = before.and_then(|pod| pod.container(entry.id()));
        let old_rank = old.map_or(0, |old| rank(old.status.phase()));
        for (level, kind) in [
            (1, EventKind::Created),
            (2, EventKind::Started),
            (3, EventKind::Stopped),
        ] {
            // One that was never started can be EXITED all the same: its sandbox was stopped.
            let skipped = kind == EventKind::Started && entry.status.started_at.is_none();
            if old_rank < level && level <= rank(entry.status.phase()) && !skipped {
                tell(kind, entry.id().as_str());
            }
        }
    }
    let was = before.map_or(SandboxPhase::Ready, Pod::phase);
    if was == SandboxPhase::Ready && after.phase() != SandboxPhase::Ready {
        tell(EventKind::Stopped, sandbox);
    }
    if was != SandboxPhase::Removed && after.phase() == SandboxPhase::Removed {
        tell(EventKind::Deleted, sandbox);
    }
    events
}

fn rank(phase: ContainerPhase) -> u8 {
    match phase {
        ContainerPhase::Created => 1,
        ContainerPhase::Running => 2,
        ContainerPhase::Exited => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{batch::start, lifecycle, testing::pod};

    fn kinds(before: Option<&Pod>, after: &Pod) -> Vec<(EventKind, String)> {
        let events = between(before, &Arc::new(after.clone()), Nanos(9));
        events
            .into_iter()
            .map(|event| (event.kind, event.id))
            .collect()
    }

    #[test]
    fn each_transition_is_told_once_and_in_order() {
        use EventKind::*;
        let own = |list: &[(EventKind, &str)]| -> Vec<(EventKind, String)> {
            list.iter()
                .map(|(kind, id)| (*kind, (*id).to_owned()))
                .collect()
        };
        let empty = pod(&[]);
        assert_eq!(
            kinds(None, &empty),
            own(&[(Created, "sandbox"), (Started, "sandbox")])
        );
        let created = pod(&["a"]);
        assert_eq!(kinds(Some(&empty), &created), own(&[(Created, "a-0")]));
        let mut running = created.clone();
        let id = running.containers[0].id().clone();
        start(&mut running, &id, Nanos(1)).expect("starts");
        assert_eq!(kinds(Some(&created), &running), own(&[(Started, "a-0")]));
        assert_eq!(kinds(Some(&running), &running), []);
        let mut stopped = running.clone();
        lifecycle::kill_sandbox(&mut stopped, Nanos(2));
        assert_eq!(
            kinds(Some(&running), &stopped),
            own(&[(Stopped, "a-0"), (Stopped, "sandbox")])
        );
        let mut removed = stopped.clone();
        lifecycle::remove_sandbox(&mut removed, Nanos(3));
        assert_eq!(
            kinds(Some(&stopped), &removed),
            own(&[(Deleted, "a-0"), (Deleted, "sandbox")])
        );
    }

    #[test]
    fn who_is_gone_or_slow_is_let_go() {
        let subscribers = Subscribers::default();
        let alive = Arc::new(());
        for answer in [Delivery::Taken, Delivery::Gone, Delivery::Behind] {
            subscribers.add(Box::new(move |_| answer), &alive);
        }
        let event = between(None, &Arc::new(pod(&[])), Nanos(1));
        subscribers.publish(&event);
        assert_eq!(subscribers.count(), 1);
        drop(alive);
        assert_eq!(subscribers.count(), 0, "nothing has to happen for that");
    }
}
