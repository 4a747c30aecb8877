//! Whether the plugin can be reached, and what it says that it has.

use std::time::Instant;

use super::outage::{self, Outage, Word};
use crate::{
    interlink::{wire::PingResources, Client},
    profile::recognise,
    quantity::{parse_cpu, parse_memory},
    telemetry::{chain, Reach},
    text::one_line,
    worker::Context,
};

/// Asks whether it can be reached.
pub(super) fn ping(context: &Context, client: &Client, outage: &mut Outage) {
    let began = Instant::now();
    match context.call(|| client.ping()) {
        Ok(answer) => {
            context.health.note_ping_time(began.elapsed());
            context.recognise(recognise::by_ping(&answer.text));
            context.cluster.note(&answer);
            let resources = answer.parsed.and_then(|answer| answer.resources);
            context
                .health
                .note_capacity(capacity(resources.unwrap_or_default()));
            if context.health.note(Reach::Ready(answer.text)) {
                match outage.is_over(Instant::now()) {
                    Some(span) => {
                        log::info!("interLink is ready again, after {}", outage::rounded(span))
                    }
                    None => log::info!("interLink is ready"),
                }
                // What waits for it need not wait for its back-off to end.
                context.hasten();
            }
        }
        Err(error) => {
            let reason = chain(&error);
            context.health.note(Reach::Away(reason.clone()));
            let span = match outage.failed(Instant::now()) {
                Word::Nothing => return,
                Word::Begins => String::new(),
                Word::GoesOn(span) => format!(" for {}", outage::rounded(span)),
            };
            let jobs = outage::waiting(context.store.pods().iter().map(|pod| &**pod));
            log::warn!(jobs, error = reason; "interLink cannot be reached{span}, {jobs} jobs wait");
        }
    }
}

/// What the plugin says that it has, by resource name; what cannot be read is left out.
fn capacity(resources: PingResources) -> Vec<(String, f64)> {
    let amount = |text: &str| parse_memory(text).ok();
    let cores = parse_cpu(&resources.cpu).ok();
    let named = [
        ("memory", amount(&resources.memory)),
        ("pods", amount(&resources.pods)),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, amount)| Some((name.to_owned(), as_figure(amount?))));
    let accelerators = resources.accelerators.into_iter().filter_map(|kind| {
        let available = amount(&kind.available)?;
        Some((one_line(&kind.resource_type), as_figure(available)))
    });
    let cores = cores.map(|millicores| ("cpu".to_owned(), as_figure(millicores) / 1000.0));
    let mut all: Vec<_> = cores.into_iter().chain(named).collect();
    for (name, amount) in accelerators {
        // The same name twice would be no valid answer to Prometheus.
        if !name.is_empty() && all.iter().all(|(other, _)| *other != name) {
            all.push((name, amount));
        }
    }
    all
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people: 53 bits are enough"
)]
fn as_figure(amount: u64) -> f64 {
    amount as f64
}
