//! Jobs that wait for room in their namespaces, and when one of them is to be tried.
//!
//! All of it follows from the records of pods, which are looked at one by one when the daemon starts.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    model::{Nanos, Pod, SandboxId},
    plan::limits::{self, NamespaceLimits, Usage},
};

/// A job that waits: its age, its pod, and its number.
type Place = (Nanos, SandboxId, u32);

/// What is known of a pod in a namespace with a limit.
struct Known {
    namespace: String,
    usage: Usage,
    place: Option<Place>,
}

/// The jobs that wait, in the order in which they go.
#[derive(Default)]
pub struct Waiting {
    queues: HashMap<String, BTreeSet<Place>>,
    pods: HashMap<SandboxId, Known>,
    /// Pods whose job is to be tried as soon as nobody has them in hand.
    hastened: HashSet<SandboxId>,
}

impl Waiting {
    /// Takes over how a pod is now; none if it is gone. Gives the pod whose job is to be tried, because
    /// there may be room for it.
    pub fn note(
        &mut self,
        limits: &NamespaceLimits,
        id: &SandboxId,
        pod: Option<&Pod>,
    ) -> Option<SandboxId> {
        let limited = pod.filter(|pod| limits.of(&pod.sandbox.namespace).is_some());
        let now = limited.map(|pod| Known {
            namespace: pod.sandbox.namespace.to_string(),
            usage: Usage::of_pod(pod),
            place: limits::waits_since(pod).map(|(since, number)| (since, id.clone(), number)),
        });
        if now.is_none() && !self.pods.contains_key(id) {
            return None;
        }
        let before = self.pods.remove(id);
        if let Some(Known {
            namespace,
            place: Some(place),
            ..
        }) = &before
        {
            let queue = self.queues.entry(namespace.clone()).or_default();
            queue.remove(place);
            if queue.is_empty() {
                self.queues.remove(namespace);
            }
        }
        if let Some(Known {
            namespace,
            place: Some(place),
            ..
        }) = &now
        {
            self.queues
                .entry(namespace.clone())
                .or_default()
                .insert(place.clone());
        } else {
            self.hastened.remove(id);
        }
        let makes_room = before.as_ref().is_some_and(|before| {
            let usage = now.as_ref().map(|now| now.usage).unwrap_or_default();
            let has_left =
                before.place.is_some() && now.as_ref().is_none_or(|now| now.place.is_none());
            usage.is_less_than(&before.usage) || has_left
        });
        let namespace = before.filter(|_| makes_room).map(|before| before.namespace);
        if let Some(now) = now {
            self.pods.insert(id.clone(), now);
        }
        let (_, first, _) = self.queues.get(&namespace?)?.first()?;
        self.hastened.insert(first.clone());
        Some(first.clone())
    }

    /// The number of a pod's job that is to be tried now, once.
    pub fn take_hastened(&mut self, id: &SandboxId) -> Option<u32> {
        if !self.hastened.remove(id) {
            return None;
        }
        let (_, _, number) = self.pods.get(id)?.place.as_ref()?;
        Some(*number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, model::Submission, plan::testing};

    fn pod(id: &str, age: i64, submission: Submission, is_held: bool) -> Pod {
        let mut pod = testing::with_job(id, age, submission, 1);
        if is_held {
            limits::hold(&mut pod, 0, "no room", Nanos(age));
        }
        pod
    }

    #[test]
    fn the_oldest_is_tried_when_there_is_room() {
        let config: Config = toml::from_str("[[limits.namespaces]]\njobs = 1").expect("settings");
        let limits = NamespaceLimits::new(&config.limits);
        let mut waiting = Waiting::default();
        let mut note = |pod: Pod| {
            let id = pod.sandbox.id.clone();
            let first = waiting.note(&limits, &id, Some(&pod));
            let number = first.as_ref().and_then(|id| waiting.take_hastened(id));
            assert_eq!(number, first.as_ref().map(|_| 0));
            first.map(|id| id.to_string())
        };
        let pending = || Submission::Pending {
            failures: 0,
            not_before: Nanos(0),
        };
        let submitted = || Submission::Submitted { at: Nanos(1) };
        assert_eq!(note(pod("run", 1, submitted(), false)), None);
        assert_eq!(note(pod("young", 5, pending(), true)), None);
        assert_eq!(note(pod("old", 3, pending(), true)), None);
        assert_eq!(
            note(pod("run", 1, submitted(), false)),
            None,
            "nothing has changed"
        );
        assert_eq!(
            note(pod("run", 1, Submission::Finished, false)),
            Some("old".to_owned())
        );
        // It has left the queue, so the next one may have room beside it.
        let left = note(pod("old", 3, Submission::Submitting { failures: 0 }, false));
        assert_eq!(left, Some("young".to_owned()));
        assert_eq!(
            note(pod("young", 5, Submission::Dropped, false)),
            None,
            "nobody is left"
        );
        // A pod that is gone has nothing.
        assert_eq!(note(pod("late", 7, pending(), true)), None);
        let gone = waiting.note(&limits, &SandboxId::from("old"), None);
        assert_eq!(gone, Some(SandboxId::from("late")));
        let unlimited = waiting.note(&NamespaceLimits::default(), &SandboxId::from("x"), None);
        assert_eq!(unlimited, None);
    }
}
