//! Following the logs of running containers.
//!
//! A fixed number of threads each follow one log as it grows. Containers beyond that number share
//! one more thread, which reads their logs in turn. The `follow` thread looks every now and then
//! which containers run, gives out free followers, and cuts off those whose container has ended;
//! the end of such a log is fetched by the lane of its pod. A stream on which nothing comes is begun anew now
//! and then: see `log_watch`.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read as _},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, select, unbounded, Receiver, Sender};

use super::{job_request, log_watch::Watch, logs, Context};
use crate::{
    backoff::Backoff,
    config::Config,
    daemon_log::Scope,
    interlink::Client,
    logs::{Error, Log},
    model::{ContainerEntry, ContainerId, Pod, Remote, SandboxId},
    plan::{log_pace::Wait, LogForm},
    telemetry::{chain, Counter},
    threads::{self, Threads},
    traces::{self, Origin},
};

/// How often it is looked which containers run.
const LOOK: Duration = Duration::from_millis(300);
/// Looking is done in memory, and takes no time.
const LIMIT: Duration = Duration::from_secs(60);
/// Pauses before a log that broke off is followed again.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(15));
/// A follower needs little stack: one buffer.
const STACK_BYTES: usize = 256 << 10;
const BUFFER_BYTES: usize = 16 << 10;

/// A container whose log is to be followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    sandbox: SandboxId,
    container: ContainerId,
}

/// Starts the threads; they end when they are told to stop.
///
/// # Errors
/// A thread that cannot be started.
pub fn start(
    threads: &Threads,
    context: &Arc<Context>,
    client: &Arc<Client>,
    config: &Config,
) -> io::Result<()> {
    let stop = threads.stopped();
    let count = config.logs.followers;
    // A follower takes the next target when it is free, so at most `count` lie here.
    let (targets, work) = unbounded::<(Target, Arc<Watch>)>();
    let (finished, ends) = unbounded();
    for number in 0..count {
        let (context, client) = (context.clone(), client.clone());
        let (work, finished, stop) = (work.clone(), finished.clone(), stop.clone());
        let name = format!("follow-{number}");
        threads.start_with_stack(&name, STACK_BYTES, move || {
            for (target, watch) in work {
                // Not a beat: a followed log may be silent for days, and the `Watch` ends those that hang.
                threads::point("follower");
                follow(&context, &client, &target, &watch, &stop);
                // The manager has ended; so will this loop.
                let _ = finished.send(target.container);
            }
        })?;
    }
    // Room for one round: the next one names everybody again.
    let (overflow, rest) = bounded(1);
    let manager = Manager {
        context: context.clone(),
        free: count,
        followed: HashMap::new(),
        targets,
        ends,
        overflow,
    };
    let stop_ = stop.clone();
    threads.start_with_stack("follow", STACK_BYTES, move || manager.run(&stop_))?;
    let (context, client) = (context.clone(), client.clone());
    let interval = config.logs.poll_interval;
    threads.start_with_stack("log-poll", STACK_BYTES, move || {
        poll(&context, &client, &rest, interval, &stop)
    })
}

struct Manager {
    context: Arc<Context>,
    free: usize,
    followed: HashMap<ContainerId, Arc<Watch>>,
    targets: Sender<(Target, Arc<Watch>)>,
    ends: Receiver<ContainerId>,
    overflow: Sender<Vec<Target>>,
}

impl Manager {
    fn run(mut self, stop: &Receiver<()>) {
        loop {
            threads::beat("follow", LIMIT);
            self.look();
            select! {
                recv(stop) -> _ => break,
                recv(self.ends) -> ended => match ended {
                    Ok(container) => self.ended(&container),
                    Err(_) => break,
                },
                default(LOOK) => {}
            }
        }
        self.followed.values().for_each(|watch| watch.end());
    }

    fn ended(&mut self, container: &ContainerId) {
        self.followed.remove(container);
        self.free += 1;
        while let Ok(container) = self.ends.try_recv() {
            self.followed.remove(&container);
            self.free += 1;
        }
    }

    fn look(&mut self) {
        let form = self.context.rules.plugin.logs;
        let running = match form {
            LogForm::Missing => Vec::new(),
            LogForm::Followed | LogForm::Whole => running(&self.context),
        };
        let alive: HashSet<&ContainerId> = running.iter().map(|target| &target.container).collect();
        for (container, watch) in &self.followed {
            match alive.contains(container) {
                true => watch.look_at_it(Instant::now()),
                false => watch.end(),
            }
        }
        let mut rest = Vec::new();
        for target in running {
            if self.followed.contains_key(&target.container) {
                continue;
            }
            // Where nothing is gained by following, no thread waits for each log.
            if self.free == 0 || form == LogForm::Whole {
                rest.push(target);
                continue;
            }
            let watch = Arc::new(Watch::new(self.context.config.logs.poll_interval));
            self.free -= 1;
            self.followed
                .insert(target.container.clone(), watch.clone());
            // The followers have ended; so will this thread.
            let _ = self.targets.send((target, watch));
        }
        if !rest.is_empty() {
            // Full: the last round is still being read.
            let _ = self.overflow.try_send(rest);
        }
    }
}

/// The containers that run over there and have a log here.
fn running(context: &Context) -> Vec<Target> {
    let mut targets = Vec::new();
    for pod in context.store.pods() {
        for entry in pod.containers.iter().filter(|entry| runs(entry)) {
            if context.logs.get(entry.id()).is_some() {
                let (sandbox, container) = (pod.sandbox.id.clone(), entry.id().clone());
                targets.push(Target { sandbox, container });
            }
        }
    }
    targets
}

fn runs(entry: &ContainerEntry) -> bool {
    entry.status.is_live() && entry.status.remote == Remote::Running
}

fn entry_of(pod: &Pod, container: &ContainerId) -> Option<ContainerEntry> {
    pod.container(container)
        .filter(|entry| runs(entry))
        .cloned()
}

/// Follows a log until its container has ended, or the follower is cut off.
fn follow(context: &Context, client: &Client, target: &Target, watch: &Watch, stop: &Receiver<()>) {
    let mut failures: u32 = 1;
    // Whether a stream is believed to show all in the end, because the whole log cannot be fetched.
    let mut is_patient = false;
    loop {
        let begun = Instant::now();
        let Some(pod) = context.store.pod(&target.sandbox) else {
            return;
        };
        let Some(entry) = entry_of(&pod, &target.container) else {
            return;
        };
        let _scope = Scope::of_container(&pod, &entry);
        let follow_it = || follow_once(context, client, &pod, &entry, watch, is_patient, stop);
        match traces::on_behalf(origin(&pod, &entry), follow_it) {
            Ok(Followed::InDoubt) => {
                let look = || look(context, client, &pod, &entry);
                is_patient = !traces::on_behalf(origin(&pod, &entry), look);
            }
            Ok(Followed::ToItsEnd) => is_patient = false,
            Err(error) => log::debug!(error; "its log broke off, and is followed again"),
        }
        failures = match begun.elapsed() > PAUSES.longest {
            true => 1,
            false => failures.saturating_add(1),
        };
        if watch.has_ended() {
            return;
        }
        select! {
            recv(stop) -> _ => return,
            default(PAUSES.pause(failures)) => {}
        }
    }
}

/// To which trace the reading of a container's log belongs, where traces are on.
fn origin(pod: &Pod, entry: &ContainerEntry) -> Option<Origin> {
    traces::is_on().then(|| Origin::of_container(pod, entry))
}

/// How far a log was followed.
enum Followed {
    /// The server has closed the stream.
    ToItsEnd,
    /// It shows another text than before: text may have been inserted, or the log has begun anew. A
    /// stream has no end that would tell.
    InDoubt,
}

/// What follows when the log's file does not take what came.
fn refused(context: &Context, entry: &ContainerEntry, error: Error) -> Result<Followed, String> {
    logs::count_resync(context, &error);
    match error {
        Error::Unrecognised => Ok(Followed::InDoubt),
        Error::BegunAnew => {
            logs::note_beginning(context, entry);
            Ok(Followed::ToItsEnd)
        }
        error => Err(chain(&error)),
    }
}

/// Fetches a log whole; false where that fails.
fn look(context: &Context, client: &Client, pod: &Pod, entry: &ContainerEntry) -> bool {
    let fetched = logs::fetch(context, client, pod, entry, false);
    if let Err(error) = &fetched {
        log::debug!(error; "cannot look at its whole log, and follows it");
    }
    fetched.is_ok()
}

fn follow_once(
    context: &Context,
    client: &Client,
    pod: &Pod,
    entry: &ContainerEntry,
    watch: &Watch,
    is_patient: bool,
    stop: &Receiver<()>,
) -> Result<Followed, String> {
    let Some(job) = pod.job_of(entry.id()) else {
        return Ok(Followed::ToItsEnd);
    };
    let Some(log) = context.logs.get(entry.id()) else {
        return Ok(Followed::ToItsEnd);
    };
    let Some(request) = job_request::log_request(pod, job, entry.id()) else {
        return Ok(Followed::ToItsEnd);
    };
    let mut fetch = log.begin().map_err(|error| chain(&error))?;
    let mut reader = context
        .call(|| client.follow(&request, &watch.begin(fetch.bytes())))
        .map_err(|error| chain(&error))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut written = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(|error| chain(&error))?;
        if count == 0 {
            return match fetch.finish(false) {
                Ok(_) => Ok(Followed::ToItsEnd),
                Err(error) => refused(context, entry, error),
            };
        }
        let progress = match fetch.push(&buffer[..count]) {
            Ok(progress) => progress,
            Err(error) => return refused(context, entry, error),
        };
        if progress.written > written {
            written = progress.written;
            watch.heard(Instant::now());
        }
        if progress.is_in_doubt && !is_patient {
            return Ok(Followed::InDoubt);
        }
        context.counters.add(Counter::LogBytes, count as u64);
        logs::keep_checkpoint(context, entry.id(), progress.checkpoint);
        if let Some(wait) = progress.wait {
            if !wait_for_room(&log, wait, watch, stop) {
                return Ok(Followed::ToItsEnd);
            }
        }
    }
}

/// Holds a stream whose log has come too fast, or whose file is full, until it may go on; false where it is
/// cut off before. Nobody else waits for this thread, and the plugin keeps what is not read.
fn wait_for_room(log: &Log, wait: Wait, watch: &Watch, stop: &Receiver<()>) -> bool {
    let begun = Instant::now();
    let whole = match wait {
        Wait::Rate(pause) => pause,
        Wait::Rotation => LOOK,
    };
    loop {
        let left = whole.saturating_sub(begun.elapsed());
        if left.is_zero() && !log.is_full() {
            return true;
        }
        let pause = if left.is_zero() { LOOK } else { left.min(LOOK) };
        select! {
            recv(stop) -> _ => return false,
            default(pause) => {}
        }
        if watch.has_ended() {
            return false;
        }
        // It is not the stream that is silent.
        watch.heard(Instant::now());
    }
}

/// Reads logs in turn, spread over the interval.
fn poll(
    context: &Context,
    client: &Client,
    rounds: &Receiver<Vec<Target>>,
    interval: Duration,
    stop: &Receiver<()>,
) {
    let timeout = context.config.logs.complete_timeout;
    let limit = interval.saturating_add(timeout).saturating_mul(3);
    loop {
        threads::idle();
        let round = select! {
            recv(stop) -> _ => return,
            recv(rounds) -> round => match round {
                Ok(round) => round,
                Err(_) => return,
            },
        };
        let step = interval / u32::try_from(round.len()).unwrap_or(u32::MAX).max(1);
        for target in round {
            threads::beat("log-poll", limit);
            if let Some(pod) = context.store.pod(&target.sandbox) {
                if let Some(entry) = entry_of(&pod, &target.container) {
                    let _scope = Scope::of_container(&pod, &entry);
                    let fetch = || logs::fetch(context, client, &pod, &entry, false);
                    if let Err(error) = traces::on_behalf(origin(&pod, &entry), fetch) {
                        log::debug!(error; "cannot read its log, and tries again");
                    }
                }
            }
            select! {
                recv(stop) -> _ => return,
                default(step) => {}
            }
        }
    }
}
