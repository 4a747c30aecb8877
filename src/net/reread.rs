//! Files that are read again when they change, and outlive a fault for a while.

use std::{
    fs::{File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{Error, Stamp};
use crate::telemetry::chain;

/// For so long what was read last stays in use when the file is gone, unreadable or unfit: whoever
/// renews it may delete the file first, write it in pieces, or be late on a network file system.
/// Less than the life of any token, so one that was taken away on purpose is soon not sent any
/// more.
pub const GRACE: Duration = Duration::from_secs(5 * 60);

/// What is said of a file in the log.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// What stays in use: "the token that it held".
    pub held: &'static str,
    /// What follows when [`GRACE`] is over: "calls fail until there is a token again".
    pub then: &'static str,
}

/// A file that is read again when it changes, and what it holds.
pub struct Reread<T> {
    key: &'static str,
    path: PathBuf,
    max_bytes: u64,
    words: Words,
    state: Mutex<State<T>>,
}

struct State<T> {
    last: Option<(Stamp, T)>,
    /// Since when the file has been of no use.
    useless_since: Option<Instant>,
}

impl<T: Clone> Reread<T> {
    /// The file that `key` names. Nothing is read yet, and never more than one byte beyond
    /// `max_bytes`.
    pub fn new(key: &'static str, path: &Path, max_bytes: u64, words: Words) -> Self {
        Self {
            key,
            path: path.to_owned(),
            max_bytes,
            words,
            state: Mutex::new(State {
                last: None,
                useless_since: None,
            }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds, as `parse` takes it; one stat when nothing has changed. `parse` says what
    /// is wrong, and never a part of it.
    ///
    /// # Errors
    /// The file is unreadable or unfit, and has been so for [`GRACE`], or since the beginning. Until then
    /// what was read last is given.
    pub fn get(&self, parse: impl Fn(&[u8], &Metadata) -> Result<T, String>) -> Result<T, Error> {
        self.get_at(Instant::now(), parse)
    }

    /// The same at another time.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub(super) fn get_at(
        &self,
        now: Instant,
        parse: impl Fn(&[u8], &Metadata) -> Result<T, String>,
    ) -> Result<T, Error> {
        let mut state = self.state.lock();
        let error = match self.current(&state, parse) {
            Ok((stamp, value)) => {
                *state = State {
                    last: Some((stamp, value.clone())),
                    useless_since: None,
                };
                return Ok(value);
            }
            Err(error) => error,
        };
        let Some((_, value)) = &state.last else {
            return Err(error);
        };
        let value = value.clone();
        let text = chain(&error);
        match state.useless_since {
            None => {
                state.useless_since = Some(now);
                let (held, minutes) = (self.words.held, GRACE.as_secs() / 60);
                log::warn!("{text}; {held} is used for {minutes} minutes more");
                Ok(value)
            }
            Some(since) if now.saturating_duration_since(since) < GRACE => Ok(value),
            Some(_) => {
                *state = State {
                    last: None,
                    useless_since: None,
                };
                log::error!("{text}; {}", self.words.then);
                Err(error)
            }
        }
    }

    fn current(
        &self,
        state: &State<T>,
        parse: impl Fn(&[u8], &Metadata) -> Result<T, String>,
    ) -> Result<(Stamp, T), Error> {
        let now = Stamp::read(&self.path).map_err(|e| self.unreadable(e))?;
        match &state.last {
            Some((stamp, value)) if *stamp == now => Ok((now, value.clone())),
            _ => self.read(parse),
        }
    }

    /// The stamp is taken from the open file before it is read: what is written meanwhile shows
    /// as a change at the next call.
    fn read(
        &self,
        parse: impl Fn(&[u8], &Metadata) -> Result<T, String>,
    ) -> Result<(Stamp, T), Error> {
        let mut text = Vec::new();
        let meta = File::open(&self.path)
            .and_then(|file| {
                let meta = file.metadata()?;
                // One byte more than there may be shows that there are more.
                file.take(self.max_bytes + 1).read_to_end(&mut text)?;
                Ok(meta)
            })
            .map_err(|e| self.unreadable(e))?;
        let value = parse(&text, &meta).map_err(|why| Error::Bad {
            key: self.key,
            path: self.path.clone(),
            why,
        })?;
        Ok((Stamp::of(&meta), value))
    }

    fn unreadable(&self, source: std::io::Error) -> Error {
        Error::Unreadable {
            key: self.key,
            path: self.path.clone(),
            source,
        }
    }
}
