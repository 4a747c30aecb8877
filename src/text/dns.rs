//! Names of DNS, which are the names of Kubernetes. None of them needs to be encoded in a URL or
//! can lead out of a directory.

/// Longest DNS label in bytes (RFC 1123).
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain in bytes (RFC 1123).
pub const SUBDOMAIN_MAX: usize = 253;

/// Whether a text is a DNS label: a namespace, a container, a volume.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= LABEL_MAX && is_part(text)
}

/// Whether a text is a DNS subdomain: a pod, a ConfigMap, an event.
pub fn is_dns_subdomain(text: &str) -> bool {
    // The parts may be longer than a label: Kubernetes' check is a pattern without lengths, and the
    // length of the whole (`IsDNS1123Subdomain` in k8s.io/apimachinery/pkg/util/validation).
    text.len() <= SUBDOMAIN_MAX && text.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
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
            assert_eq!(is_dns_label(text), label, "{text:?}");
            assert_eq!(is_dns_subdomain(text), sub, "{text:?}");
        }
    }
}
