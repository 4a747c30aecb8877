//! One pod: which container's turn it is, what is to be said of them, and their end.

use std::{io, path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use parking_lot::Mutex;

use super::{
    container::{Container, Shims, State},
    pod_dir::{read_record, write_record, Deletion, Exit, PodDir, PodRecord},
};
use crate::interlink::wire::PodStatus;

/// How long after the kill a shim may take to say that its container has ended.
const SHIM_PATIENCE: SignedDuration = SignedDuration::from_secs(3);
/// How soon a pod that is being killed is looked at again.
const KILL_PACE: SignedDuration = SignedDuration::from_millis(200);

/// A pod that was created and not yet deleted.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) record: PodRecord,
    pub(super) dir: PodDir,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Init containers, then main containers.
    containers: Vec<Container>,
    deletion: Option<Deletion>,
}

/// When a pod wants to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Nothing more will happen of itself.
    Settled,
    /// A shim will ring when something happens; now and then it is worth a look whether the
    /// shim still lives.
    Live,
    /// Not later than this.
    At(Timestamp),
    /// It is to be deleted, and nothing of it runs.
    Gone,
}

/// What pods need to start containers.
#[derive(Debug)]
pub(super) struct Launcher {
    /// The executable that is the shim.
    pub(super) shim: PathBuf,
    pub(super) shims: Shims,
}

impl Pod {
    pub(super) fn new(record: PodRecord, dir: PodDir) -> Self {
        let containers = record
            .all_containers()
            .map(|container| Container {
                name: container.name.clone(),
                image: container.image.clone(),
                dir: dir.container(&container.name),
                state: State::Waiting,
                is_asked: false,
            })
            .collect();
        let inner = Mutex::new(Inner {
            containers,
            deletion: None,
        });
        Self { record, dir, inner }
    }

    /// A pod that an earlier plugin left.
    pub(super) fn adopt(dir: PodDir) -> io::Result<Self> {
        let record: PodRecord = read_record(&dir.record())?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no record"))?;
        if record.version != PodRecord::VERSION {
            let text = format!("version {} of the record is unknown", record.version);
            return Err(io::Error::other(text));
        }
        let deletion = read_record(&dir.deletion())?;
        let pod = Self::new(record, dir);
        pod.inner.lock().deletion = deletion;
        Ok(pod)
    }

    /// Looks what became of the containers, and does what is due: starts those whose turn it
    /// is, or goes on with the deletion.
    pub(super) fn tend(&self, launcher: &Launcher, now: Timestamp) -> Outlook {
        let mut inner = self.inner.lock();
        for container in &mut inner.containers {
            container.look(&launcher.shims);
        }
        match inner.deletion.clone() {
            Some(deletion) => inner.end(&deletion, now),
            None => inner.start(self.record.init_containers.len(), launcher),
        }
    }

    /// Asks for the pod's end, not later than `grace` from now. An earlier request stands where
    /// it is the stricter one.
    pub(super) fn begin_deletion(&self, grace: Duration, now: Timestamp) -> io::Result<Timestamp> {
        let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
        let kill_at = now.saturating_add(grace).unwrap_or(now);
        let mut inner = self.inner.lock();
        if let Some(deletion) = &inner.deletion {
            if deletion.kill_at <= kill_at {
                return Ok(deletion.kill_at);
            }
        }
        let deletion = Deletion { kill_at };
        // On disk before it is begun: the plugin that comes after this one ends it as well.
        write_record(&self.dir.deletion(), &deletion)?;
        inner.deletion = Some(deletion);
        Ok(kill_at)
    }

    pub(super) fn is_being_deleted(&self) -> bool {
        self.inner.lock().deletion.is_some()
    }

    /// Whether a container of that name will write nothing more; none if there is no such one.
    pub(super) fn is_over(&self, container: &str, launcher: &Launcher) -> Option<bool> {
        let mut inner = self.inner.lock();
        let inits = self.record.init_containers.len();
        let number = inner.containers.iter().position(|c| c.name == container)?;
        inner.containers[number].look(&launcher.shims);
        let will_not_start = inner.deletion.is_some() || inner.failed_init(inits).is_some();
        Some(match inner.containers[number].state {
            State::Ended(_) => true,
            State::Waiting => will_not_start,
            State::Starting(_) | State::Running(_) => false,
        })
    }

    /// What /status says of it.
    pub(super) fn status(&self) -> PodStatus {
        let inner = self.inner.lock();
        let inits = self.record.init_containers.len();
        let waiting = inner.why_waiting(inits);
        let mut statuses = inner.containers.iter().map(|container| {
            let waiting = (waiting.0.to_owned(), waiting.1.clone());
            container_status(&self.record.uid, container, waiting)
        });
        PodStatus {
            name: self.record.name.clone(),
            uid: self.record.uid.clone(),
            namespace: self.record.namespace.clone(),
            jid: self.record.jid.clone(),
            init_containers: statuses.by_ref().take(inits).collect(),
            containers: statuses.collect(),
        }
    }
}

impl Inner {
    fn start(&mut self, inits: usize, launcher: &Launcher) -> Outlook {
        // A start that fails at once can make it the next one's turn.
        loop {
            let states: Vec<&State> = self.containers.iter().map(|c| &c.state).collect();
            let due = due(&states, inits);
            if due.is_empty() {
                break;
            }
            for number in due {
                self.containers[number].start(&launcher.shim, &launcher.shims);
            }
        }
        let is_live = self
            .containers
            .iter()
            .any(|c| matches!(c.state, State::Starting(_) | State::Running(_)));
        match is_live {
            true => Outlook::Live,
            false => Outlook::Settled,
        }
    }

    fn end(&mut self, deletion: &Deletion, now: Timestamp) -> Outlook {
        let late_at = deletion
            .kill_at
            .saturating_add(SHIM_PATIENCE)
            .unwrap_or(now);
        let mut live = false;
        for container in &mut self.containers {
            if matches!(container.state, State::Waiting | State::Ended(_)) {
                continue;
            }
            live = true;
            if now >= deletion.kill_at {
                container.kill(now >= late_at);
            } else {
                container.ask_to_end();
            }
        }
        let soon = now.saturating_add(KILL_PACE).unwrap_or(now);
        match live {
            false => Outlook::Gone,
            true => Outlook::At(soon.max(deletion.kill_at)),
        }
    }

    fn failed_init(&self, inits: usize) -> Option<&Container> {
        let mut containers = self.containers.iter().take(inits);
        containers.find(|c| matches!(&c.state, State::Ended(exit) if exit.code != 0))
    }

    /// Reason and message for containers whose turn has not come.
    fn why_waiting(&self, inits: usize) -> (&'static str, Option<String>) {
        if self.deletion.is_some() {
            let text = "the pod is being deleted";
            return ("PodInitializing", Some(text.to_owned()));
        }
        let failed = self.failed_init(inits).map(|init| {
            let name = &init.name;
            format!("init container `{name}` failed, so this one will not start")
        });
        ("PodInitializing", failed)
    }
}

/// Whose turn it is: init containers one by one, each after the success of the one before; then
/// all main containers together.
fn due(states: &[&State], inits: usize) -> Vec<usize> {
    let (init_states, main_states) = states.split_at(inits.min(states.len()));
    for (number, state) in init_states.iter().enumerate() {
        match state {
            State::Ended(exit) if exit.code == 0 => {}
            State::Waiting => return vec![number],
            State::Starting(_) | State::Running(_) | State::Ended(_) => return Vec::new(),
        }
    }
    let waiting = main_states.iter().enumerate();
    waiting
        .filter(|(_, state)| matches!(state, State::Waiting))
        .map(|(number, _)| init_states.len() + number)
        .collect()
}

fn container_status(
    uid: &str,
    container: &Container,
    (reason, message): (String, Option<String>),
) -> ContainerStatus {
    let mut state = ContainerState::default();
    let waiting = |reason: String, message| ContainerStateWaiting {
        reason: Some(reason),
        message,
    };
    let id = format!("local://{uid}/{}", container.name);
    match &container.state {
        State::Waiting => state.waiting = Some(waiting(reason, message)),
        State::Starting(_) => state.waiting = Some(waiting("ContainerCreating".to_owned(), None)),
        State::Running(start) => {
            state.running = Some(ContainerStateRunning {
                started_at: Some(Time(start.at)),
            });
        }
        State::Ended(exit) => state.terminated = Some(terminated(exit, &id)),
    }
    let is_running = state.running.is_some();
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone(),
        container_id: Some(id),
        ready: is_running,
        started: Some(is_running),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

fn terminated(exit: &Exit, id: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(id.to_owned()),
        exit_code: exit.code,
        signal: exit.signal,
        reason: Some(exit.reason.clone()),
        message: (!exit.message.is_empty()).then(|| exit.message.clone()),
        started_at: Some(Time(exit.started_at)),
        finished_at: Some(Time(exit.finished_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32) -> State {
        State::Ended(Exit {
            code,
            signal: None,
            reason: String::new(),
            message: String::new(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
        })
    }

    #[test]
    fn whose_turn_it_is() {
        let (wait, busy, good, bad) = (State::Waiting, State::Starting(None), ended(0), ended(7));
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
            let states: Vec<&State> = inits.iter().chain(&mains).copied().collect();
            assert_eq!(due(&states, inits.len()), want, "{name}");
        }
    }
}
