//! Security contexts, as a pod's author would have written them.
//!
//! The kubelet has merged the pod's context into each container's, and filled in defaults. What is
//! a default again says nothing on the other side and is left out: a plugin should see a demand
//! only where somebody made one.

use std::{collections::HashMap, path::Path};

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Capabilities, PodSecurityContext, SELinuxOptions, SeccompProfile,
    SecurityContext, Sysctl,
};

use super::{Error, Settings, Warning};
use crate::proto::{
    security_profile::ProfileType, Capability, Int64Value, LinuxContainerSecurityContext,
    LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, SELinuxOption, SecurityProfile,
    SupplementalGroupsPolicy,
};

/// Which namespaces of the node a pod shares, or its containers with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The node's network.
    pub host_network: bool,
    /// The node's processes.
    pub host_pid: bool,
    /// The node's System V IPC.
    pub host_ipc: bool,
    /// One process namespace for all the pod's containers.
    pub shared_pid: bool,
}

/// The namespaces that a sandbox asks for. Without a message nothing was asked for, although its
/// zero values would read as a shared process namespace.
pub fn namespaces(context: &LinuxSandboxSecurityContext) -> Namespaces {
    let Some(options) = context.namespace_options.as_ref() else {
        return Namespaces::default();
    };
    let is = |mode: protobuf::EnumOrUnknown<NamespaceMode>, want| mode.enum_value() == Ok(want);
    Namespaces {
        host_network: is(options.network, NamespaceMode::NODE),
        host_pid: is(options.pid, NamespaceMode::NODE),
        host_ipc: is(options.ipc, NamespaceMode::NODE),
        shared_pid: is(options.pid, NamespaceMode::POD),
    }
}

/// Checks a new sandbox's context.
///
/// # Errors
/// A group without a user, ids that are none, a user namespace.
pub fn check_sandbox(context: &LinuxSandboxSecurityContext) -> Result<(), Error> {
    check_ids(
        context.run_as_user.as_ref(),
        context.run_as_group.as_ref(),
        context.run_as_user.is_some(),
        &context.supplemental_groups,
    )?;
    check_namespaces(context.namespace_options.as_ref())
}

/// Checks a new container's context, and tells what it will run without.
///
/// # Errors
/// A group without a user, ids that are none, another container's or its own user namespace.
pub fn check_container(context: &LinuxContainerSecurityContext) -> Result<Vec<Warning>, Error> {
    let user_name = &context.run_as_username;
    check_ids(
        context.run_as_user.as_ref(),
        context.run_as_group.as_ref(),
        context.run_as_user.is_some() || !user_name.is_empty(),
        &context.supplemental_groups,
    )?;
    check_namespaces(context.namespace_options.as_ref())?;
    // "run_as_user and run_as_username should not be specified at the same time", says the API;
    // where they are, the number counts.
    let by_name = !user_name.is_empty() && context.run_as_user.is_none();
    Ok(by_name
        .then(|| Warning::UserName(user_name.clone()))
        .into_iter()
        .collect())
}

fn check_ids(
    user: Option<&Int64Value>,
    group: Option<&Int64Value>,
    has_user: bool,
    groups: &[i64],
) -> Result<(), Error> {
    check_id("run_as_user", user.map(|user| user.value))?;
    check_id("run_as_group", group.map(|group| group.value))?;
    check_id("supplemental_groups", groups.iter().copied().min())?;
    check_id("supplemental_groups", groups.iter().copied().max())?;
    // "run_as_group should only be specified when run_as_user or run_as_username is specified;
    // otherwise, the runtime MUST error", says the API.
    if group.is_some() && !has_user {
        return Err(Error::Field {
            field: "run_as_group",
            fault: "a group needs a user beside it; set runAsUser too".to_owned(),
        });
    }
    Ok(())
}

fn check_id(field: &'static str, id: Option<i64>) -> Result<(), Error> {
    match id {
        Some(id) if !(0..=i64::from(i32::MAX)).contains(&id) => Err(Error::Field {
            field,
            fault: format!("{id} is not between 0 and {}", i32::MAX),
        }),
        _ => Ok(()),
    }
}

fn check_namespaces(options: Option<&NamespaceOption>) -> Result<(), Error> {
    let Some(options) = options else {
        return Ok(());
    };
    if options.pid.enum_value() == Ok(NamespaceMode::TARGET) {
        return Err(Error::Unsupported {
            field: "namespace_options.pid",
            reason: "the processes of a remote container cannot be joined; debug without a target",
        });
    }
    let user = options.userns_options.as_ref();
    if user.is_some_and(|user| user.mode.enum_value() == Ok(NamespaceMode::POD)) {
        return Err(Error::Unsupported {
            field: "namespace_options.userns_options",
            reason: "a remote job has no user namespace; leave hostUsers unset",
        });
    }
    Ok(())
}

/// The pod's security context; none where nothing was asked for.
///
/// The kubelet appends `fsGroup` to the supplemental groups, so it arrives as one of them. The
/// sandbox's seccomp profile is its own pause container's, not the pod's.
pub fn of_pod(
    context: &LinuxSandboxSecurityContext,
    sysctls: &HashMap<String, String>,
) -> Option<PodSecurityContext> {
    let groups = &context.supplemental_groups;
    let strict =
        context.supplemental_groups_policy.enum_value() == Ok(SupplementalGroupsPolicy::Strict);
    let mut sysctls: Vec<_> = sysctls
        .iter()
        .map(|(name, value)| Sysctl {
            name: name.clone(),
            value: value.clone(),
        })
        .collect();
    sysctls.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let of_pod = PodSecurityContext {
        run_as_user: context.run_as_user.as_ref().map(|user| user.value),
        run_as_group: context.run_as_group.as_ref().map(|group| group.value),
        se_linux_options: context.selinux_options.as_ref().and_then(selinux),
        supplemental_groups: (!groups.is_empty()).then(|| groups.clone()),
        supplemental_groups_policy: strict.then(|| "Strict".to_owned()),
        sysctls: (!sysctls.is_empty()).then_some(sysctls),
        ..PodSecurityContext::default()
    };
    (of_pod != PodSecurityContext::default()).then_some(of_pod)
}

/// A container's security context; none where nothing was asked for.
pub fn of_container(
    context: &LinuxContainerSecurityContext,
    sandbox: &LinuxSandboxSecurityContext,
    settings: &Settings,
) -> Option<SecurityContext> {
    let root = &settings.kubelet_root;
    let of_container = SecurityContext {
        run_as_user: user(context, sandbox, settings),
        run_as_group: context.run_as_group.as_ref().map(|group| group.value),
        privileged: context.privileged.then_some(true),
        read_only_root_filesystem: context.readonly_rootfs.then_some(true),
        // The kubelet sets no_new_privs exactly for allowPrivilegeEscalation: false.
        allow_privilege_escalation: context.no_new_privs.then_some(false),
        capabilities: context.capabilities.as_ref().and_then(capabilities),
        se_linux_options: context.selinux_options.as_ref().and_then(selinux),
        seccomp_profile: seccomp(context, root),
        app_armor_profile: app_armor(context),
        ..SecurityContext::default()
    };
    (of_container != SecurityContext::default()).then_some(of_container)
}

/// The user, if somebody asked for one. Where neither the pod nor the container names one, the
/// kubelet sends the one that our image service reports so that runAsNonRoot pods pass; that is
/// nobody's wish, and the image's true user is for the other side to know.
fn user(
    context: &LinuxContainerSecurityContext,
    sandbox: &LinuxSandboxSecurityContext,
    settings: &Settings,
) -> Option<i64> {
    let user = context.run_as_user.as_ref()?.value;
    (user != settings.image_uid || sandbox.run_as_user.is_some()).then_some(user)
}

fn capabilities(capability: &Capability) -> Option<Capabilities> {
    let list = |names: &Vec<String>| (!names.is_empty()).then(|| names.clone());
    let capabilities = Capabilities {
        add: list(&capability.add_capabilities),
        drop: list(&capability.drop_capabilities),
    };
    (capabilities != Capabilities::default()).then_some(capabilities)
}

fn selinux(options: &SELinuxOption) -> Option<SELinuxOptions> {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let options = SELinuxOptions {
        user: text(&options.user),
        role: text(&options.role),
        type_: text(&options.type_),
        level: text(&options.level),
    };
    (options != SELinuxOptions::default()).then_some(options)
}

/// The kubelet sends `Unconfined` where nothing was asked for, so that says nothing. A profile's
/// path comes with the kubelet's directory before it.
fn seccomp(context: &LinuxContainerSecurityContext, kubelet_root: &Path) -> Option<SeccompProfile> {
    let profile = match context.seccomp.as_ref() {
        Some(profile) => Profile::from(profile),
        None => Profile::from(context.seccomp_profile_path.as_str()),
    };
    let directory = kubelet_root.join("seccomp");
    let (type_, localhost_profile) = match profile {
        Profile::Unset | Profile::Unconfined => return None,
        Profile::RuntimeDefault => ("RuntimeDefault", None),
        Profile::Localhost(path) => {
            let inside = Path::new(path).strip_prefix(&directory).ok();
            let path = inside.and_then(Path::to_str).unwrap_or(path);
            ("Localhost", Some(path.to_owned()))
        }
    };
    Some(SeccompProfile {
        type_: type_.to_owned(),
        localhost_profile,
    })
}

/// Unlike seccomp, the kubelet sends an AppArmor profile only where one was asked for.
fn app_armor(context: &LinuxContainerSecurityContext) -> Option<AppArmorProfile> {
    let profile = match context.apparmor.as_ref() {
        Some(profile) => Profile::from(profile),
        None => Profile::from(context.apparmor_profile.as_str()),
    };
    let (type_, localhost_profile) = match profile {
        Profile::Unset => return None,
        Profile::Unconfined => ("Unconfined", None),
        Profile::RuntimeDefault => ("RuntimeDefault", None),
        Profile::Localhost(name) => ("Localhost", Some(name.to_owned())),
    };
    Some(AppArmorProfile {
        type_: type_.to_owned(),
        localhost_profile,
    })
}

/// A seccomp or AppArmor profile.
enum Profile<'a> {
    Unset,
    RuntimeDefault,
    Unconfined,
    Localhost(&'a str),
}

impl<'a> From<&'a SecurityProfile> for Profile<'a> {
    fn from(profile: &'a SecurityProfile) -> Self {
        match profile.profile_type.enum_value() {
            Ok(ProfileType::RuntimeDefault) => Self::RuntimeDefault,
            Ok(ProfileType::Unconfined) => Self::Unconfined,
            Ok(ProfileType::Localhost) => Self::Localhost(&profile.localhost_ref),
            Err(_) => Self::Unset,
        }
    }
}

/// The form of the deprecated fields.
impl<'a> From<&'a str> for Profile<'a> {
    fn from(text: &'a str) -> Self {
        match text {
            "" => Self::Unset,
            "runtime/default" | "docker/default" => Self::RuntimeDefault,
            "unconfined" => Self::Unconfined,
            _ => Self::Localhost(text.strip_prefix("localhost/").unwrap_or(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, proto::UserNamespace};

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
}
