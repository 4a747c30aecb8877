//! Whether a namespace has room for a job that is to be posted.

use parking_lot::MutexGuard;

use super::{changes::Hold, expected::FromApi, job_request, Context};
use crate::{
    model::{Demand, Job, Pod, SandboxId},
    plan::{
        call_results,
        limits::{self, Verdict},
    },
    telemetry::{chain, Counter},
};

/// What a job may go on with.
pub struct Turn<'a> {
    /// Held until it is on disk that the job is posted, so that no other takes the same room.
    _turn: Option<MutexGuard<'a, ()>>,
    /// What the job will have, where that is counted.
    pub demand: Option<Demand>,
}

/// Lets a job go on, or makes it wait.
///
/// # Errors
/// It waits, or was refused, and that is noted.
pub fn take_turn<'a>(
    context: &'a Context,
    id: &SandboxId,
    number: u32,
    from_api: Option<&FromApi>,
) -> Result<Turn<'a>, Hold> {
    let free = Turn {
        _turn: None,
        demand: None,
    };
    let Some(pod) = context.store.pod(id) else {
        return Ok(free);
    };
    let namespace = &pod.sandbox.namespace;
    let (Some(limit), Some(job)) = (context.rules.limits.of(namespace), pod.job(number)) else {
        return Ok(free);
    };
    let demand = match job_request::demand(context, &pod, job, from_api) {
        Ok(demand) => demand,
        Err(job_request::Error::State(error)) => {
            log::warn!(error = chain(&error); "job not submitted, to be tried again");
            return Err(Hold::ForDisk);
        }
        // What is wrong with it is said when it is made.
        Err(error) => {
            log::debug!(error = chain(&error); "what a job asks for is not known");
            return Ok(free);
        }
    };
    let turn = context.limits_turn.lock();
    let pods = context.store.pods();
    let pods = pods.iter().map(|pod| &**pod);
    let own = (id, job.created_at);
    match limits::decide(pods, namespace, own, demand, &limit) {
        Verdict::Room => Ok(Turn {
            _turn: Some(turn),
            demand: Some(demand),
        }),
        Verdict::Wait(why) => Err(wait(context, &pod, job, &why)),
        Verdict::Never(why) => Err(refuse(context, &pod, job, &why)),
    }
}

fn wait(context: &Context, pod: &Pod, job: &Job, why: &str) -> Hold {
    let number = job.number;
    let hold = context.change(&pod.sandbox.id, |pod, now| {
        limits::hold(pod, number, why, now);
    });
    // After it is on disk: who reads the line finds the rest.
    if job.held.is_none() && hold == Hold::No {
        log::info!("job {why}");
    }
    hold
}

fn refuse(context: &Context, pod: &Pod, job: &Job, why: &str) -> Hold {
    log::warn!(error = why; "job refused");
    context.counters.count(Counter::JobsRefused);
    let number = job.number;
    context.change(&pod.sandbox.id, |pod, now| {
        call_results::refused_here(pod, number, why, now, &context.rules);
    })
}
