//! The rest of a container's log, when the container has ended.

use std::{ops::ControlFlow, time::Duration};

use super::{changes::Hold, job_request, Context};
use crate::{
    convert,
    interlink::{Client, LogEnd, LogLimits},
    kubelet::termination_log,
    logs,
    model::{ContainerEntry, ContainerId, Pod, SandboxId},
    plan::{log_pace::Wait, observe, JobLog, LogForm},
    profile,
    telemetry::{chain, Counter},
};

/// Pause before another attempt to fetch the rest of a log.
const RETRY: Duration = Duration::from_secs(1);

/// Fetches the rest of a log, and then shows how the container ended.
pub fn complete(
    context: &Context,
    client: &Client,
    id: &SandboxId,
    container: &ContainerId,
) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(entry) = pod.container(container) else {
        return Hold::No;
    };
    if context.rules.plugin.logs == LogForm::Missing {
        end_log(context, entry);
        return show_end(context, &pod, entry, None);
    }
    match fetch(context, client, &pod, entry, true) {
        Ok(Fetched::Read(beginning)) => {
            let by_site = ended_by_site(&pod, entry, &beginning);
            return show_end(context, &pod, entry, by_site);
        }
        Ok(Fetched::Unsure) => {}
        Err(error) => {
            let level = context.level_of_failure();
            log::log!(level, error; "cannot fetch the rest of its log, and tries again");
        }
    }
    context.change(id, |pod, now| {
        if let Some(status) = pod.status_mut(container) {
            status.log_not_before = now.plus(RETRY);
        }
    })
}

/// Gives up on the rest of a log, and shows how the container ended.
pub fn abandon(context: &Context, id: &SandboxId, container: &ContainerId) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(entry) = pod.container(container) else {
        return Hold::No;
    };
    if pod
        .job_of(container)
        .is_some_and(|job| job.remote_id.is_some() && !job.is_settled())
    {
        log::warn!("could not fetch the rest of its log in time, and shows its end without it");
    }
    end_log(context, entry);
    show_end(context, &pod, entry, None)
}

/// Ends a log with what there is of it.
fn end_log(context: &Context, entry: &ContainerEntry) {
    if let Some(log) = context.logs.get(entry.id()) {
        if let Err(error) = log.begin().and_then(|fetch| fetch.finish(true)) {
            log::warn!(
                error = chain(&error);
                "cannot write the last line of its log, and shows its end"
            );
        }
    }
}

/// The word for what the site has done to a job that has not ended by itself, if its log has one.
fn ended_by_site(pod: &Pod, entry: &ContainerEntry, beginning: &[u8]) -> Option<&'static str> {
    let job = pod.job_of(entry.id())?;
    let remote_id = job
        .remote_id
        .as_deref()
        .filter(|id| profile::has_job_log(id))?;
    let request = job_request::log_request(pod, job, entry.id())?;
    match profile::job_log(beginning, remote_id, &[&request.container_name]) {
        JobLog::EndedBySite(word) if !job.is_init(&entry.container.name) => Some(word),
        _ => None,
    }
}

fn show_end(
    context: &Context,
    pod: &Pod,
    entry: &ContainerEntry,
    by_site: Option<&'static str>,
) -> Hold {
    write_termination_message(context, pod, entry);
    let (id, container) = (&pod.sandbox.id, entry.id());
    let hold = context.change(id, |pod, _| {
        observe::complete_log(pod, container, by_site, &context.rules);
    });
    if hold == Hold::No {
        // The checkpoint is of no more use: the log is complete.
        context.logs.remove(container);
    }
    hold
}

/// What the job said at its end goes into the file from which the kubelet reads it; the file is
/// complete before EXITED shows.
fn write_termination_message(context: &Context, pod: &Pod, entry: &ContainerEntry) {
    let Some(text) = entry
        .status
        .reported
        .as_ref()
        .and_then(|e| e.termination_message.as_ref())
    else {
        return;
    };
    let config = convert::shown_of_container(&entry.container);
    let Some(path) = termination_log(&config.mounts, &entry.container.annotations) else {
        return;
    };
    let root = &context.config.pods.kubelet_root;
    let written = context
        .logs
        .write_termination(&pod.sandbox, root, &path, text);
    if let Err(error) = written {
        log::warn!(
            error = chain(&error);
            "cannot write its termination message, and goes on without it"
        );
    }
}

/// What a fetch of a log has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// What there is has been read. With its beginning, for a fetch at the log's end.
    Read(Vec<u8>),
    /// It is another text than before, and one look more is to tell whether it has begun anew.
    Unsure,
}

/// Fetches a log from its beginning and writes what is new; of one that has begun anew, all.
pub fn fetch(
    context: &Context,
    client: &Client,
    pod: &Pod,
    entry: &ContainerEntry,
    is_end: bool,
) -> Result<Fetched, String> {
    let time = context.config.interlink.request_timeout;
    fetch_within(context, client, pod, entry, is_end, time)
}

/// The same, with a time for it.
pub fn fetch_within(
    context: &Context,
    client: &Client,
    pod: &Pod,
    entry: &ContainerEntry,
    is_end: bool,
    time: Duration,
) -> Result<Fetched, String> {
    let once = || fetch_once(context, client, pod, entry, is_end, time);
    let fetched = match once() {
        Ok(beginning) => return Ok(Fetched::Read(beginning)),
        Err(Trouble::Log(logs::Error::BegunAnew)) => {
            note_beginning(context, entry);
            once()
        }
        Err(other) => Err(other),
    };
    match fetched {
        Ok(beginning) => Ok(Fetched::Read(beginning)),
        Err(Trouble::Log(logs::Error::Unrecognised | logs::Error::BegunAnew)) => {
            Ok(Fetched::Unsure)
        }
        Err(Trouble::Log(error)) => Err(chain(&error)),
        Err(Trouble::Call(reason)) => Err(reason),
    }
}

/// Notes that a log has begun anew.
pub fn note_beginning(context: &Context, entry: &ContainerEntry) {
    log::warn!(
        "its remote log has begun anew, as that of a job does that is queued again; its new lines follow \
         those of before"
    );
    // Else a crash would make the new lines part of the old log.
    if let Some(log) = context.logs.get(entry.id()) {
        // Without an answer the next fetch gives one.
        keep_checkpoint(
            context,
            entry.id(),
            log.take_checkpoint().unwrap_or_default(),
        );
    }
}

/// Why a fetch has not read all there is.
enum Trouble {
    Log(logs::Error),
    Call(String),
}

impl From<logs::Error> for Trouble {
    fn from(error: logs::Error) -> Self {
        Self::Log(error)
    }
}

fn fetch_once(
    context: &Context,
    client: &Client,
    pod: &Pod,
    entry: &ContainerEntry,
    is_end: bool,
    time: Duration,
) -> Result<Vec<u8>, Trouble> {
    let mut beginning = Vec::new();
    let Some(job) = pod.job_of(entry.id()) else {
        return Ok(beginning);
    };
    let Some(log) = context.logs.get(entry.id()) else {
        return Ok(beginning);
    };
    let Some(request) = job_request::log_request(pod, job, entry.id()) else {
        return Ok(beginning);
    };
    if log.is_full() {
        return held(is_end).map(|()| beginning);
    }
    let has_job_log = job.remote_id.as_deref().is_some_and(profile::has_job_log);
    let kept = match is_end && has_job_log {
        true => profile::LOOKED_THROUGH,
        false => 0,
    };
    let mut fetch = log.begin()?;
    let limits = LogLimits {
        bytes: u64::MAX,
        time,
    };
    let (mut refused, mut wait) = (None, None);
    let fetched = context.call(|| {
        client.logs(&request, limits, &mut |bytes| {
            let room = kept.saturating_sub(beginning.len()).min(bytes.len());
            beginning.extend_from_slice(&bytes[..room]);
            match fetch.push(bytes) {
                Ok(progress) => {
                    keep_checkpoint(context, entry.id(), progress.checkpoint);
                    // The end of a log comes as fast as it can: its container waits for it.
                    wait = progress
                        .wait
                        .filter(|wait| !is_end || *wait == Wait::Rotation);
                    match wait {
                        None => ControlFlow::Continue(()),
                        // No thread that others share waits here: the next look goes on.
                        Some(_) => ControlFlow::Break(()),
                    }
                }
                Err(error) => {
                    refused = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
    });
    if let Some(error) = refused {
        return Err(error.into());
    }
    if wait.is_some() {
        return held(is_end).map(|()| beginning);
    }
    if fetched.map_err(|error| Trouble::Call(chain(&error)))? != LogEnd::Complete {
        return Err(Trouble::Call("it was not read to its end".to_owned()));
    }
    let finished = fetch.finish(is_end);
    if let Err(error) = &finished {
        count_resync(context, error);
    }
    let (written, checkpoint) = finished?;
    context.counters.add(Counter::LogBytes, written);
    keep_checkpoint(context, entry.id(), checkpoint);
    Ok(beginning)
}

/// What comes of a fetch whose log may take no more for now: the next look at a running container's goes on;
/// the end of a log has not been read.
fn held(is_end: bool) -> Result<(), Trouble> {
    match is_end {
        false => Ok(()),
        true => Err(Trouble::Call(
            "its file has reached logs.max_file_bytes, and waits for the kubelet to rotate it"
                .to_owned(),
        )),
    }
}

/// Keeps a checkpoint of a log, when there is one. Without it a restart has more to work
/// out, and no more than that.
pub fn keep_checkpoint(context: &Context, container: &ContainerId, checkpoint: Option<Vec<u8>>) {
    if let Some(position) = checkpoint {
        if let Err(error) = context.store.put_log_position(container, position) {
            log::debug!(error = chain(&error); "cannot keep its log position, and keeps the next one");
        }
    }
}

/// Counts a fetch that did not continue what was read before.
pub fn count_resync(context: &Context, error: &logs::Error) {
    let reason = match error {
        logs::Error::Unrecognised => "unrecognised",
        logs::Error::BegunAnew => "begun_anew",
        _ => return,
    };
    context.counters.metrics.log_resync(reason);
}
