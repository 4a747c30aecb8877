//! What a pod names beside itself: ConfigMaps, Secrets, persistent volumes, a token.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, Secret};

use super::error::Error;

/// What a kubelet asks the API server for, beside the pod.
#[derive(Debug, Default)]
pub struct ApiObjects {
    /// ConfigMaps by name.
    pub configmaps: BTreeMap<String, ConfigMap>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
    /// The persistent volumes that claims are bound to, by the names of the claims.
    pub claims: BTreeMap<String, PersistentVolume>,
    /// The token of the pod's service account.
    pub token: Option<String>,
}

/// The keys of an object with their values.
pub type Keys = BTreeMap<String, Vec<u8>>;

impl ApiObjects {
    /// All keys of a ConfigMap, or none where it may be missing and is.
    ///
    /// # Errors
    /// It is missing.
    pub fn configmap(&self, name: &str, optional: Option<bool>) -> Result<Keys, Error> {
        let mut keys = self.configmap_texts(name, optional)?;
        let map = self.configmaps.get(name);
        let binary = map.and_then(|map| map.binary_data.as_ref());
        let binary = binary.into_iter().flatten();
        keys.extend(binary.map(|(key, value)| (key.clone(), value.0.clone())));
        Ok(keys)
    }

    /// The keys of a ConfigMap that are texts. Only those become variables, never `binaryData`
    /// (`makeEnvironmentVariables` in `pkg/kubelet/kubelet_pods.go`).
    ///
    /// # Errors
    /// It is missing, and must not be.
    pub fn configmap_texts(&self, name: &str, optional: Option<bool>) -> Result<Keys, Error> {
        let map = present(self.configmaps.get(name), "ConfigMap", name, optional)?;
        let data = map.and_then(|map| map.data.as_ref()).into_iter().flatten();
        Ok(data
            .map(|(key, value)| (key.clone(), value.clone().into_bytes()))
            .collect())
    }

    /// The keys of a Secret, or none where it may be missing and is.
    ///
    /// # Errors
    /// It is missing, and must not be.
    pub fn secret(&self, name: &str, optional: Option<bool>) -> Result<Keys, Error> {
        let Some(secret) = present(self.secrets.get(name), "Secret", name, optional)? else {
            return Ok(Keys::new());
        };
        let data = secret.data.iter().flatten();
        let text = secret.string_data.iter().flatten();
        let data = data.map(|(key, value)| (key.clone(), value.0.clone()));
        // `stringData` wins: the API server writes it over `data` when it takes an object
        // (`Convert_v1_Secret_To_core_Secret` in `pkg/apis/core/v1/conversion.go`).
        Ok(data
            .chain(text.map(|(key, value)| (key.clone(), value.clone().into_bytes())))
            .collect())
    }
}

/// An object that is there, or none where it may be missing.
fn present<'a, T>(
    found: Option<&'a T>,
    kind: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<&'a T>, Error> {
    match found {
        None if optional != Some(true) => Err(Error::new(format!(
            "{kind} `{name}` is not there; beside a Pod in a file, add it after a line `---`"
        ))),
        found => Ok(found),
    }
}
