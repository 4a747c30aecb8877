//! Demands that sites may not allow: `[security]` says of each whether the pod or container is
//! refused, runs without, or has its way.

use super::{Error, Settings, Warning};
use crate::{
    config::policy::Policy,
    proto::{
        LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    },
};

/// The kubelet's and Linux' own.
const ROOT: i64 = 0;

/// A demand of a security context.
#[derive(Clone, Copy)]
struct Demand {
    /// As a pod's author writes it.
    field: &'static str,
    /// The key that says what to do about it.
    key: &'static str,
    policy: Policy,
    /// Whether it is made.
    is_made: bool,
}

/// Whether root is asked for on purpose. The kubelet sends the user of the image where nobody
/// names one, which may be root's number because we report none.
fn asks_for_root(context: &LinuxContainerSecurityContext, settings: &Settings) -> bool {
    match context.run_as_user.as_ref() {
        Some(user) => user.value == ROOT && settings.image_uid != ROOT,
        None => matches!(context.run_as_username.as_str(), "root" | "0"),
    }
}

fn of_sandbox(context: &LinuxSandboxSecurityContext, settings: &Settings) -> [Demand; 5] {
    let security = &settings.security;
    // Without a message nothing was asked for.
    let is_host = |mode: fn(&NamespaceOption) -> protobuf::EnumOrUnknown<NamespaceMode>| {
        let options = context.namespace_options.as_ref();
        options.is_some_and(|options| mode(options).enum_value() == Ok(NamespaceMode::NODE))
    };
    let demand = |field, key, policy, is_made| Demand {
        field,
        key,
        policy,
        is_made,
    };
    [
        demand(
            "securityContext.privileged",
            "security.privileged",
            security.privileged,
            context.privileged,
        ),
        demand(
            "securityContext.runAsUser: 0",
            "security.root",
            security.root,
            context
                .run_as_user
                .as_ref()
                .is_some_and(|user| user.value == ROOT),
        ),
        demand(
            "hostPID",
            "security.host_namespaces",
            security.host_namespaces,
            is_host(|options| options.pid),
        ),
        demand(
            "hostIPC",
            "security.host_namespaces",
            security.host_namespaces,
            is_host(|options| options.ipc),
        ),
        demand(
            "hostNetwork",
            "security.host_network",
            security.host_network,
            is_host(|options| options.network),
        ),
    ]
}

fn of_container(context: &LinuxContainerSecurityContext, settings: &Settings) -> [Demand; 3] {
    let security = &settings.security;
    [
        Demand {
            field: "securityContext.privileged",
            key: "security.privileged",
            policy: security.privileged,
            is_made: context.privileged,
        },
        Demand {
            field: "securityContext.runAsUser: 0",
            key: "security.root",
            policy: security.root,
            is_made: asks_for_root(context, settings),
        },
        Demand {
            field: "securityContext.capabilities.add",
            key: "security.capabilities",
            policy: security.capabilities,
            is_made: !context.capabilities.add_capabilities.is_empty(),
        },
    ]
}

fn check(demands: &[Demand]) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    for Demand {
        field, key, policy, ..
    } in demands.iter().filter(|demand| demand.is_made)
    {
        match policy {
            Policy::Refuse => return Err(Error::Forbidden { field, key }),
            Policy::Drop => warnings.push(Warning::Dropped { field, key }),
            Policy::Pass => {}
        }
    }
    Ok(warnings)
}

/// Checks a new sandbox's demands, and tells what it will run without.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_sandbox(
    context: &LinuxSandboxSecurityContext,
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    check(&of_sandbox(context, settings))
}

/// Checks a new container's demands, and tells what it will run without.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_container(
    context: &LinuxContainerSecurityContext,
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    check(&of_container(context, settings))
}

/// What of a sandbox's demands its jobs may have.
pub fn permitted_sandbox(
    context: &LinuxSandboxSecurityContext,
    settings: &Settings,
) -> LinuxSandboxSecurityContext {
    let mut context = context.clone();
    let security = &settings.security;
    if security.root != Policy::Pass && context.run_as_user.value == ROOT {
        context.run_as_user.clear();
    }
    if let Some(options) = context.namespace_options.as_mut() {
        let host = NamespaceMode::NODE.into();
        if security.host_namespaces != Policy::Pass {
            if options.pid == host {
                options.pid = NamespaceMode::CONTAINER.into();
            }
            if options.ipc == host {
                options.ipc = NamespaceMode::POD.into();
            }
        }
        if security.host_network != Policy::Pass && options.network == host {
            options.network = NamespaceMode::POD.into();
        }
    }
    context
}

/// What of a container's demands its job may have.
pub fn permitted_container(
    context: &LinuxContainerSecurityContext,
    settings: &Settings,
) -> LinuxContainerSecurityContext {
    let mut permitted = context.clone();
    let security = &settings.security;
    permitted.privileged &= security.privileged == Policy::Pass;
    if security.root != Policy::Pass && asks_for_root(context, settings) {
        permitted.run_as_user.clear();
        permitted.run_as_username.clear();
    }
    if security.capabilities != Policy::Pass {
        if let Some(capabilities) = permitted.capabilities.as_mut() {
            capabilities.add_capabilities.clear();
        }
    }
    permitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        proto::{Capability, Int64Value},
    };

    type Container = LinuxContainerSecurityContext;
    type Sandbox = LinuxSandboxSecurityContext;

    fn settings(policy: Policy) -> Settings {
        let mut settings = Settings::new(&Config::default()).unwrap();
        settings.security.privileged = policy;
        settings.security.root = policy;
        settings.security.host_namespaces = policy;
        settings.security.host_network = policy;
        settings.security.capabilities = policy;
        settings
    }

    fn id(value: i64) -> protobuf::MessageField<Int64Value> {
        protobuf::MessageField::some(Int64Value {
            value,
            ..Default::default()
        })
    }

    fn host(change: fn(&mut NamespaceOption)) -> Sandbox {
        let mut options = NamespaceOption {
            pid: NamespaceMode::CONTAINER.into(),
            ..Default::default()
        };
        change(&mut options);
        Sandbox {
            namespace_options: protobuf::MessageField::some(options),
            ..Default::default()
        }
    }

    #[test]
    fn each_demand_is_refused_dropped_or_passed() {
        let privileged = Sandbox {
            privileged: true,
            ..Default::default()
        };
        let root = Sandbox {
            run_as_user: id(0),
            ..Default::default()
        };
        for (context, field) in [
            (privileged, "securityContext.privileged"),
            (root, "securityContext.runAsUser: 0"),
            (host(|o| o.pid = NamespaceMode::NODE.into()), "hostPID"),
            (host(|o| o.ipc = NamespaceMode::NODE.into()), "hostIPC"),
            (
                host(|o| o.network = NamespaceMode::NODE.into()),
                "hostNetwork",
            ),
        ] {
            let refused = check_sandbox(&context, &settings(Policy::Refuse)).unwrap_err();
            assert!(refused.is_precondition());
            assert!(refused.to_string().starts_with(field), "{refused}");
            let dropped = settings(Policy::Drop);
            let warnings = check_sandbox(&context, &dropped).unwrap();
            assert!(
                warnings[0].to_string().starts_with(field),
                "{}",
                warnings[0]
            );
            let permitted = permitted_sandbox(&context, &dropped);
            let made = of_sandbox(&permitted, &dropped).into_iter();
            // Of privileged only containers make use.
            let left: Vec<_> = made
                .filter(|demand| demand.is_made)
                .map(|d| d.field)
                .collect();
            assert!(
                left.is_empty() || left == ["securityContext.privileged"],
                "{left:?}"
            );
            let pass = settings(Policy::Pass);
            assert!(check_sandbox(&context, &pass).unwrap().is_empty());
            assert_eq!(permitted_sandbox(&context, &pass), context);
        }
        let privileged = Container {
            privileged: true,
            ..Default::default()
        };
        let root = Container {
            run_as_user: id(0),
            ..Default::default()
        };
        let by_name = Container {
            run_as_username: "root".to_owned(),
            ..Default::default()
        };
        let capable = Container {
            capabilities: protobuf::MessageField::some(Capability {
                add_capabilities: vec!["SYS_ADMIN".to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        };
        for (context, field) in [
            (privileged, "securityContext.privileged"),
            (root, "securityContext.runAsUser: 0"),
            (by_name, "securityContext.runAsUser: 0"),
            (capable, "securityContext.capabilities.add"),
        ] {
            let refused = check_container(&context, &settings(Policy::Refuse)).unwrap_err();
            assert!(refused.to_string().starts_with(field), "{refused}");
            let dropped = settings(Policy::Drop);
            assert_eq!(check_container(&context, &dropped).unwrap().len(), 1);
            let permitted = permitted_container(&context, &dropped);
            let made = of_container(&permitted, &dropped);
            assert!(made.iter().all(|demand| !demand.is_made), "{field}");
            let pass = settings(Policy::Pass);
            assert!(check_container(&context, &pass).unwrap().is_empty());
            assert_eq!(permitted_container(&context, &pass), context);
        }
    }

    #[test]
    fn who_asks_for_nothing_is_let_pass() {
        let refuse = settings(Policy::Refuse);
        let plain = Container {
            run_as_user: id(65532),
            ..Default::default()
        };
        assert!(check_container(&plain, &refuse).unwrap().is_empty());
        assert!(check_container(&Container::default(), &refuse)
            .unwrap()
            .is_empty());
        assert!(check_sandbox(&Sandbox::default(), &refuse)
            .unwrap()
            .is_empty());
        assert!(check_sandbox(&host(|_| {}), &refuse).unwrap().is_empty());
        // With images of no user the kubelet sends 0, which nobody asked for.
        let silent = Settings {
            image_uid: 0,
            ..refuse
        };
        let root = Container {
            run_as_user: id(0),
            ..Default::default()
        };
        assert!(check_container(&root, &silent).unwrap().is_empty());
    }
}
