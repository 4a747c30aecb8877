//! A pod's whole life, as the kubelet and as the interLink server see it.

use crate::support::{container, log_text, sandbox, wait_for, Daemon, Fake, JobState};
use interlink_cri::proto::{ContainerState, KeyValue, LinuxContainerResources};
use serde_json::json;

#[test]
fn from_creation_to_removal() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();

    let pod = cri.run(&sandbox("train"));
    let mut config = container("main", &["python", "train.py"]);
    config.args = vec!["--epochs".into(), "3".into()];
    config.working_dir = "/work".into();
    config.envs = vec![KeyValue {
        key: "SEED".into(),
        value: b"42".to_vec(),
        ..Default::default()
    }];
    let resources = LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 150_000,
        memory_limit_in_bytes: 64 << 20,
        ..Default::default()
    };
    config.linux.mut_or_insert_default().resources = Some(resources).into();
    let id = cri.create(&pod, &config);
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_CREATED);
    cri.start(&id);
    assert_eq!(
        cri.state(&id),
        ContainerState::CONTAINER_RUNNING,
        "at the very next call"
    );
    assert!(
        std::path::Path::new(&cri.status(&id).log_path).exists(),
        "the log is there too"
    );

    let created = &fake.wait_for_requests("/create", 1)[0];
    let sent = &created["pod"];
    assert_eq!(sent["metadata"]["name"], "train");
    assert_eq!(sent["metadata"]["namespace"], "lab");
    assert_eq!(
        sent["metadata"]["uid"],
        "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10"
    );
    assert_eq!(sent["metadata"]["labels"]["app"], "train");
    assert_eq!(sent["status"]["phase"], "Pending");
    assert_eq!(sent["spec"]["restartPolicy"], "Never");
    let main = &sent["spec"]["containers"][0];
    assert_eq!(main["name"], "main");
    assert_eq!(
        main["image"], "busybox:1.36",
        "what the user wrote, not the id"
    );
    assert_eq!(main["command"], json!(["python", "train.py"]));
    assert_eq!(main["args"], json!(["--epochs", "3"]));
    assert_eq!(main["workingDir"], "/work");
    assert_eq!(main["env"], json!([{ "name": "SEED", "value": "42" }]));
    assert_eq!(
        main["resources"]["limits"],
        json!({ "cpu": "1500m", "memory": "64Mi" })
    );

    fake.set_log("main", "epoch 1\n");
    fake.set_all(&JobState::Running);
    let log = cri.status(&id).log_path;
    wait_for("the log is followed", || {
        (log_text(log.as_ref()) == "epoch 1\n").then_some(())
    });
    fake.set_log("main", "epoch 1\nepoch 2\nno newline");
    fake.set_all(&JobState::exited(7));
    let status = cri.wait_for_exit(&id);
    assert_eq!(
        log_text(log.as_ref()),
        "epoch 1\nepoch 2\nno newline\n",
        "complete when EXITED"
    );
    assert_eq!((status.exit_code, status.reason.as_str()), (7, "Error"));
    assert!(status.created_at <= status.started_at && status.started_at <= status.finished_at);

    assert!(
        fake.requests("/delete").is_empty(),
        "its remote files stay as long as the pod"
    );
    cri.stop_sandbox(&pod);
    let deleted = &fake.wait_for_requests("/delete", 1)[0];
    assert_eq!(deleted["metadata"]["uid"], sent["metadata"]["uid"]);
    cri.remove_sandbox(&pod);
    assert!(cri.try_status(&id).is_err());
    assert!(fake.jobs().is_empty());
    assert_eq!(fake.requests("/create").len(), 1);
}

#[test]
fn a_queued_job_is_running_for_the_kubelet() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("queued"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/status", 3);
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    fake.set_all(&JobState::exited(0));
    let status = cri.wait_for_exit(&id);
    assert_eq!((status.exit_code, status.reason.as_str()), (0, "Completed"));
}
