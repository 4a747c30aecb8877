//! The largest pods that an API server takes, as many as a node has, beside a tenant whose pod is small.

use crate::support::{
    container, options, sandbox, wait_for, ApiServer, Cri, Daemon, Fake, JobState,
};
use futures_executor::block_on;
use futures_util::StreamExt as _;
use interlink_cri::proto::{
    ContainerState, ListContainersRequest, ListPodSandboxRequest, PodSandboxConfig,
    StreamContainersRequest,
};
use serde_json::{json, Value};

/// Pods of a node, by the kubelet's default.
const PODS: usize = 110;
/// What an API server takes of annotations, but for a little.
const NOTE: usize = (256 << 10) - 100;

fn named(name: &str, number: usize) -> PodSandboxConfig {
    let mut config = sandbox(name);
    config.metadata.mut_or_insert_default().uid = uid(number);
    config
}

fn uid(number: usize) -> String {
    format!("6f1c9a52-0d4e-4f7b-8a63-{number:012}")
}

/// A pod with hooks, whose second container has all of a ConfigMap as its environment.
fn large(name: &str, number: usize) -> Value {
    let hook = |word: &str| json!({"exec": {"command": ["sh", "-c", word.repeat(1000)]}});
    let container = |name: &str| {
        json!({
            "name": name, "image": "busybox:1.36", "command": ["true"],
            "lifecycle": {"postStart": hook("post "), "preStop": hook("pre ")},
        })
    };
    let mut side = container("side");
    side["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    let metadata = json!({
        "name": name, "namespace": "lab", "uid": uid(number),
        "annotations": {"note": "x".repeat(NOTE)},
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:containers": {}}}}],
    });
    json!({"metadata": metadata, "spec": {"containers": [container("main"), side]}})
}

fn ids(cri: &Cri) -> Vec<String> {
    let list = cri
        .runtime
        .list_containers(&ListContainersRequest::default(), options());
    let list = list.expect("all containers are listed").containers;
    list.into_iter().map(|one| one.id).collect()
}

#[test]
fn the_largest_pods_of_an_api_server_leave_a_quiet_tenant_alone() {
    let (api, fake) = (ApiServer::start(), Fake::start());
    let root = tempfile::tempdir().expect("a directory");
    let kubeconfig = root.path().join("kubeconfig");
    api.kubeconfig(&kubeconfig);
    // A mebibyte, in values that a process may be started with.
    let data: serde_json::Map<_, _> = (0..8)
        .map(|key| (format!("KEY_{key}"), json!("y".repeat((128 << 10) - 200))))
        .collect();
    let map = json!({"metadata": {"name": "settings", "namespace": "lab"}, "data": data});
    api.put("configmaps", map);
    let settings = format!(
        "[kubernetes]\nkubeconfig = {kubeconfig:?}\n[limits]\nmax_namespace_bytes = 268435456\n\
         [interlink]\nrequest_timeout = '20s'\ncreate_timeout = '20s'\n"
    );
    let daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    fake.begin_jobs_as(&JobState::Running);
    let note = || ("note".to_owned(), "x".repeat(NOTE));
    let mut loud = Vec::new();
    for number in 0..PODS {
        let name = format!("loud-{number}");
        api.put("pods", large(&name, number));
        let mut config = named(&name, number);
        config.annotations.extend([note()]);
        let pod = cri.run(&config);
        let mut main = container("main", &["true"]);
        main.annotations.extend([note()]);
        loud.push(cri.launch(&pod, &main));
    }
    let spec = json!({"containers": [{"name": "main", "image": "busybox:1.36"}]});
    let metadata = json!({"name": "quiet", "namespace": "lab", "uid": uid(PODS)});
    api.put("pods", json!({"metadata": metadata, "spec": spec}));
    let pod = cri.run(&named("quiet", PODS));
    let quiet = cri.launch(&pod, &container("main", &["true"]));
    // Everything is listed while jobs are still being made.
    let mut all = ids(&cri);
    assert_eq!(all.len(), PODS + 1);
    let pods = cri
        .runtime
        .list_pod_sandbox(&ListPodSandboxRequest::default(), options());
    assert_eq!(pods.expect("all pods are listed").items.len(), PODS + 1);
    let stream = cri
        .runtime
        .stream_containers(&StreamContainersRequest::default(), options());
    let parts: Vec<_> = block_on(stream.expect("a stream").collect());
    let streamed = parts
        .into_iter()
        .flat_map(|part| part.expect("a part").containers);
    let mut streamed: Vec<_> = streamed.map(|one| one.id).collect();
    all.sort();
    streamed.sort();
    assert_eq!(streamed, all);
    for id in &loud {
        let status = cri.status(id);
        assert_eq!(status.annotations["note"].len(), NOTE);
        assert_eq!(status.state, ContainerState::CONTAINER_RUNNING.into());
    }
    let quiet_job = || {
        let jobs = fake.jobs();
        jobs.contains(&uid(PODS)).then_some(())
    };
    wait_for("the quiet pod is submitted", quiet_job);
    for count in (10..=PODS).step_by(10) {
        wait_for("the large pods are submitted", || {
            (fake.jobs().len() > count).then_some(())
        });
    }
    let created = fake.requests("/create");
    let side = created
        .iter()
        .find(|one| one["pod"]["metadata"]["uid"] == uid(7));
    let side = &side.expect("it was submitted")["pod"]["spec"]["containers"][1];
    assert_eq!(side["env"].as_array().map(Vec::len), Some(8));
    assert!(side["lifecycle"]["preStop"]["exec"].is_object(), "{side}");
    fake.set_all(&JobState::exited(3));
    assert_eq!(cri.wait_for_exit(&quiet).exit_code, 3);
    println!(
        "the most that the daemon had: {} MiB",
        daemon.memory("VmHWM") >> 20
    );
}
