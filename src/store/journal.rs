//! The disk: one embedded transactional store, written by one thread.
//!
//! Writers hand over their writes and wait. The thread takes everything that is waiting into one
//! transaction, so calls that come together share one sync (group commit), and nobody is answered
//! before the disk has it.
//!
//! After a failed write the store is closed, and opened again for the next one: a full disk makes
//! writes fail, and writes work again once there is room. Once it is quiet after many writes, it rests: its memory is
//! given back until the next use.

use std::{
    fs::File,
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};

use crossbeam_channel::{bounded, Receiver, Sender};
use parking_lot::Mutex;

use super::{
    disk::{source_of, Disk},
    disk_error::Error,
    private::{private_directory, private_file},
    table::{Contents, Table, Write},
};
use crate::{
    memory,
    threads::{self, Threads},
};

/// Commits that wait while one is being written; the handlers and workers that could send more
/// are fewer, so the bound is never what makes anybody wait.
const QUEUE: usize = 1024;

/// A write that takes longer says that the disk hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// A smaller state file is left as it is at the start, and one while calls may wait for the disk.
const LEAST_AT_START: u64 = 8 << 20;
const LEAST: u64 = 32 << 20;
/// No more is written anew while calls may wait for it: some tenths of a second.
const MOST: u64 = 32 << 20;
/// How many writes come between two looks at the file's size.
const WRITES: u32 = 256;
/// After so many rows were written or removed, the store's cache is full of what nobody reads, and lies scattered
/// among records: where those are gone, it is all that is left of many pages.
const MANY_ROWS: usize = 1000;

/// What the thread is asked for.
enum Request {
    Write(Batch),
    /// To give back memory, if it is worth it and nobody waits for a write.
    Release,
}

struct Batch {
    writes: Vec<Write>,
    done: Sender<Result<(), Error>>,
}

/// The disk's one way in.
pub struct Journal {
    // Before the queue, so that it may end when both are dropped.
    threads: Threads,
    queue: Mutex<Option<Sender<Request>>>,
    /// For single rows; it is written by the thread.
    disk: Disk,
    /// Bytes of the store's file after the last write, so that whoever asks waits for no disk.
    size: Arc<AtomicU64>,
    /// Held as long as the daemon lives: it keeps a second one out.
    _lock: File,
}

impl Journal {
    /// Opens the store in a directory, which is made (0700) if it is not there, and reads all of
    /// it.
    ///
    /// # Errors
    /// A directory that cannot be used, is in use, or whose store cannot be opened or read.
    pub fn open(directory: &Path) -> Result<(Self, Contents), Error> {
        let unusable = |source| Error::Directory {
            path: directory.into(),
            source: Arc::new(source),
        };
        private_directory(directory).map_err(unusable)?;
        let lock = private_file(&directory.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::InUse(directory.into())),
            Err(std::fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        Self::start(Disk::new(directory.join("state.redb")), lock)
    }

    fn start(disk: Disk, lock: File) -> Result<(Self, Contents), Error> {
        let contents = disk.read()?;
        disk.trim_set_aside()?;
        disk.compact(LEAST_AT_START, u64::MAX);
        let (sender, receiver) = bounded(QUEUE);
        let path = disk.path.clone();
        let size = Arc::new(AtomicU64::new(size_of(&path)));
        let threads = Threads::default();
        let written = size.clone();
        let writer = disk.clone();
        threads
            .start("journal", move || serve(&writer, &receiver, &written))
            .map_err(|source| Error::Directory {
                path,
                source: Arc::new(source),
            })?;
        let journal = Self {
            threads,
            queue: Mutex::new(Some(sender)),
            disk,
            size,
            _lock: lock,
        };
        Ok((journal, contents))
    }

    /// Writes all or nothing, and returns when it is on disk.
    ///
    /// # Errors
    /// The disk refused; nothing was written.
    pub fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        let queue = self.queue.lock().clone().ok_or(Error::Closed)?;
        let (done, answer) = bounded(1);
        queue
            .send(Request::Write(Batch { writes, done }))
            .map_err(|_| Error::Closed)?;
        answer.recv().map_err(|_| Error::Closed)?
    }

    /// Reads the values of some rows, all as they were at one time; none for one that is not there. Waits for
    /// the disk, but for no write.
    ///
    /// # Errors
    /// The disk refused, or the store is closed.
    pub fn rows(&self, rows: &[(Table, &str)]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if self.queue.lock().is_none() {
            return Err(Error::Closed);
        }
        self.disk.rows(rows)
    }

    /// Nothing has changed for a moment: memory that is left from many writes is given back, some time later, by the
    /// thread.
    pub fn release_memory(&self) {
        if let Some(queue) = &*self.queue.lock() {
            // A full queue is not quiet.
            let _ = queue.try_send(Request::Release);
        }
    }

    /// Bytes of the store's file, as of the last write.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Writes what is waiting, then closes the store.
    pub fn close(&self) {
        self.threads.begin_stop();
        drop(self.queue.lock().take());
        self.threads.join();
        self.disk.close();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread: until nobody can send any more.
fn serve(disk: &Disk, queue: &Receiver<Request>, size: &AtomicU64) {
    let (mut writes, mut rows, mut is_quiet) = (0_u32, 0, false);
    while let Ok(first) = queue.recv() {
        let mut batches = Vec::new();
        for request in std::iter::once(first).chain(queue.try_iter()) {
            match request {
                Request::Write(batch) => batches.push(batch),
                Request::Release => is_quiet = true,
            }
        }
        if !batches.is_empty() {
            rows += batches
                .iter()
                .map(|batch| batch.writes.len())
                .sum::<usize>();
            let is_written = write(disk, batches);
            writes += 1;
            if writes >= WRITES && queue.is_empty() && is_written {
                writes = 0;
                disk.compact(LEAST, MOST);
            }
        }
        if is_quiet && queue.is_empty() {
            is_quiet = false;
            threads::beat("journal", LIMIT);
            if rows >= MANY_ROWS && disk.rest() {
                rows = 0;
                memory::release();
            }
        }
        size.store(size_of(&disk.path), Ordering::Relaxed);
        threads::idle();
    }
}

/// Writes these in one transaction, and says so to those who wait; whether it went well.
fn write(disk: &Disk, batches: Vec<Batch>) -> bool {
    // Both sides of a write are nasty moments to die in.
    threads::beat("journal", LIMIT);
    let result = disk.write(batches.iter().flat_map(|batch| &batch.writes));
    threads::point("journal");
    if let Err(error) = &result {
        log::error!(
            "{error}: {}; it is opened anew for the next write",
            source_of(error)
        );
        disk.close();
    }
    for batch in batches {
        // A caller that has gone does not wait for the answer.
        let _ = batch.done.send(result.clone());
    }
    result.is_ok()
}

/// Bytes of a file; 0 where it cannot be looked at.
fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> Vec<Write> {
        vec![Write::put(Table::Values, key, key.as_bytes().to_vec())]
    }

    fn keys(contents: &Contents) -> Vec<String> {
        contents
            .iter()
            .flat_map(|(_, rows)| rows.iter().map(|(key, _)| key.to_owned()))
            .collect()
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let dir = tempfile::tempdir().expect("dir");
        let (journal, contents) = Journal::open(dir.path()).expect("opens");
        assert!(keys(&contents).is_empty());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let journal = &journal;
                scope.spawn(move || {
                    for n in 0..10 {
                        journal
                            .commit(put(&format!("{thread}-{n}")))
                            .expect("commits");
                    }
                });
            }
        });
        journal
            .commit(vec![Write::delete(Table::Values, "0-0")])
            .expect("commits");
        drop(journal);
        let (_journal, contents) = Journal::open(dir.path()).expect("opens");
        assert_eq!(keys(&contents).len(), 79);
    }

    #[test]
    fn memory_is_given_back_after_many_writes_only_and_nothing_is_lost() {
        let dir = tempfile::tempdir().expect("dir");
        let (journal, _) = Journal::open(dir.path()).expect("opens");
        let puts = (2..MANY_ROWS).flat_map(|number| put(&format!("{number:04}")));
        journal.commit(puts.collect()).expect("commits");
        journal.release_memory();
        // Whatever was asked for before a write is done when that is answered.
        journal.commit(put("last but one")).expect("commits");
        assert!(journal.disk.is_open());
        journal.commit(put("last")).expect("commits");
        journal.release_memory();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while journal.disk.is_open() {
            assert!(std::time::Instant::now() < deadline, "it stays open");
            std::thread::yield_now();
        }
        // It goes on with the same file, whatever has become of its name.
        let (path, moved) = (dir.path().join("state.redb"), dir.path().join("moved"));
        std::fs::rename(&path, &moved).expect("renamed");
        let read = journal.rows(&[(Table::Values, "last"), (Table::Values, "none")]);
        assert_eq!(read.expect("reads"), [Some(b"last".to_vec()), None]);
        journal.commit(put("more")).expect("commits");
        drop(journal);
        std::fs::rename(&moved, &path).expect("renamed");
        let (_journal, contents) = Journal::open(dir.path()).expect("opens");
        assert_eq!(keys(&contents).len(), MANY_ROWS + 1);
    }

    #[test]
    fn a_second_daemon_is_kept_out() {
        let dir = tempfile::tempdir().expect("dir");
        let first = Journal::open(dir.path()).expect("opens");
        assert!(matches!(Journal::open(dir.path()), Err(Error::InUse(_))));
        drop(first);
        assert!(Journal::open(dir.path()).is_ok());
    }

    #[test]
    fn state_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("dir");
        let state = dir.path().join("state");
        let _journal = Journal::open(&state).expect("opens");
        let mode =
            |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&state.join("state.redb")), 0o600);
    }
}
