//! Which answers to /status deny a job, and which may be repetitions.
//!
//! Some plugins give one answer to whatever they are asked within some seconds. Asked about other jobs
//! meanwhile, they repeat what they said, and the jobs of the later question are not in it, although they
//! run. A repetition cannot be told from an answer that says the same; two empty ones are alike, too. So
//! an answer denies a job only where each question to which it may have been the answer was about that
//! job:
//!
//! ```text
//!          asked about A, B    answered: nothing
//!          ├───────────────────┤·········· repeats_for ··········│
//!                  ├──────────────┤ asked about B, C, answered: nothing ─► denies B; C is not told of
//!                                      ├───┤ asked about C, answered: C runs ─► it is another answer
//!                                                                  ├──┤ asked about C, answered: nothing
//!                                                                       ─► denies C
//! ```
//!
//! A question that got no answer in time may have been answered for the plugin all the same, in whatever
//! words. So everybody who asks tells it here, and where one question leaves a job untold, it is worth
//! asking again when no answer of before can be repeated any more.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::model::JobUid;

/// The questions of which the answer may be repeated.
#[derive(Debug, Default)]
pub struct Freshness {
    questions: Vec<Question>,
    next: u64,
}

#[derive(Debug)]
struct Question {
    number: u64,
    asked: HashSet<JobUid>,
    began: Instant,
    /// None while it is under way.
    ended: Option<Instant>,
    /// The jobs of which the answer told; none where that is not known.
    told: Option<HashSet<JobUid>>,
}

/// What an answer says of the jobs of its question that it does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denials {
    /// The plugin did not know these when it was asked about them, for so long ago at the most as it repeats
    /// its answers.
    pub denied: HashSet<JobUid>,
    /// Where there are jobs of which the answer says nothing, because it may be one to a question that
    /// was not about them: when such an answer cannot be repeated any more.
    pub untold_until: Option<Instant>,
}

impl Freshness {
    /// Notes that a question about these jobs begins; gives its number.
    pub fn begins(&mut self, asked: HashSet<JobUid>, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.questions.push(Question {
            number,
            asked,
            began: now,
            ended: None,
            told: None,
        });
        number
    }

    /// Takes the answer to a question, in which jobs `told` are, from a plugin that repeats its answers
    /// for so long at the most.
    pub fn answered(
        &mut self,
        number: u64,
        told: HashSet<JobUid>,
        repeats_for: Duration,
        now: Instant,
    ) -> Denials {
        let Some(place) = self.place(number) else {
            return Denials::default();
        };
        let mut question = self.questions.swap_remove(place);
        let ended = |other: &Question| other.ended.unwrap_or(now) + repeats_for;
        let may_be_its_answer = |other: &&Question| {
            let is_like_it = other.told.as_ref().is_none_or(|other| *other == told);
            is_like_it && question.began < ended(other) && !repeats_for.is_zero()
        };
        let mut denied: HashSet<_> = question.asked.difference(&told).copied().collect();
        let mut untold_until = None;
        for other in self.questions.iter().filter(may_be_its_answer) {
            let before = denied.len();
            denied.retain(|uid| other.asked.contains(uid));
            if denied.len() < before {
                untold_until = untold_until.max(Some(ended(other)));
            }
        }
        question.ended = Some(now);
        question.told = Some(told);
        self.questions.push(question);
        self.forget(repeats_for, now);
        Denials {
            denied,
            untold_until,
        }
    }

    /// Notes that a question ended without an answer; whether the plugin may have answered it all the
    /// same.
    pub fn failed(
        &mut self,
        number: u64,
        may_be_answered: bool,
        repeats_for: Duration,
        now: Instant,
    ) {
        if let Some(place) = self.place(number) {
            match may_be_answered {
                true => self.questions[place].ended = Some(now),
                false => drop(self.questions.swap_remove(place)),
            }
        }
        self.forget(repeats_for, now);
    }

    /// When a question about these jobs is worth asking that the plugin would answer with nothing, if it
    /// does not know them; none where it is now.
    pub fn empty_until(
        &self,
        asked: &HashSet<JobUid>,
        repeats_for: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let is_empty = |other: &&Question| other.told.as_ref().is_some_and(HashSet::is_empty);
        let others = self.questions.iter().filter(is_empty);
        let others = others.filter(|other| !asked.is_subset(&other.asked));
        let until = others.filter_map(|other| other.ended).max()? + repeats_for;
        (until > now).then_some(until)
    }

    fn place(&self, number: u64) -> Option<usize> {
        let mut numbers = self.questions.iter().map(|question| question.number);
        numbers.position(|other| other == number)
    }

    /// Forgets what cannot be repeated any more, to a question that is under way or a later one.
    fn forget(&mut self, repeats_for: Duration, now: Instant) {
        let under_way = self.questions.iter().filter(|it| it.ended.is_none());
        let earliest = under_way.map(|it| it.began).min().unwrap_or(now);
        self.questions
            .retain(|it| it.ended.is_none_or(|at| at + repeats_for > earliest));
    }
}

#[cfg(test)]
mod tests;
