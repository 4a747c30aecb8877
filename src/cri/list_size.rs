//! Lists that fit into a message, whatever pods have written into their annotations.
//!
//! The kubelet asks for the lists of all pods and all containers each second, and takes its node for broken
//! when it gets none. Some pods with large annotations must not bring that about: a list that would be too
//! large comes with values cut that no kubelet reads back. Statuses have them whole, and so have the
//! streams of lists, which are sent in parts.

use std::collections::HashMap;

use protobuf::Message;

use super::Error;
use crate::{
    kubelet::annotations::{is_read_back, READ_IN_STATUSES},
    proto::{
        Container, ContainerEventResponse, ContainerStats, ContainerStatus, Image, PodSandbox,
        PodSandboxMetrics, PodSandboxStats,
    },
    text,
};

/// Said at the end of a value that was cut.
const CUT: &str = "... (cut: the list would be too large; the status has it whole)";
/// What an item takes beside its own bytes, at the most: a tag and its length.
const ITEM: u64 = 8;
/// For what a message has beside its items.
pub const MARGIN: u64 = 1024;
/// Values are cut to this length first, then to half of it, and so on.
const LONGEST: usize = 64 << 10;

/// What lists consist of.
pub trait Listed: Message {
    /// All its annotations.
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>>;
}

impl Listed for PodSandbox {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        vec![&mut self.annotations]
    }
}

impl Listed for Container {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        let image = self.image.as_mut().map(|image| &mut image.annotations);
        image.into_iter().chain([&mut self.annotations]).collect()
    }
}

impl Listed for ContainerStatus {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        let image = self.image.as_mut().map(|image| &mut image.annotations);
        image.into_iter().chain([&mut self.annotations]).collect()
    }
}

impl Listed for ContainerStats {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        let attributes = self.attributes.as_mut();
        attributes
            .map(|it| &mut it.annotations)
            .into_iter()
            .collect()
    }
}

impl Listed for PodSandboxStats {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        let own = self.attributes.as_mut().map(|it| &mut it.annotations);
        let linux = self.linux.as_mut();
        let containers = linux.map(|linux| linux.containers.iter_mut());
        let containers = containers
            .into_iter()
            .flatten()
            .flat_map(Listed::annotations);
        own.into_iter().chain(containers).collect()
    }
}

impl Listed for Image {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        let spec = self.spec.as_mut();
        spec.map(|spec| &mut spec.annotations).into_iter().collect()
    }
}

impl Listed for PodSandboxMetrics {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        Vec::new()
    }
}

/// An event has the statuses of a whole pod.
impl Listed for ContainerEventResponse {
    fn annotations(&mut self) -> Vec<&mut HashMap<String, String>> {
        let pod = self
            .pod_sandbox_status
            .as_mut()
            .map(|it| &mut it.annotations);
        let containers = self.containers_statuses.iter_mut();
        pod.into_iter()
            .chain(containers.flat_map(Listed::annotations))
            .collect()
    }
}

/// How large items are within a message.
pub fn size<T: Message>(item: &T) -> u64 {
    item.compute_size() + ITEM
}

/// The items, with values cut where they would not fit into a message of `limit` bytes.
///
/// # Errors
/// They do not fit even so.
pub fn fitting<T: Listed>(mut items: Vec<T>, what: &str, limit: usize) -> Result<Vec<T>, Error> {
    let room = (limit as u64).saturating_sub(MARGIN);
    let total = total_size(&items);
    if total <= room || cut(&mut items, total, room) {
        return Ok(items);
    }
    for annotations in items.iter_mut().flat_map(Listed::annotations) {
        annotations.retain(|key, _| !READ_IN_STATUSES.contains(&key.as_str()));
    }
    match total_size(&items) <= room {
        true => Ok(items),
        false => Err(too_large(items.len(), what, total, limit)),
    }
}

fn total_size<T: Message>(items: &[T]) -> u64 {
    items.iter().map(size).sum()
}

/// Cuts values that no kubelet reads back, as little as is enough; false where it is not.
fn cut<T: Listed>(items: &mut [T], total: u64, room: u64) -> bool {
    let mut values: Vec<&mut String> = items
        .iter_mut()
        .flat_map(Listed::annotations)
        .flatten()
        .filter(|(key, _)| !is_read_back(key))
        .map(|(_, value)| value)
        .collect();
    let saved = |longest: usize| -> u64 {
        let saved = values
            .iter()
            .map(|value| value.len().saturating_sub(longest + CUT.len()));
        saved.map(|bytes| bytes as u64).sum()
    };
    let halved = std::iter::successors(Some(LONGEST), |longest| Some(longest / 2));
    let mut lengths = halved.take_while(|longest| *longest > 0).chain([0]);
    let enough = lengths.find(|longest| total - saved(*longest) <= room);
    let longest = enough.unwrap_or(0);
    for value in &mut values {
        if value.len() > longest + CUT.len() {
            **value = format!("{}{CUT}", text::beginning(value, longest));
        }
    }
    enough.is_some()
}

fn too_large(count: usize, what: &str, total: u64, limit: usize) -> Error {
    Error::Exhausted(format!(
        "the list of {count} {what} takes {total} bytes, more than the {limit} of \
         cri.max_message_bytes, also with annotations cut; ask for some of them by id, state or label, \
         or for the stream of them, which comes in parts"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: usize, value: &str) -> Vec<PodSandbox> {
        let annotations = [
            ("note".to_owned(), value.to_owned()),
            ("kubernetes.io/config.hash".to_owned(), "h".repeat(200)),
            ("short".to_owned(), "s".to_owned()),
        ];
        let pod = PodSandbox {
            annotations: annotations.into(),
            ..PodSandbox::default()
        };
        vec![pod; count]
    }

    #[test]
    fn only_what_does_not_fit_is_cut_and_nothing_that_a_kubelet_reads() {
        let whole = pods(10, &"ü".repeat(50_000));
        let size_of = |pods: &[PodSandbox]| pods.iter().map(size).sum::<u64>();
        let same = fitting(whole.clone(), "pods", 2 << 20).expect("fits");
        assert_eq!(same, whole);
        for limit in [900_000, 100_000, 10_000] {
            let cut = fitting(whole.clone(), "pods", limit).expect("fits");
            assert!(size_of(&cut) <= limit as u64);
            for pod in &cut {
                assert!(pod.annotations["note"].ends_with(CUT), "{limit}");
                assert_eq!(pod.annotations["kubernetes.io/config.hash"].len(), 200);
                assert_eq!(pod.annotations["short"], "s");
            }
        }
        let mut hooked = pods(10, "");
        for pod in &mut hooked {
            let hook = "x".repeat(50_000);
            pod.annotations.insert(READ_IN_STATUSES[1].to_owned(), hook);
        }
        let cut = fitting(hooked, "pods", 10_000).expect("fits");
        assert!(size_of(&cut) <= 10_000);
        let refused = fitting(whole, "pods", 2_000)
            .expect_err("too large")
            .to_string();
        assert!(refused.contains("10 pods") && refused.contains("cri.max_message_bytes"));
    }
}
