//! One container: what is checked when it is created, and what its job says of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container as PodContainer, EnvVar, Lifecycle};

use super::{
    extended, image, job_container::JobContainer, mount_check, mount_policy,
    remote_names::remote_container_name, resources, security, security_policy, volumes::JobVolumes,
    Error, Settings, Warning,
};
use crate::{
    kubelet::{annotations, stop_signal_name, FoundMount},
    model::StringMap,
    proto::{ContainerConfig, KeyValue, LinuxSandboxSecurityContext},
};

/// Checks that a new container can become part of a job, and tells what it will run without.
/// What passes here, and [`check_volumes`], fails no conversion later.
///
/// # Errors
/// What is wrong with the configuration, or cannot be had in a remote job.
pub fn check_container(
    config: &ContainerConfig,
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    check_texts(config)?;
    env(&config.envs)?;
    let linux = config.linux.get_or_default();
    resources::requirements(&linux.resources, BTreeMap::new(), settings.default_memory)?;
    config.mounts.iter().try_for_each(mount_check::check)?;
    let mut warnings = security::check_container(&linux.security_context)?;
    warnings.extend(security_policy::check_container(
        &linux.security_context,
        settings,
    )?);
    Ok(warnings)
}

/// Checks that what a new container mounts can be part of a remote job, and tells what it will run
/// without. `found` is what stands behind its mounts, in their order.
///
/// # Errors
/// A volume that cannot be part of a remote job, if such ones are to be refused.
pub fn check_volumes(
    config: &ContainerConfig,
    found: &[FoundMount],
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    mount_policy::check(config, found, settings)
}

fn check_texts(config: &ContainerConfig) -> Result<(), Error> {
    let has_nul = |texts: &[String]| texts.iter().any(|text| text.contains('\0'));
    for (field, is_bad) in [
        ("command", has_nul(&config.command)),
        ("args", has_nul(&config.args)),
        ("working_dir", config.working_dir.contains('\0')),
    ] {
        if is_bad {
            return Err(Error::Field {
                field,
                fault: "contains a NUL byte".to_owned(),
            });
        }
    }
    Ok(())
}

/// The environment in its own order. The kubelet resolved every reference, so all are plain values.
fn env(variables: &[KeyValue]) -> Result<Vec<EnvVar>, Error> {
    variables
        .iter()
        .map(|KeyValue { key, value, .. }| {
            let fault = |fault| Error::Env {
                name: key.clone(),
                fault,
            };
            if key.is_empty() || key.contains(['=', '\0']) {
                return Err(fault(
                    "a name is not empty and contains neither `=` nor NUL",
                ));
            }
            let value = std::str::from_utf8(value).map_err(|_| {
                fault("the value is not UTF-8, which is all that interLink carries; encode it")
            })?;
            if value.contains('\0') {
                return Err(fault("the value contains a NUL byte"));
            }
            Ok(EnvVar {
                name: key.clone(),
                value: Some(value.to_owned()),
                value_from: None,
            })
        })
        .collect()
}

/// What a container takes from its pod.
pub(super) struct Surroundings<'a> {
    /// The sandbox's security context.
    pub(super) context: &'a LinuxSandboxSecurityContext,
    /// The pod's annotations.
    pub(super) annotations: &'a StringMap,
    /// The memory limit in bytes of containers that bring none.
    pub(super) default_memory: Option<u64>,
    /// What conversion depends on.
    pub(super) settings: &'a Settings,
}

/// A container as its job's pod has it.
pub(super) fn pod_container(
    job_container: &JobContainer,
    volumes: &mut JobVolumes<'_>,
    around: &Surroundings<'_>,
) -> Result<PodContainer, Error> {
    let JobContainer {
        container,
        config,
        found,
    } = job_container;
    let (settings, annotations) = (around.settings, around.annotations);
    let linux = config.linux.get_or_default();
    let permitted = security_policy::permitted_container(&linux.security_context, settings);
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let known = &settings.extended;
    let mut variables = env(&config.envs)?;
    variables.retain(|variable| {
        let mut given = config
            .envs
            .iter()
            .filter(|given| given.key == variable.name);
        !given.any(|given| extended::names_devices(known, given))
    });
    let extended = extended::amounts(known, config, &container.name, annotations)?;
    let mounts = volumes.mounts(&config.mounts, found);
    let noted = |key| container.annotations.get(key).map(str::to_owned);
    Ok(PodContainer {
        name: remote_container_name(&container.name),
        image: Some(
            match image::annotated(annotations, &container.name, settings)? {
                Some(image) => image,
                None => container.image.to_string(),
            },
        ),
        command: list(&config.command),
        args: list(&config.args),
        working_dir: (!config.working_dir.is_empty()).then(|| config.working_dir.clone()),
        env: (!variables.is_empty()).then_some(variables),
        resources: resources::requirements(&linux.resources, extended, around.default_memory)?,
        security_context: security::of_container(&permitted, around.context, settings),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        stdin: config.stdin.then_some(true),
        stdin_once: config.stdin_once.then_some(true),
        tty: config.tty.then_some(true),
        lifecycle: stop_signal_name(config.stop_signal).map(|signal| Lifecycle {
            stop_signal: Some(signal),
            ..Lifecycle::default()
        }),
        ports: annotations::ports(&container.annotations),
        termination_message_path: noted(annotations::MESSAGE_PATH),
        termination_message_policy: noted(annotations::MESSAGE_POLICY),
        ..PodContainer::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, proto::Mount};

    fn variable(key: &str, value: &[u8]) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: value.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn the_environment_keeps_its_order() {
        let given = [("B", "2"), ("A", ""), ("C", "a=b $(X) \"\n")];
        let got = env(&given.map(|(key, value)| variable(key, value.as_bytes()))).unwrap();
        let got: Vec<_> = got
            .iter()
            .map(|v| (v.name.as_str(), v.value.as_deref().unwrap()))
            .collect();
        assert_eq!(got, given);
    }

    #[test]
    fn what_is_no_environment() {
        for (name, bad) in [
            ("no name", variable("", b"x")),
            ("equals sign", variable("a=b", b"x")),
            ("NUL in the name", variable("a\0", b"x")),
            ("NUL in the value", variable("a", b"x\0")),
            ("not UTF-8", variable("a", &[0xff, 0xfe])),
        ] {
            let error = env(&[bad]).unwrap_err();
            assert!(
                matches!(error, Error::Env { .. }) && !error.is_precondition(),
                "{name}"
            );
        }
    }

    #[test]
    fn creation_refuses_what_conversion_could_not_do() {
        let settings = Settings::new(&Config::default()).unwrap();
        let text = |text: &str| vec![text.to_owned()];
        for (name, bad) in [
            (
                "command",
                ContainerConfig {
                    command: text("a\0b"),
                    ..Default::default()
                },
            ),
            (
                "args",
                ContainerConfig {
                    args: text("a\0b"),
                    ..Default::default()
                },
            ),
            (
                "working dir",
                ContainerConfig {
                    working_dir: "\0".into(),
                    ..Default::default()
                },
            ),
            (
                "env",
                ContainerConfig {
                    envs: vec![variable("", b"")],
                    ..Default::default()
                },
            ),
            (
                "mount",
                ContainerConfig {
                    mounts: vec![Mount::default()],
                    ..Default::default()
                },
            ),
        ] {
            assert!(check_container(&bad, &settings).is_err(), "{name}");
        }
        let plain = check_container(&ContainerConfig::default(), &settings);
        assert!(plain.is_ok_and(|warnings| warnings.is_empty()));
    }
}
