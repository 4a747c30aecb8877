//! What a stop comes to where the plugin does not say how a container ended.

use crate::model::{
    exit_code, exit_reason, Cancellation, ContainerEntry, Exit, Nanos, Pod, Submission,
};

/// Of a container of which no more is known than that its job is gone.
const GONE: &str =
    "stopped: the plugin confirms that its job is gone, but not how the container ended, \
                    so its exit code is not known";
/// Of a container whose end nobody has confirmed in time.
pub(super) const MAY_RUN: &str =
    "stopped, but the plugin did not confirm in time that its job has ended, so the job may still run; \
     its cancellation goes on until the plugin confirms it";
/// Of a container that shares its job with others.
pub(super) const SHARED: &str =
    "stopped, but its job goes on for other containers of the pod, and is cancelled with the last of them";

/// Draws the conclusions from what has become of jobs: a container that is being stopped has ended once
/// the cancellation of its job is settled; and a job about whose containers nothing more is to be learned
/// is deleted again, for what the plugin has kept of it.
pub(super) fn conclude(pod: &mut Pod, now: Nanos) {
    let numbers: Vec<u32> = pod.jobs.iter().map(|job| job.number).collect();
    for number in numbers {
        let Some(job) = pod.job(number) else { continue };
        let awaits_stop = pod.awaits_stop(job);
        if awaits_stop && job.is_settled() {
            end(pod, number, now);
        } else if !awaits_stop && matches!(job.cancel, Some(Cancellation::Delivered { .. })) {
            if let Some(job) = pod.job_mut(number) {
                job.cancel_again(now);
            }
        }
    }
}

/// Ends the containers of a job that are being stopped, because the job is gone.
pub(super) fn end(pod: &mut Pod, number: u32, now: Nanos) {
    let Some(job) = pod.job(number) else { return };
    let (carried, has_run) = (
        job.containers.clone(),
        job.submission != Submission::Dropped,
    );
    let awaits =
        |entry: &&mut ContainerEntry| carried.contains(entry.id()) && entry.status.awaits_stop();
    for entry in pod.containers.iter_mut().filter(awaits) {
        let exit = Box::new(killed(entry, GONE, now));
        let status = &mut entry.status;
        if has_run {
            // What was written of the log is brought to its end first.
            status.reported = Some(exit);
            status.log_owed_since = status.log_owed_since.or(Some(now));
        } else {
            status.exit = Some(exit);
            status.log_complete = true;
        }
    }
}

/// The end of a container that was killed, with our explanation.
pub(super) fn killed(entry: &ContainerEntry, message: &str, now: Nanos) -> Exit {
    let killed = (exit_code::KILLED, exit_reason::ERROR);
    entry.status.own_end(&entry.container, killed, message, now)
}
