//! Whether a plugin answers for the first job of a question only.
//!
//! Some do (`profile` has them). Where a server with a memory stands in front of such a plugin, its answers
//! look whole: the server fills in what it last heard of the others, and their pods end late or never. Or
//! it leaves out those of which it never heard, although they run.
//!
//! So the jobs take turns at the first place, and what changes there and elsewhere is counted. One change
//! elsewhere is proof of the contrary. After a few changes at the first place alone, some of the others are
//! asked about by themselves, right after the answer to all. Where these answers say something else, twice,
//! that is proof: the plugin is asked about one job at a time from then on.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use crate::{memory, model::JobUid};

/// Changes at the first place alone after which the others are looked at.
const CHANGES: u32 = 3;
/// Jobs that are looked at then.
const LOOKED_AT: usize = 8;
/// Other answers about jobs alone that are proof.
const PROOF: u32 = 2;

/// What is said of a job, as far as it matters whether it is the same: a hash, or nothing.
pub type Said = Option<u64>;

/// What the answers of a plugin have shown so far.
#[derive(Debug, Default)]
pub struct FirstOnly {
    said: HashMap<JobUid, Said>,
    came_first: HashMap<JobUid, Instant>,
    changes: u32,
    others: u32,
    is_certain: bool,
}

impl FirstOnly {
    /// Forgets jobs that are not among these.
    pub fn retain(&mut self, live: &HashSet<JobUid>) {
        self.said.retain(|uid, _| live.contains(uid));
        self.came_first.retain(|uid, _| live.contains(uid));
        memory::shrink(&mut self.said);
        memory::shrink(&mut self.came_first);
    }

    /// What was last said of a job.
    pub fn said(&self, job: JobUid) -> Said {
        self.said.get(&job).copied().flatten()
    }

    /// When a job was last at the first place.
    pub fn came_first(&self, job: JobUid) -> Option<Instant> {
        self.came_first.get(&job).copied()
    }

    /// Whether the plugin is to be asked about one job at a time.
    pub fn is_certain(&self) -> bool {
        self.is_certain
    }

    /// Takes the answer to a question about these jobs, in this order; gives those to look at by
    /// themselves, now.
    pub fn told(&mut self, answer: &[(JobUid, Said)], now: Instant) -> Vec<JobUid> {
        let mut changed = Vec::new();
        for (place, (job, said)) in answer.iter().enumerate() {
            let before = self.said.insert(*job, *said);
            if said.is_some() && before.is_some_and(|before| before != *said) {
                changed.push(place);
            }
        }
        let [(first, _), others @ ..] = answer else {
            return Vec::new();
        };
        self.came_first.insert(*first, now);
        if others.is_empty() || self.is_certain {
            return Vec::new();
        }
        if changed.iter().any(|place| *place > 0) {
            (self.changes, self.others) = (0, 0);
        } else if !changed.is_empty() {
            self.changes += 1;
        }
        if self.changes < CHANGES {
            return Vec::new();
        }
        self.changes = 0;
        let others = others.iter().map(|(job, _)| *job);
        others.take(LOOKED_AT).collect()
    }

    /// Takes the answer to a question about one job alone, right after one about it among others. True
    /// when it is certain now, and was not before.
    pub fn told_alone(&mut self, job: JobUid, said: Said, now: Instant) -> bool {
        let before = self.said.insert(job, said);
        self.came_first.insert(job, now);
        if said.is_none() || before.is_none_or(|before| before == said) || self.is_certain {
            return false;
        }
        self.others += 1;
        self.is_certain = self.others >= PROOF;
        self.is_certain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u64) -> JobUid {
        JobUid::parse(&format!("0f6e1c1a-9a3b-4a53-8c36-{number:012x}")).expect("a UID")
    }

    /// A plugin with jobs whose states count up, and a server with a memory before it.
    struct Server {
        truth: Vec<u64>,
        memory: HashMap<u64, u64>,
        remembers: bool,
        is_whole: bool,
    }

    impl Server {
        fn ask(&mut self, jobs: &[u64]) -> Vec<(JobUid, Said)> {
            let fresh = if self.is_whole { jobs } else { &jobs[..1] };
            if !self.remembers {
                self.memory.clear();
            }
            for number in fresh {
                self.memory.insert(*number, self.truth[*number as usize]);
            }
            let said = |number: &u64| (job(*number), self.memory.get(number).copied());
            jobs.iter().map(said).collect()
        }
    }

    /// The round after which it is certain, out of 60; all states change in each third.
    fn certain_after(remembers: bool, is_whole: bool) -> Option<u64> {
        let mut server = Server {
            truth: vec![0; 5],
            memory: HashMap::new(),
            remembers,
            is_whole,
        };
        let (mut first_only, begin) = (FirstOnly::default(), Instant::now());
        for round in 0..60 {
            let now = begin + std::time::Duration::from_secs(round);
            if round % 3 == 0 {
                server.truth.iter_mut().for_each(|state| *state += 1);
            }
            let mut jobs: Vec<u64> = (0..5).collect();
            jobs.sort_by_key(|number| first_only.came_first(job(*number)));
            for alone in first_only.told(&server.ask(&jobs), now) {
                let number = (0..5).find(|number| job(*number) == alone).expect("asked");
                let said = server.ask(&[number])[0].1;
                if first_only.told_alone(alone, said, now) {
                    return Some(round);
                }
            }
        }
        None
    }

    #[test]
    fn plugins_are_told_apart() {
        assert!(certain_after(true, false).is_some_and(|round| round < 20));
        assert!(certain_after(false, false).is_some_and(|round| round < 20));
        assert_eq!(certain_after(true, true), None);
        assert_eq!(certain_after(false, true), None);
    }

    #[test]
    fn a_change_between_two_answers_is_no_proof() {
        let now = Instant::now();
        let mut first_only = FirstOnly::default();
        assert!(first_only
            .told(&[(job(0), Some(1)), (job(1), Some(1))], now)
            .is_empty());
        assert!(!first_only.told_alone(job(1), Some(2), now));
        // Others change as well: what was seen counts no more.
        assert!(first_only
            .told(&[(job(0), Some(1)), (job(1), Some(3))], now)
            .is_empty());
        assert!(!first_only.told_alone(job(1), Some(4), now));
        assert!(!first_only.is_certain());
        // That a job is not mentioned any more says nothing.
        assert!(!first_only.told_alone(job(1), None, now));
        assert!(!first_only.is_certain());
    }
}
