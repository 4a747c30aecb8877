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
use crate::{
    kubelet::directory,
    proto::{
        security_profile::ProfileType, Capability, Int64Value, LinuxContainerSecurityContext,
        LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, SELinuxOption,
        SecurityProfile, SupplementalGroupsPolicy,
    },
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
pub(super) fn user(
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
    let directory = directory::seccomp_profiles(kubelet_root);
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
mod tests;
