//! The CRI's configurations as records have them: labels and annotations, which everything asks for, are in
//! the record itself, and the rest beside it, encoded.

use std::{collections::HashMap, sync::Arc};

use protobuf::Message;

use super::Error;
use crate::{
    model::{Container, Sandbox},
    proto::{ContainerConfig, PodSandboxConfig},
};

/// Reads a sandbox's configuration back.
///
/// # Errors
/// [`Error::Decode`]: the record is damaged.
pub fn decode_sandbox_config(sandbox: &Sandbox) -> Result<PodSandboxConfig, Error> {
    let config = PodSandboxConfig::parse_from_bytes(&sandbox.config);
    let mut config = config.map_err(|source| Error::Decode {
        what: format!("pod sandbox {}", sandbox.id.short()),
        source,
    })?;
    config.labels = sandbox.labels.to_map();
    config.annotations = sandbox.annotations.to_map();
    Ok(config)
}

/// Reads a container's configuration back.
///
/// # Errors
/// [`Error::Decode`]: the record is damaged.
pub fn decode_container_config(container: &Container) -> Result<ContainerConfig, Error> {
    let config = ContainerConfig::parse_from_bytes(&container.config);
    let mut config = config.map_err(|source| Error::Decode {
        what: format!("container {}", container.id.short()),
        source,
    })?;
    config.labels = container.labels.to_map();
    config.annotations = container.annotations.to_map();
    Ok(config)
}

/// A sandbox's configuration as its record has it, beside its labels and annotations.
///
/// # Errors
/// It is larger than a message can be.
pub fn encode_sandbox_config(config: &PodSandboxConfig) -> protobuf::Result<Arc<[u8]>> {
    let rest = PodSandboxConfig {
        labels: HashMap::new(),
        annotations: HashMap::new(),
        ..config.clone()
    };
    rest.write_to_bytes().map(Arc::from)
}

/// A container's configuration as its record has it, beside its labels and annotations.
///
/// # Errors
/// It is larger than a message can be.
pub fn encode_container_config(config: &ContainerConfig) -> protobuf::Result<Arc<[u8]>> {
    let rest = ContainerConfig {
        labels: HashMap::new(),
        annotations: HashMap::new(),
        ..config.clone()
    };
    rest.write_to_bytes().map(Arc::from)
}
