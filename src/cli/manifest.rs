//! A Pod manifest as a kubelet would put it into CRI calls.

use std::{collections::HashMap, path::PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, PodSpec, Secret};
use protobuf::{EnumOrUnknown, MessageField};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

pub use crate::kubelet::Error;
use crate::{
    bounded,
    config::policy::Limits,
    kubelet::{self, int64, Allowance, ApiObjects, FilledVolume, KubeletPod},
    proto::{
        ContainerConfig, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode,
        NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    },
};

fn error<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(text))
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
    pub volumes: Vec<FilledVolume>,
}

/// A Pod, and what stands beside it.
#[derive(Debug)]
pub struct Manifest {
    /// The one Pod.
    pub pod: Pod,
    /// The ConfigMaps and Secrets.
    pub objects: ApiObjects,
}

/// Reads a manifest: a Pod, and perhaps ConfigMaps and Secrets, in YAML or JSON.
///
/// # Errors
/// A text without a Pod or with several, a Pod that has nothing to run, and other kinds.
pub fn read(text: &str) -> Result<Manifest, Error> {
    let documents = bounded::from_yaml_documents(text).map_err(|error| wrong(&error))?;
    let mut pods = Vec::new();
    let mut objects = ApiObjects::default();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        match document["kind"].as_str().unwrap_or("Pod") {
            "Pod" => pods.push(object(&document)?),
            "ConfigMap" => {
                let map: ConfigMap = object(&document)?;
                let name = map.metadata.name.clone().unwrap_or_default();
                objects.configmaps.insert(name, map);
            }
            "Secret" => {
                let secret: Secret = object(&document)?;
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

/// Reads a document by way of JSON: reading a Pod is a lot of code, and for JSON it is there already.
fn object<T: DeserializeOwned>(document: &Value) -> Result<T, Error> {
    let text = serde_json::to_vec(document).map_err(|error| wrong(&error))?;
    bounded::from_json(&text).map_err(|error| wrong(&error))
}

fn wrong(error: &dyn std::fmt::Display) -> Error {
    Error::new(format!("not a Pod manifest: {error}"))
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
        .ok_or_else(|| Error::new("the manifest has no spec"))?;
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
    let kubelet_pod = KubeletPod {
        pod,
        uid: &uid,
        kubelet_root: &layout.kubelet_root,
        pod_ip: None,
        objects: &manifest.objects,
        image_user: None,
        service_variables: Vec::new(),
    };
    let volumes = kubelet::volumes(&kubelet_pod)?;
    let mut allowance = Allowance::for_containers(Limits::default().max_pod_bytes);
    let mut all = |containers: &[Container]| -> Result<Vec<_>, Error> {
        let config = |container| kubelet::container_config(&kubelet_pod, container, &mut allowance);
        containers.iter().map(config).collect()
    };
    Ok(Plan {
        init: all(spec.init_containers.as_deref().unwrap_or_default())?,
        main: all(&spec.containers)?,
        sandbox,
        volumes,
    })
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
                "only a kubelet can mount",
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
}
