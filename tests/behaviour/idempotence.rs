//! What may be repeated, and what is refused.

use crate::support::{code, container, options, sandbox, Cri, Daemon};
use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    ContainerStatusRequest, ImageSpec, ImageStatusRequest, PodSandboxStatusRequest,
    PullImageRequest, RemoveContainerRequest, RemoveImageRequest, RunPodSandboxRequest,
};
use protobuf::MessageField;

fn daemon() -> (Daemon, Cri) {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    (daemon, cri)
}

fn remove_container(cri: &Cri, id: &str) {
    let request = RemoveContainerRequest {
        container_id: id.into(),
        ..Default::default()
    };
    cri.runtime
        .remove_container(&request, options())
        .expect("removed");
}

fn image(text: &str) -> MessageField<ImageSpec> {
    MessageField::some(ImageSpec {
        image: text.into(),
        ..Default::default()
    })
}

#[test]
fn stopping_and_removing_what_is_not_there_succeeds() {
    let (_daemon, cri) = daemon();
    for id in ["unknown", "", &"0".repeat(64)] {
        cri.stop(id);
        remove_container(&cri, id);
        cri.stop_sandbox(id);
        cri.remove_sandbox(id);
    }
    for text in ["unknown:1", &"0".repeat(64), "NOT a reference"] {
        let request = RemoveImageRequest {
            image: image(text),
            ..Default::default()
        };
        cri.images
            .remove_image(&request, options())
            .expect("removed");
    }
}

#[test]
fn stopping_and_removing_twice_succeeds() {
    let (_daemon, cri) = daemon();
    let pod = cri.run(&sandbox("a"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    cri.stop(&id);
    let first = cri.status(&id);
    cri.stop(&id);
    assert_eq!(cri.status(&id), first, "the second stop changes nothing");
    remove_container(&cri, &id);
    remove_container(&cri, &id);
    for _ in 0..2 {
        cri.stop_sandbox(&pod);
    }
    for _ in 0..2 {
        cri.remove_sandbox(&pod);
    }
}

#[test]
fn the_status_of_what_is_not_there_is_not_found() {
    let (_daemon, cri) = daemon();
    let request = ContainerStatusRequest {
        container_id: "x".into(),
        ..Default::default()
    };
    let refused = code(cri.runtime.container_status(&request, options()));
    assert_eq!(refused.0, RpcStatusCode::NOT_FOUND);
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: "x".into(),
        ..Default::default()
    };
    let refused = code(cri.runtime.pod_sandbox_status(&request, options()));
    assert_eq!(refused.0, RpcStatusCode::NOT_FOUND);
    let request = ImageStatusRequest {
        image: image("not-pulled"),
        ..Default::default()
    };
    let answer = cri
        .images
        .image_status(&request, options())
        .expect("an answer");
    assert!(
        answer.image.is_none(),
        "an image that is not there is no error"
    );
}

#[test]
fn the_same_sandbox_again_is_refused_until_it_is_removed() {
    let (_daemon, cri) = daemon();
    let pod = cri.run(&sandbox("a"));
    let config = MessageField::some(sandbox("a"));
    let request = RunPodSandboxRequest {
        config,
        ..Default::default()
    };
    let refused = code(cri.runtime.run_pod_sandbox(&request, options()));
    assert_eq!(refused.0, RpcStatusCode::ALREADY_EXISTS);
    assert!(
        refused.1.contains(&pod),
        "the message names it: {}",
        refused.1
    );
    let mut second = sandbox("a");
    second.metadata.mut_or_insert_default().attempt = 1;
    cri.run(&second);
    cri.remove_sandbox(&pod);
    cri.run(&sandbox("a"));
}

#[test]
fn a_leftover_container_is_replaced_and_a_started_one_is_not() {
    let (_daemon, cri) = daemon();
    let pod = cri.run(&sandbox("a"));
    let leftover = cri.create(&pod, &container("main", &["true"]));
    let id = cri.create(&pod, &container("main", &["true"]));
    assert!(cri.try_status(&leftover).is_err());
    cri.start(&id);
    let refused = code(cri.try_create(&pod, &container("main", &["true"])));
    assert_eq!(refused.0, RpcStatusCode::ALREADY_EXISTS);
    let refused = code(cri.try_start(&id));
    assert_eq!(refused.0, RpcStatusCode::FAILED_PRECONDITION);
}

#[test]
fn nothing_is_created_in_a_stopped_or_unknown_sandbox() {
    let (_daemon, cri) = daemon();
    let pod = cri.run(&sandbox("a"));
    let created = cri.create(&pod, &container("main", &["true"]));
    cri.stop_sandbox(&pod);
    assert_eq!(
        cri.wait_for_exit(&created).exit_code,
        137,
        "a created one ends with its sandbox"
    );
    let refused = code(cri.try_create(&pod, &container("other", &["true"])));
    assert_eq!(refused.0, RpcStatusCode::FAILED_PRECONDITION);
    let refused = code(cri.try_create("unknown", &container("other", &["true"])));
    assert_eq!(refused.0, RpcStatusCode::NOT_FOUND);
}

#[test]
fn one_image_by_all_its_names() {
    let (_daemon, cri) = daemon();
    let pull = |text: &str| {
        let request = PullImageRequest {
            image: image(text),
            ..Default::default()
        };
        cri.images
            .pull_image(&request, options())
            .expect("pulled")
            .image_ref
    };
    let id = pull("busybox");
    for name in [
        "busybox:latest",
        "docker.io/busybox",
        "index.docker.io/library/busybox",
    ] {
        assert_eq!(pull(name), id, "{name}");
        let request = ImageStatusRequest {
            image: image(name),
            ..Default::default()
        };
        let answer = cri
            .images
            .image_status(&request, options())
            .expect("an answer");
        assert_eq!(answer.image.id, id, "{name}");
    }
    let request = RemoveImageRequest {
        image: image("docker.io/library/busybox"),
        ..Default::default()
    };
    cri.images
        .remove_image(&request, options())
        .expect("removed");
    let request = ImageStatusRequest {
        image: image(&id),
        ..Default::default()
    };
    let answer = cri
        .images
        .image_status(&request, options())
        .expect("an answer");
    assert!(answer.image.is_none());
}
