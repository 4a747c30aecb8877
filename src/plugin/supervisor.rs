//! All pods: creating, finding and ending them, and the one thread that looks after them.
//!
//! Lock order: `creating`, then `pods`, then a pod's own. No lock is held across the removal of
//! a pod's files, and none across a wait.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use crate::threads::{self, Threads};

use super::{
    container::Shims,
    doorbell::{self, Doorbell},
    estate::{self, clear, remove_tree},
    layout,
    names::is_uid,
    pod::{Launcher, Outlook, Pod},
    pod_dir::{PodDir, Root},
    submission::Submission,
    Error, Refusal,
};

/// How often pods that live are looked at unasked: a shim that was killed rings no bell.
const SWEEP: Duration = Duration::from_secs(2);
/// How often shims that have ended are reaped while there are any.
const REAP: Duration = Duration::from_millis(200);
/// The longest wait when there is nothing to wait for.
const REST: Duration = Duration::from_secs(10);

/// The pods of one root, and their thread.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    threads: Threads,
    bell: Arc<Doorbell>,
    /// Held for as long as this plugin owns the root.
    _lock: File,
}

struct Shared {
    root: Root,
    launcher: Launcher,
    /// Held while a pod comes into being, so that no other does under the same UID.
    creating: Mutex<()>,
    pods: Mutex<HashMap<String, Arc<Pod>>>,
    /// Notified when a pod has left, and when all ends.
    left: Condvar,
    stopping: AtomicBool,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    /// Nothing was there.
    Unknown,
    /// All of it is gone.
    Gone,
    /// It will be killed at that time if it has not ended by then.
    Until(Timestamp),
}

impl Supervisor {
    /// Takes over a root, with what an earlier plugin left running.
    pub(super) fn start(root: &Path, shim: PathBuf) -> Result<Self, Error> {
        let (root, lock) = estate::take_over(root)?;
        let failed = |source| Error::Root {
            path: root.0.clone(),
            source,
        };
        let bell = Arc::new(Doorbell::install(&root.0).map_err(failed)?);
        let pods = adopt(&root).map_err(failed)?;
        let shared = Arc::new(Shared {
            launcher: Launcher {
                shim,
                shims: Shims::default(),
            },
            root,
            creating: Mutex::default(),
            pods: Mutex::new(pods),
            left: Condvar::new(),
            stopping: AtomicBool::new(false),
        });
        let name = "plugin-pods";
        let threads = Threads::default();
        threads
            .start(name, {
                let (shared, bell) = (Arc::clone(&shared), Arc::clone(&bell));
                move || shared.look_after(&bell)
            })
            .map_err(|source| Error::Thread { name, source })?;
        Ok(Self {
            shared,
            threads,
            bell,
            _lock: lock,
        })
    }

    /// Lays a pod out and starts it; gives the job id. The same pod again is the same job.
    pub(super) fn create(&self, submission: &Submission) -> Result<String, Refusal> {
        let shared = &self.shared;
        let uid = &submission.record.uid;
        let pod = {
            let _creating = shared.creating.lock();
            if let Some(pod) = self.pod(uid) {
                return repeated(&pod, submission);
            }
            let dir = shared.lay_out(submission)?;
            let pod = Arc::new(Pod::new(submission.record.clone(), dir));
            shared.pods.lock().insert(uid.clone(), Arc::clone(&pod));
            pod
        };
        pod.tend(&shared.launcher, Timestamp::now());
        doorbell::ring(&shared.root.0, uid);
        Ok(pod.record.jid.clone())
    }

    /// A pod by its UID.
    pub(super) fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        self.shared.pods.lock().get(uid).cloned()
    }

    /// A pod by its UID, freshly looked at.
    pub(super) fn look(&self, uid: &str) -> Option<Arc<Pod>> {
        let pod = self.pod(uid)?;
        pod.tend(&self.shared.launcher, Timestamp::now());
        Some(pod)
    }

    /// Whether nothing more will come from a container.
    pub(super) fn is_over(&self, pod: &Pod, container: &str) -> bool {
        pod.is_over(container, &self.shared.launcher)
            .unwrap_or(true)
    }

    /// Ends a pod and removes all that is left of it, and waits up to `patience` for that.
    pub(super) fn delete(
        &self,
        uid: &str,
        grace: Option<Duration>,
        patience: Duration,
    ) -> io::Result<Deleted> {
        let Some(pod) = self.pod(uid) else {
            return Ok(Deleted::Unknown);
        };
        let grace = grace.unwrap_or(Duration::from_secs(pod.record.grace_seconds));
        let kill_at = pod.begin_deletion(grace, Timestamp::now())?;
        pod.tend(&self.shared.launcher, Timestamp::now());
        doorbell::ring(&self.shared.root.0, uid);

        let deadline = Instant::now() + patience;
        let mut pods = self.shared.pods.lock();
        loop {
            match pods.get(uid) {
                Some(there) if Arc::ptr_eq(there, &pod) => {}
                _ => return Ok(Deleted::Gone),
            }
            let late = self.shared.left.wait_until(&mut pods, deadline);
            if late.timed_out() || self.shared.stopping.load(Ordering::Relaxed) {
                return Ok(Deleted::Until(kill_at));
            }
        }
    }

    /// Lets everybody who waits for a pod's end go on. What runs stays.
    pub(super) fn begin_stop(&self) {
        self.threads.begin_stop();
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Under the lock, so that nobody falls asleep between the look and the wait.
        let _pods = self.shared.pods.lock();
        self.shared.left.notify_all();
    }

    /// Ends the thread. The containers go on; the next plugin on this root adopts them.
    pub(super) fn stop(&mut self) {
        self.begin_stop();
        self.bell.silence();
        self.threads.join();
        self.shared.launcher.shims.reap();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Writes a pod's directory elsewhere and moves it in whole: after a crash there is all of
    /// it or none.
    fn lay_out(&self, submission: &Submission) -> Result<PodDir, Refusal> {
        let uid = &submission.record.uid;
        let place = self.root.pod(uid);
        let draft = PodDir(self.root.new_pods().join(uid));
        let laid = remove_tree(&draft.0)
            .map_err(Refusal::from)
            .and_then(|()| layout::write(submission, &draft, &place, &self.root))
            .and_then(|()| Ok(fs::rename(&draft.0, &place.0)?));
        if laid.is_err() {
            if let Err(error) = remove_tree(&draft.0) {
                log::warn!("cannot remove {}: {error}", draft.0.display());
            }
        }
        laid.map(|()| place)
    }

    /// The thread: looks at whoever rings, and at all who live now and then.
    fn look_after(&self, bell: &Doorbell) {
        clear(&self.root.trash());
        let mut next_sweep = Instant::now();
        let mut next_reap = next_sweep;
        while !self.stopping.load(Ordering::Relaxed) {
            threads::point("plugin-pods");
            let now = Instant::now();
            if now >= next_reap {
                let shims = self.launcher.shims.reap();
                next_reap = now + if shims > 0 { REAP } else { REST };
            }
            if now >= next_sweep {
                next_sweep = now + self.sweep();
            }
            let next = next_sweep.min(next_reap);
            let rung = bell.wait(next.saturating_duration_since(Instant::now()));
            let pod = rung.and_then(|uid| self.pods.lock().get(&uid).cloned());
            if let Some(pod) = pod {
                let now = Instant::now();
                next_sweep = next_sweep.min(now + self.tend(&pod));
                next_reap = next_reap.min(now + REAP);
            }
        }
    }

    /// Looks at every pod; gives how long that is good for.
    fn sweep(&self) -> Duration {
        let pods: Vec<_> = self.pods.lock().values().cloned().collect();
        pods.iter().map(|pod| self.tend(pod)).min().unwrap_or(REST)
    }

    /// Looks at one pod, and lets it go when it is gone; gives how long that is good for.
    fn tend(&self, pod: &Arc<Pod>) -> Duration {
        let now = Timestamp::now();
        match pod.tend(&self.launcher, now) {
            Outlook::Settled => REST,
            Outlook::Live => SWEEP,
            Outlook::At(time) => {
                let left = Duration::try_from(time.duration_since(now));
                left.unwrap_or_default().min(SWEEP)
            }
            Outlook::Gone => {
                self.let_go(pod);
                REST
            }
        }
    }

    /// Takes a pod out of the world: its place, its files, and at last its name, so that who
    /// hears that it is gone finds nothing.
    fn let_go(&self, pod: &Arc<Pod>) {
        let uid = &pod.record.uid;
        let grave = self.root.trash().join(uid);
        let buried = remove_tree(&grave).and_then(|()| fs::rename(&pod.dir.0, &grave));
        if let Err(error) = buried {
            // The next sweep tries again.
            return log::error!("cannot remove pod {uid}: {error}");
        }
        if let Err(error) = remove_tree(&grave) {
            // The next plugin tries again.
            log::error!("cannot remove all files of pod {uid}: {error}");
        }
        self.pods.lock().remove(uid);
        self.left.notify_all();
    }
}

/// What a /create gets for a pod that is there.
fn repeated(pod: &Pod, submission: &Submission) -> Result<String, Refusal> {
    let uid = &pod.record.uid;
    if pod.is_being_deleted() {
        return Err(Refusal::conflict(format!(
            "pod {uid} is being deleted; create it again when it is gone"
        )));
    }
    if pod.record.fingerprint != submission.record.fingerprint {
        return Err(Refusal::conflict(format!(
            "there is another pod with the UID {uid}"
        )));
    }
    Ok(pod.record.jid.clone())
}

/// Reads the pods of a root. One that cannot be read stays where it is, for somebody to look at.
fn adopt(root: &Root) -> io::Result<HashMap<String, Arc<Pod>>> {
    let mut pods = HashMap::new();
    for entry in fs::read_dir(root.pods())? {
        let name = entry?.file_name();
        let Some(uid) = name.to_str().filter(|name| is_uid(name)) else {
            continue;
        };
        match Pod::adopt(root.pod(uid)) {
            Ok(pod) => {
                pods.insert(uid.to_owned(), Arc::new(pod));
            }
            Err(error) => log::error!("cannot adopt pod {uid}: {error}"),
        }
    }
    Ok(pods)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_plugin_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/root");
        let first = Supervisor::start(&root, "/proc/self/exe".into()).unwrap();
        let second = Supervisor::start(&root, "/proc/self/exe".into());
        assert!(matches!(second.map(drop), Err(Error::Taken { .. })));
        drop(first);
        Supervisor::start(&root, "/proc/self/exe".into()).unwrap();
        let mode = fs::metadata(&root).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_pod_that_cannot_be_read_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root(dir.path().into());
        let uid = "00000000-0000-4000-8000-000000000001";
        for (name, record) in [(uid, "{"), ("notes", "")] {
            fs::create_dir_all(root.pods().join(name)).unwrap();
            fs::write(root.pods().join(name).join("pod.json"), record).unwrap();
        }
        let supervisor = Supervisor::start(dir.path(), "/proc/self/exe".into()).unwrap();
        assert!(supervisor.pod(uid).is_none());
        assert!(root.pod(uid).0.exists());
    }
}
