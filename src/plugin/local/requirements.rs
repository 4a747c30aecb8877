//! What a pod must be for plain processes of this machine to run it.

use crate::plugin::{
    pods::{ContainerRequest, PodRequest},
    refusal::Refusal,
};

/// Checks a pod before anything is written or started.
pub(super) fn check(request: &PodRequest) -> Result<(), Refusal> {
    for init in &request.init_containers {
        if init.has_restart_policy {
            return Err(Refusal::invalid(format!(
                "init container `{}` has a restartPolicy: the local plugin runs everything once; \
                 make it an ordinary container",
                init.name
            )));
        }
    }
    let own_user = rustix::process::geteuid().as_raw();
    for container in request.all_containers() {
        let fault =
            command_fault(container).or_else(|| user_fault(container.run_as_user, own_user));
        if let Some(fault) = fault {
            let text = format!("container `{}`: {fault}", container.name);
            return Err(Refusal::invalid(text));
        }
    }
    Ok(())
}

fn command_fault(container: &ContainerRequest) -> Option<String> {
    let is_missing = container.command.first().is_none_or(String::is_empty);
    is_missing.then(|| {
        "it has no `command`, and the local plugin has no image engine that could tell what the \
         image would run: give the container a command"
            .to_owned()
    })
}

/// Why a container cannot run as `own`, the plugin's user. Nobody gets more rights than asked for:
/// that is all that this backend does about security contexts.
fn user_fault(asked: Option<i64>, own: u32) -> Option<String> {
    let asked = asked.filter(|asked| own == 0 && *asked != 0)?;
    Some(format!(
        "it is to run as user {asked}, and the local plugin, which runs as root, would run it as root \
         too; start the plugin as that user, or leave `runAsUser` out"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_made_root_who_asked_for_less() {
        for (asked, own, is_refused) in [
            (None, 0, false),
            (Some(0), 0, false),
            (Some(1000), 0, true),
            (Some(1000), 1000, false),
            (Some(1000), 1001, false),
            (Some(0), 1001, false),
        ] {
            let fault = user_fault(asked, own);
            assert_eq!(fault.is_some(), is_refused, "{asked:?} by {own}: {fault:?}");
        }
    }
}
