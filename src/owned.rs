//! Whether others can change what is at a path, or put something else in its place.

use std::{
    fs::{symlink_metadata, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{absolute, Path},
};

/// Whether only root and this process's own user can change what is at a path: it and every directory
/// above it, up to the root, belong to them, and nobody else may write there. Links are looked at where
/// they are and where they lead.
///
/// # Errors
/// Others can, with the place and the way out; or it cannot be found out.
pub fn check(path: &Path) -> io::Result<()> {
    check_as(path, true)
}

/// The same for a directory in which something of this process's lies: others may put things into it where
/// they cannot replace those of this process, as in `/tmp`.
///
/// # Errors
/// As [`check`].
pub fn check_way(directory: &Path) -> io::Result<()> {
    check_as(directory, false)
}

fn check_as(path: &Path, is_whole: bool) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    let (as_written, real) = (absolute(path)?, path.canonicalize()?);
    for place in real.ancestors().chain(as_written.ancestors()) {
        let is_itself = is_whole && place == real;
        if let Some(why) = fault(&symlink_metadata(place)?, is_itself, own) {
            let text = format!("{} {why}", place.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    Ok(())
}

/// What is wrong with one place on the way.
fn fault(meta: &Metadata, is_itself: bool, own: u32) -> Option<String> {
    if ![0, own].contains(&meta.uid()) {
        let owner = meta.uid();
        return Some(format!(
            "belongs to user {owner}, who could change it; it must belong to root or user {own}"
        ));
    }
    // Whoever may write into a directory with this bit can still not rename or remove what is another's.
    let is_sticky = meta.is_dir() && meta.mode() & 0o1000 != 0 && !is_itself;
    if meta.is_symlink() || is_sticky {
        return None;
    }
    // The group 0 is root's own.
    let others = match meta.gid() {
        0 => 0o002,
        _ => 0o022,
    };
    (meta.mode() & others != 0)
        .then(|| "can be written by others; take that away with `chmod go-w`".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{chown, symlink, PermissionsExt as _},
        path::PathBuf,
    };

    use super::*;

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A file in a directory, below the system's own one for such things.
    fn file() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let file = dir.path().join("a/file");
        fs::write(&file, "").unwrap();
        with_mode(&file, 0o644);
        (dir, file)
    }

    #[test]
    fn what_others_can_write_is_told() {
        let (dir, file) = file();
        check(&file).unwrap();
        for (what, mode) in [(&file, 0o666), (&dir.path().join("a"), 0o777)] {
            let before = fs::metadata(what).unwrap().permissions();
            with_mode(what, mode);
            let text = check(&file).unwrap_err().to_string();
            assert!(
                text.starts_with(&format!("{} can be written", what.display())),
                "{text}"
            );
            fs::set_permissions(what, before).unwrap();
        }
        with_mode(&dir.path().join("a"), 0o1777);
        check(&file).unwrap();
        assert!(
            check(&dir.path().join("a")).is_err(),
            "others can put things into it"
        );
        check_way(&dir.path().join("a")).unwrap();
        assert!(check(&dir.path().join("none")).is_err());
    }

    #[test]
    fn what_belongs_to_others_is_told() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: only root can give files away");
        }
        let (dir, file) = file();
        chown(&file, None, Some(65534)).unwrap();
        with_mode(&file, 0o664);
        assert!(check(&file).is_err(), "its group may write it");
        with_mode(&file, 0o644);
        check(&file).unwrap();
        let link = dir.path().join("link");
        symlink(&file, &link).unwrap();
        check(&link).unwrap();
        for what in [file.clone(), dir.path().join("a")] {
            chown(&what, Some(65534), None).unwrap();
            let text = check(&link).unwrap_err().to_string();
            assert!(text.contains("belongs to user 65534"), "{text}");
            chown(&what, Some(0), None).unwrap();
        }
        // A link of somebody else's in a directory for all.
        with_mode(dir.path(), 0o1777);
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        assert!(check(&link).is_err());
    }
}
