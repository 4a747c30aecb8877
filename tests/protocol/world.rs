//! The world around a pod: kubelet, worker, poller, plugin, network, disk, time.

use std::{
    collections::{hash_map::DefaultHasher, BTreeMap, BTreeSet},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use interlink_cri::{
    backoff::Backoff,
    config::{
        schema::{JobScope, Jobs, Plugin},
        stops::UnconfirmedStop,
    },
    model::{
        Cancellation, Container, ContainerId, CriConfig, Nanos, Pod, Sandbox, SandboxId, Shared,
        StringMap, Submission,
    },
    plan::{
        call_results::{Deleted, Posted},
        submission::MIN_DENIALS,
        Rules, UnconfirmedStops,
    },
};

/// The unit of time.
pub const TICK: Duration = Duration::from_secs(10);
/// For how long after it left a POST may still be acted on.
pub const LATE: u64 = 3;
/// For how long a plugin may not show a fresh job.
pub const BLIND: u64 = 1;
/// How long an answer may take.
pub const LIMIT: u64 = 2;
/// How long a stop is waited for.
pub const PATIENCE: Duration = TICK.saturating_mul(2);
const GRACE: u32 = 4;
/// The code that containers end with over there.
pub const CODE: i32 = 7;
const START: Nanos = Nanos(1_000_000_000_000);
/// When containers are created: no job waits for the start of one.
const LONG_AGO: Nanos = Nanos(1);

/// How much may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub containers: usize,
    pub crashes: u8,
    /// Calls that end without an answer.
    pub doubts: u8,
    /// Of those, POSTs that are acted on at any later time, also after the plugin has denied the job
    /// for as long as it may be blind.
    pub late: u8,
    /// POSTs that are answered well without a job id: the plugin acts on them at any later time, when
    /// the others of the job's gang have come.
    pub gangs: u8,
    /// The plugin refuses a second POST of a job that it has.
    pub refuses_twice: bool,
    /// Questions about a job in doubt that are answered with the answer to another question.
    pub repeats: u8,
    /// Calls that are refused.
    pub refusals: u8,
    /// Jobs that the plugin forgets.
    pub forgets: u8,
    /// Attempts at a container that the kubelet makes after one that failed.
    pub restarts: u8,
    /// Stops wait to be known to have happened; else they are as those of a container whose job goes on
    /// for others.
    pub waits: bool,
    /// A stop that is not confirmed in time is refused, and the container counts as running.
    pub hold: bool,
    /// The plugin confirms a deletion before the job has ended, and keeps how it ended.
    pub keeps: bool,
    /// A job is the whole pod: the first container is an init container, those after it are started
    /// when it has succeeded. The API server may have no answer.
    pub whole: bool,
}

impl Budget {
    pub fn spent(self) -> Self {
        Self {
            crashes: 0,
            doubts: 0,
            late: 0,
            gangs: 0,
            repeats: 0,
            refusals: 0,
            forgets: 0,
            restarts: 0,
            ..self
        }
    }
}

/// A fault in the protocol, planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    None,
    DoubtCountsAsNotActed,
    PostLeavesBeforeTheDisk,
    OneDenialIsEnough,
    LateDenialCounts,
    FailedDeleteIsForgotten,
    RemovalForgetsJobs,
    LateAnswersResurrect,
    BindingForgetsTheEnd,
    NothingIsBound,
    DoubtEndsWithDenials,
    ExistsCountsAsRefused,
    GangCountsAsMissing,
    RepetitionDenies,
    StopIsBelievedAtOnce,
    StopEndsWithItsTime,
    EarlierDenialCounts,
}

/// The call that the worker which has the pod in hand is busy with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Worker {
    Idle,
    Posting(u32),
    Posted(u32, Posted),
    Asking(u32, Nanos),
    Asked(u32, Nanos, Heard),
    Deleting(u32),
    Deleted(u32, Deleted),
}

/// What an answer shows of a job: its containers and how they are; empty when it does not show the
/// job.
pub type View = Vec<(String, Over)>;

/// What comes of a question about a job in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    View(View),
    /// An answer that was given to another question.
    Repetition,
    NoAnswer,
}
/// What an answer to the poller shows of a job, and whether its deletion was confirmed before the question.
pub type Told = (u32, View, bool);

/// How a container is over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// An init container before it has not succeeded.
    Waits,
    Runs,
    Ended(i32),
}

/// A job that the plugin has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    pub since: Nanos,
    pub containers: View,
    /// It was told to end it, and will.
    pub is_ending: bool,
}

#[derive(Clone)]
pub struct World {
    pub pod: Option<Pod>,
    pub now: Nanos,
    pub budget: Budget,
    pub mutation: Mutation,
    pub worker: Worker,
    /// An answer to /status that is not taken over yet.
    pub poll: Option<(Nanos, Vec<Told>)>,
    /// Jobs that the last answers left out, how often and since when.
    pub missing: BTreeMap<u32, (u32, Nanos)>,
    pub plugin: BTreeMap<u32, Remote>,
    /// POSTs that may still be acted on, and when they left.
    pub flights: Vec<(u32, Nanos)>,
    /// POSTs that may be acted on at any time, until the plugin has deleted their job.
    pub late: BTreeSet<u32>,
    // What has happened, for the checks.
    pub runs: BTreeMap<u32, u8>,
    /// Jobs in which a container that waits for an init container has begun.
    pub mains: BTreeSet<(String, u32)>,
    pub ended: BTreeSet<(u32, String, i32)>,
    pub refused: BTreeSet<u32>,
    /// Jobs of which a late POST was acted on.
    pub acted_late: BTreeSet<u32>,
    pub forgotten: BTreeSet<u32>,
    pub stopped: BTreeSet<ContainerId>,
    /// Those whose stop waits to be known to have happened.
    pub waited_for: BTreeSet<ContainerId>,
}

/// The container that runs first where a job is the whole pod.
pub const INIT: &str = "c0";

pub fn rules(budget: Budget) -> Rules {
    Rules {
        quiet_period: TICK,
        retry: Backoff::doubling(TICK, TICK),
        server_error_retries: 0,
        unsure_grace: TICK * GRACE,
        complete_timeout: TICK * 2,
        kill_wait: Duration::ZERO,
        prepare_grace: Jobs::default().prepare_grace,
        unconfirmed_stops: Arc::new(UnconfirmedStops::new(&Jobs {
            unconfirmed_stop: match budget.hold {
                true => UnconfirmedStop::Hold,
                false => UnconfirmedStop::Release,
            },
            ..Jobs::default()
        })),
        lost_polls: 2,
        lost_grace: TICK * 3,
        asks_api_server: budget.whole,
        scope: if budget.whole {
            JobScope::Pod
        } else {
            JobScope::Containers
        },
        exit_table: Default::default(),
        limits: Arc::default(),
        plugin: interlink_cri::profile::traits(Plugin::Auto),
    }
}

pub fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap_or(u32::MAX)
}

/// An attempt at a container.
pub fn container(pod: &Pod, name: &str, attempt: u32) -> Container {
    Container {
        id: ContainerId::from(format!("{name}-{attempt}").as_str()),
        sandbox_id: pod.sandbox.id.clone(),
        name: name.into(),
        attempt,
        image: "busybox".into(),
        image_id: "sha256:0".into(),
        labels: StringMap::default(),
        annotations: Shared::default(),
        log_path: String::new(),
        created_at: LONG_AGO,
        config: CriConfig::default(),
    }
}

impl World {
    pub fn new(budget: Budget, mutation: Mutation) -> Self {
        let mut pod = Pod::new(Sandbox {
            id: SandboxId::from("sandbox"),
            name: "train".into(),
            namespace: "lab".into(),
            uid: "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10".into(),
            is_uid_taken: false,
            attempt: 0,
            labels: StringMap::default(),
            annotations: StringMap::default(),
            runtime_handler: Shared::default(),
            log_directory: String::new(),
            created_at: START,
            ip: None,
            config: CriConfig::default(),
        });
        for number in 0..budget.containers {
            let container = container(&pod, &format!("c{number}"), 0);
            pod.add_container(container);
        }
        Self {
            pod: Some(pod),
            now: START,
            budget,
            mutation,
            worker: Worker::Idle,
            poll: None,
            missing: BTreeMap::new(),
            plugin: BTreeMap::new(),
            flights: Vec::new(),
            late: BTreeSet::new(),
            runs: BTreeMap::new(),
            mains: BTreeSet::new(),
            ended: BTreeSet::new(),
            refused: BTreeSet::new(),
            acted_late: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            stopped: BTreeSet::new(),
            waited_for: BTreeSet::new(),
        }
    }

    /// What the store does after each change.
    pub fn forget(&mut self) {
        self.pod = self.pod.take().filter(|pod| !pod.is_forgotten());
        if self.pod.is_none() {
            self.worker = Worker::Idle;
            self.poll = None;
        }
    }

    /// Forgets what is forgotten, and moves times so that they only say how long ago, or how far
    /// ahead, in whole ticks and up to what makes a difference.
    pub fn settle(&mut self) {
        self.forget();
        let now = self.now;
        let move_ = |time: Nanos, longest: u64| {
            if time > now {
                let ahead = time.until(now).as_nanos().div_ceil(TICK.as_nanos());
                START.plus(ticks(u64::try_from(ahead).unwrap_or(u64::MAX)))
            } else {
                let ago = now.since(time).min(ticks(longest)).as_nanos() / TICK.as_nanos();
                let ago = i64::try_from(ago * TICK.as_nanos()).unwrap_or_default();
                Nanos(START.0 - ago)
            }
        };
        self.now = START;
        for (_, left) in &mut self.flights {
            *left = move_(*left, LATE);
        }
        for remote in self.plugin.values_mut() {
            remote.since = move_(remote.since, BLIND);
        }
        for (count, since) in self.missing.values_mut() {
            *count = (*count).min(2);
            *since = move_(*since, 6);
        }
        if let Some((at, _)) = &mut self.poll {
            *at = move_(*at, LIMIT);
        }
        if let Worker::Asking(_, at) | Worker::Asked(_, at, _) = &mut self.worker {
            *at = move_(*at, LIMIT);
        }
        let Some(pod) = &mut self.pod else { return };
        for time in [&mut pod.status.stopped_at, &mut pod.status.removed_at] {
            *time = time.map(|_| START);
        }
        for entry in &mut pod.containers {
            let status = &mut entry.status;
            status.started_at = status.started_at.map(|_| START);
            status.log_owed_since = status.log_owed_since.map(|time| move_(time, 2));
            status.log_not_before = Nanos(0);
            if let Some(stop) = &mut status.stopping {
                stop.since = START;
                stop.deadline = move_(stop.deadline, 0);
                stop.shared_until = stop.shared_until.map(|until| move_(until, 0));
            }
            for exit in [&mut status.exit, &mut status.reported]
                .into_iter()
                .flatten()
            {
                exit.finished_at = START;
            }
        }
        let expected = pod.jobs.iter_mut().flat_map(|job| &mut job.expected);
        for end in expected.filter_map(|expected| expected.end.as_mut()) {
            end.finished_at = START;
        }
        for job in &mut pod.jobs {
            job.created_at = START;
            job.submitted_at = None;
            job.in_doubt_since = job.in_doubt_since.map(|since| move_(since, 6));
            match &mut job.submission {
                Submission::Gathering { last_start } => *last_start = move_(*last_start, 1),
                Submission::Pending {
                    failures,
                    not_before,
                } => {
                    *failures = 1;
                    *not_before = move_(*not_before, 0);
                }
                Submission::Submitting { failures } => *failures = 1,
                Submission::Unsure {
                    failures,
                    since,
                    denials,
                    not_before,
                } => {
                    *failures = 1;
                    *denials = (*denials).min(MIN_DENIALS);
                    (*since, *not_before) = (move_(*since, 6), move_(*not_before, 0));
                }
                Submission::Submitted { at } => *at = START,
                Submission::Finished | Submission::Lost | Submission::Dropped => {}
            }
            if let Some(Cancellation::Delivered { at }) = &mut job.cancel {
                *at = START;
            }
            job.deleted_at = job.deleted_at.map(|_| START);
            if let Some(Cancellation::Requested {
                failures,
                not_before,
                ..
            }) = &mut job.cancel
            {
                *failures = 1;
                *not_before = move_(*not_before, 0);
            }
        }
    }

    /// What tells states apart.
    pub fn key(&self) -> u128 {
        let mut text = String::new();
        if let Some(pod) = &self.pod {
            let entries = pod.containers.iter();
            let statuses: Vec<_> = entries.map(|entry| (entry.id(), &entry.status)).collect();
            text = format!("{:?}{statuses:?}{:?}", pod.status, pod.jobs);
        }
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            text.hash(&mut hasher);
            self.budget.hash(&mut hasher);
            (&self.worker, &self.poll, &self.missing, &self.plugin).hash(&mut hasher);
            (&self.flights, &self.runs, &self.mains, &self.ended).hash(&mut hasher);
            (&self.refused, &self.forgotten, &self.stopped).hash(&mut hasher);
            self.waited_for.hash(&mut hasher);
            (&self.late, &self.acted_late).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }
}
