//! The one wrapper round every RPC: pool, timing, log line, panic guard.

use std::{
    convert::Infallible,
    future::poll_fn,
    sync::Arc,
    task::{ready, Poll},
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, Receiver, Sender};
use futures_channel::oneshot;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use grpcio::{RpcContext, RpcStatus, ServerStreamingSink, UnarySink, WriteFlags};
use parking_lot::Mutex;

use super::{
    pool::{Full, Pool, WaitsFor},
    Error,
};
use crate::{
    bounded::{Held, InFlight},
    daemon_log::{self, Fields, Scope},
    proto::{Dispatch, Incoming, Later, Replies},
    telemetry::{chain, Counter, Counters, LimitedByText},
    threads::{self, contain, Panic},
    traces::{self, Span},
};

/// Carries out calls on the pool.
#[derive(Clone)]
pub struct Caller {
    pool: Arc<Pool>,
    in_flight: Arc<InFlight>,
    counters: Arc<Counters>,
    refusals: Arc<LimitedByText>,
    /// Held by each parked call until its answer has left; nothing is ever sent.
    under_way: Arc<Mutex<Option<Sender<Infallible>>>>,
    all_sent: Receiver<Infallible>,
}

/// The kubelet makes a call that was refused again, some of them each second, for as long as the pod
/// lives.
const REFUSAL_AGAIN: Duration = Duration::from_secs(600);

impl Caller {
    /// A caller on a pool, with room for the requests that are under way.
    pub fn new(pool: Arc<Pool>, in_flight: Arc<InFlight>, counters: Arc<Counters>) -> Self {
        let (under_way, all_sent) = bounded(0);
        Self {
            pool,
            in_flight,
            counters,
            refusals: Arc::new(LimitedByText::new(REFUSAL_AGAIN)),
            under_way: Arc::new(Mutex::new(Some(under_way))),
            all_sent,
        }
    }

    /// Waits until the answers of parked calls have left, when no more such calls come.
    pub fn wait_for_answers(&self, deadline: Instant) {
        drop(self.under_way.lock().take());
        // Disconnected when the last answer has left.
        let _ = self.all_sent.recv_deadline(deadline);
    }

    /// Runs a handler within the span of its call, and turns what comes of it into a status. An error ends
    /// the span; where there is none, the call may not be over.
    fn run<P>(
        &self,
        method: &'static str,
        span: &Span,
        handler: impl FnOnce() -> Result<P, Error>,
    ) -> Result<P, RpcStatus> {
        // The handler notes what the call is about.
        let _scope = Scope::open();
        let begun = Instant::now();
        let answer = span.within(|| {
            contain(|| {
                threads::point("handler");
                handler()
            })
        });
        let answer = answer.unwrap_or_else(|panic| Err(self.answer_to(&panic)));
        self.counters.count(Counter::CriCalls);
        let took = begun.elapsed();
        let code = answer.as_ref().err().map_or("OK", Error::code_name);
        self.counters.metrics.rpc(method, code, took);
        answer
            .inspect(|_| {
                let elapsed_ms = daemon_log::millis(took);
                log::debug!(rpc = method, elapsed_ms; "a call is answered");
            })
            .map_err(|error| self.status(method, span, &error))
    }

    /// What a caller gets instead of an answer. It ends the call's span.
    fn status(&self, method: &str, span: &Span, error: &Error) -> RpcStatus {
        span.answered(error.code_name(), || chain(error));
        self.counters.count(Counter::CriErrors);
        if error.is_ours() {
            log::error!(rpc = method, error = chain(error); "{method} failed");
        } else {
            self.log_refusal(method, &chain(error));
        }
        RpcStatus::from(error)
    }

    /// What the caller gets when its handler panicked. The kubelet makes most calls again for as long
    /// as the pod lives, so ending the process would take all other pods' calls down with it, every
    /// few seconds. Nothing is half done: a handler changes a copy of the pod, and the store ends the
    /// process if it panics itself.
    fn answer_to(&self, panic: &Panic) -> Error {
        self.counters.count(Counter::Panics);
        let fault = "a fault of interlink-cri; nothing was changed, and other calls go on";
        Error::Internal(format!("its handler {panic}: {fault}"))
    }

    fn log_refusal(&self, method: &str, error: &str) {
        let text = format!("{method}: {error}");
        let is_out = self.refusals.print(&text, |held_back| {
            log::info!(rpc = method, error, held_back; "{method} refused");
        });
        if !is_out {
            log::debug!(rpc = method, error; "{method} refused");
        }
    }

    /// Sends replies as they come; gives what the stream is to end with. The end of the client shows
    /// also while there is none to send: who subscribes to events and goes away on a quiet node leaves
    /// nothing behind.
    async fn send_all<P: Send + 'static>(
        &self,
        (method, span): (&str, &Span),
        sink: &mut ServerStreamingSink<P>,
        mut replies: Replies<P>,
    ) -> grpcio::Result<Result<(), RpcStatus>> {
        loop {
            let next = poll_fn(|context| {
                ready!(sink.poll_ready_unpin(context))?;
                // Made on gRPC's thread, and from records, like any other answer.
                let made = contain(|| {
                    threads::point("stream");
                    replies.poll_next_unpin(context)
                });
                match made {
                    Ok(poll) => poll.map(|reply| Ok(Ok(reply))),
                    Err(panic) => Poll::Ready(Ok(Err(panic))),
                }
            });
            let next: grpcio::Result<Result<Option<P>, Panic>> = next.await;
            match next? {
                Ok(Some(reply)) => sink.send((reply, WriteFlags::default())).await?,
                Ok(None) => return Ok(Ok(())),
                Err(panic) => {
                    let error = self.answer_to(&panic);
                    log::error!(rpc = method, error = chain(&error); "{method} failed, and the stream ends");
                    span.answered(error.code_name(), || error.to_string());
                    return Ok(Err(RpcStatus::from(&error)));
                }
            }
        }
    }

    /// Hands a call over to the pool. Its request has room until the handler has returned.
    fn hand_over<Q: Send + 'static>(
        &self,
        method: &'static str,
        span: &Span,
        request: Incoming<Q>,
        work: impl FnOnce(Q) + Send + 'static,
    ) -> Result<(), RpcStatus> {
        let (message, held) = self
            .admit(request)
            .map_err(|why| self.refusal(method, span, &why))?;
        let work = move || {
            work(message);
            drop(held);
        };
        self.pool
            .hand_over(WaitsFor::of(method), work)
            .map_err(|Full| {
                self.refusal(
                    method,
                    span,
                    "too many calls are waiting; try again in a moment",
                )
            })
    }

    fn admit<Q>(&self, request: Incoming<Q>) -> Result<(Q, Held), String> {
        let message = request.message.map_err(|error| error.to_string())?;
        let held = self.in_flight.hold(request.takes);
        let held = held.map_err(|error| {
            format!("its {error} (limits.max_in_flight_bytes); try again in a moment")
        })?;
        Ok((message, held))
    }

    fn refusal(&self, method: &str, span: &Span, why: &str) -> RpcStatus {
        self.counters.count(Counter::CriRefused);
        let error = Error::Exhausted(format!("{method}: {why}"));
        span.answered(error.code_name(), || error.to_string());
        RpcStatus::from(&error)
    }
}

impl Dispatch for Caller {
    type Error = Error;

    fn unary<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        sink: UnarySink<P>,
        handler: impl FnOnce(Q) -> Result<P, Error> + Send + 'static,
    ) {
        threads::point("grpc");
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
        let span = span_of(&context);
        let within = span.clone();
        let work = move |request| {
            let answer = caller.run(method, &within, || handler(request));
            reply(answer);
            // After it has left, as that takes longer than a small answer. An error has ended it already.
            within.answered("OK", String::new);
        };
        if let Err(refusal) = self.hand_over(method, &span, request, work) {
            answer(Err(refusal));
        }
        // The call is cancelled if its last handle goes before the answer has left, so somebody
        // has to wait for that; a client that is slow to read must not hold up a handler.
        context.spawn(async move {
            if let Ok(result) = sent.await {
                if let Err(gone) = result.await {
                    log::debug!(rpc = method, error:% = gone; "the client is gone");
                }
            }
        });
    }

    fn parked<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        mut sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Later<P, Error>, Error> + Send + 'static,
    ) {
        threads::point("grpc");
        let (send, answer) = oneshot::channel();
        let (runner, caller) = (self.clone(), self.clone());
        let span = span_of(&context);
        let within = span.clone();
        let work = move |request| {
            let handler = || handler(request).map(|later| (later, Fields::current()));
            // The client may have gone in the meantime.
            let _ = send.send(runner.run(method, &within, handler));
        };
        let refusal = self.hand_over(method, &span, request, work).err();
        let under_way = self.under_way.lock().clone();
        context.spawn(async move {
            let ending = || Err(RpcStatus::from(&Error::Ending));
            let later = match refusal {
                Some(status) => Err(status),
                None => answer.await.unwrap_or_else(|_| ending()),
            };
            let answer = match later {
                Ok((later, about)) => unless_gone(&mut sink, later).await.map(|answer| {
                    answer.map_err(|error| {
                        let _scope = about.enter();
                        caller.status(method, &span, &error)
                    })
                }),
                Err(status) => Ok(Err(status)),
            };
            let sent = match answer {
                Ok(Ok(answer)) => match sink.send((answer, WriteFlags::default())).await {
                    Ok(()) => sink.close().await,
                    Err(gone) => Err(gone),
                },
                Ok(Err(status)) => sink.fail(status).await,
                Err(gone) => Err(gone),
            };
            end(&span, method, sent);
            drop(under_way);
        });
    }

    fn streaming<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        mut sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Replies<P>, Error> + Send + 'static,
    ) {
        let (caller, (send, answer)) = (self.clone(), oneshot::channel());
        let runner = self.clone();
        let span = span_of(&context);
        let within = span.clone();
        let work = move |request| {
            // The client may have gone in the meantime.
            let _ = send.send(runner.run(method, &within, || handler(request)));
        };
        let refusal = self.hand_over(method, &span, request, work).err();
        // A reader that is slow holds up this future and nothing else: no thread waits for it.
        context.spawn(async move {
            let stopped = || Err(RpcStatus::new(grpcio::RpcStatusCode::UNAVAILABLE));
            let answer = match refusal {
                Some(status) => Err(status),
                None => answer.await.unwrap_or_else(|_| stopped()),
            };
            let sent = match answer {
                Ok(replies) => {
                    let call = (method, &span);
                    caller.send_all(call, &mut sink, replies).await
                }
                Err(status) => Ok(Err(status)),
            };
            let ended = match sent {
                Ok(Ok(())) => sink.close().await,
                Ok(Err(status)) => sink.fail(status).await,
                Err(gone) => Err(gone),
            };
            end(&span, method, ended);
        });
    }
}

/// The span of a call that has just come, within the trace that its client names.
fn span_of(context: &RpcContext<'_>) -> Span {
    if !traces::is_on() {
        return Span::default();
    }
    let method = String::from_utf8_lossy(context.method());
    let method = method.trim_start_matches('/');
    traces::rpc(method, context.request_headers().iter())
}

/// A call is over whose answer came later, or in pieces. An error has ended the span already.
fn end(span: &Span, method: &str, sent: grpcio::Result<()>) {
    match sent {
        Ok(()) => span.answered("OK", String::new),
        Err(gone) => {
            span.answered("CANCELLED", String::new);
            log::debug!(rpc = method, error:% = gone; "the client is gone");
        }
    }
}

/// What comes later, unless the client is gone before.
async fn unless_gone<P: Send + 'static>(
    sink: &mut ServerStreamingSink<P>,
    mut later: Later<P, Error>,
) -> grpcio::Result<Result<P, Error>> {
    poll_fn(|context| {
        // Nothing is being sent, so this is ready, or tells that the client is gone.
        if let Poll::Ready(Err(gone)) = sink.poll_ready_unpin(context) {
            return Poll::Ready(Err(gone));
        }
        later.poll_unpin(context).map(Ok)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proto::TooMuch, telemetry::Metrics};

    #[test]
    fn a_request_that_finds_no_room_is_refused_with_the_figures() {
        let pool = Pool::start(1, 1, Metrics::default().pool("cri", 1)).expect("starts");
        let room = InFlight::new(1 << 20);
        let caller = Caller::new(Arc::new(pool), room.clone(), Arc::default());
        let incoming = |takes| Incoming {
            message: Ok(()),
            takes,
        };
        let under_way = caller.admit(incoming(1 << 20)).expect("it is alone");
        let refusal = caller.admit(incoming(1 << 19)).unwrap_err();
        assert!(
            refusal.contains("524288 bytes find no room")
                && refusal.contains("1048576 of 1048576 (limits.max_in_flight_bytes)"),
            "{refusal}"
        );
        caller.admit(incoming(100)).expect("small ones always do");
        drop(under_way);
        caller.admit(incoming(1 << 19)).expect("room again");
        let refusal = caller.admit(Incoming::<()> {
            message: Err(TooMuch {
                bytes: 1,
                takes: 3,
                most: 2,
            }),
            takes: 3,
        });
        let refusal = refusal.unwrap_err();
        assert!(refusal.contains("would take 3 bytes"), "{refusal}");
        assert_eq!(room.used(), 0);
    }
}
