//! The termination-log file: what a job said at its end, where the kubelet looks for it.

use std::{
    io::{self, Write as _},
    path::{Component, Path},
};

use rustix::fs::{fstat, open, openat, FileType, Mode, OFlags};

use super::Error;

/// The kubelet reads no more than this, from the file's end.
const MAX_BYTES: usize = 4096;

/// Writes a message into the file that the kubelet has made, below its root directory. No symlink
/// is followed on the way, and no file is made.
///
/// # Errors
/// A path outside the root, or a file that is not there or not a regular one.
pub fn write(root: &Path, path: &Path, message: &str) -> Result<(), Error> {
    let failed = |source: io::Error| Error::File {
        path: path.into(),
        source,
    };
    let relative = path
        .strip_prefix(root)
        .map_err(|_| Error::Escapes(path.display().to_string()))?;
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !relative.components().all(plain) {
        return Err(Error::Escapes(path.display().to_string()));
    }
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let mut at = open(root, directory, Mode::empty()).map_err(|error| failed(error.into()))?;
    let parent = relative.parent().into_iter().flat_map(Path::components);
    for part in parent {
        at = openat(
            &at,
            part.as_os_str(),
            directory | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .map_err(|error| failed(error.into()))?;
    }
    let name = relative.file_name().unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(&at, name, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let mode = fstat(&file).map_err(|error| failed(error.into()))?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut file = std::fs::File::from(file);
    file.set_len(0)
        .and_then(|()| file.write_all(last(message, MAX_BYTES).as_bytes()))
        .map_err(failed)
}

/// The end of a text, whole characters only.
fn last(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_regular_file_below_the_root_is_written() {
        let root = tempfile::tempdir().expect("dir");
        let outside = tempfile::NamedTempFile::new().expect("file");
        let path = root.path().join("pods/uid/file");
        std::fs::create_dir_all(path.parent().expect("parent")).expect("dirs");
        assert!(
            write(root.path(), &path, "text").is_err(),
            "no file is made"
        );
        std::fs::write(&path, "what was there before").expect("writes");
        write(root.path(), &path, "text").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "text");
        let long = "é".repeat(5000);
        write(root.path(), &path, &long).expect("written");
        assert_eq!(std::fs::metadata(&path).expect("there").len(), 4096);

        symlink(outside.path(), root.path().join("link")).expect("link");
        symlink(root.path().join("pods"), root.path().join("dir")).expect("link");
        for bad in ["link", "dir/uid/file", "../x", "pods/../../x", "pods"] {
            assert!(
                write(root.path(), &root.path().join(bad), "x").is_err(),
                "{bad}"
            );
        }
        assert!(write(root.path(), outside.path(), "x").is_err());
        assert_eq!(outside.as_file().metadata().expect("there").len(), 0);
    }
}
