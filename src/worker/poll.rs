//! Asking the plugin about all jobs that live, and whether it can be reached at all.

mod live;
mod outage;
mod ping;
mod round;
mod told;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{select, Receiver};

use self::{
    live::{live_jobs, Live},
    outage::Outage,
    ping::ping,
    told::{Missing, Told},
};
use super::{question::Answer, reports, Context};
use crate::{
    backoff::Backoff,
    config::Config,
    interlink::Client,
    model::{JobUid, Pod, SandboxId},
    plan::{first_only::FirstOnly, observe, questions::Questions, stopping},
    profile::status_reply::{StatusReply, ToldJob},
    store::Change,
    telemetry::{chain, Counter},
    threads,
};

/// Polls until told to stop. A nudge says that a job was just submitted.
pub fn run(
    context: &Context,
    client: &Client,
    config: &Config,
    nudged: &Receiver<()>,
    stop: &Receiver<()>,
) {
    let mut poller = Poller {
        context,
        client,
        config,
        told: Told::default(),
        questions: Questions::new(),
        first_only: FirstOnly::default(),
        to_verify: Vec::new(),
        is_verifying: false,
        is_split: false,
        has_more: false,
        quiet: 0,
        repeats_until: None,
    };
    let mut outage = Outage::default();
    let (mut next_ping, mut next_poll) = (Instant::now(), Instant::now());
    loop {
        poller.beat();
        if Instant::now() >= next_ping {
            ping(context, client, &mut outage);
            next_ping = Instant::now() + config.interlink.ping_interval;
        }
        // A ping does not bring the next question forward: the plugin might repeat its answer then.
        if Instant::now() >= next_poll {
            let pause = poller.poll();
            next_poll = poller.when_it_is_answered(Instant::now() + pause);
        }
        let until = next_ping.min(next_poll);
        select! {
            recv(stop) -> _ => return,
            recv(nudged) -> _ => {
                poller.hurry();
                next_poll = poller.when_it_is_answered(Instant::now());
            }
            default(until.saturating_duration_since(Instant::now())) => {}
        }
    }
}

struct Poller<'a> {
    context: &'a Context,
    client: &'a Client,
    config: &'a Config,
    told: Told,
    questions: Questions,
    first_only: FirstOnly,
    /// Jobs to ask about by themselves in this round, because an answer about others is not believed.
    to_verify: Vec<JobUid>,
    /// These are being asked about.
    is_verifying: bool,
    /// A round takes more than one question.
    is_split: bool,
    /// The last round had no time for all jobs.
    has_more: bool,
    /// Polls in a row after which nothing was to be waited for.
    quiet: u32,
    /// Until then the plugin gives its last answer again, whatever it is asked.
    repeats_until: Option<Instant>,
}

impl<'a> Poller<'a> {
    /// Asks about all live jobs; returns how long to pause: short while something starts, longer
    /// each time that all is quiet.
    fn poll(&mut self) -> Duration {
        let live = live_jobs(
            self.context,
            &self.context.store.pods(),
            self.context.store.clock().now(),
        );
        let uids: HashSet<_> = live.iter().map(|job| job.uid).collect();
        self.told.retain(&uids);
        let bits: HashSet<_> = uids.iter().map(|uid| uid.as_u128()).collect();
        self.context.health.retain_heard(|job| bits.contains(&job));
        self.questions.retain(&uids);
        self.first_only.retain(&uids);
        let jobs = &self.config.jobs;
        let answered = self.round(&live);
        let busy = live.iter().any(|job| job.fresh) || self.told.misses_some();
        self.quiet = match self.has_more || answered && busy {
            true => 1,
            false => self.quiet.saturating_add(1),
        };
        Backoff::slow(jobs.poll_min, jobs.poll_max).pause(self.quiet)
    }

    /// Says that the poller is alive: three times as long as it may take from one question to the next is
    /// too long.
    fn beat(&self) {
        let (interlink, jobs) = (&self.config.interlink, &self.config.jobs);
        let pause = interlink.ping_interval.max(jobs.poll_max);
        let question = interlink
            .connect_timeout
            .saturating_add(interlink.request_timeout);
        threads::beat("poll", pause.saturating_add(question).saturating_mul(3));
    }

    fn hurry(&mut self) {
        self.quiet = 0;
    }

    /// When a question that is due at this time gets an answer of its own.
    fn when_it_is_answered(&self, due: Instant) -> Instant {
        self.repeats_until.map_or(due, |until| until.max(due))
    }

    /// Notes that jobs were answered for just now, and for how long that answer is given again.
    fn note_repetition(&mut self, batch: &[Live]) {
        let pods = batch.iter().map(|live| &live.pod);
        let now = Instant::now();
        // An answer within the time of the last one may be that one: the time runs on from there.
        if self.repeats_until.is_none_or(|until| until <= now) {
            self.repeats_until = self.context.repeats_for(pods).map(|time| now + time);
        }
    }

    fn take(&mut self, batch: &[Live], answer: &Answer) {
        let Answer {
            reply,
            asked_at,
            denials,
        } = answer;
        let asked_at = *asked_at;
        // Where one question is about all, the next one is, too, and denies what this one left untold.
        if self.is_split || self.repeats_until.is_some() {
            self.repeats_until = self.repeats_until.max(denials.untold_until);
        }
        let is_of_one = batch.len() == 1;
        self.note_order(batch, reply, asked_at);
        let rules = &self.context.rules;
        let mut changes: Vec<(SandboxId, Change<'_>)> = Vec::new();
        let mut may_repeat = Vec::new();
        for live in batch.iter().filter(|live| live.is_polled) {
            let Some(job) = live.pod.job(live.number) else {
                continue;
            };
            if reply.jobs.get(&live.uid) == Some(&ToldJob::AsBefore) {
                self.note_heard(live.uid, asked_at);
                continue;
            }
            self.note_unreadable(live, reply);
            self.told.of_mut(live.uid).note_effectless(None);
            let Some(report) = reports::report_of(reply, job) else {
                continue;
            };
            let now = self.context.store.clock().now();
            let number = live.number;
            if report.shows_the_job() {
                self.note_heard(live.uid, asked_at);
                let entry = reply.entries.get(&live.uid);
                if let Some(entry) = entry.filter(|_| report.only_waits_or_runs()) {
                    may_repeat.push((live, *entry));
                }
                let apply = move |pod: &mut Pod| {
                    observe::apply(pod, number, &report, now, rules);
                };
                changes.push((live.sandbox.clone(), Box::new(apply)));
            } else if denials.denied.contains(&live.uid) {
                changes.extend(self.miss(live, asked_at, is_of_one, None));
            }
        }
        if !self.keep(changes) {
            return;
        }
        for (live, entry) in may_repeat {
            if self.is_unchanged(live) {
                let told = self.told.of_mut(live.uid);
                told.note_effectless(Some((entry, &live.pod)));
            }
        }
    }

    /// Whether a job's pod is still the one that the round began with.
    fn is_unchanged(&self, live: &Live) -> bool {
        let now = self.context.store.pod(&live.sandbox);
        now.is_some_and(|now| Arc::ptr_eq(&now, &live.pod))
    }

    /// Notes that the plugin has this job.
    fn note_heard(&mut self, job: JobUid, asked_at: Instant) {
        let told = self.told.of_mut(job);
        (told.missing, told.heard) = (None, Some(asked_at));
        self.context.health.note_heard(job.as_u128());
    }

    /// Notes what is said of jobs at the first place of a question, and at the others.
    fn note_order(&mut self, batch: &[Live], reply: &StatusReply, asked_at: Instant) {
        let told = batch.iter().map(|live| {
            let said = match reply.jobs.get(&live.uid) {
                Some(ToldJob::AsBefore) => self.first_only.said(live.uid),
                told => told.map(hash),
            };
            (live.uid, said)
        });
        let told: Vec<_> = told.collect();
        let doubtful = match told[..] {
            [(uid, said)] if self.is_verifying => {
                if self.first_only.told_alone(uid, said, asked_at) {
                    log::warn!(
                        "the plugin answers for the first job of a question only, so it is asked about \
                         one job at a time"
                    );
                }
                return;
            }
            _ => self.first_only.told(&told, asked_at),
        };
        self.to_verify.extend(doubtful);
    }

    /// Says once of a job that what the plugin says of it cannot be understood.
    fn note_unreadable(&mut self, live: &Live, reply: &StatusReply) {
        let why = match reply.jobs.get(&live.uid) {
            Some(ToldJob::Unreadable(why)) => why.as_str(),
            None if !reply.denies(live.uid) => "an entry names no job, and may be about this one",
            Some(ToldJob::Status(_) | ToldJob::AsBefore) | None => {
                self.told.of_mut(live.uid).is_unreadable = false;
                return;
            }
        };
        let told = self.told.of_mut(live.uid);
        if !std::mem::replace(&mut told.is_unreadable, true) {
            let _scope = live.scope();
            log::warn!(
                error = why;
                "what the plugin says of the job cannot be understood, so its containers stay as they \
                 are, and it is asked again"
            );
        }
    }

    /// Keeps what the plugin said; false where that could not be written.
    fn keep(&self, changes: Vec<(SandboxId, Change<'_>)>) -> bool {
        let Err(error) = self.context.store.update_many(changes) else {
            return true;
        };
        self.context.poll_trouble.print(|held_back| {
            log::error!(
                error = chain(&error), held_back;
                "cannot keep what the plugin said of jobs, and asks again"
            );
        });
        false
    }

    /// Notes that the plugin does not know a job, perhaps in these words; gives what follows where that
    /// is enough. It is enough where the answer is about this job and no other: there are plugins that
    /// answer for the first one only.
    fn miss(
        &mut self,
        live: &Live,
        asked_at: Instant,
        is_about_it: bool,
        words: Option<String>,
    ) -> Option<(SandboxId, Change<'a>)> {
        // Who was told to end it, and does not know it any more, needs to say so once.
        let job = live.pod.job(live.number);
        let is_deleted = job.is_some_and(|job| job.deletion_confirmed_at().is_some());
        if !live.is_polled || !is_deleted && !self.is_lost(live, asked_at) {
            return None;
        }
        if !is_about_it {
            self.to_verify.push(live.uid);
            return None;
        }
        let (number, rules) = (live.number, &self.context.rules);
        if is_deleted {
            let now = self.context.store.clock().now();
            let end = move |pod: &mut Pod| stopping::gone(pod, number, now, rules);
            return Some((live.sandbox.clone(), Box::new(end)));
        }
        self.context.counters.count(Counter::JobsLost);
        let _scope = live.scope();
        log::error!(
            "job is lost: the plugin does not know it any more (jobs.lost_polls, jobs.lost_grace). Its containers \
             end; ask the site what became of it"
        );
        let now = self.context.store.clock().now();
        let lose = move |pod: &mut Pod| {
            let job = pod.job_mut(number);
            if let (Some(job), Some(words)) = (job, words) {
                job.trouble = Some(words);
            }
            observe::lose(pod, number, now, rules);
        };
        Some((live.sandbox.clone(), Box::new(lose)))
    }

    /// Counted from question to question: an answer that comes late says nothing of what happened
    /// meanwhile.
    fn is_lost(&mut self, live: &Live, asked_at: Instant) -> bool {
        let told = self.told.of_mut(live.uid);
        let missing = told.missing.get_or_insert(Missing {
            polls: 0,
            since: asked_at,
        });
        missing.polls = missing.polls.saturating_add(1);
        let span = asked_at.saturating_duration_since(missing.since);
        let job = live.pod.job(live.number);
        if job.is_some_and(|job| job.awaits_gang) && span < observe::GANG_PATIENCE {
            return false;
        }
        observe::is_lost(missing.polls, span, &self.context.rules)
            || observe::is_gone(missing.polls, job)
    }
}

fn hash(told: &ToldJob) -> u64 {
    let mut hasher = DefaultHasher::new();
    told.hash(&mut hasher);
    hasher.finish()
}
