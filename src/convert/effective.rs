//! The security context that a kubelet works out for a container: its own wishes, and where it has
//! none the pod's (`DetermineEffectiveSecurityContext`, `convertToRuntimeSecurityContext`).

use std::path::Path;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext,
};
use protobuf::MessageField;

use super::kubelet::int64;
use crate::proto::{
    security_profile::ProfileType, Capability, LinuxContainerSecurityContext, SELinuxOption,
    SecurityProfile,
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
    let file = file.map(|file| root.join("seccomp").join(file).display().to_string());
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

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::{
        config::Config,
        convert::{security, Settings},
        proto::LinuxSandboxSecurityContext,
    };

    /// What is asked for in a pod, and what its container has in the job.
    #[test]
    fn what_is_asked_for_arrives() {
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
            let container: Container = serde_json::from_value(container).unwrap();
            let (root, user) = (&settings.kubelet_root, Some(settings.image_uid));
            let made = security_context(&container, Some(&pod), root, user);
            security::check_container(&made).unwrap();
            let sandbox = LinuxSandboxSecurityContext {
                run_as_user: MessageField::from_option(pod.run_as_user.map(int64)),
                ..Default::default()
            };
            let arrives = security::of_container(&made, &sandbox, &settings);
            assert_eq!(json!(arrives), want);
        }
    }
}
