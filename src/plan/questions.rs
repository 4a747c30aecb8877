//! How many jobs a question to /status is about: all of them, where that can be.
//!
//! The first one is about [`FIRST`] jobs, and each answer that comes soon doubles the next one, up to
//! `jobs.poll_batch`: a plugin may need as long for a few jobs as for all. One that needs long for many halves it
//! again, down to [`FIRST`], for others of its callers wait meanwhile. An answer that may be an earlier one again says
//! nothing of what the plugin bears. And whatever goes wrong with a question that was larger than the first ones, those
//! are what is tried next: a front end may refuse large ones as if all were lost.
//!
//! A plugin can refuse a question for all jobs because of one, hang over one, or take longer for many
//! than it is given. So a question that fails is asked again about half of the jobs, down to one, and the
//! size doubles again with each answer:
//!
//! ```text
//! refused, unreadable, no answer ──► half of them ──► ... ──► one alone: a suspect, asked by itself
//!                                      │ answered                 when its pause is over
//!                                      ▼
//!                     twice as many, but not as many as failed in this round
//! ```
//!
//! Where one job fails by itself while others are answered for, it was the cause. Where all are answered
//! for in smaller questions, the size was: the plugin bears less, which is remembered, and tried again
//! after a pause that doubles each time. Where nothing is answered, nobody is blamed. In a round, so few
//! questions may fail that a plugin that is dead is not asked again and again: each one that gets no
//! answer in time costs all of `interlink.request_timeout`.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{backoff::Backoff, model::JobUid};

/// Jobs in the first question to a plugin of which nothing is known.
const FIRST: usize = 200;
/// An answer that comes within this time doubles the next question.
const SOON: Duration = Duration::from_secs(2);
/// One that takes longer than this halves it.
const LATE: Duration = Duration::from_secs(6);
/// Questions of a round that may be refused. One job among 10,000 is found with 14.
const REFUSALS: u32 = 24;
/// Questions of a round that may get no answer in time.
const TIMEOUTS: u32 = 2;
/// Single jobs in a row that may fail while nothing is answered.
const IN_VAIN: usize = 2;
/// Questions of a round. The rest is asked in the next one.
const QUESTIONS: u32 = 256;
/// Suspects that are asked about in a round.
const SUSPECTS: usize = 4;
/// Pauses until a suspect is asked about again. The first one is short: a fault that has nothing to do with
/// the job may have met the question.
const SUSPECT_PAUSES: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(300));
/// Pauses until a size is tried again that was too much.
const SIZE_PAUSES: Backoff = Backoff::doubling(Duration::from_secs(300), Duration::from_secs(4800));

/// How a question failed that may be about one job, or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was refused, or its answer cannot be read.
    Refused,
    /// There was no answer in time.
    TimedOut,
}

/// What follows for a question that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The jobs are to be asked about again; the next question is smaller.
    Again,
    /// The job waits; the round goes on with the others.
    GoOn,
    /// The round is over.
    Stop,
}

/// Where a job belongs in this round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the others.
    Together,
    /// By itself, after the others.
    Alone,
    /// Nowhere: it has a pause.
    Nowhere,
}

/// What a round has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// Jobs that are new suspects.
    pub suspects: Vec<JobUid>,
    /// The plugin was found to bear fewer jobs than this.
    pub too_many: Option<usize>,
}

/// The sizes of questions, and the jobs that are asked about by themselves.
#[derive(Debug)]
pub struct Questions {
    most: usize,
    size: usize,
    /// The smallest question that failed, while the cause is not known.
    failed_at: Option<usize>,
    ceiling: Option<Ceiling>,
    suspects: HashMap<JobUid, Suspect>,
    round: Round,
}

/// A size that was too much.
#[derive(Debug)]
struct Ceiling {
    at: usize,
    times: u32,
    until: Instant,
}

#[derive(Debug)]
struct Suspect {
    failures: u32,
    not_before: Instant,
}

#[derive(Debug, Default)]
struct Round {
    questions: u32,
    refusals: u32,
    timeouts: u32,
    answers: u32,
    suspects: usize,
    accused: Vec<JobUid>,
}

impl Questions {
    /// For a plugin of which nothing is known.
    pub fn new() -> Self {
        Self {
            most: usize::MAX,
            size: FIRST,
            failed_at: None,
            ceiling: None,
            suspects: HashMap::new(),
            round: Round::default(),
        }
    }

    /// Forgets jobs that are not among these.
    pub fn retain(&mut self, live: &HashSet<JobUid>) {
        self.suspects.retain(|uid, _| live.contains(uid));
    }

    /// Begins a round, with questions about so many jobs at the most.
    pub fn begin(&mut self, most: usize) {
        self.most = most.max(1);
        self.size = self.size.min(self.most);
        self.round = Round::default();
    }

    /// About how many jobs the next question is, where so many are left.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where a job belongs now.
    pub fn place(&mut self, job: JobUid, now: Instant) -> Place {
        match self.suspects.get(&job) {
            None => Place::Together,
            Some(suspect) if suspect.not_before <= now && self.round.suspects < SUSPECTS => {
                self.round.suspects += 1;
                Place::Alone
            }
            Some(_) => Place::Nowhere,
        }
    }

    /// About how many of the jobs that are left the next question is; none when the round is over.
    pub fn next(&mut self, left: usize) -> usize {
        if self.round.questions >= QUESTIONS {
            return 0;
        }
        self.round.questions += 1;
        left.min(self.size)
    }

    /// Notes that a question about so many jobs was answered, and how long that took; none where the plugin may have
    /// repeated an earlier answer.
    pub fn answered(&mut self, asked: usize, took: Option<Duration>, now: Instant) {
        self.round.answers += 1;
        let Some(took) = took else {
            return;
        };
        if self.ceiling.as_ref().is_some_and(|it| asked >= it.at) {
            self.ceiling = None;
        }
        let holds = |it: &&Ceiling| now < it.until;
        let ceiling = self.ceiling.as_ref().filter(holds).map(|it| it.at);
        let below = [ceiling, self.failed_at].into_iter().flatten().min();
        // What has become small because of a failure comes back, however long an answer takes.
        let (larger, is_soon) = match self.size < FIRST {
            true => (FIRST.min(self.size * 2), true),
            false => (self.size.saturating_mul(2), took < SOON),
        };
        let larger = larger.min(self.most);
        if asked >= self.size && is_soon && below.is_none_or(|below| larger < below) {
            self.size = larger;
        } else if asked >= self.size && took > LATE && self.size > FIRST {
            self.size = FIRST.max(self.size / 2);
        }
    }

    /// Notes that a question about so many jobs failed in a way that has nothing to do with any of them. The round is
    /// over. Where others were answered in it, and a front end may say so of a question that is too large, it may
    /// have been that.
    pub fn outage(&mut self, asked: usize, may_be_too_large: bool, now: Instant) {
        if may_be_too_large && asked > FIRST && self.round.answers > 0 {
            self.bears_fewer_than(asked, now);
        }
        self.begin_small();
    }

    /// The next question is no larger than the first one was.
    fn begin_small(&mut self) {
        self.size = self.size.min(FIRST);
    }

    fn bears_fewer_than(&mut self, at: usize, now: Instant) {
        let times = self
            .ceiling
            .as_ref()
            .map_or(1, |it| it.times.saturating_add(1));
        let until = now + SIZE_PAUSES.pause(times);
        self.ceiling = Some(Ceiling { at, times, until });
    }

    /// Notes that a question about these jobs failed.
    pub fn failed(&mut self, asked: &[JobUid], failure: Failure) -> Next {
        let round = &mut self.round;
        match failure {
            Failure::Refused => round.refusals += 1,
            Failure::TimedOut => round.timeouts += 1,
        }
        let is_enough = round.refusals >= REFUSALS || round.timeouts >= TIMEOUTS;
        self.size = (asked.len() / 2).max(1);
        let single = match asked {
            [job] => job,
            _ => {
                let failed_at = self.failed_at.unwrap_or(usize::MAX);
                self.failed_at = Some(failed_at.min(asked.len()));
                return match is_enough {
                    true => Next::Stop,
                    false => Next::Again,
                };
            }
        };
        round.accused.push(*single);
        // The cause is found, most likely.
        self.failed_at = None;
        let is_in_vain = round.answers == 0 && round.accused.len() >= IN_VAIN;
        match is_enough || is_in_vain {
            true => Next::Stop,
            false => Next::GoOn,
        }
    }

    /// Notes that a refusal named this job: it is asked about by itself, after a pause. The others are asked about
    /// once more, and more of them may be like it, so they are few.
    pub fn named(&mut self, job: JobUid, now: Instant) {
        self.begin_small();
        self.suspect(job, now);
    }

    fn suspect(&mut self, job: JobUid, now: Instant) {
        let (failures, not_before) = (1, now + SUSPECT_PAUSES.pause(1));
        let suspect = Suspect {
            failures,
            not_before,
        };
        self.suspects.insert(job, suspect);
    }

    /// Notes that the plugin says in an error that it does not know this job: it spoils a question about
    /// others, and by itself it is asked about in each round, because it counts how often it is denied.
    pub fn denied(&mut self, job: JobUid, now: Instant) {
        self.round.answers += 1;
        let suspect = Suspect {
            failures: 0,
            not_before: now,
        };
        self.suspects.insert(job, suspect);
    }

    /// Notes whether a question about a suspect alone told of it. It is one no more then. Where the plugin
    /// answers for nobody, nobody is blamed.
    pub fn asked_alone(&mut self, job: JobUid, is_told: bool, now: Instant) {
        if is_told {
            self.suspects.remove(&job);
        } else if let Some(suspect) = self.suspects.get_mut(&job) {
            if self.round.answers > 0 {
                suspect.failures = suspect.failures.saturating_add(1);
            }
            suspect.not_before = now + SUSPECT_PAUSES.pause(suspect.failures);
        }
    }

    /// Ends a round, in which all jobs were asked about or not; gives what it has shown.
    pub fn end(&mut self, is_whole: bool, now: Instant) -> Lesson {
        let accused = std::mem::take(&mut self.round.accused);
        if self.round.answers == 0 {
            self.failed_at = None;
            if self.round.questions > 0 {
                self.begin_small();
            }
            return Lesson::default();
        }
        if !accused.is_empty() {
            let new = accused
                .into_iter()
                .filter(|job| !self.suspects.contains_key(job));
            let suspects: Vec<_> = new.collect();
            suspects.iter().for_each(|job| self.suspect(*job, now));
            return Lesson {
                suspects,
                too_many: None,
            };
        }
        let Some(at) = self.failed_at.filter(|_| is_whole) else {
            return Lesson::default();
        };
        self.failed_at = None;
        self.bears_fewer_than(at, now);
        Lesson {
            suspects: Vec::new(),
            too_many: Some(at),
        }
    }
}

impl Default for Questions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
