//! What can happen next in a world.

use crate::{
    plugin::report,
    world::{
        container, rules, ticks, Budget, Heard, Mutation, Over, Worker, World, INIT, LATE, LIMIT,
        PATIENCE, TICK,
    },
};
use interlink_cri::{
    model::{Container, ContainerId, ContainerPhase, Nanos, Pod, SandboxPhase, Submission},
    plan::{
        batch,
        call_results::{self, Asked, Deleted, Posted},
        lifecycle, observe,
        owed::{self, Duty},
        pod_containers::PodContainers,
        stopping::{self, StopOutcome},
        submission::{Event, MIN_DENIALS},
        Rules,
    },
};

impl World {
    /// Everything that can happen next.
    pub fn steps(&self) -> Vec<(String, World)> {
        let mut steps = Vec::new();
        self.kubelet(&mut steps);
        self.worker_steps(&mut steps);
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

    pub fn after(&self, change: impl FnOnce(&mut World)) -> World {
        let mut world = self.clone();
        change(&mut world);
        world
    }

    fn with_pod(&self, change: impl FnOnce(&mut Pod, Nanos, &Rules)) -> World {
        self.after(|world| {
            let now = world.now;
            if let Some(pod) = &mut world.pod {
                change(pod, now, &rules(world.budget));
            }
        })
    }

    fn kubelet(&self, steps: &mut Vec<(String, World)>) {
        let Some(pod) = &self.pod else { return };
        for entry in &pod.containers {
            let (id, name) = (entry.id().clone(), entry.container.name.clone());
            let may_start = name == INIT || !self.budget.whole || self.init_succeeded();
            if may_start && batch::start(&mut pod.clone(), &id, self.now).is_ok() {
                let next = self.with_pod(|pod, now, _| {
                    if self.mutation == Mutation::NothingIsBound {
                        pod.jobs.iter_mut().for_each(|job| job.expected.clear());
                    }
                    // It was just tried.
                    let _ = batch::start(pod, &id, now);
                    if self.mutation == Mutation::BindingForgetsTheEnd {
                        if let Some(status) = pod.status_mut(&id) {
                            (status.reported, status.log_owed_since) = (None, None);
                        }
                    }
                });
                steps.push((format!("the kubelet starts {name}"), next));
            }
            // The kubelet stops a single main container as it does where a job is not the pod.
            let may_stop = name == INIT || !self.budget.whole;
            if may_stop && entry.status.phase() == ContainerPhase::Running {
                let next = self.with_pod(|pod, now, _| match self.budget.waits {
                    true => stopping::stop_container(pod, &id, 0, PATIENCE, now),
                    false => lifecycle::kill_container(pod, &id, 0, now),
                });
                let mut next = next.after_stop_of(&id);
                next.stopped.insert(id.clone());
                steps.push((format!("the kubelet stops {name}"), next));
            }
        }
        if let Some(attempt) = self.next_attempt() {
            let mut next = self.with_pod(|pod, _, _| pod.add_container(attempt));
            next.budget.restarts -= 1;
            steps.push(("the kubelet tries again".into(), next));
        }
        let ids = pod.containers.iter().map(|entry| entry.id().clone());
        if pod.phase() == SandboxPhase::Ready {
            let mut next = self.with_pod(|pod, now, _| match self.budget.waits {
                true => stopping::stop_sandbox(pod, PATIENCE, now),
                false => lifecycle::kill_sandbox(pod, now),
            });
            next.stopped.extend(ids.clone());
            steps.push(("the kubelet stops the sandbox".into(), next));
        }
        steps.extend(self.time_for_stops_is_over());
        if pod.phase() != SandboxPhase::Removed {
            let mut next = self.with_pod(|pod, now, _| lifecycle::remove_sandbox(pod, now));
            next.stopped.extend(ids);
            if self.mutation == Mutation::RemovalForgetsJobs {
                next.pod = None;
            }
            steps.push(("the kubelet removes the sandbox".into(), next));
        }
    }

    /// Notes a stop that waits.
    fn after_stop_of(mut self, id: &ContainerId) -> World {
        let pod = self.pod.as_ref();
        let outcome = pod.map(|pod| stopping::of_container(pod, id));
        if outcome != Some(StopOutcome::Waits) {
            return self;
        }
        self.waited_for.insert(id.clone());
        match self.mutation {
            Mutation::StopIsBelievedAtOnce => {
                self.with_pod(|pod, now, _| lifecycle::kill_container(pod, id, 0, now))
            }
            _ => self,
        }
    }

    /// Ends the wait for stops whose time is over.
    fn time_for_stops_is_over(&self) -> Option<(String, World)> {
        let deadline = stopping::next_deadline(self.pod.as_ref()?)?;
        let next = self.with_pod(|pod, now, own| match self.mutation {
            Mutation::StopEndsWithItsTime => {
                let release = Budget {
                    hold: false,
                    ..self.budget
                };
                stopping::time_is_over(pod, now, &rules(release));
            }
            _ => stopping::time_is_over(pod, now, own),
        });
        let is_due = deadline <= self.now;
        is_due.then(|| ("the time for a stop is over".to_owned(), next))
    }

    fn init_succeeded(&self) -> bool {
        let mut entries = self.pod.iter().flat_map(|pod| &pod.containers);
        entries.any(|entry| {
            let exit = entry.status.exit.as_ref();
            entry.container.name == INIT && exit.is_some_and(|exit| exit.code == 0)
        })
    }

    /// Another attempt at a container that failed, if the kubelet makes one.
    fn next_attempt(&self) -> Option<Container> {
        let pod = self.pod.as_ref()?;
        let ready = pod.phase() == SandboxPhase::Ready && self.budget.restarts > 0;
        let entries = || pod.containers.iter().filter(|_| ready);
        let failed = entries().find(|entry| {
            let exit = entry.status.exit.as_ref();
            let again = entries().any(|other| {
                other.container.name == entry.container.name
                    && other.container.attempt > entry.container.attempt
            });
            exit.is_some_and(|exit| exit.code != 0) && !again
        })?;
        let failed = &failed.container;
        Some(container(pod, &failed.name, failed.attempt + 1))
    }

    /// What the worker of the pod does, and how its calls can end.
    fn worker_steps(&self, steps: &mut Vec<(String, World)>) {
        let mut say = |label: &str, next: World| steps.push((label.to_owned(), next));
        let doubt = |world: &World| world.after(|world| world.budget.doubts -= 1);
        let refusal = |world: &World| world.after(|world| world.budget.refusals -= 1);
        let (may_doubt, may_refuse) = (self.budget.doubts > 0, self.budget.refusals > 0);
        match &self.worker {
            Worker::Idle => {
                for next in self.begin_duty() {
                    say("the worker takes up a duty", next);
                }
            }
            Worker::Posting(number) => {
                let number = *number;
                let with = |world: &World, posted: Posted| {
                    world.after(|world| world.worker = Worker::Posted(number, posted))
                };
                if self.budget.refuses_twice && self.plugin.contains_key(&number) {
                    say("the plugin has the job already", with(self, exists()));
                    if may_refuse {
                        let next = with(&refusal(self), not_acted());
                        say("the plugin cannot be reached", next);
                    }
                    return;
                }
                let accepted = Posted::Accepted {
                    remote_id: "job-1".into(),
                };
                say(
                    "the plugin takes the job",
                    with(&self.acted(number), accepted),
                );
                if may_doubt {
                    let acted = doubt(&self.acted(number));
                    say(
                        "the plugin takes the job, and the answer is lost",
                        with(&acted, in_doubt()),
                    );
                    let never = doubt(self);
                    say("the request is lost", with(&never, in_doubt()));
                    let late = doubt(&self.after(|world| world.flights.push((number, world.now))));
                    say(
                        "the request is delayed, and given up",
                        with(&late, in_doubt()),
                    );
                }
                if may_doubt && self.budget.late > 0 {
                    let mut next = doubt(self);
                    next.budget.late -= 1;
                    next.late.insert(number);
                    say(
                        "the request comes late, and is given up",
                        with(&next, in_doubt()),
                    );
                }
                if self.budget.gangs > 0 {
                    let mut next = self.after(|world| world.budget.gangs -= 1);
                    next.late.insert(number);
                    say(
                        "the plugin accepts the job for its gang",
                        with(&next, Posted::AwaitsGang),
                    );
                }
                if may_refuse {
                    say(
                        "the plugin cannot be reached",
                        with(&refusal(self), not_acted()),
                    );
                    let mut next = refusal(self);
                    next.refused.insert(number);
                    say("the plugin refuses the job", with(&next, refused()));
                }
            }
            Worker::Asking(number, at) => {
                let (number, at) = (*number, *at);
                let with = |world: &World, heard: Heard| {
                    world.after(|world| world.worker = Worker::Asked(number, at, heard))
                };
                for view in self.views(number) {
                    let label = if view.is_empty() { "denies" } else { "shows" };
                    say(
                        &format!("the plugin, asked, {label} the job"),
                        with(self, Heard::View(view)),
                    );
                }
                if may_doubt {
                    say(
                        "the question is not answered",
                        with(&doubt(self), Heard::NoAnswer),
                    );
                }
                if self.budget.repeats > 0 {
                    let repeated = self.after(|world| world.budget.repeats -= 1);
                    say(
                        "the plugin, asked, repeats itself",
                        with(&repeated, Heard::Repetition),
                    );
                }
            }
            Worker::Deleting(number) => {
                let number = *number;
                let with = |world: &World, deleted: Deleted| {
                    world.after(|world| world.worker = Worker::Deleted(number, deleted))
                };
                let gone = self.after(|world| {
                    world.plugin.remove(&number);
                    // It does not act any more on what came before.
                    world.late.remove(&number);
                    if world.budget.refuses_twice {
                        world.flights.retain(|(flight, _)| *flight != number);
                    }
                });
                if self.budget.keeps && self.plugin.contains_key(&number) {
                    let mut ending = self.clone();
                    let remote = ending.plugin.get_mut(&number);
                    remote
                        .into_iter()
                        .for_each(|remote| remote.is_ending = true);
                    ending.late.remove(&number);
                    say(
                        "the plugin tells the job to end",
                        with(&ending, Deleted::Confirmed),
                    );
                }
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
            Worker::Posted(..) | Worker::Asked(..) | Worker::Deleted(..) => {
                say("the answer is noted", self.note_answer());
            }
        }
    }

    /// The first duty that is due, begun as the worker begins it.
    fn begin_duty(&self) -> Vec<World> {
        let rules = rules(self.budget);
        let pod = self.pod.as_ref();
        let owed = pod.and_then(|pod| owed::next(pod, self.now, &rules));
        let Some(owed) = owed.filter(|owed| owed.due <= self.now) else {
            return Vec::new();
        };
        let event = |number: u32, event: Event| {
            self.with_pod(|pod, now, rules| {
                if let Some(job) = pod.job_mut(number) {
                    job.submission_event(event, now, rules);
                }
            })
        };
        let next = match owed.duty {
            Duty::ReadApiPod(number) => {
                let note = |containers: Option<PodContainers>| {
                    self.with_pod(|pod, _, rules| {
                        batch::note_members(pod, number, containers.as_ref(), rules)
                    })
                };
                return vec![note(self.api_pod())];
            }
            Duty::CloseJob(number) => event(number, Event::Closed),
            Duty::Submit(number) => {
                let mut next = event(number, Event::PostBegins);
                next.worker = Worker::Posting(number);
                next
            }
            // For jobs whose ids are numbers.
            Duty::ProveExit(_) => return Vec::new(),
            Duty::AskForJob(number) => {
                self.after(|world| world.worker = Worker::Asking(number, world.now))
            }
            Duty::CompleteLog(id) | Duty::AbandonLog(id) => {
                self.with_pod(|pod, _, _| lifecycle::complete_log(pod, &id))
            }
            Duty::Cancel(number) => self.after(|world| world.worker = Worker::Deleting(number)),
        };
        vec![next]
    }

    /// The pod as the API server has it.
    fn api_pod(&self) -> Option<PodContainers> {
        let mains = (1..self.budget.containers).map(|number| format!("c{number}"));
        Some(PodContainers {
            inits: vec![INIT.to_owned()],
            sidecars: Vec::new(),
            mains: mains.collect(),
        })
    }

    fn note_answer(&self) -> World {
        let mutation = self.mutation;
        let mut next = self.with_pod(|pod, now, rules| match &self.worker {
            Worker::Posted(number, posted) => {
                let doubt = mutation == Mutation::DoubtCountsAsNotActed
                    && matches!(posted, Posted::InDoubt { .. });
                let posted = match posted {
                    _ if doubt => &not_acted(),
                    Posted::InDoubt {
                        likely_refusal: true,
                        ..
                    } if mutation == Mutation::ExistsCountsAsRefused => &refused(),
                    posted => posted,
                };
                call_results::posted(pod, *number, posted, now, rules);
            }
            Worker::Asked(number, at, heard) => {
                let at = match mutation {
                    Mutation::LateDenialCounts => now,
                    _ => *at,
                };
                if mutation == Mutation::OneDenialIsEnough {
                    hasten_denial(pod, *number);
                }
                let asked = match heard {
                    Heard::View(view) => Asked::Report(report(view)),
                    Heard::Repetition if mutation == Mutation::RepetitionDenies => {
                        Asked::Report(report(&[]))
                    }
                    Heard::Repetition => Asked::Untold,
                    Heard::NoAnswer => Asked::NoAnswer,
                };
                call_results::asked(pod, *number, &asked, at, now, rules);
                if mutation == Mutation::DoubtEndsWithDenials {
                    forget_doubt(pod);
                }
            }
            Worker::Deleted(number, deleted) => {
                let forgets = mutation == Mutation::FailedDeleteIsForgotten;
                let deleted = if forgets {
                    Deleted::Confirmed
                } else {
                    *deleted
                };
                call_results::deleted(pod, *number, deleted, 0, now, rules);
            }
            _ => {}
        });
        next.worker = Worker::Idle;
        next
    }

    /// The poller asks, and takes over the answer later.
    fn poller(&self, steps: &mut Vec<(String, World)>) {
        let Some(pod) = &self.pod else { return };
        let Some((at, answer)) = &self.poll else {
            // One job is asked about at a time: what holds for each holds for all.
            for job in pod.jobs.iter().filter(|job| pod.is_polled(job)) {
                let is_deleted = job.deletion_confirmed_at().is_some();
                for view in self.views(job.number) {
                    let next = self.after(|world| {
                        world.poll = Some((world.now, vec![(job.number, view, is_deleted)]));
                    });
                    steps.push(("the poller asks".into(), next));
                }
            }
            return;
        };
        let mut next = self.after(|world| world.poll = None);
        for (number, view, is_deleted) in answer {
            let is_earlier = self.mutation == Mutation::EarlierDenialCounts;
            if view.is_empty() && (*is_deleted || is_earlier) {
                next = next.with_pod(|pod, now, rules| stopping::gone(pod, *number, now, rules));
            }
            if view.is_empty() && *is_deleted {
                continue;
            }
            if view.is_empty() {
                // As the poller has it: it is not missing before the others have come.
                let job = next.pod.as_ref().and_then(|pod| pod.job(*number));
                if job.is_some_and(|job| job.awaits_gang)
                    && self.mutation != Mutation::GangCountsAsMissing
                {
                    continue;
                }
                let entry = next.missing.entry(*number).or_insert((0, *at));
                entry.0 += 1;
                if observe::is_lost(entry.0, at.since(entry.1), &rules(self.budget)) {
                    next = next.with_pod(|pod, now, rules| observe::lose(pod, *number, now, rules));
                }
                continue;
            }
            next.missing.remove(number);
            let report = report(view);
            next = next.with_pod(|pod, now, rules| {
                if self.mutation == Mutation::LateAnswersResurrect {
                    resurrect(pod, view);
                }
                let before = pod.clone();
                observe::apply(pod, *number, &report, now, rules);
                if *pod == before && report.only_waits_or_runs() {
                    // The poller skips the same entry from now on, while the pod is as it is.
                    let much_later = now.plus(std::time::Duration::from_secs(1_000_000));
                    observe::apply(pod, *number, &report, much_later, rules);
                    assert!(
                        *pod == before,
                        "an answer that was skipped would have counted"
                    );
                }
            });
        }
        steps.push(("the poller notes the answer".into(), next));
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
        next.worker = Worker::Idle;
        next.poll = None;
        next.missing.clear();
        if let Worker::Posting(number) = self.worker {
            let late = next.after(|world| world.flights.push((number, world.now)));
            steps.push(("the daemon crashes, its request is on its way".into(), late));
        }
        steps.push(("the daemon crashes".into(), next));
    }

    /// A request that was given up is acted on in time, or never; and questions have a time limit.
    fn time_may_pass(&self) -> bool {
        let next = self.now.plus(TICK);
        let asked = match (&self.worker, &self.poll) {
            (Worker::Asking(_, at) | Worker::Asked(_, at, _), Some((poll, _))) => {
                Some(*at.min(poll))
            }
            (Worker::Asking(_, at) | Worker::Asked(_, at, _), None) | (_, Some((at, _))) => {
                Some(*at)
            }
            _ => None,
        };
        let in_time = asked.is_none_or(|at| next.since(at) <= ticks(LIMIT));
        let mut flights = self.flights.iter();
        in_time && flights.all(|(_, left)| next.since(*left) <= ticks(LATE))
    }

    fn tick(&mut self) {
        self.now = self.now.plus(TICK);
    }

    /// One step of a run in which nothing fails and everything that can be done is done.
    pub fn fair_step(&self) -> World {
        let mut steps = Vec::new();
        for number in &self.late {
            steps.push((String::new(), self.acted_late(*number)));
        }
        for index in 0..self.flights.len() {
            steps.push((String::new(), self.arrived(index)));
        }
        if steps.is_empty() {
            self.worker_steps(&mut steps);
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

fn in_doubt() -> Posted {
    Posted::InDoubt {
        reason: String::new(),
        likely_refusal: false,
    }
}

/// What a plugin says to a second POST of a job that it has.
fn exists() -> Posted {
    Posted::InDoubt {
        reason: "exists".into(),
        likely_refusal: true,
    }
}

fn refused() -> Posted {
    Posted::Refused {
        reason: "no".into(),
    }
}

/// A job that waits for another POST is taken for one that was never posted.
fn forget_doubt(pod: &mut Pod) {
    for job in &mut pod.jobs {
        if matches!(
            job.submission,
            Submission::Pending { .. } | Submission::Dropped
        ) {
            job.in_doubt_since = None;
        }
    }
}

fn not_acted() -> Posted {
    Posted::NotActed {
        reason: String::new(),
    }
}

fn hasten_denial(pod: &mut Pod, number: u32) {
    let job = pod.job_mut(number);
    if let Some(Submission::Unsure { denials, since, .. }) = job.map(|job| &mut job.submission) {
        *denials = MIN_DENIALS;
        *since = Nanos(0);
    }
}

fn resurrect(pod: &mut Pod, view: &[(String, Over)]) {
    for entry in &mut pod.containers {
        if view
            .iter()
            .any(|(name, over)| entry.container.name == *name && *over == Over::Runs)
        {
            entry.status.exit = None;
        }
    }
}
