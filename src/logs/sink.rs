//! A container's log file with all that is needed to write each remote line into it once.
//!
//! Only what is in the file counts as read: an incomplete last line is held back, and fetched again
//! after a reconnect. The position is kept in memory; on disk there is a checkpoint of it now and
//! then, and the file itself, from which the rest is worked out (see `recover`).

use std::{fs::File, io::Write as _, os::unix::fs::MetadataExt as _, sync::Arc, time::Instant};

use parking_lot::Mutex;

use super::{
    checkpoint::Checkpoint,
    line::{self, Batch},
    log_path::LogPath,
    recover, Error,
};
use crate::{
    model::{Clock, SystemClock},
    plan::{
        log_doubt::{Doubt, Verdict},
        log_pace::{LogBounds, Pace, Wait},
        log_position::Position,
        log_resync::{End, Piece, Resync},
    },
    profile, threads,
};

/// Bytes after which a checkpoint saves work at the next start.
const CHECKPOINT_BYTES: u64 = 1 << 20;

/// A container's log file.
#[derive(Debug)]
pub struct LogSink {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// None: the container asked for no log.
    target: Option<Target>,
    position: Position,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Counts the fetches; only the latest may write.
    epoch: u64,
    resync: Resync,
    /// What fetches have shown that were not recognised, and how this one compares with it.
    doubt: Doubt,
    compared: Resync,
    /// It has begun anew, so what is in the files is not the log's beginning.
    begun_anew: bool,
    written: u64,
    at_checkpoint: u64,
    /// Text was inserted: the file does not tell the position any more.
    wants_checkpoint: bool,
    pace: Pace,
}

/// The file is open only while a fetch writes to it: thousands of containers may have a log, and
/// few of them write at a time.
#[derive(Debug)]
struct Target {
    path: LogPath,
    open: Option<File>,
    device: u64,
    inode: u64,
    /// The file's length, as far as whole lines go.
    length: u64,
}

impl LogSink {
    /// A sink for a container that asked for no log: everything is taken and forgotten.
    pub fn discard() -> Self {
        Self::new(None, Position::default())
    }

    /// Makes the log file of a container that starts.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn create(path: LogPath) -> Result<Self, Error> {
        let target = Target::new(path)?;
        Ok(Self::new(Some(target), Position::default()))
    }

    /// Opens the log file of a container again after a restart, and works out how much of the
    /// remote log is in it.
    ///
    /// # Errors
    /// A file that cannot be opened or read.
    pub fn recover(path: LogPath, checkpoint: Option<&[u8]>) -> Result<Self, Error> {
        let position = recover::position(&path, &Checkpoint::read(checkpoint))?;
        let target = Target::new(path)?;
        Ok(Self::new(Some(target), position))
    }

    fn new(target: Option<Target>, position: Position) -> Self {
        let resync = Resync::new(&position);
        let inner = Inner {
            target,
            position,
            partial: Vec::new(),
            epoch: 0,
            resync,
            doubt: Doubt::default(),
            compared: Doubt::default().compare(),
            begun_anew: false,
            written: 0,
            at_checkpoint: 0,
            wants_checkpoint: false,
            pace: Pace::new(LogBounds::default(), Instant::now()),
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// The same with bounds on what is written.
    #[must_use]
    pub fn within(self, bounds: LogBounds) -> Self {
        self.inner.lock().pace = Pace::new(bounds, Instant::now());
        self
    }

    /// Whether nothing is in its file.
    pub fn is_fresh(&self) -> bool {
        let inner = self.inner.lock();
        inner
            .target
            .as_ref()
            .is_none_or(|target| target.length == 0)
    }

    /// Whether its file takes no more, until it is rotated.
    pub fn is_full(&self) -> bool {
        let inner = self.inner.lock();
        inner.pace.is_full(inner.file_bytes())
    }

    /// Begins a fetch from the log's beginning. Those before it can write no more.
    pub fn begin(self: &Arc<Self>) -> Stream {
        let mut inner = self.inner.lock();
        inner.epoch += 1;
        inner.partial.clear();
        inner.resync = Resync::with_own_beginning(&inner.position, profile::log_tells_of_the_job);
        inner.compared = inner.doubt.compare();
        Stream {
            sink: self.clone(),
            epoch: inner.epoch,
            begun_at: inner.written,
        }
    }

    /// Opens the file at the path anew, after the old one was renamed. When it returns, nothing
    /// more goes to the old one. Returns a checkpoint to be kept: the old file will be gone.
    ///
    /// # Errors
    /// A file that cannot be made; then the old one stays in use.
    pub fn reopen(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut inner = self.inner.lock();
        if let Some(target) = &mut inner.target {
            let was_open = target.open.is_some();
            target.reopen()?;
            if !was_open {
                target.open = None;
            }
        }
        inner.pace.rotated();
        Ok(inner.checkpoint())
    }

    /// How much of the remote log was read, in bytes.
    pub fn bytes(&self) -> u64 {
        self.inner.lock().position.bytes()
    }

    /// A checkpoint, when one is worth keeping.
    pub fn take_checkpoint(&self) -> Option<Vec<u8>> {
        let mut inner = self.inner.lock();
        let due = inner.wants_checkpoint || inner.written - inner.at_checkpoint >= CHECKPOINT_BYTES;
        due.then(|| inner.checkpoint()).flatten()
    }
}

/// One fetch of a log.
#[derive(Debug)]
pub struct Stream {
    sink: Arc<LogSink>,
    epoch: u64,
    begun_at: u64,
}

impl Stream {
    /// Takes the next bytes of the fetch, and writes what in them is new. Gives what the next ones should
    /// wait for.
    ///
    /// # Errors
    /// [`Error::Superseded`]; [`Error::Unrecognised`]; [`Error::BegunAnew`]; a file that cannot be
    /// written. What was not written is fetched again by the next fetch.
    pub fn push(&self, bytes: &[u8]) -> Result<Option<Wait>, Error> {
        let mut inner = self.sink.inner.lock();
        inner.check(self.epoch)?;
        let before = inner.written;
        let mut resync = std::mem::replace(&mut inner.resync, Resync::new(&Position::default()));
        // What it would make of a log that begins anew is not written.
        drop(inner.compared.feed(bytes));
        let pieces = resync.feed(bytes);
        let taken = pieces.into_iter().try_for_each(|piece| match piece {
            Piece::New(bytes) => inner.append(bytes),
            Piece::Inserted(text, position) => inner.insert(&text, position),
        });
        let end = resync.end();
        inner.resync = resync;
        if taken.is_err() {
            // Half of the bytes were taken: this fetch cannot go on.
            inner.epoch += 1;
        }
        taken?;
        if end == End::Unrecognised && inner.resync.is_hopeless() {
            return Err(inner.judge());
        }
        let written = inner.written - before;
        inner.keep_within_bounds(written)
    }

    /// How many bytes have been written since it began.
    pub fn written(&self) -> u64 {
        self.sink.inner.lock().written - self.begun_at
    }

    /// Whether it shows something else than what was read before, and only a complete fetch can tell
    /// whether the log has begun anew.
    pub fn is_in_doubt(&self) -> bool {
        let inner = self.sink.inner.lock();
        inner.epoch == self.epoch && inner.resync.has_diverged()
    }

    /// Ends the fetch; `is_end_of_log` when the container has ended, so that an incomplete last
    /// line will not be completed any more. Returns how many bytes this fetch has written.
    ///
    /// # Errors
    /// [`Error::Superseded`]; [`Error::Short`]; [`Error::Unrecognised`], after which another fetch is to
    /// tell; [`Error::BegunAnew`], after which the next one writes what is new; a file that cannot be
    /// written.
    pub fn finish(self, is_end_of_log: bool) -> Result<u64, Error> {
        let mut inner = self.sink.inner.lock();
        inner.check(self.epoch)?;
        match inner.resync.end() {
            End::Recognised => inner.doubt = Doubt::default(),
            // At the end of a log that was cut off over there nothing more can come.
            End::Short if is_end_of_log && !inner.differs()? => {}
            End::Short if is_end_of_log => return Err(inner.judge()),
            End::Short => return Err(Error::Short),
            End::Unrecognised => return Err(inner.judge()),
            End::Replaced => return Err(inner.replace()?),
        }
        if is_end_of_log {
            inner.flush_partial()?;
        }
        Ok(inner.written - self.begun_at)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut inner = self.sink.inner.lock();
        if inner.epoch == self.epoch {
            if let Some(target) = &mut inner.target {
                target.open = None;
            }
        }
    }
}

impl Inner {
    fn check(&self, epoch: u64) -> Result<(), Error> {
        if self.epoch == epoch {
            Ok(())
        } else {
            Err(Error::Superseded)
        }
    }

    /// Whether a log that is shorter than what was read says something else, too: then what was
    /// read came from a fetch that was wrong. Where the files cannot tell, it does not.
    fn differs(&self) -> Result<bool, Error> {
        let Some(target) = self.target.as_ref().filter(|_| !self.begun_anew) else {
            return Ok(false);
        };
        let written = recover::written(&target.path, self.resync.short_bytes())?;
        Ok(written.is_some_and(|written| !self.resync.is_same_as(&written)))
    }

    /// Judges a fetch that was not recognised. If the log has begun anew, nothing of it counts as read.
    fn judge(&mut self) -> Error {
        self.epoch += 1;
        self.partial.clear();
        match self.doubt.judge(&self.resync, &self.compared) {
            Verdict::LookAgain => Error::Unrecognised,
            Verdict::BegunAnew => {
                self.position = Position::default();
                self.begun_anew = true;
                self.wants_checkpoint = true;
                Error::BegunAnew
            }
        }
    }

    /// Writes what another run of the job has written before what is known of its containers.
    fn replace(&mut self) -> Result<Error, Error> {
        self.doubt = Doubt::default();
        self.begun_anew = true;
        if let Some((text, position)) = self.resync.replaced() {
            self.insert(&text, position)?;
        }
        self.epoch += 1;
        Ok(Error::BegunAnew)
    }

    fn file_bytes(&self) -> u64 {
        self.target.as_ref().map_or(0, |target| target.length)
    }

    /// What more of the log should wait for, after so many bytes were written; the log itself says so.
    fn keep_within_bounds(&mut self, written: u64) -> Result<Option<Wait>, Error> {
        let (now, file) = (Instant::now(), self.file_bytes());
        let wait = self.pace.wrote(written, file, now);
        let notice = wait.and_then(|wait| self.pace.notice(wait, now));
        if let (Some(notice), Some(target)) = (notice, &mut self.target) {
            target.append(&line::encode_notice(SystemClock.now(), &notice))?;
        }
        Ok(wait)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.partial.extend_from_slice(bytes);
        if !bytes.contains(&b'\n') && self.partial.len() <= line::MAX_CONTENT {
            // A line in many small pieces is not looked through again for each.
            return Ok(());
        }
        let text = std::mem::take(&mut self.partial);
        let mut rest = &text[..];
        while let Some(batch) = Batch::next(SystemClock.now(), &mut rest) {
            self.write(&batch)?;
            self.position.advance(batch.source);
        }
        self.partial = rest.to_vec();
        Ok(())
    }

    /// Writes text that has grown before what was read; the lines come late, but they come.
    fn insert(&mut self, text: &[u8], position: Position) -> Result<(), Error> {
        let mut rest = text;
        while let Some(batch) = Batch::next(SystemClock.now(), &mut rest) {
            self.write(&batch)?;
        }
        if !rest.is_empty() {
            self.write(&Batch::of_rest(SystemClock.now(), rest))?;
        }
        self.position = position;
        self.wants_checkpoint = true;
        Ok(())
    }

    fn flush_partial(&mut self) -> Result<(), Error> {
        let text = std::mem::take(&mut self.partial);
        if !text.is_empty() {
            self.write(&Batch::of_rest(SystemClock.now(), &text))?;
            self.position.advance(&text);
        }
        Ok(())
    }

    /// Whole lines in one write, so that a rotation never splits one, and none is left out behind one that was
    /// written.
    fn write(&mut self, batch: &Batch<'_>) -> Result<(), Error> {
        self.written += batch.content;
        match &mut self.target {
            Some(target) => target.append(&batch.lines),
            None => Ok(()),
        }
    }

    fn checkpoint(&mut self) -> Option<Vec<u8>> {
        self.at_checkpoint = self.written;
        self.wants_checkpoint = false;
        let target = self.target.as_ref()?;
        let checkpoint = Checkpoint {
            position: self.position.clone(),
            device: target.device,
            inode: target.inode,
            length: target.length,
        };
        serde_json::to_vec(&checkpoint).ok()
    }
}

impl Target {
    fn new(path: LogPath) -> Result<Self, Error> {
        let mut target = Self {
            path,
            open: None,
            device: 0,
            inode: 0,
            length: 0,
        };
        target.reopen()?;
        target.open = None;
        Ok(target)
    }

    /// Opens what is at the path now, made if it is not there.
    fn reopen(&mut self) -> Result<(), Error> {
        let file = self.path.open()?;
        let metadata = file.metadata().map_err(|error| self.path.failed(error))?;
        (self.device, self.inode) = (metadata.dev(), metadata.ino());
        self.length = metadata.len();
        self.open = Some(file);
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), Error> {
        if self.open.is_none() {
            self.reopen()?;
        }
        let Some(file) = &mut self.open else {
            return Ok(());
        };
        let written = threads::fault("log-file").and_then(|()| file.write_all(lines));
        if let Err(source) = written {
            // A full disk can take half of it: that half is taken back, whole lines included, for they do not
            // count as read.
            let _ = file.set_len(self.length);
            return Err(self.path.failed(source));
        }
        self.length += lines.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
