//! The plugin: what it does with jobs, and what it shows of them.

use interlink_cri::{
    model::WaitReason,
    plan::{ContainerReport, JobReport, ReportedEnd, ReportedState},
};

use crate::world::{ticks, Over, Remote, View, World, BLIND, CODE, INIT};

impl World {
    /// What it does by itself.
    pub fn plugin_steps(&self, steps: &mut Vec<(String, World)>) {
        for index in 0..self.flights.len() {
            let lost = self.after(|world| {
                world.flights.remove(index);
            });
            steps.push(("the delayed request is lost".into(), lost));
            steps.push(("the delayed request arrives".into(), self.arrived(index)));
        }
        for number in &self.late {
            let next = self.acted_late(*number);
            steps.push(("the late request is acted on".into(), next));
        }
        for (number, remote) in &self.plugin {
            let running = remote.containers.iter().enumerate();
            for (at, (name, _)) in running.filter(|(_, (_, over))| *over == Over::Runs) {
                let is_init = self.budget.whole && name == INIT;
                let codes: &[i32] = if is_init { &[0, CODE] } else { &[CODE] };
                for code in codes {
                    let next = self.ends_over_there(*number, at, *code);
                    steps.push((format!("{name} ends over there with {code}"), next));
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

    /// A container ends; if it is the init container, and has succeeded, those after it begin.
    fn ends_over_there(&self, number: u32, at: usize, code: i32) -> World {
        let mut next = self.clone();
        let Some(remote) = next.plugin.get_mut(&number) else {
            return next;
        };
        remote.containers[at].1 = Over::Ended(code);
        let name = remote.containers[at].0.clone();
        next.ended.insert((number, name, code));
        let waiting = remote.containers.iter_mut().filter(|_| code == 0);
        for (name, over) in waiting.filter(|(_, over)| *over == Over::Waits) {
            *over = Over::Runs;
            next.mains.insert((name.clone(), number));
        }
        next
    }

    /// A POST that was given up reaches the plugin, which acts on it, or refuses it unheard.
    pub fn arrived(&self, index: usize) -> World {
        let mut next = self.clone();
        let (number, _) = next.flights.remove(index);
        match next.budget.refuses_twice && next.plugin.contains_key(&number) {
            true => next,
            false => next.acted(number),
        }
    }

    /// The plugin acts on a POST at last, unless it has the job.
    pub fn acted_late(&self, number: u32) -> World {
        let mut next = match self.plugin.contains_key(&number) {
            true => self.clone(),
            false => {
                let mut next = self.acted(number);
                next.acted_late.insert(number);
                next
            }
        };
        next.late.remove(&number);
        next
    }

    /// The plugin acts on a POST.
    pub fn acted(&self, number: u32) -> World {
        let mut next = self.clone();
        *next.runs.entry(number).or_default() += 1;
        let pod = self.pod.as_ref();
        let names = pod
            .and_then(|pod| pod.job(number))
            .map(|job| job.all_names().map(str::to_owned).collect::<Vec<_>>());
        let names = names.unwrap_or_default();
        let after_init = self.budget.whole && names.iter().any(|name| name == INIT);
        let over = |name: &str| match after_init && name != INIT {
            true => Over::Waits,
            false => Over::Runs,
        };
        let containers = names.into_iter().map(|name| {
            let over = over(&name);
            (name, over)
        });
        let containers: View = containers.collect();
        let begun = containers.iter().filter(|(_, over)| *over == Over::Runs);
        let mains = begun.filter(|(name, _)| self.budget.whole && name != INIT);
        next.mains
            .extend(mains.map(|(name, _)| (name.clone(), number)));
        let remote = Remote {
            since: self.now,
            containers,
            is_ending: false,
        };
        next.plugin.insert(number, remote);
        next
    }

    /// What an answer can show of a job: the truth, or, of a fresh one, nothing.
    pub fn views(&self, number: u32) -> Vec<View> {
        let Some(remote) = self.plugin.get(&number) else {
            return vec![View::new()];
        };
        let mut views = vec![remote.containers.clone()];
        if self.now.since(remote.since) < ticks(BLIND) && !remote.is_ending {
            views.push(View::new());
        }
        views
    }
}

/// An answer, as the daemon understands it.
pub fn report(view: &[(String, Over)]) -> JobReport {
    let containers = view.iter().map(|(name, over)| ContainerReport {
        name: name.clone(),
        state: match over {
            Over::Waits => ReportedState::Queued {
                why: WaitReason::default(),
            },
            Over::Runs => ReportedState::Running { since: None },
            Over::Ended(code) => ReportedState::Ended(ReportedEnd {
                code: *code,
                ..ReportedEnd::default()
            }),
        },
    });
    JobReport {
        remote_id: "job-1".to_owned(),
        containers: containers.collect(),
        ..JobReport::default()
    }
}
