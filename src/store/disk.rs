//! The state file: one embedded transactional store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    backends::FileBackend, Database, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _,
};

use super::{
    disk_error::Error,
    private::private_file,
    salvage,
    table::{Contents, Table, Write},
};
use crate::{telemetry::chain, threads};

/// Page cache of the embedded store. Everything is read once at start and only written after.
const CACHE_BYTES: usize = 4 << 20;

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

/// The state file. Closed where `database` is `None`; the next use opens it.
pub struct Disk {
    pub path: PathBuf,
    pub database: Option<Database>,
}

impl Disk {
    /// Writes all or nothing, and returns when it is on disk.
    ///
    /// # Errors
    /// [`Error::Open`] and [`Error::Commit`].
    pub fn write<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> Result<(), Error> {
        let path = self.path.clone();
        let database = self.database()?;
        (|| {
            threads::fault("disk")?;
            let transaction = database.begin_write()?;
            for write in writes {
                let mut table = transaction.open_table(write.table.definition())?;
                match &write.value {
                    Some(value) => table.insert(write.key.as_str(), value.as_slice())?,
                    None => table.remove(write.key.as_str())?,
                };
            }
            transaction.commit()?;
            Ok(())
        })()
        .map_err(|error| not_committed(&path, error))
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
        let writes: Vec<_> = writes.collect();
        let mut fresh = Disk {
            path: salvage::fresh(&path).map_err(failed)?,
            database: None,
        };
        fresh.write(writes.iter())?;
        fresh.database = None;
        salvage::replace(&fresh.path, &path).map_err(failed)?;
        Ok(contents)
    }

    /// Reads everything, and what is good in it if it is damaged.
    ///
    /// # Errors
    /// A file that cannot be opened, read, or saved from its damage.
    pub fn read(&mut self) -> Result<Contents, Error> {
        match self.check_and_read() {
            Err(error) if error.is_damage() => self.salvage(&error),
            other => other,
        }
    }

    /// Writes a new file in place of one that is many times larger than what is in it: the store takes
    /// up again what was deleted, but gives nothing back. Until the new file is whole, the old one is in its
    /// place; when anything fails, it stays. Does nothing where more than `most` bytes are in it.
    pub fn compact(&mut self, least: u64, most: u64) {
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
    fn rewrite(&mut self, worth: u64, most: u64) -> Result<bool, Error> {
        let path = self.path.clone();
        let database = self.database()?;
        let used = stored_bytes(database).map_err(|error| not_committed(&path, error))?;
        if used > worth.min(most) {
            return Ok(false);
        }
        let from_disk = |error: std::io::Error| not_committed(&path, error.into());
        let mut fresh = Disk {
            path: salvage::fresh(&path).map_err(from_disk)?,
            database: None,
        };
        copy(database, fresh.database()?).map_err(|error| not_committed(&fresh.path, error))?;
        fresh.database = None;
        self.database = None;
        salvage::replace(&fresh.path, &path).map_err(from_disk)?;
        Ok(true)
    }

    /// Forgets damaged rows where many are set aside.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn trim_set_aside(&mut self) -> Result<(), Error> {
        let path = self.path.clone();
        let database = self.database()?;
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
        .map_err(|error| not_committed(&path, error))
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
