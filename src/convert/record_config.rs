//! The CRI's configurations as records have them: labels and annotations, which everything asks for, are in
//! the record itself, and the rest beside it, encoded. Of that rest, calls show little.

use std::{collections::HashMap, sync::Arc};

use protobuf::Message;

use super::Error;
use crate::{
    model::{Container, CriConfig, Sandbox},
    proto::{
        select, ContainerConfig, PodSandboxConfig,
        Taken::{self, Field, Within},
    },
};

/// What is shown of a container's configuration: `mounts`, `linux.resources`, `stop_signal`.
const OF_CONTAINER: &[Taken] = &[Field(7), Within(15, &[Field(1)]), Field(18)];
/// What is shown of a sandbox's, and held against each of its containers: `linux.security_context`.
const OF_SANDBOX: &[Taken] = &[Within(8, &[Field(2)])];

/// Reads a sandbox's configuration back.
///
/// # Errors
/// [`Error::NotLoaded`], and [`Error::Decode`]: the record is damaged.
pub fn decode_sandbox_config(sandbox: &Sandbox) -> Result<PodSandboxConfig, Error> {
    let what = || format!("pod sandbox {}", sandbox.id.short());
    let mut config: PodSandboxConfig = decode(&sandbox.config, what)?;
    config.labels = sandbox.labels.to_map();
    config.annotations = sandbox.annotations.to_map();
    Ok(config)
}

/// Reads a container's configuration back.
///
/// # Errors
/// [`Error::NotLoaded`], and [`Error::Decode`]: the record is damaged.
pub fn decode_container_config(container: &Container) -> Result<ContainerConfig, Error> {
    let what = || format!("container {}", container.id.short());
    let mut config: ContainerConfig = decode(&container.config, what)?;
    config.labels = container.labels.to_map();
    config.annotations = container.annotations.to_map();
    Ok(config)
}

fn decode<T: Message>(config: &CriConfig, what: impl Fn() -> String) -> Result<T, Error> {
    let whole = config.whole();
    let whole = whole.ok_or_else(|| Error::NotLoaded { what: what() })?;
    T::parse_from_bytes(whole).map_err(|source| Error::Decode {
        what: what(),
        source,
    })
}

/// A sandbox's configuration as far as calls show it: its security context. Of a damaged record, nothing.
pub fn shown_of_sandbox(sandbox: &Sandbox) -> PodSandboxConfig {
    PodSandboxConfig::parse_from_bytes(sandbox.config.shown()).unwrap_or_default()
}

/// A container's configuration as far as calls show it: its mounts, resources and stop signal. Of a damaged
/// record, nothing.
pub fn shown_of_container(container: &Container) -> ContainerConfig {
    ContainerConfig::parse_from_bytes(container.config.shown()).unwrap_or_default()
}

/// A sandbox's configuration as its record has it, beside its labels and annotations.
///
/// # Errors
/// It is larger than a message can be.
pub fn encode_sandbox_config(config: &PodSandboxConfig) -> protobuf::Result<CriConfig> {
    let rest = PodSandboxConfig {
        labels: HashMap::new(),
        annotations: HashMap::new(),
        ..config.clone()
    };
    Ok(sandbox_config(rest.write_to_bytes()?.into()))
}

/// A container's configuration as its record has it, beside its labels and annotations.
///
/// # Errors
/// It is larger than a message can be.
pub fn encode_container_config(config: &ContainerConfig) -> protobuf::Result<CriConfig> {
    let rest = ContainerConfig {
        labels: HashMap::new(),
        annotations: HashMap::new(),
        ..config.clone()
    };
    Ok(container_config(rest.write_to_bytes()?.into()))
}

/// A sandbox's configuration of which this is the whole.
pub fn sandbox_config(whole: Arc<[u8]>) -> CriConfig {
    let shown = select(&whole, OF_SANDBOX);
    CriConfig::new(whole, shown.into())
}

/// A container's configuration of which this is the whole.
pub fn container_config(whole: Arc<[u8]>) -> CriConfig {
    let shown = select(&whole, OF_CONTAINER);
    CriConfig::new(whole, shown.into())
}

#[cfg(test)]
mod tests {
    use protobuf::MessageField;

    use super::*;
    use crate::convert::testing::{fixture, sandbox_mut};

    #[test]
    fn what_is_shown_is_a_part_of_what_came() {
        let (mut pod, _) = fixture(&["main"]);
        let container = Arc::make_mut(&mut pod.containers[0].container);
        let mut whole = decode_container_config(container).expect("the config is good");
        whole.stop_signal = protobuf::EnumOrUnknown::from_i32(9);
        // Of a later kubelet, within what is shown.
        whole.mounts[0]
            .special_fields
            .mut_unknown_fields()
            .add_varint(999, 7);
        container.config = encode_container_config(&whole).expect("it is small");
        let want = ContainerConfig {
            mounts: whole.mounts.clone(),
            stop_signal: whole.stop_signal,
            linux: MessageField::some(crate::proto::LinuxContainerConfig {
                resources: whole.linux.resources.clone(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(whole.linux.resources.is_some() && whole.mounts.len() == 3);
        assert_eq!(shown_of_container(container), want);
        container.config.let_go();
        assert_eq!(shown_of_container(container), want, "it stays");

        let sandbox = sandbox_mut(&mut pod);
        let whole = decode_sandbox_config(sandbox).expect("the config is good");
        let want = PodSandboxConfig {
            linux: MessageField::some(crate::proto::LinuxPodSandboxConfig {
                security_context: whole.linux.security_context.clone(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(whole.linux.security_context.is_some());
        assert_eq!(shown_of_sandbox(sandbox), want);
    }

    #[test]
    fn a_job_is_not_made_of_what_is_shown() {
        let (mut pod, _) = fixture(&["main"]);
        pod.let_configs_go();
        let container = decode_container_config(&pod.containers[0].container);
        assert!(matches!(container, Err(Error::NotLoaded { .. })));
        let sandbox = decode_sandbox_config(&pod.sandbox);
        assert!(matches!(sandbox, Err(Error::NotLoaded { .. })));
    }
}
