use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crossbeam_channel::unbounded;

use super::*;
use crate::{
    config::Config,
    convert::Settings,
    model::SystemClock,
    store::Store,
    telemetry::{
        definitions::{Kind, DEFINITIONS},
        Counters, Health, Phase, Reach,
    },
};

const DOCUMENT: &str = include_str!("../../docs/metrics.md");

fn sources(directory: &std::path::Path) -> Sources {
    let counters = Arc::new(Counters::default());
    let (wake, _) = unbounded();
    let store = Store::open(directory, Arc::new(SystemClock), wake).expect("opens");
    Sources {
        store: Arc::new(store.with_counters(counters.clone())),
        health: Arc::new(Health::new(true)),
        counters,
        settings: Settings::new(&Config::default()).expect("settings"),
    }
}

/// Everything that is counted and timed has happened once.
fn fill(sources: &Sources) {
    let metrics = &sources.counters.metrics;
    let second = Duration::from_secs(1);
    metrics.rpc("Version", "OK", second);
    metrics.interlink_call("ping", "ok", second);
    metrics.pool("cri", 8).enqueued();
    metrics.sandbox("created");
    metrics.container("created");
    metrics.exit("Completed");
    metrics.job_phase(Phase::CreatedToSubmitted, second);
    metrics.job_waited("", second);
    metrics.job_ran("", second);
    metrics.job_efficiency("", Some(0.5), Some(0.5));
    metrics.state_commit(true, second);
    metrics.log_resync("begun_anew");
    sources.health.note(Reach::Ready("ok".into()));
    sources.health.note_capacity(vec![("cpu".into(), 64.0)]);
}

/// Names with type, and the labels that their samples have.
fn exported(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut metrics: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            name.clone_into(&mut current);
            let before = metrics.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
            assert!(before.is_none(), "{name} comes twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&current), "{line} is not of {current}");
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            let entry = metrics.get_mut(&current).expect("a type before samples");
            entry.1.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
    metrics
}

#[test]
fn what_is_exported_is_what_is_defined() {
    let directory = tempfile::tempdir().expect("a directory");
    let sources = sources(directory.path());
    fill(&sources);
    let body = answer(&registry(sources), "/metrics").body;
    let exported = exported(&body);
    for definition in DEFINITIONS {
        let (kind, labels) = exported
            .get(definition.name)
            .unwrap_or_else(|| panic!("{} is not exported", definition.name));
        let (want, own) = match definition.kind {
            Kind::Counter => ("counter", None),
            Kind::Gauge => ("gauge", None),
            Kind::Histogram(_) => ("histogram", Some("le")),
        };
        assert_eq!(kind, want, "{}", definition.name);
        let want = definition.labels.iter().copied().chain(own);
        let want: BTreeSet<_> = want.map(str::to_owned).collect();
        assert_eq!(*labels, want, "{}", definition.name);
    }
    assert_eq!(exported.len(), DEFINITIONS.len(), "some are not defined");
}

#[test]
fn names_follow_the_conventions() {
    for definition in DEFINITIONS {
        let (name, help) = (definition.name, definition.help);
        let is_counter = definition.kind == Kind::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        if matches!(definition.kind, Kind::Histogram(_)) {
            let unit = name.rsplit('_').next();
            assert!(matches!(unit, Some("seconds" | "ratio")), "{name}");
        }
        assert!(
            !help.ends_with('.') && !help.contains('\n') && !help.contains('|'),
            "{name}"
        );
    }
}

#[test]
fn the_document_is_made_from_the_code() {
    assert!(
        DOCUMENT == document(),
        "docs/metrics.md is out of date; write it anew with:\n  \
         interlink-cri check-config --metrics >docs/metrics.md"
    );
}

#[test]
fn other_paths_lead_to_the_figures() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = registry(sources(directory.path()));
    assert_eq!(answer(&registry, "/").status, "404 Not Found");
    assert_eq!(answer(&registry, "/metrics").content_type, CONTENT_TYPE);
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .filter(|word| word.starts_with("interlink_cri_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn alerts_and_dashboard_use_what_is_exported() {
    let alerts = include_str!("../../packaging/prometheus/alerts.yml");
    let test = include_str!("../../packaging/prometheus/alerts-test.yml");
    let dashboard = include_str!("../../packaging/prometheus/dashboard.json");
    let parsed: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    assert!(parsed["panels"]
        .as_array()
        .is_some_and(|panels| panels.len() > 20));
    for (file, text) in [
        ("alerts", alerts),
        ("its test", test),
        ("dashboard", dashboard),
    ] {
        let names = named(text);
        assert!(names.len() >= 4, "{file}: {names:?}");
        for name in names {
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix));
            let found = DEFINITIONS.iter().any(|definition| match definition.kind {
                Kind::Histogram(_) => Some(definition.name) == of_histogram,
                _ => definition.name == name,
            });
            assert!(found, "{file} uses {name}, which is not exported");
        }
    }
}
