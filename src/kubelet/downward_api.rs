//! What the downward API tells a container of its pod, and of what it may use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector, ResourceRequirements};

use super::{
    error::Error,
    pod::{all_containers, KubeletPod},
};
use crate::quantity;

/// An amount that a container asks for, in units of a divisor, rounded up
/// (`ExtractContainerResourceValue` in `pkg/api/v1/resource/helpers.go`). It is the `asking` container's, but where another is named.
/// Without a limit the kubelet would say what the node has, which is not known here.
///
/// # Errors
/// Such a limit, a container that is not there, what is no amount.
pub fn resource(
    wanted: &ResourceFieldSelector,
    asking: Option<&Container>,
    pod: &KubeletPod<'_>,
) -> Result<String, Error> {
    let container = named(wanted.container_name.as_deref(), asking, pod)?;
    let field = wanted.resource.as_str();
    let (amounts, name, absent) = match field.split_once('.') {
        Some(("limits", name)) => (
            container.and_then(|given| given.limits.as_ref()),
            name,
            None,
        ),
        Some(("requests", name)) => (
            container.and_then(|given| given.requests.as_ref()),
            name,
            Some("0"),
        ),
        _ => {
            return Err(Error::new(format!(
                "`{field}` is neither a limit nor a request"
            )))
        }
    };
    let amount = amounts.and_then(|amounts| Some(amounts.get(name)?.0.as_str()));
    let amount = amount.or(absent).ok_or_else(|| {
        Error::new(format!(
            "`{field}` is not set, and only a kubelet knows what the node has"
        ))
    })?;
    let read = |text: &str| {
        let amount = match name {
            "cpu" => quantity::parse_cpu(text),
            _ => quantity::parse_memory(text),
        };
        amount.map_err(|error| Error::new(error.to_string()))
    };
    let divisor = wanted.divisor.as_ref().map_or("0", |divisor| &divisor.0);
    let divisor = match read(divisor)? {
        0 => read("1")?,
        divisor => divisor,
    };
    Ok(read(amount)?.div_ceil(divisor).to_string())
}

/// The resources of a container, if it states any.
fn named<'a>(
    name: Option<&str>,
    asking: Option<&'a Container>,
    pod: &'a KubeletPod<'_>,
) -> Result<Option<&'a ResourceRequirements>, Error> {
    let name = name.filter(|name| !name.is_empty());
    let container = match (name, asking) {
        (None, Some(asking)) => asking,
        (None, None) => return Err(Error::new("a resource is named without its container")),
        (Some(name), _) => {
            let mut all = pod.pod.spec.iter().flat_map(all_containers);
            let found = all.find(|one| one.name == name);
            found.ok_or_else(|| Error::new(format!("there is no container `{name}`")))?
        }
    };
    Ok(container.resources.as_ref())
}

/// A field of the pod, as a text (`pkg/fieldpath`).
///
/// # Errors
/// A field that is not known here.
pub fn field(path: &str, pod: &KubeletPod<'_>) -> Result<String, Error> {
    let metadata = &pod.pod.metadata;
    let spec = pod.pod.spec.as_ref();
    let status = pod.pod.status.as_ref();
    let (labels, annotations) = (metadata.labels.as_ref(), metadata.annotations.as_ref());
    let one = |map: Option<&BTreeMap<String, String>>, key: &str| {
        map.and_then(|map| map.get(key))
            .cloned()
            .unwrap_or_default()
    };
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
    Ok(match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid.to_owned(),
        "metadata.labels" => lines(labels),
        "metadata.annotations" => lines(annotations),
        "spec.nodeName" => spec
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        "spec.serviceAccountName" => {
            let name = spec.and_then(|spec| spec.service_account_name.clone());
            name.unwrap_or_else(|| "default".to_owned())
        }
        "status.hostIP" | "status.hostIPs" => {
            let host = status.and_then(|status| status.host_ip.clone());
            host.ok_or_else(|| Error::new("the node's address is not known"))?
        }
        "status.podIP" | "status.podIPs" => {
            let ip = pod.pod_ip.map(|ip| ip.to_string());
            ip.ok_or_else(|| Error::new("the pod has no address"))?
        }
        _ => match (keyed("metadata.labels['"), keyed("metadata.annotations['")) {
            (Some(key), _) => one(labels, key),
            (_, Some(key)) => one(annotations, key),
            _ => {
                return Err(Error::new(format!(
                    "`{path}` is a field that only a kubelet knows"
                )))
            }
        },
    })
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten();
    let lines: Vec<_> = lines
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{json, Value};

    use super::*;
    use crate::kubelet::{api_objects::ApiObjects, testing::kubelet_pod};

    /// In a pod whose container `a` has what is `given`.
    fn amount(given: Value, wanted: Value) -> Result<String, String> {
        let containers = json!([{"name": "a", "resources": given}, {"name": "b"}]);
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap();
        let objects = ApiObjects::default();
        let wanted = serde_json::from_value(wanted).unwrap();
        let asking = pod.spec.as_ref().map(|spec| &spec.containers[0]);
        resource(&wanted, asking, &kubelet_pod(&pod, &objects)).map_err(|error| error.to_string())
    }

    #[test]
    fn amounts_come_in_units_of_their_divisor_rounded_up() {
        let given = json!({
            "limits": {"cpu": "1500m", "memory": "1Gi", "hugepages-2Mi": "4Mi"},
            "requests": {"cpu": "1", "ephemeral-storage": "1G"},
        });
        for (resource, divisor, want) in [
            ("limits.cpu", Value::Null, "2"),
            ("limits.cpu", json!("0"), "2"),
            ("limits.cpu", json!("1m"), "1500"),
            ("requests.cpu", json!("1"), "1"),
            ("limits.memory", Value::Null, "1073741824"),
            ("limits.memory", json!("1Mi"), "1024"),
            ("limits.memory", json!("1G"), "2"),
            ("limits.hugepages-2Mi", json!("1Mi"), "4"),
            ("requests.ephemeral-storage", json!("1M"), "1000"),
            ("requests.memory", json!("1Mi"), "0"),
        ] {
            let wanted = json!({"resource": resource, "divisor": divisor});
            assert_eq!(
                amount(given.clone(), wanted).as_deref(),
                Ok(want),
                "{resource}"
            );
        }
        let of = |name: &str| json!({"resource": "limits.memory", "containerName": name});
        assert_eq!(amount(given.clone(), of("a")).as_deref(), Ok("1073741824"));
        for (wanted, why) in [
            (of("b"), "is not set"),
            (of("c"), "no container `c`"),
            (json!({"resource": "cpu"}), "neither a limit nor a request"),
            (json!({"resource": "limits.cpu", "divisor": "x"}), "`x`"),
        ] {
            let error = amount(given.clone(), wanted).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
