//! The state file: one embedded transactional store.

use std::{path::PathBuf, sync::Arc};

use redb::{backends::FileBackend, Database, ReadableDatabase as _, ReadableTable as _};

use super::{
    disk_error::Error,
    private::private_file,
    salvage,
    table::{Contents, Table, Write},
};
use crate::threads;

/// Page cache of the embedded store. Everything is read once at start and only written after.
const CACHE_BYTES: usize = 4 << 20;

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
        let failed = |source: redb::Error| Error::Commit {
            path,
            source: Arc::new(source),
        };
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

/// What is behind an error.
pub fn source_of(error: &Error) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}
