//! Finding sandboxes and containers by an id, or by the beginning of one.

use super::{
    index::{only, Ambiguous},
    Cell, Store,
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
        let is_visible = |cell: &Cell| cell.current.read().phase() != SandboxPhase::Removed;
        // The record's own id, which takes no memory of its own where it is kept.
        let exact = pods.get_key_value(&SandboxId::from(id));
        if let Some((exact, _)) = exact.filter(|(_, cell)| is_visible(cell)) {
            return Ok(Some(exact.clone()));
        }
        let fitting = pods.iter().filter(|(key, _)| key.as_str().starts_with(id));
        let fitting = fitting.filter(|(_, cell)| is_visible(cell));
        only(id, fitting.map(|(key, _)| key))
    }

    /// The container with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub fn resolve_container(&self, id: &str) -> Result<Option<ContainerId>, Ambiguous> {
        let owners = self.owners.read();
        if let Some((exact, _)) = owners.get_key_value(&ContainerId::from(id)) {
            return Ok(Some(exact.clone()));
        }
        only(id, owners.keys().filter(|key| key.as_str().starts_with(id)))
    }
}
