//! What is done with a state file that is damaged: it is kept under another name, and what can be
//! read of it is taken over.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use redb::{backends::FileBackend, Database, ReadableDatabase as _, ReadableTable as _};

use crate::threads::contain;

use super::{
    private::private_file,
    rows::Rows,
    table::{Contents, Table},
};

/// Runs what may meet damage that the store answers with a panic.
pub fn calmly<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    contain(work).unwrap_or_else(|panic| {
        Err(redb::Error::Corrupted(format!(
            "the embedded store {panic}"
        )))
    })
}

/// Copies a damaged file as it is, and gives the copy's name: reading it may change it.
///
/// # Errors
/// A directory that cannot be written, or has no room.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.unwrap_or_default().as_secs();
    // Another one of the same second is not overwritten.
    let names = (0..).map(|n| path.with_extension(format!("redb.damaged-{}", seconds + n)));
    for name in names {
        if !name.try_exists()? {
            fs::copy(path, &name)?;
            fs::File::open(&name)?.sync_all()?;
            forget_old_copies(path);
            return Ok(name);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// As many copies of damaged files are kept, the latest.
const MAX_COPIES: usize = 8;

/// Removes the oldest copies of damaged files where there are many: a disk that damages them again and
/// again would be full of them.
fn forget_old_copies(path: &Path) {
    let prefix = path.with_extension("redb.damaged-");
    let entries = path
        .parent()
        .and_then(|directory| fs::read_dir(directory).ok());
    let paths = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let numbered = paths.filter_map(|copy| {
        let rest = copy.to_str()?.strip_prefix(prefix.to_str()?)?;
        Some((rest.parse::<u64>().ok()?, copy))
    });
    let mut copies: Vec<_> = numbered.collect();
    copies.sort();
    let surplus = copies.len().saturating_sub(MAX_COPIES);
    for (_, copy) in copies.drain(..surplus) {
        match fs::remove_file(&copy) {
            Ok(()) => log::warn!(
                "removed {}, an old copy of a damaged state file",
                copy.display()
            ),
            Err(error) => log::warn!("cannot remove {}: {error}", copy.display()),
        }
    }
}

/// The name of a new file that is to take the place of a damaged one; an attempt that a crash has
/// left is removed.
///
/// # Errors
/// A directory that cannot be written.
pub fn fresh(path: &Path) -> io::Result<PathBuf> {
    let fresh = path.with_extension("redb.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(fresh),
    }
}

/// Puts the new file into the place of the damaged one, for good.
///
/// # Errors
/// A directory that cannot be written.
pub fn replace(fresh: &Path, path: &Path) -> io::Result<()> {
    fs::rename(fresh, path)?;
    match path.parent() {
        Some(directory) => fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// All rows that can be read of a damaged file. Each record has a checksum of its own, so whoever
/// reads the rows tells the good ones.
pub fn read(path: &Path) -> Contents {
    let opened = calmly(|| {
        let backend = FileBackend::new(private_file(path)?)?;
        Ok(Database::builder().create_with_backend(backend)?)
    });
    let Ok(database) = opened else {
        return Contents::new();
    };
    let tables = Table::ALL.into_iter();
    tables
        .map(|table| (table, rows(&database, table)))
        .collect()
}

/// The rows of a table up to the first that cannot be read, from both ends.
fn rows(database: &Database, table: Table) -> Rows {
    let mut found = Rows::default();
    for backwards in [false, true] {
        let read = calmly(|| {
            let opened = database.begin_read()?.open_table(table.definition())?;
            let mut rows = opened.iter()?;
            while let Some(row) = if backwards {
                rows.next_back()
            } else {
                rows.next()
            } {
                let (key, value) = row?;
                found.push(key.value(), value.value());
            }
            Ok(())
        });
        if read.is_ok() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests;
