//! The filters of the list calls: everything given must fit; nothing given fits all.

use std::{collections::HashMap, sync::Arc};

use protobuf::Message;

use crate::{
    model::{ContainerEntry, ContainerPhase, Nanos, Pod, SandboxPhase, StringMap},
    proto::{ContainerState, PodSandboxState},
};

/// Whether a filter leaves nothing out: none was given, or an empty one.
pub fn is_all<F: Message + PartialEq>(filter: &F) -> bool {
    filter == F::default_instance()
}

/// Whether labels carry every term of a selector, exactly.
pub fn labels_fit(labels: &StringMap, selector: &HashMap<String, String>) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value.as_str()))
}

/// A sandbox's state in the CRI; none for one that is removed.
pub fn sandbox_state(phase: SandboxPhase) -> Option<PodSandboxState> {
    match phase {
        SandboxPhase::Ready => Some(PodSandboxState::SANDBOX_READY),
        SandboxPhase::NotReady => Some(PodSandboxState::SANDBOX_NOTREADY),
        SandboxPhase::Removed => None,
    }
}

/// A container's state in the CRI.
pub fn container_state(phase: ContainerPhase) -> ContainerState {
    match phase {
        ContainerPhase::Created => ContainerState::CONTAINER_CREATED,
        ContainerPhase::Running => ContainerState::CONTAINER_RUNNING,
        ContainerPhase::Exited => ContainerState::CONTAINER_EXITED,
    }
}

/// What a filter says of ids: nothing, one id, or one that does not exist, which fits nothing.
pub enum Wanted<T> {
    /// No id was given.
    Any,
    /// This one.
    One(T),
    /// None can fit.
    Nothing,
}

impl<T: PartialEq> Wanted<T> {
    /// Whether an id fits.
    pub fn fits(&self, id: &T) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => one == id,
            Self::Nothing => false,
        }
    }

    /// What `given` means, where a look-up for it has found this.
    pub fn from_lookup(given: &str, found: Option<T>) -> Self {
        match (given.is_empty(), found) {
            (true, _) => Self::Any,
            (false, Some(one)) => Self::One(one),
            (false, None) => Self::Nothing,
        }
    }
}

/// A container that was found.
#[derive(Clone)]
pub struct Found {
    /// Its pod.
    pub pod: Arc<Pod>,
    /// Its place among the pod's containers.
    pub place: usize,
    created_at: Nanos,
}

impl Found {
    /// All containers of a pod.
    pub fn all_of(pod: &Arc<Pod>) -> impl Iterator<Item = Self> + '_ {
        let entries = pod.containers.iter().enumerate();
        entries.map(|(place, entry)| Self {
            created_at: entry.container.created_at,
            pod: pod.clone(),
            place,
        })
    }

    /// When it was created.
    pub fn created_at(&self) -> Nanos {
        self.created_at
    }

    /// Its record.
    pub fn entry(&self) -> &ContainerEntry {
        // Places come from the pod itself, which never changes.
        &self.pod.containers[self.place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_must_fit() {
        let labels = StringMap::from([("a", "1"), ("b", "2")]);
        let selector = |terms: &[(&str, &str)]| {
            terms
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        assert!(labels_fit(&labels, &selector(&[])));
        assert!(labels_fit(&labels, &selector(&[("a", "1"), ("b", "2")])));
        assert!(!labels_fit(&labels, &selector(&[("a", "1"), ("b", "3")])));
        assert!(!labels_fit(&labels, &selector(&[("c", "")])));
    }
}
