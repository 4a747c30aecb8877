//! How much of a remote log is in a log file, after a crash.
//!
//! The checkpoint may be older than the file; the lines behind it tell the rest, for they are what
//! was read. What is taken for granted: lines are appended in the order of the remote log. That
//! does not hold for text that was inserted, so a checkpoint is kept right after an insertion; a
//! crash between the two makes the next fetch unrecognised, and the log is written again.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    os::fd::OwnedFd,
    path::PathBuf,
};

use rustix::fs::Dir;

use super::{checkpoint::Checkpoint, line, log_path::LogPath, Error};
use crate::plan::log_position::Position;

/// Works out the position, and takes a line back that a crash has torn.
pub fn position(path: &LogPath, checkpoint: &Checkpoint) -> Result<Position, Error> {
    let directory = path.directory()?;
    let mut position = checkpoint.position.clone();
    let mut advance = |text: &[u8]| position.advance(text);
    // Without a checkpoint everything is behind it.
    let mut behind = *checkpoint == Checkpoint::default();
    for name in rotated(path, &directory)? {
        let file = path.open_sibling(&directory, &name)?;
        let metadata = file.metadata().map_err(|error| path.failed(error))?;
        if !behind && checkpoint.is_of(&metadata) {
            replay(path, file, checkpoint.length, &mut advance)?;
            behind = true;
        } else if behind {
            replay(path, file, 0, &mut advance)?;
        }
    }
    let file = path.open()?;
    let metadata = file.metadata().map_err(|error| path.failed(error))?;
    let from = match !behind && checkpoint.is_of(&metadata) {
        true => checkpoint.length.min(metadata.len()),
        false => 0,
    };
    let again = file.try_clone().map_err(|error| path.failed(error))?;
    let whole = replay(path, again, from, &mut advance)?;
    if whole < metadata.len() {
        file.set_len(whole).map_err(|error| path.failed(error))?;
    }
    Ok(position)
}

/// The rotated files of a log that are not compressed, oldest first.
// The kubelet appends the time of the rotation to the name, so that they sort by it, and compresses
// all but the youngest into `.gz`, by way of `.tmp` (`rotateLog`, `compressLog` in
// k8s.io/kubernetes/pkg/kubelet/logs/container_log_manager.go).
fn rotated(path: &LogPath, directory: &OwnedFd) -> Result<Vec<PathBuf>, Error> {
    let mut names = siblings(path, directory)?;
    names.retain(|name| !name.ends_with(".gz") && !name.ends_with(".tmp"));
    names.sort();
    Ok(names.into_iter().map(PathBuf::from).collect())
}

fn has_compressed(path: &LogPath, directory: &OwnedFd) -> Result<bool, Error> {
    let names = siblings(path, directory)?;
    Ok(names.iter().any(|name| name.ends_with(".gz")))
}

/// The files that a log was rotated to, in no order.
fn siblings(path: &LogPath, directory: &OwnedFd) -> Result<Vec<String>, Error> {
    let prefix = format!("{}.", path.file_name().display());
    let entries = Dir::read_from(directory).map_err(|error| path.failed(error))?;
    let names =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
    Ok(names.filter(|name| name.starts_with(&prefix)).collect())
}

/// The position after the first `bytes` bytes that were written, read back from the files; none
/// where they cannot tell, because they hold less, or a part of it was compressed.
pub fn written(path: &LogPath, bytes: u64) -> Result<Option<Position>, Error> {
    let directory = path.directory()?;
    let mut position = Position::default();
    let mut take = |text: &[u8]| {
        let left = usize::try_from(bytes - position.bytes()).unwrap_or(usize::MAX);
        position.advance(&text[..left.min(text.len())]);
    };
    if has_compressed(path, &directory)? {
        return Ok(None);
    }
    for name in rotated(path, &directory)? {
        replay(path, path.open_sibling(&directory, &name)?, 0, &mut take)?;
    }
    replay(path, path.open()?, 0, &mut take)?;
    Ok(Some(position).filter(|position| position.bytes() == bytes))
}

/// Takes over the lines of a file from an offset on; returns where the last whole line ends.
fn replay(
    path: &LogPath,
    mut file: File,
    from: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<u64, Error> {
    file.seek(SeekFrom::Start(from))
        .map_err(|source| path.failed(source))?;
    let mut reader = BufReader::new(file);
    let (mut end, mut text) = (from, Vec::new());
    loop {
        text.clear();
        let count = reader
            .read_until(b'\n', &mut text)
            .map_err(|source| path.failed(source))?;
        let Some(body) = text.strip_suffix(b"\n") else {
            return Ok(end);
        };
        end += count as u64;
        // Others, and what the daemon itself has said, stand for nothing remote.
        if let Some((content, is_last_part)) = line::decode(body) {
            take(content);
            if is_last_part {
                take(b"\n");
            }
        }
    }
}
