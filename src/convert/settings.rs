//! What the configuration says about conversion, checked.

use std::{fmt, path::PathBuf};

use super::{extended::Extended, metadata, Error};
use crate::{
    config::{
        policy::{HostPaths, Security, Unsupported},
        schema::ImageReferences,
        Config,
    },
    quantity,
};

/// What conversion depends on beside the messages themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The kubelet's root directory.
    pub kubelet_root: PathBuf,
    /// What becomes of volumes that cannot be part of a remote job.
    pub unsupported_volumes: Unsupported,
    /// Directories that are the same on the compute nodes.
    pub shared_paths: Vec<PathBuf>,
    /// Which hostPath volumes can be part of a remote job.
    pub host_paths: HostPaths,
    /// Whether service account tokens are sent with a job.
    pub service_account_tokens: bool,
    /// The most bytes of volumes that are sent with a job.
    pub max_volume_bytes: u64,
    /// What sites forbid.
    pub security: Security,
    /// Labels and annotations.
    pub metadata: metadata::Rules,
    /// GPUs and the like.
    pub extended: Vec<Extended>,
    /// The user that images are reported to have; 0 when none is reported, as the kubelet has it.
    pub image_uid: i64,
    /// Whether the keys of a volume's files are paths, with directories in them.
    pub keys_are_paths: bool,
    /// Whether images are passed on that are in no registry.
    pub takes_other_images: bool,
    /// The pod annotation that names images.
    pub image_annotation: Option<String>,
    /// Memory limit in bytes of containers that bring none.
    pub default_memory: Option<u64>,
}

impl Settings {
    /// Takes the settings out of a configuration.
    ///
    /// # Errors
    /// [`Error::Quantity`] for a `jobs.default_memory` that is none, [`Error::Pattern`].
    pub fn new(config: &Config) -> Result<Self, Error> {
        let default_memory = config.jobs.default_memory.as_deref();
        let extended = config.resources.extended.iter().map(Extended::new);
        Ok(Self {
            kubelet_root: config.pods.kubelet_root.clone(),
            unsupported_volumes: config.pods.unsupported_volumes,
            shared_paths: config.pods.shared_paths.clone(),
            host_paths: config.pods.host_paths,
            service_account_tokens: config.pods.service_account_tokens,
            max_volume_bytes: config.pods.max_volume_bytes,
            security: config.security.clone(),
            metadata: metadata::Rules::new(&config.metadata)?,
            extended: extended.collect::<Result<_, _>>()?,
            image_uid: config.images.uid.into(),
            keys_are_paths: false,
            takes_other_images: config.images.references == ImageReferences::Any,
            image_annotation: config.images.annotation.clone(),
            default_memory: default_memory.map(quantity::parse_memory).transpose()?,
        })
    }
}

/// What a job goes without although it was asked for. Said once, when the container is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A volume that cannot be part of a remote job, and that the settings say to leave out.
    Volume {
        /// The volume as people know it: "volume `data`".
        volume: String,
        /// What it is, and why it cannot be part of one.
        reason: String,
    },
    /// A device of this node, by its path or its CDI name.
    Device(String),
    /// A demand that the site does not allow, and that the settings say to drop.
    Dropped {
        /// The field, as a pod's author writes it.
        field: &'static str,
        /// The key of the configuration that says so.
        key: &'static str,
    },
    /// A user by name, which a Kubernetes pod cannot ask for.
    UserName(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume { volume, reason } => {
                write!(f, "{volume} {reason}; the container runs without it")
            }
            Self::Device(device) => write!(
                f,
                "device `{device}` belongs to this node; the container runs without it"
            ),
            Self::Dropped { field, key } => {
                write!(f, "{field} is dropped, as `{key}` says")
            }
            Self::UserName(name) => write!(
                f,
                "user `{name}` is asked for by name, which no Kubernetes pod can; the container \
                 runs as the user that the plugin chooses"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_memory_must_be_an_amount() {
        let mut config = Config::default();
        assert_eq!(Settings::new(&config).unwrap().default_memory, None);
        config.jobs.default_memory = Some("2Gi".to_owned());
        assert_eq!(
            Settings::new(&config).unwrap().default_memory,
            Some(2 << 30)
        );
        config.jobs.default_memory = Some("a lot".to_owned());
        assert!(matches!(
            Settings::new(&config),
            Err(Error::Quantity { .. })
        ));
    }
}
