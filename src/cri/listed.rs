//! What lists show of a pod and its containers, as it goes over the wire.
//!
//! A kubelet asks for the lists of everything several times a second, and hardly anything has changed
//! since. So each state of a pod is encoded once, when a list first shows it, and a list is put together
//! from these pieces.

use protobuf::{CodedOutputStream, EnumOrUnknown, Message, MessageField};

use super::{
    container_status::{self, image_spec},
    filter::{container_state, sandbox_state},
    sandbox_status,
};
use crate::{
    model::{ContainerEntry, Pieces, Pod},
    proto::{Container, PodSandbox},
};

/// The tag of field 1 with a message: `items` of `ListPodSandboxResponse`, `containers` of
/// `ListContainersResponse`.
const ITEM: u8 = 1 << 3 | 2;

/// The sandbox of a pod as an item of a list; nothing for one that is removed.
pub fn sandbox(pod: &Pod) -> &[u8] {
    pieces(pod).piece(0)
}

/// The container of a pod at this place as an item of a list.
pub fn container(pod: &Pod, place: usize) -> &[u8] {
    pieces(pod).piece(place + 1)
}

fn pieces(pod: &Pod) -> &Pieces {
    pod.listed.get_or_make(|| {
        Pieces::write(pod.containers.len() + 1, |number, to| {
            match number.checked_sub(1) {
                None => sandbox_item(pod).iter().for_each(|item| write(item, to)),
                Some(place) => write(&container_item(&pod.containers[place]), to),
            }
        })
    })
}

/// Writes a message as an item of a list.
fn write(item: &impl Message, to: &mut Vec<u8>) {
    to.push(ITEM);
    let mut stream = CodedOutputStream::vec(to);
    let written = item
        .write_length_delimited_to(&mut stream)
        .and_then(|()| stream.flush());
    if let Err(error) = written {
        // A buffer takes what comes, and the messages of the CRI have no required fields.
        unreachable!("a list item cannot be encoded: {error}");
    }
}

/// A sandbox as an item of a list; none for one that is removed.
pub fn sandbox_item(pod: &Pod) -> Option<PodSandbox> {
    let sandbox = &pod.sandbox;
    let state = sandbox_state(pod.phase())?;
    Some(PodSandbox {
        id: sandbox.id.to_string(),
        metadata: MessageField::some(sandbox_status::metadata(pod)),
        state: EnumOrUnknown::new(state),
        created_at: sandbox.created_at.0,
        labels: sandbox.labels.clone().into_iter().collect(),
        annotations: sandbox.annotations.clone().into_iter().collect(),
        runtime_handler: sandbox.runtime_handler.clone(),
        ..Default::default()
    })
}

/// A container as an item of a list.
pub fn container_item(entry: &ContainerEntry) -> Container {
    let container = &entry.container;
    Container {
        id: container.id.to_string(),
        pod_sandbox_id: container.sandbox_id.to_string(),
        metadata: MessageField::some(container_status::metadata(container)),
        image: MessageField::some(image_spec(container)),
        image_ref: container.image_id.clone(),
        image_id: container.image_id.clone(),
        state: EnumOrUnknown::new(container_state(entry.status.phase())),
        created_at: container.created_at.0,
        labels: container.labels.clone().into_iter().collect(),
        annotations: container.annotations.clone().into_iter().collect(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::testing,
        proto::{ListContainersResponse, ListPodSandboxResponse},
    };

    #[test]
    fn a_list_is_its_items_one_after_the_other() {
        let pods = [testing::pod(&["a", "b"]), testing::pod(&[])];
        let sandboxes = pods.iter().flat_map(sandbox).copied().collect::<Vec<_>>();
        let list = ListPodSandboxResponse::parse_from_bytes(&sandboxes).expect("a list");
        let items = pods.iter().filter_map(sandbox_item);
        assert_eq!(list.items, items.collect::<Vec<_>>());
        let containers = [container(&pods[0], 1), container(&pods[0], 0)].concat();
        let list = ListContainersResponse::parse_from_bytes(&containers).expect("a list");
        let names = list.containers.iter().map(|it| it.metadata.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["b", "a"]);
    }
}
