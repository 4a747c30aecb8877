//! Finding sandboxes and containers by an id, or by the beginning of one.

use super::{
    index::{only, Ambiguous},
    Store,
};
use crate::model::{ContainerId, SandboxId, SandboxPhase};

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
