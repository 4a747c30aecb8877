//! The body of an answer, as it comes, and what it means when it does not.

use std::{fmt, io::Read, sync::Arc, time::Duration};

use ureq::BodyReader;

use super::{
    call::Call,
    dial::Dialer,
    error::{Error, Phase},
};
use crate::{
    bounded::{Held, InFlight, NoRoom},
    profile::speaker,
    text::one_line,
};

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

/// The head of an answer, as far as it matters.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
}

/// A good answer, whose body has yet to come. A body that is the page of a front end is an error.
pub(super) struct Answer {
    call: Call,
    limit: Limit,
    dialer: Dialer,
    head: Head,
    body: BodyReader<'static>,
    beginning: Beginning,
}

/// A whole body. It has its room until it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    _held: Held,
}

/// The first bytes of a body, which tell whether it is a page.
enum Beginning {
    /// Nothing was read yet.
    Unread,
    /// It is no page; what was read to see that, of which so much was given out.
    Seen(Vec<u8>, usize),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.call).finish()
    }
}

impl Answer {
    pub(super) fn new(
        call: Call,
        limit: Limit,
        dialer: Dialer,
        head: Head,
        body: BodyReader<'static>,
    ) -> Self {
        Self {
            call,
            limit,
            dialer,
            head,
            body,
            beginning: Beginning::Unread,
        }
    }

    /// The HTTP status, 200 to 299.
    pub(super) fn status(&self) -> u16 {
        self.head.status
    }

    /// Some bytes of the body; 0 at its end.
    ///
    /// # Errors
    /// The body is late or broken off, or the page of a front end. Nothing must be read after an
    /// error: it would look like the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if matches!(self.beginning, Beginning::Unread) {
            self.beginning = Beginning::Seen(self.see_beginning()?, 0);
        }
        if let Beginning::Seen(bytes, given) = &mut self.beginning {
            if *given < bytes.len() {
                let count = (bytes.len() - *given).min(buf.len());
                buf[..count].copy_from_slice(&bytes[*given..*given + count]);
                *given += count;
                if *given == bytes.len() {
                    *bytes = Vec::new();
                    *given = 0;
                }
                return Ok(count);
            }
        }
        self.read_on(buf)
    }

    /// As much of the body as it takes to see that it is no page.
    fn see_beginning(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut piece = [0; 512];
        loop {
            let content_type = self.head.content_type.as_deref();
            let is_page = match self.call {
                Call::Logs => speaker::is_page_for_log(content_type, &bytes),
                _ => speaker::is_page(&bytes),
            };
            match is_page {
                Some(false) => return Ok(bytes),
                Some(true) => return Err(self.page(&bytes)),
                None => {}
            }
            match self.read_on(&mut piece)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// The page that begins so, with as much more of it as it takes to find its title.
    fn page(&mut self, beginning: &[u8]) -> Error {
        let mut bytes = beginning.to_vec();
        let mut rest = (&mut self.body).take(MAX_REFUSAL_BYTES);
        if let Err(error) = rest.read_to_end(&mut bytes) {
            log::debug!(call:% = self.call, error:%; "a page broke off");
        }
        Error::Page {
            call: self.call,
            status: self.head.status,
            title: speaker::title(&String::from_utf8_lossy(&bytes)),
        }
    }

    fn read_on(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let result = self.body.read(buf);
        // A socket that is shut down from this side looks as if the server had closed it.
        if self.dialer.is_cancelled() {
            let (call, sent) = (self.call, true);
            return Err(Error::Cancelled { call, sent });
        }
        result.map_err(|error| lost(self.call, self.limit, Phase::Body, error.into()))
    }

    /// The whole body, and the room that it has taken.
    ///
    /// # Errors
    /// It is longer than `max` bytes, late, or broken off, or finds no room.
    pub(super) fn bytes(mut self, max: u64, room: &Arc<InFlight>) -> Result<Body, Error> {
        let call = self.call;
        let no_room = |why: NoRoom| Error::NoRoom { call, why };
        let mut held = room.hold(0).map_err(no_room)?;
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.read(&mut piece)? {
                0 => {
                    // It has grown to twice what came.
                    bytes.shrink_to_fit();
                    return Ok(Body { bytes, _held: held });
                }
                n => {
                    held.grow(n).map_err(no_room)?;
                    bytes.extend_from_slice(&piece[..n]);
                }
            }
            if bytes.len() as u64 > max {
                let limit = max;
                return Err(Error::TooLarge { call, limit });
            }
        }
    }

    /// What is said about a refusal, as far as it arrives, and by whom.
    pub(super) fn refusal(self) -> Error {
        let mut bytes = Vec::new();
        let mut reader = self.body.take(MAX_REFUSAL_BYTES);
        if let Err(error) = reader.read_to_end(&mut bytes) {
            let status = self.head.status;
            log::debug!(call:% = self.call, error:%; "the text of an answer with status {status} broke off");
        }
        let said = speaker::refusal(self.head.status, &bytes);
        Error::Status {
            call: self.call,
            status: self.head.status,
            speaker: said.speaker,
            says: said.words,
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
