//! A directory and files that nobody else may read: they hold the environment of containers.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::Path,
};

use crate::owned;

/// Makes a directory (0700) where there is none, and closes one that there is to others.
///
/// # Errors
/// What the system says, or that the directory, or one above it, is somebody else's.
pub fn private_directory(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    make_private(directory)?;
    owned::check(directory)
}

/// Takes everybody else's rights to a directory that was there before; it holds the environment of
/// containers, secrets included.
fn make_private(directory: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(directory)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        let owner = metadata.uid();
        return Err(io::Error::other(format!(
            "it belongs to user {owner}, who could change it under this daemon; give it to the user \
             that the daemon runs as"
        )));
    }
    if metadata.mode() & 0o077 != 0 {
        let path = directory.display();
        log::warn!("state directory {path} was open to others; its mode is 0700 now");
        std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Opens a file (0600), which is made if it is not there, but follows no link.
///
/// # Errors
/// What the system says.
pub fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}
