//! What a plugin's word about a job changes.
//!
//! Every change is monotonic: a late or repeated answer never resurrects a container, and times
//! are set once.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};

use super::{
    exit_table::Reported, init_containers, lifecycle, submission::Event, unproven_exit, Rules,
};
use crate::model::{
    exit_code, exit_reason, ContainerEntry, Exit, Expected, Job, Nanos, Pod, Remote,
};

/// What the SLURM plugin says of a container whose job runs while its probes have not passed.
const WAITS_FOR_PROBES: &str = "Waiting for probes";

/// What to do with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it over.
    TakeOver,
    /// Leave it: the plugin is to be asked again, or nothing is left that it could change.
    Leave,
}

/// What a plugin said of one job.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The plugin's own id of the job; often empty.
    pub remote_id: &'a str,
    /// The containers it speaks of, init containers included.
    pub containers: &'a [ContainerStatus],
}

impl<'a> Report<'a> {
    /// The state of one of a job's containers. An init container that ended well has nothing to do with
    /// what befell the job, which the SLURM plugin says of each container.
    fn state(&self, name: &str, job: &Job) -> Option<Cow<'a, ContainerState>> {
        let named = self.containers.iter().find(|status| status.name == name);
        let state = named?.state.as_ref()?;
        let ended_well = state.terminated.as_ref().filter(|it| exit_code(it) == 0);
        let Some(ended) = ended_well.filter(|_| job.is_init(name)) else {
            return Some(Cow::Borrowed(state));
        };
        Some(Cow::Owned(ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: None,
                message: None,
                ..ended.clone()
            }),
            ..ContainerState::default()
        }))
    }

    /// Whether the plugin really has the job. The SLURM plugin answers an empty state for one
    /// that it has no job id for: deleted, or not submitted yet.
    pub fn shows_the_job(&self) -> bool {
        self.containers
            .iter()
            .filter_map(|status| status.state.as_ref())
            .any(|state| {
                state.waiting.is_some() || state.running.is_some() || state.terminated.is_some()
            })
    }
}

/// Takes over what the plugin said of job `number`. Containers that it does not mention stay as
/// they are.
pub fn apply(pod: &mut Pod, number: u32, report: Report<'_>, now: Nanos, rules: &Rules) {
    let Some(index) = pod.jobs.iter().position(|job| job.number == number) else {
        return;
    };
    if !report.remote_id.is_empty() {
        pod.jobs[index].remote_id = Some(report.remote_id.to_owned());
    }
    let may_take_over = |verdict| verdict == Verdict::TakeOver;
    if may_take_over(unproven_exit::weigh(pod, index, report, now))
        && may_take_over(init_containers::weigh(pod, index, report, now, rules))
    {
        take_over(pod, index, report, now, rules);
        lifecycle::forget_what_will_not_run(pod, number);
    }
    if lifecycle::has_ended(pod, &pod.jobs[index]) {
        pod.jobs[index].submission_event(Event::Ended, now, rules);
    }
}

fn take_over(pod: &mut Pod, index: usize, report: Report<'_>, now: Nanos, rules: &Rules) {
    let mut expected = std::mem::take(&mut pod.jobs[index].expected);
    let job = &pod.jobs[index];
    for expected in &mut expected {
        if let Some(state) = report.state(&expected.name, job) {
            note_state(expected, &state, now, rules);
        }
    }
    let carried = |entry: &&mut ContainerEntry| job.containers.contains(entry.id());
    for entry in pod.containers.iter_mut().filter(carried) {
        if let Some(state) = report.state(&entry.container.name, job) {
            apply_state(entry, &state, now, rules);
        }
    }
    pod.jobs[index].expected = expected;
}

/// Whether a container runs over there.
pub(super) fn runs(state: &ContainerState) -> bool {
    let reason = state.waiting.as_ref().and_then(|it| it.reason.as_deref());
    state.running.is_some() || reason.is_some_and(|it| it.starts_with(WAITS_FOR_PROBES))
}

/// Notes what is said of a container that the kubelet has not started yet.
fn note_state(expected: &mut Expected, state: &ContainerState, now: Nanos, rules: &Rules) {
    if expected.end.is_some() {
        return;
    }
    if let Some(ended) = &state.terminated {
        expected.remote = Remote::Running;
        // Its times are those of its binding.
        expected.end = Some(exit(Nanos(0), ended, now, rules));
    } else if runs(state) {
        expected.remote = Remote::Running;
    } else if state.waiting.is_some() && expected.remote == Remote::Unknown {
        expected.remote = Remote::Queued;
    }
}

fn apply_state(entry: &mut ContainerEntry, state: &ContainerState, now: Nanos, rules: &Rules) {
    if !entry.status.is_live() {
        return;
    }
    let earliest = entry.container.created_at;
    if let Some(ended) = &state.terminated {
        began(
            entry,
            ended.started_at.as_ref().map(|time| time.0),
            earliest,
            now,
        );
        entry.status.reported = Some(exit(started(entry), ended, now, rules));
        entry.status.log_owed_since = entry.status.log_owed_since.or(Some(now));
    } else if runs(state) {
        let given = state.running.as_ref();
        let given = given.and_then(|running| running.started_at.as_ref());
        began(entry, given.map(|time| time.0), now, now);
    } else if state.waiting.is_some() {
        entry.status.remote = Remote::Queued;
    }
}

/// Notes that the remote run has begun, once: at the time the plugin gives, kept between the start
/// and now, else at `unknown`.
fn began(entry: &mut ContainerEntry, given: Option<Timestamp>, unknown: Nanos, now: Nanos) {
    if entry.status.remote == Remote::Running {
        return;
    }
    let earliest = entry
        .status
        .started_at
        .unwrap_or(entry.container.created_at);
    let given = given.map(Nanos::from).filter(|time| time.0 > 0);
    entry.status.remote = Remote::Running;
    entry.status.started_at = Some(given.unwrap_or(unknown).min(now).max(earliest));
}

fn started(entry: &ContainerEntry) -> Nanos {
    let started = entry.status.started_at;
    started.unwrap_or(entry.container.created_at)
}

/// The end in the CRI's terms. Times are clamped to started <= finished <= now: plugins leave them
/// zero, and clocks over there differ.
fn exit(started: Nanos, ended: &ContainerStateTerminated, now: Nanos, rules: &Rules) -> Exit {
    let shown = rules.exit_table.shown(Reported {
        code: exit_code(ended),
        reason: ended.reason.as_deref().unwrap_or_default(),
        message: ended.message.as_deref().unwrap_or_default(),
    });
    let finished = ended.finished_at.as_ref().map(|time| Nanos::from(time.0));
    let finished_at = finished
        .filter(|time| time.0 > 0)
        .unwrap_or(now)
        .min(now)
        .max(started);
    let usual = if shown.code == 0 {
        exit_reason::COMPLETED
    } else {
        exit_reason::ERROR
    };
    Exit {
        code: shown.code,
        reason: match shown.reason.is_empty() {
            true => usual.to_owned(),
            false => shown.reason,
        },
        message: shown.explanation,
        finished_at,
        termination_message: ended.message.clone().filter(|message| !message.is_empty()),
    }
}

/// The exit code; where a plugin gives a signal but no code, the one that a shell would show.
/// Controllers must not take a killed container for a successful one.
pub(super) fn exit_code(ended: &ContainerStateTerminated) -> i32 {
    match (ended.exit_code, ended.signal) {
        (0, Some(signal)) if (1..128).contains(&signal) => 128 + signal,
        (code, _) => code,
    }
}

/// Whether a job that was missing from this many answers in a row, for this long, is lost.
pub fn is_lost(missed_polls: u32, missing_for: std::time::Duration, rules: &Rules) -> bool {
    missed_polls >= rules.lost_polls && missing_for >= rules.lost_grace
}

/// Ends a lost job and its containers.
pub fn lose(pod: &mut Pod, number: u32, now: Nanos, rules: &Rules) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    let was = job.submission.clone();
    job.submission_event(Event::Missing, now, rules);
    if job.submission == was {
        return;
    }
    let named = job
        .remote_id
        .as_ref()
        .map(|id| format!(" (remote id {id})"))
        .unwrap_or_default();
    let said = job.trouble.as_ref();
    let said = said.map(|words| format!(": {words}")).unwrap_or_default();
    let message = format!(
        "the plugin does not know job {}{named} any more; ask the site what became of it{said}",
        job.uid
    );
    lifecycle::fail_job(
        pod,
        number,
        exit_code::KILLED,
        exit_reason::JOB_LOST,
        &message,
        now,
    );
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::{ContainerStateRunning, ContainerStateWaiting},
        apimachinery::pkg::apis::meta::v1::Time,
    };

    use super::*;
    use crate::{
        config::Config,
        model::{ContainerPhase, Submission},
        plan::{batch::start, testing::pod},
    };

    const NOW: Nanos = Nanos(1_000_000);

    fn rules() -> Rules {
        Rules::from(&Config::default())
    }

    fn submitted() -> Pod {
        let mut pod = pod(&["a"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(100)).expect("starts");
        pod.jobs[0].submission = Submission::Submitted { at: Nanos(200) };
        pod
    }

    fn status(state: ContainerState) -> ContainerStatus {
        ContainerStatus {
            name: "a".into(),
            state: Some(state),
            ..ContainerStatus::default()
        }
    }

    fn at(nanos: i128) -> Option<Time> {
        Timestamp::from_nanosecond(nanos).ok().map(Time)
    }

    fn terminated(ended: ContainerStateTerminated) -> ContainerStatus {
        status(ContainerState {
            terminated: Some(ended),
            ..ContainerState::default()
        })
    }

    fn running(started_at: Option<Time>) -> ContainerStatus {
        let running = Some(ContainerStateRunning { started_at });
        status(ContainerState {
            running,
            ..ContainerState::default()
        })
    }

    fn tell(pod: &mut Pod, status: ContainerStatus, now: Nanos) {
        apply(
            pod,
            0,
            Report {
                remote_id: "job-7",
                containers: &[status],
            },
            now,
            &rules(),
        );
    }

    #[test]
    fn exit_codes_and_reasons() {
        let rows = [
            ("success", 0, None, None, (0, "Completed")),
            ("failure", 7, None, None, (7, "Error")),
            ("signal without a code", 0, Some(9), None, (137, "Error")),
            ("signal with a code", 143, Some(15), None, (143, "Error")),
            (
                "out of memory without a code",
                0,
                None,
                Some("OOMKilled"),
                (137, "OOMKilled"),
            ),
            (
                "a plugin's own reason",
                1,
                None,
                Some("Strange"),
                (1, "Strange"),
            ),
            (
                "what the table knows",
                1,
                None,
                Some("SlurmJobTimeout"),
                (124, "TimeLimit"),
            ),
            ("an empty reason", 0, None, Some(""), (0, "Completed")),
            ("a negative code", -1, None, None, (-1, "Error")),
        ];
        for (name, exit_code, signal, reason, want) in rows {
            let mut pod = submitted();
            let reason = reason.map(str::to_owned);
            let ended = ContainerStateTerminated {
                exit_code,
                signal,
                reason,
                ..Default::default()
            };
            tell(&mut pod, terminated(ended), NOW);
            let exit = pod.containers[0].status.reported.clone().expect(name);
            assert_eq!((exit.code, exit.reason.as_str()), want, "{name}");
        }
    }

    #[test]
    fn times_are_made_sane() {
        let rows = [
            ("zero times", None, None, (100, NOW.0)),
            ("good times", at(500), at(600), (500, 600)),
            ("a clock behind", at(1), at(2), (100, 100)),
            (
                "a clock ahead",
                at(5_000_000),
                at(6_000_000),
                (NOW.0, NOW.0),
            ),
            ("ended before it started", at(500), at(300), (500, 500)),
        ];
        for (name, started_at, finished_at, want) in rows {
            let mut pod = submitted();
            let ended = ContainerStateTerminated {
                started_at,
                finished_at,
                ..Default::default()
            };
            tell(&mut pod, terminated(ended), NOW);
            let status = &pod.containers[0].status;
            let finished = status.reported.as_ref().expect(name).finished_at;
            let started = status.started_at.expect(name);
            assert_eq!((started.0, finished.0), want, "{name}");
        }
    }

    #[test]
    fn the_end_is_not_shown_before_the_log_is_complete() {
        let mut pod = submitted();
        tell(
            &mut pod,
            terminated(ContainerStateTerminated::default()),
            NOW,
        );
        assert_eq!(pod.containers[0].status.phase(), ContainerPhase::Running);
        assert_eq!(pod.jobs[0].submission, Submission::Finished);
        assert_eq!(pod.jobs[0].remote_id.as_deref(), Some("job-7"));
        let id = pod.containers[0].id().clone();
        lifecycle::complete_log(&mut pod, &id);
        assert_eq!(pod.containers[0].status.phase(), ContainerPhase::Exited);
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let mut pod = submitted();
        tell(
            &mut pod,
            terminated(ContainerStateTerminated::default()),
            NOW,
        );
        let before = pod.clone();
        tell(&mut pod, running(None), Nanos(NOW.0 + 1));
        tell(
            &mut pod,
            terminated(ContainerStateTerminated {
                exit_code: 3,
                ..Default::default()
            }),
            NOW,
        );
        assert_eq!(pod, before);
    }

    #[test]
    fn running_sets_the_start_once() {
        let mut pod = submitted();
        tell(&mut pod, running(at(700)), NOW);
        assert_eq!(pod.containers[0].status.started_at, Some(Nanos(700)));
        tell(&mut pod, running(at(900)), NOW);
        assert_eq!(pod.containers[0].status.started_at, Some(Nanos(700)));
        let mut pod = submitted();
        tell(&mut pod, running(None), NOW);
        assert_eq!(pod.containers[0].status.started_at, Some(NOW));
    }

    #[test]
    fn a_container_whose_probes_have_not_passed_runs() {
        let waiting = |reason: &str| {
            let reason = Some(reason.to_owned());
            let message = None;
            status(ContainerState {
                waiting: Some(ContainerStateWaiting { reason, message }),
                ..ContainerState::default()
            })
        };
        let mut pod = submitted();
        tell(&mut pod, waiting("Resources"), NOW);
        assert_eq!(pod.containers[0].status.remote, Remote::Queued);
        tell(&mut pod, waiting("Waiting for probes to be ready."), NOW);
        assert_eq!(pod.containers[0].status.remote, Remote::Running);
    }

    #[test]
    fn an_empty_state_does_not_show_the_job() {
        let waiting = Some(ContainerStateWaiting::default());
        let rows = [
            ("no container", vec![], false),
            (
                "an empty state",
                vec![status(ContainerState::default())],
                false,
            ),
            (
                "waiting",
                vec![status(ContainerState {
                    waiting,
                    ..Default::default()
                })],
                true,
            ),
            ("running", vec![running(None)], true),
        ];
        for (name, containers, want) in rows {
            let report = Report {
                remote_id: "",
                containers: &containers,
            };
            assert_eq!(report.shows_the_job(), want, "{name}");
        }
    }

    #[test]
    fn a_lost_job_ends_its_containers_once() {
        let mut pod = submitted();
        lose(&mut pod, 0, NOW, &rules());
        let exit = pod.containers[0].status.exit.clone().expect("ended");
        assert_eq!((exit.code, exit.reason.as_str()), (137, "JobLost"));
        let before = pod.clone();
        lose(&mut pod, 0, Nanos(NOW.0 + 5), &rules());
        assert_eq!(pod, before);
        assert!(!is_lost(4, rules().lost_grace, &rules()));
        assert!(!is_lost(99, rules().lost_grace / 2, &rules()));
        assert!(is_lost(5, rules().lost_grace, &rules()));
    }
}
