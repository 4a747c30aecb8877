//! Asking the plugin about all jobs that live, and whether it can be reached at all.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{select, Receiver};

use super::{job_request, reports, Context};
use crate::{
    backoff::Backoff,
    config::Config,
    interlink::{self, Client},
    model::{JobUid, Nanos, Pod, Remote, SandboxId, Submission},
    plan::{freshness::Freshness, observe},
    profile::{
        self, recognise,
        status_reply::{StatusReply, ToldJob},
    },
    store::Change,
    telemetry::{chain, Counter, Reach},
    threads,
};

/// How long a job because of which a question was refused is left out of others.
const LEFT_OUT_FOR: Duration = Duration::from_secs(10);
/// How long after its submission a job is watched closely.
const FRESH: Duration = Duration::from_secs(30);

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
        missing: HashMap::new(),
        left_out: HashMap::new(),
        heard: HashMap::new(),
        unreadable: HashSet::new(),
        freshness: Freshness::new(context.rules.plugin.repeats_answers_for),
        quiet: 0,
        repeats_until: None,
    };
    let (mut next_ping, mut next_poll) = (Instant::now(), Instant::now());
    loop {
        threads::point("poll");
        if Instant::now() >= next_ping {
            ping(context, client);
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

/// Whether a smaller question may be answered: a plugin can refuse the whole question because of one
/// job, and an answer can be too large.
fn may_be_about_one_job(error: &interlink::Error) -> bool {
    error.is_server_error() || matches!(error, interlink::Error::TooLarge { .. })
}

/// Whether such a refusal names jobs that were asked about, perhaps within the path of a file that is
/// missing (`profile`).
fn names_some(error: &interlink::Error, batch: &[Live]) -> bool {
    error.is_server_error() && batch.iter().any(|live| error.names(live.uid))
}

fn ping(context: &Context, client: &Client) {
    match context.call(|| client.ping()) {
        Ok(answer) => {
            context.recognise(recognise::by_ping(&answer.text));
            if context.health.note(Reach::Ready(answer.text)) {
                log::info!("interLink is ready");
                // What waits for it need not wait for its back-off to end.
                context.hasten();
            }
        }
        Err(error) => {
            let reason = chain(&error);
            if context.health.note(Reach::Away(reason.clone())) {
                log::warn!("interLink cannot be reached; jobs wait: {reason}");
            }
        }
    }
}

/// A job that the plugin has, with what /status wants of it.
#[derive(Clone)]
struct Live {
    sandbox: SandboxId,
    number: u32,
    uid: JobUid,
    pod: Arc<Pod>,
    /// It was submitted a moment ago, or nothing is known of it yet: somebody waits for it.
    fresh: bool,
}

struct Missing {
    polls: u32,
    since: Instant,
}

struct Poller<'a> {
    context: &'a Context,
    client: &'a Client,
    config: &'a Config,
    /// Jobs that the last answers left out. Lost by a restart, which only gives them more time.
    missing: HashMap<JobUid, Missing>,
    /// Jobs because of which a question was refused, and when.
    left_out: HashMap<JobUid, Instant>,
    /// When jobs were last in an answer.
    heard: HashMap<JobUid, Instant>,
    /// Jobs of which the last answer could not be understood.
    unreadable: HashSet<JobUid>,
    freshness: Freshness,
    /// Polls in a row after which nothing was to be waited for.
    quiet: u32,
    /// Until then the plugin gives its last answer again, whatever it is asked.
    repeats_until: Option<Instant>,
}

impl<'a> Poller<'a> {
    /// Asks about all live jobs; returns how long to pause: short while something starts, longer
    /// each time that all is quiet.
    fn poll(&mut self) -> Duration {
        let mut live = live_jobs(&self.context.store.pods(), self.context.store.clock().now());
        let uids: HashSet<_> = live.iter().map(|job| job.uid).collect();
        self.missing.retain(|uid, _| uids.contains(uid));
        self.heard.retain(|uid, _| uids.contains(uid));
        self.unreadable.retain(|uid| uids.contains(uid));
        self.left_out
            .retain(|uid, at| uids.contains(uid) && at.elapsed() < LEFT_OUT_FOR);
        live.retain(|job| !self.left_out.contains_key(&job.uid));
        // A plugin that repeats its answer for a while gives a real one to the first question only:
        // that is for those who have waited longest.
        live.sort_by_key(|job| self.heard.get(&job.uid).copied());
        let jobs = &self.config.jobs;
        let mut answered = true;
        let bears = self.context.rules.plugin.max_question;
        let size = jobs.poll_batch.min(bears.unwrap_or(usize::MAX));
        for batch in live.chunks(size.max(1)) {
            answered &= self.ask(batch);
        }
        let busy = live.iter().any(|job| job.fresh) || !self.missing.is_empty();
        self.quiet = match answered && busy {
            true => 1,
            false => self.quiet.saturating_add(1),
        };
        Backoff::slow(jobs.poll_min, jobs.poll_max).pause(self.quiet)
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
        let jobs = batch.iter().filter_map(|live| live.pod.job(live.number));
        let ids = jobs.filter_map(|job| job.remote_id.as_deref());
        let now = Instant::now();
        // An answer within the time of the last one may be that one: the time runs on from there.
        if self.repeats_until.is_none_or(|until| until <= now) {
            self.repeats_until = profile::repeats_for(ids).map(|time| now + time);
        }
    }

    /// Asks about some jobs; false when there was no answer. Where a refusal names a job, the others are
    /// asked for without it; else the batch is halved until the job that it is about is alone.
    fn ask(&mut self, batch: &[Live]) -> bool {
        let question: Vec<_> = batch
            .iter()
            .filter_map(|live| {
                let job = live.pod.job(live.number)?;
                Some(job_request::status_pod(self.context, &live.pod, job))
            })
            .collect();
        let asked_at = Instant::now();
        match self.context.call(|| self.client.status(&question)) {
            Ok(reply) => {
                self.note_repetition(batch);
                self.take(batch, &reply, asked_at);
                true
            }
            Err(error) if names_some(&error, batch) => {
                let (named, others): (Vec<_>, Vec<_>) = batch
                    .iter()
                    .cloned()
                    .partition(|live| error.names(live.uid));
                let mut changes = Vec::new();
                for live in &named {
                    self.left_out.insert(live.uid, asked_at);
                    changes.extend(self.miss(live, asked_at, Some(chain(&error))));
                }
                self.keep(changes);
                others.is_empty() || self.ask(&others)
            }
            Err(error) if batch.len() == 1 && error.denies_the_job() => {
                let misses = batch.iter();
                let misses =
                    misses.filter_map(|live| self.miss(live, asked_at, Some(chain(&error))));
                let changes = misses.collect();
                self.keep(changes);
                true
            }
            Err(error) if may_be_about_one_job(&error) && batch.len() > 1 => {
                let (left, right) = batch.split_at(batch.len() / 2);
                let left = self.ask(left);
                self.ask(right) && left
            }
            Err(error) => {
                self.context.poll_trouble.print(|held_back| {
                    let (reason, count) = (chain(&error), batch.len());
                    log::warn!("got no status of {count} jobs, and asks again: {reason} ({held_back} more held back)");
                });
                false
            }
        }
    }

    fn take(&mut self, batch: &[Live], reply: &StatusReply, asked_at: Instant) {
        let asked = batch.iter().map(|live| live.uid).collect();
        let denied = self.freshness.denied(asked, reply.shown(), asked_at);
        let rules = &self.context.rules;
        let mut changes: Vec<(SandboxId, Change<'_>)> = Vec::new();
        for live in batch {
            let Some(job) = live.pod.job(live.number) else {
                continue;
            };
            self.note_unreadable(live, reply);
            let Some(report) = reports::report_of(reply, job) else {
                continue;
            };
            let now = self.context.store.clock().now();
            let number = live.number;
            if report.shows_the_job() {
                self.missing.remove(&live.uid);
                self.heard.insert(live.uid, asked_at);
                let apply = move |pod: &mut Pod| {
                    observe::apply(pod, number, &report, now, rules);
                };
                changes.push((live.sandbox.clone(), Box::new(apply)));
            } else if denied.contains(&live.uid) {
                changes.extend(self.miss(live, asked_at, None));
            }
        }
        self.keep(changes);
    }

    /// Says once of a job that what the plugin says of it cannot be understood.
    fn note_unreadable(&mut self, live: &Live, reply: &StatusReply) {
        let why = match reply.jobs.get(&live.uid) {
            Some(ToldJob::Unreadable(why)) => why.as_str(),
            None if !reply.denies(live.uid) => "an entry names no job, and may be about this one",
            Some(ToldJob::Status(_)) | None => {
                self.unreadable.remove(&live.uid);
                return;
            }
        };
        if self.unreadable.insert(live.uid) {
            log::warn!(
                "pod {}: what the plugin says of job {} cannot be understood, so its containers stay as \
                 they are, and it is asked again: {why}",
                live.pod.full_name(),
                live.uid
            );
        }
    }

    fn keep(&self, changes: Vec<(SandboxId, Change<'_>)>) {
        if let Err(error) = self.context.store.update_many(changes) {
            self.context.poll_trouble.print(|held_back| {
                log::error!("cannot keep what the plugin said of jobs, and asks again: {error} ({held_back} more held back)");
            });
        }
    }

    /// Notes that the plugin does not know a job, perhaps in these words; gives what follows where that
    /// is enough.
    fn miss(
        &mut self,
        live: &Live,
        asked_at: Instant,
        words: Option<String>,
    ) -> Option<(SandboxId, Change<'a>)> {
        if !self.is_lost(live, asked_at) {
            return None;
        }
        self.context.counters.count(Counter::JobsLost);
        log::error!("pod {}: job {} is lost", live.pod.full_name(), live.uid);
        let (number, rules) = (live.number, &self.context.rules);
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
        let missing = self.missing.entry(live.uid).or_insert(Missing {
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
            || observe::is_gone(missing.polls, live.pod.job(live.number))
    }
}

fn live_jobs(pods: &[Arc<Pod>], now: Nanos) -> Vec<Live> {
    let mut live = Vec::new();
    for pod in pods {
        for job in pod.jobs.iter().filter(|job| job.is_polled()) {
            let young = match job.submission {
                Submission::Submitted { at } => now.since(at) < FRESH,
                _ => false,
            };
            let unknown = job
                .containers
                .iter()
                .filter_map(|id| pod.container(id))
                .any(|entry| entry.status.is_live() && entry.status.remote == Remote::Unknown);
            live.push(Live {
                sandbox: pod.sandbox.id.clone(),
                number: job.number,
                uid: job.uid,
                pod: pod.clone(),
                fresh: young || unknown,
            });
        }
    }
    live
}
