//! What a kubelet would send for a container (`generateContainerConfig`), made from the pod as its
//! author wrote it: for containers that travel before the kubelet has come to them, and for people
//! who have no kubelet.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
};

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements, SecurityContext, Volume},
    apimachinery::pkg::api::resource::Quantity,
};
use protobuf::MessageField;

use super::{expansion::expand, objects::Objects, prepared::Files, quantity};
use crate::proto::{
    Capability, ContainerConfig, ContainerMetadata, ImageSpec, Int64Value, KeyValue,
    LinuxContainerConfig, LinuxContainerResources, LinuxContainerSecurityContext, Mount,
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
    /// Contents that are not at hand.
    pub fn volumes(&self) -> Result<Vec<PreparedVolume>, Error> {
        let volumes = self.spec()?.volumes.iter().flatten();
        let volumes = volumes.filter_map(|volume| Some((plugin(volume)?, volume)));
        let prepared = |(plugin, volume): (&'static str, &Volume)| {
            Ok(PreparedVolume {
                plugin,
                name: volume.name.clone(),
                files: self.objects.files(volume, self)?,
            })
        };
        volumes.map(prepared).collect()
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
        let mounts = container.volume_mounts.iter().flatten();
        let mounts = mounts.map(|mount| {
            Ok(Mount {
                container_path: mount.mount_path.clone(),
                host_path: self.host_path(&mount.name, mount.sub_path.as_deref())?,
                readonly: mount.read_only.unwrap_or(false),
                ..Default::default()
            })
        });
        Ok(ContainerConfig {
            image: MessageField::some(ImageSpec {
                user_specified_image: image.clone(),
                image,
                ..Default::default()
            }),
            command: texts(&container.command),
            args: texts(&container.args),
            working_dir: container.working_dir.clone().unwrap_or_default(),
            mounts: mounts.collect::<Result<_, Error>>()?,
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
            text("pod.name", metadata.name.as_deref().unwrap_or_default()),
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
        let empty = SecurityContext::default();
        let own = container.security_context.as_ref().unwrap_or(&empty);
        let pod = self.spec()?.security_context.as_ref();
        let user = own.run_as_user.or(pod.and_then(|pod| pod.run_as_user));
        let group = own.run_as_group.or(pod.and_then(|pod| pod.run_as_group));
        let capabilities = own.capabilities.as_ref().map(|capabilities| Capability {
            add_capabilities: capabilities.add.clone().unwrap_or_default(),
            drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
            ..Default::default()
        });
        let security = LinuxContainerSecurityContext {
            run_as_user: MessageField::from_option(user.map(int64)),
            run_as_group: MessageField::from_option(group.map(int64)),
            privileged: own.privileged.unwrap_or(false),
            readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
            no_new_privs: own.allow_privilege_escalation == Some(false),
            capabilities: MessageField::from_option(capabilities),
            ..Default::default()
        };
        Ok(LinuxContainerConfig {
            resources: MessageField::some(resources(container.resources.as_ref())?),
            security_context: MessageField::some(security),
            ..Default::default()
        })
    }

    /// Where a kubelet would have put a volume, or a part of it.
    fn host_path(&self, name: &str, sub_path: Option<&str>) -> Result<String, Error> {
        let mut volumes = self.spec()?.volumes.iter().flatten();
        let Some(volume) = volumes.find(|volume| volume.name == name) else {
            return error(format!(
                "it mounts volume `{name}`, which the pod does not have"
            ));
        };
        let path: PathBuf = match (&volume.host_path, plugin(volume)) {
            (Some(host), _) => Path::new(&host.path).to_owned(),
            (None, Some(plugin)) => {
                let pod = self.root.join("pods").join(self.uid);
                pod.join("volumes").join(plugin).join(name)
            }
            (None, None) => {
                return error(format!(
                    "volume `{name}` is none of emptyDir, hostPath, configMap, secret, projected \
                     and downwardAPI; others only a kubelet can mount"
                ))
            }
        };
        let path = match sub_path.filter(|sub_path| !sub_path.is_empty()) {
            Some(sub_path) => path.join(sub_path),
            None => path,
        };
        Ok(path.display().to_string())
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
                    self.objects.value(source, self).map_err(about)?
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

fn value_of(variables: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let found = variables.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// The plugin that makes a volume's directory; none for one that is mounted from elsewhere.
fn plugin(volume: &Volume) -> Option<&'static str> {
    if volume.empty_dir.is_some() {
        Some("kubernetes.io~empty-dir")
    } else if volume.config_map.is_some() {
        Some("kubernetes.io~configmap")
    } else if volume.secret.is_some() {
        Some("kubernetes.io~secret")
    } else if volume.projected.is_some() {
        Some("kubernetes.io~projected")
    } else if volume.downward_api.is_some() {
        Some("kubernetes.io~downward-api")
    } else {
        None
    }
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
