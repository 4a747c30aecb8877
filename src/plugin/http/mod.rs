//! A small blocking HTTP/1.1 server: one thread a connection, a cap on connections, limits on
//! everything that a client can make long. It serves the local plugin, and the fake interLink
//! servers of the tests, which is why a handler may do more than answer: a [`Responder`] can
//! wait, hang up before or amid its answer, send what is no HTTP, and stream without end.
//!
//! It never panics on what it reads, and it ends: [`Server::stop`] cuts every connection and
//! joins every thread. A handler that waits must wait through [`Responder::pause`].

mod error;
mod limits;
mod listen;
mod reader;
mod request;
mod respond;
mod server;
mod stop;
mod stream;

#[cfg(test)]
mod tests;

pub use self::{
    error::Error,
    limits::Limits,
    listen::ListenAddress,
    request::Request,
    respond::{BodyWriter, Responder},
    server::Server,
};
