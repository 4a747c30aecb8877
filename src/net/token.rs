//! Bearer tokens in files: read again when the file changes, because tokens lapse and whoever renews
//! them writes the file. They are checked before they go into a header, and never printed.

use std::{fmt, fs::Metadata, path::Path, time::Instant};

use ureq::http::HeaderValue;

use super::{
    reread::{Reread, Words},
    Error,
};

/// Longest token in bytes: proxies refuse request heads of more than 8 to 16 KiB.
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// A bearer token in a file.
pub struct TokenFile(Reread<HeaderValue>);

impl TokenFile {
    /// The file that `key` names. Nothing is read yet.
    pub fn new(key: &'static str, path: &Path) -> Self {
        let words = Words {
            held: "the token that it held",
            then: "calls fail until there is a token again",
        };
        Self(Reread::new(key, path, MAX_TOKEN_BYTES, words))
    }

    /// The value of the Authorization header; one stat when nothing has changed.
    ///
    /// # Errors
    /// The file is unreadable, or does not hold one line of printable ASCII, and has been so for
    /// [`GRACE`](super::GRACE), or since the beginning. Until then the token that was read last is given.
    pub fn bearer(&self) -> Result<HeaderValue, Error> {
        self.bearer_at(Instant::now())
    }

    fn bearer_at(&self, now: Instant) -> Result<HeaderValue, Error> {
        let parse = |text: &[u8], _: &Metadata| bearer(text).map_err(str::to_owned);
        self.0.get_at(now, parse)
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile")
            .field("path", &self.0.path())
            .finish_non_exhaustive()
    }
}

/// The value of the Authorization header for a text that holds a token. It is marked as sensitive:
/// its `Debug` does not show it.
///
/// # Errors
/// Not one line of printable ASCII; what is wrong with it, never a part of it.
pub fn bearer(text: &[u8]) -> Result<HeaderValue, &'static str> {
    let token = check(text)?;
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat())
        // `check` lets nothing through that a header cannot hold.
        .map_err(|_| "characters that a header cannot hold")?;
    value.set_sensitive(true);
    Ok(value)
}

fn check(text: &[u8]) -> Result<&[u8], &'static str> {
    let token = text.trim_ascii();
    if text.len() as u64 > MAX_TOKEN_BYTES {
        Err("longer than 16 KiB: not a token")
    } else if token.is_empty() {
        Err("empty")
    } else if token.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        Err("more than one line: it must hold the token and nothing else")
    } else if !token.iter().all(u8::is_ascii_graphic) {
        Err("blanks or characters that are not ASCII: it must hold the token and nothing else")
    } else {
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, time::Duration};

    use super::*;

    const KEY: &str = "interlink.token_file";

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
            let got = TokenFile::new(KEY, &path).bearer();
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
        let token = TokenFile::new(KEY, &path);
        assert_eq!(token.bearer().unwrap(), "Bearer one");
        assert_eq!(token.bearer().unwrap(), "Bearer one");

        fs::write(&path, "longer").unwrap();
        assert_eq!(token.bearer().unwrap(), "Bearer longer", "written over");

        let next = dir.path().join("next");
        fs::write(&next, "second").unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(token.bearer().unwrap(), "Bearer second", "renamed over");

        fs::remove_file(&path).unwrap();
        assert_eq!(token.bearer().unwrap(), "Bearer second", "gone for now");

        // As the kubelet writes the files of a Secret.
        let data = dir.path().join("data");
        fs::write(&data, "linked").unwrap();
        symlink(&data, &path).unwrap();
        assert_eq!(token.bearer().unwrap(), "Bearer linked", "linked");
    }

    #[test]
    fn a_useless_file_leaves_the_last_token_in_use_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = TokenFile::new(KEY, &path);
        let start = Instant::now();
        let at = |seconds| token.bearer_at(start + Duration::from_secs(seconds));
        assert!(matches!(at(0), Err(Error::Unreadable { .. })), "never read");
        type Spoil = fn(&Path);
        let spoils: [(&str, Spoil); 3] = [
            ("gone", |path| fs::remove_file(path).unwrap()),
            ("empty", |path| fs::write(path, "").unwrap()),
            ("no token", |path| fs::write(path, "two words").unwrap()),
        ];
        for (round, (name, spoil)) in (0..).zip(spoils) {
            let begin = 10_000 * round;
            let text = format!("token-{round}");
            fs::write(&path, &text).unwrap();
            let bearer = format!("Bearer {text}");
            assert_eq!(at(begin).unwrap(), bearer, "{name}");
            spoil(&path);
            for second in [1, 2, 300] {
                assert_eq!(at(begin + second).unwrap(), bearer, "{name}: {second}");
            }
            for second in [301, 302, 303] {
                assert!(at(begin + second).is_err(), "{name}: {second}");
            }
            fs::write(&path, "in-between").unwrap();
            assert_eq!(at(begin + 400).unwrap(), "Bearer in-between", "{name}");
        }
        // The time begins anew with each token that is read.
        fs::remove_file(&path).unwrap();
        assert!(at(50_000).is_ok() && at(50_299).is_ok());
        fs::write(&path, "again").unwrap();
        assert!(at(50_300).is_ok());
        fs::remove_file(&path).unwrap();
        assert!(at(50_301).is_ok() && at(50_600).is_ok() && at(50_601).is_err());
    }

    #[test]
    fn a_token_is_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "hush").unwrap();
        let token = TokenFile::new(KEY, &path);
        let value = token.bearer().unwrap();
        assert!(!format!("{token:?} {value:?}").contains("hush"));
    }
}
