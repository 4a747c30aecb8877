//! The duty to read from the API server what a pod consists of, before its job closes.

use super::{
    api_pod::api_pod,
    changes::Hold,
    expected::{self, Error},
    Context,
};
use crate::{
    config::schema::JobScope,
    model::{Pod, SandboxId},
    plan::{batch, pod_containers::PodContainers, Rules},
    telemetry::chain,
};

/// Asks, and notes the answer, or that there is none: the job then closes after the quiet period,
/// as without an API server. Where a container that is still to come cannot be part of the job, the
/// pod's jobs are those of the scope of containers.
pub fn read_api_pod(context: &Context, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let api_pod = api_pod(context, &pod);
    let spec = api_pod.as_ref().and_then(|pod| pod.spec.as_ref());
    let containers = spec.map(PodContainers::from);
    let mut rules = Rules::clone(&context.rules);
    if let Some(containers) = containers.as_ref().filter(|_| rules.scope == JobScope::Pod) {
        if let Err(error) = try_whole(context, &pod, number, containers) {
            if error.is_hung() {
                log::warn!(error = chain(&error); "not submitted yet");
                return Hold::ForHungDisk;
            }
            log::warn!(error = chain(&error); "its init containers get jobs of their own");
            rules.scope = JobScope::Containers;
        }
    }
    context.change(id, |pod, _| {
        batch::note_members(pod, number, containers.as_ref(), &rules);
    })
}

/// Tries on a copy whether the whole pod can be made into a job.
fn try_whole(
    context: &Context,
    pod: &Pod,
    number: u32,
    containers: &PodContainers,
) -> Result<(), Error> {
    let mut trial = pod.clone();
    batch::note_members(&mut trial, number, Some(containers), &context.rules);
    match trial.job(number) {
        Some(job) => expected::read(context, &trial, job).map(drop),
        None => Ok(()),
    }
}
