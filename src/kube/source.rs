//! Pods as the API server has them, remembered for a while.
//!
//! Threads that want the same pod wait for one request. No lock is held while it runs.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use parking_lot::{Condvar, Mutex};

use super::{client::Client, error::Error, lru::Lru};
use crate::{
    backoff::Backoff,
    bounded::Weighed,
    model::{Clock, Nanos},
};

/// How long it is remembered, at most, that a pod is not there: the kubelet creates the mirror
/// pod of a static pod a moment after it has begun to run it.
const ABSENT_LIFE: Duration = Duration::from_secs(5);
/// What the pods that are remembered may take together: two hundred of 40 KiB of JSON, with a hundred
/// variables each.
const MAX_KNOWN_BYTES: usize = 64 << 20;
/// Pauses after failures in a row.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
/// The UID by which the kubelet knows a static pod, whose mirror pod has another one
/// (`ConfigHashAnnotationKey`, `ConfigMirrorAnnotationKey` in k8s.io/kubernetes/pkg/kubelet/types).
const STATIC_UID: [&str; 2] = ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"];

/// Where pods are read.
pub trait Pods: Send + Sync + 'static {
    /// Reads a pod, and says what it takes; `None` when there is none of this name.
    ///
    /// # Errors
    /// No answer, or a refusal.
    fn pod(&self, namespace: &str, name: &str) -> Result<Option<Weighed<Pod>>, Error>;
}

impl Pods for Client {
    fn pod(&self, namespace: &str, name: &str) -> Result<Option<Weighed<Pod>>, Error> {
        Client::pod(self, namespace, name)
    }
}

/// Remembers pods by UID.
///
/// After a failure that would meet any pod (see [`Error`]'s table) nobody is asked for 1 s, 2 s,
/// 4 s and so on up to 60 s: all calls fail at once with the same error, but for pods that are
/// remembered. Then one call tries again, and the others fail at once until it has its answer. A
/// failure of one pod's own pauses that pod in the same way.
pub struct PodSource {
    pods: Arc<dyn Pods>,
    clock: Arc<dyn Clock>,
    life: Duration,
    state: Mutex<State>,
    /// Somebody's request has ended.
    ended: Condvar,
}

struct State {
    known: Lru<String, Known>,
    /// Pods that are being asked for; true when one was to be forgotten meanwhile.
    asking: HashMap<String, bool>,
    pause: Option<Pause>,
}

/// What a pod's last request gave.
struct Known {
    at: Nanos,
    what: What,
}

enum What {
    There(Arc<Pod>),
    Absent,
    Failed(Failure),
}

#[derive(Clone)]
struct Failure {
    error: Error,
    /// Failures in a row.
    times: u32,
}

/// Of the API server.
struct Pause {
    since: Nanos,
    failure: Failure,
    /// Somebody is trying whether it is over.
    probed: bool,
}

impl Failure {
    fn pause(&self) -> Duration {
        PAUSES.pause(self.times)
    }
}

impl Known {
    fn answer(&self, now: Nanos, life: Duration) -> Option<Result<Option<Arc<Pod>>, Error>> {
        let age = now.since(self.at);
        match &self.what {
            What::There(pod) if age < life => Some(Ok(Some(pod.clone()))),
            What::Absent if age < life.min(ABSENT_LIFE) => Some(Ok(None)),
            What::Failed(failure) if age < failure.pause() => Some(Err(failure.error.clone())),
            What::There(_) | What::Absent | What::Failed(_) => None,
        }
    }
}

impl PodSource {
    /// Remembers at most `size` pods, each for `life`, and fewer where they are large.
    pub fn new(pods: Arc<dyn Pods>, size: usize, life: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            pods,
            clock,
            life,
            state: Mutex::new(State {
                known: Lru::new(size).weighing(MAX_KNOWN_BYTES),
                asking: HashMap::new(),
                pause: None,
            }),
            ended: Condvar::new(),
        }
    }

    /// The pod with this UID, or the mirror pod of the static pod with this UID. `None` when there
    /// is no pod of this name, or only one with another UID: an older or a newer one.
    ///
    /// # Errors
    /// No answer, or a refusal, now or a moment ago.
    pub fn get(&self, namespace: &str, name: &str, uid: &str) -> Result<Option<Arc<Pod>>, Error> {
        let mut request = match self.begin(uid) {
            Begin::Known(answer) => return answer,
            Begin::Ask(request) => request,
        };
        let answer = self.pods.pod(namespace, name);
        let answer = answer.map(|pod| {
            let pod = pod.filter(|pod| is_known_as(&pod.object, uid))?;
            request.bytes = pod.bytes;
            Some(Arc::new(pod.object))
        });
        request.answer = Some(answer.clone());
        answer
    }

    /// Forgets a pod, so that the next call asks for it.
    pub fn forget(&self, uid: &str) {
        let mut state = self.state.lock();
        state.known.remove(&uid.to_owned());
        if let Some(outdated) = state.asking.get_mut(uid) {
            *outdated = true;
        }
    }

    fn begin<'a>(&'a self, uid: &'a str) -> Begin<'a> {
        let key = uid.to_owned();
        let mut state = self.state.lock();
        loop {
            let now = self.clock.now();
            let known = state.known.get(&key);
            if let Some(answer) = known.and_then(|known| known.answer(now, self.life)) {
                return Begin::Known(answer);
            }
            if state.asking.contains_key(uid) {
                self.ended.wait(&mut state);
                continue;
            }
            let mut is_probe = false;
            if let Some(pause) = &mut state.pause {
                if pause.probed || now.since(pause.since) < pause.failure.pause() {
                    return Begin::Known(Err(pause.failure.error.clone()));
                }
                pause.probed = true;
                is_probe = true;
            }
            state.asking.insert(key, false);
            return Begin::Ask(Asking {
                source: self,
                uid,
                is_probe,
                bytes: 0,
                answer: None,
            });
        }
    }
}

impl fmt::Debug for PodSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodSource")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

enum Begin<'a> {
    Known(Result<Option<Arc<Pod>>, Error>),
    Ask(Asking<'a>),
}

/// A request under way. It ends when this is dropped, also by a panic: nobody waits for ever.
struct Asking<'a> {
    source: &'a PodSource,
    uid: &'a str,
    is_probe: bool,
    /// What the pod takes.
    bytes: usize,
    answer: Option<Result<Option<Arc<Pod>>, Error>>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let now = self.source.clock.now();
        let mut state = self.source.state.lock();
        let outdated = state.asking.remove(self.uid).unwrap_or(true);
        if let (true, Some(pause)) = (self.is_probe, &mut state.pause) {
            pause.probed = false;
        }
        match self.answer.take() {
            None => {}
            Some(Err(error)) if error.is_everyones() => state.fail(error, now, self.is_probe),
            Some(answer) => {
                state.pause = None;
                if !outdated {
                    state.keep(self.uid, answer, self.bytes, now);
                }
            }
        }
        drop(state);
        self.source.ended.notify_all();
    }
}

impl State {
    /// Calls that were under way together fail together: that is one failure.
    fn fail(&mut self, error: Error, now: Nanos, is_probe: bool) {
        let times = match &self.pause {
            None => 1,
            Some(pause) if is_probe => pause.failure.times.saturating_add(1),
            Some(_) => return,
        };
        self.pause = Some(Pause {
            since: now,
            failure: Failure { error, times },
            probed: false,
        });
    }

    fn keep(
        &mut self,
        uid: &str,
        answer: Result<Option<Arc<Pod>>, Error>,
        bytes: usize,
        now: Nanos,
    ) {
        let key = uid.to_owned();
        let before = match self.known.get(&key) {
            Some(Known {
                what: What::Failed(failure),
                ..
            }) => failure.times,
            _ => 0,
        };
        let what = match answer {
            Ok(Some(pod)) => What::There(pod),
            Ok(None) => What::Absent,
            Err(error) => What::Failed(Failure {
                error,
                times: before.saturating_add(1),
            }),
        };
        self.known
            .insert_weighing(bytes, key, Known { at: now, what });
    }
}

/// Whether the kubelet knows a pod by this UID.
fn is_known_as(pod: &Pod, uid: &str) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let stated = |key: &str| annotations.and_then(|all| all.get(key));
    pod.metadata.uid.as_deref() == Some(uid)
        || STATIC_UID
            .iter()
            .any(|key| stated(key).is_some_and(|it| it == uid))
}
