//! What a plugin says in the body of an error.

use crate::text::one_line;

// The interLink server (0.6, 0.7) wraps what a plugin says in this, up to there, and escapes the
// rest for HTML.
const WRAPPED: &str = "HTTP InterLink session ";
const WRAPPED_UNTIL: &str = " Body: ";

/// The plugin's own words: printable, one line, at most 1 KiB.
pub(super) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let inner = match text.strip_prefix(WRAPPED) {
        Some(rest) => rest.split_once(WRAPPED_UNTIL).map_or(rest, |(_, it)| it),
        None => return one_line(&text),
    };
    one_line(&unescape(inner))
}

/// Undoes Go's html.EscapeString; `&amp;` comes last, so that nothing is undone twice.
fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_plain() {
        let table: [(&str, &[u8], &str); 8] = [
            ("nothing", b"", ""),
            ("blank", b" \r\n\t ", ""),
            ("trimmed", b"  a  b\n\nc\n", "a b c"),
            ("escape codes", b"\x1b[31mred\x1b[0m", "[31mred [0m"),
            ("not UTF-8", b"a\xffb", "a\u{fffd}b"),
            (
                "turned round",
                "a\u{202e}b\u{200b}c".as_bytes(),
                "abc",
            ),
            (
                "the server's wrapping",
                b"HTTP InterLink session 1-2:  call exit status: 500. Body: sbatch: &#34;x&#34; &amp;lt;\n",
                "sbatch: \"x\" &lt;",
            ),
            ("a plugin's own entities", b"&lt;", "&lt;"),
        ];
        for (name, body, want) in table {
            assert_eq!(words(body), want, "{name}");
        }
    }
}
