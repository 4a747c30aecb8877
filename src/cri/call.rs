//! The one wrapper round every RPC: pool, timing, log line, panic guard.

use std::{
    future::poll_fn,
    panic::{catch_unwind, AssertUnwindSafe},
    sync::Arc,
    task::ready,
    time::{Duration, Instant},
};

use futures_channel::oneshot;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcContext, RpcStatus, ServerStreamingSink, UnarySink, WriteFlags};
use parking_lot::Mutex;

use super::{pool::Pool, Error};
use crate::{
    proto::{Dispatch, Replies},
    telemetry::{chain, Counter, Counters, LimitedByText},
};

/// Carries out calls on the pool.
#[derive(Clone)]
pub struct Caller {
    pool: Arc<Pool>,
    counters: Arc<Counters>,
    refusals: Arc<LimitedByText>,
}

/// The kubelet makes a call that was refused again, some of them each second, for as long as the pod
/// lives.
const REFUSAL_AGAIN: Duration = Duration::from_secs(600);

impl Caller {
    /// A caller on a pool.
    pub fn new(pool: Arc<Pool>, counters: Arc<Counters>) -> Self {
        Self {
            pool,
            counters,
            refusals: Arc::new(LimitedByText::new(REFUSAL_AGAIN)),
        }
    }

    /// Runs a handler, and turns what comes of it into a status.
    fn run<P>(
        &self,
        method: &'static str,
        handler: impl FnOnce() -> Result<P, Error>,
    ) -> Result<P, RpcStatus> {
        let begun = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|_| {
            Err(Error::Internal(format!(
                "{method} failed by a fault of interlink-cri; see its log"
            )))
        });
        self.counters.count(Counter::CriCalls);
        let took = begun.elapsed();
        answer
            .inspect(|_| log::debug!("{method}: ok in {took:.1?}"))
            .map_err(|error| {
                self.counters.count(Counter::CriErrors);
                if error.is_ours() {
                    log::error!("{method}: {}", chain(&error));
                } else {
                    self.log_refusal(&format!("{method} refused: {}", chain(&error)));
                }
                RpcStatus::from(&error)
            })
    }

    fn log_refusal(&self, text: &str) {
        let is_out = self.refusals.print(text, |held_back| match held_back {
            0 => log::info!("{text}"),
            _ => log::info!("{text} ({held_back} more like this held back)"),
        });
        if !is_out {
            log::debug!("{text}");
        }
    }

    fn refusal(&self, method: &str) -> RpcStatus {
        self.counters.count(Counter::CriRefused);
        let text = format!("{method}: too many calls are waiting; try again in a moment");
        RpcStatus::from(&Error::Exhausted(text))
    }
}

impl Dispatch for Caller {
    type Error = Error;

    fn unary<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Q,
        sink: UnarySink<P>,
        handler: impl FnOnce(Q) -> Result<P, Error> + Send + 'static,
    ) {
        let (answered, sent) = oneshot::channel();
        // Whoever gets to answer takes what it needs for that: the handler, or the refusal.
        let slot = Arc::new(Mutex::new(Some((sink, answered))));
        let answer = move |answer: Result<P, RpcStatus>| {
            let Some((sink, answered)) = slot.lock().take() else {
                return;
            };
            // The client may have gone; there is nobody to tell.
            let _ = answered.send(match answer {
                Ok(answer) => sink.success(answer),
                Err(status) => sink.fail(status),
            });
        };
        let (caller, reply) = (self.clone(), answer.clone());
        let work = move || reply(caller.run(method, || handler(request)));
        if self.pool.hand_over(work).is_err() {
            answer(Err(self.refusal(method)));
        }
        // The call is cancelled if its last handle goes before the answer has left, so somebody
        // has to wait for that; a client that is slow to read must not hold up a handler.
        context.spawn(async move {
            if let Ok(result) = sent.await {
                if let Err(gone) = result.await {
                    log::debug!("{method}: the client is gone: {gone}");
                }
            }
        });
    }

    fn streaming<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Q,
        mut sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Replies<P>, Error> + Send + 'static,
    ) {
        let (caller, (send, answer)) = (self.clone(), oneshot::channel());
        let work = move || {
            // The client may have gone in the meantime.
            let _ = send.send(caller.run(method, || handler(request)));
        };
        let refusal = self
            .pool
            .hand_over(work)
            .is_err()
            .then(|| self.refusal(method));
        // A reader that is slow holds up this future and nothing else: no thread waits for it.
        context.spawn(async move {
            let stopped = || Err(RpcStatus::new(grpcio::RpcStatusCode::UNAVAILABLE));
            let answer = match refusal {
                Some(status) => Err(status),
                None => answer.await.unwrap_or_else(|_| stopped()),
            };
            let ended = match answer {
                Ok(replies) => send_all(&mut sink, replies).await,
                Err(status) => sink.fail(status).await,
            };
            if let Err(gone) = ended {
                log::debug!("{method}: the client is gone: {gone}");
            }
        });
    }
}

/// Sends replies as they come. The end of the client shows also while there is none to send: who
/// subscribes to events and goes away on a quiet node leaves nothing behind.
async fn send_all<P: Send + 'static>(
    sink: &mut ServerStreamingSink<P>,
    mut replies: Replies<P>,
) -> grpcio::Result<()> {
    loop {
        let next = poll_fn(|context| {
            ready!(sink.poll_ready_unpin(context))?;
            replies.poll_next_unpin(context).map(Ok)
        });
        let next: grpcio::Result<Option<P>> = next.await;
        match next? {
            Some(reply) => sink.send((reply, WriteFlags::default())).await?,
            None => return sink.close().await,
        }
    }
}

/// The stream of a list: the items in messages of a bounded size each.
pub fn in_parts<T: Send + 'static, P: Send + 'static>(
    items: Vec<T>,
    message: impl Fn(Vec<T>) -> P + Send + 'static,
) -> Replies<P> {
    const PART: usize = 256;
    futures_util::stream::iter(items)
        .chunks(PART)
        .map(message)
        .boxed()
}
