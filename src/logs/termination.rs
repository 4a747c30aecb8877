//! The termination-log file: what a job said at its end, where the kubelet looks for it.

use std::{
    io::{self, Write as _},
    path::Path,
};

use rustix::fs::OFlags;

use super::Error;
use crate::{confined, text};

// The kubelet reads so much from the file's end (`MaxContainerTerminationMessageLength` in
// k8s.io/kubernetes/pkg/kubelet/container/runtime.go).
const MAX_BYTES: usize = 4096;

/// Writes a message into the file that the kubelet has made, below its root directory. No symlink
/// is followed on the way, and no file is made.
///
/// # Errors
/// A path outside the root, or a file that is not there or not a regular one.
pub fn write(root: &Path, path: &Path, message: &str) -> Result<(), Error> {
    let escapes = || Error::Escapes(text::quoted(&path.to_string_lossy()));
    let failed = |source: io::Error| Error::File {
        path: path.into(),
        source,
    };
    let relative = path.strip_prefix(root).map_err(|_| escapes())?;
    let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
        return Err(escapes());
    };
    if !confined::is_plain(relative) {
        return Err(escapes());
    }
    let mut file = confined::below(root, parent)
        .and_then(|directory| confined::file(directory, name, OFlags::WRONLY))
        .map_err(|error| failed(error.into()))?;
    file.set_len(0)
        .and_then(|()| file.write_all(text::end(message, MAX_BYTES).as_bytes()))
        .map_err(failed)
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
