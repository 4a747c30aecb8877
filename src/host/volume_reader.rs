//! Reads the files that the kubelet wrote into a volume.
//!
//! Its atomic writer (`pkg/volume/util/atomic_writer.go`) puts them into a directory with a time
//! in its name, lets the symlink `..data` point there, and replaces that link when the contents
//! change; only then does the old directory go. No other symlink is followed here, and none that
//! leads out of the volume: the daemon often runs as root.

use std::{
    io::{self, Read as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{readlinkat, statat, AtFlags, Dir, FileType, OFlags},
    io::Errno,
};

use crate::{
    confined,
    kubelet::{ContentFile, Files},
    text::quoted,
};

/// The link to the present contents.
const DATA: &str = "..data";
/// How often contents that are replaced meanwhile are read again.
const ATTEMPTS: u32 = 10;
/// How deep `items[].path` may nest. Kubernetes sets no bound.
const MAX_DEPTH: usize = 16;
/// The most files of all volumes of a pod together.
pub const MAX_FILES: usize = 4096;

/// Why a tree cannot be read.
#[derive(Debug)]
pub enum Fault {
    /// The system says no.
    Io(io::Error),
    /// Something that the kubelet does not make.
    Odd {
        /// Below the volume's directory.
        entry: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// More than the budget.
    TooLarge,
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

fn odd(entry: &str, fault: &'static str) -> Fault {
    Fault::Odd {
        entry: quoted(entry),
        fault,
    }
}

/// What may still be read.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes.
    pub bytes: u64,
    /// Files.
    pub files: usize,
}

/// Opens a directory by the path that leads to it from `root`, on which there is no symlink.
pub fn open_below(root: &Path, path: &Path) -> Result<OwnedFd, Fault> {
    confined::below(root, path).map_err(|error| match &error {
        confined::Error::NotADirectory(name) => odd(name, "is not a directory"),
        _ => fault(error, &path.to_string_lossy()),
    })
}

/// What is wrong with an entry that could not be opened.
fn fault(error: confined::Error, entry: &str) -> Fault {
    match error {
        confined::Error::Io(source) => Fault::Io(source),
        confined::Error::NotADirectory(_) => odd(entry, "is not a directory"),
        confined::Error::NotAFile(_) => odd(entry, "is not a file"),
        confined::Error::Symlink(_) => odd(entry, "is a symlink"),
        confined::Error::Escapes(_) => odd(entry, "leads out of the kubelet's directory"),
    }
}

/// All the files of a volume as they are at one moment.
pub fn volume(directory: impl AsFd, budget: &mut Budget) -> Result<Files, Fault> {
    let mut last = Fault::from(Errno::NOENT);
    for _ in 0..ATTEMPTS {
        let before = data_link(&directory)?;
        let mut left = *budget;
        let read = confined::directory(&directory, &before)
            .map_err(|error| fault(error, &before))
            .and_then(|data| directory_files(data, &mut left));
        // What was replaced meanwhile may have lost files already.
        let is_whole = data_link(&directory)? == before;
        match read {
            Ok(files) if is_whole => {
                *budget = left;
                return Ok(files);
            }
            Err(fault) if is_whole => return Err(fault),
            Err(fault) => last = fault,
            Ok(_) => {}
        }
    }
    Err(last)
}

/// Where `..data` points: to a directory beside it, whose name begins with two dots.
fn data_link(directory: impl AsFd) -> Result<String, Fault> {
    let target = readlinkat(directory, DATA, Vec::new()).map_err(|errno| match errno {
        Errno::INVAL => odd(DATA, "is not a symlink"),
        other => other.into(),
    })?;
    let name = target.to_str().unwrap_or_default();
    let is_beside = name.strip_prefix("..").is_some_and(|rest| !rest.is_empty());
    match is_beside && !name.contains('/') && name != DATA {
        true => Ok(name.to_owned()),
        false => Err(odd(DATA, "does not point to a directory beside it")),
    }
}

/// What the kubelet mounted for a subPath: a directory's files, or one file, which gets `name`;
/// and whether it is one file.
pub fn mounted(
    parent: impl AsFd,
    at: &Path,
    name: &str,
    budget: &mut Budget,
) -> Result<(Files, bool), Fault> {
    let entry = at.to_string_lossy();
    match kind(&parent, at)? {
        FileType::Directory => {
            let directory =
                confined::directory(&parent, at).map_err(|error| fault(error, &entry))?;
            Ok((directory_files(directory, budget)?, false))
        }
        FileType::RegularFile => {
            let file = file(&parent, at, &entry, budget)?;
            Ok((Files::from([(name.to_owned(), file)]), true))
        }
        _ => Err(odd(&entry, "is neither a file nor a directory")),
    }
}

fn kind(directory: impl AsFd, name: &Path) -> Result<FileType, Errno> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn directory_files(directory: OwnedFd, budget: &mut Budget) -> Result<Files, Fault> {
    let mut files = Files::new();
    walk(&directory, "", 0, budget, &mut files)?;
    Ok(files)
}

fn walk(
    directory: &OwnedFd,
    above: &str,
    depth: usize,
    budget: &mut Budget,
    files: &mut Files,
) -> Result<(), Fault> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            let shown = entry.file_name().to_string_lossy();
            return Err(odd(
                &format!("{above}{shown}"),
                "has a name that is no text",
            ));
        };
        if name == "." || name == ".." {
            continue;
        }
        let path = format!("{above}{name}");
        match kind(directory, Path::new(name))? {
            FileType::RegularFile => {
                let file = file(directory, Path::new(name), &path, budget)?;
                files.insert(path, file);
            }
            FileType::Directory if depth >= MAX_DEPTH => {
                return Err(odd(&path, "lies too deep"));
            }
            FileType::Directory => {
                let inner =
                    confined::directory(directory, name).map_err(|error| fault(error, &path))?;
                walk(&inner, &format!("{path}/"), depth + 1, budget, files)?;
            }
            FileType::Symlink => return Err(odd(&path, "is a symlink")),
            _ => return Err(odd(&path, "is neither a file nor a directory")),
        }
    }
    Ok(())
}

fn file(
    directory: impl AsFd,
    name: &Path,
    path: &str,
    budget: &mut Budget,
) -> Result<ContentFile, Fault> {
    let file = confined::file(directory, name, OFlags::RDONLY).map_err(|e| fault(e, path))?;
    let mode = file.metadata().map_err(Fault::Io)?.permissions().mode();
    let files = budget.files.checked_sub(1).ok_or(Fault::TooLarge)?;
    let mut bytes = Vec::new();
    // One more than there may be, to tell.
    let mut limited = file.take(budget.bytes + 1);
    let length = limited.read_to_end(&mut bytes).map_err(Fault::Io)?;
    let left = budget
        .bytes
        .checked_sub(length as u64)
        .ok_or(Fault::TooLarge)?;
    *budget = Budget { bytes: left, files };
    bytes.shrink_to_fit();
    Ok(ContentFile {
        mode: mode & 0o777,
        bytes,
    })
}
