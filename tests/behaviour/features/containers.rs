//! Containers: `docs/features.md`, section "Containers".

use interlink_cri::proto::Signal;
use serde_json::{json, Value};

use super::kubelet::{container, pod, Node};

#[test]
fn stop_signals() {
    let node = Node::new("");
    let cri = node.cri();
    let mut config = container(Vec::new());
    for (signal, name) in [
        (Signal::SIGNAL_SIGUSR1, json!("SIGUSR1")),
        (Signal::SIGNAL_SIGRTMINPLUS3, json!("SIGRTMIN+3")),
        (Signal::SIGNAL_RUNTIME_DEFAULT, Value::Null),
    ] {
        config.stop_signal = signal.into();
        let before = node.fake.requests("/create").len();
        let sandbox = cri.run(&pod());
        let id = cri.launch(&sandbox, &config);
        let created = node.fake.wait_for_requests("/create", before + 1);
        let spec = &created[before]["pod"]["spec"];
        assert_eq!(spec["containers"][0]["lifecycle"]["stopSignal"], name);
        // Without it Kubernetes takes no signal.
        let system = (!name.is_null()).then_some("linux");
        assert_eq!(spec["os"]["name"], json!(system));
        assert_eq!(cri.status(&id).stop_signal, signal.into());
        cri.remove_sandbox(&sandbox);
    }
}
