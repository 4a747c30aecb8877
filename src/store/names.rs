//! Which attempts at pods have a sandbox.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::model::{Pod, Sandbox, SandboxId, SandboxPhase};

/// Pod name, namespace, UID and attempt are taken by one sandbox at a time. Until it is removed: a
/// tombstone has none.
#[derive(Default)]
pub struct Names(Mutex<HashSet<ByName>>);

/// A sandbox, looked up by what the kubelet calls it.
struct ByName(Arc<Sandbox>);

impl ByName {
    fn name(&self) -> (&str, &str, &str, u32) {
        let sandbox = &*self.0;
        let (name, namespace) = (sandbox.name.as_str(), sandbox.namespace.as_str());
        (name, namespace, sandbox.uid.as_str(), sandbox.attempt)
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ByName {}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Names {
    /// Those of the sandboxes that are not removed.
    pub fn of<'a>(pods: impl Iterator<Item = &'a Pod>) -> Self {
        let visible = pods.filter(|pod| pod.phase() != SandboxPhase::Removed);
        let names = visible.map(|pod| ByName(pod.sandbox.clone()));
        Self(Mutex::new(names.collect()))
    }

    /// Takes the name of a new sandbox.
    ///
    /// # Errors
    /// The sandbox that has it.
    pub fn take(&self, sandbox: &Arc<Sandbox>) -> Result<(), SandboxId> {
        let name = ByName(sandbox.clone());
        let mut names = self.0.lock();
        if let Some(ByName(other)) = names.get(&name) {
            return Err(other.id.clone());
        }
        names.insert(name);
        Ok(())
    }

    /// Frees the name of a sandbox that did not come to be.
    pub fn give_back(&self, sandbox: &Arc<Sandbox>) {
        self.0.lock().remove(&ByName(sandbox.clone()));
    }

    /// Leaves the configurations of a new pod to the disk. Nobody else can take its name meanwhile, and what
    /// has it keeps no configuration alive.
    pub fn let_configs_go(&self, pod: &mut Pod) {
        let mut names = self.0.lock();
        names.remove(&ByName(pod.sandbox.clone()));
        pod.let_configs_go();
        names.insert(ByName(pod.sandbox.clone()));
    }

    /// Frees the name of a sandbox that was removed, and keeps no older record alive than the pod has.
    pub fn follow(&self, before: &Pod, after: &Pod) {
        let [was_there, is_there] = [before, after].map(|pod| pod.phase() != SandboxPhase::Removed);
        if !was_there || is_there && Arc::ptr_eq(&before.sandbox, &after.sandbox) {
            return;
        }
        let mut names = self.0.lock();
        let name = ByName(after.sandbox.clone());
        names.remove(&name);
        if is_there {
            names.insert(name);
        }
    }
}
