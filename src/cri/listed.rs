//! What lists show of pods and containers, as it goes over the wire, and lists of it.
//!
//! The numbers of fields are those of `proto/cri/v1/api.proto`; the tests hold them against the messages.

use futures_util::StreamExt as _;
use protobuf::Message;

use super::{
    encode::Fields,
    filter::{container_state, sandbox_state},
    list_size::{self, Listed},
    parts::PART_BYTES,
    Error,
};
use crate::{
    model::{Container, ContainerEntry, ContainerPhase, Nanos, Pod},
    proto::{Encoded, Replies},
};

/// The field of the items in every message that lists some: `items` of `ListPodSandboxResponse`, `stats` of
/// `ContainerStatsResponse`, and so on.
const ITEMS: u8 = 1;

/// Writes an item.
pub trait WriteItem<T>: Fn(&mut Fields<'_>, &T) + Send + 'static {}

impl<T, F: Fn(&mut Fields<'_>, &T) + Send + 'static> WriteItem<T> for F {}

/// A list as it goes over the wire.
pub struct List<L> {
    /// Its bytes.
    pub encoded: Encoded<L>,
    /// Where each item ends in them; none if values were cut.
    pub ends: Option<Vec<usize>>,
}

/// A list, with values cut where it would not fit into a message of `limit` bytes. `items_of` gives the items of such
/// a list; `what` names them.
///
/// # Errors
/// It does not fit even so.
pub fn list<T, L: Message, M: Listed>(
    items: &[T],
    write: impl WriteItem<T>,
    limit: usize,
    (what, items_of): (&str, fn(&mut L) -> &mut Vec<M>),
) -> Result<List<L>, Error> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(items.len()));
    for (before, item) in items.iter().enumerate() {
        Fields::of(&mut bytes).long_message(ITEMS, |fields| write(fields, item));
        ends.push(bytes.len());
        if before == 0 {
            // Most are about as large, and to move them all because a few are larger takes longer than to
            // give back what was too much.
            bytes.reserve((bytes.len() + bytes.len() / 8 + 16) * (items.len() - 1));
        }
    }
    if bytes.len() as u64 + list_size::MARGIN <= limit as u64 {
        bytes.shrink_to_fit();
        return Ok(List {
            encoded: Encoded::new(bytes),
            ends: Some(ends),
        });
    }
    let failed = |error: protobuf::Error| Error::Internal(format!("the list: {error}"));
    let mut list = L::parse_from_bytes(&bytes).map_err(failed)?;
    drop(bytes);
    let whole = std::mem::take(items_of(&mut list));
    *items_of(&mut list) = list_size::fitting(whole, what, limit)?;
    Ok(List {
        encoded: Encoded::encode(&list).map_err(failed)?,
        ends: None,
    })
}

/// A message of one item.
pub fn one<T, L: Message>(item: &T, write: impl WriteItem<T>) -> Encoded<L> {
    let mut bytes = Vec::new();
    Fields::of(&mut bytes).long_message(ITEMS, |fields| write(fields, item));
    Encoded::new(bytes)
}

/// The stream of a list: its items in messages of a bounded size each.
pub fn stream<T: Send + 'static, L: Message>(
    items: Vec<T>,
    write: impl WriteItem<T>,
) -> Replies<Encoded<L>> {
    let mut items = items.into_iter();
    // What was written, and did not fit into the last message.
    let mut next = Vec::new();
    let parts = std::iter::from_fn(move || {
        let mut part = std::mem::take(&mut next);
        for item in items.by_ref() {
            let start = part.len();
            Fields::of(&mut part).long_message(ITEMS, |fields| write(fields, &item));
            if start > 0 && part.len() > PART_BYTES {
                next = part.split_off(start);
                break;
            }
        }
        (!part.is_empty()).then(|| Encoded::new(part))
    });
    futures_util::stream::iter(parts).boxed()
}

/// A sandbox as an item of a list; the default state for one that is removed.
pub fn sandbox(fields: &mut Fields<'_>, pod: &Pod) {
    let sandbox = &pod.sandbox;
    let state = sandbox_state(pod.phase()).unwrap_or_default();
    fields.text(1, sandbox.id.as_str());
    fields.message(2, |fields| sandbox_metadata(fields, pod));
    fields.number(3, state as u32);
    fields.int64(4, sandbox.created_at.0);
    fields.map(5, &sandbox.labels);
    fields.map(6, &sandbox.annotations);
    fields.text(7, &sandbox.runtime_handler);
}

/// A container as an item of a list.
pub fn container(fields: &mut Fields<'_>, entry: &ContainerEntry) {
    let container = &entry.container;
    fields.text(1, container.id.as_str());
    fields.text(2, container.sandbox_id.as_str());
    fields.message(3, |fields| container_metadata(fields, container));
    fields.message(4, |fields| image(fields, container));
    fields.text(5, &container.image_id);
    fields.number(6, container_state(entry.status.phase()) as u32);
    fields.int64(7, container.created_at.0);
    fields.map(8, &container.labels);
    fields.map(9, &container.annotations);
    fields.text(10, &container.image_id);
}

/// A sandbox's stats, with those of its running containers.
pub fn sandbox_stats(fields: &mut Fields<'_>, pod: &Pod, usage: &Usage) {
    let sandbox = &pod.sandbox;
    fields.long_message(1, |fields| {
        fields.text(1, sandbox.id.as_str());
        fields.message(2, |fields| sandbox_metadata(fields, pod));
        fields.map(3, &sandbox.labels);
        fields.map(4, &sandbox.annotations);
    });
    fields.long_message(2, |fields| {
        fields.append(&usage.of_sandbox);
        for entry in &pod.containers {
            if entry.status.phase() == ContainerPhase::Running {
                fields.long_message(5, |fields| container_stats(fields, entry, usage));
            }
        }
    });
}

/// A container's stats.
pub fn container_stats(fields: &mut Fields<'_>, entry: &ContainerEntry, usage: &Usage) {
    let container = &entry.container;
    fields.long_message(1, |fields| {
        fields.text(1, container.id.as_str());
        fields.message(2, |fields| container_metadata(fields, container));
        fields.map(3, &container.labels);
        fields.map(4, &container.annotations);
    });
    fields.append(&usage.of_container);
}

/// CPU and memory at a time. interLink reports no usage, so the figures are zero, which is a message without fields;
/// the kubelet and `crictl stats` want them to be there. They are the same of all, so they are written once.
pub struct Usage {
    of_sandbox: Vec<u8>,
    of_container: Vec<u8>,
}

impl Usage {
    /// At this time.
    pub fn at(now: Nanos) -> Self {
        let written = |fields| {
            let mut bytes = Vec::new();
            usage(&mut Fields::of(&mut bytes), fields, now);
            bytes
        };
        Self {
            of_sandbox: written([1, 2]),
            of_container: written([2, 3]),
        }
    }
}

fn usage(fields: &mut Fields<'_>, [cpu, memory]: [u8; 2], now: Nanos) {
    let mut figures = |field: u8, zero: &[u8]| {
        fields.message(field, |fields| {
            fields.int64(1, now.0);
            for field in zero {
                fields.message(*field, |_| ());
            }
        });
    };
    // usage_core_nano_seconds, usage_nano_cores
    figures(cpu, &[2, 3]);
    // working_set_bytes, usage_bytes, rss_bytes
    figures(memory, &[2, 4, 5]);
}

fn sandbox_metadata(fields: &mut Fields<'_>, pod: &Pod) {
    let sandbox = &pod.sandbox;
    fields.text(1, &sandbox.name);
    fields.text(2, &sandbox.uid);
    fields.text(3, &sandbox.namespace);
    fields.number(4, sandbox.attempt);
}

/// The image as the user wrote it. The kubelet shows it as the container's image, and takes a status
/// without one for an error (`verifyContainerStatus` in cri-client/pkg/utils.go).
pub fn image(fields: &mut Fields<'_>, container: &Container) {
    fields.text(1, &container.image);
    fields.text(18, &container.image);
}

/// A container's metadata.
pub fn container_metadata(fields: &mut Fields<'_>, container: &Container) {
    fields.text(1, &container.name);
    fields.number(2, container.attempt);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_executor::block_on_stream;
    use protobuf::{EnumOrUnknown, MessageField};

    use super::*;
    use crate::{
        cri::{container_status, sandbox_status},
        model::{Exit, StringMap},
        plan::testing,
        proto::{
            self, ContainerStatsResponse, ListContainersResponse, ListPodSandboxResponse,
            PodSandboxStatsResponse, StreamContainersResponse, UInt64Value,
        },
    };

    const NOW: Nanos = Nanos(5_000_000_000);

    /// A pod with labels and annotations, of which the second container has ended.
    fn pod() -> Pod {
        let mut pod = testing::pod(&["a", "b"]);
        let sandbox = Arc::make_mut(&mut pod.sandbox);
        sandbox.labels = StringMap::from([("app", "x"), ("tier", "")]);
        sandbox.annotations = StringMap::from([("note", "y".repeat(300))]);
        sandbox.runtime_handler = "gpu".into();
        (sandbox.attempt, sandbox.created_at) = (3, Nanos(7));
        for entry in &mut pod.containers {
            let container = Arc::make_mut(&mut entry.container);
            container.labels = StringMap::from([("name", "z")]);
            container.annotations = StringMap::from([("hash", "1")]).into();
            container.attempt = 300;
            entry.status.started_at = Some(Nanos(8));
        }
        pod.containers[1].status.exit = Some(Box::new(Exit {
            code: 0,
            reason: String::new(),
            message: String::new(),
            finished_at: Nanos(9),
            termination_message: None,
            used: None,
        }));
        pod
    }

    fn encoded<T: Message>(write: impl FnOnce(&mut Fields<'_>)) -> T {
        let mut bytes = Vec::new();
        write(&mut Fields::of(&mut bytes));
        T::parse_from_bytes(&bytes).expect("a message")
    }

    #[test]
    fn items_of_lists_show_what_statuses_show() {
        let mut pod = pod();
        let stopped = pod.clone();
        pod.status.stopped_at = Some(Nanos(10));
        for pod in [&pod, &stopped] {
            let status = sandbox_status::status(pod);
            let want = proto::PodSandbox {
                id: status.id,
                metadata: status.metadata,
                state: status.state,
                created_at: status.created_at,
                labels: status.labels,
                annotations: status.annotations,
                runtime_handler: status.runtime_handler,
                ..Default::default()
            };
            assert_eq!(encoded::<proto::PodSandbox>(|it| sandbox(it, pod)), want);
        }
        for entry in &pod.containers {
            let status = container_status::status(&pod, entry);
            let want = proto::Container {
                id: status.id,
                pod_sandbox_id: pod.sandbox.id.to_string(),
                metadata: status.metadata,
                image: status.image,
                image_ref: status.image_ref,
                image_id: status.image_id,
                state: EnumOrUnknown::new(container_state(entry.status.phase())),
                created_at: status.created_at,
                labels: status.labels,
                annotations: status.annotations,
                ..Default::default()
            };
            let got: proto::Container = encoded(|it| container(it, entry));
            assert_eq!(got, want);
            assert_eq!(got.state, status.state);
        }
    }

    #[test]
    fn stats_have_attributes_and_figures_that_are_zero() {
        let pod = pod();
        let zero = || MessageField::some(UInt64Value::default());
        let cpu = MessageField::some(proto::CpuUsage {
            timestamp: NOW.0,
            usage_core_nano_seconds: zero(),
            usage_nano_cores: zero(),
            ..Default::default()
        });
        let memory = MessageField::some(proto::MemoryUsage {
            timestamp: NOW.0,
            working_set_bytes: zero(),
            usage_bytes: zero(),
            rss_bytes: zero(),
            ..Default::default()
        });
        let status = container_status::status(&pod, &pod.containers[0]);
        let attributes = proto::ContainerAttributes {
            id: status.id,
            metadata: status.metadata,
            labels: status.labels,
            annotations: status.annotations,
            ..Default::default()
        };
        let of_container = proto::ContainerStats {
            attributes: MessageField::some(attributes),
            cpu: cpu.clone(),
            memory: memory.clone(),
            ..Default::default()
        };
        let got: Encoded<ContainerStatsResponse> = one(&pod.containers[0], |it, entry| {
            container_stats(it, entry, &Usage::at(NOW));
        });
        let got = got.decode().expect("a message");
        assert_eq!(got.stats.as_ref(), Some(&of_container));
        let status = sandbox_status::status(&pod);
        let attributes = proto::PodSandboxAttributes {
            id: status.id,
            metadata: status.metadata,
            labels: status.labels,
            annotations: status.annotations,
            ..Default::default()
        };
        let linux = proto::LinuxPodSandboxStats {
            cpu,
            memory,
            // The second one has ended.
            containers: vec![of_container],
            ..Default::default()
        };
        let want = proto::PodSandboxStats {
            attributes: MessageField::some(attributes),
            linux: MessageField::some(linux),
            ..Default::default()
        };
        let got: Encoded<PodSandboxStatsResponse> =
            one(&pod, |it, pod| sandbox_stats(it, pod, &Usage::at(NOW)));
        assert_eq!(got.decode().expect("a message").stats.as_ref(), Some(&want));
    }

    #[test]
    fn a_list_that_would_be_too_large_is_cut() {
        let mut pod = pod();
        let sandbox_record = Arc::make_mut(&mut pod.sandbox);
        sandbox_record.annotations = StringMap::from([("note", "y".repeat(100_000))]);
        let pods = vec![pod; 10];
        let made = |limit| {
            let list = list(
                &pods,
                sandbox,
                limit,
                ("pods", |list: &mut ListPodSandboxResponse| &mut list.items),
            );
            list.map(|list| {
                let items = list.encoded.decode().expect("a list").items;
                (items, list.ends)
            })
        };
        let (whole, ends) = made(2 << 20).expect("fits");
        assert_eq!((whole.len(), ends.map(|ends| ends.len())), (10, Some(10)));
        assert_eq!(whole[9].annotations["note"].len(), 100_000);
        let (cut, ends) = made(200_000).expect("fits");
        assert_eq!((cut.len(), ends), (10, None));
        assert!(cut[9].annotations["note"].len() < 20_000);
        assert!(made(2_000).is_err());
    }

    #[test]
    fn a_stream_has_every_item_once_in_messages_of_a_bounded_size() {
        let mut entries = Vec::new();
        for (number, size) in [10, 700_000, 600_000, 3_000_000, 10, 10].iter().enumerate() {
            let mut entry = pod().containers.remove(0);
            let container = Arc::make_mut(&mut entry.container);
            container.attempt = number as u32;
            container.annotations = StringMap::from([("note", "y".repeat(*size))]).into();
            entries.push(entry);
        }
        let parts: Replies<Encoded<StreamContainersResponse>> = stream(entries, container);
        let parts = block_on_stream(parts).map(|part| part.decode().expect("a message"));
        let attempts = parts.map(|part| {
            let numbers = part.containers.iter().map(|one| one.metadata.attempt);
            numbers.collect::<Vec<_>>()
        });
        let want = [&[0, 1][..], &[2], &[3], &[4, 5]];
        assert_eq!(attempts.collect::<Vec<_>>(), want);
        let none: Vec<ContainerEntry> = Vec::new();
        let parts: Replies<Encoded<ListContainersResponse>> = stream(none, container);
        assert_eq!(block_on_stream(parts).count(), 0);
    }
}
