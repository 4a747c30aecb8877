//! What must hold.

use std::collections::BTreeSet;

use interlink_cri::model::{Pod, Submission};

use crate::world::{Over, World};

impl World {
    /// What must hold in every state, and between two that follow each other.
    pub fn check(&self, before: &World) -> Result<(), String> {
        self.check_runs()?;
        let (Some(pod), Some(was)) = (&self.pod, &before.pod) else {
            return Ok(());
        };
        for entry in &pod.containers {
            let name = &entry.container.name;
            let carried = pod
                .jobs
                .iter()
                .filter(|job| job.containers.contains(entry.id()));
            let carried = carried.count();
            if carried != usize::from(entry.status.started_at.is_some()) {
                return Err(format!("{name} is in {carried} jobs"));
            }
            let end = |pod: &Pod| {
                let status = &pod.container(entry.id())?.status;
                status
                    .exit
                    .as_ref()
                    .map(|exit| (exit.code, exit.reason.clone()))
            };
            if end(was).is_some() && end(was) != end(pod) {
                return Err(format!("{name} changed its end"));
            }
        }
        for old in &was.jobs {
            let new = pod.job(old.number);
            let is_final = matches!(
                old.submission,
                Submission::Finished | Submission::Lost | Submission::Dropped
            );
            if new.is_some_and(|new| is_final && new.submission != old.submission) {
                return Err(format!("job {} left a final state", old.number));
            }
        }
        self.check_stops()?;
        self.check_ends()
    }

    /// Where stops are held, nothing of a container runs any more that was stopped and has ended, so
    /// nothing runs beside its successor.
    fn check_stops(&self) -> Result<(), String> {
        let Some(pod) = self.pod.as_ref().filter(|_| self.budget.hold) else {
            return Ok(());
        };
        let over = pod
            .containers
            .iter()
            .filter(|entry| entry.status.exit.is_some() && self.waited_for.contains(entry.id()));
        for entry in over {
            let name = &entry.container.name;
            let remote = pod
                .job_of(entry.id())
                .and_then(|job| self.plugin.get(&job.number));
            let mut containers = remote.iter().flat_map(|remote| &remote.containers);
            if containers.any(|(other, over)| *name == *other && *over == Over::Runs) {
                return Err(format!("{name} runs on after its stop"));
            }
        }
        Ok(())
    }

    pub fn check_runs(&self) -> Result<(), String> {
        // A plugin that forgets a job before it has said that it took it gets it once more.
        let mut runs = self.runs.iter();
        let twice = runs.find(|(number, runs)| **runs > 1 && !self.forgotten.contains(number));
        if let Some((number, _)) = twice {
            return Err(format!("job {number} ran twice"));
        }
        // A removed pod has no containers any more, and its jobs are those it had.
        let entries = self.pod.iter().flat_map(|pod| &pod.containers);
        for container in entries.map(|entry| &entry.container) {
            let runs = self
                .mains
                .iter()
                .filter(|(name, number)| container.name == *name && self.counts(*number));
            let attempts = self.pod.iter().flat_map(|pod| &pod.containers);
            let attempts = attempts.filter(|entry| entry.container.name == container.name);
            if runs.count() > attempts.count() {
                return Err(format!("{} ran twice", container.name));
            }
        }
        Ok(())
    }

    /// A job that is cancelled goes on until the plugin knows, and one that it has forgotten is
    /// not ours any more.
    fn counts(&self, number: u32) -> bool {
        let mut jobs = self.pod.iter().flat_map(|pod| &pod.jobs);
        let mine = jobs.any(|job| job.number == number && job.cancel.is_none());
        mine && !self.forgotten.contains(&number)
    }

    /// Every end that is shown has its reason.
    pub fn check_ends(&self) -> Result<(), String> {
        let Some(pod) = &self.pod else { return Ok(()) };
        for entry in &pod.containers {
            let Some(exit) = &entry.status.exit else {
                continue;
            };
            let name = &entry.container.name;
            let number = pod.job_of(entry.id()).map(|job| job.number);
            let with = |set: &BTreeSet<u32>| number.is_some_and(|number| set.contains(&number));
            let runs = number.and_then(|number| self.runs.get(&number).copied());
            let good = match exit.reason.as_str() {
                "SubmissionFailed" => {
                    let is_unknown = with(&self.forgotten) || with(&self.acted_late);
                    with(&self.refused) && (runs.is_none() || is_unknown)
                }
                "JobLost" => with(&self.forgotten),
                _ if self.stopped.contains(entry.id()) => true,
                _ => number.is_some_and(|number| {
                    self.ended.contains(&(number, name.to_string(), exit.code)) && runs.is_some()
                }),
            };
            if !good {
                return Err(format!("{name} ended with {exit:?}, runs {runs:?}"));
            }
        }
        Ok(())
    }

    pub fn check_nothing_left(&self) -> Result<(), String> {
        let mut jobs = self.plugin.iter().filter(|(_, job)| !job.is_ending);
        match jobs.next() {
            Some((number, _)) => Err(format!("job {number} outlives its pod")),
            None if !self.flights.is_empty() || !self.late.is_empty() => {
                Err("a request outlives its pod".into())
            }
            None => Ok(()),
        }
    }
}
