//! Spans: of calls that are answered, of calls that are made, and of what lies between two events.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _},
    Context, KeyValue,
};

use super::{
    attributes::{bounded, pair, About},
    headers::{received, written},
    start::{is_on, tracer},
    Origin,
};
use crate::model::{Nanos, TraceContext};

/// Something that has begun and not ended. Clones are one and the same; it ends with the last one at the
/// latest. Where traces are off there is nothing in it.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Context>);

/// A call over HTTP, as its span has it.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a> {
    /// As HTTP has it: `GET`, `POST`.
    pub method: &'a str,
    /// The path below the server's address.
    pub path: &'static str,
    /// The server's address, without a slash at its end.
    pub base: &'a str,
    /// The server's host, or the path of its socket.
    pub host: &'a str,
    /// The server's port, where it has one.
    pub port: Option<u16>,
}

/// A part of a job's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From the start of its first container until the plugin had it.
    CreatedToSubmitted,
    /// Until its first container ran.
    SubmittedToRunning,
    /// A container's run.
    RunningToEnded,
    /// From the request of a cancellation until the plugin confirmed it.
    StopToConfirmed,
}

impl Phase {
    /// The name of its span.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreatedToSubmitted => "job created to submitted",
            Self::SubmittedToRunning => "job submitted to running",
            Self::RunningToEnded => "container running to ended",
            Self::StopToConfirmed => "job stop to confirmed",
        }
    }
}

/// Begins the span of a call that is to be answered: `method` with its service, as
/// `runtime.v1.RuntimeService/Version`; `metadata` as they came with it.
pub fn rpc<'a>(method: &str, metadata: impl Iterator<Item = (&'a str, &'a [u8])>) -> Span {
    let Some(tracer) = tracer() else {
        return Span::default();
    };
    let parent = match received(metadata) {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    let builder = SpanBuilder::from_name(bounded(method).to_owned())
        .with_kind(SpanKind::Server)
        .with_attributes([
            KeyValue::new("rpc.system.name", "grpc"),
            pair("rpc.method", method),
        ]);
    let span = tracer.build_with_context(builder, &parent);
    Span(Some(
        Context::new().with_value(About::default()).with_span(span),
    ))
}

/// Begins the span of a call to interLink, below the current span, or with the origin that
/// [`on_behalf`](super::on_behalf) has set.
pub fn call(call: HttpCall<'_>) -> Span {
    let Some(tracer) = tracer() else {
        return Span::default();
    };
    let mut attributes = vec![
        pair("http.request.method", call.method),
        pair("url.full", &format!("{}{}", call.base, call.path)),
        KeyValue::new("url.template", call.path),
        pair("server.address", call.host),
    ];
    attributes.extend(
        call.port
            .map(|port| KeyValue::new("server.port", i64::from(port))),
    );
    let current = Context::current();
    let mut builder = SpanBuilder::from_name(format!("{} {}", call.method, call.path))
        .with_kind(SpanKind::Client);
    if let Some(origin) = current.get::<Origin>() {
        attributes.extend(origin.attributes.iter().cloned());
        builder = builder.with_links(origin.links());
    }
    let builder = builder.with_attributes(attributes);
    let span = tracer.build_with_context(builder, &current);
    Span(Some(current.with_span(span)))
}

/// Notes a phase that is over.
pub fn phase(phase: Phase, (begin, end): (Nanos, Nanos), origin: impl FnOnce() -> Origin) {
    let Some(tracer) = tracer() else {
        return;
    };
    let origin = origin();
    let builder = SpanBuilder::from_name(phase.name())
        .with_kind(SpanKind::Internal)
        .with_start_time(time(begin))
        .with_links(origin.links())
        .with_attributes(origin.attributes.iter().cloned());
    let mut span = tracer.build_with_context(builder, &origin.parent());
    span.end_with_timestamp(time(end.max(begin)));
}

/// Notes the status of the answer in the span of the call that is being made.
pub fn note_http_status(status: u16) {
    if !is_on() {
        return;
    }
    Context::map_current(|context| {
        let status = KeyValue::new("http.response.status_code", i64::from(status));
        context.span().set_attribute(status);
    });
}

/// The context of the call that is being answered on this thread. It is written where it is kept: few calls
/// change anything.
pub(super) fn caller() -> Option<Arc<TraceContext>> {
    if !is_on() {
        return None;
    }
    Context::map_current(|context| {
        context.get::<About>()?;
        written(context).map(Arc::new)
    })
}

fn time(nanos: Nanos) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos.0).unwrap_or(0))
}

impl Span {
    /// Does something within it: calls made there are below it.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.0.clone().map(Context::attach);
        work()
    }

    /// Ends that of an RPC with the name of its gRPC code; `fault` is what went wrong.
    pub fn answered(&self, code: &'static str, fault: impl FnOnce() -> String) {
        let Some(context) = &self.0 else {
            return;
        };
        let span = context.span();
        if !span.is_recording() {
            return;
        }
        let about = context.get::<About>().map(About::take);
        span.set_attributes(about.into_iter().flatten());
        span.set_attributes([
            KeyValue::new("rpc.response.status_code", code),
            KeyValue::new("rpc.status_code", code),
        ]);
        if code != "OK" {
            span.set_attribute(KeyValue::new("error.type", code));
        }
        // Those of which the conventions say that they are a server's fault.
        if matches!(
            code,
            "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE"
        ) {
            span.set_status(Status::error(bounded(&fault()).to_owned()));
        }
        span.end();
    }

    /// Ends that of a call to interLink; with the kind of error, and what went wrong, where it failed.
    pub fn called(&self, failed: Option<(&'static str, &dyn std::error::Error)>) {
        let Some(context) = &self.0 else {
            return;
        };
        let span = context.span();
        if let (true, Some((kind, error))) = (span.is_recording(), failed) {
            span.set_attribute(KeyValue::new("error.type", kind));
            span.set_status(Status::error(bounded(&error.to_string()).to_owned()));
        }
        span.end();
    }
}
