//! The interLink API as a client sees it: blocking HTTP/1.1 over TCP, TLS or a unix socket.
//!
//! [`Client`] makes the calls; [`Error`] says what failed and what follows from it: whether to
//! try again, whether the plugin may have acted. The room keeps no state about pods and decides
//! nothing. It must never break off in the middle of a request (the server ends its own process
//! over half a body), print a token, or wait without a limit that the caller can cut short.

mod answer;
mod call;
mod client;
mod created;
mod dial;
mod direct;
mod error;
mod follow;
mod gathering;
mod link;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod resolver;
mod status_question;
mod stream_buffers;
mod tls;
mod transport;
pub mod wire;

#[cfg(test)]
mod tests;

pub use call::Call;
pub use client::{Client, LogEnd, LogLimits, Ping, RawAnswer};
pub use created::Created;
pub use error::{Error, Phase};
pub use follow::FollowReader;
pub use status_question::StatusQuestion;
pub use transport::CancelToken;
