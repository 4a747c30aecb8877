//! What other machines say, made fit for a log line and a pod's status.

/// Most bytes that are kept of it.
pub(super) const MAX_BYTES: usize = 1024;

/// The server (0.6, 0.7) wraps what a plugin says in this...
const WRAPPED: &str = "HTTP InterLink session ";
/// ...up to here, and escapes the rest for HTML.
const WRAPPED_UNTIL: &str = " Body: ";

/// The plugin's own words in an error's body: printable, one line, at most [`MAX_BYTES`].
pub(super) fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let inner = match text.strip_prefix(WRAPPED) {
        Some(rest) => rest.split_once(WRAPPED_UNTIL).map_or(rest, |(_, it)| it),
        None => return one_line(&text),
    };
    one_line(&unescape(inner))
}

/// Printable, one line, single spaces, at most [`MAX_BYTES`].
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            space = !line.is_empty();
        } else if !is_invisible(c) {
            let need = c.len_utf8() + usize::from(space);
            if line.len() + need + '…'.len_utf8() > MAX_BYTES {
                line.push('…');
                break;
            }
            if space {
                line.push(' ');
            }
            space = false;
            line.push(c);
        }
    }
    line
}

/// Characters that show nothing, or change how their neighbours show.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
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

    #[test]
    fn words_are_short() {
        for c in ['x', 'ä', '語'] {
            let line = one_line(&c.to_string().repeat(5000));
            assert!(line.len() <= MAX_BYTES, "{c}: {}", line.len());
            assert!(line.len() > MAX_BYTES - 8 && line.ends_with('…'), "{c}");
        }
        let exact = "x".repeat(MAX_BYTES - 3);
        assert_eq!(one_line(&exact), exact);
    }
}
