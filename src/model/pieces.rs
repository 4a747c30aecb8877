//! Byte strings that belong together.

/// Byte strings one after the other in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    bytes: Box<[u8]>,
    /// Where each ends.
    ends: Box<[u32]>,
}

impl Pieces {
    /// Takes as many as `write` is called for: it gets the number of a piece and writes it behind the
    /// others. What they need together must be below 4 GiB, as all that comes in one message is.
    pub fn write(count: usize, mut write: impl FnMut(usize, &mut Vec<u8>)) -> Self {
        let mut bytes = Vec::new();
        let ends = (0..count).map(|number| {
            write(number, &mut bytes);
            u32::try_from(bytes.len()).unwrap_or(u32::MAX)
        });
        let ends = ends.collect();
        Self {
            bytes: bytes.into(),
            ends,
        }
    }

    /// A piece by its number; nothing where there is none.
    pub fn piece(&self, number: usize) -> &[u8] {
        let end = |number: usize| self.ends.get(number).map(|end| *end as usize);
        let begin = match number.checked_sub(1) {
            Some(before) => end(before),
            None => Some(0),
        };
        let range = begin.zip(end(number)).map(|(begin, end)| begin..end);
        range
            .and_then(|range| self.bytes.get(range))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_was_written() {
        let texts = ["one", "", "three"];
        let pieces = Pieces::write(3, |number, to| {
            to.extend_from_slice(texts[number].as_bytes())
        });
        for (number, text) in texts.iter().enumerate() {
            assert_eq!(pieces.piece(number), text.as_bytes());
        }
        assert_eq!(pieces.piece(3), b"");
        assert_eq!(Pieces::default().piece(0), b"");
    }
}
