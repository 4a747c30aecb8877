//! The exporter, and what the log hears of it: that spans are lost, at growing intervals, and that they are
//! taken again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
    Resource,
};
use parking_lot::Mutex;

use super::collector::Collector;
use crate::backoff::Backoff;

/// Between two lines about a collector that takes nothing.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(60), Duration::from_secs(3600));

/// The exporter to one collector.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Otlp,
    collector: Arc<Collector>,
    url: String,
    trouble: Mutex<Trouble>,
}

/// A time in which the collector takes nothing.
#[derive(Debug, Default, PartialEq)]
struct Trouble {
    /// Spans that were lost in it.
    lost: usize,
    /// Lines that are out about it.
    lines: u32,
    next_line: Option<Instant>,
}

impl Trouble {
    /// So many more are lost; gives how many are altogether, where a line is due.
    fn add(&mut self, lost: usize, now: Instant) -> Option<usize> {
        self.lost += lost;
        if self.next_line.is_some_and(|next| now < next) {
            return None;
        }
        self.lines = self.lines.saturating_add(1);
        self.next_line = now.checked_add(PAUSES.pause(self.lines));
        Some(self.lost)
    }

    /// It is over; gives how many were lost, where the log has heard of it.
    fn end(&mut self) -> Option<usize> {
        let over = std::mem::take(self);
        (over.lines > 0).then_some(over.lost)
    }
}

impl Watched {
    pub(super) fn new(inner: Otlp, collector: Arc<Collector>, url: &str) -> Self {
        Self {
            inner,
            collector,
            url: url.to_owned(),
            trouble: Mutex::default(),
        }
    }

    fn note(&self, result: &OTelSdkResult, spans: usize) {
        let url = &self.url;
        match result {
            Ok(()) => {
                if let Some(lost) = self.trouble.lock().end() {
                    log::info!("traces: {url} takes spans again; {lost} were lost");
                }
            }
            Err(error) => {
                let why = self.collector.take_trouble();
                let why = why.unwrap_or_else(|| error.to_string());
                if let Some(lost) = self.trouble.lock().add(spans, Instant::now()) {
                    log::warn!(
                        error = why;
                        "traces: {url} does not take spans, {lost} are lost so far; all else goes on"
                    );
                }
            }
        }
    }
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.note(&result, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_at_growing_intervals_and_count_what_is_lost() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let mut at = |seconds| trouble.add(2, start + Duration::from_secs(seconds));
        let lines: Vec<_> = (0..10_000)
            .step_by(10)
            .filter_map(|s| Some((s, at(s)?)))
            .collect();
        let times: Vec<_> = lines.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 60, 180, 420, 900, 1860, 3780, 7380]);
        assert_eq!(lines[1], (60, 14));
        assert_eq!(trouble.end(), Some(2000));
        assert_eq!(trouble.end(), None, "said once");
        assert_eq!(trouble, Trouble::default());
    }
}
