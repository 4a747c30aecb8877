//! The log of a container as everybody else sees it: what touches its file happens on the threads of
//! [`Disk`], so that a log directory that hangs holds up its own pod alone.
//!
//! After a restart a log is opened when it is used for the first time.

use std::{
    path::PathBuf,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
};

use parking_lot::Mutex;

use super::{
    log_path::LogPath,
    sink::{LogSink, Stream},
    Error,
};
use crate::{
    disk::Disk,
    plan::log_pace::{LogBounds, Wait},
};

/// A container's log.
#[derive(Debug)]
pub struct Log {
    disk: Disk,
    /// The pod sandbox whose turn its calls take.
    pod: String,
    /// None: the container asked for no log.
    path: Option<PathBuf>,
    opened: Arc<Mutex<Opened>>,
    /// Whether the file takes no more, as far as is known without asking its disk.
    is_full: AtomicBool,
}

#[derive(Debug)]
enum Opened {
    Yes(Arc<LogSink>),
    /// Not since the daemon started.
    NotYet {
        path: LogPath,
        checkpoint: Option<Vec<u8>>,
        bounds: LogBounds,
    },
}

impl Opened {
    fn sink(&mut self) -> Result<Arc<LogSink>, Error> {
        if let Self::NotYet {
            path,
            checkpoint,
            bounds,
        } = self
        {
            let sink = LogSink::recover(path.clone(), checkpoint.as_deref())?.within(*bounds);
            *self = Self::Yes(Arc::new(sink));
        }
        match self {
            Self::Yes(sink) => Ok(sink.clone()),
            Self::NotYet { .. } => Err(Error::NotOpen),
        }
    }
}

impl Log {
    /// The log of a container that asked for none.
    pub(super) fn discard(disk: &Disk, pod: &str, bounds: LogBounds) -> Self {
        let sink = Arc::new(LogSink::discard().within(bounds));
        Self::new(disk, pod, None, Opened::Yes(sink))
    }

    /// Makes the log file of a container that starts.
    pub(super) fn create(
        disk: &Disk,
        pod: &str,
        path: LogPath,
        bounds: LogBounds,
    ) -> Result<Self, Error> {
        let absolute = path.absolute();
        let sink = disk.call(pod, &absolute, move || LogSink::create(path))??;
        let opened = Opened::Yes(Arc::new(sink.within(bounds)));
        Ok(Self::new(disk, pod, Some(absolute), opened))
    }

    /// The log of a container that was started before the daemon was.
    pub(super) fn recover(
        disk: &Disk,
        pod: &str,
        path: LogPath,
        checkpoint: Option<Vec<u8>>,
        bounds: LogBounds,
    ) -> Self {
        let absolute = path.absolute();
        let opened = Opened::NotYet {
            path,
            checkpoint,
            bounds,
        };
        Self::new(disk, pod, Some(absolute), opened)
    }

    fn new(disk: &Disk, pod: &str, path: Option<PathBuf>, opened: Opened) -> Self {
        Self {
            disk: disk.clone(),
            pod: pod.to_owned(),
            path,
            opened: Arc::new(Mutex::new(opened)),
            is_full: AtomicBool::new(false),
        }
    }

    /// Whether its file takes no more until the kubelet has rotated it: no fetch is of use before.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Begins a fetch from the log's beginning. Those before it can write no more.
    ///
    /// # Errors
    /// [`Error::Hung`]; a log that cannot be opened after a restart.
    pub fn begin(self: &Arc<Self>) -> Result<Fetch, Error> {
        let (bytes, stream) = self.on_disk(|sink| Ok((sink.bytes(), sink.begin())))?;
        Ok(Fetch {
            log: self.clone(),
            bytes,
            stream: Some(stream),
        })
    }

    /// Opens the file at the path anew: see [`LogSink::reopen`].
    pub(super) fn reopen(&self) -> Result<Option<Vec<u8>>, Error> {
        let (checkpoint, is_full) = self.on_disk(|sink| Ok((sink.reopen()?, sink.is_full())))?;
        self.is_full.store(is_full, Ordering::Relaxed);
        Ok(checkpoint)
    }

    /// A checkpoint, when one is worth keeping.
    ///
    /// # Errors
    /// [`Error::Hung`].
    pub fn take_checkpoint(&self) -> Result<Option<Vec<u8>>, Error> {
        self.on_disk(|sink| Ok(sink.take_checkpoint()))
    }

    /// Its lock may be held by a call that hangs, so no sink is used anywhere else.
    fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<LogSink>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let opened = self.opened.clone();
        let work = move || {
            let sink = opened.lock().sink()?;
            work(&sink)
        };
        match &self.path {
            Some(path) => self.disk.call(&self.pod, path, work)?,
            None => work(),
        }
    }
}

/// One fetch of a log.
#[derive(Debug)]
pub struct Fetch {
    log: Arc<Log>,
    bytes: u64,
    /// None while it is on another thread; if it does not come back, the fetch has ended.
    stream: Option<Stream>,
}

/// How far a fetch has come.
#[derive(Debug)]
pub struct Progress {
    /// How many bytes have been written since it began.
    pub written: u64,
    /// Whether it shows something else than what was read before, and only a complete fetch can tell
    /// whether the log has begun anew.
    pub is_in_doubt: bool,
    /// A checkpoint, when one is worth keeping.
    pub checkpoint: Option<Vec<u8>>,
    /// What the fetch should wait for before it goes on; what it takes before that is written all the same.
    pub wait: Option<Wait>,
}

impl Fetch {
    /// How much of the remote log had been read when it began, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes of the fetch, and writes what in them is new.
    ///
    /// # Errors
    /// As [`Stream::push`]; [`Error::Hung`], after which this fetch has ended.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        let stream = self.stream.take().ok_or(Error::Superseded)?;
        let bytes = bytes.to_vec();
        let (stream, progress) = self.log.on_disk(move |sink| {
            let progress = stream.push(&bytes).map(|wait| Progress {
                written: stream.written(),
                is_in_doubt: stream.is_in_doubt(),
                checkpoint: sink.take_checkpoint(),
                wait,
            });
            Ok((stream, progress))
        })?;
        self.stream = Some(stream);
        if let Ok(Progress { wait, .. }) = &progress {
            let is_full = *wait == Some(Wait::Rotation);
            self.log.is_full.store(is_full, Ordering::Relaxed);
        }
        progress
    }

    /// Ends the fetch: see [`Stream::finish`]. Returns how many bytes it has written, and a checkpoint when
    /// one is worth keeping.
    ///
    /// # Errors
    /// As [`Stream::finish`]; [`Error::Hung`].
    pub fn finish(mut self, is_end_of_log: bool) -> Result<(u64, Option<Vec<u8>>), Error> {
        let stream = self.stream.take().ok_or(Error::Superseded)?;
        self.log.on_disk(move |sink| {
            let written = stream.finish(is_end_of_log)?;
            Ok((written, sink.take_checkpoint()))
        })
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // It closes the file.
        if let (Some(stream), Some(path)) = (self.stream.take(), &self.log.path) {
            self.log.disk.leave(&self.log.pod, path, stream);
        }
    }
}
