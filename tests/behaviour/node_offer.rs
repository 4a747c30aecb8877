//! What a node offers to the scheduler: its status follows what the plugin reports and the settings say.

use serde_json::{json, Value};

use crate::support::{command, container, sandbox, wait_for, ApiServer, Daemon, Fake, UID};

struct Cluster {
    api: ApiServer,
    fake: Fake,
    daemon: Daemon,
    _root: tempfile::TempDir,
}

impl Cluster {
    /// With a node `login-1`, and keys of `[node]`.
    fn new(settings: &str) -> Self {
        let (api, fake) = (ApiServer::start(), Fake::start());
        let root = tempfile::tempdir().expect("a directory");
        let kubeconfig = root.path().join("kubeconfig");
        api.kubeconfig(&kubeconfig);
        api.put(
            "nodes",
            json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "login-1", "labels": {"kubernetes.io/os": "linux"}},
                "status": {"capacity": {"cpu": "2", "memory": "24684084Ki", "pods": "110"}},
            }),
        );
        fake.answer_pings_with(&ping("4", "16Ti"));
        let settings = format!(
            "[kubernetes]\nkubeconfig = {kubeconfig:?}\nnode_name = 'login-1'\n\
             [node]\ncheck_interval = '100ms'\n{settings}"
        );
        Self {
            daemon: Daemon::start(&fake.url(), &settings),
            api,
            fake,
            _root: root,
        }
    }

    fn capacity(&self) -> Value {
        self.api.object("nodes", "login-1")["status"]["capacity"].clone()
    }

    fn wait_for_capacity(&self, name: &str, amount: &str) {
        wait_for(&format!("{name} = {amount}"), || {
            (self.capacity()[name] == amount).then_some(())
        });
    }

    fn looks(&self) -> usize {
        self.api.asked("GET", "/api/v1/nodes/login-1").len()
    }

    /// The node's condition in `interlink-cri status`, and what is shown as offered.
    fn status(&self) -> (Value, Value) {
        let socket = self.daemon.socket().display().to_string();
        let (_, text, _) = command(&["status", "--socket", &socket, "-o", "json"]);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let conditions = value["conditions"].as_array().cloned().unwrap_or_default();
        let mut ours = conditions
            .into_iter()
            .filter(|one| one["type"] == "NodeOfferReady");
        (
            ours.next().unwrap_or_default(),
            value["info"]["node"].clone(),
        )
    }
}

fn ping(gpus: &str, memory: &str) -> String {
    json!({
        "status": "ok",
        "resources": {
            "cpu": "4096",
            "memory": memory,
            "accelerators": [{"resourceType": "A100", "available": gpus}],
        },
        "taints": [{"key": "interlink.eu/hpc", "value": "yes", "effect": "NoSchedule"}],
    })
    .to_string()
}

const ALL: &str = "\
offer_accelerators = true
offer_cpu_and_memory = true
accelerators = { A100 = 'nvidia.com/gpu' }
capacity = { 'site.org/licences' = '7' }
labels = { 'interlink.eu/flavour' = 'gpu' }
annotations = { 'site.org/contact' = 'hpc' }
";

#[test]
fn the_node_offers_what_the_plugin_reports() {
    let cluster = Cluster::new(ALL);
    cluster.wait_for_capacity("nvidia.com/gpu", "4");
    cluster.wait_for_capacity("site.org/licences", "7");
    let want = json!({
        "cpu": "2", "memory": "24684084Ki", "pods": "110",
        "nvidia.com/gpu": "4", "site.org/licences": "7",
        "interlink.eu/cpu": "4096", "interlink.eu/memory": "16Ti",
    });
    wait_for("all amounts", || (cluster.capacity() == want).then_some(()));
    wait_for("labels and annotations", || {
        let metadata = cluster.api.object("nodes", "login-1")["metadata"].clone();
        let labels = json!({"kubernetes.io/os": "linux", "interlink.eu/flavour": "gpu"});
        let annotations = json!({"site.org/contact": "hpc"});
        (metadata["labels"] == labels && metadata["annotations"] == annotations).then_some(())
    });
    // A kubelet that has started sets what it does not know to zero.
    cluster.api.change("nodes", "login-1", |node| {
        node["status"]["capacity"]["nvidia.com/gpu"] = json!("0");
    });
    cluster.wait_for_capacity("nvidia.com/gpu", "4");
    // More, and less again: nobody has any.
    cluster.fake.answer_pings_with(&ping("6", "16Ti"));
    cluster.wait_for_capacity("nvidia.com/gpu", "6");
    cluster.fake.answer_pings_with(&ping("1", "16Ti"));
    cluster.wait_for_capacity("nvidia.com/gpu", "1");
    // An older plugin, or one that is away, says nothing of it.
    cluster.fake.answer_pings_with("ok");
    let before = cluster.looks();
    wait_for("some looks", || {
        (cluster.looks() > before + 5).then_some(())
    });
    assert_eq!(cluster.capacity()["nvidia.com/gpu"], "1");
    let (condition, node) = cluster.status();
    assert_eq!(condition["status"], true, "{condition}");
    assert_eq!(node["offered"]["nvidia.com/gpu"], "1");
    assert_eq!(node["offered"]["interlink.eu/memory"], "16Ti");
    // Nothing is written when nothing differs.
    let writes = || cluster.api.asked("PATCH", "/api/v1/nodes").len();
    let (before, looks) = (writes(), cluster.looks());
    wait_for("some looks", || (cluster.looks() > looks + 3).then_some(()));
    assert_eq!(writes(), before);
    let hints = cluster.daemon.log();
    let command = "kubectl taint node login-1 'interlink.eu/hpc=yes:NoSchedule'";
    assert_eq!(hints.matches(command).count(), 1, "told once");
}

#[test]
fn the_node_offers_no_less_than_pods_have() {
    let cluster = Cluster::new(ALL);
    cluster.wait_for_capacity("nvidia.com/gpu", "4");
    let pod = |name: &str, phase: &str| {
        json!({
            "metadata": {"name": name, "namespace": "lab"},
            "spec": {"containers": [
                {"name": "main", "resources": {"requests": {"nvidia.com/gpu": "3"}}},
            ]},
            "status": {"phase": phase},
        })
    };
    cluster.api.put("pods", pod("trains", "Running"));
    cluster.api.put("pods", pod("done", "Succeeded"));
    cluster.fake.answer_pings_with(&ping("1", "16Ti"));
    cluster.wait_for_capacity("nvidia.com/gpu", "3");
    let (condition, _) = wait_for("trouble", || {
        let status = cluster.status();
        (status.0["status"] == false).then_some(status)
    });
    let message = condition["message"].as_str().unwrap_or_default();
    assert_eq!(message, "pods have 3 nvidia.com/gpu, and the cluster has 1");
    cluster.api.put("pods", pod("trains", "Succeeded"));
    cluster.wait_for_capacity("nvidia.com/gpu", "1");
    wait_for("no trouble", || {
        (cluster.status().0["status"] == true).then_some(())
    });
}

#[test]
fn an_api_server_that_refuses_shows_as_a_condition() {
    let cluster = Cluster::new("capacity = { 'a.org/x' = '1' }");
    cluster.wait_for_capacity("a.org/x", "1");
    cluster
        .api
        .always(Some(crate::support::Fault::Status(403, "no")));
    let (condition, node) = wait_for("trouble", || {
        let status = cluster.status();
        (status.0["status"] == false).then_some(status)
    });
    let message = condition["message"].as_str().unwrap_or_default();
    assert!(message.contains("reading node login-1"), "{message}");
    assert_eq!(node["offered"]["a.org/x"], "1", "as it was seen last");
    cluster.api.always(None);
    wait_for("no trouble", || {
        (cluster.status().0["status"] == true).then_some(())
    });
}

#[test]
fn what_a_pod_asks_of_the_cluster_is_its_job_s() {
    let cluster = Cluster::new(ALL);
    let amounts =
        json!({"interlink.eu/cpu": "64", "interlink.eu/memory": "256Gi", "nvidia.com/gpu": "4"});
    cluster.api.put(
        "pods",
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "lab", "uid": UID},
            "spec": {
                "activeDeadlineSeconds": 3601,
                "terminationGracePeriodSeconds": 90,
                "containers": [{
                    "name": "main",
                    "image": "a",
                    "lifecycle": {"preStop": {"exec": {"command": ["save"]}}},
                    "resources": {"limits": amounts, "requests": amounts},
                }],
            },
        }),
    );
    let cri = cluster.daemon.cri();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("main", &["true"]));
    let request = &cluster.fake.wait_for_requests("/create", 1)[0];
    let resources = &request["pod"]["spec"]["containers"][0]["resources"];
    let want = json!({"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "4"});
    assert_eq!(resources["limits"], want);
    assert_eq!(resources["requests"], want);
    // And what SLURM is told of its time and GPUs.
    let flags = &request["pod"]["metadata"]["annotations"]["slurm-job.vk.io/flags"];
    assert_eq!(flags, "--time=61 --signal=B:TERM@90 --gres=gpu:4");
    assert_eq!(request["pod"]["spec"]["activeDeadlineSeconds"], 3601);
}
