//! A log that is read while it grows.

use std::io::{self, Read};

use super::answer::Answer;
use crate::profile::LogNotes;

/// Read at once. It is on the stack of the follower, which was deeper when it made the connection.
const PIECE: usize = 8 << 10;

/// The bytes of a followed log, without the plugin's notes that there is none yet. Reading waits
/// without limit; TCP keepalive notices a server that is gone, and a [`CancelToken`](super::CancelToken) ends the
/// wait.
///
/// The end of the stream says that the server closed it, which need not be the end of the log.
/// An error carries an [`Error`](super::Error); a cancelled reader fails with
/// `Error::Cancelled` and never shows an end of the stream. Dropping the reader closes the connection.
#[derive(Debug)]
pub struct FollowReader {
    answer: Answer,
    failed: bool,
    notes: LogNotes,
    /// What was read and is to be given out, from `given` on.
    ready: Vec<u8>,
    given: usize,
}

impl FollowReader {
    pub(super) fn new(answer: Answer) -> Self {
        Self {
            answer,
            failed: false,
            notes: LogNotes::default(),
            ready: Vec::new(),
            given: 0,
        }
    }

    /// Waits for more of the log; false at its end.
    fn refill(&mut self) -> io::Result<bool> {
        self.given = 0;
        self.ready.clear();
        let mut piece = [0; PIECE];
        while self.ready.is_empty() {
            let count = self.answer.read(&mut piece).map_err(|error| {
                let kind = match error.is_cancelled() {
                    true => io::ErrorKind::ConnectionAborted,
                    false => io::ErrorKind::ConnectionReset,
                };
                io::Error::new(kind, error)
            })?;
            if count == 0 {
                self.notes.end(&mut self.ready);
                return Ok(!self.ready.is_empty());
            }
            self.notes.pass(&piece[..count], &mut self.ready);
        }
        Ok(true)
    }
}

impl Read for FollowReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            // ureq would call it the end now.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.given == self.ready.len() {
            let more = self.refill().inspect_err(|_| self.failed = true)?;
            if !more {
                return Ok(0);
            }
        }
        let rest = &self.ready[self.given..];
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}
