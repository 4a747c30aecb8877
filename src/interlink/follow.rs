//! A log that is read while it grows.

use std::io::{self, Read};

use super::answer::Answer;

/// The bytes of a followed log. Reading waits without limit; TCP keepalive notices a server that
/// is gone, and a [`Cancel`](super::Cancel) ends the wait.
///
/// The end of the stream says that the server closed it, which need not be the end of the log.
/// An error carries an [`Error`](super::Error); a cancelled reader fails with
/// `Error::Cancelled` and never shows an end of the stream. Dropping the reader closes the connection.
#[derive(Debug)]
pub struct FollowReader {
    answer: Answer,
    failed: bool,
}

impl FollowReader {
    pub(super) fn new(answer: Answer) -> Self {
        let failed = false;
        Self { answer, failed }
    }
}

impl Read for FollowReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            // ureq would call it the end now.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.answer.read(buf).map_err(|error| {
            self.failed = true;
            let kind = match error.is_cancelled() {
                true => io::ErrorKind::ConnectionAborted,
                false => io::ErrorKind::ConnectionReset,
            };
            io::Error::new(kind, error)
        })
    }
}
