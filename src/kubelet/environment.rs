//! A container's environment, as a kubelet makes it (`makeEnvironmentVariables` in
//! `pkg/kubelet/kubelet_pods.go`).

use k8s_openapi::api::core::v1::{Container, EnvVarSource};

use super::{
    api_objects::Keys,
    downward_api,
    error::Error,
    expansion::expand,
    pod::{value_of, KubeletPod, Variables},
};

/// A container's environment: services, what `envFrom` brings, and what stands in `env`; later
/// ones win, and see those before them.
///
/// # Errors
/// A source that is not at hand, or that only a kubelet has.
pub fn variables(pod: &KubeletPod<'_>, container: &Container) -> Result<Variables, Error> {
    let mut variables = pod.service_variables.clone();
    for (name, value) in from_objects(pod, container)? {
        set(&mut variables, name, value);
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => {
                let text = variable.value.as_deref().unwrap_or_default();
                Some(expand(text, |name| value_of(&variables, name)).into_bytes())
            }
            Some(source) => {
                let value = value_from(source, container, pod);
                value.map_err(|error| error.about(format_args!("env `{}`", variable.name)))?
            }
        };
        if let Some(value) = value {
            set(&mut variables, variable.name.clone(), value);
        }
    }
    Ok(variables)
}

fn set(variables: &mut Variables, name: String, value: Vec<u8>) {
    variables.retain(|(known, _)| *known != name);
    variables.push((name, value));
}

/// The variables that `envFrom` brings, in their order.
fn from_objects(pod: &KubeletPod<'_>, container: &Container) -> Result<Variables, Error> {
    let mut variables = Variables::new();
    for source in container.env_from.iter().flatten() {
        let keys = if let Some(map) = &source.config_map_ref {
            pod.objects.configmap_texts(&map.name, map.optional)?
        } else if let Some(secret) = &source.secret_ref {
            pod.objects.secret(&secret.name, secret.optional)?
        } else {
            Keys::new()
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let keys = keys.into_iter();
        variables.extend(keys.map(|(key, value)| (format!("{prefix}{key}"), value)));
    }
    Ok(variables)
}

/// The value of a variable from elsewhere; none for an optional one that is missing.
fn value_from(
    source: &EnvVarSource,
    container: &Container,
    pod: &KubeletPod<'_>,
) -> Result<Option<Vec<u8>>, Error> {
    let (kind, name, key, optional, mut keys) = if let Some(map) = &source.config_map_key_ref {
        let keys = pod.objects.configmap_texts(&map.name, map.optional)?;
        ("ConfigMap", &map.name, &map.key, map.optional, keys)
    } else if let Some(secret) = &source.secret_key_ref {
        let keys = pod.objects.secret(&secret.name, secret.optional)?;
        ("Secret", &secret.name, &secret.key, secret.optional, keys)
    } else if let Some(field) = &source.field_ref {
        let value = downward_api::field(&field.field_path, pod)?;
        return Ok(Some(value.into_bytes()));
    } else if let Some(amount) = &source.resource_field_ref {
        let value = downward_api::resource(amount, Some(container), pod)?;
        return Ok(Some(value.into_bytes()));
    } else {
        return Err(Error::new(
            "such a valueFrom only a kubelet can resolve; give it a value",
        ));
    };
    match keys.remove(key) {
        Some(value) => Ok(Some(value)),
        None if optional == Some(true) => Ok(None),
        None => Err(Error::new(format!("{kind} `{name}` has no key `{key}`"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubelet::testing::with_pod;

    #[test]
    fn variables_come_from_where_they_say() {
        let value = |source: serde_json::Value| {
            let source = serde_json::from_value(source).unwrap();
            let one = Container::default();
            let value = with_pod(None, |pod| value_from(&source, &one, pod));
            value.map(|value| value.map(|value| String::from_utf8(value).unwrap()))
        };
        for (source, want) in [
            (
                json!({"configMapKeyRef": {"name": "conf", "key": "a"}}),
                Some("1"),
            ),
            (
                json!({"secretKeyRef": {"name": "key", "key": "q"}}),
                Some("new"),
            ),
            (
                json!({"secretKeyRef": {"name": "key", "key": "z", "optional": true}}),
                None,
            ),
            (
                json!({"fieldRef": {"fieldPath": "metadata.labels['app']"}}),
                Some("web"),
            ),
            (
                json!({"fieldRef": {"fieldPath": "metadata.annotations['n']"}}),
                Some("x y"),
            ),
        ] {
            assert_eq!(value(source.clone()).unwrap().as_deref(), want, "{source}");
        }
        assert!(value(json!({"configMapKeyRef": {"name": "conf", "key": "z"}})).is_err());
        assert!(value(json!({"resourceFieldRef": {"resource": "limits.cpu"}})).is_err());
        let container = json!({"name": "c", "envFrom": [
            {"configMapRef": {"name": "conf"}, "prefix": "C_"}, {"secretRef": {"name": "key"}}]});
        let container = serde_json::from_value(container).unwrap();
        let names = with_pod(None, |pod| from_objects(pod, &container)).unwrap();
        let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
        // `c` is in `binaryData`.
        assert_eq!(names, ["C_a", "C_b", "p", "q"]);
    }
}
