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

/// Whether a text names an extended resource: `nvidia.com/gpu`, and nothing that is Kubernetes' own
/// (`IsExtendedResourceName` in k8s.io/kubernetes/pkg/apis/core/v1/helper).
pub fn is_extended_resource(text: &str) -> bool {
    let Some((domain, name)) = text.split_once('/') else {
        return false;
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    is_dns_subdomain(domain)
        && !domain.contains("kubernetes.io")
        // One that begins like this could not be limited by a quota, `requests.NAME`.
        && !text.starts_with("requests.")
        && bytes.len() <= LABEL_MAX
        && bytes.iter().all(|byte| fits(*byte))
        && is_end(bytes.first())
        && is_end(bytes.last())
}

fn is_part(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_resources() {
        for (text, want) in [
            ("nvidia.com/gpu", true),
            ("a/B_c.d-1", true),
            ("interlink.eu/cpu", true),
            ("cpu", false),
            ("kubernetes.io/x", false),
            ("a.kubernetes.io/x", false),
            ("requests.a/x", false),
            ("a/", false),
            ("/a", false),
            ("a/b/c", false),
            ("a/-b", false),
            ("a/b c", false),
        ] {
            assert_eq!(is_extended_resource(text), want, "{text}");
        }
    }

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
