//! What becomes of any sequence of CRI calls, with what the workers do between them.

mod checks;
mod requests;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use super::CriContext;
use crate::{
    config::{policy::Unsupported, Config},
    convert::Settings,
    logs::{properties::Scratch, Registry},
    model::{exit_code, exit_reason, ContainerId, ManualClock, Nanos, Pod, SandboxId, Submission},
    plan::{call_results, lifecycle, observe, submission::Event, Rules},
    profile,
    store::{Error, Store},
    telemetry::{Counters, Health},
};

/// The most calls of a script.
const MAX_CALLS: usize = 48;
/// Separates two calls in the fuzzer's bytes.
const BETWEEN: &[u8] = b"||";
/// What can happen to a job, in the order of the letters that stand for it.
const EVENTS: [Event; 11] = [
    Event::Closed,
    Event::PostBegins,
    Event::Accepted,
    Event::NotActed,
    Event::InDoubt,
    Event::Recovered,
    Event::Shown,
    Event::Denied,
    Event::NoAnswer,
    Event::Refused,
    Event::Missing,
];

/// Calls with `||` between them, a letter and a protobuf message each: see `requests`. The message
/// is merged into one that a kubelet could have sent, and what comes before a fault in it counts,
/// so most calls mean something. Besides:
///
/// ```text
/// jLETTERS  what happens to every job, by its place in EVENTS: `a` is the first
/// nJSON     the states of the containers, as a plugin answers them for every job
/// d         the plugin confirms every cancellation
/// wN        the clock goes on by N seconds; back, from 128 on
/// k         the daemon starts again
/// ```
///
/// A `%` before all of them stands for other settings than the default ones. After each call every
/// pod is sound, and every error has a code that belongs to it.
pub fn any_calls(data: &[u8]) {
    let others = data.strip_prefix(b"%");
    let mut node = Node::new(if others.is_some() {
        other_settings()
    } else {
        Config::default()
    });
    let mut rest = others.unwrap_or(data);
    for _ in 0..MAX_CALLS {
        let at = rest.windows(BETWEEN.len()).position(|pair| pair == BETWEEN);
        let (call, next) = match at {
            Some(at) => (&rest[..at], Some(&rest[at + BETWEEN.len()..])),
            None => (rest, None),
        };
        if let Some((kind, message)) = call.split_first() {
            node.carry_out(*kind, message);
        }
        let Some(next) = next else { break };
        rest = next;
    }
    node.restart();
}

/// A node's state and the face that answers from it.
struct Node {
    scratch: Scratch,
    clock: Arc<ManualClock>,
    /// The latest time that the clock has shown.
    latest: Nanos,
    face: Option<CriContext>,
    config: Arc<Config>,
    rules: Rules,
    /// Every id that was given out.
    sandboxes: Vec<String>,
    containers: Vec<String>,
}

impl Node {
    fn new(config: Config) -> Self {
        let now = Nanos(1_700_000_000_000_000_000);
        let mut node = Self {
            scratch: Scratch::new(),
            clock: Arc::new(ManualClock::at(now)),
            latest: now,
            face: None,
            rules: profile::rules(&config),
            config: Arc::new(config),
            sandboxes: Vec::new(),
            containers: Vec::new(),
        };
        node.open();
        node.carry_out(b'I', b"");
        node
    }

    fn open(&mut self) {
        let (wake, _) = crossbeam_channel::unbounded();
        let directory = self.scratch.0.join("state");
        let store = Store::open(&directory, self.clock.clone(), wake).expect("opened");
        let settings = Settings::new(&self.config).expect("they are good");
        self.face = Some(CriContext::new(
            Arc::new(store),
            self.config.clone(),
            Arc::new(Registry::default()),
            Arc::new(Health::new(true)),
            Arc::new(Counters::default()),
            settings,
        ));
    }

    fn face(&self) -> &CriContext {
        self.face.as_ref().expect("open between two calls")
    }

    fn store(&self) -> &Store {
        &self.face().store
    }

    fn pods(&self) -> HashMap<SandboxId, Arc<Pod>> {
        let pods = self.store().pods();
        let id = |pod: &Arc<Pod>| pod.sandbox.id.clone();
        pods.into_iter().map(|pod| (id(&pod), pod)).collect()
    }

    fn logs(&self) -> PathBuf {
        self.scratch.0.join("logs")
    }

    fn carry_out(&mut self, kind: u8, message: &[u8]) {
        let before = self.pods();
        match kind {
            b'j' => self.for_jobs(|pod, number, now, rules| {
                let letters = message.iter().map(|letter| letter.wrapping_sub(b'a'));
                for event in letters.filter_map(|index| EVENTS.get(usize::from(index))) {
                    apply_event(pod, number, *event, now, rules);
                }
            }),
            b'n' => {
                let containers = profile::testing::containers_in(message);
                self.for_jobs(|pod, number, now, rules| {
                    if pod.job(number).is_some_and(|job| pod.is_polled(job)) {
                        let report = profile::job_report("7", &containers, job_of(pod, number));
                        observe::apply(pod, number, &report, now, rules);
                    }
                });
            }
            b'd' => self.for_jobs(|pod, number, now, rules| {
                let grace = job_of(pod, number).grace_seconds;
                let deleted = call_results::Deleted::Confirmed;
                call_results::deleted(pod, number, deleted, grace, now, rules);
            }),
            b'w' => {
                let seconds = message.first().map_or(0, |byte| i64::from(*byte as i8));
                let now = self.store().clock().now().0;
                self.clock.set(Nanos(now + seconds * 1_000_000_000));
            }
            b'k' => self.restart(),
            _ => self.call(kind, message),
        }
        self.latest = self.latest.max(self.store().clock().now());
        checks::state(self, &before);
    }

    /// Changes every job of every pod, as the workers do.
    fn for_jobs(&self, change: impl Fn(&mut Pod, u32, Nanos, &Rules)) {
        let now = self.store().clock().now();
        for (id, pod) in self.pods() {
            for number in pod.jobs.iter().map(|job| job.number) {
                let changed = self.store().update(&id, |pod| {
                    change(pod, number, now, &self.rules);
                    Ok::<_, Error>(())
                });
                assert!(matches!(changed, Ok(()) | Err(Error::NoSandbox(_))));
            }
        }
    }

    /// Ends and starts again: all is as it was.
    fn restart(&mut self) {
        let (before, images) = (self.pods(), self.store().images().len());
        self.face = None;
        self.open();
        assert_eq!(self.pods(), before, "nothing acknowledged is lost");
        assert_eq!(self.store().images().len(), images);
    }

    /// The latest time that may stand anywhere: what must rise goes on by a nanosecond.
    fn latest(&self) -> Nanos {
        self.latest.plus(Duration::from_nanos(MAX_CALLS as u64))
    }
}

fn other_settings() -> Config {
    let mut config = Config::default();
    config.cri.runtime_handlers = vec!["gpu".to_owned()];
    config.jobs.default_memory = Some("1Gi".to_owned());
    config.pods.unsupported_volumes = Unsupported::Skip;
    config.images.uid = 0;
    config
}

/// What the workers make of an event.
fn apply_event(pod: &mut Pod, number: u32, event: Event, now: Nanos, rules: &Rules) {
    if event == Event::Missing {
        return observe::lose(pod, number, now, rules);
    }
    let job = job_of(pod, number);
    let was_posted = matches!(job.submission, Submission::Submitting { .. });
    job.submission_event(event, now, rules);
    if event == Event::Refused && was_posted {
        let code = exit_code::NOT_STARTED;
        lifecycle::fail_job(
            pod,
            number,
            code,
            exit_reason::SUBMISSION_FAILED,
            "refused",
            now,
        );
    }
}

fn job_of(pod: &mut Pod, number: u32) -> &mut crate::model::Job {
    let job = pod.job_mut(number);
    job.expect("a job goes with nothing that happens here")
}

/// An id as scripts name it: a digit is one that was given out, counted from the last.
fn given_out(id: &mut String, known: &[String]) {
    if let (1, Some(digit)) = (id.len(), id.chars().next().and_then(|c| c.to_digit(10))) {
        let known = known.iter().rev().nth(digit as usize);
        *id = known
            .cloned()
            .unwrap_or_else(|| ContainerId::random().to_string());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_order_of_calls_leaves_every_pod_sound(
            calls in proptest::collection::vec("[RrCcSTDXZVUOIiMmQqLlAaGdk]|j[a-m]{1,3}|w.", 1..24),
        ) {
            any_calls(calls.join("||").as_bytes());
        }

        #[test]
        fn any_message_is_survived(
            kind in "[RCSTDXZVUOIiMmQqLlAaG]",
            message in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let call = [kind.as_bytes(), &message].concat();
            any_calls(&[b"R||C||S||", &call[..], b"||k"].concat());
        }
    }
}
