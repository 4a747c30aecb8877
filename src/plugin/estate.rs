//! The root as a place: taking it over, and removing what is no longer needed in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::FlockOperation;

use super::{pod_dir::Root, Error};

/// How long a root may be held by another before that counts as another plugin.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Makes a root if there is none, and locks it: it is the caller's for as long as the file is
/// open.
pub(super) fn take_over(path: &Path) -> Result<(Root, File), Error> {
    let failed = |source| Error::Root {
        path: path.to_owned(),
        source,
    };
    make_private_dir(path).map_err(failed)?;
    let root = Root(path.canonicalize().map_err(failed)?);
    let lock = lock(&root)?;
    for dir in [root.pods(), root.new_pods(), root.trash()] {
        make_private_dir(&dir).map_err(failed)?;
    }
    // Now, before anybody can lay out another one. The trash can be more, and can wait.
    clear(&root.new_pods());
    Ok((root, lock))
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// One plugin a root: two would fight over its pods. A predecessor that was just killed may take
/// a moment to let go.
fn lock(root: &Root) -> Result<File, Error> {
    let failed = |source| Error::Root {
        path: root.0.clone(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(root.lock())
        .map_err(failed)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let path = root.0.clone();
                return Err(Error::Taken { path });
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Removes everything in a directory.
pub(super) fn clear(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        if let Err(error) = remove_tree(&entry.path()) {
            log::warn!("cannot remove {}: {error}", entry.path().display());
        }
    }
}

/// Removes a directory with all that is in it. Containers may leave directories that their own
/// owner cannot enter.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    for unlocked in [false, true] {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if unlocked || error.kind() != io::ErrorKind::PermissionDenied => {
                return Err(error)
            }
            Err(_) => unlock_tree(dir),
        }
    }
    Ok(())
}

fn unlock_tree(dir: &Path) {
    // Not through links: the directory entry itself says what is a directory.
    if fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock_tree(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn trees_go_with_what_is_locked_in_them_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o500)).unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("precious").exists());
        let mode = fs::metadata(&outside).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o500);
        remove_tree(&tree).unwrap();
        remove_tree(&outside).unwrap();
    }
}
