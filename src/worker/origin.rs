//! To which trace it belongs what a worker does.

use super::Context;
use crate::{
    model::SandboxId,
    plan::owed::Duty,
    traces::{self, Origin},
};

/// Where a duty comes from; none where traces are off, or nothing is asked of the plugin for it.
pub fn of(context: &Context, id: &SandboxId, duty: &Duty) -> Option<Origin> {
    if !traces::is_on() {
        return None;
    }
    let pod = context.store.pod(id)?;
    Some(match duty {
        Duty::Submit(number) | Duty::AskForJob(number) => {
            Origin::of_submission(&pod, pod.job(*number)?)
        }
        Duty::ProveExit(number) => Origin::of_job(&pod, pod.job(*number)?),
        Duty::Cancel(number) => Origin::of_cancellation(&pod, pod.job(*number)?),
        Duty::CompleteLog(container) => Origin::of_container(&pod, pod.container(container)?),
        Duty::ReadApiPod(_) | Duty::CloseJob(_) | Duty::AbandonLog(_) => return None,
    })
}
