//! Addresses and names: `docs/features.md`, section "Network".

use std::fs;

use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    NamespaceMode, NetworkConfig, PodSandboxConfig, PodSandboxStatusRequest, PortMapping,
    RunPodSandboxRequest, RuntimeConfig, UpdateRuntimeConfigRequest,
};
use protobuf::MessageField;
use serde_json::{json, Value};

use super::kubelet::{container, mount, pod, Node};
use crate::support::{self, Cri};

/// A pod of this name.
fn named(name: &str) -> PodSandboxConfig {
    let mut pod = pod();
    let metadata = pod.metadata.mut_or_insert_default();
    metadata.name = name.to_owned();
    metadata.uid = format!(
        "0f6e1c1a-9a3b-4a53-8c36-{:0>12}",
        name.len() * 1000 + name.bytes().map(usize::from).sum::<usize>()
    );
    pod
}

fn ip(cri: &Cri, sandbox: &str) -> Option<String> {
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: sandbox.to_owned(),
        ..Default::default()
    };
    let answer = cri.runtime.pod_sandbox_status(&request, support::options());
    let network = answer.expect("a status").status.network.clone();
    network.into_option().map(|network| network.ip)
}

fn refused(cri: &Cri, pod: PodSandboxConfig) -> (RpcStatusCode, String) {
    let request = RunPodSandboxRequest {
        config: MessageField::some(pod),
        ..Default::default()
    };
    support::code(cri.runtime.run_pod_sandbox(&request, support::options()))
}

/// As a kubelet does when the node gets its range.
fn tell_range(cri: &Cri, cidr: &str) {
    let network = NetworkConfig {
        pod_cidr: cidr.to_owned(),
        ..Default::default()
    };
    let request = UpdateRuntimeConfigRequest {
        runtime_config: MessageField::some(RuntimeConfig {
            network_config: MessageField::some(network),
            ..Default::default()
        }),
        ..Default::default()
    };
    let told = cri
        .runtime
        .update_runtime_config(&request, support::options());
    told.expect("taken");
}

#[test]
fn addresses_of_the_node_s_range() {
    let mut node = Node::new("");
    let cri = node.cri();
    let before = cri.run(&named("early"));
    assert_eq!(ip(&cri, &before), None, "without a range there are none");
    tell_range(&cri, "10.1.2.0/29");
    let pods = ["a", "b", "c"].map(|name| cri.run(&named(name)));
    let got = pods.each_ref().map(|pod| ip(&cri, pod).expect("one"));
    assert_eq!(got, ["10.1.2.2", "10.1.2.3", "10.1.2.4"]);
    // Range and addresses are still known after a crash.
    node.daemon.kill_and_restart();
    let cri = node.cri();
    assert_eq!(ip(&cri, &pods[1]).as_deref(), Some("10.1.2.3"));
    let last = ["d", "e"].map(|name| cri.run(&named(name)));
    assert_eq!(ip(&cri, &last[1]).as_deref(), Some("10.1.2.6"));
    let (code, text) = refused(&cri, named("f"));
    assert_eq!(code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(
        text.contains("pod `lab/f`: no address of the node's pod CIDR 10.1.2.0/29"),
        "{text}"
    );
    cri.stop_sandbox(&pods[0]);
    let freed = cri.run(&named("f"));
    assert_eq!(ip(&cri, &freed).as_deref(), Some("10.1.2.2"));
}

#[test]
fn addresses_of_the_configured_range() {
    let node = Node::new("[network]\npod_cidr = '10.9.0.0/24'");
    let cri = node.cri();
    let pod = cri.run(&named("a"));
    assert_eq!(ip(&cri, &pod).as_deref(), Some("10.9.0.2"));
    tell_range(&cri, "10.1.2.0/24");
    let pod = cri.run(&named("b"));
    assert_eq!(
        ip(&cri, &pod).as_deref(),
        Some("10.1.2.2"),
        "the kubelet knows better"
    );
}

#[test]
fn a_pod_s_own_address() {
    let node = Node::new("[network]\npod_cidr = '10.9.0.0/24'\nown_ranges = ['10.9.0.0/24']");
    let cri = node.cri();
    let own = |name: &str, ip: &str| {
        let mut pod = named(name);
        pod.annotations
            .insert("interlink.eu/pod-ip".to_owned(), ip.to_owned());
        pod
    };
    let first = cri.run(&own("a", "10.9.0.2"));
    assert_eq!(ip(&cri, &first).as_deref(), Some("10.9.0.2"));
    let other = cri.run(&named("b"));
    assert_eq!(ip(&cri, &other).as_deref(), Some("10.9.0.3"), "not twice");
    let (code, text) = refused(&cri, own("c", "10.9.0.2"));
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(
        text.contains("its address 10.9.0.2 is that of pod `lab/a`"),
        "{text}"
    );
    let (code, text) = refused(&cri, own("c", "10.9.0.0/24"));
    assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT);
    assert!(
        text.contains("`10.9.0.0/24` is not an IP address"),
        "{text}"
    );
    for (address, why) in [
        ("127.0.0.1", "special"),
        ("10.96.0.10", "network.own_ranges"),
    ] {
        let (code, text) = refused(&cri, own("c", address));
        assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn no_address_on_the_host_network() {
    let node = Node::new("[network]\npod_cidr = '10.9.0.0/24'");
    let cri = node.cri();
    let mut pod = pod();
    let linux = pod.linux.mut_or_insert_default();
    let context = linux.security_context.mut_or_insert_default();
    context.namespace_options.mut_or_insert_default().network = NamespaceMode::NODE.into();
    let sandbox = cri.run(&pod);
    assert_eq!(ip(&cri, &sandbox), None);
}

fn spec(created: &Value) -> &Value {
    &created["pod"]["spec"]
}

#[test]
fn dns_and_host_name() {
    let node = Node::new("");
    let created = node.created(&pod(), &container(Vec::new()));
    let want = json!({
        "nameservers": ["10.96.0.10"],
        "searches": ["lab.svc.cluster.local"],
        "options": [{"name": "ndots", "value": "5"}],
    });
    assert_eq!(spec(&created)["dnsConfig"], want);
    assert_eq!(spec(&created)["hostname"], "web");
}

#[test]
fn ports() {
    let node = Node::new("");
    let mut pod = pod();
    pod.port_mappings = vec![PortMapping {
        container_port: 80,
        ..Default::default()
    }];
    let mut config = container(Vec::new());
    let noted = r#"[{"name":"http","containerPort":80,"protocol":"TCP"}]"#;
    config
        .annotations
        .insert("io.kubernetes.container.ports".to_owned(), noted.to_owned());
    let ports = |created: &Value| spec(created)["containers"][0]["ports"].clone();
    let want = json!([{"name": "http", "containerPort": 80, "protocol": "TCP"}]);
    assert_eq!(ports(&node.created(&pod, &config)), want);
    // A client that is no kubelet notes nothing.
    let want = json!([{"containerPort": 80, "protocol": "TCP"}]);
    assert_eq!(ports(&node.created(&pod, &container(Vec::new()))), want);
}

#[test]
fn host_aliases() {
    let node = Node::new("");
    fs::create_dir_all(node.pod()).expect("made");
    let hosts = node.pod().join("etc-hosts");
    let text = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n10.1.2.2\tweb\n\n\
                # Entries added by HostAliases.\n10.0.0.7\tdb\tdb.lab\n";
    fs::write(&hosts, text).expect("written");
    let created = node.created(&pod(), &container(vec![mount(&hosts, "/etc/hosts")]));
    let want = json!([{"ip": "10.0.0.7", "hostnames": ["db", "db.lab"]}]);
    assert_eq!(spec(&created)["hostAliases"], want);
    assert_eq!(spec(&created)["volumes"], Value::Null);
}
