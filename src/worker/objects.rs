//! What containers name beside their pod, read from the API server as a kubelet reads it.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::{
    convert::{objects::Objects, places},
    kube::{Api, Error},
};

/// The ConfigMaps and Secrets that containers take variables from, and the persistent volumes behind
/// the claims that they mount. What is not there is left out: it may be optional.
///
/// # Errors
/// No answer, or a refusal.
pub fn read(
    api: &Api,
    pod: &Pod,
    namespace: &str,
    containers: &[&Container],
) -> Result<Objects, Error> {
    let mut reader = Reader {
        api,
        namespace,
        objects: Objects::default(),
    };
    for container in containers {
        for source in container.env_from.iter().flatten() {
            let (map, secret) = (&source.config_map_ref, &source.secret_ref);
            reader.add_map(map.as_ref().map(|map| &map.name))?;
            reader.add_secret(secret.as_ref().map(|secret| &secret.name))?;
        }
        let variables = container.env.iter().flatten();
        for source in variables.filter_map(|variable| variable.value_from.as_ref()) {
            let (map, secret) = (&source.config_map_key_ref, &source.secret_key_ref);
            reader.add_map(map.as_ref().map(|map| &map.name))?;
            reader.add_secret(secret.as_ref().map(|secret| &secret.name))?;
        }
        for claim in claims(pod, container) {
            reader.add_claim(&claim)?;
        }
    }
    Ok(reader.objects)
}

/// The names of the claims that a container mounts.
fn claims<'a>(pod: &'a Pod, container: &'a Container) -> impl Iterator<Item = String> + 'a {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let volumes = || {
        pod.spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten())
    };
    let mounts = container.volume_mounts.iter().flatten();
    let mounted = mounts.filter_map(move |mount| volumes().find(|one| one.name == mount.name));
    mounted.filter_map(move |volume| places::claim_name(name, volume))
}

struct Reader<'a> {
    api: &'a Api,
    namespace: &'a str,
    objects: Objects,
}

impl Reader<'_> {
    fn add_map(&mut self, name: Option<&String>) -> Result<(), Error> {
        let Some(name) = name.filter(|name| !self.objects.configmaps.contains_key(*name)) else {
            return Ok(());
        };
        if let Some(map) = self.api.client.config_map(self.namespace, name)? {
            self.objects.configmaps.insert(name.clone(), map);
        }
        Ok(())
    }

    fn add_secret(&mut self, name: Option<&String>) -> Result<(), Error> {
        let Some(name) = name.filter(|name| !self.objects.secrets.contains_key(*name)) else {
            return Ok(());
        };
        if let Some(secret) = self.api.client.secret(self.namespace, name)? {
            self.objects.secrets.insert(name.clone(), secret);
        }
        Ok(())
    }

    fn add_claim(&mut self, name: &str) -> Result<(), Error> {
        if self.objects.claims.contains_key(name) {
            return Ok(());
        }
        let claim = self.api.client.claim(self.namespace, name)?;
        let bound_to = claim.and_then(|claim| claim.spec?.volume_name);
        let Some(bound_to) = bound_to.filter(|volume| !volume.is_empty()) else {
            return Ok(());
        };
        if let Some(volume) = self.api.client.persistent_volume(&bound_to)? {
            self.objects.claims.insert(name.to_owned(), volume);
        }
        Ok(())
    }
}
