//! Reading the logs of running containers.
//!
//! A thread each follows a log as it grows, and ends with its container; there are at most `logs.followers` of
//! them. The logs of containers beyond that number, and all where a plugin does not follow, are read in turn
//! by one more thread, `log-poll`. The `follow` thread looks every now and then which containers run, starts
//! followers, and cuts off those whose container has ended; the end of such a log is fetched by a worker, as a duty
//! to its pod. A stream on which nothing comes is begun anew now and then: see `watch`.

mod running;
mod stream;
mod turns;
mod watch;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, select, unbounded, Receiver, Sender};

use self::{
    running::{running, Target},
    watch::Watch,
};
use super::Context;
use crate::{
    config::Config,
    interlink::Client,
    model::ContainerId,
    plan::LogForm,
    threads::{self, Threads},
};

/// How often it is looked which containers run.
const LOOK: Duration = Duration::from_millis(300);
/// Looking is done in memory, and takes no time.
const LIMIT: Duration = Duration::from_secs(60);
/// A follower needs little stack: two buffers of 8 KiB, and what makes a connection.
const STACK_BYTES: usize = 256 << 10;

/// Starts the threads that are always there; they end when they are told to stop.
///
/// # Errors
/// A thread that cannot be started.
pub fn start(
    threads: &Arc<Threads>,
    context: &Arc<Context>,
    client: &Arc<Client>,
    config: &Config,
) -> io::Result<()> {
    let stop = threads.stopped();
    let (finished, ends) = unbounded();
    // Room for one round: the next one names everybody again.
    let (overflow, rest) = bounded(1);
    let manager = Manager {
        context: context.clone(),
        client: client.clone(),
        threads: Arc::downgrade(threads),
        free: (0..config.logs.followers).collect(),
        followed: HashMap::new(),
        finished,
        ends,
        overflow,
        told: Vec::new(),
        running: Vec::new(),
        seen: None,
        is_settled: true,
        stop: stop.clone(),
    };
    threads.start_with_stack("follow", STACK_BYTES, move || manager.run())?;
    let (context, client) = (context.clone(), client.clone());
    let interval = config.logs.poll_interval;
    threads.start_with_stack("log-poll", STACK_BYTES, move || {
        turns::run(&context, &client, &rest, interval, &stop)
    })
}

/// A container whose log a thread follows.
struct Followed {
    /// The number in the thread's name.
    number: usize,
    watch: Arc<Watch>,
}

/// What decides who reads which log.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Of the state.
    revision: u64,
    /// How many are open.
    logs: usize,
    form: LogForm,
    /// How many the plugin lets be followed.
    most: Option<usize>,
}

struct Manager {
    context: Arc<Context>,
    client: Arc<Client>,
    /// Their owner waits for this thread too.
    threads: Weak<Threads>,
    /// Numbers that no follower has.
    free: BTreeSet<usize>,
    followed: HashMap<ContainerId, Followed>,
    finished: Sender<ContainerId>,
    ends: Receiver<ContainerId>,
    overflow: Sender<Vec<Target>>,
    /// What `log-poll` was told last.
    told: Vec<Target>,
    /// The containers that ran when they were looked at last.
    running: Vec<Target>,
    /// What else there was then.
    seen: Option<Seen>,
    /// Each of them has a reader.
    is_settled: bool,
    stop: Receiver<()>,
}

impl Manager {
    fn run(mut self) {
        loop {
            threads::beat("follow", LIMIT);
            self.look();
            select! {
                recv(self.stop) -> _ => break,
                recv(self.ends) -> ended => match ended {
                    Ok(container) => self.ended(&container),
                    Err(_) => break,
                },
                default(LOOK) => {}
            }
        }
        self.followed
            .values()
            .for_each(|followed| followed.watch.end());
    }

    fn ended(&mut self, container: &ContainerId) {
        let ended = [container.clone()].into_iter().chain(self.ends.try_iter());
        for container in ended.collect::<Vec<_>>() {
            if let Some(followed) = self.followed.remove(&container) {
                self.free.insert(followed.number);
                self.is_settled = false;
            }
        }
    }

    /// Looks which containers run, where anything has changed since the last time.
    fn look(&mut self) {
        let plugin = &self.context.rules.plugin;
        let seen = Seen {
            revision: self.context.store.revision(),
            logs: self.context.logs.count(),
            form: plugin.logs,
            most: plugin.max_followed,
        };
        if self.seen.replace(seen) != Some(seen) {
            self.running = match seen.form {
                LogForm::Missing => Vec::new(),
                LogForm::Followed | LogForm::Whole => running(&self.context),
            };
            self.is_settled = false;
        }
        if !self.is_settled {
            self.settle(&seen);
        }
        for followed in self.followed.values() {
            followed.watch.look_at_it(Instant::now());
        }
    }

    /// Gives each log a reader, and cuts off the readers of those that have ended.
    fn settle(&mut self, seen: &Seen) {
        let running = std::mem::take(&mut self.running);
        let alive: HashSet<&ContainerId> = running.iter().map(|target| &target.container).collect();
        for (container, followed) in &self.followed {
            if !alive.contains(container) {
                followed.watch.end();
            }
        }
        let mut rest = Vec::new();
        for target in &running {
            if self.followed.contains_key(&target.container) {
                continue;
            }
            // Where nothing is gained by following, no thread waits for each log.
            let may_be = seen.form == LogForm::Followed
                && seen.most.is_none_or(|most| self.followed.len() < most);
            if !(may_be && self.follow(target)) {
                rest.push(target.clone());
            }
        }
        self.running = running;
        // Where the last list has not been taken yet, the next look says it again.
        self.is_settled = rest == self.told || self.overflow.try_send(rest.clone()).is_ok();
        if self.is_settled {
            self.told = rest;
        }
    }

    /// Starts a follower, where there may be one more.
    fn follow(&mut self, target: &Target) -> bool {
        let (Some(threads), Some(number)) = (self.threads.upgrade(), self.free.pop_first()) else {
            return false;
        };
        let watch = Arc::new(Watch::new(self.context.config.logs.poll_interval));
        let followed = Followed {
            number,
            watch: watch.clone(),
        };
        let (context, client) = (self.context.clone(), self.client.clone());
        let (finished, stop) = (self.finished.clone(), self.stop.clone());
        let of_thread = target.clone();
        let started = threads.run_with_stack(&format!("follow-{number}"), STACK_BYTES, move || {
            // Not a beat: a followed log may be silent for days, and the `Watch` ends those that hang.
            threads::point("follower");
            stream::follow(&context, &client, &of_thread, &watch, &stop);
            // The manager has ended; so does this thread.
            let _ = finished.send(of_thread.container);
        });
        match started {
            Ok(()) => {
                self.followed.insert(target.container.clone(), followed);
                true
            }
            Err(error) => {
                log::debug!(error:%; "cannot start a thread for a log, so it is read in turn with others");
                self.free.insert(number);
                false
            }
        }
    }
}
