//! How calls refer to a job that was submitted: by a short pod to ask for its status and to delete
//! it, by names to get its logs.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{
    api::core::v1::{Container as PodContainer, Pod as JobsPod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    metadata,
    pod::{phase, to_run},
    remote_names::{remote_container_name, remote_namespace, remote_pod_name},
    Settings,
};
use crate::model::{ContainerId, Job, JobUid, Pod, Remote};

/// Where interLink's own virtual kubelet notes the plugin's id of a job; plugins look for it.
const JOB_ID: &str = "JobID";

/// The pod to ask /status about: who it is, and the containers that have not ended. A plugin that
/// is asked about a container which never came with the job may fail the whole call.
pub fn status_pod(pod: &Pod, job: &Job, settings: &Settings) -> JobsPod {
    let started = to_run(pod, job)
        .map(|entry| short_container(&entry.container.name, Some(&entry.container.image)));
    let expected = job
        .expected
        .iter()
        .filter(|expected| expected.end.is_none());
    let expected = expected.map(|expected| short_container(&expected.name, None));
    let mut short = short_pod(pod, job, started.chain(expected).collect(), settings);
    if let Some(spec) = &mut short.spec {
        // Some plugins speak of those that are named here, and of no others.
        if job.unreported_inits.in_doubt_since.is_some() || spec.containers.is_empty() {
            let inits = job.inits.iter().map(|name| short_container(name, None));
            spec.containers.splice(0..0, inits);
        }
    }
    short
}

/// The pod to hand to /delete: who it is, and every container that may ever have come with it,
/// with the time that they have to end.
pub fn delete_pod(pod: &Pod, job: &Job, grace: Duration, settings: &Settings) -> JobsPod {
    let started = job.containers.iter().zip(&job.names).map(|(id, name)| {
        let image = pod
            .container(id)
            .map(|entry| entry.container.image.as_str());
        short_container(name, image)
    });
    let expected = job.expected.iter();
    let expected = expected.map(|expected| short_container(&expected.name, None));
    let mut short = short_pod(pod, job, started.chain(expected).collect(), settings);
    let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
    short.metadata.deletion_grace_period_seconds = Some(seconds);
    if pod.awaits_stop(job) {
        // docs/wire.md, W16. Of the known plugins the embedded one understands it.
        let annotations = short.metadata.annotations.get_or_insert_default();
        annotations.insert(metadata::KEEP_END.to_owned(), "true".to_owned());
    }
    short
}

fn short_container(name: &str, image: Option<&str>) -> PodContainer {
    PodContainer {
        name: remote_container_name(name),
        image: image.map(str::to_owned),
        ..PodContainer::default()
    }
}

/// The phase is always one of a pod that lives: the server answers for others from its memory,
/// without asking the plugin.
fn short_pod(pod: &Pod, job: &Job, containers: Vec<PodContainer>, settings: &Settings) -> JobsPod {
    let runs = to_run(pod, job).any(|entry| entry.status.remote == Remote::Running);
    let inits: BTreeSet<_> = job
        .inits
        .iter()
        .map(|name| remote_container_name(name))
        .collect();
    let is_init = |container: &PodContainer| inits.contains(&container.name);
    let (inits, containers): (Vec<_>, Vec<_>) = containers.into_iter().partition(is_init);
    JobsPod {
        metadata: with_job_id(
            metadata::identity(&pod.sandbox, job, &settings.metadata),
            job,
        ),
        spec: Some(PodSpec {
            init_containers: (!inits.is_empty()).then_some(inits),
            containers,
            ..PodSpec::default()
        }),
        status: Some(phase(if runs { "Running" } else { "Pending" })),
    }
}

fn with_job_id(mut metadata: ObjectMeta, job: &Job) -> ObjectMeta {
    if let Some(id) = &job.remote_id {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(JOB_ID.to_owned(), id.clone());
    }
    metadata
}

/// Whose log to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// What the plugin knows the pod's namespace as.
    pub namespace: String,
    /// The job's UID.
    pub pod_uid: JobUid,
    /// The name of the job's pod.
    pub pod_name: String,
    /// The container's name in the job.
    pub container_name: String,
}

/// Whose log a container's is; none if the job does not carry it.
pub fn log_target(pod: &Pod, job: &Job, container: &ContainerId) -> Option<LogTarget> {
    let index = job.containers.iter().position(|id| id == container)?;
    Some(LogTarget {
        namespace: remote_namespace(&pod.sandbox),
        pod_uid: job.uid,
        pod_name: remote_pod_name(&pod.sandbox, job),
        container_name: remote_container_name(job.names.get(index)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        convert::testing::{self, fixture},
        model::{Exit, Nanos},
    };

    fn settings() -> Settings {
        Settings::new(&crate::config::Config::default()).unwrap()
    }

    fn ended() -> Option<Exit> {
        Some(testing::exit())
    }

    #[test]
    fn the_state_is_asked_for_what_has_not_ended() {
        let (mut pod, mut job) = fixture(&["main", "side"]);
        pod.containers[0].status.exit = ended().map(Box::new);
        job.remote_id = Some("4711".to_owned());
        let got = serde_json::to_value(status_pod(&pod, &job, &settings())).unwrap();
        assert_eq!(got["metadata"]["uid"], testing::UID);
        assert_eq!(got["metadata"]["annotations"]["JobID"], "4711");
        assert_eq!(
            got["metadata"]["annotations"]["plugin.example/flags"],
            "--partition=gpu"
        );
        assert_eq!(got["metadata"].get("deletionGracePeriodSeconds"), None);
        let containers = json!([{"name": "side", "image": "busybox"}]);
        assert_eq!(got["spec"], json!({"containers": containers}));
        assert_eq!(got["status"]["phase"], "Pending");
        pod.containers[1].status.remote = Remote::Running;
        let got = status_pod(&pod, &job, &settings()).status.unwrap();
        assert_eq!(got.phase.as_deref(), Some("Running"));
    }

    #[test]
    fn init_containers_in_doubt_are_asked_for_among_the_others() {
        let (mut pod, mut job) = fixture(&["i", "main"]);
        pod.containers[0].status.exit = ended().map(Box::new);
        job.inits = vec!["i".to_owned()];
        let asked = |pod: &Pod, job: &Job| {
            let spec = status_pod(pod, job, &settings()).spec.unwrap();
            let names = spec.containers.into_iter().map(|one| one.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(asked(&pod, &job), ["main"]);
        job.unreported_inits.in_doubt_since = Some(Nanos(1));
        assert_eq!(asked(&pod, &job), ["i", "main"]);
        // One that nothing else is left to say of.
        job.unreported_inits.in_doubt_since = None;
        pod.containers[0].status.exit = None;
        pod.containers[1].status.exit = ended().map(Box::new);
        assert_eq!(asked(&pod, &job), ["i"]);
    }

    #[test]
    fn the_end_names_everything_that_came_with_the_job() {
        let (mut pod, job) = fixture(&["main", "side"]);
        pod.containers[0].status.exit = ended().map(Box::new);
        pod.containers.remove(1);
        let got = serde_json::to_value(delete_pod(
            &pod,
            &job,
            Duration::from_millis(2500),
            &settings(),
        ))
        .unwrap();
        let containers = json!([{"name": "main", "image": "busybox"}, {"name": "side"}]);
        assert_eq!(got["spec"], json!({"containers": containers}));
        assert_eq!(got["metadata"]["deletionGracePeriodSeconds"], 2);
        assert_eq!(got["metadata"]["annotations"].get("JobID"), None);
        assert_eq!(got["status"]["phase"], "Pending");
    }

    #[test]
    fn logs_are_asked_for_by_names_that_the_server_takes() {
        let (mut pod, job) = fixture(&["main", "Side_Car"]);
        testing::sandbox_mut(&mut pod).namespace = "Lab".into();
        let target = log_target(&pod, &job, &job.containers[1]).unwrap();
        assert!(target.namespace.starts_with("lab-"));
        assert!(target.container_name.starts_with("side-car-"));
        assert_eq!(target.pod_uid, job.uid);
        assert_eq!(log_target(&pod, &job, &ContainerId::from("other")), None);
    }
}
