//! The work towards interLink: a bounded set of threads that carry out what pods are owed.
//!
//! | thread | way in | ends when |
//! |---|---|---|
//! | `dispatch` | names of pods that changed | told to stop; what is undone is on disk |
//! | `interlink-N` | duties from `dispatch` | `dispatch` has ended |
//! | `poll` | a nudge when a job was submitted | told to stop |
//! | `stops` | deadlines of stops, from `dispatch` | told to stop; the deadlines are on disk |
//! | `announce` | names of pods that changed | told to stop; only with an API server |
//! | `node` | a nudge when the plugin reports other resources | told to stop; only where `[node]` says something |
//! | `follow`, `log-poll` | running containers | told to stop; positions are on disk |
//! | `follow-N` | one container whose log is followed | the container has ended, or told to stop |
//!
//! Nothing here is ever waited for by an answer to the kubelet.

mod announce;
mod api_objects;
mod api_pod;
mod audit_line;
mod cancel;
mod changes;
mod cluster_report;
mod context;
mod current_rules;
mod dispatcher;
mod expected;
mod follow;
mod job_members;
mod job_request;
mod limits;
mod logs;
mod node;
mod nudge;
mod origin;
mod poll;
mod priority;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod question;
mod recovery;
mod reports;
mod stops;
mod submit;
mod unproven_exit;
mod waiting;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, unbounded, Receiver, Sender};

pub use self::context::Context;
use self::{
    changes::Hold,
    dispatcher::{Channels, Done},
    priority::Task,
};
use crate::{
    config::Config,
    daemon_log::{self, Scope},
    interlink::Client,
    model::SandboxId,
    plan::owed::{self, Duty},
    threads::{self, Threads},
    traces,
};

/// Changed pods that may wait for `announce`.
const ANNOUNCEMENTS: usize = 4096;

/// The threads of this room.
pub struct Workers {
    threads: Arc<Threads>,
    context: Arc<Context>,
    client: Option<Arc<Client>>,
}

impl Workers {
    /// Starts the threads. Without a client (no interLink configured) there is no poller, nobody reads logs, and
    /// duties that call interLink wait.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(
        context: Arc<Context>,
        client: Option<Arc<Client>>,
        config: &Config,
        woken: Receiver<SandboxId>,
    ) -> io::Result<Self> {
        let workers = Self {
            threads: Arc::default(),
            context,
            client: client.clone(),
        };
        let stopped = workers.threads.stopped();
        let listener = workers.spawn_announce(&stopped)?;
        workers.spawn_node(&stopped)?;
        workers.spawn_dispatcher(client.clone(), config, woken, listener, &stopped)?;
        if let Some(client) = client {
            workers.spawn_poll(client.clone(), config, &stopped)?;
            follow::start(&workers.threads, &workers.context, &client, config)?;
        }
        Ok(workers)
    }

    fn spawn_dispatcher(
        &self,
        client: Option<Arc<Client>>,
        config: &Config,
        woken: Receiver<SandboxId>,
        listener: Option<Sender<SandboxId>>,
        stopped: &Receiver<()>,
    ) -> io::Result<()> {
        let threads = config.interlink.workers.max(1);
        let metrics = self.context.counters.metrics.pool("interlink", threads);
        let (tasks, work) = priority::queues(threads);
        let (finished, done) = unbounded();
        let deadlines = self.spawn_stops(stopped)?;
        let channels = Channels {
            woken,
            tasks,
            done,
            listener,
            deadlines,
            stop: stopped.clone(),
            metrics: metrics.clone(),
            next: match client {
                Some(_) => owed::next,
                None => owed::next_without_interlink,
            },
        };
        let context = self.context.clone();
        self.threads.start("dispatch", move || {
            context.recover();
            context.recognise_by_records();
            context.store.wake_all();
            dispatcher::dispatch(&context.store, &context.rules, &channels);
        })?;
        let limit = longest_duty(config);
        for (number, work) in work.into_iter().enumerate() {
            let (context, client) = (self.context.clone(), client.clone());
            let metrics = metrics.clone();
            let finished: Sender<Done> = finished.clone();
            self.threads
                .start(&format!("interlink-{number}"), move || {
                    while let Some(task) = work.next() {
                        if context.is_stopping() {
                            break;
                        }
                        let _busy = metrics.begun(task.since.elapsed());
                        let about = about(&context, &task);
                        let hold = threads::working_on(about, || {
                            threads::beat("interlink", limit);
                            let origin = origin::of(&context, &task.sandbox, &task.duty);
                            let work = || carry_out(&context, client.as_deref(), &task).span();
                            traces::on_behalf(origin, work)
                        });
                        threads::idle();
                        // The dispatcher has ended; so will this loop.
                        let _ = finished.send(Done {
                            sandbox: task.sandbox,
                            hold,
                        });
                    }
                })?;
        }
        Ok(())
    }

    fn spawn_stops(&self, stopped: &Receiver<()>) -> io::Result<Sender<stops::Told>> {
        // One for each change that was committed to disk, and its reader calls nobody.
        let (deadlines, told) = unbounded();
        let (context, stopped) = (self.context.clone(), stopped.clone());
        self.threads
            .start("stops", move || stops::run(&context, &told, &stopped))?;
        Ok(deadlines)
    }

    fn spawn_announce(&self, stopped: &Receiver<()>) -> io::Result<Option<Sender<SandboxId>>> {
        let Some(api) = self.context.api.clone() else {
            return Ok(None);
        };
        let (listener, changed) = bounded(ANNOUNCEMENTS);
        let (context, stopped) = (self.context.clone(), stopped.clone());
        self.threads.start("announce", move || {
            announce::run(&context, &api, &changed, &stopped);
        })?;
        Ok(Some(listener))
    }

    fn spawn_node(&self, stopped: &Receiver<()>) -> io::Result<()> {
        let Some(api) = self.context.api.clone() else {
            return Ok(());
        };
        if !self.context.config.node.is_kept() {
            return Ok(());
        }
        let (context, stopped) = (self.context.clone(), stopped.clone());
        self.threads
            .start("node", move || node::run(&context, &api, &stopped))
    }

    fn spawn_poll(
        &self,
        client: Arc<Client>,
        config: &Config,
        stopped: &Receiver<()>,
    ) -> io::Result<()> {
        let (context, config, stopped) = (self.context.clone(), config.clone(), stopped.clone());
        let nudged = context.nudged();
        self.threads.start("poll", move || {
            poll::run(&context, &client, &config, &nudged, &stopped)
        })
    }

    /// Opens the audit file again with its next line.
    pub fn reopen_audit(&self) {
        self.context.audit.reopen();
    }

    /// Stops the threads: none takes up anything new, and calls under way are cut off, which the
    /// records on disk are prepared for. Returns the names of those that were late.
    pub fn stop(&self, deadline: Instant) -> Vec<String> {
        self.context.begin_stop();
        self.threads.begin_stop();
        if let Some(client) = &self.client {
            client.shut_down();
        }
        self.threads.stop(deadline)
    }
}

/// How long a worker may take for one duty, before it counts as hung: three times the longest of the calls
/// that one consists of.
fn longest_duty(config: &Config) -> Duration {
    let interlink = &config.interlink;
    let call = interlink.create_timeout.max(interlink.request_timeout);
    call.max(config.logs.complete_timeout)
        .saturating_add(interlink.connect_timeout)
        .saturating_mul(3)
}

/// What a worker has in hand, for a line in the log: the pod, where it is still there, and the duty.
fn about(context: &Context, task: &Task) -> String {
    let pod = context.store.pod(&task.sandbox);
    let name = pod.map(|pod| pod.full_name() + " ").unwrap_or_default();
    let (id, duty) = (&task.sandbox, task.duty.name());
    format!("pod {name}(pod sandbox {id}): {duty}")
}

fn carry_out(context: &Context, client: Option<&Client>, task: &Task) -> Hold {
    let id = &task.sandbox;
    let _scope = scope(context, task);
    match (&task.duty, client) {
        (Duty::ReadApiPod(number), _) => job_members::read_api_pod(context, id, *number),
        (Duty::CloseJob(number), _) => submit::close(context, id, *number),
        (Duty::AbandonLog(container), _) => logs::abandon(context, id, container),
        // `dispatch` hands out the others only where there is one.
        (_, None) => Hold::No,
        (Duty::Submit(number), Some(client)) => submit::submit(context, client, id, *number),
        (Duty::ProveExit(number), Some(client)) => {
            unproven_exit::look(context, client, id, *number)
        }
        (Duty::AskForJob(number), Some(client)) => submit::ask(context, client, id, *number),
        (Duty::CompleteLog(container), Some(client)) => {
            logs::complete(context, client, id, container)
        }
        (Duty::Cancel(number), Some(client)) => cancel::cancel(context, client, id, *number),
    }
}

/// What the lines of the log are about that a duty brings about.
fn scope(context: &Context, task: &Task) -> Scope {
    let scope = Scope::open();
    let Some(pod) = context.store.pod(&task.sandbox) else {
        return scope;
    };
    daemon_log::note_pod(&pod);
    let job = match &task.duty {
        Duty::CompleteLog(container) | Duty::AbandonLog(container) => {
            let entry = pod.container(container);
            entry.into_iter().for_each(daemon_log::note_container);
            pod.job_of(container)
        }
        Duty::ReadApiPod(number)
        | Duty::CloseJob(number)
        | Duty::Submit(number)
        | Duty::ProveExit(number)
        | Duty::AskForJob(number)
        | Duty::Cancel(number) => pod.job(*number),
    };
    job.into_iter().for_each(daemon_log::note_job);
    scope
}
