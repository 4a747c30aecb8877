//! Following the logs of running containers.
//!
//! A fixed number of threads each follow one log as it grows. Containers beyond that number share
//! one more thread, which reads their logs in turn. The `follow` thread looks every now and then
//! which containers run, gives out free followers, and cuts off those whose container has ended;
//! the end of such a log is fetched by the lane of its pod.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read as _},
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, select, unbounded, Receiver, Sender};

use super::{job_request, logs, Context};
use crate::{
    backoff::Backoff,
    config::Config,
    interlink::{CancelToken, Client},
    model::{ContainerEntry, ContainerId, Pod, Remote, SandboxId},
    telemetry::{chain, Counter},
    threads::{self, Threads},
};

/// How often it is looked which containers run.
const LOOK: Duration = Duration::from_millis(300);
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
    let (targets, work) = unbounded::<(Target, CancelToken)>();
    let (finished, ends) = unbounded();
    for number in 0..count {
        let (context, client) = (context.clone(), client.clone());
        let (work, finished, stop) = (work.clone(), finished.clone(), stop.clone());
        let name = format!("follow-{number}");
        threads.start_with_stack(&name, STACK_BYTES, move || {
            for (target, cancel) in work {
                threads::point("follower");
                follow(&context, &client, &target, &cancel, &stop);
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
    followed: HashMap<ContainerId, CancelToken>,
    targets: Sender<(Target, CancelToken)>,
    ends: Receiver<ContainerId>,
    overflow: Sender<Vec<Target>>,
}

impl Manager {
    fn run(mut self, stop: &Receiver<()>) {
        loop {
            threads::point("follow");
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
        self.followed.values().for_each(CancelToken::cancel);
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
        let running = running(&self.context);
        let alive: HashSet<&ContainerId> = running.iter().map(|target| &target.container).collect();
        for (container, cancel) in &self.followed {
            if !alive.contains(container) {
                cancel.cancel();
            }
        }
        let mut rest = Vec::new();
        for target in running {
            if self.followed.contains_key(&target.container) {
                continue;
            }
            if self.free == 0 {
                rest.push(target);
                continue;
            }
            let cancel = CancelToken::new();
            self.free -= 1;
            self.followed
                .insert(target.container.clone(), cancel.clone());
            // The followers have ended; so will this thread.
            let _ = self.targets.send((target, cancel));
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
fn follow(
    context: &Context,
    client: &Client,
    target: &Target,
    cancel: &CancelToken,
    stop: &Receiver<()>,
) {
    let mut failures: u32 = 1;
    loop {
        let begun = Instant::now();
        let Some(pod) = context.store.pod(&target.sandbox) else {
            return;
        };
        let Some(entry) = entry_of(&pod, &target.container) else {
            return;
        };
        if let Err(reason) = follow_once(context, client, &pod, &entry, cancel) {
            log::debug!(
                "{}: its log broke off, and is followed again: {reason}",
                logs::about(&pod, &entry)
            );
        }
        failures = match begun.elapsed() > PAUSES.longest {
            true => 1,
            false => failures.saturating_add(1),
        };
        if cancel.is_cancelled() {
            return;
        }
        select! {
            recv(stop) -> _ => return,
            default(PAUSES.pause(failures)) => {}
        }
    }
}

fn follow_once(
    context: &Context,
    client: &Client,
    pod: &Pod,
    entry: &ContainerEntry,
    cancel: &CancelToken,
) -> Result<(), String> {
    let Some(job) = pod.job_of(entry.id()) else {
        return Ok(());
    };
    let Some(sink) = context.logs.get(entry.id()) else {
        return Ok(());
    };
    let Some(request) = job_request::log_request(pod, job, entry.id()) else {
        return Ok(());
    };
    let mut reader = context
        .call(|| client.follow(&request, cancel))
        .map_err(|error| chain(&error))?;
    let stream = sink.begin();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer).map_err(|error| chain(&error))?;
        if count == 0 {
            return stream
                .finish(false)
                .map(drop)
                .map_err(|error| chain(&error));
        }
        stream
            .push(&buffer[..count])
            .map_err(|error| chain(&error))?;
        context.counters.add(Counter::LogBytes, count as u64);
        logs::keep_checkpoint(context, entry.id(), &sink);
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
    loop {
        let round = select! {
            recv(stop) -> _ => return,
            recv(rounds) -> round => match round {
                Ok(round) => round,
                Err(_) => return,
            },
        };
        threads::point("log-poll");
        let step = interval / u32::try_from(round.len()).unwrap_or(u32::MAX).max(1);
        for target in round {
            if let Some(pod) = context.store.pod(&target.sandbox) {
                if let Some(entry) = entry_of(&pod, &target.container) {
                    if let Err(reason) = logs::fetch(context, client, &pod, &entry, false) {
                        log::debug!(
                            "{}: cannot read its log, and tries again: {reason}",
                            logs::about(&pod, &entry)
                        );
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
