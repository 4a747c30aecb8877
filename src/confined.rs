//! Ways through directories that pods have a part in, without a symlink on them. The daemon often
//! runs as root, and pods choose names: a link in a directory's or a file's place must not lead it
//! to another one.
//!
//! Each step opens one name below a directory that is open already (`openat`, `O_NOFOLLOW`), so
//! nothing can be put in between two steps. The root itself may be reached through links: whoever
//! configures it is trusted.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Component, Path},
};

use rustix::{
    fs::{fstat, mkdirat, open, openat, FileType, Mode, OFlags},
    io::Errno,
};

use crate::text::quoted;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// Not blocking: a pipe in a file's place must not hold up the daemon.
const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// Why a way cannot be gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that does not lead downwards only.
    #[error("`{0}` leads out of its directory")]
    Escapes(String),
    /// A symlink, a file, or anything else where a directory should be.
    #[error("`{0}` is not a directory")]
    NotADirectory(String),
    /// A symlink where a file should be.
    #[error("`{0}` is a symlink")]
    Symlink(String),
    /// A directory, a pipe, a device... where a file should be.
    #[error("`{0}` is not a regular file")]
    NotAFile(String),
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(source) => source,
            other => io::Error::other(other),
        }
    }
}

/// Whether a path leads only downwards, by plain names: no `..`, no `.`, no `/` at its beginning.
/// An empty one leads nowhere, which is not upwards.
pub fn is_plain(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
}

fn plain(path: &Path) -> Result<&Path, Error> {
    match is_plain(path) {
        true => Ok(path),
        false => Err(Error::Escapes(quoted(&path.to_string_lossy()))),
    }
}

/// Opens the directory that everything else is below.
///
/// # Errors
/// The system says no.
pub fn root(path: &Path) -> Result<OwnedFd, Error> {
    Ok(open(path, DIRECTORY, Mode::empty())?)
}

/// Opens the directory of this name in another one.
///
/// # Errors
/// There is none, or something else, a symlink included, has the name.
pub fn directory(at: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd, Error> {
    let name = name.as_ref();
    let flags = DIRECTORY | OFlags::NOFOLLOW;
    openat(at, name, flags, Mode::empty()).map_err(|errno| match errno {
        // Which of the two a symlink gives depends on the kernel and the file system.
        Errno::LOOP | Errno::NOTDIR => Error::NotADirectory(quoted(&name.to_string_lossy())),
        other => other.into(),
    })
}

/// Opens a directory by the path that leads to it from `root`.
///
/// # Errors
/// [`Error::Escapes`]; as [`directory`], at each of its parts.
pub fn below(root: &Path, path: &Path) -> Result<OwnedFd, Error> {
    let mut at = self::root(root)?;
    for part in plain(path)? {
        at = directory(&at, part)?;
    }
    Ok(at)
}

/// The same, and makes (0755) what is not there, `root` included.
///
/// # Errors
/// As [`below`], or a directory cannot be made.
pub fn made_below(root: &Path, path: &Path) -> Result<OwnedFd, Error> {
    // Whatever the umask: what lies there is the daemon's own.
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o755).create(root)?;
    let mut at = self::root(root)?;
    for part in plain(path)? {
        match mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        at = directory(&at, part)?;
    }
    Ok(at)
}

/// Opens the regular file of this name in a directory. With `CREATE` among the flags it is made
/// (0640) if it is not there.
///
/// # Errors
/// There is none, or something else, a symlink included, has the name.
pub fn file(at: impl AsFd, name: impl AsRef<OsStr>, how: OFlags) -> Result<File, Error> {
    let name = name.as_ref();
    let quoted = || quoted(&name.to_string_lossy());
    let file = openat(at, name, how | FILE, Mode::from_raw_mode(0o640));
    let file = file.map_err(|errno| match errno {
        Errno::LOOP => Error::Symlink(quoted()),
        other => other.into(),
    })?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(File::from(file)),
        _ => Err(Error::NotAFile(quoted())),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::symlink, net::UnixListener},
    };

    use super::*;

    #[test]
    fn only_plain_paths_lead_downwards() {
        for (path, want) in [
            ("a", true),
            ("a/b.txt", true),
            ("..data/a", true),
            ("", true),
            ("..", false),
            ("a/../b", false),
            ("./a", false),
            ("/a", false),
        ] {
            assert_eq!(is_plain(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn no_symlink_is_followed_and_nothing_but_files_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/file"), "text").unwrap();
        symlink("a", path.join("link")).unwrap();
        symlink("file", path.join("a/b/link")).unwrap();
        let _socket = UnixListener::bind(path.join("a/b/socket")).unwrap();

        let at = below(path, Path::new("a/b")).unwrap();
        assert!(file(&at, "file", OFlags::RDONLY).is_ok());
        for (name, part) in [
            ("link", "is a symlink"),
            ("socket", "No such device"),
            (".", "is not a regular file"),
            ("none", "No such file"),
        ] {
            let error = file(&at, name, OFlags::RDONLY).unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
        for (name, part) in [
            ("link/b", "`link` is not a directory"),
            ("a/b/file", "`file` is not a directory"),
            ("a/none", "No such file"),
            ("a/../a", "leads out"),
            ("/tmp", "leads out"),
        ] {
            let error = below(path, Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
        let link = path.join("link");
        assert!(below(&link, Path::new("b")).is_ok(), "the root may be one");
        assert!(made_below(&link, Path::new("c/d")).is_ok());
        assert!(path.join("a/c/d").is_dir());
        assert!(made_below(path, Path::new("link/e")).is_err());
        assert!(made_below(&path.join("a"), Path::new("../e")).is_err());
        assert!(!path.join("e").exists());
        assert!(!path.join("a/e").exists());
    }
}
