//! Where something that is done for a job comes from: the trace that it belongs to, and those that it
//! links to.

use std::sync::Arc;

use opentelemetry::{
    trace::{Link, SpanContext, TraceContextExt as _},
    Context, KeyValue,
};

use super::{
    attributes::{of_container, of_job, of_sandbox},
    headers::read,
};
use crate::model::{ContainerEntry, Job, Pod, TraceContext};

/// As many traces a span links to.
const MAX_LINKS: usize = 8;

/// Where something that is done for a job comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The span above; none begins a trace.
    parent: Option<SpanContext>,
    links: Vec<SpanContext>,
    pub(super) attributes: Vec<KeyValue>,
}

impl Origin {
    /// The submission of a job: a part of the trace in which its first container was started.
    pub fn of_submission(pod: &Pod, job: &Job) -> Self {
        Self::new(job.started_in.as_ref(), pod, Some(job), None)
    }

    /// What a job does after that: a trace of its own, linked to the one in which it was started.
    pub fn of_job(pod: &Pod, job: &Job) -> Self {
        Self::new(None, pod, Some(job), None)
    }

    /// The cancellation of a job: a part of the trace of the call that asked for it, if one did.
    pub fn of_cancellation(pod: &Pod, job: &Job) -> Self {
        Self::new(job.stopped_in.as_ref(), pod, Some(job), None)
    }

    /// What a container does after its start: a trace of its own, linked to that of its start.
    pub fn of_container(pod: &Pod, entry: &ContainerEntry) -> Self {
        Self::new(None, pod, pod.job_of(entry.id()), Some(entry))
    }

    fn new(
        parent: Option<&Arc<TraceContext>>,
        pod: &Pod,
        job: Option<&Job>,
        only: Option<&ContainerEntry>,
    ) -> Self {
        let mut attributes = of_sandbox(&pod.sandbox);
        attributes.extend(job.map(of_job).into_iter().flatten());
        let carried: Vec<_> = match (only, job) {
            (Some(entry), _) => vec![entry],
            (None, Some(job)) => {
                let ids = job.containers.iter();
                ids.filter_map(|id| pod.container(id)).collect()
            }
            (None, None) => Vec::new(),
        };
        if let [entry] = &carried[..] {
            attributes.extend(of_container(&entry.container));
        }
        let parent = parent.and_then(|context| read(context));
        let starts = carried.iter().map(|entry| &entry.status.started_in);
        let creations = carried.iter().map(|entry| &entry.status.created_in);
        let began = job.into_iter().map(|job| &job.started_in);
        let all = starts.chain(began).chain(creations);
        let all = all.chain([&pod.status.run_in]).flatten();
        let mut known: Vec<_> = parent.iter().map(SpanContext::trace_id).collect();
        let mut links = Vec::new();
        for context in all.filter_map(|context| read(context)) {
            // One link leads to the whole trace.
            if links.len() < MAX_LINKS && !known.contains(&context.trace_id()) {
                known.push(context.trace_id());
                links.push(context);
            }
        }
        Self {
            parent,
            links,
            attributes,
        }
    }

    pub(super) fn links(&self) -> Vec<Link> {
        self.links.iter().cloned().map(Link::with_context).collect()
    }

    pub(super) fn parent(&self) -> Context {
        match &self.parent {
            Some(parent) => Context::new().with_remote_span_context(parent.clone()),
            None => Context::new(),
        }
    }
}

/// Does something whose calls to interLink have this origin.
pub fn on_behalf<T>(origin: Option<Origin>, work: impl FnOnce() -> T) -> T {
    let context = origin.map(|origin| origin.parent().with_value(origin));
    let _entered = context.map(Context::attach);
    work()
}
