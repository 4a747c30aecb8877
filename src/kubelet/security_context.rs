//! The security context that a kubelet works out for a container: its own wishes, and where it has
//! none the pod's (`DetermineEffectiveSecurityContext` in `pkg/securitycontext/util.go`,
//! `determineEffectiveSecurityContext` in `pkg/kubelet/kuberuntime/security_context.go`).

use std::path::Path;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext,
};
use protobuf::MessageField;

use super::directory;
use crate::proto::{
    security_profile::ProfileType, Capability, Int64Value, LinuxContainerSecurityContext,
    SELinuxOption, SecurityProfile,
};

/// What a kubelet sends. `image_user` is the user that the image is said to have: it stands in where
/// nobody asks for one.
pub fn security_context(
    container: &Container,
    pod: Option<&PodSecurityContext>,
    root: &Path,
    image_user: Option<i64>,
) -> LinuxContainerSecurityContext {
    let (no_own, no_pods) = (SecurityContext::default(), PodSecurityContext::default());
    let own = container.security_context.as_ref().unwrap_or(&no_own);
    let pod = pod.unwrap_or(&no_pods);
    let user = own.run_as_user.or(pod.run_as_user).or(image_user);
    let group = own.run_as_group.or(pod.run_as_group);
    let capabilities = own.capabilities.as_ref().map(|capabilities| Capability {
        add_capabilities: capabilities.add.clone().unwrap_or_default(),
        drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
        ..Default::default()
    });
    let seccomp = own.seccomp_profile.as_ref();
    let seccomp = seccomp.or(pod.seccomp_profile.as_ref());
    let app_armor = own.app_armor_profile.as_ref();
    let app_armor = app_armor.or(pod.app_armor_profile.as_ref());
    let selinux = own.se_linux_options.as_ref();
    let selinux = selinux.or(pod.se_linux_options.as_ref());
    LinuxContainerSecurityContext {
        run_as_user: MessageField::from_option(user.map(int64)),
        run_as_group: MessageField::from_option(group.map(int64)),
        privileged: own.privileged.unwrap_or(false),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        capabilities: MessageField::from_option(capabilities),
        // Without a wish it is `Unconfined`, not unset (`getSeccompProfile` in
        // `pkg/kubelet/kuberuntime/helpers.go`).
        seccomp: MessageField::some(seccomp.map_or_else(unconfined, |it| of_seccomp(it, root))),
        apparmor: MessageField::from_option(app_armor.map(of_app_armor)),
        selinux_options: MessageField::from_option(selinux.map(of_selinux)),
        ..Default::default()
    }
}

fn profile(kind: &str, localhost_ref: String) -> SecurityProfile {
    let profile_type = match kind {
        "RuntimeDefault" => ProfileType::RuntimeDefault,
        "Localhost" => ProfileType::Localhost,
        _ => ProfileType::Unconfined,
    };
    SecurityProfile {
        profile_type: profile_type.into(),
        localhost_ref,
        ..Default::default()
    }
}

fn unconfined() -> SecurityProfile {
    profile("Unconfined", String::new())
}

fn of_seccomp(given: &SeccompProfile, root: &Path) -> SecurityProfile {
    let file = given.localhost_profile.as_ref();
    let file = file.map(|file| {
        directory::seccomp_profiles(root)
            .join(file)
            .display()
            .to_string()
    });
    profile(&given.type_, file.unwrap_or_default())
}

fn of_app_armor(given: &AppArmorProfile) -> SecurityProfile {
    let name = given.localhost_profile.clone().unwrap_or_default();
    profile(&given.type_, name)
}

fn of_selinux(given: &SELinuxOptions) -> SELinuxOption {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    SELinuxOption {
        user: text(&given.user),
        role: text(&given.role),
        type_: text(&given.type_),
        level: text(&given.level),
        ..Default::default()
    }
}

/// A message for a number that may be unset.
pub fn int64(value: i64) -> Int64Value {
    Int64Value {
        value,
        ..Default::default()
    }
}
