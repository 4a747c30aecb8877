//! `ListContainers` and `StreamContainers`.

use protobuf::{EnumOrUnknown, MessageField};

use super::{
    call::in_parts,
    container_status::{image_spec, metadata},
    filter::{container_state, labels_fit},
    CriContext, Error,
};
use crate::{
    model::ContainerEntry,
    proto::{
        Container, ContainerFilter, ListContainersRequest, ListContainersResponse, Replies,
        StreamContainersRequest, StreamContainersResponse,
    },
};

impl CriContext {
    pub(super) fn list_containers(
        &self,
        request: &ListContainersRequest,
    ) -> Result<ListContainersResponse, Error> {
        let containers = self.fitting(self.containers(&request.filter)?, "containers")?;
        Ok(ListContainersResponse {
            containers,
            ..Default::default()
        })
    }

    pub(super) fn stream_containers(
        &self,
        request: &StreamContainersRequest,
    ) -> Result<Replies<StreamContainersResponse>, Error> {
        let message = |containers| StreamContainersResponse {
            containers,
            ..Default::default()
        };
        Ok(in_parts(self.containers(&request.filter)?, message))
    }

    fn containers(&self, filter: &ContainerFilter) -> Result<Vec<Container>, Error> {
        let sandbox = self.wanted_sandbox(&filter.pod_sandbox_id)?;
        let container = self.wanted_container(&filter.id)?;
        let state = filter
            .state
            .as_ref()
            .map(|value| value.state.enum_value_or_default());
        let fitting = self.containers_where(|pod, entry| {
            sandbox.fits(&pod.sandbox.id)
                && container.fits(entry.id())
                && state.is_none_or(|state| state == container_state(entry.status.phase()))
                && labels_fit(&entry.container.labels, &filter.label_selector)
        });
        Ok(fitting.iter().map(|(_, entry)| item(entry)).collect())
    }
}

fn item(entry: &ContainerEntry) -> Container {
    let container = &entry.container;
    Container {
        id: container.id.to_string(),
        pod_sandbox_id: container.sandbox_id.to_string(),
        metadata: MessageField::some(metadata(container)),
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
