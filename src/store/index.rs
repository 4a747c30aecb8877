//! Finding pods by what a caller has: a container's id, or the beginning of an id.

use std::collections::HashMap;

use super::Store;
use crate::model::{ContainerId, Pod, SandboxId, SandboxPhase};

/// The beginning of an id fits more than one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is the beginning of more than one id; give more of it")]
pub struct Ambiguous(pub String);

/// Keeps the owners of containers as a pod changes.
pub(super) fn follow(
    owners: &mut HashMap<ContainerId, SandboxId>,
    before: Option<&Pod>,
    after: &Pod,
) {
    for old in before.iter().flat_map(|pod| &pod.containers) {
        if after.container(old.id()).is_none() {
            owners.remove(old.id());
        }
    }
    for new in &after.containers {
        if !owners.contains_key(new.id()) {
            owners.insert(new.id().clone(), after.sandbox.id.clone());
        }
    }
}

impl Store {
    /// The sandbox with this id, or the only one whose id begins so, as people abbreviate them.
    /// Removed ones do not count.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub fn resolve_sandbox(&self, id: &str) -> Result<Option<SandboxId>, Ambiguous> {
        let pods = self.pods.read();
        let visible = |id: &SandboxId| {
            pods.get(id)
                .is_some_and(|cell| cell.current.read().phase() != SandboxPhase::Removed)
        };
        let exact = SandboxId::from(id);
        if visible(&exact) {
            return Ok(Some(exact));
        }
        only(
            id,
            pods.keys()
                .filter(|key| key.as_str().starts_with(id) && visible(key)),
        )
    }

    /// The container with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub fn resolve_container(&self, id: &str) -> Result<Option<ContainerId>, Ambiguous> {
        let owners = self.owners.read();
        let exact = ContainerId::from(id);
        if owners.contains_key(&exact) {
            return Ok(Some(exact));
        }
        only(id, owners.keys().filter(|key| key.as_str().starts_with(id)))
    }
}

fn only<'a, T: Clone + 'a>(
    prefix: &str,
    mut fitting: impl Iterator<Item = &'a T>,
) -> Result<Option<T>, Ambiguous> {
    // Nothing begins with nothing: an empty id names no object.
    let first = fitting.next().filter(|_| !prefix.is_empty());
    match (first, fitting.next()) {
        (Some(_), Some(_)) => Err(Ambiguous(prefix.to_owned())),
        (first, _) => Ok(first.cloned()),
    }
}
