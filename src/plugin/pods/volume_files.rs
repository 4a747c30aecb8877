//! Writes the volumes of a new pod.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{
    root_dir::{make_private_dir, PodDir},
    volumes::{PodVolume, VolumeFile, VolumeSource},
};
use crate::plugin::refusal::Refusal;

/// Writes a volume into the directory of a new pod, or sees to it that its host path is there.
///
/// # Errors
/// A host path is not of the kind that the pod asks for, or something cannot be written.
pub(crate) fn write_volume(volume: &PodVolume, new: &PodDir) -> Result<(), Refusal> {
    let dir = new.volume(&volume.name);
    match &volume.source {
        VolumeSource::HostPath { path, kind } => provide_host_path(path, kind).map_err(|why| {
            let (name, path) = (&volume.name, path.display());
            Refusal::invalid(format!("volume `{name}`: {path}: {why}"))
        }),
        VolumeSource::EmptyDir => Ok(make_private_dir(&dir)?),
        VolumeSource::Files(files) => {
            make_private_dir(&dir)?;
            for file in files {
                write_file(file, &dir)?;
            }
            Ok(())
        }
    }
}

fn write_file(file: &VolumeFile, dir: &Path) -> io::Result<()> {
    let path = dir.join(&file.path);
    if let Some(parent) = path.parent() {
        make_private_dir(parent)?;
    }
    // Private until it is whole; a mode without `w` would keep its own writer out.
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    to.write_all(&file.bytes)?;
    to.set_permissions(fs::Permissions::from_mode(file.mode))
}

/// Meets a hostPath's `type`.
fn provide_host_path(path: &Path, kind: &str) -> Result<(), String> {
    let meta = fs::metadata(path);
    let is = |right: fn(&fs::Metadata) -> bool| meta.as_ref().is_ok_and(right);
    // As the kubelet does (pkg/volume/hostpath/host_path.go, `checkTypeInternal`); but the kinds
    // that are no files or directories are only looked for.
    let made = match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if meta.is_err() => fs::create_dir_all(path),
        "FileOrCreate" if meta.is_err() => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map(drop),
        "Directory" | "DirectoryOrCreate" if is(fs::Metadata::is_dir) => Ok(()),
        "File" | "FileOrCreate" if is(fs::Metadata::is_file) => Ok(()),
        "Socket" | "CharDevice" | "BlockDevice" if meta.is_ok() => Ok(()),
        _ => return Err(format!("it is not there, or no `{kind}`")),
    };
    made.map_err(|error| error.to_string())
}
