//! What a client can make the server keep or wait for.

use std::{sync::Arc, time::Duration};

use crate::bounded::InFlight;

/// What a client can make the server keep or wait for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; one more is answered 503 and closed.
    pub connections: usize,
    /// Bytes of a request's line and headers.
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// For the requests under way: each takes four times the bytes that have come of it, until the next one
    /// of its connection. One that finds no room is answered 503.
    pub room: Arc<InFlight>,
    /// How long a connection may rest between two requests.
    pub idle: Duration,
    /// How long a request may take to arrive.
    pub request: Duration,
    /// How long a client may leave an answer unread.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head_bytes: 32 << 10,
            body_bytes: 32 << 20,
            room: InFlight::new(256 << 20),
            idle: Duration::from_secs(30),
            request: Duration::from_secs(60),
            write: Duration::from_secs(30),
        }
    }
}
