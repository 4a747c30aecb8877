//! An interLink server and an API server that want the daemon's memory, of which it may take 256 MiB more
//! than at its start: it lives on, and pods that they leave alone run.

use crate::support::{
    container, sandbox, wait_for, ApiServer, Cri, Daemon, Fake, Fault, Flood, JobState,
};
use serde_json::json;

const MEMORY: u64 = 256 << 20;
/// As much as an answer of the API server may have, but for a little.
const LARGE: usize = (4 << 20) - (128 << 10);

fn deep() -> &'static str {
    "[[[[[[[["
}

/// What the plugin answers to /status, and now and then to other calls.
fn of_the_plugin() -> Vec<Flood> {
    let whole = 31 << 20;
    vec![
        Flood::Elements("[", "{},", "{}]", whole),
        Flood::Elements("[{\"containers\":[", "{\"state\":{}},", "{}]}]", whole),
        Flood::Elements("[{\"UID\":\"", "\\u00e9", "\"}]", 8 << 20),
        Flood::Elements("", deep(), "", 8 << 20),
        Flood::Endless("[", "{},"),
        Flood::Slow("[ "),
    ]
}

/// What the API server answers to questions for a pod.
fn of_the_api_server() -> Vec<Flood> {
    vec![
        Flood::Elements("{\"spec\":{\"containers\":[", "{},", "{}]}}", LARGE),
        Flood::Elements("{\"spec\":{\"volumes\":[", "{},", "{}]}}", LARGE),
        Flood::Elements(
            "{\"spec\":{\"containers\":[{\"env\":[",
            "{\"valueFrom\":{}},",
            "{}]}]}}",
            LARGE,
        ),
        Flood::Elements("{\"metadata\":{\"managedFields\":[", "{},", "{}]}}", LARGE),
        Flood::Elements("{\"spec\":", deep(), "", LARGE),
        Flood::Endless("{\"spec\":{\"containers\":[", "{},"),
    ]
}

/// A pod of the API server's, which runs as the kubelet would have it; gives its container.
fn run(cri: &Cri, name: &str, number: usize) -> (String, String) {
    let mut config = sandbox(name);
    let uid = format!("6f1c9a52-0d4e-4f7b-8a63-{number:012}");
    config.metadata.mut_or_insert_default().uid = uid;
    let pod = cri.run(&config);
    let id = cri.launch(&pod, &container("main", &["true"]));
    (pod, id)
}

#[test]
fn peers_that_want_memory_get_none_and_other_pods_go_on() {
    let (api, fake) = (ApiServer::start(), Fake::start());
    let root = tempfile::tempdir().expect("a directory");
    let kubeconfig = root.path().join("kubeconfig");
    api.kubeconfig(&kubeconfig);
    let settings =
        format!("[kubernetes]\nkubeconfig = {kubeconfig:?}\n[interlink]\nrequest_timeout = '5s'\n");
    let mut daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    daemon.limit_memory(MEMORY);
    fake.begin_jobs_as(&JobState::exited(7));
    for (round, (of_plugin, of_api)) in of_the_plugin()
        .into_iter()
        .zip(of_the_api_server())
        .enumerate()
    {
        let (loud, quiet) = (format!("loud-{round}"), format!("quiet-{round}"));
        api.spoil("pods", &loud, Fault::Floods(of_api));
        let uid = format!("6f1c9a52-0d4e-4f7b-8a63-{:012}", 2 * round + 1);
        let metadata = json!({"name": quiet, "namespace": "lab", "uid": uid});
        let spec = json!({"containers": [{"name": "main", "image": "busybox:1.36"}]});
        api.put("pods", json!({"metadata": metadata, "spec": spec}));
        let flood = Fault::Floods(of_plugin);
        fake.faults("/status", &[flood.clone(), flood.clone()]);
        for path in ["/create", "/pinglink"] {
            fake.faults(path, std::slice::from_ref(&flood));
        }
        let (loud, _) = run(&cri, &loud, 2 * round);
        let (quiet, container) = run(&cri, &quiet, 2 * round + 1);
        wait_for("the quiet pod's container ends", || {
            assert_eq!(daemon.has_ended(), None, "{of_plugin:?}, {of_api:?}");
            let state = cri.status(&container);
            (state.exit_code == 7).then_some(())
        });
        for pod in [loud, quiet] {
            cri.stop_sandbox(&pod);
            cri.remove_sandbox(&pod);
        }
    }
    let most = daemon.memory("VmHWM");
    println!("the most that it had: {} MiB", most >> 20);
    assert!(most < MEMORY, "{most}");
}
