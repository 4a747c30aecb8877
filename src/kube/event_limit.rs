//! How many events a pod may bring, and which of them are one and the same: a token bucket for each
//! pod, as a state machine with a given clock.
//!
//! Of what client-go's recorder does (k8s.io/client-go/tools/record/events_cache.go) this keeps
//!
//! * the bucket: a pod may bring 25 events at once, and one more each 5 minutes. What is beyond is
//!   dropped, but counted where it was seen before;
//! * the count: an event with the same type, reason and message as an earlier one counts that one
//!   up. A pod that is started again and again, and whose job is refused each time, would otherwise
//!   fill its events with one line.
//!
//! It does not combine *similar* events, which client-go does from the tenth different message of
//! one reason on: messages that differ here are about different jobs, of which each is worth a line,
//! and the bucket keeps their number down.

use std::{collections::VecDeque, time::Duration};

use sha2::{Digest as _, Sha256};

use super::{
    event::{Occurrence, PodRef},
    lru::Lru,
};
use crate::{
    model::Nanos,
    text::{beginning, SUBDOMAIN_MAX},
};

/// Longest message in bytes (`NoteLengthLimit` in k8s.io/kubernetes/pkg/apis/core/validation).
const MAX_MESSAGE_BYTES: usize = 1024;
/// Pods that are remembered; maxLruCacheEntries in client-go.
const PODS: usize = 4096;
/// Different events of one pod that are remembered.
const EVENTS: usize = 64;
/// defaultSpamBurst in client-go.
const BURST: u32 = 25;
/// 1 / defaultSpamQPS in client-go.
const REFILL: Duration = Duration::from_secs(300);

/// An event as the API server should have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) name: String,
    /// 1 for a new one; more for one that was created before, and is to be changed.
    pub(super) count: i32,
    pub(super) first: Nanos,
    pub(super) message: String,
}

/// 128 bits of SHA-256.
type Key = [u8; 16];

/// What was seen so far.
#[derive(Debug)]
pub(super) struct EventLimit {
    pods: Lru<Key, PodEvents>,
    /// No two events have one time in their name.
    last_name: i64,
}

/// A pod's bucket, and its events.
#[derive(Debug)]
struct PodEvents {
    tokens: u32,
    /// When the last token came.
    since: Nanos,
    /// At most [`EVENTS`], the oldest first.
    seen: VecDeque<Seen>,
}

/// One event.
#[derive(Debug)]
struct Seen {
    /// Of type, reason and message.
    key: Key,
    name: String,
    count: i32,
    first: Nanos,
}

impl EventLimit {
    pub(super) fn new() -> Self {
        Self {
            pods: Lru::new(PODS),
            last_name: i64::MIN,
        }
    }

    /// What to write; `None` when the pod has used up its events.
    pub(super) fn admit(&mut self, it: &Occurrence, now: Nanos) -> Option<Planned> {
        let message = beginning(it.message, MAX_MESSAGE_BYTES);
        let pod = digest(&[&it.pod.namespace, &it.pod.name, &it.pod.uid]);
        let key = digest(&[it.kind.as_str(), it.reason, message]);
        if self.pods.get(&pod).is_none() {
            self.pods.insert(pod, PodEvents::new(now));
        }
        let is_known = |events: &&mut PodEvents| events.seen.iter().any(|seen| seen.key == key);
        let name = match self.pods.get(&pod).filter(is_known) {
            Some(_) => None,
            None => Some(self.name(it.pod, now)),
        };
        let events = self.pods.get(&pod)?;
        if let Some(name) = name {
            events.remember(key, name, now);
        }
        let seen = events.seen.iter_mut().find(|seen| seen.key == key)?;
        seen.count = seen.count.saturating_add(1);
        let planned = Planned {
            name: seen.name.clone(),
            count: seen.count,
            first: seen.first,
            message: message.to_owned(),
        };
        events.spend(now).then_some(planned)
    }

    /// POD.HEX, with the time in nanoseconds. A long pod name loses its end; client-go takes a
    /// UUID then, which says nothing to a reader.
    fn name(&mut self, pod: &PodRef, now: Nanos) -> String {
        self.last_name = now.0.max(self.last_name.saturating_add(1));
        let hex = format!("{:x}", self.last_name);
        let beginning = beginning(&pod.name, SUBDOMAIN_MAX - 1 - hex.len());
        format!("{}.{hex}", beginning.trim_end_matches(['-', '.']))
    }
}

impl PodEvents {
    fn new(now: Nanos) -> Self {
        Self {
            tokens: BURST,
            since: now,
            seen: VecDeque::new(),
        }
    }

    fn remember(&mut self, key: Key, name: String, now: Nanos) {
        if self.seen.len() >= EVENTS {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen {
            key,
            name,
            count: 0,
            first: now,
        });
    }

    fn spend(&mut self, now: Nanos) -> bool {
        let come = now.since(self.since).as_nanos() / REFILL.as_nanos();
        let come = u32::try_from(come).unwrap_or(u32::MAX);
        if come >= BURST - self.tokens {
            self.tokens = BURST;
            self.since = now;
        } else {
            self.tokens += come;
            self.since = self.since.plus(REFILL * come);
        }
        let may = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        may
    }
}

/// Parts are told apart by their lengths: `ab`, `c` is not `a`, `bc`.
fn digest(parts: &[&str]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

#[cfg(test)]
mod tests;
