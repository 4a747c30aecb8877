//! The body of an answer, as it comes, and what it means when it does not.

use std::{fmt, io::Read, time::Duration};

use ureq::BodyReader;

use super::{
    call::Call,
    dial::Dialer,
    error::{Error, Phase},
    error_body,
};
use crate::text::one_line;

/// Piece in which bodies are read.
pub(super) const PIECE_BYTES: usize = 32 << 10;

/// As much of a refusal is read as can matter: the plugin's words with their HTML escapes.
const MAX_REFUSAL_BYTES: u64 = 8 << 10;

/// A time limit, and the key of the configuration that sets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) time: Duration,
    pub(super) key: &'static str,
}

/// A good answer, whose body has yet to come.
pub(super) struct Answer {
    call: Call,
    limit: Limit,
    dialer: Dialer,
    body: BodyReader<'static>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.call).finish()
    }
}

impl Answer {
    pub(super) fn new(call: Call, limit: Limit, dialer: Dialer, body: BodyReader<'static>) -> Self {
        Self {
            call,
            limit,
            dialer,
            body,
        }
    }

    /// Some bytes of the body; 0 at its end.
    ///
    /// # Errors
    /// The body is late or broken off. Nothing must be read after an error: it would look like
    /// the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let result = self.body.read(buf);
        // A socket that is shut down from this side looks as if the server had closed it.
        if self.dialer.is_cancelled() {
            let (call, sent) = (self.call, true);
            return Err(Error::Cancelled { call, sent });
        }
        result.map_err(|error| lost(self.call, self.limit, Phase::Body, error.into()))
    }

    /// The whole body.
    ///
    /// # Errors
    /// It is longer than `max` bytes, late, or broken off.
    pub(super) fn bytes(mut self, max: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.read(&mut piece)? {
                0 => return Ok(bytes),
                n => bytes.extend_from_slice(&piece[..n]),
            }
            if bytes.len() as u64 > max {
                let (call, limit) = (self.call, max);
                return Err(Error::TooLarge { call, limit });
            }
        }
    }

    /// What the plugin says about its refusal, as far as it arrives.
    pub(super) fn refusal(self, status: u16) -> Error {
        let mut bytes = Vec::new();
        let mut reader = self.body.take(MAX_REFUSAL_BYTES);
        if let Err(error) = reader.read_to_end(&mut bytes) {
            log::debug!("{} {status}: the text broke off: {error}", self.call);
        }
        Error::Status {
            call: self.call,
            status,
            says: error_body::words(&bytes),
        }
    }
}

/// What went wrong after a connection had been made.
pub(super) fn lost(call: Call, limit: Limit, phase: Phase, error: ureq::Error) -> Error {
    match error {
        ureq::Error::Timeout(_) => Error::TimedOut {
            call,
            phase,
            limit: limit.time,
            key: limit.key,
        },
        ureq::Error::Io(source) => Error::Dropped {
            call,
            phase,
            source,
        },
        other => Error::Garbled {
            call,
            why: one_line(&other.to_string()),
        },
    }
}
