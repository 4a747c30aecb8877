//! What was asked for and what came of it.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::world::Victim;

/// How often a start must have run, at the end.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    pub least: usize,
    pub most: usize,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    Pods,
    Starts,
    OwnEnds,
    Stops,
    Refused,
    Retries,
    Lost,
    Duplicated,
    Leaked,
}

#[derive(Default)]
struct Inner {
    starts: HashMap<String, Runs>,
    counts: BTreeMap<Count, usize>,
    kills: BTreeMap<Victim, usize>,
    violations: Vec<String>,
    most_memory_kib: u64,
}

/// The books of a campaign.
#[derive(Default)]
pub struct Books(Mutex<Inner>);

impl Books {
    pub fn count(&self, what: Count) {
        *self.0.lock().counts.entry(what).or_default() += 1;
    }

    pub fn counted(&self, what: Count) -> usize {
        self.0.lock().counts.get(&what).copied().unwrap_or_default()
    }

    pub fn killed(&self, victim: Victim) {
        *self.0.lock().kills.entry(victim).or_default() += 1;
    }

    pub fn kills(&self) -> BTreeMap<Victim, usize> {
        self.0.lock().kills.clone()
    }

    pub fn violation(&self, text: String) {
        println!("VIOLATION {text}");
        self.0.lock().violations.push(text);
    }

    pub fn violations(&self) -> Vec<String> {
        self.0.lock().violations.clone()
    }

    pub fn expect_runs(&self, tag: &str, least: usize, most: usize) {
        let runs = Runs { least, most };
        self.0.lock().starts.insert(tag.to_owned(), runs);
    }

    pub fn saw_memory(&self, kib: u64) {
        let mut inner = self.0.lock();
        inner.most_memory_kib = inner.most_memory_kib.max(kib);
    }

    pub fn most_memory_kib(&self) -> u64 {
        self.0.lock().most_memory_kib
    }

    /// Compares the ledger, one line for each run, with what was asked for.
    pub fn compare(&self, ledger: &str) {
        let mut ran: HashMap<&str, usize> = HashMap::new();
        for tag in ledger.lines() {
            *ran.entry(tag).or_default() += 1;
        }
        let starts = self.0.lock().starts.clone();
        for (tag, runs) in &starts {
            let times = ran.remove(tag.as_str()).unwrap_or_default();
            if times < runs.least {
                self.count(Count::Lost);
                self.violation(format!("{tag} was started and has not run"));
            }
            if times > runs.most {
                self.count(Count::Duplicated);
                self.violation(format!("{tag} ran {times} times"));
            }
        }
        for tag in ran.keys() {
            self.violation(format!("{tag} ran and was never started"));
        }
    }
}
