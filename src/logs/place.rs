//! Where log files may lie. The daemon often runs as root, and pods choose names: nothing below a
//! pod's log directory may lead it to another place, symlinks included.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{fstat, mkdirat, open, openat, FileType, Mode, OFlags};

use super::Error;

/// The absolute path of a log.
///
/// # Errors
/// A log path that is absolute, empty, or has `..` in it.
pub fn validate_log_path(log_directory: &str, log_path: &str) -> Result<PathBuf, Error> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let path = Path::new(log_path);
    let good = !log_path.is_empty()
        && !log_path.contains('\0')
        && !log_path.ends_with('/')
        && log_path.len() <= 4096
        && path.components().all(plain);
    if good {
        Ok(Path::new(log_directory).join(path))
    } else {
        Err(Error::Escapes(
            log_path
                .chars()
                .take(200)
                .flat_map(char::escape_default)
                .collect(),
        ))
    }
}

/// A validated place for a log file.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    relative: PathBuf,
}

impl Place {
    /// A place below a pod's log directory.
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
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.relative)
    }

    fn failed(&self, error: impl Into<io::Error>) -> Error {
        Error::File {
            path: self.path(),
            source: error.into(),
        }
    }

    /// The file's directory, made if it is not there, reached without following a symlink below
    /// the log directory.
    pub fn directory(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        std::fs::create_dir_all(&self.root).map_err(|error| self.failed(error))?;
        let mut directory =
            open(&self.root, flags, Mode::empty()).map_err(|error| self.failed(error))?;
        for part in self
            .relative
            .parent()
            .into_iter()
            .flat_map(Path::components)
        {
            let name = Path::new(part.as_os_str());
            match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(self.failed(error)),
            }
            directory = openat(&directory, name, flags | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|error| self.failed(error))?;
        }
        Ok(directory)
    }

    /// The file's own name.
    pub fn file_name(&self) -> &Path {
        // Validated: the last part is a plain name.
        Path::new(self.relative.file_name().unwrap_or_default())
    }

    /// Opens the file for appending, made (0640) if it is not there.
    pub fn open(&self) -> Result<File, Error> {
        let flags = OFlags::CREATE | OFlags::APPEND | OFlags::RDWR;
        self.open_in(&self.directory()?, self.file_name(), flags)
    }

    /// Opens a file of the directory, if it is there.
    pub fn open_sibling(&self, directory: &OwnedFd, name: &Path) -> Result<File, Error> {
        self.open_in(directory, name, OFlags::RDONLY)
    }

    fn open_in(&self, directory: &OwnedFd, name: &Path, flags: OFlags) -> Result<File, Error> {
        // Not blocking: a pipe in the file's place must not hold up the daemon.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(directory, name, flags, Mode::from_raw_mode(0o640))
            .map_err(|error| self.failed(error))?;
        let mode = fstat(&file).map_err(|error| self.failed(error))?.st_mode;
        if FileType::from_raw_mode(mode) != FileType::RegularFile {
            return Err(self.failed(io::Error::other("not a regular file")));
        }
        Ok(File::from(file))
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
        assert!(Place::new(&root, "link/0.log")
            .and_then(|place| place.open())
            .is_err());
        let target = outside.path().join("target");
        std::fs::write(&target, "untouched").expect("writes");
        symlink(&target, dir.path().join("0.log")).expect("link");
        assert!(Place::new(&root, "0.log")
            .and_then(|place| place.open())
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
        assert!(Place::new(&root, "0.log")
            .and_then(|place| place.open())
            .is_err());
        let place = Place::new(&root, "main/1.log").expect("good");
        let file = place.open().expect("opens");
        assert_eq!(
            file.metadata().expect("there").permissions().mode() & 0o137,
            0
        );
    }
}
