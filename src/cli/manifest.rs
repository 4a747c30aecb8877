//! A Pod manifest as a kubelet would put it into CRI calls.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Container, Pod, PodSpec, ResourceRequirements, Secret, Volume},
    apimachinery::pkg::api::resource::Quantity,
};
use protobuf::{EnumOrUnknown, MessageField};
use serde_json::Value;
use uuid::Uuid;

use super::objects::Objects;
use crate::convert::prepared::Files;
use crate::proto::{
    ContainerConfig, ContainerMetadata, ImageSpec, Int64Value, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, Mount, NamespaceMode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata,
};

/// The kubelet's CPU period, in microseconds.
const CPU_PERIOD: i64 = 100_000;

/// A manifest that cannot be run, in words for a person.
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
    Err(Error(text.into()))
}

/// What is asked of the CRI for a pod.
#[derive(Debug)]
pub struct Plan {
    /// The pod sandbox.
    pub sandbox: PodSandboxConfig,
    /// Init containers, to be run one by one.
    pub init: Vec<ContainerConfig>,
    /// Containers, to be run together.
    pub main: Vec<ContainerConfig>,
    /// Volumes for which a kubelet makes directories.
    pub volumes: Vec<PreparedVolume>,
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

/// A Pod, and what stands beside it.
#[derive(Debug)]
pub struct Manifest {
    /// The one Pod.
    pub pod: Pod,
    /// The ConfigMaps and Secrets.
    pub objects: Objects,
}

/// Reads a manifest: a Pod, and perhaps ConfigMaps and Secrets, in YAML or JSON.
///
/// # Errors
/// A text without a Pod or with several, a Pod that has nothing to run, and other kinds.
pub fn read(text: &str) -> Result<Manifest, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error(format!("not a Pod manifest: {error}"));
    // By way of JSON values: reading a Pod is a lot of code, and for JSON it is there already.
    // As kubectl reads it: `defaultMode: 0400` is octal.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| wrong(&error))?;
    let mut pods = Vec::new();
    let mut objects = Objects::default();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        match document["kind"].as_str().unwrap_or("Pod") {
            "Pod" => pods.push(serde_json::from_value(document).map_err(|error| wrong(&error))?),
            "ConfigMap" => {
                let map: ConfigMap =
                    serde_json::from_value(document).map_err(|error| wrong(&error))?;
                let name = map.metadata.name.clone().unwrap_or_default();
                objects.configmaps.insert(name, map);
            }
            "Secret" => {
                let secret: Secret =
                    serde_json::from_value(document).map_err(|error| wrong(&error))?;
                let name = secret.metadata.name.clone().unwrap_or_default();
                objects.secrets.insert(name, secret);
            }
            kind => {
                return error(format!(
                    "run-pod takes a Pod, with ConfigMaps and Secrets beside it, and no {kind}"
                ))
            }
        }
    }
    if pods.len() > 1 {
        return error("the manifest has several Pods; run them one by one");
    }
    let Some(pod): Option<Pod> = pods.pop() else {
        return error("the manifest has no Pod");
    };
    if pod
        .spec
        .as_ref()
        .is_none_or(|spec| spec.containers.is_empty())
    {
        return error("the manifest has no containers (spec.containers)");
    }
    Ok(Manifest { pod, objects })
}

/// Where a kubelet would keep things.
pub struct Layout {
    /// Parent of the pod's log directory.
    pub logs: PathBuf,
    /// The kubelet's root, as the daemon knows it.
    pub kubelet_root: PathBuf,
}

/// Plans a pod.
///
/// # Errors
/// What only a kubelet could resolve.
pub fn plan(manifest: &Manifest, layout: &Layout) -> Result<Plan, Error> {
    let pod = &manifest.pod;
    let spec = pod
        .spec
        .as_ref()
        .ok_or_else(|| Error("the manifest has no spec".into()))?;
    let Some(name) = pod.metadata.name.clone() else {
        return error("metadata.name is missing");
    };
    let namespace = pod
        .metadata
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    let uid = Uuid::new_v4().to_string();
    let pod_labels = HashMap::from([
        ("io.kubernetes.pod.name".to_owned(), name.clone()),
        ("io.kubernetes.pod.namespace".to_owned(), namespace.clone()),
        ("io.kubernetes.pod.uid".to_owned(), uid.clone()),
    ]);
    let mut labels = pod_labels.clone();
    labels.extend(pod.metadata.labels.clone().unwrap_or_default());
    let host_network = spec.host_network.unwrap_or(false);
    let sandbox = PodSandboxConfig {
        hostname: if host_network {
            String::new()
        } else {
            spec.hostname.clone().unwrap_or_else(|| name.clone())
        },
        log_directory: layout
            .logs
            .join(format!("{namespace}_{name}_{uid}"))
            .display()
            .to_string(),
        labels,
        annotations: pod
            .metadata
            .annotations
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        linux: MessageField::some(sandbox_linux(spec, host_network)),
        metadata: MessageField::some(PodSandboxMetadata {
            name,
            namespace,
            uid: uid.clone(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let context = Context {
        manifest,
        spec,
        labels: pod_labels,
        directory: layout.kubelet_root.join("pods").join(&uid).join("volumes"),
        volumes: volumes(manifest, spec, &uid)?,
        uid,
    };
    let all = |containers: &[Container]| -> Result<Vec<_>, Error> {
        containers.iter().map(|c| context.container(c)).collect()
    };
    Ok(Plan {
        init: all(spec.init_containers.as_deref().unwrap_or_default())?,
        main: all(&spec.containers)?,
        sandbox,
        volumes: context.volumes,
    })
}

fn volumes(manifest: &Manifest, spec: &PodSpec, uid: &str) -> Result<Vec<PreparedVolume>, Error> {
    let mut prepared = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        let plugin = match volume {
            Volume {
                empty_dir: Some(_), ..
            } => "kubernetes.io~empty-dir",
            Volume {
                config_map: Some(_),
                ..
            } => "kubernetes.io~configmap",
            Volume {
                secret: Some(_), ..
            } => "kubernetes.io~secret",
            Volume {
                projected: Some(_), ..
            } => "kubernetes.io~projected",
            Volume {
                downward_api: Some(_),
                ..
            } => "kubernetes.io~downward-api",
            _ => continue,
        };
        prepared.push(PreparedVolume {
            plugin,
            name: volume.name.clone(),
            files: manifest.objects.files(volume, &manifest.pod, uid)?,
        });
    }
    Ok(prepared)
}

fn sandbox_linux(spec: &PodSpec, host_network: bool) -> LinuxPodSandboxConfig {
    let network = if host_network {
        NamespaceMode::NODE
    } else {
        NamespaceMode::POD
    };
    let options = NamespaceOption {
        network: EnumOrUnknown::new(network),
        pid: EnumOrUnknown::new(NamespaceMode::CONTAINER),
        ..Default::default()
    };
    let user = spec
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user);
    let context = LinuxSandboxSecurityContext {
        namespace_options: MessageField::some(options),
        run_as_user: MessageField::from_option(user.map(int64)),
        ..Default::default()
    };
    LinuxPodSandboxConfig {
        security_context: MessageField::some(context),
        ..Default::default()
    }
}

fn int64(value: i64) -> Int64Value {
    Int64Value {
        value,
        ..Default::default()
    }
}

struct Context<'a> {
    manifest: &'a Manifest,
    spec: &'a PodSpec,
    uid: String,
    labels: HashMap<String, String>,
    /// Of the volumes.
    directory: PathBuf,
    volumes: Vec<PreparedVolume>,
}

impl Context<'_> {
    fn container(&self, container: &Container) -> Result<ContainerConfig, Error> {
        let name = container.name.clone();
        let Some(image) = container.image.clone().filter(|image| !image.is_empty()) else {
            return error(format!("container `{name}` has no image"));
        };
        let mut labels = self.labels.clone();
        labels.insert("io.kubernetes.container.name".to_owned(), name.clone());
        let grace = self
            .spec
            .termination_grace_period_seconds
            .unwrap_or(30)
            .to_string();
        let annotations = HashMap::from([
            (
                "io.kubernetes.container.restartCount".to_owned(),
                "0".to_owned(),
            ),
            ("io.kubernetes.pod.terminationGracePeriod".to_owned(), grace),
        ]);
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        Ok(ContainerConfig {
            image: MessageField::some(ImageSpec {
                user_specified_image: image.clone(),
                image,
                ..Default::default()
            }),
            command: container.command.clone().unwrap_or_default(),
            args: container.args.clone().unwrap_or_default(),
            working_dir: container.working_dir.clone().unwrap_or_default(),
            envs: self.variables(container)?,
            mounts: mounts
                .iter()
                .map(|mount| {
                    Ok(Mount {
                        container_path: mount.mount_path.clone(),
                        host_path: self.host_path(
                            &name,
                            mount.name.as_str(),
                            mount.sub_path.as_deref(),
                        )?,
                        readonly: mount.read_only.unwrap_or(false),
                        ..Default::default()
                    })
                })
                .collect::<Result<_, Error>>()?,
            labels,
            annotations,
            log_path: format!("{name}/0.log"),
            stdin: container.stdin.unwrap_or(false),
            stdin_once: container.stdin_once.unwrap_or(false),
            tty: container.tty.unwrap_or(false),
            linux: MessageField::some(self.linux(container)?),
            metadata: MessageField::some(ContainerMetadata {
                name,
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    fn linux(&self, container: &Container) -> Result<LinuxContainerConfig, Error> {
        let own = container.security_context.as_ref();
        let pod = self.spec.security_context.as_ref();
        let user = own
            .and_then(|c| c.run_as_user)
            .or(pod.and_then(|c| c.run_as_user));
        let group = own
            .and_then(|c| c.run_as_group)
            .or(pod.and_then(|c| c.run_as_group));
        let privileged = own.and_then(|c| c.privileged).unwrap_or(false);
        let security = LinuxContainerSecurityContext {
            run_as_user: MessageField::from_option(user.map(int64)),
            run_as_group: MessageField::from_option(group.map(int64)),
            privileged,
            readonly_rootfs: own
                .and_then(|c| c.read_only_root_filesystem)
                .unwrap_or(false),
            no_new_privs: own.and_then(|c| c.allow_privilege_escalation) == Some(false),
            ..Default::default()
        };
        Ok(LinuxContainerConfig {
            resources: MessageField::some(resources(container.resources.as_ref())?),
            security_context: MessageField::some(security),
            ..Default::default()
        })
    }

    /// Where a kubelet would have put a volume, or a part of it.
    fn host_path(
        &self,
        container: &str,
        name: &str,
        sub_path: Option<&str>,
    ) -> Result<String, Error> {
        let volumes = self.spec.volumes.as_deref().unwrap_or_default();
        let Some(volume) = volumes.iter().find(|volume| volume.name == name) else {
            return error(format!(
                "container `{container}` mounts volume `{name}`, which the pod does not have"
            ));
        };
        let prepared = self.volumes.iter().find(|volume| volume.name == name);
        let path: PathBuf = match (&volume.host_path, prepared) {
            (Some(host), _) => Path::new(&host.path).to_owned(),
            (None, Some(volume)) => self.directory.join(volume.plugin).join(name),
            (None, None) => {
                return error(format!(
                    "volume `{name}`: run-pod prepares emptyDir, hostPath, configMap, secret, \
                     projected and downwardAPI volumes; for others, let a kubelet run the pod"
                ))
            }
        };
        let path = match sub_path.filter(|sub_path| !sub_path.is_empty()) {
            Some(sub_path) => path.join(sub_path),
            None => path,
        };
        Ok(path.display().to_string())
    }

    /// A container's environment: what stands in `env` wins over what `envFrom` brings.
    fn variables(&self, container: &Container) -> Result<Vec<KeyValue>, Error> {
        let about = |error: Error| Error(format!("container `{}`: {error}", container.name));
        let mut variables = self.manifest.objects.env_from(container).map_err(about)?;
        for variable in container.env.iter().flatten() {
            let value = match &variable.value_from {
                None => Some(variable.value.clone().unwrap_or_default().into_bytes()),
                Some(source) => {
                    let about = |error| about(Error(format!("env `{}`: {error}", variable.name)));
                    let objects = &self.manifest.objects;
                    objects
                        .value(source, &self.manifest.pod, &self.uid)
                        .map_err(about)?
                }
            };
            if let Some(value) = value {
                variables.retain(|(name, _)| *name != variable.name);
                variables.push((variable.name.clone(), value));
            }
        }
        let variables = variables.into_iter().map(|(key, value)| KeyValue {
            key,
            value,
            ..Default::default()
        });
        Ok(variables.collect())
    }
}

fn resources(given: Option<&ResourceRequirements>) -> Result<LinuxContainerResources, Error> {
    let mut resources = LinuxContainerResources::default();
    let Some(given) = given else {
        return Ok(resources);
    };
    let find = |list: Option<&std::collections::BTreeMap<String, Quantity>>, key: &str| {
        list.and_then(|list| list.get(key))
            .map(quantity_millis)
            .transpose()
    };
    let cpu_limit = find(given.limits.as_ref(), "cpu")?;
    // As the kubelet does: a request that is not given is the limit.
    if let Some(millis) = find(given.requests.as_ref(), "cpu")?.or(cpu_limit) {
        resources.cpu_shares = i64::try_from((millis * 1024 / 1000).clamp(2, 262_144)).unwrap_or(2);
    }
    if let Some(millis) = cpu_limit {
        resources.cpu_period = CPU_PERIOD;
        let quota = millis.saturating_mul(i128::from(CPU_PERIOD)) / 1000;
        resources.cpu_quota = i64::try_from(quota.max(1000)).unwrap_or(i64::MAX);
    }
    if let Some(millis) = find(given.limits.as_ref(), "memory")? {
        resources.memory_limit_in_bytes = i64::try_from((millis + 999) / 1000).unwrap_or(i64::MAX);
    }
    Ok(resources)
}

/// A quantity in thousandths.
fn quantity_millis(quantity: &Quantity) -> Result<i128, Error> {
    const SUFFIXES: [(&str, i128); 14] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("m", 0),
        ("", 1),
    ];
    let text = quantity.0.trim();
    let wrong = || {
        Error(format!(
            "`{text}` is not a quantity; write for example `500m` or `64Mi`"
        ))
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at(split);
    let factor = SUFFIXES
        .iter()
        .find(|(name, _)| *name == suffix)
        .ok_or_else(wrong)?
        .1;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || fraction.len() > 9 {
        return Err(wrong());
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let scale = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let millis = if factor == 0 {
        Some(mantissa)
    } else {
        mantissa.checked_mul(factor * 1000)
    };
    Ok(millis.ok_or_else(wrong)?.div_euclid(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            logs: "/logs".into(),
            kubelet_root: "/var/lib/kubelet".into(),
        }
    }

    fn planned(text: &str) -> Result<Plan, Error> {
        plan(&read(text)?, &layout())
    }

    #[test]
    fn a_manifest_becomes_what_a_kubelet_would_send() {
        let plan = planned(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: hello, annotations: {a: b}}\nspec:\n  \
             initContainers:\n  - {name: prepare, image: busybox, command: [sh, -c, 'true']}\n  \
             containers:\n  - name: main\n    image: busybox:1.36\n    args: [x]\n    env: [{name: A, value: '1'}]\n    \
             resources: {limits: {cpu: 1500m, memory: 64Mi}, requests: {cpu: 250m}}\n    \
             volumeMounts: [{name: scratch, mountPath: /scratch}]\n  volumes: [{name: scratch, emptyDir: {}}]\n",
        )
        .expect("a plan");
        assert_eq!(plan.sandbox.annotations["a"], "b");
        assert_eq!((plan.init.len(), plan.main.len()), (1, 1));
        let main = &plan.main[0];
        let resources = &main.linux.resources;
        assert_eq!(
            (resources.cpu_quota, resources.cpu_period),
            (150_000, 100_000)
        );
        assert_eq!(
            (resources.cpu_shares, resources.memory_limit_in_bytes),
            (256, 64 << 20)
        );
        assert_eq!(main.envs[0].value, b"1");
        let uid = &plan.sandbox.metadata.uid;
        let volume = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/scratch");
        assert_eq!(main.mounts[0].host_path, volume);
        assert_eq!(main.log_path, "main/0.log");
    }

    #[test]
    fn numbers_are_read_as_kubectl_reads_them() {
        let text = "spec: {containers: [{name: a, image: b}], volumes: [\
                    {name: v, secret: {defaultMode: 0400}}, {name: w, secret: {defaultMode: 256}}]}";
        let spec = read(text).expect("a pod").pod.spec.unwrap_or_default();
        for volume in spec.volumes.iter().flatten() {
            let secret = volume.secret.as_ref().expect("a secret");
            assert_eq!(secret.default_mode, Some(0o400), "{}", volume.name);
        }
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        let spec = |spec: &str| format!("metadata: {{name: a}}\nspec: {spec}");
        let rows = [
            ("no yaml", "{".to_owned(), "not a Pod manifest"),
            ("nothing to run", spec("{containers: []}"), "no containers"),
            ("no pod", "kind: Secret\nmetadata: {name: a}".to_owned(), "no Pod"),
            ("two pods", format!("{0}\n---\n{0}", "spec: {containers: []}"), "several Pods"),
            ("a kind that does not run", "kind: Job".to_owned(), "no Job"),
            (
                "a volume that a kubelet mounts",
                spec("{containers: [{name: a, image: b, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, nfs: {server: s, path: /}}]}"),
                "let a kubelet run",
            ),
            ("no name", "spec: {containers: [{name: a, image: b}]}".to_owned(), "metadata.name"),
            ("no image", spec("{containers: [{name: a}]}"), "no image"),
            (
                "an env from elsewhere",
                spec("{containers: [{name: a, image: b, env: [{name: E, valueFrom: {fieldRef: {fieldPath: x}}}]}]}"),
                "container `a`: env `E`: `x` is a field",
            ),
            (
                "a volume that is not there",
                spec("{containers: [{name: a, image: b, volumeMounts: [{name: v, mountPath: /v}]}]}"),
                "does not have",
            ),
            (
                "a bad quantity",
                spec("{containers: [{name: a, image: b, resources: {limits: {cpu: lots}}}]}"),
                "not a quantity",
            ),
        ];
        for (name, text, want) in rows {
            let error = planned(&text).map(|_| ()).expect_err(name).to_string();
            assert!(error.contains(want), "{name}: {error}");
        }
    }

    #[test]
    fn quantities() {
        for (text, millis) in [
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            ("1.5Gi", 1_610_612_736_000),
            ("64Mi", 67_108_864_000),
            ("2k", 2_000_000),
        ] {
            assert_eq!(
                quantity_millis(&Quantity(text.into())),
                Ok(millis),
                "{text}"
            );
        }
        for text in [
            "",
            "m",
            "1x",
            "1e3",
            "-1",
            "99999999999999999999999999999999999999E",
        ] {
            assert!(quantity_millis(&Quantity(text.into())).is_err(), "{text}");
        }
    }
}
