//! Files that a kubelet writes into volumes.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::Volume;

/// Kinds of volumes whose files come from the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
    /// Contents of several sources, service account tokens among them.
    Projected,
    /// Fields of the pod itself.
    DownwardApi,
}

impl ContentKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::ConfigMap,
        Self::Secret,
        Self::Projected,
        Self::DownwardApi,
    ];

    /// The kind of a pod's volume; none for a volume without such files.
    pub fn of(volume: &Volume) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| match kind {
            Self::ConfigMap => volume.config_map.is_some(),
            Self::Secret => volume.secret.is_some(),
            Self::Projected => volume.projected.is_some(),
            Self::DownwardApi => volume.downward_api.is_some(),
        })
    }
}

/// Files by their relative paths, with `/` between the parts.
pub type Files = BTreeMap<String, ContentFile>;

/// A file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentFile {
    /// Permission bits.
    pub mode: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Without the bytes: they may be a secret.
impl fmt::Debug for ContentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:#o}", self.bytes.len(), self.mode)
    }
}
