//! The CRI as generated from `proto/`: messages, service traits, registration, clients. Nothing
//! here is written by hand but the two ways in which a call can be carried out.

use futures_util::stream::BoxStream;
use grpcio::{RpcContext, ServerStreamingSink, UnarySink};

#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used
)]
mod messages {
    include!(concat!(env!("OUT_DIR"), "/cri/mod.rs"));
}

pub use messages::api::*;

mod services {
    use super::*;
    include!(concat!(env!("OUT_DIR"), "/services.rs"));
}

pub use services::*;

/// The answers of a server-streaming call.
pub type Replies<T> = BoxStream<'static, T>;

/// How calls are carried out: on which thread, with what around them.
pub trait Dispatch: Clone + Send + Sync + 'static {
    /// What a handler fails with.
    type Error;

    /// Carries out a call with one answer.
    fn unary<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Q,
        sink: UnarySink<P>,
        handler: impl FnOnce(Q) -> Result<P, Self::Error> + Send + 'static,
    );

    /// Carries out a call with a stream of answers.
    fn streaming<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Q,
        sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Replies<P>, Self::Error> + Send + 'static,
    );
}
