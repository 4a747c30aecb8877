//! What a pod consists of, as its author wrote it. The CRI tells of containers one by one; only the
//! API server knows which are still to come.

use k8s_openapi::api::core::v1::PodSpec;

/// The containers of a pod by kind, each kind in the pod's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodContainers {
    /// Init containers that run to their end, one after the other.
    pub inits: Vec<String>,
    /// Init containers that stay: native sidecars.
    pub sidecars: Vec<String>,
    /// Containers that are neither init containers nor sidecars.
    pub mains: Vec<String>,
}

impl From<&PodSpec> for PodContainers {
    fn from(spec: &PodSpec) -> Self {
        let inits = spec.init_containers.iter().flatten();
        let (sidecars, inits): (Vec<_>, Vec<_>) =
            inits.partition(|init| init.restart_policy.as_deref() == Some("Always"));
        let names = |containers: Vec<&k8s_openapi::api::core::v1::Container>| {
            let names = containers
                .into_iter()
                .map(|container| container.name.clone());
            names.collect()
        };
        Self {
            inits: names(inits),
            sidecars: names(sidecars),
            mains: names(spec.containers.iter().collect()),
        }
    }
}

impl PodContainers {
    /// All of them: what runs to its end first, then what runs side by side.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.inits.iter().chain(&self.sidecars).chain(&self.mains)
    }
}
