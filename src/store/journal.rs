//! The disk: one embedded transactional store, written by one thread.
//!
//! Writers hand over their writes and wait. The thread takes everything that is waiting into one
//! transaction, so calls that come together share one sync (group commit), and nobody is answered
//! before the disk has it.
//!
//! After a failed write the store is closed, and opened again for the next one: a full disk makes
//! writes fail, and writes work again once there is room.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use super::salvage;
use crate::threads::{self, Threads};
use crossbeam_channel::{bounded, Receiver, Sender};
use parking_lot::Mutex;
use redb::{
    backends::FileBackend, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition,
};

/// Commits that wait while one is being written; the handlers and workers that could send more
/// are fewer, so the bound is never what makes anybody wait.
const QUEUE: usize = 1024;
/// Page cache of the embedded store. Everything is read once at start and only written after.
const CACHE_BYTES: usize = 4 << 20;

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Static halves of sandboxes, by sandbox id.
    Sandboxes,
    /// Static halves of containers, by container id.
    Containers,
    /// What changes about pods, by sandbox id.
    Pods,
    /// Images, by image id.
    Images,
    /// How far container logs were written, by container id.
    LogPositions,
    /// Single values, by name.
    Values,
    /// Damaged rows of the others, by table and key. Written and never read.
    SetAside,
}

impl Table {
    /// Those that are read at the start.
    pub(super) const ALL: [Table; 6] = [
        Table::Sandboxes,
        Table::Containers,
        Table::Pods,
        Table::Images,
        Table::LogPositions,
        Table::Values,
    ];

    /// Its name in the store.
    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Sandboxes => "sandboxes",
            Table::Containers => "containers",
            Table::Pods => "pods",
            Table::Images => "images",
            Table::LogPositions => "log_positions",
            Table::Values => "values",
            Table::SetAside => "set_aside",
        }
    }

    pub(super) fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(self.name())
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    table: Table,
    key: String,
    /// `None` deletes.
    value: Option<Vec<u8>>,
}

impl Write {
    /// Sets a key.
    pub fn put(table: Table, key: &str, value: Vec<u8>) -> Self {
        Self {
            table,
            key: key.to_owned(),
            value: Some(value),
        }
    }

    /// Deletes a key, or nothing if it is not there.
    pub fn delete(table: Table, key: &str) -> Self {
        Self {
            table,
            key: key.to_owned(),
            value: None,
        }
    }

    /// The table that it goes to.
    pub fn table(&self) -> Table {
        self.table
    }

    /// What will be in its place; nothing if it deletes.
    #[cfg(any(test, fuzzing))]
    pub(super) fn into_row(self) -> Option<(Table, String, Vec<u8>)> {
        self.value.map(|value| (self.table, self.key, value))
    }
}

/// Why the disk failed us.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The state directory cannot be made or used.
    #[error("state directory {path} cannot be used")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another daemon has it.
    #[error("state directory {0} is in use by another interlink-cri; stop that one, or give this one a state directory of its own")]
    InUse(PathBuf),
    /// The store cannot be opened.
    #[error("state file {path} cannot be opened")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the embedded store said.
        source: Arc<redb::Error>,
    },
    /// Records cannot be read.
    #[error("state file {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the embedded store said.
        source: Arc<redb::Error>,
    },
    /// It is damaged, and what is good in it could not be saved.
    #[error("state file {path} is damaged, and what is good in it cannot be saved beside it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// A commit failed; nothing of it is on disk.
    #[error("state file {path} cannot be written; check for free space in its file system")]
    Commit {
        /// The file.
        path: PathBuf,
        /// What the embedded store said.
        source: Arc<redb::Error>,
    },
    /// The writing thread is gone.
    #[error("the state file is closed")]
    Closed,
}

struct Batch {
    writes: Vec<Write>,
    done: Sender<Result<(), Error>>,
}

/// The disk's one way in.
pub struct Journal {
    // Before the queue, so that it may end when both are dropped.
    threads: Threads,
    queue: Mutex<Option<Sender<Batch>>>,
    /// Held as long as the daemon lives: it keeps a second one out.
    _lock: File,
}

/// The rows of a table: keys and values.
pub type Rows = (Table, Vec<(String, Vec<u8>)>);

/// Everything that was on disk, table by table.
pub type Contents = Vec<Rows>;

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
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(unusable)?;
        make_private(directory).map_err(unusable)?;
        let lock = private_file(&directory.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::InUse(directory.into())),
            Err(std::fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let disk = Disk {
            path: directory.join("state.redb"),
            database: None,
        };
        Self::start(disk, lock)
    }

    fn start(mut disk: Disk, lock: File) -> Result<(Self, Contents), Error> {
        let contents = match disk.check_and_read() {
            Err(error) if salvage::is_damage(&error) => disk.salvage(&error)?,
            other => other?,
        };
        let (sender, receiver) = bounded(QUEUE);
        let path = disk.path.clone();
        let threads = Threads::default();
        threads
            .start("journal", move || disk.serve(&receiver))
            .map_err(|source| Error::Directory {
                path,
                source: Arc::new(source),
            })?;
        let journal = Self {
            threads,
            queue: Mutex::new(Some(sender)),
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
            .send(Batch { writes, done })
            .map_err(|_| Error::Closed)?;
        answer.recv().map_err(|_| Error::Closed)?
    }

    /// Writes what is waiting, then closes the store.
    pub fn close(&self) {
        self.threads.begin_stop();
        drop(self.queue.lock().take());
        self.threads.join();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// The store itself; lives on the journal thread.
struct Disk {
    path: PathBuf,
    database: Option<Database>,
}

impl Disk {
    fn serve(mut self, queue: &Receiver<Batch>) {
        while let Ok(first) = queue.recv() {
            let mut batches = vec![first];
            batches.extend(queue.try_iter());
            // Both sides of a write are nasty moments to die in.
            threads::point("journal");
            let result = self.write(&batches);
            threads::point("journal");
            if let Err(error) = &result {
                log::error!("{error}: {}", source_of(error));
                self.database = None;
            }
            for batch in batches {
                // A caller that has gone does not wait for the answer.
                let _ = batch.done.send(result.clone());
            }
        }
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), Error> {
        let path = self.path.clone();
        let failed = |source: redb::Error| Error::Commit {
            path,
            source: Arc::new(source),
        };
        let database = self.database()?;
        (|| {
            let transaction = database.begin_write()?;
            for write in batches.iter().flat_map(|batch| &batch.writes) {
                let mut table = transaction.open_table(write.table.definition())?;
                match &write.value {
                    Some(value) => table.insert(write.key.as_str(), value.as_slice())?,
                    None => table.remove(write.key.as_str())?,
                };
            }
            transaction.commit()?;
            Ok(())
        })()
        .map_err(failed)
    }

    fn database(&mut self) -> Result<&mut Database, Error> {
        let path = &self.path;
        if self.database.is_none() {
            let failed = |source: redb::Error| Error::Open {
                path: path.clone(),
                source: Arc::new(source),
            };
            let file = private_file(path).map_err(|source| failed(source.into()))?;
            let backend = FileBackend::new(file).map_err(|source| failed(source.into()))?;
            // Its own checks of a damaged file are assertions in part.
            let database = salvage::calmly(|| {
                redb::Builder::new()
                    .set_cache_size(CACHE_BYTES)
                    .create_with_backend(backend)
                    .map_err(redb::Error::from)
            });
            self.database = Some(database.map_err(failed)?);
        }
        self.database.as_mut().ok_or(Error::Closed)
    }

    /// Sets a damaged file aside, and goes on with what is good in it. The damaged one is in its
    /// place until the new one is whole, so a crash in between loses nothing.
    fn salvage(&mut self, damage: &Error) -> Result<Contents, Error> {
        self.database = None;
        let path = self.path.clone();
        let failed = |source| Error::Damaged {
            path: path.clone(),
            source: Arc::new(source),
        };
        let aside = salvage::set_aside(&path).map_err(failed)?;
        let contents = salvage::read(&path);
        let rows: usize = contents.iter().map(|(_, rows)| rows.len()).sum();
        log::error!(
            "{damage}: {}; it is kept as {}, and {rows} records that can be read were taken over: \
             pods that are missing now may still have jobs at the plugin",
            source_of(damage),
            aside.display(),
        );
        let writes = contents.iter().flat_map(|(table, rows)| {
            rows.iter()
                .map(|(key, value)| Write::put(*table, key, value.clone()))
        });
        let (done, _) = bounded(1);
        let writes = writes.collect();
        let mut fresh = Disk {
            path: salvage::fresh(&path).map_err(failed)?,
            database: None,
        };
        fresh.write(&[Batch { writes, done }])?;
        fresh.database = None;
        salvage::replace(&fresh.path, &path).map_err(failed)?;
        Ok(contents)
    }

    /// Reads everything, once the checksums of the whole file are found right: it is small.
    fn check_and_read(&mut self) -> Result<Contents, Error> {
        let path = self.path.clone();
        let failed = |source: redb::Error| Error::Read {
            path,
            source: Arc::new(source),
        };
        let database = self.database()?;
        salvage::calmly(|| {
            if !database.check_integrity()? {
                let what = "its checksums do not hold".to_owned();
                return Err(redb::Error::Corrupted(what));
            }
            let transaction = database.begin_read()?;
            let mut contents = Vec::new();
            for table in Table::ALL {
                let opened = match transaction.open_table(table.definition()) {
                    Ok(opened) => opened,
                    Err(redb::TableError::TableDoesNotExist(_)) => continue,
                    Err(error) => return Err(error.into()),
                };
                let mut rows = Vec::new();
                for row in opened.iter()? {
                    let (key, value) = row?;
                    rows.push((key.value().to_owned(), value.value().to_vec()));
                }
                contents.push((table, rows));
            }
            Ok(contents)
        })
        .map_err(failed)
    }
}

/// Takes everybody else's rights to a directory that was there before; it holds the environment of
/// containers, secrets included.
fn make_private(directory: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(directory)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let owner = metadata.uid();
        return Err(io::Error::other(format!(
            "it belongs to user {owner}, who could change it under this daemon; give it to the user \
             that the daemon runs as"
        )));
    }
    if metadata.mode() & 0o077 != 0 {
        let path = directory.display();
        log::warn!("state directory {path} was open to others; its mode is 0700 now");
        std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn source_of(error: &Error) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
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
            .flat_map(|(_, rows)| rows.iter().map(|(key, _)| key.clone()))
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
