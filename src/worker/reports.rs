//! What an answer to /status says of a job, under the names that its containers have here.

use crate::{
    convert,
    model::Job,
    plan::JobReport,
    profile::{
        self,
        status_reply::{StatusReply, ToldJob},
    },
};

/// The report of a job in an answer to a question about it: one that shows nothing where the answer denies
/// the job, and none where it may or may not be about the job.
pub fn report_of(reply: &StatusReply, job: &Job) -> Option<JobReport> {
    match reply.jobs.get(&job.uid) {
        Some(told) => Some(report(told, job)),
        None => reply.denies(job.uid).then(JobReport::default),
    }
}

/// The report of a job.
pub fn report(told: &ToldJob, job: &Job) -> JobReport {
    let status = match told {
        ToldJob::Status(status) => status,
        // It is shown, and that is all there is to take over.
        ToldJob::Unreadable(_) | ToldJob::AsBefore => {
            return JobReport {
                is_unreadable: true,
                ..JobReport::default()
            }
        }
    };
    let mut containers = status.containers.clone();
    let names = containers.iter_mut().map(|container| &mut container.name);
    convert::restore_container_names(job, names);
    profile::job_report(&status.remote_id, &containers, job)
}
