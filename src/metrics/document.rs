//! `docs/metrics.md`, made of the definitions.

use std::fmt::Write as _;

use crate::telemetry::definitions::{Definition, Kind, DEFINITIONS};

/// The text of `docs/metrics.md`.
pub fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         `GET /metrics` at `metrics.listen` (127.0.0.1:9184 by default, a unix socket or `off` where that is \
         set) gives these to Prometheus, in its text format 0.0.4. The table is made from the code, by \
         `interlink-cri check-config --metrics >docs/metrics.md`; a test compares them.\n\n\
         Labels have values that the code knows, or bounded ones: no pod, namespace or image makes a series \
         of its own. Counters and histograms begin at zero with each start of the daemon.\n\n\
         [packaging/prometheus](../packaging/prometheus) has alerts and a dashboard that use them, and \
         [operations.md](operations.md) says what to do about what they show.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for definition in DEFINITIONS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", row(definition));
    }
    text.push_str("\n## Bounds of histograms\n\n| metric | bounds |\n|---|---|\n");
    for definition in DEFINITIONS {
        if let Kind::Histogram(bounds) = definition.kind {
            let bounds: Vec<_> = bounds.iter().map(f64::to_string).collect();
            let _ = writeln!(text, "| `{}` | {} |", definition.name, bounds.join(", "));
        }
    }
    text
}

fn row(definition: &Definition) -> String {
    let kind = match definition.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let labels: Vec<_> = definition
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let (name, help) = (definition.name, definition.help);
    format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
}
