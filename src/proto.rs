//! The CRI as generated from `proto/`: messages, service traits, registration, clients. Written by
//! hand are only the ways in which a call can be carried out, and answers that are encoded already.

use std::{io::Read as _, marker::PhantomData};

use futures_util::{future::BoxFuture, stream::BoxStream};
use grpcio::{GrpcSlice, MessageReader, RpcContext, ServerStreamingSink, UnarySink};
use protobuf::Message;

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

mod select;
mod weight;

use weight::{weight, Shaped};

pub use select::{select, Taken};

/// A request as it came.
pub struct Incoming<T> {
    /// The request, unless it would take too much memory.
    pub message: Result<T, TooMuch>,
    /// What it takes in memory, at most: bytes.
    pub takes: usize,
}

/// A request that would take too much memory: more than four times its bytes, and [`SPARE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {bytes} bytes would take {takes} bytes of memory, more than {most}: it has too many elements")]
pub struct TooMuch {
    /// What came.
    pub bytes: usize,
    /// What it would take.
    pub takes: usize,
    /// What it might.
    pub most: usize,
}

/// What a request may take beside four times its bytes: `limits.max_container_bytes` allows one with 32,000
/// variables by default.
pub const SPARE_BYTES: usize = 16 << 20;

impl<T: Message + Shaped> Incoming<T> {
    fn read(bytes: &[u8]) -> protobuf::Result<Self> {
        let takes = weight(T::SHAPE, bytes);
        let most = bytes.len().saturating_mul(4).saturating_add(SPARE_BYTES);
        let message = match takes > most {
            true => Err(TooMuch {
                bytes: bytes.len(),
                takes,
                most,
            }),
            false => Ok(T::parse_from_bytes(bytes)?),
        };
        Ok(Self { message, takes })
    }

    // The signatures of these two are grpcio's. Requests are read here, and never written.
    fn ser(this: &Self, to: &mut GrpcSlice) -> grpcio::Result<()> {
        match &this.message {
            Ok(message) => grpcio::pb_ser(message, to),
            Err(error) => Err(grpcio::Error::Codec(Box::new(*error))),
        }
    }

    fn de(mut from: MessageReader) -> grpcio::Result<Self> {
        let mut bytes = Vec::with_capacity(from.len());
        let read = from.read_to_end(&mut bytes);
        drop(from);
        let read = read.map_err(protobuf::Error::from);
        let read = read.and_then(|_| Self::read(&bytes));
        read.map_err(|error| grpcio::Error::Codec(Box::new(error)))
    }
}

/// An answer that is encoded already. Clones share its bytes.
pub struct Encoded<T> {
    bytes: GrpcSlice,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Encoded<T> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            of: PhantomData,
        }
    }
}

impl<T: Message> Encoded<T> {
    /// Takes a message's bytes. No copy is made where there is no room behind them.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            of: PhantomData,
        }
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Encodes a message.
    ///
    /// # Errors
    /// It is larger than a message can be.
    pub fn encode(message: &T) -> protobuf::Result<Self> {
        message.write_to_bytes().map(Self::new)
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// Bytes that are no such message.
    pub fn decode(&self) -> protobuf::Result<T> {
        T::parse_from_bytes(self.bytes.as_slice())
    }

    // The signatures of these two are grpcio's.
    fn ser(this: &Self, to: &mut GrpcSlice) -> grpcio::Result<()> {
        *to = this.bytes.clone();
        Ok(())
    }

    fn de(mut from: MessageReader) -> grpcio::Result<Self> {
        let mut bytes = Vec::with_capacity(from.len());
        from.read_to_end(&mut bytes)
            .map_err(|error| grpcio::Error::Codec(Box::new(error)))?;
        Ok(Self::new(bytes))
    }
}

/// The answers of a server-streaming call.
pub type Replies<T> = BoxStream<'static, T>;

/// An answer that comes later, or an error instead of it.
pub type Later<T, E> = BoxFuture<'static, Result<T, E>>;

/// How calls are carried out: on which thread, with what around them.
pub trait Dispatch: Clone + Send + Sync + 'static {
    /// What a handler fails with.
    type Error;

    /// Carries out a call with one answer.
    fn unary<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        sink: UnarySink<P>,
        handler: impl FnOnce(Q) -> Result<P, Self::Error> + Send + 'static,
    );

    /// Carries out a call with one answer that comes later; no thread waits for it.
    fn parked<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Later<P, Self::Error>, Self::Error> + Send + 'static,
    );

    /// Carries out a call with a stream of answers.
    fn streaming<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Replies<P>, Self::Error> + Send + 'static,
    );
}
