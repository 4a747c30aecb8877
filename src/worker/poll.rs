//! Asking the plugin about all jobs that live, and whether it can be reached at all.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{select, Receiver};
use k8s_openapi::api::core::v1::ContainerStatus;

use super::Context;
use crate::{
    config::Config,
    convert,
    interlink::{self, wire::PodStatus, Client},
    model::{Job, JobUid, Nanos, Pod, Remote, SandboxId, Submission},
    plan::observe::{self, Report},
    store::Change,
    telemetry::{chain, Counter, Reach},
};

/// How long after its submission a job is watched closely.
const FRESH: Duration = Duration::from_secs(30);

/// What a plugin says of one job.
pub struct Told {
    remote_id: String,
    containers: Vec<ContainerStatus>,
}

impl Told {
    pub fn report(&self) -> Report<'_> {
        Report {
            remote_id: &self.remote_id,
            containers: &self.containers,
        }
    }
}

/// What an answer to a question about one job says of it.
pub fn told(statuses: &[PodStatus], job: &Job) -> Told {
    let mut statuses = statuses.iter();
    let status = statuses.find(|status| JobUid::parse(&status.uid) == Some(job.uid));
    understand(status, job)
}

/// Everything that is said of a job: its containers have the names that they have here, and those
/// that plugins put elsewhere, as init containers, are among them.
pub fn understand(status: Option<&PodStatus>, job: &Job) -> Told {
    let lists = status.map(|status| status.init_containers.iter().chain(&status.containers));
    let mut containers: Vec<_> = lists.into_iter().flatten().cloned().collect();
    convert::restore_container_names(job, &mut containers);
    Told {
        remote_id: status.map(|status| status.jid.clone()).unwrap_or_default(),
        containers,
    }
}

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
        pause: Duration::ZERO,
    };
    let mut next_ping = Instant::now();
    loop {
        if Instant::now() >= next_ping {
            ping(context, client);
            next_ping = Instant::now() + config.interlink.ping_interval;
        }
        let until_ping = next_ping.saturating_duration_since(Instant::now());
        let pause = poller.poll().min(until_ping);
        select! {
            recv(stop) -> _ => return,
            recv(nudged) -> _ => poller.hurry(),
            default(pause) => {}
        }
    }
}

/// Whether a smaller question may be answered: one job's missing files make the SLURM plugin refuse
/// the whole question, and an answer can be too large.
fn spoils_the_batch(error: &interlink::Error) -> bool {
    error.is_server_error() || matches!(error, interlink::Error::TooLarge { .. })
}

fn ping(context: &Context, client: &Client) {
    match context.call(|| client.ping()) {
        Ok(answer) => {
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
    pause: Duration,
}

impl Poller<'_> {
    /// Asks about all live jobs; returns how long to pause: short while something starts, longer
    /// each time that all is quiet.
    fn poll(&mut self) -> Duration {
        let live = live_jobs(&self.context.store.pods(), self.context.store.clock().now());
        self.missing
            .retain(|uid, _| live.iter().any(|job| job.uid == *uid));
        let jobs = &self.config.jobs;
        let mut answered = true;
        for batch in live.chunks(jobs.poll_batch.max(1)) {
            answered &= self.ask(batch);
        }
        let busy = live.iter().any(|job| job.fresh) || !self.missing.is_empty();
        self.pause = if answered && busy {
            jobs.poll_min
        } else {
            self.pause * 3 / 2
        };
        self.pause = self.pause.clamp(jobs.poll_min, jobs.poll_max);
        self.pause
    }

    fn hurry(&mut self) {
        self.pause = Duration::ZERO;
    }

    /// Asks about some jobs; false when there was no answer. The SLURM plugin refuses the whole
    /// question because of one job whose files are missing, so a refused batch is halved until
    /// the job that spoils it is alone.
    fn ask(&mut self, batch: &[Live]) -> bool {
        let question: Vec<_> = batch
            .iter()
            .filter_map(|live| {
                let job = live.pod.jobs.iter().find(|job| job.number == live.number)?;
                Some(convert::status_pod(&live.pod, job, &self.context.settings))
            })
            .collect();
        let asked_at = Instant::now();
        match self.context.call(|| self.client.status(&question)) {
            Ok(statuses) => {
                self.take(batch, &statuses, asked_at);
                true
            }
            Err(error) if spoils_the_batch(&error) && batch.len() > 1 => {
                let (left, right) = batch.split_at(batch.len() / 2);
                let left = self.ask(left);
                self.ask(right) && left
            }
            Err(error) => {
                self.context.poll_trouble.print(|held_back| {
                    let (reason, count) = (chain(&error), batch.len());
                    log::warn!("no status of {count} jobs: {reason} ({held_back} more held back)");
                });
                false
            }
        }
    }

    fn take(&mut self, batch: &[Live], statuses: &[PodStatus], asked_at: Instant) {
        let by_uid: HashMap<JobUid, &PodStatus> = statuses
            .iter()
            .filter_map(|s| Some((JobUid::parse(&s.uid)?, s)))
            .collect();
        let rules = &self.context.rules;
        let mut changes: Vec<(SandboxId, Change<'_>)> = Vec::new();
        for live in batch {
            let mut jobs = live.pod.jobs.iter();
            let Some(job) = jobs.find(|job| job.number == live.number) else {
                continue;
            };
            let told = understand(by_uid.get(&live.uid).copied(), job);
            let now = self.context.store.clock().now();
            let number = live.number;
            if told.report().shows_the_job() {
                self.missing.remove(&live.uid);
                let apply = move |pod: &mut Pod| {
                    observe::apply(pod, number, told.report(), now, rules);
                };
                changes.push((live.sandbox.clone(), Box::new(apply)));
            } else if self.is_lost(live, asked_at) {
                self.context.counters.count(Counter::JobsLost);
                log::error!("pod {}: job {} is lost", live.pod.full_name(), live.uid);
                let lose = move |pod: &mut Pod| observe::lose(pod, number, now, rules);
                changes.push((live.sandbox.clone(), Box::new(lose)));
            }
        }
        if let Err(error) = self.context.store.update_many(changes) {
            self.context.poll_trouble.print(|held_back| {
                log::error!("states not kept: {error} ({held_back} more held back)");
            });
        }
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
        observe::is_lost(missing.polls, span, &self.context.rules)
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
