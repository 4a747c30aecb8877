//! Texts of others, made fit for a log line or an event.

/// Most bytes that are kept of what the API server says.
const MAX_LINE_BYTES: usize = 512;

/// Without control characters, on one line, at most 512 bytes.
pub(super) fn one_line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_LINE_BYTES)
        .collect();
    cut(plain.trim(), MAX_LINE_BYTES).to_owned()
}

/// The beginning of a text: at most so many bytes, and whole characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let table = [
            ("", 0, ""),
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("ää", 4, "ää"),
            ("ää", 3, "ä"),
            ("ää", 1, ""),
            ("a\u{1f600}", 4, "a"),
        ];
        for (text, max, want) in table {
            assert_eq!(cut(text, max), want, "{text} {max}");
        }
    }

    #[test]
    fn lines_are_plain_and_short() {
        assert_eq!(one_line(" a\r\n\u{1b}b\u{85} "), "a   b");
        assert_eq!(one_line(&"語".repeat(900)).len(), 510);
    }
}
