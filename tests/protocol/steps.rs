//! What can happen next in a world.

use interlink_cri::{
    model::{ContainerPhase, Nanos, Pod, SandboxPhase, Submission},
    plan::{
        answers::{self, Deleted, Posted},
        batch, lifecycle,
        observe::{self, Report},
        owed::{self, Duty},
        submission::{Event, MIN_DENIALS},
        Rules,
    },
};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus,
};

use crate::world::{
    rules, ticks, Lane, Mutation, Remote, View, World, BLIND, CODE, LATE, LIMIT, TICK,
};

impl World {
    /// Everything that can happen next.
    pub fn steps(&self) -> Vec<(String, World)> {
        let mut steps = Vec::new();
        self.kubelet(&mut steps);
        self.lane_steps(&mut steps);
        self.poller(&mut steps);
        self.plugin_steps(&mut steps);
        self.crash(&mut steps);
        if self.time_may_pass() {
            steps.push(("time passes".into(), self.after(World::tick)));
        }
        for (_, world) in &mut steps {
            world.settle();
        }
        steps
    }

    fn after(&self, change: impl FnOnce(&mut World)) -> World {
        let mut world = self.clone();
        change(&mut world);
        world
    }

    fn with_pod(&self, change: impl FnOnce(&mut Pod, Nanos, &Rules)) -> World {
        self.after(|world| {
            let now = world.now;
            if let Some(pod) = &mut world.pod {
                change(pod, now, &rules());
            }
        })
    }

    fn kubelet(&self, steps: &mut Vec<(String, World)>) {
        let Some(pod) = &self.pod else { return };
        for entry in &pod.containers {
            let (id, name) = (entry.id().clone(), entry.container.name.clone());
            if batch::start(&mut pod.clone(), &id, self.now).is_ok() {
                let next = self.with_pod(|pod, now, _| {
                    // It was just tried.
                    let _ = batch::start(pod, &id, now);
                });
                steps.push((format!("the kubelet starts {name}"), next));
            }
            if entry.status.phase() == ContainerPhase::Running {
                let mut next = self.with_pod(|pod, now, _| {
                    lifecycle::stop_container(pod, &id, 1, now);
                });
                next.stopped.insert(name.clone());
                steps.push((format!("the kubelet stops {name}"), next));
            }
        }
        let names = pod
            .containers
            .iter()
            .map(|entry| entry.container.name.clone());
        if pod.phase() == SandboxPhase::Ready {
            let mut next = self.with_pod(|pod, now, _| lifecycle::stop_sandbox(pod, now));
            next.stopped.extend(names.clone());
            steps.push(("the kubelet stops the sandbox".into(), next));
        }
        if pod.phase() != SandboxPhase::Removed {
            let mut next = self.with_pod(|pod, now, _| lifecycle::remove_sandbox(pod, now));
            next.stopped.extend(names);
            if self.mutation == Mutation::RemovalForgetsJobs {
                next.pod = None;
            }
            steps.push(("the kubelet removes the sandbox".into(), next));
        }
    }

    /// What the lane of the pod does, and how its calls can end.
    fn lane_steps(&self, steps: &mut Vec<(String, World)>) {
        let mut say = |label: &str, next: World| steps.push((label.to_owned(), next));
        let doubt = |world: &World| world.after(|world| world.budget.doubts -= 1);
        let refusal = |world: &World| world.after(|world| world.budget.refusals -= 1);
        let (may_doubt, may_refuse) = (self.budget.doubts > 0, self.budget.refusals > 0);
        match &self.lane {
            Lane::Idle => {
                if let Some(next) = self.begin_duty() {
                    say("the lane takes up a duty", next);
                }
            }
            Lane::Posting(number) => {
                let number = *number;
                let with = |world: &World, posted: Posted| {
                    world.after(|world| world.lane = Lane::Posted(number, posted))
                };
                let accepted = Posted::Accepted {
                    remote_id: "1".into(),
                };
                say(
                    "the plugin takes the job",
                    with(&self.acted(number), accepted),
                );
                if may_doubt {
                    let acted = doubt(&self.acted(number));
                    say(
                        "the plugin takes the job, and the answer is lost",
                        with(&acted, Posted::InDoubt),
                    );
                    let never = doubt(self);
                    say("the request is lost", with(&never, Posted::InDoubt));
                    let late = doubt(&self.after(|world| world.flights.push((number, world.now))));
                    say(
                        "the request is delayed, and given up",
                        with(&late, Posted::InDoubt),
                    );
                }
                if may_refuse {
                    say(
                        "the plugin cannot be reached",
                        with(&refusal(self), Posted::NotActed),
                    );
                    let refused = Posted::Refused {
                        reason: "no".into(),
                    };
                    let mut next = refusal(self);
                    next.refused.insert(number);
                    say("the plugin refuses the job", with(&next, refused));
                }
            }
            Lane::Asking(number, at) => {
                let (number, at) = (*number, *at);
                let with = |world: &World, view: Option<View>| {
                    world.after(|world| world.lane = Lane::Asked(number, at, view))
                };
                for view in self.views(number) {
                    let label = if view.is_empty() { "denies" } else { "shows" };
                    say(
                        &format!("the plugin, asked, {label} the job"),
                        with(self, Some(view)),
                    );
                }
                if may_doubt {
                    say("the question is not answered", with(&doubt(self), None));
                }
            }
            Lane::Deleting(number) => {
                let number = *number;
                let with = |world: &World, deleted: Deleted| {
                    world.after(|world| world.lane = Lane::Deleted(number, deleted))
                };
                let gone = self.after(|world| drop(world.plugin.remove(&number)));
                say(
                    "the plugin deletes the job",
                    with(&gone, Deleted::Confirmed),
                );
                if may_doubt {
                    say(
                        "the plugin deletes the job, and the answer is lost",
                        with(&doubt(&gone), Deleted::Failed),
                    );
                    say("the deletion is lost", with(&doubt(self), Deleted::Failed));
                }
                if may_refuse {
                    say(
                        "the plugin refuses to delete",
                        with(&refusal(self), Deleted::Failed),
                    );
                }
            }
            Lane::Posted(..) | Lane::Asked(..) | Lane::Deleted(..) => {
                say("the answer is noted", self.note_answer());
            }
        }
    }

    /// The first duty that is due, begun as the worker begins it.
    fn begin_duty(&self) -> Option<World> {
        let rules = rules();
        let owed = owed::next(self.pod.as_ref()?, self.now, &rules);
        let duty = owed.filter(|owed| owed.due <= self.now)?.duty;
        let event = |number: u32, event: Event| {
            self.with_pod(|pod, now, rules| {
                if let Some(job) = pod.jobs.iter_mut().find(|job| job.number == number) {
                    job.submission_event(event, now, rules);
                }
            })
        };
        Some(match duty {
            // No API server is asked here.
            Duty::Learn(number) => {
                self.with_pod(|pod, _, rules| batch::learn(pod, number, None, rules))
            }
            Duty::CloseJob(number) => event(number, Event::Closed),
            Duty::Submit(number) => {
                let mut next = event(number, Event::PostBegins);
                next.lane = Lane::Posting(number);
                next
            }
            Duty::Ask(number) => self.after(|world| world.lane = Lane::Asking(number, world.now)),
            Duty::CompleteLog(id) | Duty::AbandonLog(id) => {
                self.with_pod(|pod, _, _| lifecycle::complete_log(pod, &id))
            }
            Duty::Cancel(number) => self.after(|world| world.lane = Lane::Deleting(number)),
        })
    }

    fn note_answer(&self) -> World {
        let mutation = self.mutation;
        let mut next = self.with_pod(|pod, now, rules| match &self.lane {
            Lane::Posted(number, posted) => {
                let doubt =
                    mutation == Mutation::DoubtCountsAsNotActed && *posted == Posted::InDoubt;
                let posted = if doubt { &Posted::NotActed } else { posted };
                answers::posted(pod, *number, posted, now, rules);
            }
            Lane::Asked(number, at, view) => {
                let at = match mutation {
                    Mutation::LateDenialCounts => now,
                    _ => *at,
                };
                if mutation == Mutation::OneDenialIsEnough {
                    hasten_denial(pod, *number);
                }
                let told = view.as_deref().map(statuses);
                let report = told.as_ref().map(|containers| Report {
                    remote_id: "1",
                    containers,
                });
                answers::asked(pod, *number, report, at, now, rules);
            }
            Lane::Deleted(number, deleted) => {
                let forgets = mutation == Mutation::FailedDeleteIsForgotten;
                let deleted = if forgets {
                    Deleted::Confirmed
                } else {
                    *deleted
                };
                answers::deleted(pod, *number, deleted, now, rules);
            }
            _ => {}
        });
        next.lane = Lane::Idle;
        next
    }

    /// The poller asks, and takes over the answer later.
    fn poller(&self, steps: &mut Vec<(String, World)>) {
        let Some(pod) = &self.pod else { return };
        let Some((at, answer)) = &self.poll else {
            // One job is asked about at a time: what holds for each holds for all.
            for job in pod.jobs.iter().filter(|job| job.is_polled()) {
                for view in self.views(job.number) {
                    let next = self.after(|world| {
                        world.poll = Some((world.now, vec![(job.number, view)]));
                    });
                    steps.push(("the poller asks".into(), next));
                }
            }
            return;
        };
        let mut next = self.after(|world| world.poll = None);
        for (number, view) in answer {
            if view.is_empty() {
                let entry = next.missing.entry(*number).or_insert((0, *at));
                entry.0 += 1;
                if observe::is_lost(entry.0, at.since(entry.1), &rules()) {
                    next = next.with_pod(|pod, now, rules| observe::lose(pod, *number, now, rules));
                }
                continue;
            }
            next.missing.remove(number);
            let containers = statuses(view);
            next = next.with_pod(|pod, now, rules| {
                if self.mutation == Mutation::LateAnswersResurrect {
                    resurrect(pod, view);
                }
                let report = Report {
                    remote_id: "1",
                    containers: &containers,
                };
                observe::apply(pod, *number, report, now, rules);
            });
        }
        steps.push(("the poller notes the answer".into(), next));
    }

    fn plugin_steps(&self, steps: &mut Vec<(String, World)>) {
        for (index, (number, _)) in self.flights.iter().enumerate() {
            let landed = self.after(|world| {
                world.flights.remove(index);
            });
            steps.push(("the delayed request is lost".into(), landed.clone()));
            steps.push((
                "the delayed request is acted on".into(),
                landed.acted(*number),
            ));
        }
        for (number, remote) in &self.plugin {
            for (at, (name, ended)) in remote.containers.iter().enumerate() {
                if !ended {
                    let mut next = self.clone();
                    next.ended.insert(name.clone());
                    if let Some(remote) = next.plugin.get_mut(number) {
                        remote.containers[at].1 = true;
                    }
                    steps.push((format!("{name} ends over there"), next));
                }
            }
            if self.budget.forgets > 0 {
                let mut next = self.after(|world| world.budget.forgets -= 1);
                next.plugin.remove(number);
                next.forgotten.insert(*number);
                steps.push(("the plugin forgets a job".into(), next));
            }
        }
    }

    /// Everything that is not on disk is gone; the daemon is there again at once, because all that
    /// can happen while it is away can also happen while it does nothing.
    fn crash(&self, steps: &mut Vec<(String, World)>) {
        if self.budget.crashes == 0 {
            return;
        }
        let mut next = self.with_pod(|pod, now, rules| {
            for job in &mut pod.jobs {
                if self.mutation == Mutation::PostLeavesBeforeTheDisk
                    && matches!(job.submission, Submission::Submitting { .. })
                {
                    job.submission = Submission::Pending {
                        failures: 0,
                        not_before: now,
                    };
                }
                job.submission_event(Event::Recovered, now, rules);
            }
        });
        next.budget.crashes -= 1;
        next.lane = Lane::Idle;
        next.poll = None;
        next.missing.clear();
        if let Lane::Posting(number) = self.lane {
            let late = next.after(|world| world.flights.push((number, world.now)));
            steps.push(("the daemon crashes, its request is on its way".into(), late));
        }
        steps.push(("the daemon crashes".into(), next));
    }

    /// A request that was given up is acted on in time, or never; and questions have a time limit.
    fn time_may_pass(&self) -> bool {
        let next = self.now.plus(TICK);
        let asked = match (&self.lane, &self.poll) {
            (Lane::Asking(_, at) | Lane::Asked(_, at, _), Some((poll, _))) => Some(*at.min(poll)),
            (Lane::Asking(_, at) | Lane::Asked(_, at, _), None) | (_, Some((at, _))) => Some(*at),
            _ => None,
        };
        let in_time = asked.is_none_or(|at| next.since(at) <= ticks(LIMIT));
        let mut flights = self.flights.iter();
        in_time && flights.all(|(_, left)| next.since(*left) <= ticks(LATE))
    }

    fn tick(&mut self) {
        self.now = self.now.plus(TICK);
    }

    /// The plugin acts on a POST.
    fn acted(&self, number: u32) -> World {
        let mut next = self.clone();
        *next.runs.entry(number).or_default() += 1;
        let pod = self.pod.as_ref();
        let names = pod
            .and_then(|pod| pod.jobs.iter().find(|job| job.number == number))
            .map(|job| job.names.clone());
        let containers = names
            .unwrap_or_default()
            .into_iter()
            .map(|name| (name, false));
        let remote = Remote {
            since: self.now,
            containers: containers.collect(),
        };
        next.plugin.insert(number, remote);
        next
    }

    /// What an answer can show of a job: the truth, or, of a fresh one, nothing.
    fn views(&self, number: u32) -> Vec<View> {
        let Some(remote) = self.plugin.get(&number) else {
            return vec![View::new()];
        };
        let mut views = vec![remote.containers.clone()];
        if self.now.since(remote.since) < ticks(BLIND) {
            views.push(View::new());
        }
        views
    }

    /// One step of a run in which nothing fails and everything that can be done is done.
    pub fn fair_step(&self) -> World {
        let mut steps = Vec::new();
        for index in 0..self.flights.len() {
            let number = self.flights[index].0;
            let landed = self.after(|world| {
                world.flights.remove(index);
            });
            steps.push((String::new(), landed.acted(number)));
        }
        if steps.is_empty() {
            self.lane_steps(&mut steps);
        }
        if steps.is_empty() && self.poll.is_some() {
            self.poller(&mut steps);
        }
        if steps.is_empty() {
            self.plugin_steps(&mut steps);
        }
        let mut next = match steps.into_iter().next() {
            Some((_, next)) => next,
            None => {
                let mut polled = Vec::new();
                self.poller(&mut polled);
                let mut next = polled
                    .into_iter()
                    .next()
                    .map_or(self.clone(), |(_, next)| next);
                next.tick();
                next
            }
        };
        next.settle();
        next
    }
}

fn statuses(view: &[(String, bool)]) -> Vec<ContainerStatus> {
    let status = |(name, ended): &(String, bool)| {
        let state = if *ended {
            ContainerState {
                terminated: Some(ContainerStateTerminated {
                    exit_code: CODE,
                    ..Default::default()
                }),
                ..Default::default()
            }
        } else {
            ContainerState {
                running: Some(ContainerStateRunning::default()),
                ..Default::default()
            }
        };
        ContainerStatus {
            name: name.clone(),
            state: Some(state),
            ..Default::default()
        }
    };
    view.iter().map(status).collect()
}

fn hasten_denial(pod: &mut Pod, number: u32) {
    let job = pod.jobs.iter_mut().find(|job| job.number == number);
    if let Some(Submission::Unsure { denials, since, .. }) = job.map(|job| &mut job.submission) {
        *denials = MIN_DENIALS;
        *since = Nanos(0);
    }
}

fn resurrect(pod: &mut Pod, view: &[(String, bool)]) {
    for entry in &mut pod.containers {
        if view
            .iter()
            .any(|(name, ended)| *name == entry.container.name && !ended)
        {
            entry.status.exit = None;
        }
    }
}
