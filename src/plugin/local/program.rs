//! From a container's command to a program of this machine, and why there is none.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::fs::Access;

/// Exit code of a command that does not exist, as shells give it.
const NOT_FOUND: i32 = 127;
/// Exit code of a command that cannot be executed, as shells give it.
const NOT_EXECUTABLE: i32 = 126;
/// Exit code of a container that could not be started for any other reason, as container engines
/// give it (`errorStartExitCode` in containerd's internal/cri/server).
pub(super) const NOT_STARTED: i32 = 128;

/// Why a container could not be started, with its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StartFailure {
    pub(super) code: i32,
    pub(super) message: String,
}

impl StartFailure {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// What the operating system said to a program that is there.
    pub(super) fn from_exec(program: &Path, error: &io::Error) -> Self {
        let program = program.display();
        match error.kind() {
            // The file was there a moment ago, so it is its `#!` line that leads nowhere.
            ErrorKind::NotFound => Self::new(
                NOT_FOUND,
                format!("`{program}` needs an interpreter that does not exist here"),
            ),
            _ => Self::new(
                NOT_EXECUTABLE,
                format!("cannot execute `{program}`: {error}"),
            ),
        }
    }
}

/// The directory in which the container runs. An image would bring its working directory along;
/// without images, one that does not exist here is replaced by the scratch directory. Relative
/// ones, and those below the scratch directory, are made.
pub(super) fn working_dir(asked: &str, scratch: &Path) -> Result<PathBuf, StartFailure> {
    // For an absolute path `join` is that path.
    let dir = scratch.join(asked);
    let wrong = |why: &str| {
        let dir = dir.display();
        Err(StartFailure::new(
            NOT_STARTED,
            format!("cannot use `{dir}` as working directory: {why}"),
        ))
    };
    if dir.starts_with(scratch) {
        if let Err(error) = fs::create_dir_all(&dir) {
            return wrong(&error.to_string());
        }
    }
    match fs::metadata(&dir) {
        Ok(meta) if !meta.is_dir() => wrong("it is not a directory"),
        Ok(_) => match rustix::fs::access(&dir, Access::EXEC_OK) {
            Ok(()) => Ok(dir),
            Err(error) => wrong(&io::Error::from(error).to_string()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(scratch.to_owned()),
        Err(error) => wrong(&error.to_string()),
    }
}

/// The file of a command, found as a shell finds it: through `path` (the value of PATH) unless
/// it has a slash; relative to the working directory if it is relative.
pub(super) fn find(command: &str, path: &str, cwd: &Path) -> Result<PathBuf, StartFailure> {
    if command.contains('/') {
        let file = cwd.join(command);
        return executable(&file).map(|()| file);
    }
    let mut denied = None;
    for dir in path.split(':') {
        let file = cwd.join(dir).join(command);
        match executable(&file) {
            Ok(()) => return Ok(file),
            // A directory of PATH that cannot be entered has nothing.
            Err(failure) if failure.code == NOT_EXECUTABLE && file.exists() => {
                denied = denied.or(Some(failure));
            }
            Err(_) => {}
        }
    }
    Err(denied.unwrap_or_else(|| {
        let text = format!("command `{command}` not found in PATH ({path})");
        StartFailure::new(NOT_FOUND, text)
    }))
}

fn executable(file: &Path) -> Result<(), StartFailure> {
    let failure = |code, why: &str| {
        let file = file.display();
        Err(StartFailure::new(code, format!("command `{file}`: {why}")))
    };
    match fs::metadata(file) {
        Ok(meta) if meta.is_dir() => failure(NOT_EXECUTABLE, "is a directory"),
        Ok(_) => match rustix::fs::access(file, Access::EXEC_OK) {
            Ok(()) => Ok(()),
            Err(_) => failure(NOT_EXECUTABLE, "is not executable"),
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            failure(NOT_FOUND, "no such file")
        }
        Err(error) => failure(NOT_EXECUTABLE, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn put(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn commands() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        put(&at("a/plain"), 0o644);
        put(&at("a/tool"), 0o755);
        put(&at("b/plain"), 0o755);
        put(&at("b/tool"), 0o755);
        fs::create_dir(at("a/dir")).unwrap();
        let (a, b) = (at("a").display().to_string(), at("b").display().to_string());
        let both = format!("/nowhere:{a}:{b}");
        for (name, command, path, want) in [
            ("the first wins", "tool", both.as_str(), Ok(at("a/tool"))),
            (
                "what cannot run is passed",
                "plain",
                &both,
                Ok(at("b/plain")),
            ),
            ("only one that cannot run", "plain", &a, Err(126)),
            ("a directory", "dir", &a, Err(126)),
            ("nowhere", "tool", "/nowhere", Err(127)),
            ("no path at all", "tool", "", Err(127)),
            (
                "an absolute one",
                &format!("{b}/tool"),
                "",
                Ok(at("b/tool")),
            ),
            ("a relative one", "./a/tool", "", Ok(at("./a/tool"))),
            ("a missing one", "./a/none", "", Err(127)),
            ("below a file", "./a/tool/x", "", Err(127)),
            ("one without the right", "./a/plain", "", Err(126)),
        ] {
            let found = find(command, path, dir.path());
            assert_eq!(found.map_err(|failure| failure.code), want, "{name}");
        }
    }

    #[test]
    fn working_directories() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = dir.path().join("work");
        fs::create_dir(&scratch).unwrap();
        put(&dir.path().join("file"), 0o644);
        let inside = scratch.join("x/y");
        for (name, asked, want) in [
            ("none", "", Some(scratch.as_path())),
            ("one that exists", "/usr", Some(Path::new("/usr"))),
            ("one of the image", "/no/such/app", Some(&scratch)),
            ("a relative one is made", "a/b", Some(&scratch.join("a/b"))),
            (
                "one inside is made",
                inside.to_str().unwrap(),
                Some(&inside),
            ),
            ("a file", dir.path().join("file").to_str().unwrap(), None),
        ] {
            let found = working_dir(asked, &scratch);
            match want {
                Some(want) => {
                    let found = found.unwrap();
                    assert_eq!(found.components().as_path(), want, "{name}");
                    assert!(found.is_dir(), "{name}");
                }
                None => assert_eq!(found.unwrap_err().code, 128, "{name}"),
            }
        }
    }
}
