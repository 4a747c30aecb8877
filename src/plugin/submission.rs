//! The body of /create: read in every form in which it comes, and checked as a whole before
//! anything is written or started.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    names::{is_label, is_uid, relative_path},
    pod_dir::{ContainerRecord, PodRecord},
    volumes::{self, Contents, Volume},
    Refusal,
};
use crate::interlink::wire::{PodCreateRequests, RetrievedPodData};

/// Kubernetes' own default.
const DEFAULT_GRACE_SECONDS: u64 = 30;
/// Longer patience than this is taken for a mistake.
const MAX_GRACE_SECONDS: u64 = 3600;

/// A pod that this plugin can run.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) record: PodRecord,
    pub(super) hostname: String,
    /// As in the record: init containers, then main containers.
    pub(super) containers: Vec<Plan>,
    pub(super) volumes: Vec<Volume>,
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    /// Command and arguments; at least one.
    pub(super) command: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) working_dir: String,
    pub(super) mounts: Vec<Mount>,
}

/// A volume in a container.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) volume: String,
    pub(super) path: String,
    /// Which part of the volume; empty for all.
    pub(super) sub_path: PathBuf,
}

impl Submission {
    /// Reads and checks a body: `PodCreateRequests` as the virtual kubelet sends it,
    /// `RetrievedPodData` as the interLink server does, or a list with one of them.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let invalid = |error: serde_json::Error| Refusal::invalid(error.to_string());
        let value = match serde_json::from_slice(body).map_err(invalid)? {
            Value::Array(mut list) if list.len() == 1 => list.remove(0),
            Value::Array(list) => {
                let text = format!("a list of {} pods: send them one by one", list.len());
                return Err(Refusal::invalid(text));
            }
            value => value,
        };
        let retrieved = value.get("container").is_some();
        let (pod, contents) = if retrieved {
            let data: RetrievedPodData = read(value)?;
            (data.pod.clone(), Contents::from(data))
        } else {
            let data: PodCreateRequests = read(value)?;
            (data.pod.clone(), Contents::from(data))
        };
        check(&pod, &contents)
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| Refusal::invalid(error.to_string()))
}

fn check(pod: &Pod, contents: &Contents) -> Result<Submission, Refusal> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    if !is_uid(&uid) {
        let text = format!("metadata.uid `{uid}` is not a lower-case UUID");
        return Err(Refusal::invalid(text));
    }
    let name = pod.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal::invalid("the pod has no metadata.name"));
    }
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    if !is_label(&namespace) {
        let text = format!("metadata.namespace `{namespace}` is not a DNS label");
        return Err(Refusal::invalid(text));
    }
    let Some(spec) = &pod.spec else {
        return Err(Refusal::invalid(format!("pod {name} has no spec")));
    };
    let volumes = volumes::plan(spec, contents)?;
    let (init_containers, containers, plans) = check_containers(spec, &volumes)?;
    let record = PodRecord {
        version: PodRecord::VERSION,
        jid: format!("local-{}", &uid[..8]),
        uid,
        namespace,
        fingerprint: fingerprint(spec),
        grace_seconds: grace(pod).map_or(DEFAULT_GRACE_SECONDS, |grace| grace.as_secs()),
        created_at: Timestamp::now(),
        init_containers,
        containers,
        name,
    };
    Ok(Submission {
        hostname: spec.hostname.clone().unwrap_or(record.name.clone()),
        record,
        containers: plans,
        volumes,
    })
}

/// How long a pod's containers may take to end, if the pod says so: the deletion's own grace
/// period first, as the API server has it.
pub(super) fn grace(pod: &Pod) -> Option<Duration> {
    let of_spec = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds);
    let seconds = pod.metadata.deletion_grace_period_seconds.or(of_spec)?;
    let seconds = u64::try_from(seconds).unwrap_or(0).min(MAX_GRACE_SECONDS);
    Some(Duration::from_secs(seconds))
}

/// Two requests for one pod have the same, whatever volume contents (tokens that are renewed)
/// and metadata have become in between.
fn fingerprint(spec: &PodSpec) -> String {
    let spec = serde_json::to_vec(spec).unwrap_or_default();
    let hash = Sha256::digest(&spec);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Checked = (Vec<ContainerRecord>, Vec<ContainerRecord>, Vec<Plan>);

fn check_containers(spec: &PodSpec, volumes: &[Volume]) -> Result<Checked, Refusal> {
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    if spec.containers.is_empty() {
        return Err(Refusal::invalid("the pod has no containers"));
    }
    if let Some(sidecar) = inits.iter().find(|init| init.restart_policy.is_some()) {
        return Err(Refusal::invalid(format!(
            "init container `{}` has a restartPolicy: the local plugin runs everything once; \
             make it an ordinary container",
            sidecar.name
        )));
    }
    let mut plans: Vec<Plan> = Vec::new();
    for container in inits.iter().chain(&spec.containers) {
        if plans.iter().any(|plan| plan.name == container.name) {
            let text = format!("two containers are called `{}`", container.name);
            return Err(Refusal::invalid(text));
        }
        let own = rustix::process::geteuid().as_raw();
        if let Some(fault) = user_fault(asked_user(spec, container), own) {
            let text = format!("container `{}`: {fault}", container.name);
            return Err(Refusal::invalid(text));
        }
        plans.push(check_container(container, volumes)?);
    }
    let records = |containers: &[Container]| {
        let record = |container: &Container| ContainerRecord {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
        };
        containers.iter().map(record).collect()
    };
    Ok((records(inits), records(&spec.containers), plans))
}

fn asked_user(spec: &PodSpec, container: &Container) -> Option<i64> {
    let own = container.security_context.as_ref();
    let pod = spec.security_context.as_ref();
    own.and_then(|own| own.run_as_user)
        .or_else(|| pod.and_then(|pod| pod.run_as_user))
}

/// Why a container cannot run as this plugin's `own` user. Nobody gets more rights than asked for:
/// that is all that this plugin does about security contexts.
fn user_fault(asked: Option<i64>, own: u32) -> Option<String> {
    let asked = asked.filter(|asked| own == 0 && *asked != 0)?;
    Some(format!(
        "it is to run as user {asked}, and the local plugin, which runs as root, would run it as root \
         too; start the plugin as that user, or leave `runAsUser` out"
    ))
}

fn check_container(container: &Container, volumes: &[Volume]) -> Result<Plan, Refusal> {
    let name = &container.name;
    let refuse = |text: String| Err(Refusal::invalid(format!("container `{name}`: {text}")));
    if !is_label(name) {
        return Err(Refusal::invalid(format!(
            "`{name}` is not a DNS label, so no container's name"
        )));
    }
    let mut command = container.command.clone().unwrap_or_default();
    if command.first().is_none_or(String::is_empty) {
        return refuse(
            "it has no `command`, and the local plugin has no image engine that could tell what \
             the image would run: give the container a command"
                .to_owned(),
        );
    }
    command.extend(container.args.clone().unwrap_or_default());
    if command.iter().any(|word| word.contains('\0')) {
        return refuse("a word of its command has a NUL byte".to_owned());
    }
    let working_dir = container.working_dir.clone().unwrap_or_default();
    if working_dir.contains('\0') {
        return refuse("its working directory has a NUL byte".to_owned());
    }
    if container
        .env_from
        .as_ref()
        .is_some_and(|env| !env.is_empty())
    {
        return refuse("envFrom must be resolved before it comes here".to_owned());
    }
    let mut env = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let key = &variable.name;
        let value = variable.value.clone().unwrap_or_default();
        if variable.value_from.is_some() {
            return refuse(format!(
                "valueFrom of `{key}` must be resolved before it comes here"
            ));
        }
        if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
            return refuse(format!("`{key}` cannot be an environment variable"));
        }
        env.insert(key.clone(), value);
    }
    Ok(Plan {
        name: name.clone(),
        command,
        env,
        working_dir,
        mounts: check_mounts(container, volumes)?,
    })
}

fn check_mounts(container: &Container, volumes: &[Volume]) -> Result<Vec<Mount>, Refusal> {
    let name = &container.name;
    let devices = container.volume_devices.as_ref();
    if devices.is_some_and(|devices| !devices.is_empty()) {
        let text = format!("container `{name}`: volumeDevices are not supported");
        return Err(Refusal::invalid(text));
    }
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let refuse = |text: &str| {
            let volume = &mount.name;
            let text = format!("container `{name}`: mount of volume `{volume}`: {text}");
            Err(Refusal::invalid(text))
        };
        if !volumes.iter().any(|volume| volume.name == mount.name) {
            return refuse("there is no such volume");
        }
        if mount.sub_path_expr.as_ref().is_some_and(|e| !e.is_empty()) {
            return refuse("subPathExpr must be resolved before it comes here");
        }
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let sub_path = match sub_path {
            "" => PathBuf::new(),
            some => match relative_path(some) {
                Some(path) => path,
                None => return refuse("subPath must stay inside the volume"),
            },
        };
        if mount.mount_path.is_empty() || mount.mount_path.contains('\0') {
            return refuse("mountPath is no path");
        }
        mounts.push(Mount {
            volume: mount.name.clone(),
            path: mount.mount_path.clone(),
            sub_path,
        });
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn how_long_a_pod_may_take_to_end() {
        for (name, deletion, spec, want) in [
            ("nothing said", json!(null), json!(null), None),
            ("the pod's own", json!(null), json!(5), Some(5)),
            ("the deletion's goes first", json!(0), json!(5), Some(0)),
            ("less than nothing", json!(-1), json!(5), Some(0)),
            (
                "for ever",
                json!(i64::MAX),
                json!(null),
                Some(MAX_GRACE_SECONDS),
            ),
        ] {
            let pod = json!({
                "metadata": {"deletionGracePeriodSeconds": deletion},
                "spec": {"containers": [], "terminationGracePeriodSeconds": spec},
            });
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(grace(&pod), want.map(Duration::from_secs), "{name}");
        }
    }

    #[test]
    fn nobody_is_made_root_who_asked_for_less() {
        for (asked, own, is_refused) in [
            (None, 0, false),
            (Some(0), 0, false),
            (Some(1000), 0, true),
            (Some(1000), 1000, false),
            (Some(1000), 1001, false),
            (Some(0), 1001, false),
        ] {
            let fault = user_fault(asked, own);
            assert_eq!(fault.is_some(), is_refused, "{asked:?} by {own}: {fault:?}");
        }
        let spec: PodSpec = serde_json::from_value(json!({
            "securityContext": {"runAsUser": 7},
            "containers": [{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 8}}],
        }))
        .unwrap();
        let asked = spec.containers.iter().map(|one| asked_user(&spec, one));
        assert_eq!(asked.collect::<Vec<_>>(), [Some(7), Some(8)]);
    }

    #[test]
    fn a_fingerprint_is_that_of_the_spec() {
        let spec = |image: &str| -> PodSpec {
            serde_json::from_value(json!({"containers": [{"name": "a", "image": image}]})).unwrap()
        };
        assert_eq!(fingerprint(&spec("x")), fingerprint(&spec("x")));
        assert_ne!(fingerprint(&spec("x")), fingerprint(&spec("y")));
        assert_eq!(fingerprint(&spec("x")).len(), 64);
    }
}
