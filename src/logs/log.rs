//! The log of a container as everybody else sees it: what touches its file happens on the threads of
//! [`Disk`], so that a log directory that hangs holds up its own pod alone.
//!
//! A log is opened when it is used for the first time, after its container's start or the daemon's.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc,
};

use parking_lot::Mutex;

use super::{
    log_path::LogPath,
    sink::{LogSink, Stream},
    Error,
};
use crate::{
    disk::Disk,
    model::{Container, Sandbox},
    plan::log_pace::{LogBounds, Wait},
};

/// What all logs have in common: the threads that touch them, and their bounds.
#[derive(Debug, Default)]
pub struct Ways {
    pub disk: Disk,
    pub bounds: LogBounds,
}

/// A container's log. There are as many as containers were started, and few are written at a time: one that
/// nobody has used yet takes no more than its place.
#[derive(Debug)]
pub struct Log {
    ways: Arc<Ways>,
    /// Its turn is what calls take, and its log directory where the file is.
    sandbox: Arc<Sandbox>,
    container: Arc<Container>,
    opened: Mutex<Opened>,
    /// Whether the file takes no more, as far as is known without asking its disk.
    is_full: AtomicBool,
}

#[derive(Debug)]
enum Opened {
    Yes(Arc<LogSink>),
    /// Not since the daemon started, or since the container was.
    NotYet {
        checkpoint: Option<Box<[u8]>>,
    },
}

impl Log {
    /// Makes the log file of a container that starts.
    ///
    /// # Errors
    /// A path that leaves the log directory, a file that cannot be made; [`Error::Hung`].
    pub(super) fn create(
        ways: &Arc<Ways>,
        sandbox: &Arc<Sandbox>,
        container: &Arc<Container>,
    ) -> Result<Self, Error> {
        let mut log = Self::recover(ways, sandbox, container, None)?;
        let Some(path) = log.path()? else {
            return Ok(log);
        };
        let (pod, absolute) = (sandbox.id.as_str(), path.absolute());
        let sink = ways
            .disk
            .call(pod, &absolute, move || LogSink::create(path))??;
        // A file with nothing in it tells the same when it is opened again.
        if !sink.is_fresh() {
            log.opened = Mutex::new(Opened::Yes(Arc::new(sink.within(ways.bounds))));
        }
        Ok(log)
    }

    /// The log of a container that was started before the daemon was.
    ///
    /// # Errors
    /// A path that leaves the log directory.
    pub(super) fn recover(
        ways: &Arc<Ways>,
        sandbox: &Arc<Sandbox>,
        container: &Arc<Container>,
        checkpoint: Option<Vec<u8>>,
    ) -> Result<Self, Error> {
        let log = Self {
            ways: ways.clone(),
            sandbox: sandbox.clone(),
            container: container.clone(),
            opened: Mutex::new(Opened::NotYet {
                checkpoint: checkpoint.map(Vec::into_boxed_slice),
            }),
            is_full: AtomicBool::new(false),
        };
        log.path()?;
        Ok(log)
    }

    /// Where its file is; nowhere for a container that asked for no log.
    fn path(&self) -> Result<Option<LogPath>, Error> {
        let (directory, path) = (&self.sandbox.log_directory, &self.container.log_path);
        if directory.is_empty() || path.is_empty() {
            return Ok(None);
        }
        LogPath::new(directory, path).map(Some)
    }

    /// What writes it, opened where it is not yet.
    fn sink(&self) -> Result<Arc<LogSink>, Error> {
        let mut opened = self.opened.lock();
        let checkpoint = match &*opened {
            Opened::Yes(sink) => return Ok(sink.clone()),
            Opened::NotYet { checkpoint } => checkpoint.as_deref(),
        };
        let sink = match self.path()? {
            Some(path) => LogSink::recover(path, checkpoint)?,
            None => LogSink::discard(),
        };
        let sink = Arc::new(sink.within(self.ways.bounds));
        *opened = Opened::Yes(sink.clone());
        Ok(sink)
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
    pub(super) fn reopen(self: &Arc<Self>) -> Result<Option<Vec<u8>>, Error> {
        let (checkpoint, is_full) = self.on_disk(|sink| Ok((sink.reopen()?, sink.is_full())))?;
        self.is_full.store(is_full, Ordering::Relaxed);
        Ok(checkpoint)
    }

    /// A checkpoint, when one is worth keeping.
    ///
    /// # Errors
    /// [`Error::Hung`].
    pub fn take_checkpoint(self: &Arc<Self>) -> Result<Option<Vec<u8>>, Error> {
        self.on_disk(|sink| Ok(sink.take_checkpoint()))
    }

    /// Its lock may be held by a call that hangs, so no sink is used anywhere else.
    fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<LogSink>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let log = self.clone();
        let work = move || {
            let sink = log.sink()?;
            work(&sink)
        };
        match self.path()? {
            Some(path) => {
                let pod = self.sandbox.id.as_str();
                self.ways.disk.call(pod, &path.absolute(), work)?
            }
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
        if let (Some(stream), Ok(Some(path))) = (self.stream.take(), self.log.path()) {
            let pod = self.log.sandbox.id.as_str();
            self.log.ways.disk.leave(pod, &path.absolute(), stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    fn records(directory: &std::path::Path) -> (Arc<Sandbox>, Arc<Container>) {
        let mut pod = testing::pod(&["a"]);
        let sandbox = Arc::make_mut(&mut pod.sandbox);
        sandbox.log_directory = directory.display().to_string();
        let container = Arc::make_mut(&mut pod.containers[0].container);
        container.log_path = "a/0.log".to_owned();
        (pod.sandbox, pod.containers.swap_remove(0).container)
    }

    fn write(log: &Arc<Log>, text: &str) {
        let mut fetch = log.begin().expect("begins");
        fetch.push(text.as_bytes()).expect("written");
        fetch.finish(false).expect("finished");
    }

    #[test]
    fn a_log_is_made_at_the_start_and_opened_when_it_is_used() {
        let dir = tempfile::tempdir().expect("dir");
        let (sandbox, container) = records(dir.path());
        let ways = Arc::default();
        let log = Arc::new(Log::create(&ways, &sandbox, &container).expect("made"));
        let file = dir.path().join("a/0.log");
        assert_eq!(std::fs::metadata(&file).expect("it is there").len(), 0);
        assert!(matches!(*log.opened.lock(), Opened::NotYet { .. }));
        // Rotated before anything came.
        std::fs::rename(&file, dir.path().join("a/0.log.20260101-000000")).expect("renamed");
        log.reopen().expect("opened anew");
        write(&log, "one\n");
        write(&log, "one\ntwo\n");
        let text = std::fs::read_to_string(&file).expect("read");
        let lines = text.lines().map(|line| line.rsplit(' ').next());
        assert_eq!(lines.collect::<Vec<_>>(), [Some("one"), Some("two")]);

        // What is in it is not this container's: nothing is taken for read.
        let again = Arc::new(Log::create(&ways, &sandbox, &container).expect("made"));
        assert!(matches!(*again.opened.lock(), Opened::Yes(_)));
        write(&again, "one\n");
        let text = std::fs::read_to_string(&file).expect("read");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn a_path_that_leaves_the_directory_has_no_log() {
        let dir = tempfile::tempdir().expect("dir");
        let (sandbox, mut container) = records(dir.path());
        Arc::make_mut(&mut container).log_path = "../0.log".to_owned();
        let log = Log::recover(&Arc::default(), &sandbox, &container, None);
        assert!(matches!(log, Err(Error::Escapes(_))));
    }
}
