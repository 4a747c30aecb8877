//! The lines of a CRI log file: `TIME STREAM TAG CONTENT`.

use crate::model::Nanos;

/// Longest content of one line; a longer remote line is split into parts, as containerd does it
/// (`maxContainerLogLineSize`). The kubelet joins them (`parseCRILog` in cri-client/pkg/logs/logs.go).
pub const MAX_CONTENT: usize = 16 << 10;

/// How much is written at once, give or take a line.
const BATCH: usize = 64 << 10;

/// Lines for the file.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// As they are written.
    pub lines: Vec<u8>,
    /// Bytes of content in them.
    pub content: u64,
    /// The bytes of the remote log that they stand for.
    pub source: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Takes the whole lines off the beginning of a text, as many as are written at once; none where there is no
    /// whole line. All of them came at the same time.
    pub fn next(now: Nanos, text: &mut &'a [u8]) -> Option<Self> {
        let (time, mut batch) = (now.rfc3339(), Self::default());
        let mut cutter = Cutter(text);
        for cut in cutter.by_ref() {
            encode(&mut batch.lines, &time, cut.content, cut.is_last_part);
            batch.content += cut.content.len() as u64;
            if batch.lines.len() >= BATCH {
                break;
            }
        }
        batch.source = &text[..text.len() - cutter.0.len()];
        *text = cutter.0;
        (!batch.source.is_empty()).then_some(batch)
    }

    /// A text whose end of line does not come.
    pub fn of_rest(now: Nanos, text: &'a [u8]) -> Self {
        let mut lines = Vec::new();
        encode(&mut lines, &now.rfc3339(), text, true);
        Self {
            lines,
            content: text.len() as u64,
            source: text,
        }
    }
}

/// Adds one line for the file. interLink sends stdout and stderr as one stream.
fn encode(lines: &mut Vec<u8>, time: &str, content: &[u8], is_last_part: bool) {
    let tag: &[u8] = match is_last_part {
        true => b" stdout F ",
        false => b" stdout P ",
    };
    for part in [time.as_bytes(), tag, content, b"\n"] {
        lines.extend_from_slice(part);
    }
}

/// A line that the daemon itself has to say in the file. It is on stderr, where no remote line is, so that
/// it is not taken for one after a restart.
pub fn encode_notice(now: Nanos, content: &str) -> Vec<u8> {
    format!("{} stderr F {content}\n", now.rfc3339()).into_bytes()
}

/// The content of a line of the file, and whether it is the last part of a remote line. Nothing
/// for a line that stands for no remote one.
pub fn decode(line: &[u8]) -> Option<(&[u8], bool)> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    if fields.nth(1)? == b"stderr" {
        return None;
    }
    let (tag, content) = (fields.next()?, fields.next()?);
    match tag {
        b"F" => Some((content, true)),
        b"P" => Some((content, false)),
        _ => None,
    }
}

/// Cuts a text into remote lines and parts of them.
///
/// ```text
///  "ab\ncd"  ->  ("ab", 3 bytes, last part)       and "cd" is left over
/// ```
pub struct Cutter<'a>(pub &'a [u8]);

/// A piece of a remote log that becomes one line of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// Without the time, stream and tag before it, and without a newline.
    pub content: &'a [u8],
    /// The bytes of the remote log that it stands for.
    pub source: &'a [u8],
    /// Whether it ends a remote line.
    pub is_last_part: bool,
}

impl<'a> Iterator for Cutter<'a> {
    type Item = Cut<'a>;

    fn next(&mut self) -> Option<Cut<'a>> {
        let window = &self.0[..self.0.len().min(MAX_CONTENT + 1)];
        let (content, source, is_last_part) = match window.iter().position(|b| *b == b'\n') {
            Some(end) => (&self.0[..end], &self.0[..=end], true),
            None if self.0.len() > MAX_CONTENT => {
                (&self.0[..MAX_CONTENT], &self.0[..MAX_CONTENT], false)
            }
            None => return None,
        };
        self.0 = &self.0[source.len()..];
        Some(Cut {
            content,
            source,
            is_last_part,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back() {
        for content in [
            &b""[..],
            b"text with spaces",
            b"\xff\x00binary",
            b" leading",
        ] {
            for is_last in [true, false] {
                let mut line = Vec::new();
                encode(&mut line, &Nanos(1).rfc3339(), content, is_last);
                let body = line.strip_suffix(b"\n").expect("ends with a newline");
                assert_eq!(decode(body), Some((content, is_last)));
            }
        }
        assert_eq!(decode(b"no log line"), None);
        let notice = encode_notice(Nanos(1), "a notice");
        assert_eq!(decode(notice.trim_ascii_end()), None);
    }

    #[test]
    fn lines_are_written_together_but_for_one_that_is_not_whole() {
        let mut text = &b"one\n\ntwo\nrest"[..];
        let batch = Batch::next(Nanos(1), &mut text).expect("lines");
        let time = Nanos(1).rfc3339();
        let want = format!("{time} stdout F one\n{time} stdout F \n{time} stdout F two\n");
        assert_eq!(String::from_utf8_lossy(&batch.lines), want);
        assert_eq!((batch.content, batch.source.len()), (6, 9));
        let many = b"line\n".repeat(BATCH);
        let mut rest = &many[..];
        let batch = Batch::next(Nanos(1), &mut rest).expect("lines");
        assert!(batch.lines.len() < BATCH + 100 && batch.lines.ends_with(b" line\n"));
        assert!(many[batch.source.len()..].starts_with(b"line\n"));
        assert_eq!(rest.len(), many.len() - batch.source.len());
        assert!(Batch::next(Nanos(1), &mut text).is_none() && text == b"rest");
        let batch = Batch::of_rest(Nanos(1), b"rest");
        assert!(batch.lines.ends_with(b" stdout F rest\n"));
    }

    #[test]
    fn long_lines_come_in_parts() {
        let text = [vec![b'x'; MAX_CONTENT * 2 + 5], b"\ny\nrest".to_vec()].concat();
        let mut cutter = Cutter(&text);
        let cuts: Vec<_> = cutter
            .by_ref()
            .map(|cut| (cut.content.len(), cut.is_last_part))
            .collect();
        assert_eq!(
            cuts,
            [
                (MAX_CONTENT, false),
                (MAX_CONTENT, false),
                (5, true),
                (1, true)
            ]
        );
        assert_eq!(cutter.0, b"rest");
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_part() {
        let text = [vec![b'x'; MAX_CONTENT], b"\n".to_vec()].concat();
        let cuts: Vec<_> = Cutter(&text)
            .map(|cut| (cut.source.len(), cut.is_last_part))
            .collect();
        assert_eq!(cuts, [(MAX_CONTENT + 1, true)]);
    }
}
