//! Contexts as the kubelet sends them, and as it never would.

use k8s_openapi::api::core::v1::Container as PodContainer;
use protobuf::MessageField;
use serde_json::{json, Value};

use super::*;
use crate::{
    config::Config,
    kubelet::{int64, security_context},
    proto::UserNamespace,
};

type Container = LinuxContainerSecurityContext;
type Sandbox = LinuxSandboxSecurityContext;

fn id(value: i64) -> protobuf::MessageField<Int64Value> {
    Some(Int64Value {
        value,
        ..Default::default()
    })
    .into()
}

fn settings() -> Settings {
    Settings::new(&Config::default()).unwrap()
}

fn profile(kind: ProfileType, localhost_ref: &str) -> protobuf::MessageField<SecurityProfile> {
    Some(SecurityProfile {
        profile_type: kind.into(),
        localhost_ref: localhost_ref.to_owned(),
        ..Default::default()
    })
    .into()
}

/// What a kubelet 1.36 sends for a container that asks for nothing.
fn plain() -> Container {
    Container {
        namespace_options: Some(NamespaceOption {
            pid: NamespaceMode::CONTAINER.into(),
            userns_options: Some(UserNamespace {
                mode: NamespaceMode::NODE.into(),
                ..Default::default()
            })
            .into(),
            ..Default::default()
        })
        .into(),
        run_as_user: id(65532),
        seccomp: profile(ProfileType::Unconfined, ""),
        masked_paths: vec!["/proc/kcore".to_owned()],
        readonly_paths: vec!["/proc/sys".to_owned()],
        ..Default::default()
    }
}

#[test]
fn who_asks_for_nothing_demands_nothing() {
    assert_eq!(
        of_container(&plain(), &Sandbox::default(), &settings()),
        None
    );
    assert_eq!(
        of_container(&Container::default(), &Sandbox::default(), &settings()),
        None
    );
    assert!(check_container(&plain()).unwrap().is_empty());
    // The sandbox of every pod has this profile, for its pause container.
    let sandbox = Sandbox {
        seccomp: profile(ProfileType::RuntimeDefault, ""),
        ..Default::default()
    };
    assert_eq!(of_pod(&sandbox, &HashMap::new()), None);
}

#[test]
fn the_image_user_does_not_come_back_as_a_wish() {
    for (name, sent, by_pod, image_uid, want) in [
        ("the image's", Some(65532), None, 65532, None),
        ("the container's own", Some(1000), None, 65532, Some(1000)),
        ("the pod's", Some(1000), Some(1000), 65532, Some(1000)),
        (
            "the pod's, by chance the image's",
            Some(65532),
            Some(65532),
            65532,
            Some(65532),
        ),
        (
            "not the pod's, by chance the image's",
            Some(65532),
            Some(7),
            65532,
            Some(65532),
        ),
        ("root on purpose", Some(0), None, 65532, Some(0)),
        ("root because none is reported", Some(0), None, 0, None),
        ("nobody at all", None, None, 65532, None),
    ] {
        let context = Container {
            run_as_user: sent.map_or_else(Default::default, id),
            ..Default::default()
        };
        let sandbox = Sandbox {
            run_as_user: by_pod.map_or_else(Default::default, id),
            ..Default::default()
        };
        let settings = Settings {
            image_uid,
            ..settings()
        };
        assert_eq!(user(&context, &sandbox, &settings), want, "{name}");
    }
}

#[test]
fn every_demand_arrives() {
    let text = |text: &str| vec![text.to_owned()];
    let context = Container {
        run_as_user: id(1000),
        run_as_group: id(2000),
        privileged: true,
        readonly_rootfs: true,
        no_new_privs: true,
        capabilities: Some(Capability {
            add_capabilities: text("NET_ADMIN"),
            drop_capabilities: text("ALL"),
            ..Default::default()
        })
        .into(),
        selinux_options: Some(SELinuxOption {
            level: "s0:c123,c456".to_owned(),
            ..Default::default()
        })
        .into(),
        seccomp: profile(
            ProfileType::Localhost,
            "/var/lib/kubelet/seccomp/my/audit.json",
        ),
        apparmor: profile(ProfileType::Localhost, "k8s-deny-write"),
        ..plain()
    };
    let got = of_container(&context, &Sandbox::default(), &settings()).unwrap();
    let want = serde_json::json!({
        "runAsUser": 1000,
        "runAsGroup": 2000,
        "privileged": true,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "seLinuxOptions": {"level": "s0:c123,c456"},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "my/audit.json"},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "k8s-deny-write"},
    });
    assert_eq!(serde_json::to_value(&got).unwrap(), want);
}

#[test]
fn profiles_in_both_forms() {
    use ProfileType::*;
    let none = protobuf::MessageField::none;
    for (name, field, deprecated, seccomp_want, app_armor_want) in [
        ("nothing", none(), "", None, None),
        (
            "default",
            profile(RuntimeDefault, ""),
            "",
            Some("RuntimeDefault"),
            Some("RuntimeDefault"),
        ),
        (
            "unconfined",
            profile(Unconfined, ""),
            "",
            None,
            Some("Unconfined"),
        ),
        (
            "the field counts",
            profile(RuntimeDefault, ""),
            "unconfined",
            Some("RuntimeDefault"),
            Some("RuntimeDefault"),
        ),
        (
            "old default",
            none(),
            "runtime/default",
            Some("RuntimeDefault"),
            Some("RuntimeDefault"),
        ),
        (
            "old unconfined",
            none(),
            "unconfined",
            None,
            Some("Unconfined"),
        ),
        (
            "old localhost",
            none(),
            "localhost/x",
            Some("Localhost x"),
            Some("Localhost x"),
        ),
        (
            "localhost elsewhere",
            profile(Localhost, "/etc/x"),
            "",
            Some("Localhost /etc/x"),
            Some("Localhost /etc/x"),
        ),
    ] {
        let context = Container {
            seccomp: field.clone(),
            seccomp_profile_path: deprecated.to_owned(),
            apparmor: field,
            apparmor_profile: deprecated.to_owned(),
            ..Default::default()
        };
        let shown = |kind: String, path: Option<String>| match path {
            Some(path) => format!("{kind} {path}"),
            None => kind,
        };
        let got = seccomp(&context, Path::new("/var/lib/kubelet"))
            .map(|p| shown(p.type_, p.localhost_profile));
        assert_eq!(got.as_deref(), seccomp_want, "seccomp: {name}");
        let got = app_armor(&context).map(|p| shown(p.type_, p.localhost_profile));
        assert_eq!(got.as_deref(), app_armor_want, "AppArmor: {name}");
    }
}

#[test]
fn the_pod_s_own_demands_arrive() {
    let sandbox = Sandbox {
        run_as_user: id(1000),
        run_as_group: id(1001),
        supplemental_groups: vec![2000, 3000],
        supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
        ..Default::default()
    };
    let sysctls = [("net.b", "2"), ("kernel.a", "1")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let want = serde_json::json!({
        "runAsUser": 1000,
        "runAsGroup": 1001,
        "supplementalGroups": [2000, 3000],
        "supplementalGroupsPolicy": "Strict",
        "sysctls": [{"name": "kernel.a", "value": "1"}, {"name": "net.b", "value": "2"}],
    });
    assert_eq!(
        serde_json::to_value(of_pod(&sandbox, &sysctls).unwrap()).unwrap(),
        want
    );
}

#[test]
fn namespaces_are_read_only_where_they_are_given() {
    use NamespaceMode::*;
    let with = |network: NamespaceMode, pid: NamespaceMode, ipc: NamespaceMode| Sandbox {
        namespace_options: Some(NamespaceOption {
            network: network.into(),
            pid: pid.into(),
            ipc: ipc.into(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    let all = |host_network, host_pid, host_ipc, shared_pid| Namespaces {
        host_network,
        host_pid,
        host_ipc,
        shared_pid,
    };
    for (name, context, want) in [
        (
            "no message",
            Sandbox::default(),
            all(false, false, false, false),
        ),
        (
            "ordinary",
            with(POD, CONTAINER, POD),
            all(false, false, false, false),
        ),
        ("host", with(NODE, NODE, NODE), all(true, true, true, false)),
        (
            "shared processes",
            with(POD, POD, POD),
            all(false, false, false, true),
        ),
    ] {
        assert_eq!(namespaces(&context), want, "{name}");
    }
}

#[test]
fn what_makes_no_sense_is_invalid_and_what_cannot_be_is_refused() {
    let options = |pid: NamespaceMode, user: NamespaceMode| {
        Some(NamespaceOption {
            pid: pid.into(),
            userns_options: Some(UserNamespace {
                mode: user.into(),
                ..Default::default()
            })
            .into(),
            ..Default::default()
        })
        .into()
    };
    use NamespaceMode::*;
    for (name, context, is_precondition) in [
        (
            "group alone",
            Container {
                run_as_group: id(7),
                ..Default::default()
            },
            false,
        ),
        (
            "negative user",
            Container {
                run_as_user: id(-1),
                ..Default::default()
            },
            false,
        ),
        (
            "huge user",
            Container {
                run_as_user: id(1 << 31),
                ..Default::default()
            },
            false,
        ),
        (
            "negative group",
            Container {
                run_as_user: id(1),
                run_as_group: id(-7),
                ..Default::default()
            },
            false,
        ),
        (
            "groups",
            Container {
                supplemental_groups: vec![5, -1],
                ..Default::default()
            },
            false,
        ),
        (
            "target",
            Container {
                namespace_options: options(TARGET, NODE),
                ..Default::default()
            },
            true,
        ),
        (
            "user namespace",
            Container {
                namespace_options: options(CONTAINER, POD),
                ..Default::default()
            },
            true,
        ),
    ] {
        let error = check_container(&context).unwrap_err();
        assert_eq!(error.is_precondition(), is_precondition, "{name}: {error}");
    }
    let sandbox = Sandbox {
        run_as_group: id(7),
        ..Default::default()
    };
    assert!(check_sandbox(&sandbox).is_err());
    let sandbox = Sandbox {
        run_as_user: id(1),
        ..sandbox
    };
    assert!(check_sandbox(&sandbox).is_ok());
}

#[test]
fn a_user_by_name_is_a_warning() {
    let named = Container {
        run_as_username: "www-data".to_owned(),
        run_as_group: id(7),
        ..Default::default()
    };
    assert_eq!(
        check_container(&named).unwrap(),
        [Warning::UserName("www-data".to_owned())]
    );
    let both = Container {
        run_as_user: id(33),
        ..named
    };
    assert!(check_container(&both).unwrap().is_empty());
}

/// What is asked for in a pod, and what its container has in the job.
#[test]
fn what_a_kubelet_makes_of_a_context_is_undone() {
    let own = json!({
        "runAsUser": 8,
        "runAsGroup": 9,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
        "seLinuxOptions": {"type": "b_t"},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "p/a.json"},
    });
    let rows = [
        (json!({}), json!({}), Value::Null),
        (
            json!({"runAsUser": 7, "seccompProfile": {"type": "RuntimeDefault"}}),
            json!({}),
            json!({"runAsUser": 7, "seccompProfile": {"type": "RuntimeDefault"}}),
        ),
        (
            json!({
                "runAsUser": 7,
                "seLinuxOptions": {"type": "a_t", "level": "s0"},
                "appArmorProfile": {"type": "RuntimeDefault"},
            }),
            own.clone(),
            own,
        ),
        (
            json!({}),
            json!({"runAsGroup": 9}),
            json!({"runAsGroup": 9}),
        ),
    ];
    let settings = Settings::new(&Config::default()).unwrap();
    for (pod, own, want) in rows {
        let pod: PodSecurityContext = serde_json::from_value(pod).unwrap();
        let container = json!({"name": "a", "securityContext": own});
        let container: PodContainer = serde_json::from_value(container).unwrap();
        let (root, user) = (&settings.kubelet_root, Some(settings.image_uid));
        let made = security_context(&container, Some(&pod), root, user);
        check_container(&made).unwrap();
        let sandbox = LinuxSandboxSecurityContext {
            run_as_user: MessageField::from_option(pod.run_as_user.map(int64)),
            ..Default::default()
        };
        let arrives = of_container(&made, &sandbox, &settings);
        assert_eq!(json!(arrives), want);
    }
}
