//! What an answer to /status says of a job, under the names that its containers have here.

use crate::{
    convert,
    interlink::wire::PodStatus,
    model::{Job, JobUid},
    plan::JobReport,
    profile,
};

/// The report of one job in an answer to a question about it.
pub fn report_of(statuses: &[PodStatus], job: &Job) -> JobReport {
    let mut statuses = statuses.iter();
    let status = statuses.find(|status| JobUid::parse(&status.uid) == Some(job.uid));
    report(status, job)
}

/// The report of a job; one that shows nothing where there is no status of it. Init containers are
/// among the containers, wherever the plugin puts them.
pub fn report(status: Option<&PodStatus>, job: &Job) -> JobReport {
    let Some(status) = status else {
        return JobReport::default();
    };
    let lists = status.init_containers.iter().chain(&status.containers);
    let mut containers: Vec<_> = lists.cloned().collect();
    convert::restore_container_names(job, &mut containers);
    profile::job_report(&status.jid, &containers, job)
}

/// Whether a status is one of a job that the plugin has.
pub fn shows_a_job(status: &PodStatus) -> bool {
    let lists = [&status.init_containers, &status.containers];
    lists.into_iter().any(|list| profile::shows_a_job(list))
}
