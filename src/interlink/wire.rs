//! The requests and replies of the interLink API, with the quirks that its server (0.6, 0.7) and
//! its plugins really have: fields that are `null` or missing, lists where one object belongs.

use std::{fmt, io, marker::PhantomData};

use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod, Secret};
use serde::{
    de::{Error as _, IgnoredAny, SeqAccess, Visitor},
    Deserialize, Deserializer, Serialize,
};
use serde_json::Value;

use crate::text;

/// Writes a large type of the Kubernetes API. Whatever it is written to, this is one and the same code: that of a pod
/// is a hundred kilobytes.
///
/// # Errors
/// The writer's, or a map with keys that are no texts.
pub fn write<T: Serialize + ?Sized>(to: &mut dyn io::Write, value: &T) -> serde_json::Result<()> {
    serde_json::to_writer(to, value)
}

/// The body of POST /create: one pod with what it mounts. The server matches by name:
/// `volumeMounts[].name` to `volumes[].name`, then a ConfigMap by its own name, a Secret by its
/// own name, a projected or downward API volume by the name of the **volume**.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodCreateRequests {
    /// The pod.
    pub pod: Pod,
    /// The ConfigMaps that it mounts.
    #[serde(default, deserialize_with = "null_as_default")]
    pub configmaps: Vec<ConfigMap>,
    /// The Secrets that it mounts.
    #[serde(default, deserialize_with = "null_as_default")]
    pub secrets: Vec<Secret>,
    /// Projected and downward API volumes, as ConfigMaps named after the volume.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        rename = "projectedvolumesmaps"
    )]
    pub projected_volumes: Vec<ConfigMap>,
    /// A job script builder to ask; always empty here. The server would answer 200 with an empty
    /// body if it were set and no builder configured.
    #[serde(default, deserialize_with = "null_as_default", rename = "jobscriptURL")]
    pub jobscript_url: String,
}

/// What a server hands to its plugin at /create: the pod, and the volume contents sorted by
/// container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievedPodData {
    /// The pod.
    pub pod: Pod,
    /// Contents for init containers, then main containers.
    #[serde(default, deserialize_with = "null_as_default", rename = "container")]
    pub containers: Vec<RetrievedContainer>,
}

/// The volume contents of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievedContainer {
    /// The container's name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// ConfigMaps that it mounts.
    #[serde(default, deserialize_with = "null_as_default", rename = "configMaps")]
    pub configmaps: Vec<ConfigMap>,
    /// Projected volumes that it mounts.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        rename = "projectedvolumemaps"
    )]
    pub projected_volumes: Vec<ConfigMap>,
    /// Secrets that it mounts.
    #[serde(default, deserialize_with = "null_as_default")]
    pub secrets: Vec<Secret>,
}

/// The answer to /create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateStruct {
    /// The pod's UID, as sent.
    #[serde(default, deserialize_with = "null_as_default", rename = "PodUID")]
    pub pod_uid: String,
    /// The plugin's own id of the job. An answer without one is a failure.
    #[serde(default, deserialize_with = "text_or_number", rename = "PodJID")]
    pub pod_jid: String,
}

/// One pod in the answer to /status, as a server writes it. A client reads it in its own way
/// (`profile::status_reply`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Pod name.
    #[serde(default, deserialize_with = "null_as_default")]
    pub name: String,
    /// Pod UID.
    #[serde(default, deserialize_with = "null_as_default", rename = "UID")]
    pub uid: String,
    /// Pod namespace.
    #[serde(default, deserialize_with = "null_as_default")]
    pub namespace: String,
    /// The plugin's own id of the job; often empty.
    #[serde(default, deserialize_with = "text_or_number", rename = "JID")]
    pub jid: String,
    /// Containers, as far as the plugin speaks of them.
    #[serde(default, deserialize_with = "null_as_default")]
    pub containers: Vec<ContainerStatus>,
    /// Init containers, likewise.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        rename = "initContainers"
    )]
    pub init_containers: Vec<ContainerStatus>,
}

/// The body of /getLogs. The server insists on DNS labels for namespace and container name and
/// on a lower-case UUID.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogStruct {
    /// Pod namespace.
    pub namespace: String,
    /// Pod UID.
    #[serde(rename = "PodUID")]
    pub pod_uid: String,
    /// Pod name.
    pub pod_name: String,
    /// Container name.
    pub container_name: String,
    /// Which part of the log.
    pub opts: LogOpts,
}

/// Which part of a log, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogOpts {
    /// Lines from the end; 0 is all. Not together with `bytes`.
    pub tail: i64,
    /// Bytes from the end; 0 is all.
    pub bytes: i64,
    /// Prefix lines with times; plugins ignore it.
    pub timestamps: bool,
    /// Stay connected and send what comes.
    pub follow: bool,
    /// The log of the previous container.
    pub previous: bool,
    /// Only what is younger than this many seconds; 0 is all.
    pub since_seconds: i64,
    /// Only what is younger than this time (RFC 3339); the zero time of Go is all.
    pub since_time: String,
}

impl Default for LogOpts {
    fn default() -> Self {
        Self {
            tail: 0,
            bytes: 0,
            timestamps: false,
            follow: false,
            previous: false,
            since_seconds: 0,
            since_time: ZERO_TIME.to_owned(),
        }
    }
}

/// Go's zero time, which stands for "no time given".
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The structured answer to /pinglink; older plugins answer plain text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PingResponse {
    /// `ok`, or whatever the plugin says.
    #[serde(default, deserialize_with = "null_as_default")]
    pub status: String,
    /// What the remote side has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<PingResources>,
    /// Taints for the node: absent leaves them as they are, empty means none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "few"
    )]
    pub taints: Option<Vec<PingTaint>>,
}

/// Capacity of the remote side, as Kubernetes quantities; empty says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PingResources {
    /// CPUs.
    #[serde(default, deserialize_with = "null_as_default")]
    pub cpu: String,
    /// Memory.
    #[serde(default, deserialize_with = "null_as_default")]
    pub memory: String,
    /// Pods.
    #[serde(default, deserialize_with = "null_as_default")]
    pub pods: String,
    /// GPUs, FPGAs...
    #[serde(default, deserialize_with = "few_or_none")]
    pub accelerators: Vec<PingAccelerator>,
}

/// One kind of accelerator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PingAccelerator {
    /// Extended resource name, such as `nvidia.com/gpu`.
    #[serde(default, deserialize_with = "null_as_default", rename = "resourceType")]
    pub resource_type: String,
    /// How many, as a quantity.
    #[serde(default, deserialize_with = "null_as_default")]
    pub available: String,
}

/// One taint for the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PingTaint {
    /// Key.
    #[serde(default, deserialize_with = "null_as_default")]
    pub key: String,
    /// Value.
    #[serde(default, deserialize_with = "null_as_default")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub effect: String,
}

/// As many elements of a list are read; nothing has more that means it well, and three bytes (`{},`) can pass
/// for an element.
const FEW: usize = 256;

/// The beginning of a list; none for `null`.
fn few<'de, T, D>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Few<T>(Vec<T>);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_seq(Elements(PhantomData)).map(Self)
        }
    }

    struct Elements<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while kept.len() < FEW {
                match all.next_element()? {
                    Some(element) => kept.push(element),
                    None => return Ok(kept),
                }
            }
            while all.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }

    Ok(Option::<Few<T>>::deserialize(from)?.map(|few| few.0))
}

/// The same, without telling `null` from an empty list.
fn few_or_none<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    few(from).map(Option::unwrap_or_default)
}

/// Go writes `null` for an empty list, and the Python SDK for an unset field.
fn null_as_default<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// Plugins in Python give a job id that is a number as a number.
fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text::one_line(&text)),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(D::Error::custom(format!("{other} is no job id"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_requests_look_like_the_go_ones() {
        let request = LogStruct {
            pod_uid: "u".into(),
            ..LogStruct::default()
        };
        let json = serde_json::to_value(&request).expect("json");
        assert_eq!(json["PodUID"], "u");
        assert_eq!(json["Opts"]["Bytes"], 0);
        assert_eq!(json["Opts"]["SinceTime"], "0001-01-01T00:00:00Z");
    }
}
