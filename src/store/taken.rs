//! What sandboxes have for themselves: names, UIDs and addresses.
//!
//! One that is being added has its own from the moment that they are chosen: nobody else gets them while its
//! disk is waited for, and nobody waits for that.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use crate::{
    memory,
    model::{Nanos, Pod, Sandbox, SandboxId, SandboxPhase},
};

/// All sandboxes that are on record or about to be, by what they have.
#[derive(Default)]
pub struct Taken {
    by_uid: HashMap<String, Vec<Arc<Sandbox>>>,
    by_address: HashMap<IpAddr, Vec<Arc<Sandbox>>>,
}

impl Taken {
    /// Notes what a sandbox has.
    pub fn note(&mut self, sandbox: &Arc<Sandbox>) {
        self.by_uid
            .entry(key(&sandbox.uid))
            .or_default()
            .push(sandbox.clone());
        if let Some(address) = sandbox.ip {
            let those = self.by_address.entry(address).or_default();
            those.push(sandbox.clone());
        }
    }

    /// Gives back what a sandbox has.
    pub fn forget(&mut self, sandbox: &Sandbox) {
        let uid = key(&sandbox.uid);
        if is_last(self.by_uid.get_mut(&uid), &sandbox.id) {
            self.by_uid.remove(&uid);
            memory::shrink(&mut self.by_uid);
        }
        if let Some(address) = sandbox.ip {
            if is_last(self.by_address.get_mut(&address), &sandbox.id) {
                self.by_address.remove(&address);
                memory::shrink(&mut self.by_address);
            }
        }
    }

    /// Goes on with another record of the same sandbox.
    pub fn follow(&mut self, before: &Arc<Sandbox>, after: &Arc<Sandbox>) {
        self.forget(before);
        self.note(after);
    }
}

/// Takes a sandbox out of those that have something; whether none is left.
fn is_last(those: Option<&mut Vec<Arc<Sandbox>>>, id: &SandboxId) -> bool {
    those.is_some_and(|those| {
        those.retain(|other| other.id != *id);
        those.is_empty()
    })
}

/// UIDs count as the same whatever the case of their letters: plugins write them anew.
fn key(uid: &str) -> String {
    uid.to_ascii_lowercase()
}

/// What others have while a sandbox is made.
pub struct Others<'a> {
    pub(super) taken: &'a Taken,
    /// A pod that is on record.
    pub(super) pod: &'a dyn Fn(&SandboxId) -> Option<Arc<Pod>>,
}

impl Others<'_> {
    /// Whether a sandbox with this UID is on record, or one that is removed and still owed something.
    pub fn has_uid(&self, uid: &str) -> bool {
        self.taken.by_uid.contains_key(&key(uid))
    }

    /// A time later than every sandbox with this UID and all of their containers; none where there is none.
    pub fn time_after(&self, uid: &str) -> Option<Nanos> {
        let after = |sandbox: &Arc<Sandbox>| match (self.pod)(&sandbox.id) {
            Some(pod) => pod.next_created_at(Nanos(0)),
            None => Nanos(sandbox.created_at.0.saturating_add(1)),
        };
        self.of_uid(uid).map(after).max()
    }

    /// The sandboxes that have an address and are not removed, each with its state.
    pub fn at(&self, address: IpAddr) -> impl Iterator<Item = (&Sandbox, SandboxPhase)> {
        let those = self.taken.by_address.get(&address).into_iter().flatten();
        let those = those.map(|sandbox| (&**sandbox, self.phase(sandbox)));
        those.filter(|(_, phase)| *phase != SandboxPhase::Removed)
    }

    /// The other sandbox that is the same attempt at the same pod.
    pub(super) fn same_as(&self, sandbox: &Sandbox) -> Option<&SandboxId> {
        let mut same = self.of_uid(&sandbox.uid).filter(|other| {
            other.uid == sandbox.uid
                && other.attempt == sandbox.attempt
                && other.name == sandbox.name
                && other.namespace == sandbox.namespace
                && self.phase(other) != SandboxPhase::Removed
        });
        same.next().map(|other| &other.id)
    }

    fn of_uid(&self, uid: &str) -> impl Iterator<Item = &Arc<Sandbox>> {
        self.taken.by_uid.get(&key(uid)).into_iter().flatten()
    }

    /// One that is being added is ready.
    fn phase(&self, sandbox: &Sandbox) -> SandboxPhase {
        (self.pod)(&sandbox.id).map_or(SandboxPhase::Ready, |pod| pod.phase())
    }
}
