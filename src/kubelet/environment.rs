//! A container's environment, as a kubelet makes it (`makeEnvironmentVariables` in
//! `pkg/kubelet/kubelet_pods.go`).

use std::{borrow::Cow, collections::HashMap};

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource};

use super::{
    allowance::{Allowance, MAX_TEXT},
    api_objects::Keys,
    downward_api,
    error::Error,
    pod::KubeletPod,
};

/// Variables, each once, in the order in which they were last set.
#[derive(Default)]
pub struct Environment {
    /// Nothing where a variable stood that was set again.
    places: Vec<Option<(String, Vec<u8>)>>,
    by_name: HashMap<String, usize>,
}

impl Environment {
    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let mut made = Self::default();
        for (name, value) in variables {
            made.put((*name).to_owned(), value.as_bytes().to_vec());
        }
        made
    }

    /// The value of a variable, as text.
    pub fn value_of(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.places[*self.by_name.get(name)?].as_ref()?;
        Some(String::from_utf8_lossy(value))
    }

    /// All of them.
    pub fn into_variables(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.places.into_iter().flatten()
    }

    /// Sets a variable; one that is not allowed is never made.
    fn set(&mut self, name: &str, value: &[u8], allowance: &mut Allowance) -> Result<(), Error> {
        allowance.take_text(beside(name) + value.len(), MAX_TEXT)?;
        self.put(name.to_owned(), value.to_vec());
        Ok(())
    }

    /// Sets a variable that is allowed for.
    fn put(&mut self, name: String, value: Vec<u8>) {
        if let Some(before) = self.by_name.insert(name.clone(), self.places.len()) {
            self.places[before] = None;
        }
        self.places.push(Some((name, value)));
    }
}

/// What a variable has beside its value: its name, the `=`, and the NUL at the end.
fn beside(name: &str) -> usize {
    name.len() + 2
}

/// A container's environment: services, what `envFrom` brings, and what stands in `env`; later
/// ones win, and see those before them.
///
/// # Errors
/// A source that is not at hand, or that only a kubelet has; more than is allowed.
pub fn variables(
    pod: &KubeletPod<'_>,
    container: &Container,
    allowance: &mut Allowance,
) -> Result<Environment, Error> {
    let mut variables = Environment::default();
    let about = |name: &str, error: Error| error.about(format_args!("env `{name}`"));
    for (name, value) in &pod.service_variables {
        let set = variables.set(name, value, allowance);
        set.map_err(|error| about(name, error))?;
    }
    add_from_objects(&mut variables, pod, container, allowance)?;
    for variable in container.env.iter().flatten() {
        let name = &variable.name;
        add(&mut variables, variable, (pod, container), allowance)
            .map_err(|error| about(name, error))?;
    }
    Ok(variables)
}

/// Adds what stands in `env`.
fn add(
    variables: &mut Environment,
    variable: &EnvVar,
    (pod, container): (&KubeletPod<'_>, &Container),
    allowance: &mut Allowance,
) -> Result<(), Error> {
    let name = &variable.name;
    match &variable.value_from {
        None => {
            let text = variable.value.as_deref().unwrap_or_default();
            let value_of = |name: &str| variables.value_of(name);
            let value = allowance.expand(text, value_of, beside(name), MAX_TEXT)?;
            variables.put(name.clone(), value.into_bytes());
        }
        Some(source) => {
            if let Some(value) = value_from(source, container, pod)? {
                variables.set(name, &value, allowance)?;
            }
        }
    }
    Ok(())
}

/// Adds the variables that `envFrom` brings, in their order.
fn add_from_objects(
    variables: &mut Environment,
    pod: &KubeletPod<'_>,
    container: &Container,
    allowance: &mut Allowance,
) -> Result<(), Error> {
    for source in container.env_from.iter().flatten() {
        let (object, keys) = if let Some(map) = &source.config_map_ref {
            let keys = pod.objects.configmap_texts(&map.name, map.optional)?;
            (("ConfigMap", &map.name), keys)
        } else if let Some(secret) = &source.secret_ref {
            let keys = pod.objects.secret(&secret.name, secret.optional)?;
            (("Secret", &secret.name), keys)
        } else {
            continue;
        };
        add_keys(variables, source.prefix.as_deref(), &keys, allowance)
            .map_err(|error| error.about(format_args!("envFrom {} `{}`", object.0, object.1)))?;
    }
    Ok(())
}

fn add_keys(
    variables: &mut Environment,
    prefix: Option<&str>,
    keys: &Keys<'_>,
    allowance: &mut Allowance,
) -> Result<(), Error> {
    let prefix = prefix.unwrap_or_default();
    for (key, value) in keys {
        let bytes = beside(prefix) + key.len() + value.len();
        let taken = allowance.take_text(bytes, MAX_TEXT);
        taken.map_err(|error| error.about(format_args!("key `{key}`")))?;
        variables.put(format!("{prefix}{key}"), value.to_vec());
    }
    Ok(())
}

/// The value of a variable from elsewhere; none for an optional one that is missing.
fn value_from<'a>(
    source: &EnvVarSource,
    container: &Container,
    pod: &'a KubeletPod<'_>,
) -> Result<Option<Cow<'a, [u8]>>, Error> {
    let (kind, name, key, optional, found) = if let Some(map) = &source.config_map_key_ref {
        let (name, key, optional) = (&map.name, &map.key, map.optional);
        let found = pod.objects.configmap_text(name, key, optional)?;
        ("ConfigMap", name, key, optional, found)
    } else if let Some(secret) = &source.secret_key_ref {
        let (name, key, optional) = (&secret.name, &secret.key, secret.optional);
        let found = pod.objects.secret_value(name, key, optional)?;
        ("Secret", name, key, optional, found)
    } else if let Some(field) = &source.field_ref {
        let value = downward_api::field(&field.field_path, pod)?;
        return Ok(Some(value.into_bytes().into()));
    } else if let Some(amount) = &source.resource_field_ref {
        let value = downward_api::resource(amount, Some(container), pod)?;
        return Ok(Some(value.into_bytes().into()));
    } else {
        return Err(Error::new(
            "such a valueFrom only a kubelet can resolve; give it a value",
        ));
    };
    match found {
        Some(value) => Ok(Some(value.into())),
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
            with_pod(None, |pod| {
                let value = value_from(&source, &one, pod)?;
                Ok::<_, Error>(value.map(|value| String::from_utf8(value.into()).unwrap()))
            })
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
        let made = with_pod(None, |pod| {
            variables(pod, &container, &mut Allowance::for_texts())
        });
        let names = made.unwrap().into_variables().map(|(name, _)| name);
        let names: Vec<_> = names.collect();
        // `c` is in `binaryData`.
        assert_eq!(names, ["C_a", "C_b", "p", "q"]);
    }

    #[test]
    fn a_variable_that_is_set_again_stands_where_it_was_set_last() {
        let container = json!({"name": "c", "env": [
            {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}, {"name": "A", "value": "2$(A)"},
            {"name": "C", "value": "$(A)$(B)"}]});
        let container = serde_json::from_value(container).unwrap();
        let made = with_pod(None, |pod| {
            variables(pod, &container, &mut Allowance::for_texts())
        });
        let text = |(name, value)| format!("{name}={}", String::from_utf8(value).unwrap());
        let made: Vec<_> = made.unwrap().into_variables().map(text).collect();
        assert_eq!(made, ["B=1", "A=21", "C=211"]);
    }
}
