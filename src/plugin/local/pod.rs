//! One pod of the local backend: which container's turn it is, what is reported of them, and the
//! pod's end.

use std::{io, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::{
    container::{LocalContainer, RunState},
    container_dir::ContainerDir,
    shims::Shims,
};
use crate::plugin::{
    backend::{AfterEnd, ContainerReport, PodReport, ReportedState},
    pods::{write_record, DeletionRecord, PodDir, PodRecord, StoredPod},
};

/// How long after the kill a shim may take to record that its container has ended.
const SHIM_PATIENCE: SignedDuration = SignedDuration::from_secs(3);
/// How soon it is looked again whether the rest of a container that has ended is gone; most often that is
/// its shim, which is about to end.
const REST_PACE: SignedDuration = SignedDuration::from_millis(10);
/// For how long it is kept how a pod ended that was deleted: longer than a daemon waits for it
/// (`jobs.stop_patience`, 30 s).
const KEEP: SignedDuration = SignedDuration::from_secs(45);
/// How soon a pod that is being killed is looked at again.
const KILL_PACE: SignedDuration = SignedDuration::from_millis(200);

/// A pod that was created and not yet deleted.
#[derive(Debug)]
pub(super) struct LocalPod {
    pub(super) record: Arc<PodRecord>,
    pub(super) dir: PodDir,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Init containers, then main containers.
    containers: Vec<LocalContainer>,
    deletion: Option<DeletionRecord>,
}

/// When a pod has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextLook {
    /// Never of itself: nothing of it runs, and nothing will start.
    NotNeeded,
    /// Now and then. A shim sends a wake-up when something happens, but a shim that was killed
    /// sends none.
    Periodically,
    /// Not later than this.
    At(Timestamp),
    /// No more: the pod is to be deleted, nothing of it runs, and its files can be removed.
    Remove,
}

impl LocalPod {
    pub(super) fn new(record: PodRecord, dir: PodDir) -> Self {
        Self::with_deletion(record, dir, None)
    }

    /// A pod that an earlier plugin left.
    pub(super) fn adopt(stored: StoredPod) -> Self {
        Self::with_deletion(stored.record, stored.dir, stored.deletion)
    }

    fn with_deletion(record: PodRecord, dir: PodDir, deletion: Option<DeletionRecord>) -> Self {
        let containers = record
            .all_containers()
            .map(|container| LocalContainer {
                name: container.name.clone(),
                image: container.image.clone(),
                dir: ContainerDir::of(&dir, &container.name),
                state: RunState::NotStarted,
                is_term_sent: false,
            })
            .collect();
        let inner = Mutex::new(Inner {
            containers,
            deletion,
        });
        Self {
            record: Arc::new(record),
            dir,
            inner,
        }
    }

    /// Looks what has become of the containers, and does what is due: starts those whose turn it
    /// is, or goes on with the deletion.
    pub(super) fn advance(&self, shims: &Shims, now: Timestamp) -> NextLook {
        let mut inner = self.inner.lock();
        for container in &mut inner.containers {
            container.update(shims);
        }
        match inner.deletion.clone() {
            Some(deletion) => inner.end(&deletion, now),
            None => inner.start_due(self.record.init_containers.len(), shims),
        }
    }

    /// Asks for the pod's end, not later than `grace` from now; gives the time of the kill. An
    /// earlier request stands where it is the stricter one; whether the pod is kept, the last one says.
    pub(super) fn begin_deletion(
        &self,
        grace: Duration,
        then: AfterEnd,
        now: Timestamp,
    ) -> io::Result<Timestamp> {
        let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
        let kill_at = now.saturating_add(grace).unwrap_or(now);
        let mut inner = self.inner.lock();
        let earlier = inner.deletion.as_ref().map(|deletion| deletion.kill_at);
        let kill_at = earlier.map_or(kill_at, |earlier| earlier.min(kill_at));
        let keep_until = match then {
            AfterEnd::Remove => None,
            AfterEnd::Keep => kill_at.max(now).saturating_add(KEEP).ok(),
        };
        let deletion = DeletionRecord {
            kill_at,
            keep_until,
        };
        // On disk before it is begun: the plugin that comes after this one ends the pod as well.
        write_record(&self.dir.deletion(), &deletion)?;
        inner.deletion = Some(deletion);
        Ok(kill_at)
    }

    /// Whether it was deleted and has ended, and how it ended is kept.
    pub(super) fn is_kept(&self) -> bool {
        let inner = self.inner.lock();
        let deletion = inner.deletion.as_ref();
        deletion.is_some_and(|deletion| deletion.keep_until.is_some()) && inner.has_ended()
    }

    pub(super) fn is_being_deleted(&self) -> bool {
        self.inner.lock().deletion.is_some()
    }

    /// Whether a container of that name will write nothing more; true if there is no such one.
    pub(super) fn is_log_complete(&self, container: &str, shims: &Shims) -> bool {
        let mut inner = self.inner.lock();
        let inits = self.record.init_containers.len();
        let Some(number) = inner.containers.iter().position(|c| c.name == container) else {
            return true;
        };
        inner.containers[number].update(shims);
        let will_not_start = inner.deletion.is_some() || inner.failed_init(inits).is_some();
        match inner.containers[number].state {
            RunState::Ended(_) => true,
            RunState::NotStarted => will_not_start,
            RunState::Starting(_) | RunState::Running(_) => false,
        }
    }

    /// What /status will say of it.
    pub(super) fn report(&self) -> PodReport {
        let inner = self.inner.lock();
        let inits = self.record.init_containers.len();
        let message = inner.why_not_started(inits);
        let mut reports = inner.containers.iter().map(|container| ContainerReport {
            name: container.name.clone(),
            image: container.image.clone(),
            id: format!("local://{}/{}", self.record.uid, container.name),
            state: reported_state(&container.state, message.as_ref()),
        });
        PodReport {
            record: Arc::clone(&self.record),
            init_containers: reports.by_ref().take(inits).collect(),
            containers: reports.collect(),
        }
    }
}

impl Inner {
    fn start_due(&mut self, inits: usize, shims: &Shims) -> NextLook {
        // A start that fails at once can make it the next one's turn.
        loop {
            let states: Vec<&RunState> = self.containers.iter().map(|c| &c.state).collect();
            let due = due(&states, inits);
            if due.is_empty() {
                break;
            }
            for number in due {
                self.containers[number].start(shims);
            }
        }
        let is_live = self
            .containers
            .iter()
            .any(|c| matches!(c.state, RunState::Starting(_) | RunState::Running(_)));
        match is_live {
            true => NextLook::Periodically,
            false => NextLook::NotNeeded,
        }
    }

    fn end(&mut self, deletion: &DeletionRecord, now: Timestamp) -> NextLook {
        let shim_deadline = deletion
            .kill_at
            .saturating_add(SHIM_PATIENCE)
            .unwrap_or(now);
        let (mut is_live, mut is_asked, mut is_killed) = (false, false, false);
        for container in &mut self.containers {
            if matches!(container.state, RunState::NotStarted | RunState::Ended(_)) {
                is_live |= container.end_rest();
                continue;
            }
            is_live = true;
            if now >= deletion.kill_at {
                container.kill(now >= shim_deadline);
                is_killed = true;
            } else {
                container.ask_to_end();
                is_asked = true;
            }
        }
        let soon = now.saturating_add(KILL_PACE).unwrap_or(now);
        let keep_until = deletion.keep_until.filter(|until| now < *until);
        match (is_live, keep_until) {
            (false, Some(until)) if self.has_ended() => NextLook::At(until),
            (false, _) => NextLook::Remove,
            (true, _) if is_asked => NextLook::At(soon.max(deletion.kill_at)),
            (true, _) if is_killed => NextLook::At(soon),
            (true, _) => NextLook::At(now.saturating_add(REST_PACE).unwrap_or(now)),
        }
    }

    /// Whether something of it has run, and nothing does.
    fn has_ended(&self) -> bool {
        let mut states = self.containers.iter().map(|container| &container.state);
        states
            .clone()
            .any(|state| matches!(state, RunState::Ended(_)))
            && states.all(|state| matches!(state, RunState::Ended(_) | RunState::NotStarted))
    }

    fn failed_init(&self, inits: usize) -> Option<&LocalContainer> {
        let mut containers = self.containers.iter().take(inits);
        containers.find(|c| matches!(&c.state, RunState::Ended(exit) if exit.code != 0))
    }

    /// Why containers that have not started do not, if it is more than that their turn has not come.
    fn why_not_started(&self, inits: usize) -> Option<String> {
        if self.deletion.is_some() {
            return Some("the pod is being deleted".to_owned());
        }
        let init = &self.failed_init(inits)?.name;
        Some(format!(
            "init container `{init}` failed, so this one will not start"
        ))
    }
}

/// Whose turn it is: init containers one by one, each after the success of the one before; then
/// all main containers together.
fn due(states: &[&RunState], inits: usize) -> Vec<usize> {
    let (init_states, main_states) = states.split_at(inits.min(states.len()));
    for (number, state) in init_states.iter().enumerate() {
        match state {
            RunState::Ended(exit) if exit.code == 0 => {}
            RunState::NotStarted => return vec![number],
            RunState::Starting(_) | RunState::Running(_) | RunState::Ended(_) => return Vec::new(),
        }
    }
    let mains = main_states.iter().enumerate();
    mains
        .filter(|(_, state)| matches!(state, RunState::NotStarted))
        .map(|(number, _)| init_states.len() + number)
        .collect()
}

/// `message` is for a container that has not started.
fn reported_state(state: &RunState, message: Option<&String>) -> ReportedState {
    // The reasons of waiting containers are the kubelet's (kubelet_pods.go,
    // `convertToAPIContainerStatuses`): people know them from `kubectl get pods`.
    match state {
        RunState::NotStarted => ReportedState::Waiting {
            reason: "PodInitializing",
            message: message.cloned(),
        },
        RunState::Starting(_) => ReportedState::Waiting {
            reason: "ContainerCreating",
            message: None,
        },
        RunState::Running(start) => ReportedState::Running {
            started_at: start.at,
        },
        RunState::Ended(exit) => ReportedState::Terminated(exit.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::pods::ContainerExit;

    fn ended(code: i32) -> RunState {
        RunState::Ended(ContainerExit {
            code,
            signal: None,
            reason: String::new(),
            message: String::new(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            cpu_millis: None,
        })
    }

    #[test]
    fn whose_turn_it_is() {
        let (wait, busy, good, bad) = (
            RunState::NotStarted,
            RunState::Starting(None),
            ended(0),
            ended(7),
        );
        for (name, inits, mains, want) in [
            (
                "no init: all main ones",
                vec![],
                vec![&wait, &wait],
                vec![0, 1],
            ),
            ("one of them is late", vec![], vec![&busy, &wait], vec![1]),
            ("the first init", vec![&wait, &wait], vec![&wait], vec![0]),
            ("an init runs", vec![&busy, &wait], vec![&wait], vec![]),
            ("the second init", vec![&good, &wait], vec![&wait], vec![1]),
            ("an init failed", vec![&bad, &wait], vec![&wait], vec![]),
            (
                "the last init failed",
                vec![&good, &bad],
                vec![&wait],
                vec![],
            ),
            (
                "inits are done",
                vec![&good, &good],
                vec![&wait, &wait],
                vec![2, 3],
            ),
            (
                "main ones may fail",
                vec![&good],
                vec![&bad, &wait],
                vec![2],
            ),
            ("nothing is left", vec![&good], vec![&bad, &good], vec![]),
        ] {
            let states: Vec<&RunState> = inits.iter().chain(&mains).copied().collect();
            assert_eq!(due(&states, inits.len()), want, "{name}");
        }
    }
}
