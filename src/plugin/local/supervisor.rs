//! All pods of the local backend: creating, finding and ending them, and the one thread that looks
//! after them.
//!
//! Lock order: `creating`, then `pods`, then a pod's own. No lock is held across the removal of
//! a pod's files, and none across a wait.

use std::{
    collections::HashMap,
    fs::File,
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

use super::{
    layout,
    pod::{LocalPod, NextLook},
    shims::Shims,
    wakeup::{self, WakeUps},
};
use crate::{
    disk::Disk,
    plugin::{
        backend::{AfterEnd, DeleteOutcome},
        error::Error,
        pods::{provide_host_paths, remove_tree, take_over, PodRequest, RootDir},
        refusal::Refusal,
    },
    threads::{self, Threads},
};

/// How often pods that live are looked at unasked: a shim that was killed sends no wake-up.
const LIVE_PERIOD: Duration = Duration::from_secs(2);
/// How often shims that have ended are reaped while there are any.
const REAP_PERIOD: Duration = Duration::from_millis(200);
/// The longest wait when there is nothing to wait for.
const IDLE_PERIOD: Duration = Duration::from_secs(10);

/// The pods of one root directory, and their thread.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    threads: Threads,
    wake_ups: Arc<WakeUps>,
    /// Held for as long as this plugin owns the root directory.
    _lock: File,
}

struct Shared {
    root: RootDir,
    shims: Arc<Shims>,
    /// The most that is kept of what a container prints, in bytes; 0 is no bound.
    max_output: u64,
    /// The threads that touch the pods' host paths.
    disk: Disk,
    /// Held while a pod is being written, so that no other is under the same UID.
    creating: Mutex<()>,
    pods: Mutex<HashMap<String, Arc<LocalPod>>>,
    /// Notified when a pod was removed, or has ended and is kept, and when the plugin stops.
    removed: Condvar,
    is_stopping: AtomicBool,
}

impl Supervisor {
    /// Takes over a root directory, with what an earlier plugin left running.
    pub(super) fn start(root: &Path, shim: PathBuf, max_output: u64) -> Result<Self, Error> {
        let (root, lock) = take_over(root)?;
        let failed = |source| Error::Root {
            path: root.0.clone(),
            source,
        };
        let wake_ups = Arc::new(WakeUps::bind(&root.0).map_err(failed)?);
        let stored = root.read_pods().map_err(failed)?.into_iter();
        let pods = stored.map(|pod| {
            let pod = LocalPod::adopt(pod);
            (pod.record.uid.clone(), Arc::new(pod))
        });
        let shared = Arc::new(Shared {
            pods: Mutex::new(pods.collect()),
            root,
            shims: Arc::new(Shims::new(shim)),
            max_output,
            disk: Disk::default(),
            creating: Mutex::default(),
            removed: Condvar::new(),
            is_stopping: AtomicBool::new(false),
        });
        let name = "plugin-pods";
        let threads = Threads::default();
        threads
            .start(name, {
                let (shared, wake_ups) = (Arc::clone(&shared), Arc::clone(&wake_ups));
                move || shared.look_after_pods(&wake_ups)
            })
            .map_err(|source| Error::Thread { name, source })?;
        Ok(Self {
            shared,
            threads,
            wake_ups,
            _lock: lock,
        })
    }

    /// Writes a pod to disk and starts it; gives the job's id. The same pod again is the same job.
    pub(super) fn create(&self, request: &PodRequest) -> Result<String, Refusal> {
        let shared = &self.shared;
        let uid = &request.uid;
        if self.pod(uid).is_none() {
            provide_host_paths(request, &shared.disk)?;
        }
        let pod = {
            let _creating = shared.creating.lock();
            // One that has ended and was deleted makes room, also where how it ended is kept.
            let kept = self.pod(uid).filter(|pod| pod.is_kept());
            kept.iter().for_each(|pod| shared.remove(pod));
            if let Some(pod) = self.pod(uid) {
                let is_being_deleted = pod.is_being_deleted();
                pod.record
                    .check_repeated(&request.fingerprint, is_being_deleted)?;
                return Ok(pod.record.jid.clone());
            }
            let (dir, record) = shared.root.add_pod(uid, |new| {
                layout::write(request, new, &shared.root, shared.max_output)
            })?;
            let pod = Arc::new(LocalPod::new(record, dir));
            shared.pods.lock().insert(uid.clone(), Arc::clone(&pod));
            pod
        };
        pod.advance(&shared.shims, Timestamp::now());
        wakeup::send(&shared.root.0, uid);
        Ok(pod.record.jid.clone())
    }

    /// A pod by its UID.
    pub(super) fn pod(&self, uid: &str) -> Option<Arc<LocalPod>> {
        self.shared.pods.lock().get(uid).cloned()
    }

    /// A pod by its UID, after a look at what has become of it.
    pub(super) fn advanced(&self, uid: &str) -> Option<Arc<LocalPod>> {
        let pod = self.pod(uid)?;
        pod.advance(&self.shared.shims, Timestamp::now());
        Some(pod)
    }

    pub(super) fn shims(&self) -> Arc<Shims> {
        Arc::clone(&self.shared.shims)
    }

    /// Ends a pod and removes or keeps what is left of it, and waits up to `patience` for that.
    pub(super) fn delete(
        &self,
        uid: &str,
        grace: Option<Duration>,
        then: AfterEnd,
        patience: Duration,
    ) -> io::Result<DeleteOutcome> {
        let Some(pod) = self.pod(uid) else {
            return Ok(DeleteOutcome::Unknown);
        };
        let grace = grace.unwrap_or(Duration::from_secs(pod.record.grace_seconds));
        let kill_at = pod.begin_deletion(grace, then, Timestamp::now())?;
        pod.advance(&self.shared.shims, Timestamp::now());
        wakeup::send(&self.shared.root.0, uid);

        let deadline = Instant::now() + patience;
        let mut pods = self.shared.pods.lock();
        loop {
            match pods.get(uid) {
                Some(there) if Arc::ptr_eq(there, &pod) && pod.is_kept() => {
                    return Ok(DeleteOutcome::Ended);
                }
                Some(there) if Arc::ptr_eq(there, &pod) => {}
                _ => return Ok(DeleteOutcome::Gone),
            }
            let wait = self.shared.removed.wait_until(&mut pods, deadline);
            if wait.timed_out() || self.shared.is_stopping.load(Ordering::Relaxed) {
                return Ok(DeleteOutcome::KilledAt(kill_at));
            }
        }
    }

    /// Lets everybody who waits for a pod's end go on. What runs stays.
    pub(super) fn begin_stop(&self) {
        self.threads.begin_stop();
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        self.shared.tell_waiters();
    }

    /// Ends the thread. The containers go on; the next plugin on this root directory adopts them.
    fn stop(&mut self) {
        self.begin_stop();
        self.wake_ups.close();
        self.threads.join();
        self.shared.shims.reap();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// The thread: looks at each pod that a wake-up names, and at all that live now and then.
    fn look_after_pods(&self, wake_ups: &WakeUps) {
        self.root.empty_trash();
        let mut next_round = Instant::now();
        let mut next_reap = next_round;
        while !self.is_stopping.load(Ordering::Relaxed) {
            threads::beat("plugin-pods", IDLE_PERIOD.saturating_mul(3));
            let now = Instant::now();
            if now >= next_reap {
                let running = self.shims.reap();
                next_reap = now
                    + if running > 0 {
                        REAP_PERIOD
                    } else {
                        IDLE_PERIOD
                    };
            }
            if now >= next_round {
                next_round = now + self.look_at_all();
            }
            let next = next_round.min(next_reap);
            let woken = wake_ups.wait(next.saturating_duration_since(Instant::now()));
            let pod = woken.and_then(|uid| self.pods.lock().get(&uid).cloned());
            if let Some(pod) = pod {
                let now = Instant::now();
                next_round = next_round.min(now + self.look_at(&pod));
                next_reap = next_reap.min(now + REAP_PERIOD);
            }
        }
    }

    /// Looks at every pod; gives how long that is good for.
    fn look_at_all(&self) -> Duration {
        let pods: Vec<_> = self.pods.lock().values().cloned().collect();
        let looks = pods.iter().map(|pod| self.look_at(pod));
        looks.min().unwrap_or(IDLE_PERIOD)
    }

    /// Looks at one pod, and removes it when its deletion is complete; gives how long that is good
    /// for.
    fn look_at(&self, pod: &Arc<LocalPod>) -> Duration {
        let now = Timestamp::now();
        match pod.advance(&self.shims, now) {
            NextLook::NotNeeded => IDLE_PERIOD,
            NextLook::Periodically => LIVE_PERIOD,
            NextLook::At(time) => {
                if pod.is_kept() {
                    self.tell_waiters();
                }
                let left = Duration::try_from(time.duration_since(now));
                left.unwrap_or_default().min(LIVE_PERIOD)
            }
            NextLook::Remove => {
                self.remove(pod);
                IDLE_PERIOD
            }
        }
    }

    fn tell_waiters(&self) {
        // Under the lock, so that nobody falls asleep between the look and the wait.
        let _pods = self.pods.lock();
        self.removed.notify_all();
    }

    /// Removes a pod: its place, its files, and at last its name, so that who hears that it is gone
    /// finds nothing.
    fn remove(&self, pod: &Arc<LocalPod>) {
        let uid = &pod.record.uid;
        let discarded = match self.root.discard_pod(uid) {
            Ok(discarded) => discarded,
            Err(error) => {
                return log::error!("cannot remove pod {uid}: {error}; the next look tries again")
            }
        };
        if let Err(error) = remove_tree(&discarded) {
            log::error!(
                "cannot remove all files of pod {uid}: {error}; the next start of the plugin tries \
                 again"
            );
        }
        self.pods.lock().remove(uid);
        self.removed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn one_plugin_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("deep/root");
        let first = Supervisor::start(&root, "/proc/self/exe".into(), 0).unwrap();
        let second = Supervisor::start(&root, "/proc/self/exe".into(), 0);
        assert!(matches!(second.map(drop), Err(Error::RootInUse { .. })));
        drop(first);
        Supervisor::start(&root, "/proc/self/exe".into(), 0).unwrap();
        let mode = fs::metadata(&root).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_pod_that_cannot_be_read_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = RootDir(dir.path().into());
        let uid = "00000000-0000-4000-8000-000000000001";
        for (name, record) in [(uid, "{"), ("notes", "")] {
            let dir = root.pod(name);
            fs::create_dir_all(&dir.0).unwrap();
            fs::write(dir.record(), record).unwrap();
        }
        let supervisor = Supervisor::start(dir.path(), "/proc/self/exe".into(), 0).unwrap();
        assert!(supervisor.pod(uid).is_none());
        assert!(root.pod(uid).0.exists());
    }
}
