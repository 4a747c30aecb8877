//! A pod as the kubelet on its node knows it: what container configurations and the contents of
//! volumes are made from.

use std::{fmt, net::IpAddr, path::Path};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

use super::{api_objects::ApiObjects, error::Error};

/// Variables with their values, which need not be text.
pub type Variables = Vec<(String, Vec<u8>)>;

/// A pod, and what a kubelet knows of it besides.
pub struct KubeletPod<'a> {
    /// The pod as the API server or a manifest has it.
    pub pod: &'a Pod,
    /// Its UID, as the kubelet has it.
    pub uid: &'a str,
    /// The kubelet's root directory.
    pub kubelet_root: &'a Path,
    /// The pod's address, if it has one.
    pub pod_ip: Option<IpAddr>,
    /// The objects that the pod names.
    pub objects: &'a ApiObjects,
    /// The user that images are said to have, if that is known.
    pub image_user: Option<i64>,
    /// Variables that tell where services are.
    pub service_variables: Variables,
}

/// Without the pod: its variables may be secret.
impl fmt::Debug for KubeletPod<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeletPod")
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

impl KubeletPod<'_> {
    /// The pod's specification.
    ///
    /// # Errors
    /// It has none.
    pub fn spec(&self) -> Result<&PodSpec, Error> {
        let spec = self.pod.spec.as_ref();
        spec.ok_or_else(|| Error::new("the pod has no spec"))
    }

    /// The pod's name; empty where the pod has none.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        let namespace = self.pod.metadata.namespace.as_deref();
        namespace.unwrap_or("default")
    }

    /// A volume of the pod.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn volume(&self, name: &str) -> Result<&Volume, Error> {
        let mut volumes = self.spec()?.volumes.iter().flatten();
        let found = volumes.find(|volume| volume.name == name);
        found.ok_or_else(|| {
            Error::new(format!(
                "it mounts volume `{name}`, which the pod does not have"
            ))
        })
    }
}

/// The containers of a pod in its order: init containers, then the others.
pub fn all_containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
}
