//! Containers that a plugin never mentions.
//!
//! Some plugins speak of the first container of a job only. Of the others nothing is ever heard, and the
//! kubelet would wait for them for ever. From the moment at which all that is mentioned has ended, a question
//! names the others alone (`convert::status_pod`); where the plugin goes on answering, for `jobs.lost_grace`,
//! and still speaks only of those that have ended, the job has ended as a whole, most likely: the others end
//! as it did. Init containers that go unmentioned are a matter of `init_containers`, and say nothing of the
//! main ones.

use super::{
    report::{ContainerReport, JobReport, ReportedEnd, ReportedState},
    Rules,
};
use crate::model::{Job, Nanos, Pod, Used};

/// Judges a report of job `number` that was taken over; gives one of the containers that it should have
/// mentioned, where they have ended with their job.
pub(super) fn judge(
    pod: &mut Pod,
    number: u32,
    report: &JobReport,
    now: Nanos,
    rules: &Rules,
) -> Option<JobReport> {
    let job = pod.job(number)?;
    let fate = fate(job, report);
    let open = open(pod, job, report);
    let job = pod.job_mut(number)?;
    let fate = match fate {
        Some(fate) if !open.is_empty() => fate,
        _ => {
            job.unmentioned_since = None;
            return None;
        }
    };
    let since = *job.unmentioned_since.get_or_insert(now);
    if now.since(since) < rules.lost_grace.max(rules.unsure_grace) {
        return None;
    }
    job.unmentioned_since = None;
    let ended = |name| ContainerReport {
        name,
        state: ReportedState::Ended(fate.clone()),
    };
    Some(JobReport {
        remote_id: report.remote_id.clone(),
        containers: open.into_iter().map(ended).collect(),
        ..JobReport::default()
    })
}

/// How a job has ended of which all that is mentioned has, at least one main container among it: as the
/// first of those that failed.
fn fate(job: &Job, report: &JobReport) -> Option<ReportedEnd> {
    let mut ends = Vec::new();
    for container in &report.containers {
        match &container.state {
            ReportedState::Ended(end) if !job.is_init(&container.name) => ends.push(end),
            ReportedState::Ended(_) => {}
            ReportedState::NotShown
            | ReportedState::Queued { .. }
            | ReportedState::Running { .. } => return None,
        }
    }
    let failed = ends.iter().find(|end| end.code != 0);
    let end = failed.or(ends.first())?;
    Some(ReportedEnd {
        // Those are of the container that it is about.
        message: String::new(),
        used: Used::default(),
        started_at: None,
        explanation: "the plugin never spoke of this container, and its job has ended like this"
            .to_owned(),
        ..(*end).clone()
    })
}

/// The main containers whose end is still to be heard of, and of which the report does not speak.
fn open(pod: &Pod, job: &Job, report: &JobReport) -> Vec<String> {
    let carried = job.containers.iter().filter_map(|id| pod.container(id));
    let carried = carried.filter(|entry| entry.status.is_live());
    let carried = carried.map(|entry| entry.container.name.as_str());
    let expected = job.expected.iter().filter(|one| one.end.is_none());
    let names = carried.chain(expected.map(|one| one.name.as_str()));
    let open = names.filter(|name| !job.is_init(name) && report.state(name).is_none());
    open.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::{
        config::Config,
        model::Submission,
        plan::{batch::start, observe, testing},
        profile::{self, status_reply::WireState},
    };

    fn rules() -> Rules {
        profile::rules(&Config::default())
    }

    fn pod(names: &[&str]) -> Pod {
        let mut pod = testing::pod(names);
        let ids: Vec<_> = pod.containers.iter().map(|one| one.id().clone()).collect();
        for id in ids {
            start(&mut pod, &id, Nanos(1)).expect("starts");
        }
        pod.jobs[0].submission = Submission::Submitted { at: Nanos(2) };
        pod
    }

    fn tell(pod: &mut Pod, states: &[(&str, Value)], now: Nanos) {
        let mut containers = profile::testing::containers(states);
        for container in &mut containers {
            if let WireState::Ended(end) = &mut container.state {
                end.used.memory_bytes = Some(7);
            }
        }
        let report = profile::job_report("", &containers, &pod.jobs[0]);
        observe::apply(pod, 0, &report, now, &rules());
    }

    fn ended(code: i32) -> Value {
        json!({"terminated": {"exitCode": code, "message": "m"}})
    }

    fn code(pod: &Pod, index: usize) -> Option<i32> {
        let reported = pod.containers[index].status.reported.as_ref();
        reported.map(|end| end.code)
    }

    #[test]
    fn what_is_never_mentioned_ends_with_its_job() {
        let mut pod = pod(&["a", "b", "c"]);
        let later = Nanos(10).plus(rules().lost_grace.max(rules().unsure_grace));
        tell(&mut pod, &[("a", ended(3))], Nanos(10));
        assert_eq!((code(&pod, 0), code(&pod, 1)), (Some(3), None));
        tell(&mut pod, &[("a", ended(3))], Nanos(later.0 - 1));
        assert_eq!(code(&pod, 1), None);
        tell(&mut pod, &[("a", ended(3))], later);
        assert_eq!((code(&pod, 1), code(&pod, 2)), (Some(3), Some(3)));
        let end = pod.containers[1].status.reported.clone().expect("an end");
        assert!(end.message.contains("never spoke of"), "{}", end.message);
        assert_eq!(end.termination_message, None);
        let used = |index: usize| {
            let end = pod.containers[index].status.reported.as_ref();
            end.and_then(|end| end.used.as_ref()?.memory_bytes)
        };
        assert_eq!((used(0), used(1)), (Some(7), None), "another container's");
        assert_eq!(pod.jobs[0].submission, Submission::Finished);
    }

    #[test]
    fn what_is_mentioned_again_is_believed() {
        let mut pod = pod(&["a", "b"]);
        let later = Nanos(10).plus(rules().lost_grace * 9);
        tell(&mut pod, &[("a", ended(0))], Nanos(10));
        tell(&mut pod, &[("b", json!({"running": {}}))], Nanos(20));
        assert_eq!(pod.jobs[0].unmentioned_since, None);
        tell(&mut pod, &[("a", ended(0))], later);
        assert_eq!(code(&pod, 1), None, "it counts from here");
        tell(&mut pod, &[("a", ended(0)), ("b", ended(7))], later);
        assert_eq!(code(&pod, 1), Some(7));
    }

    #[test]
    fn an_init_container_says_nothing_of_the_others() {
        let mut pod = pod(&["i", "m"]);
        pod.jobs[0].inits = vec!["i".to_owned()];
        tell(&mut pod, &[("i", ended(0))], Nanos(10));
        tell(
            &mut pod,
            &[("i", ended(0))],
            Nanos(10).plus(rules().lost_grace * 9),
        );
        assert_eq!(code(&pod, 1), None);
        assert_eq!(pod.jobs[0].unmentioned_since, None);
    }
}
