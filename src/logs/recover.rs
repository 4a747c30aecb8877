//! How much of a remote log is in a log file, after a crash.
//!
//! The checkpoint may be older than the file; the lines behind it tell the rest, for they are what
//! was read. What is taken for granted: lines are appended in the order of the remote log. That
//! does not hold for text that was inserted, so a checkpoint is kept right after an insertion; a
//! crash between the two makes the next fetch unrecognised, and the log is written again.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::PathBuf,
};

use rustix::fs::Dir;

use super::{line, place::Place, sink::Checkpoint, Error};
use crate::plan::resync::Position;

/// Works out the position, and takes a line back that a crash has torn.
pub fn position(place: &Place, checkpoint: Checkpoint) -> Result<Position, Error> {
    let directory = place.directory()?;
    let mut position = checkpoint.position.clone();
    // Without a checkpoint everything is behind it.
    let mut behind = checkpoint == Checkpoint::default();
    for name in rotated(place, &directory)? {
        let file = place.open_sibling(&directory, &name)?;
        let metadata = file.metadata().map_err(|source| failed(place, source))?;
        let is_its_file = (metadata.dev(), metadata.ino()) == (checkpoint.device, checkpoint.inode);
        if is_its_file && !behind {
            replay(place, file, checkpoint.length, |text| {
                position.advance(text)
            })?;
            behind = true;
        } else if behind {
            replay(place, file, 0, |text| position.advance(text))?;
        }
    }
    let file = place.open()?;
    let metadata = file.metadata().map_err(|source| failed(place, source))?;
    let is_its_file = (metadata.dev(), metadata.ino()) == (checkpoint.device, checkpoint.inode);
    let from = if is_its_file && !behind {
        checkpoint.length.min(metadata.len())
    } else {
        0
    };
    let whole = replay(
        place,
        file.try_clone().map_err(|source| failed(place, source))?,
        from,
        |text| position.advance(text),
    )?;
    if whole < metadata.len() {
        file.set_len(whole)
            .map_err(|source| failed(place, source))?;
    }
    Ok(position)
}

/// The rotated files of a log that are not compressed, oldest first: the kubelet names them by
/// time.
fn rotated(place: &Place, directory: &OwnedFd) -> Result<Vec<PathBuf>, Error> {
    let mut names = siblings(place, directory)?;
    names.retain(|name| !name.ends_with(".gz") && !name.ends_with(".tmp"));
    names.sort();
    Ok(names.into_iter().map(PathBuf::from).collect())
}

fn has_compressed(place: &Place, directory: &OwnedFd) -> Result<bool, Error> {
    let names = siblings(place, directory)?;
    Ok(names.iter().any(|name| name.ends_with(".gz")))
}

/// The files that a log was rotated to, in no order.
fn siblings(place: &Place, directory: &OwnedFd) -> Result<Vec<String>, Error> {
    let prefix = format!("{}.", place.file_name().display());
    let entries = Dir::read_from(directory).map_err(|error| failed(place, error.into()))?;
    let names =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
    Ok(names.filter(|name| name.starts_with(&prefix)).collect())
}

/// The position after the first `bytes` bytes that were written, read back from the files; none
/// where they cannot tell, because they hold less, or a part of it was compressed.
pub fn written(place: &Place, bytes: u64) -> Result<Option<Position>, Error> {
    let directory = place.directory()?;
    let mut position = Position::default();
    let mut take = |text: &[u8]| {
        let left = usize::try_from(bytes - position.bytes()).unwrap_or(usize::MAX);
        position.advance(&text[..left.min(text.len())]);
    };
    if has_compressed(place, &directory)? {
        return Ok(None);
    }
    for name in rotated(place, &directory)? {
        replay(place, place.open_sibling(&directory, &name)?, 0, &mut take)?;
    }
    replay(place, place.open()?, 0, &mut take)?;
    Ok(Some(position).filter(|position| position.bytes() == bytes))
}

/// Takes over the lines of a file from an offset on; returns where the last whole line ends.
fn replay(
    place: &Place,
    mut file: File,
    from: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<u64, Error> {
    file.seek(SeekFrom::Start(from))
        .map_err(|source| failed(place, source))?;
    let mut reader = BufReader::new(file);
    let (mut end, mut text) = (from, Vec::new());
    loop {
        text.clear();
        let count = reader
            .read_until(b'\n', &mut text)
            .map_err(|source| failed(place, source))?;
        let Some(body) = text.strip_suffix(b"\n") else {
            return Ok(end);
        };
        end += count as u64;
        // A line that is not ours was not written by us, and stands for nothing remote.
        if let Some((content, is_last_part)) = line::decode(body) {
            take(content);
            if is_last_part {
                take(b"\n");
            }
        }
    }
}

fn failed(place: &Place, source: std::io::Error) -> Error {
    Error::File {
        path: place.path(),
        source,
    }
}
