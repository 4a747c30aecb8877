//! What containers name beside their pod, read from the API server as a kubelet reads it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PersistentVolume, Pod};

use crate::{
    kube::{Api, Client, Error},
    kubelet::{volume_paths, ApiObjects},
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
) -> Result<ApiObjects, Error> {
    let client = &*api.client;
    let mut objects = ApiObjects::default();
    for container in containers {
        let (maps, secrets) = sources(container);
        for name in maps {
            let read = |name: &str| client.config_map(namespace, name);
            add(&mut objects.configmaps, name, read)?;
        }
        for name in secrets {
            let read = |name: &str| client.secret(namespace, name);
            add(&mut objects.secrets, name, read)?;
        }
        for name in claims(pod, container) {
            let read = |name: &str| bound_to(client, namespace, name);
            add(&mut objects.claims, &name, read)?;
        }
    }
    Ok(objects)
}

/// Reads what is not known yet.
fn add<T>(
    known: &mut BTreeMap<String, T>,
    name: &str,
    read: impl FnOnce(&str) -> Result<Option<T>, Error>,
) -> Result<(), Error> {
    if !known.contains_key(name) {
        known.extend(read(name)?.map(|found| (name.to_owned(), found)));
    }
    Ok(())
}

/// The names of the ConfigMaps and of the Secrets that a container takes variables from.
fn sources(container: &Container) -> (Vec<&String>, Vec<&String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for source in container.env_from.iter().flatten() {
        maps.extend(source.config_map_ref.as_ref().map(|map| &map.name));
        secrets.extend(source.secret_ref.as_ref().map(|secret| &secret.name));
    }
    let variables = container.env.iter().flatten();
    for source in variables.filter_map(|variable| variable.value_from.as_ref()) {
        maps.extend(source.config_map_key_ref.as_ref().map(|map| &map.name));
        secrets.extend(source.secret_key_ref.as_ref().map(|secret| &secret.name));
    }
    (maps, secrets)
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
    mounted.filter_map(move |volume| volume_paths::claim_name(name, volume))
}

/// The persistent volume that a claim is bound to; none if it is bound to none.
fn bound_to(
    client: &Client,
    namespace: &str,
    claim: &str,
) -> Result<Option<PersistentVolume>, Error> {
    let claim = client.claim(namespace, claim)?;
    let volume = claim.and_then(|claim| claim.spec?.volume_name);
    match volume.filter(|volume| !volume.is_empty()) {
        Some(volume) => client.persistent_volume(&volume),
        None => Ok(None),
    }
}
