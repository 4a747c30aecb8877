//! The bearer token: read from a file, and read again when the file changes, because tokens
//! lapse and whoever renews them writes the file. It is never printed.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use ureq::http::HeaderValue;

use super::error::Error;
use crate::tls::{bearer, Stamp, MAX_TOKEN_BYTES};

/// The configuration's key, which errors name.
pub(super) const KEY: &str = "interlink.token_file";

/// A bearer token in a file.
pub(super) struct Token {
    path: PathBuf,
    last: Mutex<Option<(Stamp, HeaderValue)>>,
}

impl Token {
    /// Nothing is read yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            last: Mutex::new(None),
        }
    }

    /// The value of the Authorization header; one stat when nothing has changed.
    ///
    /// # Errors
    /// The file is unreadable, or does not hold one line of printable ASCII. An earlier token is
    /// not used then: it has been taken away.
    pub(super) fn bearer(&self) -> Result<HeaderValue, Error> {
        let mut last = self.last.lock();
        let now = Stamp::read(&self.path).map_err(|e| self.unreadable(e))?;
        match &*last {
            Some((stamp, value)) if *stamp == now => Ok(value.clone()),
            _ => {
                *last = None;
                let (stamp, value) = self.read()?;
                *last = Some((stamp, value.clone()));
                Ok(value)
            }
        }
    }

    /// The stamp is taken from the open file before it is read: what is written meanwhile shows
    /// as a change at the next call.
    fn read(&self) -> Result<(Stamp, HeaderValue), Error> {
        let mut text = Vec::new();
        let stamp = File::open(&self.path)
            .and_then(|file| {
                let stamp = Stamp::of(&file.metadata()?);
                file.take(MAX_TOKEN_BYTES + 1).read_to_end(&mut text)?;
                Ok(stamp)
            })
            .map_err(|e| self.unreadable(e))?;
        let value = bearer(&text).map_err(|why| Error::BadFile {
            key: KEY,
            path: self.path.clone(),
            why: why.to_owned(),
        })?;
        Ok((stamp, value))
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::File {
            key: KEY,
            path: self.path.clone(),
            source,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn only_one_plain_line_is_a_token() {
        let long = "x".repeat(17 << 10);
        let table: [(&str, &str, Option<&str>); 9] = [
            ("plain", "abc.DEF-1_~+/=", Some("Bearer abc.DEF-1_~+/=")),
            ("line end", "abc\n", Some("Bearer abc")),
            ("blanks round it", " \t abc \r\n\n", Some("Bearer abc")),
            ("empty", "", None),
            ("blank", " \n\n", None),
            ("two lines", "abc\ndef", None),
            ("two words", "Bearer abc", None),
            ("not ASCII", "käse", None),
            ("too long", &long, None),
        ];
        let dir = tempfile::tempdir().unwrap();
        for (name, text, want) in table {
            let path = dir.path().join("token");
            fs::write(&path, text).unwrap();
            let got = Token::new(&path).bearer();
            match (got, want) {
                (Ok(got), Some(want)) => assert_eq!(got, want, "{name}"),
                (Err(error), None) => {
                    let shown = format!("{error} {error:?}");
                    assert!(shown.contains("token_file"), "{name}: {shown}");
                    assert!(!shown.contains("abc") && !shown.contains("käse"), "{name}");
                }
                (got, want) => panic!("{name}: {got:?}, want {want:?}"),
            }
        }
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "one").unwrap();
        let token = Token::new(&path);
        assert_eq!(token.bearer().unwrap(), "Bearer one");
        assert_eq!(token.bearer().unwrap(), "Bearer one");

        fs::write(&path, "longer").unwrap();
        assert_eq!(token.bearer().unwrap(), "Bearer longer", "written over");

        let next = dir.path().join("next");
        fs::write(&next, "second").unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(token.bearer().unwrap(), "Bearer second", "renamed over");

        fs::remove_file(&path).unwrap();
        assert!(matches!(token.bearer(), Err(Error::File { .. })), "gone");

        // As the kubelet writes the files of a Secret.
        let data = dir.path().join("data");
        fs::write(&data, "linked").unwrap();
        symlink(&data, &path).unwrap();
        assert_eq!(token.bearer().unwrap(), "Bearer linked", "linked");
    }

    #[test]
    fn a_token_is_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "hush").unwrap();
        let token = Token::new(&path);
        let value = token.bearer().unwrap();
        assert!(!format!("{token:?} {value:?}").contains("hush"));
    }
}
