//! OpenTelemetry traces: spans of CRI calls, of the phases of jobs, and of calls to interLink, sent by OTLP
//! over HTTP. [`docs/traces.md`](https://github.com/interlink-hq/interlink-cri/blob/main/docs/traces.md)
//! lists them with their attributes.
//!
//! Other rooms see the functions here, [`Span`] and [`Origin`]. Where traces are off each costs one relaxed
//! load, and nothing is allocated. Where they are on, a span that has ended goes into a bounded queue, which a
//! thread of the SDK's sends from; nobody waits for that, and what finds no room is lost.
//!
//! A call's trace context is kept in the record of what the call has changed ([`stamp`]). What a job does
//! until the plugin has it belongs to the trace of the call that started it; what follows, hours later
//! perhaps, has traces of its own that link to it ([`Origin`]).

mod attributes;
mod collector;
mod headers;
mod origin;
mod sampler;
mod settings;
mod span;
mod start;
mod watched;

pub use self::{
    attributes::{note_container, note_pod, note_sandbox},
    headers::headers,
    origin::{on_behalf, Origin},
    span::{call, note_http_status, phase, rpc, HttpCall, Phase, Span},
    start::{is_on, Credentials, Traces},
};

use self::span::caller;
use crate::model::Pod;

/// Notes in a changed pod with which call that began which is being answered on this thread.
pub fn stamp(before: Option<&Pod>, after: &mut Pod) {
    let Some(caller) = caller() else {
        return;
    };
    if before.is_none() {
        after.status.run_in = Some(caller.clone());
    }
    for entry in &mut after.containers {
        let old = before.and_then(|pod| pod.container(entry.id()));
        if old.is_none() {
            entry.status.created_in = Some(caller.clone());
        }
        let was_started = old.is_some_and(|old| old.status.started_at.is_some());
        if !was_started && entry.status.started_at.is_some() {
            entry.status.started_in = Some(caller.clone());
        }
    }
    for job in &mut after.jobs {
        let old = before.and_then(|pod| pod.job(job.number));
        if old.is_none() {
            job.started_in = Some(caller.clone());
        }
        let was_stopped = old.is_some_and(|old| old.cancel.is_some());
        if !was_stopped && job.cancel.is_some() {
            job.stopped_in = Some(caller.clone());
        }
    }
}

#[cfg(test)]
mod tests;
