//! One round of questions about all jobs that live.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use super::{live::Live, Poller};
use crate::{
    interlink,
    plan::questions::{Lesson, Next, Place},
    telemetry::chain,
    worker::question::{failure, may_be_too_large, Answer, AskedAbout},
};

/// Jobs that are asked about by themselves in a round because an answer about others is not believed.
const LAST_QUESTIONS: usize = 32;
/// After this time no further question of a round is asked: the rest comes in the next one.
const ROUND: Duration = Duration::from_secs(60);

/// What became of a question.
enum Asked {
    Answered,
    /// The plugin says that it does not know the job.
    Denied,
    /// These jobs are to be asked about again, in this round.
    Again(Vec<Live>),
    /// Its jobs wait for the next round.
    Failed,
    /// So do all that are left.
    Over,
}

impl Poller<'_> {
    /// Asks about all of these jobs, in questions that the plugin bears; whether it was told of all.
    pub(super) fn round(&mut self, live: &[Live]) -> bool {
        let began = Instant::now();
        let rules = &self.context.rules;
        let bears = rules.plugin.max_question.unwrap_or(usize::MAX);
        let most = self.config.jobs.poll_batch.min(bears);
        self.questions.begin(match self.first_only.is_certain() {
            true => 1,
            false => most,
        });
        self.to_verify.clear();
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for job in live {
            match self.questions.place(job.uid, began) {
                Place::Together => together.push(job.clone()),
                Place::Alone => alone.push(job.clone()),
                Place::Nowhere => {}
            }
        }
        // A plugin that repeats its answer for a while gives a real one to the first question only, and
        // there are those that answer for the first job only: that is for those who have waited longest.
        together.sort_by_cached_key(|job| {
            let uid = job.uid;
            let told = self.told.of(uid);
            let heard = told.and_then(|told| told.heard);
            let early = told.and_then(|told| told.came_early);
            (heard, early, self.first_only.came_first(uid))
        });
        self.is_split = together.len() > self.questions.size();
        let mut queue = VecDeque::from(together);
        let (mut is_whole, mut is_early) = (true, true);
        self.has_more = false;
        while !queue.is_empty() {
            let size = match began.elapsed() < ROUND {
                true => self.questions.next(queue.len()),
                false => 0,
            };
            let batch: Vec<_> = queue.drain(..size).collect();
            if batch.is_empty() {
                (is_whole, self.has_more) = (false, true);
                break;
            }
            match self.ask(&batch) {
                Asked::Answered => {
                    if is_early {
                        for job in &batch {
                            self.told.of_mut(job.uid).came_early = Some(began);
                        }
                    }
                    is_early = false;
                }
                Asked::Again(jobs) => {
                    self.is_split = true;
                    jobs.into_iter().rev().for_each(|job| queue.push_front(job));
                }
                Asked::Denied => {}
                Asked::Failed => is_whole = false,
                Asked::Over => {
                    is_whole = false;
                    break;
                }
            }
        }
        if is_whole {
            self.verify(live);
        }
        for job in alone {
            let asked_at = Instant::now();
            let asked = self.ask_alone(&job);
            if !matches!(asked, Asked::Denied) {
                let heard = self.told.of(job.uid).and_then(|told| told.heard);
                let is_told = heard.is_some_and(|at| at >= asked_at);
                self.questions.asked_alone(job.uid, is_told, Instant::now());
            }
        }
        let lesson = self.questions.end(is_whole, Instant::now());
        self.tell(&lesson, live);
        is_whole
    }

    /// Asks by themselves about jobs of which an answer about others is not believed: they are missing
    /// from it, or it may be old.
    fn verify(&mut self, live: &[Live]) {
        let uids: HashSet<_> = std::mem::take(&mut self.to_verify).into_iter().collect();
        let mut jobs = live.iter().filter(|job| uids.contains(&job.uid));
        self.is_verifying = true;
        let _ = jobs
            .by_ref()
            .take(LAST_QUESTIONS)
            .all(|job| matches!(self.ask_alone(job), Asked::Answered | Asked::Denied));
        self.is_verifying = false;
    }

    fn ask_alone(&mut self, job: &Live) -> Asked {
        self.beat();
        let one = std::slice::from_ref(job);
        match self.question(one) {
            Ok(answer) => {
                self.note_repetition(one);
                self.take(one, &answer);
                Asked::Answered
            }
            Err((error, asked_at)) if error.denies_the_job() || error.names(job.uid) => {
                let changes = self.miss(job, asked_at, true, Some(chain(&error)));
                self.keep(changes.into_iter().collect());
                match error.denies_the_job() {
                    true => {
                        self.questions.denied(job.uid, asked_at);
                        Asked::Denied
                    }
                    false => Asked::Failed,
                }
            }
            Err((error, _)) => {
                self.no_answer(&error, 1);
                Asked::Failed
            }
        }
    }

    fn question(&self, batch: &[Live]) -> Result<Answer, (interlink::Error, Instant)> {
        let jobs = batch.iter().filter_map(|live| {
            Some(AskedAbout {
                pod: &live.pod,
                job: live.pod.job(live.number)?,
                // What has changed since the round began is to be told again.
                told_before: self
                    .told
                    .effectless_entry(live)
                    .filter(|_| self.is_unchanged(live)),
            })
        });
        self.context.ask(self.client, jobs)
    }

    /// Asks about some jobs. Where a refusal names one, the others are asked about without it; else
    /// `questions` says what follows.
    fn ask(&mut self, batch: &[Live]) -> Asked {
        self.beat();
        let (error, asked_at) = match self.question(batch) {
            Ok(answer) => {
                let repeats = self
                    .repeats_until
                    .is_some_and(|until| answer.asked_at < until);
                let took = (!repeats).then(|| answer.asked_at.elapsed());
                self.questions.answered(batch.len(), took, Instant::now());
                self.note_repetition(batch);
                self.take(batch, &answer);
                return Asked::Answered;
            }
            Err(failed) => failed,
        };
        let Some(failure) = failure(&error) else {
            let may_be_too_large = may_be_too_large(&error);
            self.questions
                .outage(batch.len(), may_be_too_large, Instant::now());
            self.no_answer(&error, batch.len());
            return Asked::Over;
        };
        if let ([job], true) = (batch, error.denies_the_job()) {
            self.questions.denied(job.uid, asked_at);
            let changes = self.miss(job, asked_at, true, Some(chain(&error)));
            self.keep(changes.into_iter().collect());
            return Asked::Denied;
        }
        let names = |live: &&Live| error.names(live.uid);
        let named: Vec<_> = batch.iter().filter(names).collect();
        if !named.is_empty() {
            let mut changes = Vec::new();
            for live in &named {
                self.questions.named(live.uid, asked_at);
                changes.extend(self.miss(live, asked_at, true, Some(chain(&error))));
            }
            let others = batch.iter().filter(|live| !names(live));
            let others = others.cloned().collect();
            self.keep(changes);
            return Asked::Again(others);
        }
        let uids: Vec<_> = batch.iter().map(|live| live.uid).collect();
        match self.questions.failed(&uids, failure) {
            Next::Again => Asked::Again(batch.to_vec()),
            Next::GoOn => {
                self.no_answer(&error, batch.len());
                Asked::Failed
            }
            Next::Stop => {
                self.no_answer(&error, batch.len());
                Asked::Over
            }
        }
    }

    fn no_answer(&self, error: &interlink::Error, count: usize) {
        self.context.poll_trouble.print(|held_back| {
            let level = self.context.level_of_failure();
            log::log!(
                level, jobs = count, error = chain(error), held_back;
                "got no status of jobs, and asks again"
            );
        });
    }

    /// Says what a round has shown.
    fn tell(&self, lesson: &Lesson, live: &[Live]) {
        for uid in &lesson.suspects {
            let named = live.iter().find(|job| job.uid == *uid);
            let _scope = named.map(Live::scope);
            log::warn!(
                "each question about this job fails, for other jobs in it as well, so it is asked about by \
                 itself, and its containers stay as they are"
            );
        }
        if let Some(count) = lesson.too_many {
            log::info!(
                jobs = count;
                "the plugin does not answer for so many jobs at once, so it is asked about fewer"
            );
        }
    }
}
