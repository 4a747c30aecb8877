//! Checks of what comes from outside and becomes part of a path: UIDs, names, paths in volumes.

use std::path::{Component, Path, PathBuf};

/// Whether a text is a UUID in the only form that the interLink server takes in a log request
/// (0.6 and 0.7): lower-case, with hyphens.
pub(crate) fn is_pod_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// Whether a text is a DNS label (RFC 1123).
pub(crate) fn is_dns_label(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || *byte == b'-')
}

/// A path that stays below whatever it is joined to; none for any other.
pub(crate) fn relative_path(text: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let is_path = !path.as_os_str().is_empty() && !text.contains('\0');
    is_path.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids() {
        for (text, want) in [
            ("0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10", true),
            ("0F6E1C1A-9a3b-4a53-8c36-2f6f7b1d6a10", false),
            ("0f6e1c1a9a3b4a538c362f6f7b1d6a10", false),
            ("../../../../../../../../../etc/passw", false),
            ("", false),
        ] {
            assert_eq!(is_pod_uid(text), want, "{text}");
        }
    }

    #[test]
    fn labels() {
        for (text, want) in [
            ("a", true),
            ("main-1", true),
            ("-a", false),
            ("a-", false),
            ("a.b", false),
            ("A", false),
            ("..", false),
            ("a/b", false),
            ("", false),
        ] {
            assert_eq!(is_dns_label(text), want, "{text}");
        }
        assert!(is_dns_label(&"x".repeat(63)) && !is_dns_label(&"x".repeat(64)));
    }

    #[test]
    fn paths_that_stay_inside() {
        for (text, want) in [
            ("a", Some("a")),
            ("a/b.txt", Some("a/b.txt")),
            ("./a//b/", Some("a/b")),
            ("..data", Some("..data")),
            ("", None),
            (".", None),
            ("..", None),
            ("a/../b", None),
            ("/a", None),
            ("a\0b", None),
        ] {
            assert_eq!(relative_path(text), want.map(PathBuf::from), "{text:?}");
        }
    }
}
