//! What holds after every call.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use grpcio::{RpcStatus, RpcStatusCode};

use super::Node;
use crate::{
    convert::{self, JobContainer},
    cri::{pod_address, CriContext, Error},
    model::{Pod, SandboxId, SandboxPhase},
    plan::properties::{follows, holds},
    proto::{ContainerStatusRequest, ListContainersRequest, ListPodSandboxRequest},
};

/// gRPC carries a message in a header of 8 KiB, where a byte may take three.
const MAX_MESSAGE: usize = 1024;

/// An error that a request can cause: with a code that says so, and a message of one short line.
pub fn error(kind: u8, error: &Error) {
    let status = RpcStatus::from(error);
    let (code, message) = (status.code(), status.message());
    let makes_files = matches!(kind, b'S' | b'O');
    let known = [
        RpcStatusCode::INVALID_ARGUMENT,
        RpcStatusCode::NOT_FOUND,
        RpcStatusCode::FAILED_PRECONDITION,
        RpcStatusCode::ALREADY_EXISTS,
    ];
    let fits = known.contains(&code) || (code == RpcStatusCode::UNAVAILABLE && makes_files);
    assert!(fits, "{}: {code} {message}", char::from(kind));
    assert!(
        !message.is_empty() && message.len() <= MAX_MESSAGE,
        "{} bytes",
        message.len()
    );
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// All pods, one by one, against what they were, and together.
pub fn state(node: &Node, before: &HashMap<SandboxId, Arc<Pod>>) {
    let pods = node.pods();
    for (id, pod) in &pods {
        holds(pod, node.latest());
        if let Some(before) = before.get(id) {
            follows(before, pod);
        }
        assert!(!pod.is_forgotten(), "what is owed nothing is gone");
        becomes_a_job(node.face(), pod);
    }
    let visible: Vec<_> = pods
        .values()
        .filter(|pod| pod.phase() != SandboxPhase::Removed)
        .collect();
    let names = visible.iter().map(|pod| {
        let sandbox = &pod.sandbox;
        (
            &sandbox.name,
            &sandbox.namespace,
            &sandbox.uid,
            sandbox.attempt,
        )
    });
    let names: HashSet<_> = names.collect();
    assert_eq!(
        names.len(),
        visible.len(),
        "an attempt at a pod has one sandbox"
    );
    let times: HashSet<_> = visible
        .iter()
        .map(|pod| (&pod.sandbox.uid, pod.sandbox.created_at))
        .collect();
    assert_eq!(
        times.len(),
        visible.len(),
        "the kubelet takes the latest for the current one"
    );
    let mut used = HashSet::new();
    for pod in visible
        .iter()
        .filter(|pod| pod.phase() == SandboxPhase::Ready)
        .filter(|pod| {
            let address = pod.sandbox.annotations.get(pod_address::ANNOTATION);
            address.is_none()
        })
    {
        assert!(
            pod.sandbox.ip.is_none_or(|ip| used.insert(ip)),
            "two pods have one address"
        );
    }
    lists_show(node.face(), &visible);
}

/// What was created can be sent off: it converts, and so does all that refers to it.
fn becomes_a_job(face: &CriContext, pod: &Pod) {
    let pod = &face.store.load(pod).expect("it is on disk");
    for job in &pod.jobs {
        let containers = convert::to_run(pod, job).map(|entry| JobContainer {
            container: entry.container.clone(),
            config: convert::decode_container_config(&entry.container).expect("it was written"),
            found: Vec::new(),
        });
        let containers: Vec<_> = containers.collect();
        match convert::job_pod(
            pod,
            job,
            &containers,
            None,
            face.settings.default_memory,
            &face.settings,
        ) {
            Ok(made) => assert!(serde_json::to_vec(&made.pod).is_ok()),
            Err(convert::Error::NoContainers) => {}
            Err(error) => panic!("what was created does not convert: {error}"),
        }
        let _ = convert::status_pod(pod, job, &face.settings);
        let _ = convert::delete_pod(
            pod,
            job,
            Duration::from_secs(job.grace_seconds.into()),
            &face.settings,
        );
        for id in &job.containers {
            let target = convert::log_target(pod, job, id).expect("the job carries it");
            for label in [&target.namespace, &target.container_name] {
                assert!((1..=63).contains(&label.len()), "{label}");
            }
        }
    }
}

/// The lists show everything that is not removed, once, and each item has a status.
fn lists_show(face: &CriContext, visible: &[&Arc<Pod>]) {
    let listed = face
        .list_pod_sandbox(&ListPodSandboxRequest::new())
        .expect("listed")
        .decode()
        .expect("a list");
    assert_eq!(listed.items.len(), visible.len());
    let listed = face
        .list_containers(&ListContainersRequest::new())
        .expect("listed")
        .decode()
        .expect("a list");
    let expected: usize = visible.iter().map(|pod| pod.containers.len()).sum();
    assert_eq!(listed.containers.len(), expected);
    for item in listed.containers {
        let request = ContainerStatusRequest {
            container_id: item.id.clone(),
            ..Default::default()
        };
        let status = face
            .container_status(&request)
            .expect("it is listed")
            .decode()
            .expect("an answer")
            .status;
        assert_eq!((&status.id, status.state), (&item.id, item.state));
        assert!(status.created_at > 0);
        assert!(status.started_at == 0 || status.started_at >= status.created_at);
        assert!(status.finished_at == 0 || status.finished_at >= status.started_at);
    }
}
