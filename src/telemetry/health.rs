//! Whether interLink can be reached.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::RwLock;

/// What is known of the way to the plugin.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// No interLink is configured: jobs wait.
    NotConfigured,
    /// It was not asked yet.
    Unknown,
    /// It answered; with what it said of itself.
    Ready(String),
    /// It did not answer, or said that its plugin does not; with what went wrong.
    Away(String),
}

/// What the node offers to the scheduler by our doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOffer {
    /// Resources with their amounts, as they stand in the node's status.
    pub offered: BTreeMap<String, String>,
    /// What is not as it should be, for people; none where all is well.
    pub trouble: Option<String>,
}

/// Whether interLink can be reached, and since when.
pub struct Health {
    state: RwLock<(Reach, Instant)>,
    last_ready: RwLock<Option<SystemTime>>,
    ping_time: RwLock<Option<Duration>>,
    capacity: RwLock<Vec<(String, f64)>>,
    plugin: OnceLock<RecognisedPlugin>,
    node: RwLock<Option<NodeOffer>>,
    /// When the plugin last told the state of a job, by the bits of its UID.
    heard: RwLock<HashMap<u128, SystemTime>>,
}

/// Which plugin stands behind the server, where that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecognisedPlugin {
    /// Its name, as `interlink.plugin` has it.
    pub name: &'static str,
    /// What it was recognised by, for people.
    pub by: &'static str,
}

impl Health {
    /// Starts with nothing known.
    pub fn new(configured: bool) -> Self {
        let reach = if configured {
            Reach::Unknown
        } else {
            Reach::NotConfigured
        };
        Self {
            state: RwLock::new((reach, Instant::now())),
            last_ready: RwLock::default(),
            ping_time: RwLock::default(),
            capacity: RwLock::default(),
            plugin: OnceLock::new(),
            node: RwLock::new(None),
            heard: RwLock::default(),
        }
    }

    /// What is known now, and for how long it has been so.
    pub fn now(&self) -> (Reach, Duration) {
        let state = self.state.read();
        (state.0.clone(), state.1.elapsed())
    }

    /// When it last answered well.
    pub fn last_ready(&self) -> Option<SystemTime> {
        *self.last_ready.read()
    }

    /// Notes that the plugin has just told the state of a job, by the bits of its UID.
    pub fn note_heard(&self, job: u128) {
        self.heard.write().insert(job, SystemTime::now());
    }

    /// Forgets when it was heard of jobs that are not asked about any more.
    pub fn retain_heard(&self, is_asked_about: impl Fn(u128) -> bool) {
        self.heard.write().retain(|job, _| is_asked_about(*job));
    }

    /// When the plugin last told the state of a job; none where it has not since the daemon's start, or
    /// the job is not asked about any more.
    pub fn last_heard(&self, job: u128) -> Option<SystemTime> {
        self.heard.read().get(&job).copied()
    }

    /// Notes how long the last ping took that was answered well.
    pub fn note_ping_time(&self, took: Duration) {
        *self.ping_time.write() = Some(took);
    }

    /// How long the last ping took that was answered well.
    pub fn ping_time(&self) -> Option<Duration> {
        *self.ping_time.read()
    }

    /// Notes what the plugin says that it has, by resource name: cores, bytes, pods, devices.
    pub fn note_capacity(&self, capacity: Vec<(String, f64)>) {
        *self.capacity.write() = capacity;
    }

    /// What the plugin last said that it has; empty where it says nothing.
    pub fn capacity(&self) -> Vec<(String, f64)> {
        self.capacity.read().clone()
    }

    /// Notes which plugin was recognised; the first one stays.
    pub fn note_plugin(&self, name: &'static str, by: &'static str) {
        // A later one is not looked at.
        let _ = self.plugin.set(RecognisedPlugin { name, by });
    }

    /// The plugin that was recognised.
    pub fn plugin(&self) -> Option<RecognisedPlugin> {
        self.plugin.get().copied()
    }

    /// Notes what the node offers. True when its trouble is another one than before.
    pub fn note_node(&self, offer: NodeOffer) -> bool {
        let mut node = self.node.write();
        let before = node.as_ref().and_then(|node| node.trouble.as_ref());
        let is_news = before != offer.trouble.as_ref();
        *node = Some(offer);
        is_news
    }

    /// What the node offers; none where that is not ours to say, or was not looked at yet.
    pub fn node(&self) -> Option<NodeOffer> {
        self.node.read().clone()
    }

    /// Notes an answer, or that there was none. True when it went from one to the other: that is
    /// worth a log line, repetitions are not.
    pub fn note(&self, reach: Reach) -> bool {
        if matches!(reach, Reach::Ready(_)) {
            *self.last_ready.write() = Some(SystemTime::now());
        }
        let mut state = self.state.write();
        let turned = std::mem::discriminant(&state.0) != std::mem::discriminant(&reach);
        if turned {
            state.1 = Instant::now();
        }
        state.0 = reach;
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_turn_is_news() {
        let health = Health::new(true);
        assert!(health.note(Reach::Away("refused".into())));
        assert!(!health.note(Reach::Away("timed out".into())));
        assert_eq!(health.now().0, Reach::Away("timed out".into()));
        assert!(health.note(Reach::Ready(String::new())));
        assert_eq!(Health::new(false).now().0, Reach::NotConfigured);
    }
}
