//! Questions to /status. Whoever asks does it here, because a plugin that repeats its answers repeats
//! them to everybody: see `plan::freshness`.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{job_request, reports, Context};
use crate::{
    interlink::{self, Client, Phase, StatusQuestion},
    model::{Cancellation, Job, JobUid, Pod, Submission},
    plan::{call_results::Asked, freshness::Denials, questions::Failure},
    profile::{
        self,
        status_reply::{EntryHash, StatusReply},
    },
};

/// Jobs in a question of a worker about one of them. A thousand jobs may be doubtful at once, after an outage, and
/// each has a question of its own; only the poller's are about all.
const TOGETHER: usize = 200;

/// A job that is asked about.
pub(super) struct AskedAbout<'a> {
    pub(super) pod: &'a Pod,
    pub(super) job: &'a Job,
    /// What the plugin said of it last, where the asker need not hear it again.
    pub(super) told_before: Option<EntryHash>,
}

/// An answer to a question about jobs.
pub(super) struct Answer {
    pub(super) reply: StatusReply,
    /// When the question left.
    pub(super) asked_at: Instant,
    pub(super) denials: Denials,
}

impl Context {
    /// Asks about these jobs.
    ///
    /// # Errors
    /// No answer, or one that is none; with the time at which the question left.
    pub(super) fn ask<'a>(
        &self,
        client: &Client,
        jobs: impl Iterator<Item = AskedAbout<'a>>,
    ) -> Result<Answer, (interlink::Error, Instant)> {
        let (mut uids, mut question) = (HashSet::new(), StatusQuestion::new());
        for asked in jobs {
            let pod = job_request::status_pod(self, asked.pod, asked.job);
            question
                .add(&pod, asked.told_before)
                .map_err(|error| (error, Instant::now()))?;
            uids.insert(asked.job.uid);
        }
        let asked_at = Instant::now();
        let number = self.freshness.lock().begins(uids, asked_at);
        let answer = self.call(|| client.status(question));
        let (now, repeats_for) = (Instant::now(), self.rules.plugin.repeats_answers_for);
        let mut freshness = self.freshness.lock();
        match answer {
            Ok(reply) => Ok(Answer {
                denials: freshness.answered(number, reply.shown(), repeats_for, now),
                reply,
                asked_at,
            }),
            Err(error) => {
                freshness.failed(number, error.is_ambiguous(), repeats_for, now);
                Err((error, asked_at))
            }
        }
    }

    /// Asks whether the plugin has a job. Where it may repeat its answers, the question is about all other
    /// jobs, too, of which that is to be known: questions about each one would be answered by the answers
    /// to the others.
    ///
    /// # Errors
    /// No answer, or one that is none.
    pub(super) fn ask_about(
        &self,
        client: &Client,
        pod: &Pod,
        job: &Job,
    ) -> Result<Asked, interlink::Error> {
        let others = self.others(job.uid);
        let along = others.iter();
        let along = along.filter_map(|(pod, number)| Some((&**pod, pod.job(*number)?)));
        let mut asked =
            self.ask_if_told(client, std::iter::once((pod, job)).chain(along).collect());
        let is_of_one = |error: &interlink::Error| failure(error).is_some();
        if asked.as_ref().is_err_and(is_of_one) && !others.is_empty() {
            asked = self.ask_if_told(client, vec![(pod, job)]);
        }
        let Some(answer) = asked? else {
            return Ok(Asked::Untold);
        };
        let is_denied = answer.denials.denied.contains(&job.uid);
        Ok(match reports::report_of(&answer.reply, job) {
            Some(report) if report.shows_the_job() || is_denied => Asked::Report(report),
            _ => Asked::Untold,
        })
    }

    /// Asks about these jobs, unless it is in vain: where the plugin has just said to somebody else that it
    /// knows nothing, it would say so again.
    fn ask_if_told(
        &self,
        client: &Client,
        jobs: Vec<(&Pod, &Job)>,
    ) -> Result<Option<Answer>, interlink::Error> {
        let asked = jobs.iter().map(|(_, job)| job.uid).collect();
        let repeats_for = self.rules.plugin.repeats_answers_for;
        let until = self
            .freshness
            .lock()
            .empty_until(&asked, repeats_for, Instant::now());
        if until.is_some() {
            return Ok(None);
        }
        let jobs = jobs.into_iter().map(|(pod, job)| AskedAbout {
            pod,
            job,
            told_before: None,
        });
        let answer = self.ask(client, jobs);
        answer.map(Some).map_err(|(error, _)| error)
    }

    /// For how long the plugin repeats its answers, where it is known to do so: it may by its profile, and
    /// the ids of these pods' jobs are those of such a plugin.
    pub(super) fn repeats_for<'a>(
        &self,
        pods: impl IntoIterator<Item = &'a Arc<Pod>>,
    ) -> Option<Duration> {
        let longest = self.rules.plugin.repeats_answers_for;
        let jobs = pods.into_iter().flat_map(|pod| &pod.jobs);
        let ids = jobs.filter_map(|job| job.remote_id.as_deref());
        profile::repeats_for(ids).filter(|_| !longest.is_zero())
    }

    /// The jobs to ask about together with this one.
    fn others(&self, job: JobUid) -> Vec<(Arc<Pod>, u32)> {
        let plugin = &self.rules.plugin;
        if plugin.repeats_answers_for.is_zero() {
            return Vec::new();
        }
        let pods = self.store.pods();
        let is_polled = self.repeats_for(&pods).is_some();
        let jobs = pods
            .iter()
            .flat_map(|pod| pod.jobs.iter().map(move |job| (pod, job)));
        let others = jobs.filter(|(pod, other)| {
            let is_asked = is_doubtful(other) || is_polled && pod.is_polled(other);
            is_asked && other.uid != job
        });
        // Who is left out learns nothing until the plugin has another answer: that is for those who need none most.
        let (doubtful, polled): (Vec<_>, Vec<_>) =
            others.partition(|(_, other)| is_doubtful(other));
        let most = plugin.max_question.unwrap_or(usize::MAX);
        let most = most.min(self.config.jobs.poll_batch).min(TOGETHER);
        let jobs = doubtful.into_iter().chain(polled);
        let jobs = jobs.map(|(pod, job)| (pod.clone(), job.number));
        jobs.take(most.saturating_sub(1)).collect()
    }
}

/// How a question has failed that may be about one job, or too large; none for an outage, of which all
/// jobs share the fate, however few a question is about.
pub(super) fn failure(error: &interlink::Error) -> Option<Failure> {
    use interlink::Error;
    match error {
        Error::TimedOut { phase, .. } if *phase != Phase::Connect => Some(Failure::TimedOut),
        Error::Status { status: 504, .. } => Some(Failure::TimedOut),
        Error::Status {
            status: 413 | 500 | 502,
            ..
        } => Some(Failure::Refused),
        Error::Status {
            status: 401 | 407 | 408 | 425 | 429 | 503,
            ..
        } => None,
        Error::Status { .. } => (!error.is_of_front_end()).then_some(Failure::Refused),
        // A plugin that dies of one job, or writes what cannot be read.
        Error::Dropped { .. }
        | Error::Garbled { .. }
        | Error::Malformed { .. }
        | Error::TooLarge { .. } => Some(Failure::Refused),
        _ => None,
    }
}

/// Whether a front end may fail a question like this because it is too large, although it says so of outages, too.
pub(super) fn may_be_too_large(error: &interlink::Error) -> bool {
    match error {
        interlink::Error::Status { status, .. } => !matches!(status, 401 | 407),
        _ => false,
    }
}

/// Whether it is to be found out if the plugin has this job.
pub(super) fn is_doubtful(job: &Job) -> bool {
    let is_deleted =
        matches!(job.cancel, Some(Cancellation::Requested { failures, .. }) if failures > 0);
    is_deleted || matches!(job.submission, Submission::Unsure { .. })
}
