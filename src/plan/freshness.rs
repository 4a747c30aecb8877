//! Which answers to /status are answers, and which are repetitions.
//!
//! Some plugins give one answer to whatever they are asked within some seconds. Asked for other jobs
//! meanwhile, they repeat what they said, and the jobs of the later question are not in it, although they
//! run.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::model::JobUid;

/// Remembers the last answer.
#[derive(Debug)]
pub struct Freshness {
    repeats_for: Duration,
    last: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    asked: HashSet<JobUid>,
    told: HashSet<JobUid>,
}

impl Freshness {
    /// For a plugin that repeats its answers for so long at the most.
    pub fn new(repeats_for: Duration) -> Self {
        Self {
            repeats_for,
            last: None,
        }
    }

    /// Takes an answer in which jobs `told` are, to a question for jobs `asked`; gives the jobs of
    /// which it says that the plugin does not know them. One that speaks of the same jobs as the
    /// last answer may be that one again, which was about what was asked then.
    pub fn denied(
        &mut self,
        asked: HashSet<JobUid>,
        told: HashSet<JobUid>,
        now: Instant,
    ) -> HashSet<JobUid> {
        let repeats = self.last.as_ref().filter(|last| {
            last.told == told && now.saturating_duration_since(last.at) < self.repeats_for
        });
        if let Some(last) = repeats {
            let both = asked.intersection(&last.asked).copied();
            return both.filter(|uid| !told.contains(uid)).collect();
        }
        let denied = asked.difference(&told).copied().collect();
        self.last = Some(Answer {
            at: now,
            asked,
            told,
        });
        denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(numbers: &[u32]) -> HashSet<JobUid> {
        let uid = |number: &u32| {
            JobUid::parse(&format!("0f6e1c1a-9a3b-4a53-8c36-{number:012x}")).expect("a UID")
        };
        numbers.iter().map(uid).collect()
    }

    #[test]
    fn a_repetition_denies_only_what_was_asked_for_before() {
        let begin = Instant::now();
        let mut freshness = Freshness::new(Duration::from_secs(15));
        let mut ask = |after: u64, asked: &[u32], told: &[u32]| {
            let now = begin + Duration::from_secs(after);
            freshness.denied(jobs(asked), jobs(told), now)
        };
        assert_eq!(ask(0, &[1, 2, 3], &[1, 2]), jobs(&[3]));
        // The same question again.
        assert_eq!(ask(1, &[1, 2, 3], &[1, 2]), jobs(&[3]));
        // Other questions, and the answer of before.
        assert_eq!(ask(2, &[4, 5], &[1, 2]), jobs(&[]));
        assert_eq!(ask(3, &[1, 2, 3, 4, 5], &[1, 2]), jobs(&[3]));
        // Too late to be that one.
        assert_eq!(ask(20, &[1, 2, 4], &[1, 2]), jobs(&[4]));
        // Another answer.
        assert_eq!(ask(21, &[1, 2, 3, 4, 5], &[1, 2, 4]), jobs(&[3, 5]));
        // A plugin that has forgotten everything.
        assert_eq!(ask(22, &[1, 2], &[]), jobs(&[1, 2]));
        assert_eq!(ask(23, &[1, 2, 6], &[]), jobs(&[1, 2]));
    }
}
