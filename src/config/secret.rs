//! Passwords stay out of messages, also where one stands in a key that is for something else.

/// A text without what may be a password in it: all that stands between the beginning of a URL and
/// the last `@`, which leaves the scheme and the host.
pub fn without_passwords(text: &str) -> String {
    let scheme = text.find("://").map(|at| at + "://".len());
    // A URL may lack a slash, or its scheme.
    let begin = scheme.or_else(|| text.find(':').map(|at| at + 1));
    match (begin, text.rfind('@')) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}(hidden){}", &text[..begin], &text[end..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_is_hidden() {
        for (text, want) in [
            ("nothing: here", "nothing: here"),
            ("admin@example.org", "admin@example.org"),
            ("https://host:3000/x", "https://host:3000/x"),
            ("a https://me:p@host b", "a https://(hidden)@host b"),
            ("https://me:p@ss,w/'o rd@host", "https://(hidden)@host"),
            ("me:p@host", "me:(hidden)@host"),
            ("https:/me:p@host", "https:(hidden)@host"),
            ("1: x\nhttps://me\np@h\ny", "1: x\nhttps://(hidden)@h\ny"),
        ] {
            assert_eq!(without_passwords(text), want, "{text}");
        }
    }
}
