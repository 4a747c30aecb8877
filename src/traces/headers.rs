//! Trace contexts in the form of the W3C's headers, and as the SDK has them.

use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
    Context,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::start::is_on;
use crate::model::TraceContext;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// The headers for a call that is made within the current span; none outside of all spans.
pub fn headers() -> Option<TraceContext> {
    if !is_on() {
        return None;
    }
    Context::map_current(written)
}

/// The context of a call from its metadata. The first value of each key counts.
pub(super) fn received<'a>(
    metadata: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Option<SpanContext> {
    let mut sent = TraceContext {
        parent: String::new(),
        state: String::new(),
    };
    for (key, value) in metadata {
        let kept = match key {
            PARENT => &mut sent.parent,
            STATE if value.len() <= TraceContext::MAX_STATE => &mut sent.state,
            _ => continue,
        };
        if let (true, Ok(text)) = (kept.is_empty(), std::str::from_utf8(value)) {
            text.clone_into(kept);
        }
    }
    read(&sent)
}

/// A context that was kept, or came with a call; none that is not valid.
pub(super) fn read(kept: &TraceContext) -> Option<SpanContext> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Kept(kept));
    let found = context.span().span_context().clone();
    found.is_valid().then_some(found)
}

/// The context of a span in the form in which it is kept and sent.
pub(super) fn written(context: &Context) -> Option<TraceContext> {
    let mut sink = Sink(TraceContext {
        parent: String::new(),
        state: String::new(),
    });
    TraceContextPropagator::new().inject_context(context, &mut sink);
    (!sink.0.parent.is_empty()).then_some(sink.0)
}

struct Kept<'a>(&'a TraceContext);

impl Extractor for Kept<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            PARENT => Some(&self.0.parent),
            STATE => Some(&self.0.state).filter(|state| !state.is_empty()),
            _ => None,
        }
        .map(String::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}

struct Sink(TraceContext);

impl Injector for Sink {
    fn set(&mut self, key: &str, value: String) {
        match key {
            PARENT => self.0.parent = value,
            STATE => self.0.state = value,
            _ => {}
        }
    }
}
