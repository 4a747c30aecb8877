//! What holds of every pod, and of every change to one; and what the recognition of logs promises.

use std::collections::HashSet;

use super::{
    log_position::Position,
    log_resync::{End, Piece, Resync},
};
use crate::model::{
    Cancellation, ContainerPhase, ContainerStatus, Job, Nanos, Pod, SandboxPhase, Submission,
};

/// What holds of every pod at any time. No time in it lies behind `latest`.
pub fn holds(pod: &Pod, latest: Nanos) {
    containers_hold(pod, latest);
    jobs_hold(pod);
    if pod.phase() != SandboxPhase::Ready {
        let mut statuses = pod.containers.iter().map(|entry| &entry.status);
        assert!(statuses.all(|status| match status.phase() {
            ContainerPhase::Created => false,
            ContainerPhase::Running => status.stopping.is_some(),
            ContainerPhase::Exited => true,
        }));
        let mut cancels = pod.jobs.iter().map(|job| &job.cancel);
        assert!(cancels.all(Option::is_some), "a job outlives its pod");
    }
}

fn containers_hold(pod: &Pod, latest: Nanos) {
    let mut last = pod.sandbox.created_at;
    for entry in &pod.containers {
        let (container, status) = (&entry.container, &entry.status);
        assert!(container.created_at > last, "creation times rise");
        last = container.created_at;
        let started = status.started_at.unwrap_or(container.created_at);
        assert!(container.created_at <= started && started <= latest);
        for exit in status.exit.iter().chain(&status.reported) {
            assert!(started <= exit.finished_at && exit.finished_at <= latest);
            assert!(!exit.reason.is_empty());
        }
        assert!(status.reported.is_none() || status.started_at.is_some());
        let carriers = pod.jobs.iter().filter(|job| carries(job, entry.id()));
        let expected = usize::from(status.started_at.is_some());
        assert_eq!(carriers.count(), expected, "one start is one job");
    }
}

fn carries(job: &Job, id: &crate::model::ContainerId) -> bool {
    job.containers.contains(id)
}

fn jobs_hold(pod: &Pod) {
    let mut numbers = pod.jobs.iter().map(|job| job.number);
    assert!(numbers.clone().is_sorted_by(|a, b| a < b));
    assert!(numbers.all(|number| number < pod.next_job));
    let uids: HashSet<_> = pod.jobs.iter().map(|job| job.uid).collect();
    assert_eq!(uids.len(), pod.jobs.len(), "no two jobs have one UID");
    for job in &pod.jobs {
        assert_eq!(job.containers.len(), job.names.len());
        let names: HashSet<_> = job.names.iter().collect();
        assert_eq!(names.len(), job.names.len(), "names differ within a job");
        let may_leave = matches!(
            job.submission,
            Submission::Gathering { .. } | Submission::Pending { .. }
        );
        assert!(!may_leave || job.cancel.is_none(), "cancelled, but to go");
        let is_over = matches!(job.submission, Submission::Dropped | Submission::Lost);
        let mut carried = job.containers.iter().filter_map(|id| pod.container(id));
        // A job that may have left all the same is waited for until its deletion is settled.
        let awaits =
            |status: &ContainerStatus| job.is_owed_a_cancellation() && status.awaits_stop();
        let all_ended = carried.all(|entry| entry.status.exit.is_some() || awaits(&entry.status));
        assert!(!is_over || all_ended, "what runs nowhere has ended");
        let wanted = job.containers.iter().any(|id| pod.container(id).is_some());
        assert!(wanted || job.cancel.is_some(), "a job outlives its pod");
    }
}

/// What holds between two states of one pod: what is final stays, and nothing goes back.
pub fn follows(before: &Pod, after: &Pod) {
    let stays = |before: Option<Nanos>, after: Option<Nanos>| before.is_none() || before == after;
    assert!(stays(before.status.stopped_at, after.status.stopped_at));
    assert!(stays(before.status.removed_at, after.status.removed_at));
    assert!(before.next_job <= after.next_job);
    for old in &before.containers {
        let Some(new) = after.container(old.id()) else {
            continue;
        };
        let (old, new) = (&old.status, &new.status);
        assert!(old.exit.is_none() || old.exit == new.exit, "an end changed");
        assert!(old.reported.is_none() || old.reported == new.reported);
        assert!(old.started_at <= new.started_at, "a start went back");
        assert!(!old.log_complete || new.log_complete);
    }
    for old in &before.jobs {
        let Some(new) = after.job(old.number) else {
            continue;
        };
        assert_eq!(old.uid, new.uid);
        let is_final = matches!(
            old.submission,
            Submission::Finished | Submission::Lost | Submission::Dropped
        );
        assert!(!is_final || old.submission == new.submission);
        assert!(old.cancel.is_none() || new.cancel.is_some());
        assert!(old.cancel != Some(Cancellation::Done) || new.cancel == old.cancel);
    }
}

/// What a fetch gave, and what is known after it.
#[derive(Debug)]
struct Fetched {
    inserted: Vec<u8>,
    new: Vec<u8>,
    end: End,
    at: Position,
}

fn position(text: &[u8]) -> Position {
    let mut position = Position::default();
    position.advance(text);
    position
}

fn fetch(old: &[u8], fresh: &[u8], chunk: usize) -> Fetched {
    let mut resync = Resync::new(&position(old));
    let (mut inserted, mut new, mut at) = (Vec::new(), Vec::new(), position(old));
    for bytes in fresh.chunks(chunk) {
        for piece in resync.feed(bytes) {
            match piece {
                Piece::Inserted(bytes, position) => {
                    inserted.extend(bytes);
                    at = position;
                }
                Piece::New(bytes) => {
                    new.extend_from_slice(bytes);
                    at.advance(bytes);
                }
            }
        }
    }
    let end = resync.end();
    Fetched {
        inserted,
        new,
        end,
        at,
    }
}

/// A log that was read, and a fresh fetch of it. The first byte says by how many bytes the fetch
/// comes. The rest has parts with `==` between them: two are any texts; three or four are the
/// job's output, what it has grown by, the container's output, and what that has grown by, in
/// whole lines; five are those of a job that is run again: what it has written in its first run and in
/// its second, what the container wrote in each, and anything.
pub fn resync(data: &[u8]) {
    let Some((chunk, rest)) = data.split_first() else {
        return;
    };
    let chunk = usize::from(*chunk).max(1);
    let parts = parts(rest);
    match parts.as_slice() {
        [old, fresh] => drop(any_fetch(old, fresh, chunk)),
        [first, second, out, new, _] => {
            let [first, second, out, new] = [first, second, out, new].map(|part| whole_lines(part));
            run_again(&first, &second, &out, &new, chunk);
        }
        [job, grown, out, rest @ ..] => {
            let [job, grown, out] = [job, grown, out].map(|part| whole_lines(part));
            let new = whole_lines(rest.first().copied().unwrap_or_default());
            let old = [&job[..], &out].concat();
            let fresh = [&job[..], &grown, &out, &new].concat();
            let got = any_fetch(&old, &fresh, chunk);
            assert_eq!(got.end, End::Recognised, "{got:?}");
        }
        _ => {}
    }
}

/// What the job's own output begins with.
const OWN: &[u8] = b"own\n";

/// The container's output of the first run is not new in a log that begins with a second one's.
fn run_again(first: &[u8], second: &[u8], out: &[u8], new: &[u8], chunk: usize) {
    let old = [OWN, first, out].concat();
    let fresh = [OWN, second, out, new].concat();
    let mut resync = Resync::with_own_beginning(&position(&old), |text| text.starts_with(OWN));
    let pieces: usize = fresh
        .chunks(chunk)
        .map(|bytes| resync.feed(bytes).len())
        .sum();
    let lines = first.iter().filter(|byte| **byte == b'\n').count();
    match resync.end() {
        End::Recognised => {}
        End::Short => assert!(old.starts_with(&fresh)),
        end => {
            assert_eq!(pieces, 0);
            // Within the lines of which each has a mark.
            let is_found = end == End::Replaced;
            assert!(is_found || out.is_empty() || lines > 30, "{end:?}");
        }
    }
    if let Some((text, at)) = resync.replaced() {
        assert!(fresh.starts_with(&text));
        let end = usize::try_from(at.bytes()).expect("small");
        assert_eq!(at, position(&fresh[..end]));
        assert!(old.ends_with(&fresh[text.len()..end]));
        let is_marked = lines <= 30 && !out.is_empty();
        assert!(!is_marked || end - text.len() >= out.len());
    }
}

fn parts(mut text: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = text.windows(2).position(|pair| pair == b"==") {
        parts.push(&text[..at]);
        text = &text[at + 2..];
    }
    parts.push(text);
    parts
}

fn whole_lines(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text
}

fn any_fetch(old: &[u8], fresh: &[u8], chunk: usize) -> Fetched {
    let got = fetch(old, fresh, chunk);
    if let Some(new) = fresh.strip_prefix(old) {
        assert_eq!(got.end, End::Recognised);
        assert!(got.inserted.is_empty());
        assert_eq!(got.new, new);
    } else if old.starts_with(fresh) {
        assert_eq!(got.end, End::Short);
    } else if fresh.len() < old.len() {
        assert_ne!(got.end, End::Recognised);
    }
    if got.end == End::Recognised {
        assert_eq!(got.at, position(fresh), "all of the fetch was taken in");
        // With repeated lines it cannot be told which of them are the new ones.
        let sorted = |mut bytes: Vec<u8>| {
            bytes.sort_unstable();
            bytes
        };
        let all = [old, &got.inserted, &got.new].concat();
        assert_eq!(sorted(all), sorted(fresh.to_vec()), "each byte comes once");
    } else {
        assert!(got.inserted.is_empty() && got.new.is_empty());
    }
    got
}
