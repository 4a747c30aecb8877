//! The state file: one embedded transactional store.

use std::{
    fs::File,
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use redb::{
    backends::FileBackend, Database, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _,
};

use super::{
    disk_error::Error,
    private::private_file,
    rows::Rows,
    salvage,
    table::{Contents, Table, Write},
};
use crate::{telemetry::chain, threads};

/// Page cache of the embedded store. Everything is read once at start, and after that a record where a job is
/// made; the cache has the upper pages of the trees then, which every write goes through. Its pages lie scattered
/// among records, so when those are gone, each keeps two of the system's.
const CACHE_BYTES: usize = 256 << 10;

/// A file is written anew when it is so many times as large as what is in it.
const TIMES: u64 = 4;
/// Damaged rows that are kept at the most, and their bytes.
const MAX_ASIDE_ROWS: usize = 1000;
const MAX_ASIDE_BYTES: usize = 16 << 20;

/// The error of a change that is not on disk.
fn not_committed(path: &Path, source: redb::Error) -> Error {
    Error::Commit {
        path: path.to_owned(),
        source: Arc::new(source),
    }
}

/// The error of a file that is not open.
fn not_opened(path: &Path, source: redb::Error) -> Error {
    Error::Open {
        path: path.to_owned(),
        source: Arc::new(source),
    }
}

/// The state file. One thread writes it; single rows are read by others meanwhile, through clones of this.
#[derive(Clone)]
pub struct Disk {
    pub path: PathBuf,
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
enum State {
    /// The next use opens what is at the path.
    #[default]
    Closed,
    /// The store has no memory of it. The next use opens this file, whatever is at the path by then.
    Resting(File),
    Open {
        database: Database,
        /// The same file once more, for its rest; none where the system had no descriptor for it.
        file: Option<File>,
    },
}

impl State {
    fn database(&self) -> Option<&Database> {
        match self {
            Self::Open { database, .. } => Some(database),
            Self::Closed | Self::Resting(_) => None,
        }
    }
}

impl Disk {
    /// A file that is not open yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Arc::default(),
        }
    }

    /// Closes the file until its next use.
    pub fn close(&self) {
        *self.state.write() = State::Closed;
    }

    /// Gives back the store's memory of the file, its cache, until its next use; false, and nothing is done, while
    /// somebody reads.
    pub fn rest(&self) -> bool {
        let Some(mut state) = self.state.try_write() else {
            return false;
        };
        *state = match mem::take(&mut *state) {
            State::Open {
                database,
                file: Some(file),
            } => {
                if let Err(error) = salvage::calmly(|| Ok(database.close()?)) {
                    log::warn!(
                        error = chain(&error);
                        "state file {} was not closed well; what it lacks is made up for when it is opened again",
                        self.path.display()
                    );
                }
                State::Resting(file)
            }
            other => other,
        };
        true
    }

    /// Whether the next use need not open it.
    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        self.state.read().database().is_some()
    }

    /// Reads the values of some rows, all as they were at one time; none for one that is not there.
    ///
    /// # Errors
    /// [`Error::Open`] and [`Error::Read`].
    pub fn rows(&self, rows: &[(Table, &str)]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let database = self.opened()?;
        let read = || {
            let transaction = database.begin_read()?;
            let value = |(table, key): &(Table, &str)| {
                let opened = match transaction.open_table(table.definition()) {
                    Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                    other => other?,
                };
                let value = opened.get(*key)?;
                Ok(value.map(|value| value.value().to_vec()))
            };
            rows.iter().map(value).collect()
        };
        salvage::calmly(read).map_err(|source| self.not_read(source))
    }

    fn not_read(&self, source: redb::Error) -> Error {
        Error::Read {
            path: self.path.clone(),
            source: Arc::new(source),
        }
    }

    /// Writes all or nothing, and returns when it is on disk.
    ///
    /// # Errors
    /// [`Error::Open`] and [`Error::Commit`].
    pub fn write<'a>(&self, writes: impl Iterator<Item = &'a Write> + Clone) -> Result<(), Error> {
        let database = self.opened()?;
        (|| {
            threads::fault("disk")?;
            let transaction = database.begin_write()?;
            // Each table is opened once, which takes as long as writing a row. A row has one table, so its
            // writes stay in their order.
            for name in Table::ALL.into_iter().chain([Table::SetAside]) {
                let mut writes = writes.clone().filter(|write| write.table == name);
                let Some(first) = writes.next() else {
                    continue;
                };
                let mut table = transaction.open_table(name.definition())?;
                for write in std::iter::once(first).chain(writes) {
                    match &write.value {
                        Some(value) => table.insert(write.key.as_str(), value.as_slice())?,
                        None => table.remove(write.key.as_str())?,
                    };
                }
            }
            transaction.commit()?;
            Ok(())
        })()
        .map_err(|error| not_committed(&self.path, error))
    }

    /// The open file, shared with others.
    fn opened(&self) -> Result<MappedRwLockReadGuard<'_, Database>, Error> {
        loop {
            match RwLockReadGuard::try_map(self.state.read(), State::database) {
                Ok(opened) => return Ok(opened),
                // Dropped before the next lock is taken.
                Err(closed) => drop(closed),
            }
            self.open(Check::AfterCrash)?;
        }
    }

    /// Opens the file, where it is not.
    fn open(&self, check: Check) -> Result<(), Error> {
        let mut state = self.state.write();
        if state.database().is_some() {
            return Ok(());
        }
        let file = match mem::take(&mut *state) {
            State::Resting(file) => Ok(file),
            State::Closed | State::Open { .. } => private_file(&self.path),
        };
        let file = file.map_err(|source| not_opened(&self.path, source.into()))?;
        let again = file.try_clone().ok();
        let database = open(file, check).map_err(|source| not_opened(&self.path, source))?;
        *state = State::Open {
            database,
            file: again,
        };
        Ok(())
    }

    /// Sets a damaged file aside, and goes on with what is good in it. The damaged one is in its
    /// place until the new one is whole, so a crash in between loses nothing.
    fn salvage(&self, damage: &Error) -> Result<Contents, Error> {
        self.close();
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
                .map(|(key, value)| Write::put(*table, key, value.to_vec()))
        });
        let writes: Vec<_> = writes.collect();
        let fresh = Disk::new(salvage::fresh(&path).map_err(failed)?);
        fresh.write(writes.iter())?;
        fresh.close();
        salvage::replace(&fresh.path, &path).map_err(failed)?;
        Ok(contents)
    }

    /// Reads everything, and what is good in it if it is damaged.
    ///
    /// # Errors
    /// A file that cannot be opened, read, or saved from its damage.
    pub fn read(&self) -> Result<Contents, Error> {
        match self.check_and_read() {
            Err(error) if error.is_damage() => self.salvage(&error),
            other => other,
        }
    }

    /// Writes a new file in place of one that is many times larger than what is in it: the store takes
    /// up again what was deleted, but gives back no more than what is free at its end. Until the new file is whole, the old one is in its
    /// place; when anything fails, it stays. Does nothing where more than `most` bytes are in it.
    pub fn compact(&self, least: u64, most: u64) {
        let Ok(before) = std::fs::metadata(&self.path).map(|file| file.len()) else {
            return;
        };
        if before < least {
            return;
        }
        match self.rewrite(before / TIMES, most) {
            Ok(false) => {}
            Ok(true) => {
                let after = std::fs::metadata(&self.path).map_or(0, |file| file.len());
                let path = self.path.display();
                log::info!("state file {path} was written anew: {after} bytes instead of {before}");
            }
            Err(error) => log::warn!(
                error = chain(&error);
                "state file {} has {before} bytes, most of them free, and cannot be written anew",
                self.path.display()
            ),
        }
    }

    /// Whether it was worth it: no more than `worth` bytes are in it, and no more than `most`.
    fn rewrite(&self, worth: u64, most: u64) -> Result<bool, Error> {
        let path = &self.path;
        let database = self.opened()?;
        let used = stored_bytes(&database).map_err(|error| not_committed(path, error))?;
        if used > worth.min(most) {
            return Ok(false);
        }
        let from_disk = |error: std::io::Error| not_committed(path, error.into());
        let fresh = Disk::new(salvage::fresh(path).map_err(from_disk)?);
        {
            let to = fresh.opened()?;
            copy(&database, &to).map_err(|error| not_committed(&fresh.path, error))?;
        }
        fresh.close();
        drop(database);
        // Nobody may open the old one again before the new one is in its place.
        let mut state = self.state.write();
        *state = State::Closed;
        salvage::replace(&fresh.path, path).map_err(from_disk)?;
        Ok(true)
    }

    /// Forgets damaged rows where many are set aside.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn trim_set_aside(&self) -> Result<(), Error> {
        let database = self.opened()?;
        (|| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(Table::SetAside.definition())?;
            let (mut rows, mut bytes) = (0, 0);
            for row in table.iter()? {
                rows += 1;
                bytes += row?.1.value().len();
            }
            if rows <= MAX_ASIDE_ROWS && bytes <= MAX_ASIDE_BYTES {
                drop(table);
                return Ok(transaction.abort()?);
            }
            while rows > MAX_ASIDE_ROWS || bytes > MAX_ASIDE_BYTES {
                let Some((_, value)) = table.pop_first()? else {
                    break;
                };
                rows -= 1;
                bytes -= value.value().len().min(bytes);
            }
            drop(table);
            transaction.commit()?;
            Ok(())
        })()
        .map_err(|error| not_committed(&self.path, error))
    }

    /// Reads everything, once the checksums of the whole file are found right: it is small.
    fn check_and_read(&self) -> Result<Contents, Error> {
        self.open(Check::Always)?;
        let database = self.opened()?;
        salvage::calmly(|| {
            let transaction = database.begin_read()?;
            let mut contents = Vec::new();
            for table in Table::ALL {
                let opened = match transaction.open_table(table.definition()) {
                    Ok(opened) => opened,
                    Err(redb::TableError::TableDoesNotExist(_)) => continue,
                    Err(error) => return Err(error.into()),
                };
                let mut rows = Rows::default();
                for row in opened.iter()? {
                    let (key, value) = row?;
                    rows.push(key.value(), value.value());
                }
                contents.push((table, rows));
            }
            Ok(contents)
        })
        .map_err(|source| self.not_read(source))
    }
}

/// When the checksums of a whole file are held against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Where it was not closed: that is part of opening it then.
    AfterCrash,
    Always,
}

/// Opens the store in a file, which may be empty.
fn open(file: File, check: Check) -> Result<Database, redb::Error> {
    let backend = FileBackend::new(file)?;
    // Its own checks of a damaged file are assertions in part.
    salvage::calmly(|| {
        redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(check == Check::Always)
            .create_with_backend(backend)
            .map_err(redb::Error::from)
    })
}

/// How many bytes are in the rows of all tables.
fn stored_bytes(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_read()?;
    let mut bytes = 0;
    for table in Table::ALL.into_iter().chain([Table::SetAside]) {
        let opened = match transaction.open_table(table.definition()) {
            Ok(opened) => opened,
            Err(redb::TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        bytes += opened.stats()?.stored_bytes();
    }
    Ok(bytes)
}

/// Copies all rows, one at a time.
fn copy(from: &Database, to: &Database) -> Result<(), redb::Error> {
    let (reading, writing) = (from.begin_read()?, to.begin_write()?);
    for table in Table::ALL.into_iter().chain([Table::SetAside]) {
        let rows = match reading.open_table(table.definition()) {
            Ok(rows) => rows,
            Err(redb::TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let mut copied = writing.open_table(table.definition())?;
        for row in rows.iter()? {
            let (key, value) = row?;
            copied.insert(key.value(), value.value())?;
        }
    }
    writing.commit()?;
    Ok(())
}

/// What is behind an error.
pub fn source_of(error: &Error) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
