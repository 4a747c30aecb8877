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
pub type Keys<'a> = BTreeMap<&'a str, &'a [u8]>;

impl ApiObjects {
    /// All keys of a ConfigMap, or none where it may be missing and is.
    ///
    /// # Errors
    /// It is missing.
    pub fn configmap(&self, name: &str, optional: Option<bool>) -> Result<Keys<'_>, Error> {
        let mut keys = self.configmap_texts(name, optional)?;
        let map = self.configmaps.get(name);
        let binary = map.and_then(|map| map.binary_data.as_ref());
        let binary = binary.into_iter().flatten();
        keys.extend(binary.map(|(key, value)| (key.as_str(), value.0.as_slice())));
        Ok(keys)
    }

    /// The keys of a ConfigMap that are texts. Only those become variables, never `binaryData`
    /// (`makeEnvironmentVariables` in `pkg/kubelet/kubelet_pods.go`).
    ///
    /// # Errors
    /// It is missing, and must not be.
    pub fn configmap_texts(&self, name: &str, optional: Option<bool>) -> Result<Keys<'_>, Error> {
        let map = self.present_configmap(name, optional)?;
        let data = map.and_then(|map| map.data.as_ref()).into_iter().flatten();
        Ok(data
            .map(|(key, value)| (key.as_str(), value.as_bytes()))
            .collect())
    }

    /// One text of a ConfigMap; none where it has none of that key, or may be missing and is.
    ///
    /// # Errors
    /// The ConfigMap is missing, and must not be.
    pub fn configmap_text(
        &self,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<&[u8]>, Error> {
        let map = self.present_configmap(name, optional)?;
        let data = map.and_then(|map| map.data.as_ref());
        Ok(data.and_then(|data| data.get(key)).map(String::as_bytes))
    }

    fn present_configmap(
        &self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<&ConfigMap>, Error> {
        present(self.configmaps.get(name), "ConfigMap", name, optional)
    }

    /// The keys of a Secret, or none where it may be missing and is.
    ///
    /// # Errors
    /// It is missing, and must not be.
    pub fn secret(&self, name: &str, optional: Option<bool>) -> Result<Keys<'_>, Error> {
        let Some(secret) = self.present_secret(name, optional)? else {
            return Ok(Keys::new());
        };
        let data = secret.data.iter().flatten();
        let text = secret.string_data.iter().flatten();
        let data = data.map(|(key, value)| (key.as_str(), value.0.as_slice()));
        // `stringData` wins: the API server writes it over `data` when it takes an object
        // (`Convert_v1_Secret_To_core_Secret` in `pkg/apis/core/v1/conversion.go`).
        Ok(data
            .chain(text.map(|(key, value)| (key.as_str(), value.as_bytes())))
            .collect())
    }

    /// One value of a Secret; none where it has none of that key, or may be missing and is.
    ///
    /// # Errors
    /// The Secret is missing, and must not be.
    pub fn secret_value(
        &self,
        name: &str,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<&[u8]>, Error> {
        let secret = self.present_secret(name, optional)?;
        Ok(secret.and_then(|secret| {
            let text = secret.string_data.as_ref().and_then(|text| text.get(key));
            let data = || secret.data.as_ref().and_then(|data| data.get(key));
            text.map(String::as_bytes)
                .or_else(|| data().map(|value| value.0.as_slice()))
        }))
    }

    fn present_secret(&self, name: &str, optional: Option<bool>) -> Result<Option<&Secret>, Error> {
        present(self.secrets.get(name), "Secret", name, optional)
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
