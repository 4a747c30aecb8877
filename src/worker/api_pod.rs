//! The pod as the API server has it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as ApiPod;

use super::Context;
use crate::{model::Pod, telemetry::chain};

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
        context.api_trouble.print(|held_back| {
            log::warn!(
                error = chain(&error), held_back;
                "the pod was not read from the API server, so its job carries what the CRI tells"
            );
        });
        NoAnswer
    })
}
