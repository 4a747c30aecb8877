//! A container of a job, from which the job's pod is made.

use std::sync::Arc;

use crate::{kubelet::FoundMount, model::Container, proto::ContainerConfig};

/// A container of a job. One that the kubelet started has the record and the configuration of its
/// creation; one that it is still expected to create has those that it would get.
#[derive(Clone, Debug)]
pub struct JobContainer {
    /// Its record.
    pub container: Arc<Container>,
    /// What the kubelet sent for it, decoded.
    pub config: ContainerConfig,
    /// What was found behind its mounts, in their order.
    pub found: Vec<FoundMount>,
}
