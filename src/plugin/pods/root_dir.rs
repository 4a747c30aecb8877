//! The plugin's root directory: taking it over, and removing what is no longer needed in it.
//!
//! ```text
//! ROOT/lock                    held by the plugin that runs on ROOT
//! ROOT/new/UID/                a pod that is being written; renamed to pods/UID when it is complete
//! ROOT/trash/UID/              a deleted pod, until its files are removed
//! ROOT/pods/UID/pod.json       PodRecord
//!               deletion.json  DeletionRecord, once somebody asked for the deletion
//!               volumes/NAME/  emptyDirs, and the files of ConfigMaps, Secrets...
//!               containers/    the backend's, see `local::container_dir`
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::FlockOperation;

use super::{
    identifiers::is_pod_uid,
    record::{read_record, DeletionRecord, PodRecord},
};
use crate::{owned, plugin::error::Error};

/// How long another process may hold a root directory's lock before it counts as another plugin.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// The plugin's root directory.
#[derive(Clone, Debug)]
pub(crate) struct RootDir(pub(in crate::plugin) PathBuf);

impl RootDir {
    fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn pods(&self) -> PathBuf {
        self.0.join("pods")
    }

    fn new_pods(&self) -> PathBuf {
        self.0.join("new")
    }

    fn trash(&self) -> PathBuf {
        self.0.join("trash")
    }

    /// Where a pod lives from its creation to its deletion.
    pub(crate) fn pod(&self, uid: &str) -> PodDir {
        PodDir(self.pods().join(uid))
    }

    /// Where a pod is written before it is moved to [`RootDir::pod`].
    pub(crate) fn new_pod(&self, uid: &str) -> PodDir {
        PodDir(self.new_pods().join(uid))
    }

    /// Writes a pod's directory with `write` and moves it to its place: after a crash there is all
    /// of it or none. What `write` has written is removed when it fails.
    pub(crate) fn add_pod<T, E: From<io::Error>>(
        &self,
        uid: &str,
        write: impl FnOnce(&PodDir) -> Result<T, E>,
    ) -> Result<(PodDir, T), E> {
        let (new, place) = (self.new_pod(uid), self.pod(uid));
        let added = remove_tree(&new.0)
            .map_err(E::from)
            .and_then(|()| write(&new))
            .and_then(|written| {
                fs::rename(&new.0, &place.0)?;
                Ok(written)
            });
        if added.is_err() {
            if let Err(error) = remove_tree(&new.0) {
                let path = new.0.display();
                log::warn!("cannot remove {path}: {error}; the next start of the plugin will");
            }
        }
        added.map(|written| (place, written))
    }

    /// Moves a pod's directory away. When this has returned, no plugin will find the pod again.
    pub(crate) fn discard_pod(&self, uid: &str) -> io::Result<PathBuf> {
        let discarded = self.trash().join(uid);
        remove_tree(&discarded)?;
        fs::rename(self.pod(uid).0, &discarded)?;
        Ok(discarded)
    }

    /// Removes the files of pods that an earlier plugin deleted.
    pub(crate) fn empty_trash(&self) {
        remove_entries(&self.trash());
    }

    /// Reads the records of all pods. A pod whose record cannot be read stays where it is, for
    /// somebody to look at.
    pub(crate) fn read_pods(&self) -> io::Result<Vec<StoredPod>> {
        let mut pods = Vec::new();
        for entry in fs::read_dir(self.pods())? {
            let name = entry?.file_name();
            let Some(uid) = name.to_str().filter(|name| is_pod_uid(name)) else {
                continue;
            };
            match StoredPod::read(self.pod(uid)) {
                Ok(pod) => pods.push(pod),
                Err(error) => log::error!(
                    "cannot read the record of pod {uid}: {error}; the plugin leaves the pod's \
                     directory alone and does not know the pod"
                ),
            }
        }
        Ok(pods)
    }
}

/// A pod's directory.
#[derive(Clone, Debug)]
pub(crate) struct PodDir(pub(in crate::plugin) PathBuf);

impl PodDir {
    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("pod.json")
    }

    pub(crate) fn deletion(&self) -> PathBuf {
        self.0.join("deletion.json")
    }

    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.0.join("volumes").join(name)
    }

    /// What the backend keeps of a container.
    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.0.join("containers").join(name)
    }
}

/// A pod that an earlier plugin left.
#[derive(Debug)]
pub(crate) struct StoredPod {
    pub(crate) dir: PodDir,
    pub(crate) record: PodRecord,
    pub(crate) deletion: Option<DeletionRecord>,
}

impl StoredPod {
    fn read(dir: PodDir) -> io::Result<Self> {
        let record: PodRecord = read_record(&dir.record())?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no record"))?;
        if record.version != PodRecord::VERSION {
            let text = format!("version {} of the record is unknown", record.version);
            return Err(io::Error::other(text));
        }
        let deletion = read_record(&dir.deletion())?;
        Ok(Self {
            dir,
            record,
            deletion,
        })
    }
}

/// Makes a root directory if there is none, and locks it. It is the caller's for as long as the
/// file is open.
pub(crate) fn take_over(path: &Path) -> Result<(RootDir, File), Error> {
    let failed = |source| Error::Root {
        path: path.to_owned(),
        source,
    };
    make_private_dir(path).map_err(failed)?;
    // Whoever else can write on the way there decides what runs here, and as whom.
    owned::check(path).map_err(failed)?;
    let root = RootDir(path.canonicalize().map_err(failed)?);
    let lock = lock(&root)?;
    for dir in [root.pods(), root.new_pods(), root.trash()] {
        make_private_dir(&dir).map_err(failed)?;
    }
    // Before anybody can write a new pod there. The trash can be more, and can wait.
    remove_entries(&root.new_pods());
    Ok((root, lock))
}

/// Makes a directory that only its owner can use, and those above it that are missing.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes the lock: two plugins on one root directory would fight over its pods. The kernel may take
/// a moment to release the lock of a plugin that was just killed.
fn lock(root: &RootDir) -> Result<File, Error> {
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
                return Err(Error::RootInUse { path });
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Removes everything in a directory.
fn remove_entries(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        if let Err(error) = remove_tree(&entry.path()) {
            let path = entry.path();
            let path = path.display();
            log::warn!("cannot remove {path}: {error}; the next start of the plugin tries again");
        }
    }
}

/// Removes a directory with all that is in it. Containers may leave directories that their own
/// owner cannot enter.
pub(crate) fn remove_tree(dir: &Path) -> io::Result<()> {
    for is_unlocked in [false, true] {
        match fs::remove_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if is_unlocked || error.kind() != io::ErrorKind::PermissionDenied => {
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
