//! Answers that come later: a stop is answered when a pod has come to a state. No thread waits, and who
//! goes away leaves nothing behind.

use futures_channel::oneshot;
use futures_util::FutureExt as _;

use super::{CriContext, Error};
use crate::{
    model::{Pod, SandboxId},
    plan::stopping::StopOutcome,
    proto::Later,
};

impl CriContext {
    /// The answer to a stop, once a pod shows what has come of it. `what` is named where the time was over
    /// before that; a pod that is gone needs no more stopping.
    pub(super) fn when_stopped<P: Default + Send + 'static>(
        &self,
        sandbox: &SandboxId,
        what: String,
        outcome: impl Fn(&Pod) -> StopOutcome + Send + 'static,
    ) -> Later<P, Error> {
        let (tell, told) = oneshot::channel();
        let mut tell = Some(tell);
        let watcher = move |pod: Option<&Pod>| match pod.map_or(StopOutcome::Done, &outcome) {
            StopOutcome::Waits => false,
            end => {
                // Who does not listen any more has gone.
                let _ = tell.take().map(|tell| tell.send(end));
                true
            }
        };
        let watch = self.store.watch(sandbox, Box::new(watcher));
        async move {
            let told = told.await;
            drop(watch);
            match told {
                Ok(StopOutcome::Overdue) => Err(Error::TimeOut(format!(
                    "{what}: the plugin has not confirmed in time that it has ended, so it counts as \
                     running (jobs.unconfirmed_stop); its cancellation goes on"
                ))),
                Ok(StopOutcome::Done | StopOutcome::Waits) => Ok(P::default()),
                Err(oneshot::Canceled) => Err(Error::Ending),
            }
        }
        .boxed()
    }
}

/// An answer that is there at once.
pub(super) fn at_once<P: Default + Send + 'static>() -> Later<P, Error> {
    futures_util::future::ready(Ok(P::default())).boxed()
}
