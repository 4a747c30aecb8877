//! Where log files may lie: below a pod's log directory, whatever names the pod has chosen and
//! whatever lies there (see `confined`).

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::Error;
use crate::{confined, text::quoted};

/// Longest path below the log directory, in bytes; Linux' PATH_MAX.
const MAX_BYTES: usize = 4096;

/// The absolute path of a log.
///
/// # Errors
/// A log path that is absolute, empty, or has `..` in it.
pub fn validate_log_path(log_directory: &str, log_path: &str) -> Result<PathBuf, Error> {
    let path = Path::new(log_path);
    let good = !log_path.is_empty()
        && !log_path.contains('\0')
        && !log_path.ends_with('/')
        && log_path.len() <= MAX_BYTES
        && confined::is_plain(path);
    match good {
        true => Ok(Path::new(log_directory).join(path)),
        false => Err(Error::Escapes(quoted(log_path))),
    }
}

/// The validated path of a log file.
#[derive(Clone, Debug)]
pub struct LogPath {
    root: PathBuf,
    relative: PathBuf,
}

impl LogPath {
    /// A path below a pod's log directory.
    ///
    /// # Errors
    /// See [`validate_log_path`].
    pub fn new(log_directory: &str, log_path: &str) -> Result<Self, Error> {
        validate_log_path(log_directory, log_path)?;
        Ok(Self {
            root: log_directory.into(),
            relative: log_path.into(),
        })
    }

    /// The absolute path, for messages.
    pub fn absolute(&self) -> PathBuf {
        self.root.join(&self.relative)
    }

    /// Says that something has failed with this file.
    pub fn failed(&self, error: impl Into<io::Error>) -> Error {
        Error::File {
            path: self.absolute(),
            source: error.into(),
        }
    }

    /// Opens the file's directory, which is made if it is not there.
    pub fn directory(&self) -> Result<OwnedFd, Error> {
        let below = self.relative.parent().unwrap_or(Path::new(""));
        confined::made_below(&self.root, below).map_err(|error| self.failed(error))
    }

    /// The file's own name.
    pub fn file_name(&self) -> &Path {
        // Validated: the last part is a plain name.
        Path::new(self.relative.file_name().unwrap_or_default())
    }

    /// Opens the file for appending, made (0640) if it is not there.
    pub fn open(&self) -> Result<File, Error> {
        let how = OFlags::CREATE | OFlags::APPEND | OFlags::RDWR;
        confined::file(self.directory()?, self.file_name(), how).map_err(|error| self.failed(error))
    }

    /// Opens a file beside it, if it is there.
    pub fn open_sibling(&self, directory: &OwnedFd, name: &Path) -> Result<File, Error> {
        confined::file(directory, name, OFlags::RDONLY).map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{symlink, PermissionsExt as _};

    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (path, good) in [
            ("main/0.log", true),
            ("0.log", true),
            ("a/b/c.log", true),
            ("", false),
            ("/etc/passwd", false),
            ("../0.log", false),
            ("a/../../0.log", false),
            ("a/", false),
            ("./0.log", false),
            ("a\0b", false),
        ] {
            assert_eq!(validate_log_path("/logs", path).is_ok(), good, "{path:?}");
        }
    }

    #[test]
    fn symlinks_lead_nowhere() {
        let dir = tempfile::tempdir().expect("dir");
        let outside = tempfile::tempdir().expect("dir");
        let root = dir.path().display().to_string();
        symlink(outside.path(), dir.path().join("link")).expect("link");
        assert!(LogPath::new(&root, "link/0.log")
            .and_then(|path| path.open())
            .is_err());
        let target = outside.path().join("target");
        std::fs::write(&target, "untouched").expect("writes");
        symlink(&target, dir.path().join("0.log")).expect("link");
        assert!(LogPath::new(&root, "0.log")
            .and_then(|path| path.open())
            .is_err());
        assert_eq!(
            std::fs::read_to_string(&target).expect("reads"),
            "untouched"
        );
        assert_eq!(std::fs::read_dir(outside.path()).expect("lists").count(), 1);
    }

    #[test]
    fn only_regular_files_and_not_for_everybody() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path().display().to_string();
        std::fs::create_dir(dir.path().join("0.log")).expect("dir");
        assert!(LogPath::new(&root, "0.log")
            .and_then(|path| path.open())
            .is_err());
        let path = LogPath::new(&root, "main/1.log").expect("good");
        let file = path.open().expect("opens");
        assert_eq!(
            file.metadata().expect("there").permissions().mode() & 0o137,
            0
        );
    }
}
