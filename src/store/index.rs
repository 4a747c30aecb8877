//! What ids lead to: the pod of each container, and the one object whose id begins so.

use std::collections::HashMap;

use crate::{
    memory,
    model::{ContainerId, Pod, SandboxId},
};

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
            memory::shrink(owners);
        }
    }
    for new in &after.containers {
        if !owners.contains_key(new.id()) {
            owners.insert(new.id().clone(), after.sandbox.id.clone());
        }
    }
}

/// The only one of those that fit the beginning of an id.
///
/// # Errors
/// [`Ambiguous`].
pub(super) fn only<'a, T: Clone + 'a>(
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
