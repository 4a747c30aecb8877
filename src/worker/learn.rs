//! Asking the API server what a pod consists of, before its job closes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as ApiPod;

use super::{
    author::{author, Error},
    context::Hold,
    Context,
};
use crate::{
    config::schema::JobScope,
    model::{Pod, SandboxId},
    plan::{batch, shape::Shape},
    telemetry::chain,
};

/// Asks, and notes the answer, or that there is none: the job then closes after the quiet period,
/// as without an API server. Where a container that is still to come cannot go along, the pod's
/// jobs are those of the scope of containers.
pub fn learn(context: &Context, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let api_pod = api_pod(context, &pod);
    let spec = api_pod.as_ref().and_then(|pod| pod.spec.as_ref());
    let shape = spec.map(Shape::from);
    let mut rules = context.rules.clone();
    if let Some(shape) = shape.as_ref().filter(|_| rules.scope == JobScope::Pod) {
        if let Err(error) = try_whole(context, &pod, number, shape) {
            log::warn!(
                "pod {}: its init containers get jobs of their own: {}",
                pod.full_name(),
                chain(&error)
            );
            rules.scope = JobScope::Containers;
        }
    }
    context.change(id, |pod, _| {
        batch::learn(pod, number, shape.as_ref(), &rules);
    })
}

/// Tries on a copy whether the whole pod can be made into a job.
fn try_whole(context: &Context, pod: &Pod, number: u32, shape: &Shape) -> Result<(), Error> {
    let mut trial = pod.clone();
    batch::learn(&mut trial, number, Some(shape), &context.rules);
    match trial.jobs.iter().find(|job| job.number == number) {
        Some(job) => author(context, &trial, job).map(drop),
        None => Ok(()),
    }
}

/// The API server did not answer.
pub struct NoAnswer;

/// The pod as the API server has it; none where there is no API server, or no answer.
pub fn api_pod(context: &Context, pod: &Pod) -> Option<Arc<ApiPod>> {
    ask(context, pod).ok().flatten()
}

/// The pod as the API server has it; none where that does not have it, or is not to be asked.
///
/// # Errors
/// No answer, for which there is a line in the log.
pub fn ask(context: &Context, pod: &Pod) -> Result<Option<Arc<ApiPod>>, NoAnswer> {
    let Some(api) = &context.api else {
        return Ok(None);
    };
    let sandbox = &pod.sandbox;
    let found = api
        .pods
        .get(&sandbox.namespace, &sandbox.name, &sandbox.uid);
    found.map_err(|error| {
        let (name, text) = (pod.full_name(), chain(&error));
        context.api_trouble.print(|held_back| {
            log::warn!(
                "pod {name}: not read from the API server, so its job carries what the CRI \
                 tells: {text} ({held_back} more like this held back)"
            );
        });
        NoAnswer
    })
}
