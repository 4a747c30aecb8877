//! Names before they go into a URL's path: only those that Kubernetes allows get there, and none of
//! them needs to be encoded.

use super::error::Error;
use crate::text::{is_dns_label, is_dns_subdomain, one_line};

/// Lets a namespace's name through: a DNS label.
///
/// # Errors
/// Any other text.
pub(super) fn namespace(name: &str) -> Result<&str, Error> {
    match is_dns_label(name) {
        true => Ok(name),
        false => Err(refused("namespace", name)),
    }
}

/// Lets the name of a pod, an event or another object through: a DNS subdomain.
///
/// # Errors
/// Any other text.
pub(super) fn subdomain<'a>(what: &'static str, name: &'a str) -> Result<&'a str, Error> {
    match is_dns_subdomain(name) {
        true => Ok(name),
        false => Err(refused(what, name)),
    }
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
        for (text, is_namespace, is_object) in [
            ("kube-system", true, true),
            ("train-7.x-0", false, true),
            ("..", false, false),
            ("a/b", false, false),
            ("a%2fb", false, false),
        ] {
            assert_eq!(namespace(text).is_ok(), is_namespace, "{text:?}");
            assert_eq!(subdomain("pod", text).is_ok(), is_object, "{text:?}");
        }
        let error = subdomain("pod", "a/\nb").unwrap_err().to_string();
        assert!(error.starts_with("pod \"a/ b\""), "{error}");
    }
}
