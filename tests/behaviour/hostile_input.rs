//! Requests that mean harm, or nothing: refused with a clear message, and nothing happens.

use std::os::unix::fs::symlink;

use crate::support::{code, container, options, sandbox, Cri, Daemon};
use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    AttachRequest, CheckpointContainerRequest, ContainerConfig, ContainerStatusRequest,
    CreateContainerRequest, ExecRequest, ExecSyncRequest, HugepageLimit, ImageSpec, KeyValue,
    LinuxContainerResources, Mount, PodSandboxConfig, PortForwardRequest, PullImageRequest,
    RunPodSandboxRequest, StatusRequest, UpdateContainerResourcesRequest,
};
use protobuf::MessageField;

fn daemon() -> (Daemon, Cri) {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    (daemon, cri)
}

fn run(cri: &Cri, config: PodSandboxConfig) -> (RpcStatusCode, String) {
    let request = RunPodSandboxRequest {
        config: MessageField::some(config),
        ..Default::default()
    };
    code(cri.runtime.run_pod_sandbox(&request, options()))
}

#[test]
fn sandboxes() {
    let (_daemon, cri) = daemon();
    let request = RunPodSandboxRequest::default();
    let refused = code(cri.runtime.run_pod_sandbox(&request, options()));
    assert_eq!(refused.0, RpcStatusCode::INVALID_ARGUMENT);
    assert_eq!(
        run(&cri, PodSandboxConfig::default()).0,
        RpcStatusCode::INVALID_ARGUMENT
    );
    let long = "x".repeat(300);
    for name in ["", "../../etc", "a\0b", "a\nb", long.as_str()] {
        for field in 0..3 {
            let mut config = sandbox("good");
            let metadata = config.metadata.mut_or_insert_default();
            *[
                &mut metadata.name,
                &mut metadata.namespace,
                &mut metadata.uid,
            ][field] = name.into();
            let (code, message) = run(&cri, config);
            assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT, "{name:?}");
            assert!(message.len() < 400 && !message.contains('\n'), "{message}");
        }
    }
    for directory in ["relative", "/var/log/../../etc", "/a\0b"] {
        let config = PodSandboxConfig {
            log_directory: directory.into(),
            ..sandbox("good")
        };
        assert_eq!(
            run(&cri, config).0,
            RpcStatusCode::INVALID_ARGUMENT,
            "{directory:?}"
        );
    }
    let config = MessageField::some(sandbox("good"));
    let request = RunPodSandboxRequest {
        config,
        runtime_handler: "kata".into(),
        ..Default::default()
    };
    let (code, message) = code(cri.runtime.run_pod_sandbox(&request, options()));
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(
        message.contains("kata") && message.contains("runtime_handlers"),
        "{message}"
    );
}

#[test]
fn containers() {
    let (_daemon, cri) = daemon();
    let pod = cri.run(&sandbox("good"));
    type Row<'a> = (&'a str, &'a dyn Fn(&mut ContainerConfig), &'a str);
    let rows: [Row<'_>; 8] = [
        (
            "no metadata",
            &|c| c.metadata = MessageField::none(),
            "metadata",
        ),
        (
            "a name with a path",
            &|c| c.metadata.mut_or_insert_default().name = "../x".into(),
            "name",
        ),
        (
            "a log that leaves",
            &|c| c.log_path = "../../etc/cron.d/x".into(),
            "log path",
        ),
        (
            "an absolute log",
            &|c| c.log_path = "/etc/cron.d/x".into(),
            "log path",
        ),
        (
            "an env that is no text",
            &|c| {
                c.envs.push(KeyValue {
                    key: "E".into(),
                    value: vec![0xff],
                    ..Default::default()
                });
            },
            "E",
        ),
        (
            "a mount with ..",
            &|c| {
                c.mounts.push(Mount {
                    container_path: "/x".into(),
                    host_path: "/home/../etc".into(),
                    ..Default::default()
                });
            },
            "/home/../etc",
        ),
        (
            "a volume that a remote job cannot have",
            &|c| {
                let uid = crate::support::UID;
                c.mounts.push(Mount {
                    container_path: "/x".into(),
                    host_path: format!(
                        "/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/data/mount"
                    ),
                    ..Default::default()
                });
            },
            "`data`",
        ),
        (
            "a group without a user",
            &|c| {
                let context = &mut c.linux.mut_or_insert_default().security_context;
                context
                    .mut_or_insert_default()
                    .run_as_group
                    .mut_or_insert_default()
                    .value = 5;
            },
            "group",
        ),
    ];
    for (name, spoil, word) in rows {
        let mut config = container("main", &["true"]);
        spoil(&mut config);
        let (code, message) = code(cri.try_create(&pod, &config));
        assert!(
            [
                RpcStatusCode::INVALID_ARGUMENT,
                RpcStatusCode::FAILED_PRECONDITION
            ]
            .contains(&code),
            "{name}: {code} {message}"
        );
        assert!(
            message.to_lowercase().contains(&word.to_lowercase()),
            "{name}: {message}"
        );
    }
    let request = CreateContainerRequest {
        pod_sandbox_id: pod.clone(),
        ..Default::default()
    };
    let refused = code(cri.runtime.create_container(&request, options()));
    assert_eq!(refused.0, RpcStatusCode::INVALID_ARGUMENT);
    let mut unknown = container("main", &["true"]);
    unknown.image.mut_or_insert_default().image = "never-pulled:1".into();
    let request = CreateContainerRequest {
        pod_sandbox_id: pod,
        config: MessageField::some(unknown),
        ..Default::default()
    };
    let refused = code(cri.runtime.create_container(&request, options()));
    assert_eq!(refused.0, RpcStatusCode::NOT_FOUND);
}

#[test]
fn resources_that_no_job_can_have_are_refused_before_their_job_is_made() {
    let (_daemon, cri) = daemon();
    let pod = cri.run(&sandbox("good"));
    let id = cri.create(&pod, &container("main", &["true"]));
    let huge = HugepageLimit {
        page_size: "2Mi".into(),
        limit: 1,
        ..Default::default()
    };
    let linux = LinuxContainerResources {
        hugepage_limits: vec![huge],
        ..Default::default()
    };
    let request = UpdateContainerResourcesRequest {
        container_id: id.clone(),
        linux: MessageField::some(linux),
        ..Default::default()
    };
    let update = cri.runtime.update_container_resources(&request, options());
    let (code, message) = code(update);
    assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT);
    assert!(message.contains("`2Mi`"), "{message}");
    assert!(cri.status(&id).resources.linux.hugepage_limits.is_empty());
}

#[test]
fn an_unknown_id_of_any_length_is_told_on_one_short_line() {
    let (_daemon, cri) = daemon();
    let request = ContainerStatusRequest {
        container_id: "a\nb".repeat(100_000),
        ..Default::default()
    };
    let (code, message) = code(cri.runtime.container_status(&request, options()));
    assert_eq!(code, RpcStatusCode::NOT_FOUND);
    assert!(
        message.len() <= 1024 && !message.contains('\n'),
        "{message}"
    );
}

#[test]
fn a_symlink_in_the_log_directory_leads_nowhere() {
    let (daemon, cri) = daemon();
    let outside = daemon.path("outside");
    std::fs::create_dir(&outside).expect("made");
    let pod = cri.run(&sandbox("links"));
    let directory = daemon.path("logs").join("links");
    symlink(&outside, directory.join("main")).expect("a link");
    let id = cri.create(&pod, &container("main", &["true"]));
    assert!(cri.try_start(&id).is_err());
    assert_eq!(std::fs::read_dir(&outside).expect("lists").count(), 0);
    let status = cri.status(&id);
    assert_eq!(
        (status.exit_code, status.reason.as_str()),
        (128, "StartError")
    );
}

#[test]
fn image_references() {
    let (_daemon, cri) = daemon();
    for text in [
        "",
        "UPPERCASE",
        "a b",
        "a:b:c:d",
        "x@sha256:123",
        "-x",
        &"x/".repeat(500),
    ] {
        let image = MessageField::some(ImageSpec {
            image: text.into(),
            ..Default::default()
        });
        let request = PullImageRequest {
            image,
            ..Default::default()
        };
        let refused = code(cri.images.pull_image(&request, options()));
        assert_eq!(refused.0, RpcStatusCode::INVALID_ARGUMENT, "{text}");
    }
}

#[test]
fn what_is_not_supported_says_so() {
    let (_daemon, cri) = daemon();
    let refusals = [
        code(
            cri.runtime
                .exec_sync(&ExecSyncRequest::default(), options()),
        ),
        code(cri.runtime.exec(&ExecRequest::default(), options())),
        code(cri.runtime.attach(&AttachRequest::default(), options())),
        code(
            cri.runtime
                .port_forward(&PortForwardRequest::default(), options()),
        ),
        code(
            cri.runtime
                .checkpoint_container(&CheckpointContainerRequest::default(), options()),
        ),
    ];
    for (code, message) in refusals {
        assert_eq!(code, RpcStatusCode::UNIMPLEMENTED);
        assert!(
            message.contains("interLink") && message.contains("use") || message.contains("let"),
            "{message}"
        );
    }
}

#[test]
fn a_message_that_is_too_large_is_refused_and_the_next_one_is_not() {
    let (_daemon, cri) = daemon();
    let mut config = sandbox("large");
    config
        .annotations
        .insert("filler".into(), "x".repeat(20 << 20));
    assert_eq!(run(&cri, config).0, RpcStatusCode::RESOURCE_EXHAUSTED);
    cri.runtime
        .status(&StatusRequest::default(), options())
        .expect("it is well");
}
