//! Pods for the unit tests of this room.

use crate::model::{Container, ContainerId, CriConfig, Nanos, Pod, Sandbox, SandboxId, StringMap};
#[cfg(test)]
use crate::{
    model::{Demand, Submission},
    plan::batch,
};

/// A ready pod with created containers of these names.
pub fn pod(names: &[&str]) -> Pod {
    let mut pod = Pod::new(Sandbox {
        id: SandboxId::from("sandbox"),
        name: "train".into(),
        namespace: "lab".into(),
        uid: "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10".into(),
        is_uid_taken: false,
        attempt: 0,
        labels: StringMap::default(),
        annotations: StringMap::default(),
        runtime_handler: Default::default(),
        log_directory: String::new(),
        created_at: Nanos(0),
        ip: None,
        config: CriConfig::default(),
    });
    for name in names {
        let next = container(&pod, name, 0);
        pod.add_container(next);
    }
    pod
}

/// A container for a pod, not yet in it.
pub fn container(pod: &Pod, name: &str, attempt: u32) -> Container {
    Container {
        id: ContainerId::from(format!("{name}-{attempt}").as_str()),
        sandbox_id: pod.sandbox.id.clone(),
        name: name.into(),
        attempt,
        image: "busybox".into(),
        image_id: "sha256:0".into(),
        labels: StringMap::default(),
        annotations: StringMap::default().into(),
        log_path: String::new(),
        created_at: pod.next_created_at(Nanos(0)),
        config: CriConfig::default(),
    }
}

/// A container for a pod with a creation time.
#[cfg(test)]
pub fn created(pod: &Pod, name: &str, created_at: Nanos) -> Container {
    Container {
        created_at,
        ..container(pod, name, 0)
    }
}

/// A pod with one container, and a job of this age, submission and number of cores.
#[cfg(test)]
pub fn with_job(id: &str, age: i64, submission: Submission, cores: u32) -> Pod {
    let mut pod = pod(&["a"]);
    let mut sandbox = (*pod.sandbox).clone();
    sandbox.id = SandboxId::from(id);
    pod.sandbox = sandbox.into();
    let container = pod.containers[0].id().clone();
    batch::start(&mut pod, &container, Nanos(age)).expect("starts");
    pod.jobs[0].submission = submission;
    pod.jobs[0].demand = Some(Demand { cores, gpus: 0 });
    pod
}
