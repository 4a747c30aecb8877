//! The file with the site's users.

use std::{
    fmt,
    fs::Metadata,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use crate::{
    config::identity::{self, Identity},
    convert::identity::Mapping,
    net::{Error, Reread, Words},
};

/// The largest file: some ten thousand entries.
const MAX_BYTES: u64 = 4 << 20;

/// The file with the site's users, and the mapping that it makes with the configuration.
pub struct UsersFile {
    file: Reread<Arc<Mapping>>,
    settings: Identity,
}

impl UsersFile {
    /// The file of `identity.users_file`. Nothing is read yet.
    pub fn new(path: &Path, settings: &Identity) -> Self {
        let words = Words {
            held: "the mapping that it held",
            then: "pods are refused, and jobs wait, until there is a good file again",
        };
        Self {
            file: Reread::new("identity.users_file", path, MAX_BYTES, words),
            settings: settings.clone(),
        }
    }

    /// The mapping as it is now; one stat when nothing has changed.
    ///
    /// # Errors
    /// The file has been of no use for a while, or since the beginning.
    pub fn mapping(&self) -> Result<Arc<Mapping>, Error> {
        self.file.get(|text, meta| {
            check_rights(meta, rustix::process::geteuid().as_raw())?;
            parse(text, &self.settings).map(Arc::new)
        })
    }
}

impl fmt::Debug for UsersFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.file.path();
        f.debug_struct("UsersFile")
            .field("path", &path)
            .finish_non_exhaustive()
    }
}

/// Whoever may write the file decides whose jobs are.
fn check_rights(meta: &Metadata, own: u32) -> Result<(), String> {
    if !meta.is_file() {
        return Err("is no file".to_owned());
    }
    if ![0, own].contains(&meta.uid()) {
        let owner = meta.uid();
        return Err(format!(
            "belongs to user {owner}; it must be root's or the daemon's"
        ));
    }
    if meta.permissions().mode() & 0o022 != 0 {
        return Err("others may write it; chmod 644 it".to_owned());
    }
    Ok(())
}

fn parse(text: &[u8], settings: &Identity) -> Result<Mapping, String> {
    if text.len() as u64 > MAX_BYTES {
        return Err("has more than 4 MiB".to_owned());
    }
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned())?;
    let file: identity::UsersFile = toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map(|span| text[..span.start].matches('\n').count() + 1);
        match line {
            Some(line) => format!("line {line}: {}", error.message()),
            None => error.message().to_owned(),
        }
    })?;
    Mapping::new(settings, &file.users)
}
