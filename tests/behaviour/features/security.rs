//! Security contexts: `docs/features.md`, section "Security".

use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    security_profile::ProfileType, Capability, ContainerConfig, LinuxContainerSecurityContext,
    LinuxSandboxSecurityContext, NamespaceMode, PodSandboxConfig, RunPodSandboxRequest,
    SELinuxOption, SecurityProfile, SupplementalGroupsPolicy,
};
use protobuf::MessageField;
use serde_json::{json, Value};

use super::kubelet::{container, int64, pod, Node};
use crate::support;

/// A pod whose sandbox has this security context.
fn pod_with(change: impl FnOnce(&mut LinuxSandboxSecurityContext)) -> PodSandboxConfig {
    let mut pod = pod();
    let linux = pod.linux.mut_or_insert_default();
    change(linux.security_context.mut_or_insert_default());
    pod
}

/// A container with this security context.
fn container_with(change: impl FnOnce(&mut LinuxContainerSecurityContext)) -> ContainerConfig {
    let mut config = container(Vec::new());
    let linux = config.linux.mut_or_insert_default();
    change(linux.security_context.mut_or_insert_default());
    config
}

fn arrived(created: &Value) -> [Value; 2] {
    let spec = &created["pod"]["spec"];
    [
        spec["securityContext"].clone(),
        spec["containers"][0]["securityContext"].clone(),
    ]
}

fn refused_pod(node: &Node, pod: PodSandboxConfig) -> (RpcStatusCode, String) {
    let request = RunPodSandboxRequest {
        config: MessageField::some(pod),
        ..Default::default()
    };
    support::code(
        node.cri()
            .runtime
            .run_pod_sandbox(&request, support::options()),
    )
}

#[test]
fn no_demands() {
    let node = Node::new("");
    let created = node.created(&pod(), &container(Vec::new()));
    assert_eq!(arrived(&created), [Value::Null, Value::Null]);
}

#[test]
fn users_and_groups() {
    let node = Node::new("");
    let pod = pod_with(|context| {
        context.run_as_user = int64(1000);
        context.run_as_group = int64(1001);
        // The pod's supplementalGroups, and its fsGroup.
        context.supplemental_groups = vec![3000, 2000];
        context.supplemental_groups_policy = SupplementalGroupsPolicy::Strict.into();
    });
    let container = container_with(|context| {
        context.run_as_user = int64(1234);
        context.run_as_group = int64(1001);
        context.supplemental_groups = vec![3000, 2000];
    });
    let want = [
        json!({
            "runAsUser": 1000, "runAsGroup": 1001, "supplementalGroups": [3000, 2000],
            "supplementalGroupsPolicy": "Strict",
        }),
        json!({"runAsUser": 1234, "runAsGroup": 1001}),
    ];
    assert_eq!(arrived(&node.created(&pod, &container)), want);
}

#[test]
fn a_user_by_name() {
    let node = Node::new("");
    let container = container_with(|context| {
        context.run_as_user.clear();
        context.run_as_username = "www-data".to_owned();
    });
    assert_eq!(arrived(&node.created(&pod(), &container))[1], Value::Null);
    assert!(node
        .daemon
        .log()
        .contains("user `www-data` is asked for by name"));
}

#[test]
fn what_is_wrong_with_ids() {
    let node = Node::new("");
    for (container, field) in [
        (
            container_with(|context| {
                context.run_as_user.clear();
                context.run_as_group = int64(7);
            }),
            "run_as_group",
        ),
        (
            container_with(|context| context.run_as_user = int64(-1)),
            "run_as_user",
        ),
    ] {
        let (code, text) = node.refused(&pod(), &container);
        assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT, "{text}");
        assert!(
            text.contains(&format!("container `main` of pod `lab/web`: {field}")),
            "{text}"
        );
    }
}

fn privileged() -> (PodSandboxConfig, ContainerConfig) {
    (
        pod_with(|context| context.privileged = true),
        container_with(|context| context.privileged = true),
    )
}

#[test]
fn privileged_containers() {
    let node = Node::new("");
    let (of_pod, of_container) = privileged();
    let (code, text) = refused_pod(&node, of_pod);
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(
        text.contains("pod `lab/web`: securityContext.privileged is not allowed"),
        "{text}"
    );
    let (code, text) = node.refused(&pod(), &of_container);
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(text.contains("`security.privileged`"), "{text}");
}

#[test]
fn privileged_containers_by_setting() {
    for (setting, want) in [("drop", Value::Null), ("pass", json!({"privileged": true}))] {
        let node = Node::new(&format!("[security]\nprivileged = '{setting}'"));
        let (of_pod, of_container) = privileged();
        assert_eq!(arrived(&node.created(&of_pod, &of_container))[1], want);
        let is_said = node
            .daemon
            .log()
            .contains("securityContext.privileged is dropped");
        assert_eq!(is_said, setting == "drop");
    }
}

#[test]
fn root() {
    let node = Node::new("");
    let (code, text) = refused_pod(&node, pod_with(|context| context.run_as_user = int64(0)));
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(
        text.contains("securityContext.runAsUser: 0 is not allowed here"),
        "{text}"
    );
    for by in [
        container_with(|context| context.run_as_user = int64(0)),
        container_with(|context| {
            context.run_as_user.clear();
            context.run_as_username = "root".to_owned();
        }),
    ] {
        let (_, text) = node.refused(&pod(), &by);
        assert!(text.contains("`security.root`"), "{text}");
    }
}

#[test]
fn root_by_setting() {
    for (setting, want) in [("drop", Value::Null), ("pass", json!({"runAsUser": 0}))] {
        let node = Node::new(&format!("[security]\nroot = '{setting}'"));
        let pod = pod_with(|context| context.run_as_user = int64(0));
        let container = container_with(|context| context.run_as_user = int64(0));
        let got = arrived(&node.created(&pod, &container));
        assert_eq!(got, [want.clone(), want]);
    }
}

fn host() -> PodSandboxConfig {
    pod_with(|context| {
        let options = context.namespace_options.mut_or_insert_default();
        options.pid = NamespaceMode::NODE.into();
        options.ipc = NamespaceMode::NODE.into();
        options.network = NamespaceMode::NODE.into();
    })
}

#[test]
fn host_namespaces() {
    let node = Node::new("");
    let created = node.created(&host(), &container(Vec::new()));
    let spec = &created["pod"]["spec"];
    for field in ["hostPID", "hostIPC", "hostNetwork"] {
        assert_eq!(spec[field], true, "{field}");
    }
}

#[test]
fn host_namespaces_by_setting() {
    let drop = "[security]\nhost_namespaces = 'drop'\nhost_network = 'drop'";
    let node = Node::new(drop);
    let created = node.created(&host(), &container(Vec::new()));
    let spec = &created["pod"]["spec"];
    for field in ["hostPID", "hostIPC", "hostNetwork"] {
        assert_eq!(spec[field], Value::Null, "{field}");
    }
    let node = Node::new("[security]\nhost_namespaces = 'refuse'");
    let (code, text) = refused_pod(&node, host());
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(text.contains("hostPID is not allowed here"), "{text}");
}

#[test]
fn shared_process_namespaces() {
    let node = Node::new("");
    let pod = pod_with(|context| {
        let options = context.namespace_options.mut_or_insert_default();
        options.pid = NamespaceMode::POD.into();
    });
    let created = node.created(&pod, &container(Vec::new()));
    assert_eq!(created["pod"]["spec"]["shareProcessNamespace"], true);
}

#[test]
fn capabilities() {
    let demand = || {
        container_with(|context| {
            context.capabilities = MessageField::some(Capability {
                add_capabilities: vec!["NET_BIND_SERVICE".to_owned()],
                drop_capabilities: vec!["ALL".to_owned()],
                ..Default::default()
            });
        })
    };
    let node = Node::new("");
    let got = arrived(&node.created(&pod(), &demand()));
    assert_eq!(
        got[1]["capabilities"],
        json!({"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]})
    );
    let node = Node::new("[security]\ncapabilities = 'drop'");
    let got = arrived(&node.created(&pod(), &demand()));
    assert_eq!(got[1]["capabilities"], json!({"drop": ["ALL"]}));
}

#[test]
fn profiles_and_labels() {
    let node = Node::new("");
    let profile = node.root().join("seccomp/my/audit.json");
    let container = container_with(|context| {
        context.readonly_rootfs = true;
        context.no_new_privs = true;
        context.seccomp = MessageField::some(SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: profile.display().to_string(),
            ..Default::default()
        });
        context.apparmor = MessageField::some(SecurityProfile {
            profile_type: ProfileType::RuntimeDefault.into(),
            ..Default::default()
        });
        context.selinux_options = MessageField::some(SELinuxOption {
            level: "s0:c1,c2".to_owned(),
            ..Default::default()
        });
    });
    let want = json!({
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "seccompProfile": {"type": "Localhost", "localhostProfile": "my/audit.json"},
        "appArmorProfile": {"type": "RuntimeDefault"},
        "seLinuxOptions": {"level": "s0:c1,c2"},
    });
    assert_eq!(arrived(&node.created(&pod(), &container))[1], want);
}

#[test]
fn user_namespaces() {
    let node = Node::new("");
    let pod = pod_with(|context| {
        let options = context.namespace_options.mut_or_insert_default();
        options.userns_options.mut_or_insert_default().mode = NamespaceMode::POD.into();
    });
    let (code, text) = refused_pod(&node, pod);
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(text.contains("leave hostUsers unset"), "{text}");
}

#[test]
fn debugging_another_container_s_processes() {
    let node = Node::new("");
    let container = container_with(|context| {
        let options = context.namespace_options.mut_or_insert_default();
        options.pid = NamespaceMode::TARGET.into();
        options.target_id = "0123456789ab".to_owned();
    });
    let (code, text) = node.refused(&pod(), &container);
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(text.contains("debug without a target"), "{text}");
}

#[test]
fn sysctls() {
    let node = Node::new("");
    let mut pod = pod();
    let linux = pod.linux.mut_or_insert_default();
    linux
        .sysctls
        .insert("kernel.shm_rmid_forced".to_owned(), "1".to_owned());
    let got = arrived(&node.created(&pod, &container(Vec::new())));
    let want = json!({"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]});
    assert_eq!(got[0], want);
}
