//! Which started containers form which job.
//!
//! The CRI starts containers one at a time; interLink runs whole pods. Containers of one sandbox
//! that are started close together share one job, so that they share a node, localhost and
//! emptyDirs there. A job gathers containers until the quiet period has passed; or, where the API
//! server says what the pod consists of, until all have come that belong to it. In the scope of a
//! whole pod the job does not even wait for those: it takes them along, and they are bound to it
//! when the kubelet starts them.

use super::{pod_containers::PodContainers, submission::Event, Rules};
use crate::{
    config::schema::JobScope,
    model::{
        ContainerId, ContainerPhase, Exit, Expected, Job, JobMembers, Nanos, Pod, SandboxPhase,
        Shared, Submission,
    },
};

/// How long a job waits for a container that belongs to it. The kubelet starts those of a pod one
/// after the other, without a pause unless something is wrong with one (`SyncPod` in
/// pkg/kubelet/kuberuntime/kuberuntime_manager.go).
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Why a container cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such container in this pod.
    #[error("the container does not exist")]
    NoContainer,
    /// It was started before.
    #[error("the container is already running")]
    Running,
    /// It has ended; a restart is a new container.
    #[error("the container has exited; create a new one to run it again")]
    Exited,
    /// Its sandbox was stopped or removed.
    #[error("the pod sandbox is not ready")]
    SandboxNotReady,
}

/// Starts a container: from here on it is RUNNING for the CRI, and part of a job.
///
/// # Errors
/// A container that is not CREATED, or whose sandbox is not READY.
pub fn start(pod: &mut Pod, id: &ContainerId, now: Nanos) -> Result<(), Refusal> {
    let entry = pod.container(id).ok_or(Refusal::NoContainer)?;
    match entry.status.phase() {
        ContainerPhase::Created => {}
        ContainerPhase::Running => return Err(Refusal::Running),
        ContainerPhase::Exited => return Err(Refusal::Exited),
    }
    if pod.phase() != SandboxPhase::Ready {
        return Err(Refusal::SandboxNotReady);
    }
    let (name, now) = (
        entry.container.name.clone(),
        now.max(entry.container.created_at),
    );
    if let Some(status) = pod.status_mut(id) {
        status.started_at = Some(now);
    }
    if bind(pod, id, &name, now) {
        return Ok(());
    }
    let job = gathering_job(pod, &name, now);
    job.containers.push(id.clone());
    job.names.push(name);
    job.submission = Submission::Gathering { last_start: now };
    Ok(())
}

/// Binds a container to the job that carries it already, if one does, and takes over what the
/// plugin has said of it since.
fn bind(pod: &mut Pod, id: &ContainerId, name: &str, now: Nanos) -> bool {
    let expects = |job: &Job| {
        job.expected
            .iter()
            .position(|expected| expected.name == name)
    };
    let mut jobs = pod.jobs.iter_mut().rev();
    let found = jobs.find_map(|job| {
        let index = expects(job).filter(|_| carries(job))?;
        job.containers.push(id.clone());
        job.names.push(name.into());
        Some(job.expected.remove(index))
    });
    let Some(Expected { remote, end, .. }) = found else {
        return false;
    };
    if let Some(status) = pod.status_mut(id) {
        status.remote = remote;
        // It ran before the kubelet asked for it, so here its times are those of the asking.
        status.reported = end.map(|end| {
            Box::new(Exit {
                finished_at: now,
                ..end
            })
        });
        status.log_owed_since = status.reported.as_ref().map(|_| now);
    }
    true
}

/// Whether a job has its containers over there, or is about to.
fn carries(job: &Job) -> bool {
    match job.submission {
        Submission::Gathering { .. }
        | Submission::Pending { .. }
        | Submission::Submitting { .. }
        | Submission::Unsure { .. }
        | Submission::Submitted { .. }
        | Submission::Finished => job.cancel.is_none(),
        Submission::Lost | Submission::Dropped => false,
    }
}

/// Takes over what the API server says that a gathering job's pod consists of; `None` is no answer.
pub fn note_members(pod: &mut Pod, number: u32, whole: Option<&PodContainers>, rules: &Rules) {
    let is_gathering = |job: &&Job| matches!(job.submission, Submission::Gathering { .. });
    let Some(job) = pod.job(number).filter(is_gathering) else {
        return;
    };
    let known = whole.filter(|whole| knows_all(whole, job));
    let known = known.map(|whole| match rules.scope {
        JobScope::Pod => (whole, Vec::new(), still_to_come(pod, job, whole)),
        JobScope::Containers => (whole, belong_to(pod, job, whole), Vec::new()),
    });
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    let Some((whole, others, expected)) = known else {
        job.members = JobMembers::Unknown;
        return;
    };
    job.members = JobMembers::Awaits {
        others,
        sidecars: whole.sidecars.clone(),
    };
    job.expected = expected.iter().map(|name| Expected::new(name)).collect();
    if rules.scope == JobScope::Pod {
        let is_init = |name: &&str| whole.inits.iter().any(|init| init == name);
        job.inits = job.all_names().filter(is_init).map(str::to_owned).collect();
    }
}

/// Takes back what was expected of a job that has not left yet: nothing is known of it any more.
pub fn forget_expected(pod: &mut Pod, number: u32) {
    let job = pod.job_mut(number);
    if let Some(job) = job.filter(|job| matches!(job.submission, Submission::Pending { .. })) {
        job.expected.clear();
        job.inits.clear();
    }
}

fn has(names: &[Shared<str>], name: &str) -> bool {
    names.iter().any(|known| *known == *name)
}

/// Ephemeral containers are not part of what a pod consists of, and go alone.
fn knows_all(whole: &PodContainers, job: &Job) -> bool {
    let known: Vec<_> = whole.all().map(String::as_str).collect();
    job.names.iter().all(|name| known.contains(&name.as_str()))
}

/// The containers of a pod that were never started, but for those of this job.
fn still_to_come(pod: &Pod, job: &Job, whole: &PodContainers) -> Vec<String> {
    let was_started = |name: &String| {
        let mut same = pod
            .containers
            .iter()
            .filter(|entry| entry.container.name == *name);
        same.any(|entry| entry.status.started_at.is_some())
    };
    let names = whole.all();
    let names = names.filter(|name| !has(&job.names, name) && !was_started(name));
    names.cloned().collect()
}

/// The containers that a job waits for. What runs side by side belongs together; an init container
/// that runs to its end belongs to nobody.
fn belong_to(pod: &Pod, job: &Job, whole: &PodContainers) -> Vec<String> {
    if job
        .names
        .iter()
        .all(|name| whole.inits.iter().any(|init| *name == *init))
    {
        return Vec::new();
    }
    let mut names = still_to_come(pod, job, whole);
    names.retain(|name| !whole.inits.contains(name));
    names
}

/// The job that still gathers, or a new one. Names are unique within a job, because the plugin
/// knows containers by name: a second attempt at a container goes into the next job. A job that
/// knows what belongs to it takes nothing else.
fn gathering_job<'a>(pod: &'a mut Pod, name: &str, now: Nanos) -> &'a mut Job {
    let open = pod.jobs.iter().position(|job| {
        matches!(job.submission, Submission::Gathering { .. })
            && !has(&job.names, name)
            && match &job.members {
                JobMembers::NotAsked | JobMembers::Unknown => true,
                JobMembers::Awaits { others, .. } => others.iter().any(|other| other == name),
            }
    });
    match open {
        Some(index) => &mut pod.jobs[index],
        None => new_job(pod, now),
    }
}

fn new_job(pod: &mut Pod, now: Nanos) -> &mut Job {
    let number = pod.next_job;
    pod.next_job = number.saturating_add(1);
    let uid = pod.sandbox.job_uid(number);
    let index = pod.jobs.len();
    pod.jobs.push(Job::new(number, uid, now));
    &mut pod.jobs[index]
}

/// Closes a job to further containers. Where the plugin runs one container of a job only, the others
/// get jobs of their own.
pub fn close(pod: &mut Pod, number: u32, now: Nanos, rules: &Rules) {
    if rules.plugin.one_container_per_job {
        split(pod, number, now);
    }
    if let Some(job) = pod.job_mut(number) {
        job.submission_event(Event::Closed, now, rules);
    }
}

fn split(pod: &mut Pod, number: u32, now: Nanos) {
    let is_gathering = |job: &&mut Job| matches!(job.submission, Submission::Gathering { .. });
    let Some(job) = pod.job_mut(number).filter(is_gathering) else {
        return;
    };
    let keep = 1.min(job.containers.len());
    let (ids, names) = (job.containers.split_off(keep), job.names.split_off(keep));
    for (id, name) in ids.into_iter().zip(names) {
        let job = new_job(pod, now);
        job.containers.push(id);
        job.names.push(name);
        // It is known by now what belongs together.
        job.members = JobMembers::Unknown;
    }
}

/// When a gathering job closes. Where it is not known what belongs to it: after the quiet period,
/// which counts from the creation of a container that was created since the last start, for that
/// is about to be started too. None: when something comes.
pub fn closes_at(pod: &Pod, job: &Job, last_start: Nanos, rules: &Rules) -> Option<Nanos> {
    if let JobMembers::Awaits { others, .. } = &job.members {
        if others.iter().all(|name| has(&job.names, name)) {
            return Some(last_start);
        }
        let only_sidecars = job.names.iter().all(|name| job.is_sidecar(name));
        return (!only_sidecars).then(|| last_start.plus(PATIENCE));
    }
    let created = pod
        .containers
        .iter()
        .filter(|entry| entry.status.phase() == ContainerPhase::Created)
        .map(|entry| entry.container.created_at)
        .max();
    let last = created.map_or(last_start, |created| created.max(last_start));
    Some(last.plus(rules.quiet_period))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        plan::testing::{container, created, pod},
    };

    fn jobs(pod: &Pod) -> Vec<Vec<&str>> {
        pod.jobs
            .iter()
            .map(|job| job.names.iter().map(Shared::as_str).collect())
            .collect()
    }

    #[test]
    fn containers_started_close_together_share_a_job() {
        let mut pod = pod(&["a", "b"]);
        let ids: Vec<_> = pod.containers.iter().map(|c| c.id().clone()).collect();
        for id in &ids {
            start(&mut pod, id, Nanos(1_000)).expect("starts");
        }
        assert_eq!(jobs(&pod), [["a", "b"]]);
        assert_eq!(pod.next_job, 1);
    }

    #[test]
    fn a_closed_job_takes_no_more() {
        let mut pod = pod(&["init", "main"]);
        let ids: Vec<_> = pod.containers.iter().map(|c| c.id().clone()).collect();
        start(&mut pod, &ids[0], Nanos(1)).expect("starts");
        pod.jobs[0].submission = Submission::Pending {
            failures: 0,
            not_before: Nanos(2),
        };
        start(&mut pod, &ids[1], Nanos(3)).expect("starts");
        assert_eq!(jobs(&pod), [["init"], ["main"]]);
        assert_ne!(pod.jobs[0].uid, pod.jobs[1].uid);
    }

    #[test]
    fn a_second_attempt_at_a_name_is_a_job_of_its_own() {
        let mut pod = pod(&["a"]);
        let first = pod.containers[0].id().clone();
        start(&mut pod, &first, Nanos(1)).expect("starts");
        pod.add_container(container(&pod, "a", 1));
        let second = pod.containers[1].id().clone();
        start(&mut pod, &second, Nanos(2)).expect("starts");
        assert_eq!(jobs(&pod), [["a"], ["a"]]);
    }

    #[test]
    fn only_a_created_container_in_a_ready_sandbox_starts() {
        let mut one = pod(&["a"]);
        let id = one.containers[0].id().clone();
        assert_eq!(
            start(&mut one, &ContainerId::from("x"), Nanos(1)),
            Err(Refusal::NoContainer)
        );
        start(&mut one, &id, Nanos(1)).expect("starts");
        assert_eq!(start(&mut one, &id, Nanos(1)), Err(Refusal::Running));
        let mut stopped = pod(&["a"]);
        let id = stopped.containers[0].id().clone();
        stopped.status.stopped_at = Some(Nanos(1));
        assert_eq!(
            start(&mut stopped, &id, Nanos(2)),
            Err(Refusal::SandboxNotReady)
        );
    }

    #[test]
    fn a_container_that_was_just_created_holds_the_job_open() {
        let rules = crate::profile::rules(&Config::default());
        let mut pod = pod(&["a"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(1_000)).expect("starts");
        assert_eq!(
            closes_at(&pod, &pod.jobs[0], Nanos(1_000), &rules),
            Some(Nanos(1_000).plus(rules.quiet_period))
        );
        let next = created(&pod, "b", Nanos(9_000));
        pod.add_container(next);
        assert_eq!(
            closes_at(&pod, &pod.jobs[0], Nanos(1_000), &rules),
            Some(Nanos(9_000).plus(rules.quiet_period))
        );
    }

    fn rules(scope: JobScope) -> Rules {
        Rules {
            scope,
            asks_api_server: true,
            ..crate::profile::rules(&Config::default())
        }
    }

    fn whole(inits: &[&str], sidecars: &[&str], mains: &[&str]) -> PodContainers {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        PodContainers {
            inits: texts(inits),
            sidecars: texts(sidecars),
            mains: texts(mains),
        }
    }

    /// Creates and starts a container.
    fn launch(pod: &mut Pod, name: &str, attempt: u32, at: i64) -> ContainerId {
        let new = crate::model::Container {
            created_at: pod.next_created_at(Nanos(at)),
            ..container(pod, name, attempt)
        };
        let id = new.id.clone();
        pod.add_container(new);
        start(pod, &id, Nanos(at)).expect("starts");
        id
    }

    fn submitted(pod: &mut Pod, number: usize) {
        pod.jobs[number].submission = Submission::Submitted { at: Nanos(5) };
    }

    fn expected(job: &Job) -> Vec<&str> {
        job.expected.iter().map(|one| one.name.as_str()).collect()
    }

    #[test]
    fn the_first_start_takes_the_whole_pod_along() {
        let rules = rules(JobScope::Pod);
        let whole = whole(&["i1", "i2"], &["s"], &["a", "b"]);
        let mut pod = pod(&[]);
        launch(&mut pod, "i1", 0, 1_000);
        note_members(&mut pod, 0, Some(&whole), &rules);
        let job = &pod.jobs[0];
        assert_eq!(
            (expected(job), &job.inits),
            (vec!["i2", "s", "a", "b"], &whole.inits)
        );
        assert_eq!(
            closes_at(&pod, job, Nanos(1_000), &rules),
            Some(Nanos(1_000))
        );
        submitted(&mut pod, 0);
        // What the kubelet starts later is bound to it, in whatever order.
        for (name, left) in [("i2", vec!["s", "a", "b"]), ("b", vec!["s", "a"])] {
            launch(&mut pod, name, 0, 2_000);
            assert_eq!(expected(&pod.jobs[0]), left);
        }
        assert_eq!(jobs(&pod), [["i1", "i2", "b"]]);
        // A restart is a job of its own, and takes along what was never started.
        pod.jobs[0].expected.clear();
        launch(&mut pod, "i1", 1, 3_000);
        note_members(&mut pod, 1, Some(&whole), &rules);
        assert_eq!(expected(&pod.jobs[1]), ["s", "a"]);
        assert_eq!(pod.jobs[1].inits, ["i1"]);
    }

    #[test]
    fn a_bound_container_takes_its_last_known_state_at_once() {
        let rules = rules(JobScope::Pod);
        let mut pod = pod(&[]);
        launch(&mut pod, "i", 0, 1_000);
        note_members(&mut pod, 0, Some(&whole(&["i"], &[], &["a", "b"])), &rules);
        submitted(&mut pod, 0);
        pod.jobs[0].expected[0].remote = crate::model::Remote::Running;
        pod.jobs[0].expected[1].end = Some(Exit {
            code: 3,
            reason: "Error".to_owned(),
            message: String::new(),
            finished_at: Nanos(1_500),
            termination_message: None,
            used: None,
        });
        let a = launch(&mut pod, "a", 0, 2_000);
        let b = launch(&mut pod, "b", 0, 2_000);
        let status = |id| &pod.container(id).expect("it is there").status;
        assert_eq!(status(&a).remote, crate::model::Remote::Running);
        assert!(status(&a).is_live());
        let end = status(&b).reported.as_ref().expect("it has ended");
        assert_eq!(
            (end.code, end.finished_at),
            (3, status(&b).started_at.expect("a time"))
        );
        assert!(status(&b).log_owed_since.is_some());
    }

    #[test]
    fn nothing_is_bound_to_a_job_that_is_not_there() {
        let rules = rules(JobScope::Pod);
        for lose in [
            (|job: &mut Job| job.submission = Submission::Lost) as fn(&mut Job),
            |job| job.submission = Submission::Dropped,
            |job| job.cancel = Some(crate::model::Cancellation::Done),
        ] {
            let mut pod = pod(&[]);
            launch(&mut pod, "i", 0, 1_000);
            note_members(&mut pod, 0, Some(&whole(&["i"], &[], &["a"])), &rules);
            submitted(&mut pod, 0);
            lose(&mut pod.jobs[0]);
            launch(&mut pod, "a", 0, 2_000);
            assert_eq!(jobs(&pod), [["i"], ["a"]]);
        }
    }

    #[test]
    fn a_job_that_knows_what_belongs_to_it_waits_for_that() {
        let rules = rules(JobScope::Containers);
        let whole = whole(&["i"], &["s"], &["a", "b"]);
        let mut pod = pod(&[]);
        launch(&mut pod, "s", 0, 1_000);
        note_members(&mut pod, 0, Some(&whole), &rules);
        let closes =
            |pod: &Pod, number: usize, at| closes_at(pod, &pod.jobs[number], Nanos(at), &rules);
        assert_eq!(
            closes(&pod, 0, 1_000),
            None,
            "init containers may take hours"
        );
        launch(&mut pod, "i", 0, 2_000);
        note_members(&mut pod, 1, Some(&whole), &rules);
        assert_eq!(closes(&pod, 1, 2_000), Some(Nanos(2_000)), "it runs alone");
        launch(&mut pod, "a", 0, 3_000);
        assert_eq!(closes(&pod, 0, 3_000), Some(Nanos(3_000).plus(PATIENCE)));
        launch(&mut pod, "b", 0, 4_000);
        assert_eq!(closes(&pod, 0, 4_000), Some(Nanos(4_000)));
        assert_eq!(jobs(&pod), [vec!["s", "a", "b"], vec!["i"]]);
        submitted(&mut pod, 0);
        launch(&mut pod, "a", 1, 5_000);
        note_members(&mut pod, 2, Some(&whole), &rules);
        assert_eq!(
            closes(&pod, 2, 5_000),
            Some(Nanos(5_000)),
            "a restart waits for nobody"
        );
    }

    #[test]
    fn without_an_answer_the_quiet_period_counts() {
        let rules = rules(JobScope::Pod);
        let whole = whole(&[], &[], &["a"]);
        for (name, whole) in [("a", None), ("debugger", Some(&whole))] {
            let mut pod = pod(&[]);
            launch(&mut pod, name, 0, 1_000);
            note_members(&mut pod, 0, whole, &rules);
            assert_eq!(pod.jobs[0].members, JobMembers::Unknown);
            let due = closes_at(&pod, &pod.jobs[0], Nanos(1_000), &rules);
            assert_eq!(due, Some(Nanos(1_000).plus(rules.quiet_period)));
        }
    }
}
