//! What the audit hears of a job.

use k8s_openapi::{api::core::v1::Pod as JobsPod, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{expected::FromApi, Context};
use crate::{
    audit::{Action, Line, Outcome},
    model::{Job, JobOwner, Pod, SandboxId},
    plan::call_results::Posted,
    profile,
};

/// Whose a job is that is about to be sent: noted before it leaves, so that it is known after a crash too.
pub fn owner_to_be(context: &Context, pod: &Pod, from_api: Option<&FromApi>) -> JobOwner {
    let service_account = from_api.map(FromApi::service_account);
    let namespace = &pod.sandbox.namespace;
    let owner = context.users.owner(namespace, service_account);
    JobOwner {
        uid: owner.as_ref().map(|owner| owner.uid.into()),
        gid: owner.as_ref().and_then(|owner| owner.gid).map(i64::from),
        account: owner.and_then(|owner| owner.account),
        service_account: service_account.map(str::to_owned),
    }
}

/// Whose a job is, with whom it was sent for in truth.
pub fn owner_sent(noted: &JobOwner, sent: &JobsPod) -> JobOwner {
    let context = sent
        .spec
        .as_ref()
        .and_then(|spec| spec.security_context.as_ref());
    JobOwner {
        uid: context.and_then(|context| context.run_as_user),
        gid: context.and_then(|context| context.run_as_group),
        ..noted.clone()
    }
}

/// What the audit hears of a POST; nothing where the plugin has not acted, and it is made again.
pub fn outcome(posted: &Posted, is_refused: bool) -> Option<Outcome> {
    match posted {
        _ if is_refused => Some(Outcome::Refused),
        Posted::Accepted { .. } | Posted::AwaitsGang => Some(Outcome::Accepted),
        Posted::InDoubt { .. } => Some(Outcome::InDoubt),
        Posted::Refused { .. } | Posted::ServerError { .. } | Posted::NotActed { .. } => None,
    }
}

/// Writes how the submission of a job has ended. `sent` has the annotations that went with it.
pub fn submission(
    context: &Context,
    id: &SandboxId,
    before: (&Pod, &Job),
    sent: &ObjectMeta,
    outcome: Outcome,
) {
    // What is known of it now; a job that is gone already was as it was before.
    let now = context.store.pod(id);
    let job = now.as_ref().and_then(|pod| pod.job(before.1.number));
    let job = job.unwrap_or(before.1);
    write(context, before.0, job, sent, (Action::Submission, outcome));
}

/// Writes how the cancellation of a job has ended. `sent` has the annotations that went with it.
pub fn cancellation(context: &Context, pod: &Pod, job: &Job, sent: &ObjectMeta, outcome: Outcome) {
    write(context, pod, job, sent, (Action::Cancellation, outcome));
}

fn write(context: &Context, pod: &Pod, job: &Job, sent: &ObjectMeta, what: (Action, Outcome)) {
    let (action, outcome) = what;
    let (sandbox, owner) = (&pod.sandbox, &job.owner);
    context.audit.write(&Line {
        time: context.store.clock().now().rfc3339(),
        action,
        outcome,
        namespace: &sandbox.namespace,
        pod: &sandbox.name,
        pod_uid: &sandbox.uid,
        service_account: owner.service_account.as_deref(),
        uid: owner.uid,
        gid: owner.gid,
        job_uid: job.uid.to_string(),
        remote_id: job.remote_id.as_deref(),
        flags: profile::shown_flags(sent),
    });
}
