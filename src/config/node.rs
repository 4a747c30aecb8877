//! Every key about what the node offers, its default, and why.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::duration;

/// `[node]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Whether the node offers the accelerators that the plugin reports in its answer to /pinglink, in
    /// its `status.capacity`. Needs kubernetes.kubeconfig, as all of this section.
    pub offer_accelerators: bool,
    /// What accelerators are called in Kubernetes, by what the plugin calls them: `{ "a100" =
    /// "nvidia.com/gpu" }`. Those that are not here keep their names, if these can be names of
    /// resources; `""` leaves one out.
    pub accelerators: BTreeMap<String, String>,
    /// Whether the node offers the cluster's CPUs and memory as `interlink.eu/cpu` and
    /// `interlink.eu/memory`, for a kubelet that is not started through `interlink-cri node-view`. What
    /// a container asks of them is its job's `cpu` and `memory`.
    pub offer_cpu_and_memory: bool,
    /// Resources that the node offers whatever the plugin says, as quantities: `{ "nvidia.com/gpu" =
    /// "16" }`.
    pub capacity: BTreeMap<String, String>,
    /// Labels of the node. A kubelet's credentials may set any outside of `kubernetes.io` and `k8s.io`.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the node.
    pub annotations: BTreeMap<String, String>,
    /// How often it is looked whether the node still offers what it should: a kubelet sets its own
    /// resources back to zero when it starts.
    #[serde(with = "duration")]
    pub check_interval: Duration,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            offer_accelerators: false,
            accelerators: BTreeMap::new(),
            offer_cpu_and_memory: false,
            capacity: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            check_interval: Duration::from_secs(30),
        }
    }
}

impl Node {
    /// Whether anything of the node is kept.
    pub fn is_kept(&self) -> bool {
        self.offer_accelerators
            || self.offer_cpu_and_memory
            || !self.capacity.is_empty()
            || !self.labels.is_empty()
            || !self.annotations.is_empty()
    }
}
