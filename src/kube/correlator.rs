//! Which events are worth a call: what client-go's recorder does
//! (k8s.io/client-go/tools/record/events_cache.go), as a state machine with a given clock.
//!
//! * An event that was seen before, with the same pod, type, reason and message, counts the first
//!   one up.
//! * When ten different messages of one pod, type and reason have come, none more than 10 minutes
//!   after the one before it, the tenth and all further new ones are combined into one event, whose
//!   message is the last one's. client-go's documentation says "more than 10"; its code does this.
//! * A pod may bring 25 events at once, and one more each 5 minutes. What is beyond is dropped,
//!   but counted where it was seen before.
//!
//! Each rule remembers the 4096 things that it used last, by digests: a message costs 16 bytes.

use std::{collections::BTreeSet, time::Duration};

use sha2::{Digest as _, Sha256};

use super::{
    events::{EventType, PodRef},
    lru::Lru,
    names::MAX_SUBDOMAIN,
    text::cut,
};
use crate::model::Nanos;

/// Longest message in bytes (`NoteLengthLimit` in k8s.io/kubernetes/pkg/apis/core/validation).
const MAX_MESSAGE_BYTES: usize = 1024;
const COMBINED: &str = "(combined from similar events): ";
/// maxLruCacheEntries
const ENTRIES: usize = 4096;
/// defaultAggregateMaxEvents: with so many messages combining begins.
const SIMILAR: usize = 10;
/// defaultAggregateIntervalInSeconds
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// defaultSpamBurst
const BURST: u32 = 25;
/// 1 / defaultSpamQPS
const REFILL: Duration = Duration::from_secs(300);

/// Something that happened to a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting<'a> {
    pub(super) pod: &'a PodRef,
    pub(super) kind: EventType,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

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
pub(super) struct Correlator {
    similar: Lru<Key, Similar>,
    seen: Lru<Key, Seen>,
    budgets: Lru<Key, Budget>,
    /// No two events have one time in their name.
    last_name: i64,
}

/// Events of one pod, type and reason.
#[derive(Debug)]
struct Similar {
    /// Digests of their messages, fewer than [`SIMILAR`].
    messages: BTreeSet<Key>,
    last: Nanos,
}

/// One event.
#[derive(Debug)]
struct Seen {
    name: String,
    count: i32,
    first: Nanos,
}

/// A token bucket.
#[derive(Debug)]
struct Budget {
    tokens: u32,
    /// When the last token came.
    since: Nanos,
}

impl Correlator {
    pub(super) fn new() -> Self {
        Self {
            similar: Lru::new(ENTRIES),
            seen: Lru::new(ENTRIES),
            budgets: Lru::new(ENTRIES),
            last_name: i64::MIN,
        }
    }

    /// What to write; `None` when the pod has used up its events.
    pub(super) fn observe(&mut self, it: &Sighting, now: Nanos) -> Option<Planned> {
        let message = cut(it.message, MAX_MESSAGE_BYTES);
        let group = [
            &it.pod.namespace,
            &it.pod.name,
            &it.pod.uid,
            it.kind.as_str(),
            it.reason,
        ];
        let planned = match self.is_one_of_many(&group, message, now) {
            false => {
                let key = digest(&[&group[..], &[message]].concat());
                self.count(key, it.pod, message.to_owned(), now)
            }
            true => {
                let text = format!("{COMBINED}{message}");
                let text = cut(&text, MAX_MESSAGE_BYTES).to_owned();
                self.count(digest(&group), it.pod, text, now)
            }
        };
        self.may_spend(digest(&group[..3]), now).then_some(planned)
    }

    fn is_one_of_many(&mut self, group: &[&str], message: &str, now: Nanos) -> bool {
        let (key, message) = (digest(group), digest(&[message]));
        let Some(similar) = self.similar.get(&key) else {
            let messages = BTreeSet::from([message]);
            self.similar.insert(
                key,
                Similar {
                    messages,
                    last: now,
                },
            );
            return false;
        };
        if now.since(similar.last) > SIMILAR_WITHIN {
            similar.messages.clear();
        }
        similar.last = now;
        if !similar.messages.contains(&message) && similar.messages.len() + 1 >= SIMILAR {
            return true;
        }
        similar.messages.insert(message);
        false
    }

    fn count(&mut self, key: Key, pod: &PodRef, message: String, now: Nanos) -> Planned {
        if let Some(seen) = self.seen.get(&key) {
            seen.count = seen.count.saturating_add(1);
            return Planned {
                name: seen.name.clone(),
                count: seen.count,
                first: seen.first,
                message,
            };
        }
        let planned = Planned {
            name: self.name(pod, now),
            count: 1,
            first: now,
            message,
        };
        self.seen.insert(
            key,
            Seen {
                name: planned.name.clone(),
                count: planned.count,
                first: planned.first,
            },
        );
        planned
    }

    /// POD.HEX, with the time in nanoseconds. A long pod name loses its end; client-go takes a
    /// UUID then, which says nothing to a reader.
    fn name(&mut self, pod: &PodRef, now: Nanos) -> String {
        self.last_name = now.0.max(self.last_name.saturating_add(1));
        let hex = format!("{:x}", self.last_name);
        let beginning = cut(&pod.name, MAX_SUBDOMAIN - 1 - hex.len());
        format!("{}.{hex}", beginning.trim_end_matches(['-', '.']))
    }

    fn may_spend(&mut self, key: Key, now: Nanos) -> bool {
        match self.budgets.get(&key) {
            Some(budget) => budget.spend(now),
            None => {
                let tokens = BURST - 1;
                self.budgets.insert(key, Budget { tokens, since: now });
                true
            }
        }
    }
}

impl Budget {
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
