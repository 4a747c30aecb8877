//! What a kubelet would send for a container (`generateContainerConfig`), made from the pod as its
//! author wrote it: for containers that travel before the kubelet has come to them, and for people
//! who have no kubelet.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    path::Path,
};

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements, Volume},
    apimachinery::pkg::api::resource::Quantity,
};
use protobuf::MessageField;

use super::{
    effective::security_context, expansion::expand, objects::Objects, places, prepared::Files,
    quantity,
};
use crate::proto::{
    ContainerConfig, ContainerMetadata, ImageSpec, Int64Value, KeyValue, LinuxContainerConfig,
    LinuxContainerResources,
};

/// The kubelet's CPU period, in microseconds.
const CPU_PERIOD: i64 = 100_000;

/// What cannot be had without a kubelet, in words for a person.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    /// In these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

fn error<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(text))
}

/// A volume as a kubelet prepares it, at `volumes/PLUGIN/NAME` in the pod's directory.
#[derive(Debug)]
pub struct PreparedVolume {
    /// `kubernetes.io~configmap`, for example.
    pub plugin: &'static str,
    /// Its name in the pod.
    pub name: String,
    /// What is in it; none for scratch space.
    pub files: Option<Files>,
}

/// What a kubelet knows of a pod.
pub struct Kubelet<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its UID, as the kubelet has it.
    pub uid: &'a str,
    /// The kubelet's root directory.
    pub root: &'a Path,
    /// The pod's address, if it has one.
    pub pod_ip: Option<IpAddr>,
    /// The ConfigMaps and Secrets that the pod names.
    pub objects: &'a Objects,
    /// The user that images are said to have, if that is known.
    pub image_user: Option<i64>,
    /// Variables that tell where services are.
    pub service_variables: Vec<(String, Vec<u8>)>,
}

impl fmt::Debug for Kubelet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubelet")
            .field("uid", &self.uid)
            .finish_non_exhaustive()
    }
}

impl Kubelet<'_> {
    fn spec(&self) -> Result<&PodSpec, Error> {
        let spec = self.pod.spec.as_ref();
        spec.ok_or_else(|| Error::new("the pod has no spec"))
    }

    /// The volumes for which a kubelet makes directories.
    ///
    /// # Errors
    /// Contents that are not at hand, and volumes that are mounted from elsewhere.
    pub fn volumes(&self) -> Result<Vec<PreparedVolume>, Error> {
        let volumes = self.spec()?.volumes.iter().flatten();
        let volumes = volumes.filter(|volume| volume.host_path.is_none());
        let prepared = |volume: &Volume| {
            let Some(plugin) = places::own_plugin(volume) else {
                let (name, why) = (&volume.name, places::ONLY_A_KUBELET);
                return error(format!("volume `{name}`: {why}"));
            };
            Ok(PreparedVolume {
                plugin,
                name: volume.name.clone(),
                files: self.objects.files(volume, self)?,
            })
        };
        volumes.map(prepared).collect()
    }

    /// The pod's name.
    pub fn pod_name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// A volume of the pod.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn volume(&self, name: &str) -> Result<&Volume, Error> {
        let mut volumes = self.spec()?.volumes.iter().flatten();
        let found = volumes.find(|volume| volume.name == name);
        found.ok_or_else(|| {
            Error(format!(
                "it mounts volume `{name}`, which the pod does not have"
            ))
        })
    }

    /// What a kubelet would send for a container.
    ///
    /// # Errors
    /// What only a kubelet could resolve.
    pub fn container(&self, container: &Container) -> Result<ContainerConfig, Error> {
        let about = |error: Error| Error(format!("container `{}`: {error}", container.name));
        self.config(container).map_err(about)
    }

    fn config(&self, container: &Container) -> Result<ContainerConfig, Error> {
        let name = container.name.clone();
        let Some(image) = container.image.clone().filter(|image| !image.is_empty()) else {
            return error("it has no image");
        };
        let variables = self.variables(container)?;
        let texts = |texts: &Option<Vec<String>>| -> Vec<String> {
            let texts = texts.iter().flatten();
            texts
                .map(|text| expand(text, |name| value_of(&variables, name)))
                .collect()
        };
        if container.volume_devices.iter().flatten().next().is_some() {
            return error("it has volumeDevices, which only a kubelet can map");
        }
        Ok(ContainerConfig {
            image: MessageField::some(ImageSpec {
                user_specified_image: image.clone(),
                image,
                ..Default::default()
            }),
            command: texts(&container.command),
            args: texts(&container.args),
            working_dir: container.working_dir.clone().unwrap_or_default(),
            mounts: places::mounts(self, container, &variables)?,
            labels: self.labels(&name),
            annotations: self.annotations(container)?,
            log_path: format!("{name}/0.log"),
            stdin: container.stdin.unwrap_or(false),
            stdin_once: container.stdin_once.unwrap_or(false),
            tty: container.tty.unwrap_or(false),
            linux: MessageField::some(self.linux(container)?),
            metadata: MessageField::some(ContainerMetadata {
                name,
                ..Default::default()
            }),
            envs: variables
                .into_iter()
                .map(|(key, value)| KeyValue {
                    key,
                    value,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        })
    }

    fn labels(&self, container: &str) -> HashMap<String, String> {
        let metadata = &self.pod.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        let text = |key: &str, value: &str| (format!("io.kubernetes.{key}"), value.to_owned());
        HashMap::from([
            text("container.name", container),
            text("pod.name", self.pod_name()),
            text("pod.namespace", namespace),
            text("pod.uid", self.uid),
        ])
    }

    fn annotations(&self, container: &Container) -> Result<HashMap<String, String>, Error> {
        let grace = self.spec()?.termination_grace_period_seconds.unwrap_or(30);
        let path = container.termination_message_path.as_deref();
        let policy = container.termination_message_policy.as_deref();
        let text = |key: &str, value: &str| (format!("io.kubernetes.{key}"), value.to_owned());
        Ok(HashMap::from([
            text("container.restartCount", "0"),
            text(
                "container.terminationMessagePath",
                path.unwrap_or("/dev/termination-log"),
            ),
            text(
                "container.terminationMessagePolicy",
                policy.unwrap_or("File"),
            ),
            text("pod.terminationGracePeriod", &grace.to_string()),
        ]))
    }

    fn linux(&self, container: &Container) -> Result<LinuxContainerConfig, Error> {
        let pod = self.spec()?.security_context.as_ref();
        let security = security_context(container, pod, self.root, self.image_user);
        Ok(LinuxContainerConfig {
            resources: MessageField::some(resources(container.resources.as_ref())?),
            security_context: MessageField::some(security),
            ..Default::default()
        })
    }

    /// A container's environment: services, what `envFrom` brings, and what stands in `env`; later
    /// ones win, and see those before them.
    fn variables(&self, container: &Container) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut variables = self.service_variables.clone();
        for (name, value) in self.objects.env_from(container)? {
            variables.retain(|(known, _)| *known != name);
            variables.push((name, value));
        }
        for variable in container.env.iter().flatten() {
            let value = match &variable.value_from {
                None => {
                    let text = variable.value.as_deref().unwrap_or_default();
                    Some(expand(text, |name| value_of(&variables, name)).into_bytes())
                }
                Some(source) => {
                    let about = |error| Error(format!("env `{}`: {error}", variable.name));
                    self.objects.value(source, container, self).map_err(about)?
                }
            };
            if let Some(value) = value {
                variables.retain(|(known, _)| *known != variable.name);
                variables.push((variable.name.clone(), value));
            }
        }
        Ok(variables)
    }
}

/// The value of a variable.
pub fn value_of(variables: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let found = variables.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// A message for a number that may be unset.
pub fn int64(value: i64) -> Int64Value {
    Int64Value {
        value,
        ..Default::default()
    }
}

fn resources(given: Option<&ResourceRequirements>) -> Result<LinuxContainerResources, Error> {
    let mut resources = LinuxContainerResources::default();
    let Some(given) = given else {
        return Ok(resources);
    };
    type Amounts = BTreeMap<String, Quantity>;
    let find = |list: &Option<Amounts>, key: &str, read: fn(&str) -> Result<u64, super::Error>| {
        let found = list.as_ref().and_then(|list| list.get(key));
        let read = found.map(|amount| read(&amount.0)).transpose();
        read.map_err(|error| Error(error.to_string()))
    };
    let cpu_limit = find(&given.limits, "cpu", quantity::parse_cpu)?;
    // As the kubelet does: a request that is not given is the limit.
    let cpu_request = find(&given.requests, "cpu", quantity::parse_cpu)?.or(cpu_limit);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    if let Some(millicores) = cpu_request {
        let shares = number(millicores).saturating_mul(1024) / 1000;
        resources.cpu_shares = shares.clamp(2, 262_144);
    }
    if let Some(millicores) = cpu_limit {
        resources.cpu_period = CPU_PERIOD;
        let quota = number(millicores).saturating_mul(CPU_PERIOD / 1000);
        resources.cpu_quota = quota.max(1000);
    }
    let memory = find(&given.limits, "memory", quantity::parse_memory)?;
    resources.memory_limit_in_bytes = memory.map_or(0, number);
    Ok(resources)
}
