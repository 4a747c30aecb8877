//! The store against a model of it: a plain map of pods, to which the same changes are made.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::{Delivery, Error, Store};
use crate::{
    config::Config,
    convert,
    model::{ManualClock, Nanos, Pod, SandboxId, SandboxPhase},
    plan::{batch, lifecycle, observe, submission::Event, testing},
};

const PODS: usize = 3;
const CONTAINERS: usize = 2;
const NOW: Nanos = Nanos(1_700_000_000_000_000_000);

/// What can be asked of a store. Numbers name pods and containers.
#[derive(Clone, Copy, Debug)]
enum Step {
    Run(usize),
    Create(usize, usize),
    Start(usize, usize),
    Stop(usize, usize),
    RemoveContainer(usize, usize),
    /// A container's configuration becomes another one.
    Configure(usize, usize, u8),
    StopPod(usize),
    RemovePod(usize),
    Submission(usize, Event),
    Lose(usize),
    Deleted(usize),
    Cidr(u8),
    /// The daemon ends, and another one opens the state.
    Restart,
    /// Another one opens a copy of what is on disk at this moment.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let (pod, container) = (0..PODS, 0..CONTAINERS);
    let event = prop::sample::select(vec![
        Event::Closed,
        Event::PostBegins,
        Event::Accepted,
        Event::NotActed,
        Event::InDoubt,
        Event::Recovered,
        Event::Shown,
        Event::Denied,
        Event::Ended,
    ]);
    prop_oneof![
        3 => pod.clone().prop_map(Step::Run),
        4 => (pod.clone(), container.clone()).prop_map(|(p, c)| Step::Create(p, c)),
        4 => (pod.clone(), container.clone()).prop_map(|(p, c)| Step::Start(p, c)),
        2 => (pod.clone(), container.clone()).prop_map(|(p, c)| Step::Stop(p, c)),
        1 => (pod.clone(), container.clone()).prop_map(|(p, c)| Step::RemoveContainer(p, c)),
        2 => (pod.clone(), container, any::<u8>()).prop_map(|(p, c, n)| Step::Configure(p, c, n)),
        1 => pod.clone().prop_map(Step::StopPod),
        2 => pod.clone().prop_map(Step::RemovePod),
        6 => (pod.clone(), event).prop_map(|(p, e)| Step::Submission(p, e)),
        1 => pod.clone().prop_map(Step::Lose),
        3 => pod.prop_map(Step::Deleted),
        1 => any::<u8>().prop_map(Step::Cidr),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

fn id(pod: usize) -> SandboxId {
    format!("sandbox-{pod}").as_str().into()
}

fn new_pod(number: usize) -> Pod {
    let mut pod = testing::pod(&[]);
    let sandbox = Arc::make_mut(&mut pod.sandbox);
    sandbox.id = id(number);
    sandbox.name = format!("pod-{number}");
    sandbox.config = convert::sandbox_config(sandbox.name.as_bytes().into());
    pod
}

/// The change that a step makes to its pod, the same for the store and the model.
fn change(step: Step, pod: &mut Pod) {
    let rules = crate::profile::rules(&Config::default());
    let name = |pod: usize, container: usize| format!("c{container}-{pod}").as_str().into();
    match step {
        Step::Create(number, container) => {
            let mut new = testing::container(pod, &format!("c{container}"), 0);
            new.id = name(number, container);
            new.config = convert::container_config(new.id.as_str().as_bytes().into());
            if pod.phase() == SandboxPhase::Ready && pod.container(&new.id).is_none() {
                pod.add_container(new);
            }
        }
        // What is refused changes nothing.
        Step::Start(number, container) => drop(batch::start(pod, &name(number, container), NOW)),
        Step::Stop(number, container) => {
            lifecycle::kill_container(pod, &name(number, container), 1, NOW);
        }
        Step::RemoveContainer(number, container) => {
            lifecycle::remove_container(pod, &name(number, container), NOW);
        }
        Step::Configure(number, container, byte) => {
            let id = name(number, container);
            let entry = pod.containers.iter_mut().find(|entry| *entry.id() == id);
            if let Some(entry) = entry {
                let container = Arc::make_mut(&mut entry.container);
                container.config = convert::container_config([byte; 3].into());
            }
        }
        Step::StopPod(_) => lifecycle::kill_sandbox(pod, NOW),
        Step::RemovePod(_) => lifecycle::remove_sandbox(pod, NOW),
        Step::Submission(_, event) => {
            for job in &mut pod.jobs {
                job.submission_event(event, NOW, &rules);
            }
            lifecycle::forget_settled_jobs(pod);
        }
        Step::Lose(_) => observe::lose(pod, 0, NOW, &rules),
        Step::Deleted(_) => {
            pod.jobs.iter_mut().for_each(|job| job.cancel_confirmed());
            lifecycle::forget_settled_jobs(pod);
        }
        Step::Run(_) | Step::Cidr(_) | Step::Restart | Step::Crash => {}
    }
}

/// The store with what it said since it was opened.
struct Scene {
    store: Store,
    woken: Receiver<SandboxId>,
    told: Arc<Mutex<Vec<String>>>,
    alive: Arc<()>,
}

fn open(directory: &Path) -> Scene {
    let (wake, woken) = crossbeam_channel::unbounded();
    let store = Store::open(directory, Arc::new(ManualClock::at(NOW)), wake).expect("it opens");
    let (told, alive) = (Arc::new(Mutex::new(Vec::new())), Arc::new(()));
    let deliver = {
        let told = told.clone();
        move |event: &super::Event| {
            told.lock().push(format!("{:?} {}", event.kind, event.id));
            Delivery::Taken
        }
    };
    store.subscribe(Box::new(deliver), &alive);
    Scene {
        store,
        woken,
        told,
        alive,
    }
}

#[derive(Default)]
struct Model {
    pods: BTreeMap<SandboxId, Pod>,
    cidr: Option<String>,
}

fn agree(store: &Store, model: &Model) {
    let pods = store.pods();
    let mut in_memory = pods.iter().flat_map(|pod| {
        let containers = pod.containers.iter();
        let containers = containers.map(|entry| &entry.container.config);
        containers.chain([&pod.sandbox.config])
    });
    assert!(in_memory.all(|config| config.whole().is_none()));
    let loaded = pods
        .iter()
        .map(|pod| store.load(pod).expect("it is on disk"));
    let mut pods: Vec<Pod> = loaded.collect();
    pods.sort_by(|a, b| a.sandbox.id.cmp(&b.sandbox.id));
    let want: Vec<Pod> = model.pods.values().cloned().collect();
    assert_eq!(pods, want);
    assert_eq!(store.pod_cidr(), model.cidr);
    for number in 0..PODS {
        for container in 0..CONTAINERS {
            let container = format!("c{container}-{number}").as_str().into();
            let owner = store.pod_of(&container).map(|pod| pod.sandbox.id.clone());
            let holder = model
                .pods
                .values()
                .find(|pod| pod.container(&container).is_some());
            assert_eq!(owner, holder.map(|pod| pod.sandbox.id.clone()));
        }
    }
}

fn play(steps: &[Step]) {
    let dir = tempfile::tempdir().expect("dir");
    let (mut scene, mut model) = (open(dir.path()), Model::default());
    for step in steps {
        let before = model.pods.clone();
        match *step {
            Step::Run(number) => {
                let pod = new_pod(number);
                let taken = model.pods.get(&id(number)).map(Pod::phase);
                // A name is free again once its sandbox is removed; the id is another one then, and
                // here the tombstone has to be gone.
                if taken == Some(SandboxPhase::Removed) {
                    continue;
                }
                let added = scene.store.add_sandbox((*pod.sandbox).clone());
                assert_eq!(added.is_err(), taken.is_some());
                model.pods.entry(id(number)).or_insert(pod);
            }
            Step::Cidr(part) => {
                let cidr = format!("10.{part}.0.0/16");
                scene.store.set_pod_cidr(&cidr).expect("kept");
                model.cidr = Some(cidr);
            }
            Step::Restart => {
                scene.store.close();
                drop(scene);
                scene = open(dir.path());
            }
            Step::Crash => {
                let copy = tempfile::tempdir().expect("dir");
                let file = "state.redb";
                std::fs::copy(dir.path().join(file), copy.path().join(file)).expect("copied");
                agree(&open(copy.path()).store, &model);
            }
            Step::Create(number, _)
            | Step::Start(number, _)
            | Step::Stop(number, _)
            | Step::RemoveContainer(number, _)
            | Step::Configure(number, ..)
            | Step::StopPod(number)
            | Step::RemovePod(number)
            | Step::Submission(number, _)
            | Step::Lose(number)
            | Step::Deleted(number) => {
                let changed = scene.store.update::<_, Error>(&id(number), |pod| {
                    change(*step, pod);
                    Ok(())
                });
                assert_eq!(changed.is_ok(), model.pods.contains_key(&id(number)));
                if let Some(pod) = model.pods.get_mut(&id(number)) {
                    change(*step, pod);
                    if pod.is_forgotten() {
                        model.pods.remove(&id(number));
                    }
                }
            }
        }
        agree(&scene.store, &model);
        let has_changed = before != model.pods;
        assert_eq!(scene.woken.try_iter().count(), usize::from(has_changed));
        let told: Vec<_> = scene.told.lock().drain(..).collect();
        let mut once = told.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), told.len(), "each is told once: {told:?}");
        assert!(has_changed || told.is_empty());
        assert_eq!(Arc::strong_count(&scene.alive), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done in whatever order, with restarts and crashes between: what the store shows
    /// is what was done, it wakes the workers for each change, and tells each event once.
    #[test]
    fn the_store_is_what_was_done_to_it(steps in prop::collection::vec(step(), 1..60)) {
        play(&steps);
    }
}
