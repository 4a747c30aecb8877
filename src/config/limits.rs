//! An entry of `limits.namespaces`.

use serde::{Deserialize, Serialize};

/// What namespaces may have at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NamespaceLimit {
    /// Patterns of namespaces; none are all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// Cores of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// GPUs and other resources of `resources.extended`, of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
}
