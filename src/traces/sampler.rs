//! Which traces are recorded. The samplers are those of the specification, with one rule more: a span that
//! begins a trace and links to others is taken for their child by the samplers that look at a parent. So a
//! job whose start is recorded is recorded to its end, and no other is.

use opentelemetry::{
    trace::{Link, SpanKind, TraceContextExt as _, TraceId},
    Context, KeyValue,
};
use opentelemetry_sdk::trace::{
    ParentBasedSampler, Sampler as Standard, SamplingDecision, SamplingResult, ShouldSample,
};

use crate::config::traces::Sampler;

/// The sampler of this name, and of this share where it is one by ratio.
pub(super) fn sampler(named: Sampler, ratio: f64) -> Box<dyn ShouldSample> {
    let share = Standard::TraceIdRatioBased(ratio);
    let root = match named {
        Sampler::AlwaysOn => return Box::new(Standard::AlwaysOn),
        Sampler::AlwaysOff => return Box::new(Standard::AlwaysOff),
        Sampler::Ratio => return Box::new(share),
        Sampler::ParentOrAll => Standard::AlwaysOn,
        Sampler::ParentOnly => Standard::AlwaysOff,
        Sampler::ParentOrRatio => share,
    };
    Box::new(LinkBased(ParentBasedSampler::new(root)))
}

#[derive(Clone, Debug)]
struct LinkBased(ParentBasedSampler);

impl ShouldSample for LinkBased {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self
            .0
            .should_sample(parent, trace_id, name, kind, attributes, links);
        let has_parent = parent.is_some_and(|context| context.span().span_context().is_valid());
        if !has_parent && !links.is_empty() {
            let is_sampled = |link: &Link| link.span_context.is_sampled();
            result.decision = match links.iter().any(is_sampled) {
                true => SamplingDecision::RecordAndSample,
                false => SamplingDecision::Drop,
            };
        }
        result
    }
}
