//! A pod's directory below the kubelet's root, written as a kubelet would ([`directory`]): what the
//! daemon finds behind a mount's host path.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{symlink, DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use crate::kubelet::{directory, Files, FilledVolume};

/// The directory; removed when this goes, unless it is kept.
#[derive(Debug)]
pub struct PodDir {
    path: PathBuf,
    /// Leave it where it is.
    pub keep: bool,
}

impl PodDir {
    /// Makes the directory of a pod with these volumes below `kubelet_root`. A pod without files
    /// in them needs none.
    ///
    /// # Errors
    /// What the disk says, and a file whose path leads out of its volume.
    pub fn create(
        kubelet_root: &Path,
        uid: &str,
        volumes: &[FilledVolume],
    ) -> io::Result<Option<Self>> {
        if volumes.iter().all(|volume| volume.files.is_none()) {
            return Ok(None);
        }
        let path = directory::pod(kubelet_root, uid);
        let made = Self { path, keep: false };
        for FilledVolume {
            plugin,
            name,
            files,
        } in volumes
        {
            let volume = directory::volume(kubelet_root, uid, plugin, name);
            private_dir(&volume)?;
            if let Some(files) = files {
                write(&volume, files)?;
            }
        }
        Ok(Some(made))
    }
}

impl Drop for PodDir {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// As the kubelet's atomic writer does (`Write` in `pkg/volume/util/atomic_writer.go`): the files in a directory
/// of their own, `..data` pointing there, and a link to it for each first part of a path.
fn write(volume: &Path, files: &Files) -> io::Result<()> {
    const WRITTEN: &str = "..run-pod";
    private_dir(&volume.join(WRITTEN))?;
    for (path, file) in files {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if path.is_empty() || !Path::new(path).components().all(plain) {
            let text = format!("`{path}` leads out of its volume");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let at = volume.join(WRITTEN).join(path);
        if let Some(parent) = at.parent() {
            private_dir(parent)?;
        }
        let mut open = OpenOptions::new();
        let mut to = open.write(true).create_new(true).mode(0o600).open(&at)?;
        to.write_all(&file.bytes)?;
        to.set_permissions(fs::Permissions::from_mode(file.mode))?;
        let first = path.split('/').next().unwrap_or(path);
        match symlink(format!("..data/{first}"), volume.join(first)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    symlink(WRITTEN, volume.join("..data"))
}
