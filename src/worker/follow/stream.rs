//! One followed log: a stream that is begun again when it breaks off.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use crossbeam_channel::{select, Receiver};

use super::{
    super::{job_request, logs, Context},
    running::{entry_of, origin, Target},
    watch::Watch,
};
use crate::{
    backoff::Backoff,
    daemon_log::Scope,
    interlink::Client,
    logs::{Error, Log},
    model::{ContainerEntry, Pod},
    plan::log_pace::Wait,
    telemetry::{chain, Counter},
    traces,
};

/// Pauses before a log that broke off is followed again.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(200), Duration::from_secs(15));
/// Read at once; on the stack.
const BUFFER_BYTES: usize = 8 << 10;
/// How often it is looked whether a log that waits may go on, or is cut off.
const LOOK: Duration = Duration::from_millis(300);

/// Follows a log until its container has ended, or the follower is cut off.
pub fn follow(
    context: &Context,
    client: &Client,
    target: &Target,
    watch: &Watch,
    stop: &Receiver<()>,
) {
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
    let mut buffer = [0; BUFFER_BYTES];
    let mut written = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(|error| chain(&error))?;
        if count == 0 {
            return match fetch.finish(false) {
                Ok(_) => Ok(Followed::ToItsEnd),
                Err(error) => refused(context, entry, error),
            };
        }
        watch.came(Instant::now());
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
