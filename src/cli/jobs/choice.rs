//! Which rows are shown, and in which order.

use std::{cmp::Reverse, time::Duration};

use clap::{Args, ValueEnum};

use super::row::Row;
use crate::config::duration;

/// Which containers are shown, and in which order.
#[derive(Args, Clone, Debug, Default)]
pub struct Choice {
    /// Only those of this namespace
    #[arg(long, short)]
    namespace: Option<String>,
    /// Only those of pods whose name has this in it
    #[arg(long)]
    pod: Option<String>,
    /// Only those whose job is so far, such as pending, queued, running; may be given several times
    #[arg(long, value_name = "STATE")]
    remote: Vec<String>,
    /// Only those whose job asked for this partition or flavor
    #[arg(long)]
    partition: Option<String>,
    /// Only those whose job waited in the remote queue for longer, or has waited, such as 90s or 1h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    queued_over: Option<Duration>,
    /// Only those that ran for longer over there, or have run
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ran_over: Option<Duration>,
    /// What to sort by; times with the longest first, efficiency with the worst
    #[arg(long, value_enum, default_value_t = Sort::Pod)]
    sort: Sort,
}

/// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Pod,
    Age,
    Queued,
    Ran,
    /// The share of the CPU time that it asked for or, where that is not known, of the memory.
    Efficiency,
}

impl Choice {
    /// Whether a row is one of those that are shown.
    pub fn takes(&self, row: &Row) -> bool {
        let (namespace, name) = row.pod.split_once('/').unwrap_or(("", &row.pod));
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let is_over = |limit: Option<Duration>, span: Option<Duration>| {
            limit.is_none_or(|limit| span.is_some_and(|span| span > limit))
        };
        is(&self.namespace, namespace)
            && self.pod.as_deref().is_none_or(|part| name.contains(part))
            && (self.remote.is_empty() || self.remote.contains(&row.remote_word()))
            && is(&self.partition, row.partition())
            && is_over(self.queued_over, row.queued)
            && is_over(self.ran_over, row.ran)
    }

    /// Brings rows into their order.
    pub fn sort(&self, rows: &mut [Row]) {
        rows.sort_by(|a, b| (&a.pod, &a.container).cmp(&(&b.pod, &b.container)));
        let time = |span: fn(&Row) -> Option<Duration>| move |row: &Row| Reverse(span(row));
        match self.sort {
            Sort::Pod => {}
            Sort::Age => rows.sort_by_key(time(|row| row.age)),
            Sort::Queued => rows.sort_by_key(time(|row| row.queued)),
            Sort::Ran => rows.sort_by_key(time(|row| row.ran)),
            Sort::Efficiency => rows.sort_by(|a, b| share(a).total_cmp(&share(b))),
        }
    }
}

/// What is sorted by for efficiency; where nothing is known, more than any share.
fn share(row: &Row) -> f64 {
    let (cpu, memory) = row.shares();
    cpu.or(memory).unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_chosen_and_sorted() {
        let row = |pod: &str, state: &str, partition: &str, queued: u64| Row {
            pod: pod.to_owned(),
            sandbox: String::new(),
            container: "main".to_owned(),
            id: String::new(),
            state: "running",
            remote: json!({"state": state, "job": {
                "submission": {"Submitted": {"at": 1}}, "partition": partition,
            }}),
            age: None,
            queued: Some(Duration::from_secs(queued)),
            ran: None,
        };
        let mut rows = vec![
            row("lab/a", "Queued", "gpu", 5),
            row("lab/b", "Running", "cpu", 9),
            row("web/a", "Queued", "gpu", 7),
        ];
        let chosen = |choice: &Choice, rows: &[Row]| {
            let taken = rows.iter().filter(|row| choice.takes(row));
            taken.map(|row| row.pod.clone()).collect::<Vec<_>>()
        };
        let text = |text: &str| Some(text.to_owned());
        let by = |change: fn(&mut Choice)| {
            let mut choice = Choice::default();
            change(&mut choice);
            choice
        };
        let namespace = Choice {
            namespace: text("lab"),
            ..Choice::default()
        };
        assert_eq!(chosen(&namespace, &rows), ["lab/a", "lab/b"]);
        let pod = Choice {
            pod: text("b"),
            ..Choice::default()
        };
        assert_eq!(
            chosen(&pod, &rows),
            ["lab/b"],
            "the namespace is not looked at"
        );
        let partition = Choice {
            partition: text("gpu"),
            ..Choice::default()
        };
        assert_eq!(chosen(&partition, &rows), ["lab/a", "web/a"]);
        let queued = by(|choice| choice.remote = vec!["queued".into()]);
        assert_eq!(chosen(&queued, &rows), ["lab/a", "web/a"]);
        by(|choice| choice.sort = Sort::Queued).sort(&mut rows);
        assert_eq!(
            chosen(&Choice::default(), &rows),
            ["lab/b", "web/a", "lab/a"]
        );
        let over = by(|choice| choice.queued_over = Some(Duration::from_secs(5)));
        assert_eq!(chosen(&over, &rows), ["lab/b", "web/a"]);
        let over = by(|choice| choice.ran_over = Some(Duration::ZERO));
        assert!(chosen(&over, &rows).is_empty(), "none has run");
        rows[2].ran = Some(Duration::from_secs(1));
        assert_eq!(chosen(&over, &rows), ["lab/a"]);
    }

    #[test]
    fn the_least_efficient_come_first_and_those_of_which_nothing_is_known_last() {
        let row = Row::exited;
        let mut rows = vec![
            row("a", serde_json::Value::Null),
            row("b", json!({"cpuEfficiency": 0.9, "memoryEfficiency": 0.1})),
            row("c", json!({"memoryEfficiency": 0.5})),
            row("d", json!({"cpuEfficiency": 0.2})),
        ];
        let choice = Choice {
            sort: Sort::Efficiency,
            ..Choice::default()
        };
        choice.sort(&mut rows);
        let order: Vec<_> = rows.iter().map(|row| row.container.as_str()).collect();
        assert_eq!(order, ["d", "c", "b", "a"]);
    }
}
