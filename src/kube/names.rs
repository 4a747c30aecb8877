//! Names that may stand in a URL's path: those that Kubernetes allows, of which none needs to be
//! encoded.

use super::{error::Error, text::one_line};

/// Longest DNS label, and longest DNS subdomain, in bytes (RFC 1123).
const MAX_LABEL: usize = 63;
/// See [`MAX_LABEL`].
pub(super) const MAX_SUBDOMAIN: usize = 253;

/// Lets a namespace's name through: a DNS label.
///
/// # Errors
/// Any other text.
pub(super) fn namespace(name: &str) -> Result<&str, Error> {
    match name.len() <= MAX_LABEL && is_label(name) {
        true => Ok(name),
        false => Err(refused("namespace", name)),
    }
}

/// Lets a pod's or an event's name through: a DNS subdomain. As in Kubernetes, its parts may be
/// longer than a label (`IsDNS1123Subdomain` in k8s.io/apimachinery/pkg/util/validation).
///
/// # Errors
/// Any other text.
pub(super) fn subdomain<'a>(what: &'static str, name: &'a str) -> Result<&'a str, Error> {
    match name.len() <= MAX_SUBDOMAIN && name.split('.').all(is_label) {
        true => Ok(name),
        false => Err(refused(what, name)),
    }
}

fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

fn refused(what: &'static str, name: &str) -> Error {
    let name = one_line(name);
    Error::Name { what, name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_pass() {
        let (label, longer) = ("a".repeat(63), "a".repeat(64));
        let (most, more) = ("a".repeat(253), "a".repeat(254));
        #[rustfmt::skip]
        let table = [
            // text, is a label, is a subdomain
            ("a", true, true),
            ("kube-system", true, true),
            ("0", true, true),
            ("train-7.x-0", false, true),
            (&*label, true, true),
            (&*longer, false, true),
            (&*most, false, true),
            (&*more, false, false),
            ("", false, false),
            (".", false, false),
            ("..", false, false),
            ("a..b", false, false),
            ("a.", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a/b", false, false),
            ("a%2fb", false, false),
            ("a?b", false, false),
            ("a b", false, false),
            ("a\n", false, false),
            ("A", false, false),
            ("ä", false, false),
        ];
        for (text, label, sub) in table {
            assert_eq!(namespace(text).is_ok(), label, "{text:?}");
            assert_eq!(subdomain("pod", text).is_ok(), sub, "{text:?}");
        }
        let error = subdomain("pod", "a/\nb").unwrap_err().to_string();
        assert!(error.starts_with("pod \"a/ b\""), "{error}");
    }
}
