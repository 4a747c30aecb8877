//! What the SLURM plugin writes into a followed log while the container has none: a note each 4 s,
//! without an end of line (GetLogs.go). It is no part of the log.
//!
//! `HTTP InterLink session ID: Cannot open in follow mode the container logs FILE because it does
//! not exist yet, sleeping before retrying...`

/// What comes before a note, up to the id that we gave the call.
const SESSION: &[u8] = b"HTTP InterLink session ";
const BEGIN: &[u8] = b"Cannot open in follow mode the container logs ";
const END: &[u8] = b"sleeping before retrying...";
/// Longer ones are something else: an id, or a path.
const MAX_SESSION: usize = 256;
const MAX_NOTE: usize = 8 << 10;

/// Takes the notes out of a followed log that comes in pieces.
#[derive(Debug, Default)]
pub struct LogNotes {
    /// What may be the beginning of a note.
    held: Vec<u8>,
}

impl LogNotes {
    /// Passes on what is certainly no note.
    pub fn pass(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(piece);
        while let Some(at) = find(&self.held, BEGIN) {
            let begin = self.begin(at);
            match find(&self.held[at..], END) {
                Some(end) => {
                    out.extend_from_slice(&self.held[..begin]);
                    self.held.drain(..at + end + END.len());
                }
                None if self.held.len() - at < MAX_NOTE => {
                    out.extend(self.held.drain(..begin));
                    return;
                }
                None => out.extend(self.held.drain(..at + BEGIN.len())),
            }
        }
        let sure = self.sure();
        out.extend(self.held.drain(..sure));
    }

    /// Passes on the rest: nothing more comes.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    /// Where the note begins whose text is at `at`.
    fn begin(&self, at: usize) -> usize {
        let from = at.saturating_sub(MAX_SESSION);
        let before = &self.held[from..at];
        let session = find_last(before, SESSION);
        let session = session.filter(|begin| !before[*begin..].contains(&b'\n'));
        session.map_or(at, |begin| from + begin)
    }

    /// How much of what is held cannot be the beginning of a note.
    fn sure(&self) -> usize {
        let length = self.held.len();
        let from = length.saturating_sub(MAX_SESSION);
        let session = find_last(&self.held[from..], SESSION).map(|at| from + at);
        if let Some(at) = session.filter(|at| !self.held[*at..].contains(&b'\n')) {
            return at;
        }
        let longest = length.min(SESSION.len().max(BEGIN.len()) - 1);
        let begins = |count: &usize| {
            let end = &self.held[length - count..];
            SESSION.starts_with(end) || BEGIN.starts_with(end)
        };
        let count = (1..=longest).rev().find(begins).unwrap_or(0);
        length - count
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn find_last(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note() -> Vec<u8> {
        let text = "HTTP InterLink session 7f-1: Cannot open in follow mode the container logs \
                    /data/lab-1/run-a.out because it does not exist yet, sleeping before retrying...";
        text.as_bytes().to_vec()
    }

    fn passed(pieces: &[&[u8]]) -> String {
        let (mut notes, mut out) = (LogNotes::default(), Vec::new());
        for piece in pieces {
            notes.pass(piece, &mut out);
        }
        notes.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn notes_are_taken_out_and_nothing_else() {
        let note = note();
        assert_eq!(
            passed(&[b"head\n", &note, &note, b"first\n"]),
            "head\nfirst\n"
        );
        assert_eq!(passed(&[&note]), "");
        for text in [
            "HTTP InterLink session is a word\n",
            "Cannot open in follow mode the container logs of yesterday",
            "HTTP InterLink session ",
            "H",
            "C",
        ] {
            assert_eq!(passed(&[text.as_bytes()]), text);
        }
        let long = format!(
            "{}{}",
            String::from_utf8_lossy(BEGIN),
            "x".repeat(2 * MAX_NOTE)
        );
        assert_eq!(passed(&[long.as_bytes()]), long);
    }

    #[test]
    fn what_is_no_note_is_not_held_back() {
        let (mut notes, mut out) = (LogNotes::default(), Vec::new());
        notes.pass(b"a line without an end", &mut out);
        assert_eq!(out, b"a line without an end");
        notes.pass(b", HTTP Inter", &mut out);
        assert_eq!(out, b"a line without an end, ");
        notes.pass(b"view\n", &mut out);
        assert_eq!(out, b"a line without an end, HTTP Interview\n");
    }

    proptest! {
        #[test]
        fn where_the_pieces_end_does_not_matter(
            texts in proptest::collection::vec("[a-c \nHC]{0,12}", 1..5),
            size in 1_usize..300,
        ) {
            let whole = texts.join("").into_bytes();
            let mut stream = Vec::new();
            for text in &texts {
                stream.extend_from_slice(text.as_bytes());
                stream.extend(note());
            }
            let pieces: Vec<_> = stream.chunks(size).collect();
            prop_assert_eq!(passed(&pieces).into_bytes(), whole);
        }
    }
}
