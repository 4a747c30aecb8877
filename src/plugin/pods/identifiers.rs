//! Checks of what comes from outside and becomes part of a path: UIDs, names, paths in volumes.

use std::path::{Component, Path, PathBuf};

use crate::confined;

/// Whether a text is a UUID in the only form that the interLink server takes in a log request
/// (0.6 and 0.7): lower-case, with hyphens.
pub(crate) fn is_pod_uid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// A path that stays below whatever it is joined to; none for any other.
pub(crate) fn relative_path(text: &str) -> Option<PathBuf> {
    // The API server lets `./a` pass in a volume's items and in a subPath, and means `a` by it
    // (`validateLocalDescendingPath` in pkg/apis/core/validation/validation.go).
    let parts = Path::new(text).components();
    let path: PathBuf = parts.filter(|part| *part != Component::CurDir).collect();
    let is_path = !path.as_os_str().is_empty() && !text.contains('\0');
    (is_path && confined::is_plain(&path)).then_some(path)
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
