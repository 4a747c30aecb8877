//! Texts that come from elsewhere: made fit for a log line or a status, cut without splitting a
//! character, and told apart from names (`dns`). Pure.

mod dns;

pub use dns::{is_dns_label, is_dns_subdomain, is_extended_resource, LABEL_MAX, SUBDOMAIN_MAX};

/// Most bytes of a text that are kept where nothing else is said.
pub const LINE_MAX: usize = 1024;
/// Most characters of a name that a message repeats.
const QUOTED_MAX: usize = 200;

/// The text as one line of at most [`LINE_MAX`] bytes.
pub fn one_line(text: &str) -> String {
    one_line_of(text, LINE_MAX)
}

/// The text as one line of at most `max` bytes: single spaces, nothing at its ends, no control
/// characters, none that show nothing or turn their neighbours round. One that was cut ends with
/// an ellipsis.
pub fn one_line_of(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            space = !line.is_empty();
        } else if !is_invisible(c) {
            let need = c.len_utf8() + usize::from(space);
            if line.len() + need + '…'.len_utf8() > max {
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

/// A text of others as a terminal may show it: lines and tabs stay, everything else that a terminal would
/// obey, or that shows nothing, is written out.
pub fn for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || is_invisible(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// A name as a message may repeat it: escaped, so that every character shows, and short.
pub fn quoted(text: &str) -> String {
    let escaped = text.chars().flat_map(char::escape_default);
    escaped.take(QUOTED_MAX).collect()
}

/// The beginning of a text: at most `max` bytes, whole characters.
pub fn beginning(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The end of a text: at most `max` bytes, whole characters.
pub fn end(text: &str, max: usize) -> &str {
    let mut start = text.len().saturating_sub(max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_plain() {
        for (name, text, want) in [
            ("nothing", "", ""),
            ("blank", " \r\n\t ", ""),
            ("trimmed", "  a  b\n\nc\n", "a b c"),
            ("escape codes", "\x1b[31mred\x1b[0m", "[31mred [0m"),
            ("control characters", " a\r\n\u{1b}b\u{85} ", "a b"),
            ("turned round", "a\u{202e}b\u{200b}c", "abc"),
        ] {
            assert_eq!(one_line(text), want, "{name}");
        }
    }

    #[test]
    fn lines_are_short() {
        for c in ['x', 'ä', '語'] {
            for max in [LINE_MAX, 512] {
                let line = one_line_of(&c.to_string().repeat(5000), max);
                assert!(line.len() <= max, "{c}: {}", line.len());
                assert!(line.len() > max - 8 && line.ends_with('…'), "{c}");
            }
        }
        let exact = "x".repeat(LINE_MAX - 3);
        assert_eq!(one_line(&exact), exact);
    }

    #[test]
    fn a_terminal_obeys_nothing() {
        for (text, want) in [
            ("plain ü 語\tx\n", "plain ü 語\tx\n"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\x1b[2J\r", "\\u{1b}[2J\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(for_terminal(text), want);
        }
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a/\n\u{202e}"), "a/\\n\\u{202e}");
        assert_eq!(quoted(&"x".repeat(500)).len(), 200);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, max, first, last) in [
            ("", 0, "", ""),
            ("abc", 3, "abc", "abc"),
            ("abc", 2, "ab", "bc"),
            ("ää", 4, "ää", "ää"),
            ("ää", 3, "ä", "ä"),
            ("ää", 1, "", ""),
            ("a\u{1f600}", 4, "a", "\u{1f600}"),
            ("\u{1f600}a", 4, "\u{1f600}", "a"),
        ] {
            assert_eq!(beginning(text, max), first, "{text} {max}");
            assert_eq!(end(text, max), last, "{text} {max}");
        }
    }
}
