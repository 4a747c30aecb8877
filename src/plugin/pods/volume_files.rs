//! Writes the volumes of a new pod.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{
    request::PodRequest,
    root_dir::{make_private_dir, PodDir},
    volumes::{PodVolume, VolumeFile, VolumeSource},
};
use crate::{disk::Disk, plugin::refusal::Refusal};

/// Writes a volume into the directory of a new pod.
///
/// # Errors
/// Something cannot be written.
pub(crate) fn write_volume(volume: &PodVolume, new: &PodDir) -> Result<(), Refusal> {
    let dir = new.volume(&volume.name);
    match &volume.source {
        // Provided before: see `provide_host_paths`.
        VolumeSource::HostPath { .. } => Ok(()),
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

/// Meets what the pod wants of its host paths. They may lie on a file system that hangs, so that nothing is
/// held meanwhile that other pods need, and no longer than the deadline.
pub(crate) fn provide_host_paths(request: &PodRequest, disk: &Disk) -> Result<(), Refusal> {
    for volume in &request.volumes {
        let VolumeSource::HostPath { path, kind } = &volume.source else {
            continue;
        };
        let (place, wanted) = (path.clone(), kind.clone());
        let provided = disk.call(&request.uid, path, move || {
            provide_host_path(&place, &wanted)
        });
        let name = &volume.name;
        provided
            .map_err(|hung| Refusal::Unavailable(format!("volume `{name}`: {hung}")))?
            .map_err(|why| {
                Refusal::invalid(format!("volume `{name}`: {}: {why}", path.display()))
            })?;
    }
    Ok(())
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
