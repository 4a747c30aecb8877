//! What becomes of stops that the plugin does not confirm in time.

use crate::{
    config::{pattern::Patterns, schema::Jobs, stops::UnconfirmedStop},
    model::Sandbox,
};

/// `jobs.unconfirmed_stop`, and the entries of `jobs.unconfirmed_stops`.
#[derive(Clone, Debug)]
pub struct UnconfirmedStops {
    usual: UnconfirmedStop,
    entries: Vec<(Option<Patterns>, Vec<String>, UnconfirmedStop)>,
}

impl UnconfirmedStops {
    /// Those of a configuration; patterns that are none, which a check has refused, fit nothing.
    pub fn new(jobs: &Jobs) -> Self {
        let entries = jobs.unconfirmed_stops.iter().map(|entry| {
            let patterns = match entry.namespaces.as_slice() {
                [] => None,
                patterns => Some(Patterns::new(patterns).unwrap_or_default()),
            };
            (patterns, entry.handlers.clone(), entry.then)
        });
        Self {
            usual: jobs.unconfirmed_stop,
            entries: entries.collect(),
        }
    }

    /// What holds for a pod: the first entry that fits its namespace and its runtime handler.
    pub fn of(&self, sandbox: &Sandbox) -> UnconfirmedStop {
        let fits = |(patterns, handlers, _): &&(Option<Patterns>, Vec<String>, _)| {
            let mut namespaces = patterns.iter();
            namespaces.all(|patterns| patterns.any(&sandbox.namespace))
                && (handlers.is_empty() || handlers.iter().any(|it| sandbox.runtime_handler == *it))
        };
        let found = self.entries.iter().find(fits);
        found.map_or(self.usual, |(_, _, then)| *then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::stops::UnconfirmedStopEntry, plan::testing::pod};

    #[test]
    fn the_first_entry_counts_that_fits() {
        let entry = |namespaces: &[&str], handlers: &[&str], then| UnconfirmedStopEntry {
            namespaces: namespaces.iter().map(|it| (*it).to_owned()).collect(),
            handlers: handlers.iter().map(|it| (*it).to_owned()).collect(),
            then,
        };
        let (hold, release) = (UnconfirmedStop::Hold, UnconfirmedStop::Release);
        let jobs = Jobs {
            unconfirmed_stops: vec![
                entry(&["la?"], &["other"], release),
                entry(&["db-*", "lab"], &[], hold),
            ],
            ..Jobs::default()
        };
        let stops = UnconfirmedStops::new(&jobs);
        let sandbox = |namespace: &str, handler: &str| Sandbox {
            namespace: namespace.into(),
            runtime_handler: handler.into(),
            ..(*pod(&[]).sandbox).clone()
        };
        assert_eq!(stops.of(&sandbox("lab", "")), hold);
        assert_eq!(stops.of(&sandbox("lab", "other")), release);
        assert_eq!(stops.of(&sandbox("db-1", "other")), hold);
        assert_eq!(stops.of(&sandbox("web", "")), release);
    }
}
