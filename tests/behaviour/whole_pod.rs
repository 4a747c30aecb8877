//! With an API server to ask: a whole pod is one job, jobs carry what the CRI does not tell, and
//! without an answer everything goes as it does without.

use std::fs;

use crate::support::{
    container, sandbox, wait_for, ApiServer, Cri, Daemon, Fake, Fault, JobState, TOKEN, UID,
};
use interlink_cri::proto::{ContainerState, KeyValue, PodSandboxState};
use serde_json::{json, Value};

struct Cluster {
    api: ApiServer,
    fake: Fake,
    daemon: Daemon,
    root: tempfile::TempDir,
}

impl Cluster {
    /// With a pod `web`, whose spec this is, and keys of `[jobs]`.
    fn new(spec: Value, jobs: &str) -> Self {
        let (api, fake) = (ApiServer::start(), Fake::start());
        let root = tempfile::tempdir().expect("a directory");
        let kubeconfig = root.path().join("kubeconfig");
        api.kubeconfig(&kubeconfig);
        let metadata = json!({"name": "web", "namespace": "lab", "uid": UID});
        api.put(
            "pods",
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}),
        );
        let settings = format!(
            "[kubernetes]\nkubeconfig = {kubeconfig:?}\n[pods]\nkubelet_root = {:?}\n[jobs]\n{jobs}",
            root.path()
        );
        let daemon = Daemon::start(&fake.url(), &settings);
        Self {
            api,
            fake,
            daemon,
            root,
        }
    }

    fn cri(&self) -> Cri {
        self.daemon.cri()
    }

    fn created(&self, count: usize) -> Vec<Value> {
        self.fake.wait_for_requests("/create", count)
    }
}

fn names(created: &Value, kind: &str) -> Vec<String> {
    let list = created["pod"]["spec"][kind]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let names = list.iter().filter_map(|one| one["name"].as_str());
    names.map(str::to_owned).collect()
}

fn written(name: &str) -> Value {
    json!({"name": name, "image": "busybox:1.36", "command": ["true"]})
}

/// Two init containers, then two side by side.
fn spec() -> Value {
    json!({
        "initContainers": [written("first"), written("second")],
        "containers": [written("main"), written("side")],
    })
}

/// Long, so that a test would fail that waited for it.
const NEVER: &str = "quiet_period = '1h'";

#[test]
fn the_first_start_submits_the_whole_pod() {
    let cluster = Cluster::new(spec(), NEVER);
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    let first = cri.launch(&pod, &container("first", &["true"]));
    let created = &cluster.created(1)[0];
    assert_eq!(names(created, "initContainers"), ["first", "second"]);
    assert_eq!(names(created, "containers"), ["main", "side"]);
    assert_eq!(created["pod"]["metadata"]["uid"], UID);
    // What the kubelet starts later is bound to that job, and has its state at once.
    cluster.fake.set("first", &JobState::exited(0));
    cluster.fake.set("second", &JobState::exited(0));
    cluster.fake.set("main", &JobState::exited(7));
    cluster.fake.set("side", &JobState::Running);
    assert_eq!(cri.wait_for_exit(&first).exit_code, 0);
    cluster.fake.set_log("main", "from main\n");
    let polls = cluster.fake.requests("/status").len();
    cluster.fake.wait_for_requests("/status", polls + 2);
    let second = cri.launch(&pod, &container("second", &["true"]));
    assert_eq!(cri.wait_for_exit(&second).exit_code, 0);
    let main = cri.launch(&pod, &container("main", &["true"]));
    let status = cri.wait_for_exit(&main);
    assert_eq!(status.exit_code, 7);
    assert!(crate::support::log_text(status.log_path.as_ref()).contains("from main"));
    let side = cri.launch(&pod, &container("side", &["true"]));
    assert_eq!(cri.state(&side), ContainerState::CONTAINER_RUNNING);
    // A restart is a job of its own.
    let mut again = container("main", &["true"]);
    again.metadata.mut_or_insert_default().attempt = 1;
    again.log_path = "main/1.log".to_owned();
    cri.launch(&pod, &again);
    let created = &cluster.created(2)[1];
    assert_eq!(
        (
            names(created, "initContainers"),
            names(created, "containers")
        ),
        (vec![], vec!["main".to_owned()])
    );
    assert_ne!(created["pod"]["metadata"]["uid"], UID);
    // One deletion for each job names all that came with it.
    cri.remove_sandbox(&pod);
    let deleted = cluster.fake.wait_for_requests("/delete", 2);
    let whole = deleted
        .iter()
        .find(|one| one["metadata"]["uid"] == UID)
        .expect("the first");
    let inits = whole["spec"]["initContainers"].as_array().map(Vec::len);
    let mains = whole["spec"]["containers"].as_array().map(Vec::len);
    assert_eq!((inits, mains), (Some(2), Some(2)));
}

/// A pod at a plugin that does not speak of init containers, whose job runs, and whose first container
/// has ended.
fn running_on_slurm() -> (Cluster, Cri, String) {
    let cluster = Cluster::new(spec(), NEVER);
    cluster.fake.speak_as_slurm();
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    let first = cri.launch(&pod, &container("first", &["true"]));
    cluster.created(1);
    cluster.fake.set_all(&JobState::Running);
    // That the others run means that it has succeeded.
    assert_eq!(cri.wait_for_exit(&first).exit_code, 0);
    (cluster, cri, pod)
}

#[test]
fn a_plugin_that_does_not_speak_of_init_containers() {
    let (cluster, cri, pod) = running_on_slurm();
    let second = cri.launch(&pod, &container("second", &["true"]));
    assert_eq!(cri.wait_for_exit(&second).exit_code, 0);
    let main = cri.launch(&pod, &container("main", &["true"]));
    let side = cri.launch(&pod, &container("side", &["true"]));
    assert_eq!(cri.state(&main), ContainerState::CONTAINER_RUNNING);
    for (name, code) in [("first", 0), ("second", 0), ("main", 5), ("side", 0)] {
        cluster.fake.set(name, &JobState::exited(code));
    }
    assert_eq!(cri.wait_for_exit(&main).exit_code, 5);
    assert_eq!(cri.wait_for_exit(&side).exit_code, 0);
    assert_eq!(cluster.fake.requests("/create").len(), 1);
}

#[test]
fn an_init_container_that_did_not_succeed_after_all() {
    let (cluster, cri, pod) = running_on_slurm();
    cri.launch(&pod, &container("second", &["true"]));
    let main = cri.launch(&pod, &container("main", &["true"]));
    cluster.fake.set_log("main", "what the job wrote\n");
    // The SLURM plugin says of those that never ran what became of the job.
    for (name, code) in [("first", 0), ("second", 3), ("main", 68), ("side", 68)] {
        cluster.fake.set(name, &JobState::exited(code));
    }
    let status = cri.wait_for_exit(&main);
    assert_eq!(
        (status.exit_code, &*status.reason),
        (3, "InitContainerFailed")
    );
    let want = "init container `second` failed in job";
    assert!(status.message.contains(want), "{}", status.message);
    // The kubelet runs the init containers again in a new sandbox.
    let state = cri.sandbox_state(&pod);
    assert_eq!(state, PodSandboxState::SANDBOX_NOTREADY);
    wait_for("the log", || {
        let log = crate::support::log_text(status.log_path.as_ref());
        log.contains("what the job wrote").then_some(())
    });
    let deleted = cluster.fake.wait_for_requests("/delete", 1);
    assert_eq!(deleted[0]["metadata"]["uid"], UID);
}

#[test]
fn a_failed_init_container_takes_the_rest_along_again() {
    let cluster = Cluster::new(spec(), NEVER);
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    let first = cri.launch(&pod, &container("first", &["true"]));
    cluster.created(1);
    cluster.fake.set("first", &JobState::exited(1));
    assert_eq!(cri.wait_for_exit(&first).exit_code, 1);
    let mut again = container("first", &["true"]);
    again.metadata.mut_or_insert_default().attempt = 1;
    again.log_path = "first/1.log".to_owned();
    cri.launch(&pod, &again);
    let created = &cluster.created(2)[1];
    assert_eq!(names(created, "initContainers"), ["first", "second"]);
    assert_eq!(names(created, "containers"), ["main", "side"]);
}

#[test]
fn a_crash_between_forgets_nothing() {
    let mut cluster = Cluster::new(spec(), NEVER);
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("first", &["true"]));
    cluster.created(1);
    cluster.fake.set_all(&JobState::exited(0));
    cluster.fake.set("main", &JobState::exited(9));
    wait_for("the daemon has heard of the end", || {
        let log = cluster.daemon.log();
        let answered = "interLink has answered call=\"GET /status\"";
        log.contains(answered).then_some(())
    });
    cluster.daemon.kill_and_restart();
    let cri = cluster.cri();
    let second = cri.launch(&pod, &container("second", &["true"]));
    assert_eq!(cri.wait_for_exit(&second).exit_code, 0);
    let main = cri.launch(&pod, &container("main", &["true"]));
    assert_eq!(cri.wait_for_exit(&main).exit_code, 9);
    assert_eq!(cluster.created(1).len(), 1);
}

#[test]
fn only_liveness_probes_are_sent() {
    let mut spec = spec();
    let probe = json!({"exec": {"command": ["true"]}});
    spec["containers"][0]["readinessProbe"] = probe.clone();
    spec["containers"][0]["livenessProbe"] = probe.clone();
    spec["containers"][1]["startupProbe"] = probe.clone();
    spec["containers"][1]["livenessProbe"] = probe.clone();
    let cluster = Cluster::new(spec, NEVER);
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("first", &["true"]));
    let created = &cluster.created(1)[0];
    let probes = |index: usize| {
        let container = &created["pod"]["spec"]["containers"][index];
        ["readinessProbe", "startupProbe", "livenessProbe"].map(|kind| container[kind].clone())
    };
    assert_eq!(probes(0), [Value::Null, Value::Null, probe.clone()]);
    let later = json!({"exec": {"command": ["true"]}, "initialDelaySeconds": 30});
    assert_eq!(probes(1), [Value::Null, Value::Null, later]);
}

#[test]
fn what_the_kubelet_has_not_come_to_yet_is_made_as_it_would() {
    let mut spec = spec();
    spec["containers"][0] = json!({
        "name": "main",
        "image": "trainer:2",
        "command": ["run"],
        "args": ["--greeting=$(GREETING)", "$(UNKNOWN)"],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "env": [
            {"name": "WHO", "valueFrom": {"secretKeyRef": {"name": "account", "key": "who"}}},
            {"name": "GREETING", "value": "hello $(WHO)"},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "THREADS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
        "resources": {"limits": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}},
        "livenessProbe": {"exec": {"command": ["true"]}},
        "securityContext": {
            "runAsUser": 1000,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "conf", "mountPath": "/conf", "readOnly": true},
            {"name": "scratch", "mountPath": "/scratch", "subPathExpr": "of-$(WHO)"},
            {"name": "data", "mountPath": "/data"},
        ],
    });
    spec["securityContext"] = json!({"fsGroup": 6000});
    spec["volumes"] = json!([
        {"name": "conf", "configMap": {"name": "settings"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "data", "hostPath": {"path": "/no/such"}},
    ]);
    let cluster = Cluster::new(spec, NEVER);
    cluster.api.put(
        "configmaps",
        json!({"metadata": {"name": "settings"}, "data": {"MODE": "fast"}}),
    );
    cluster.api.put(
        "secrets",
        json!({"metadata": {"name": "account"}, "data": {"who": "YW5u"}}),
    );
    let volume = cluster
        .root
        .path()
        .join("pods")
        .join(UID)
        .join("volumes/kubernetes.io~configmap/conf");
    fs::create_dir_all(volume.join("..1")).expect("made");
    fs::write(volume.join("..1/MODE"), "fast").expect("written");
    std::os::unix::fs::symlink("..1", volume.join("..data")).expect("linked");
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    let mut first = container("first", &["true"]);
    let sent = [
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
        // Its own.
        ("DB_PORT", "1"),
    ];
    first.envs = sent
        .map(|(key, value)| KeyValue {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
            ..Default::default()
        })
        .into();
    cri.launch(&pod, &first);
    let created = &cluster.created(1)[0];
    let main = &created["pod"]["spec"]["containers"][0];
    assert_eq!(main["image"], "trainer:2");
    assert_eq!(main["args"], json!(["--greeting=hello ann", "$(UNKNOWN)"]));
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let want = json!([
        variable("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        variable("KUBERNETES_SERVICE_PORT", "443"),
        variable("MODE", "fast"),
        variable("WHO", "ann"),
        variable("GREETING", "hello ann"),
        variable("NODE", "lab"),
        variable("THREADS", "2"),
    ]);
    assert_eq!(main["env"], want);
    assert_eq!(
        main["resources"]["limits"],
        json!({"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"})
    );
    assert_eq!(
        main["livenessProbe"],
        json!({"exec": {"command": ["true"]}})
    );
    assert_eq!(
        main["securityContext"],
        json!({
            "runAsUser": 1000,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    assert_eq!(
        created["pod"]["spec"]["securityContext"],
        json!({"fsGroup": 6000})
    );
    let mounts = main["volumeMounts"].as_array().expect("a list");
    let mounts: Vec<_> = mounts.iter().map(|mount| &mount["name"]).collect();
    assert_eq!(mounts, ["conf", "scratch", "data"]);
    assert_eq!(main["volumeMounts"][1]["subPath"], "of-ann");
    assert_eq!(created["configmaps"][0]["data"], json!({"MODE": "fast"}));
    let log = cluster.daemon.log();
    assert!(!log.contains(TOKEN) && !log.contains("YW5u"), "{log}");
}

#[test]
fn claims_on_a_shared_file_system_go_along() {
    let mut spec = spec();
    spec["containers"][1]["volumeMounts"] =
        json!([{"name": "claim", "mountPath": "/data", "subPath": "set"}]);
    spec["volumes"] = json!([{"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}]);
    let cluster = Cluster::new(spec, NEVER);
    let claim = json!({"metadata": {"name": "c"}, "spec": {"volumeName": "pv-7"}});
    cluster.api.put("persistentvolumeclaims", claim);
    let lustre = json!({"hostPath": {"path": "/lustre/project"}});
    let volume = json!({"metadata": {"name": "pv-7"}, "spec": lustre});
    cluster.api.put("persistentvolumes", volume);
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("first", &["true"]));
    let created = &cluster.created(1)[0];
    assert_eq!(names(created, "initContainers"), ["first", "second"]);
    assert_eq!(names(created, "containers"), ["main", "side"]);
    let volume = &created["pod"]["spec"]["volumes"][0];
    assert_eq!(volume["name"], "claim");
    assert_eq!(volume["hostPath"]["path"], "/lustre/project/set");
}

/// A pod of which something cannot be made here goes as the CRI tells of it.
#[test]
fn what_cannot_go_along_goes_later() {
    let mut spec = spec();
    spec["containers"][1]["volumeMounts"] = json!([{"name": "claim", "mountPath": "/data"}]);
    spec["volumes"] = json!([{"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}]);
    let cluster = Cluster::new(spec, NEVER);
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        let id = cri.launch(&pod, &container(name, &["true"]));
        let created = &cluster.created(number + 1)[number];
        assert_eq!(names(created, "initContainers"), Vec::<String>::new());
        assert_eq!(names(created, "containers"), [name]);
        cluster.fake.set(name, &JobState::exited(0));
        assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
    }
    let log = cluster.daemon.log();
    let want = "its init containers get jobs of their own: container `side`: volume `claim`";
    assert!(log.contains(want), "{log}");
    for name in ["main", "side"] {
        cri.launch(&pod, &container(name, &["true"]));
    }
    assert_eq!(
        names(&cluster.created(3)[2], "containers"),
        ["main", "side"]
    );
}

#[test]
fn without_an_answer_everything_goes_as_before() {
    for fault in [
        Fault::Status(503, "overloaded"),
        Fault::Status(403, "forbidden"),
        Fault::DropBefore,
        Fault::Answer("{"),
    ] {
        let cluster = Cluster::new(spec(), "quiet_period = '80ms'");
        cluster.api.always(Some(fault));
        let cri = cluster.cri();
        let pod = cri.run(&sandbox("web"));
        cri.launch(&pod, &container("first", &["true"]));
        let created = &cluster.created(1)[0];
        assert_eq!(names(created, "containers"), ["first"]);
        assert_eq!(names(created, "initContainers"), Vec::<String>::new());
        let log = cluster.daemon.log();
        assert!(
            log.contains("not read from the API server") && !log.contains(TOKEN),
            "{log}"
        );
    }
}

#[test]
fn an_api_server_that_hangs_delays_no_call() {
    let cluster = Cluster::new(spec(), NEVER);
    cluster.api.always(Some(Fault::Hang));
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    let first = cri.launch(&pod, &container("first", &["true"]));
    wait_for("the API server is asked", || {
        (!cluster
            .api
            .asked("GET", "/api/v1/namespaces/lab/pods/web")
            .is_empty())
        .then_some(())
    });
    assert_eq!(cri.state(&first), ContainerState::CONTAINER_RUNNING);
    cri.stop_sandbox(&pod);
    assert_eq!(cri.state(&first), ContainerState::CONTAINER_EXITED);
}

#[test]
fn in_the_scope_of_containers_a_job_waits_for_those_that_belong_to_it() {
    let cluster = Cluster::new(spec(), "quiet_period = '1h'\njob_scope = 'containers'");
    let cri = cluster.cri();
    let pod = cri.run(&sandbox("web"));
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        let id = cri.launch(&pod, &container(name, &["true"]));
        assert_eq!(
            names(&cluster.created(number + 1)[number], "containers"),
            [name]
        );
        cluster.fake.set(name, &JobState::exited(0));
        cri.wait_for_exit(&id);
    }
    cri.launch(&pod, &container("main", &["true"]));
    wait_for("it is known what belongs to it", || {
        let asked = cluster.daemon.log().matches("lab/web").count();
        (asked > 0).then_some(())
    });
    cri.launch(&pod, &container("side", &["true"]));
    assert_eq!(
        names(&cluster.created(3)[2], "containers"),
        ["main", "side"]
    );
}

#[test]
fn sidecars_share_the_job_of_the_main_containers() {
    let sidecar = json!({"name": "proxy", "image": "busybox:1.36", "command": ["true"], "restartPolicy": "Always"});
    let mut spec = spec();
    spec["initContainers"] = json!([sidecar, written("init")]);
    let whole = Cluster::new(spec.clone(), NEVER);
    let cri = whole.cri();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("proxy", &["true"]));
    let created = &whole.created(1)[0];
    assert_eq!(names(created, "initContainers"), ["init"]);
    assert_eq!(names(created, "containers"), ["proxy", "main", "side"]);

    let apart = Cluster::new(spec, "quiet_period = '1h'\njob_scope = 'containers'");
    let cri = apart.cri();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("proxy", &["true"]));
    wait_for("the API server is asked", || {
        (!apart
            .api
            .asked("GET", "/api/v1/namespaces/lab/pods/web")
            .is_empty())
        .then_some(())
    });
    let info = |cri: &Cri| cri.state(&cri.launch(&pod, &container("init", &["true"])));
    assert_eq!(info(&cri), ContainerState::CONTAINER_RUNNING);
    assert_eq!(names(&apart.created(1)[0], "containers"), ["init"]);
    for name in ["main", "side"] {
        cri.launch(&pod, &container(name, &["true"]));
    }
    assert_eq!(
        names(&apart.created(2)[1], "containers"),
        ["proxy", "main", "side"]
    );
}
