//! Some fields of an encoded message, taken over as they are.

use protobuf::{rt::WireType, CodedInputStream, CodedOutputStream};

/// What is taken over of a message.
#[derive(Clone, Copy, Debug)]
pub enum Taken {
    /// A field, by its number; of a list, each element.
    Field(u32),
    /// Of the message in a field, these.
    Within(u32, &'static [Taken]),
}

/// The chosen fields of an encoded message. Behind what cannot be read, nothing is found.
pub fn select(bytes: &[u8], chosen: &[Taken]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut stream = CodedInputStream::from_bytes(bytes);
    let mut begin = 0;
    while let Ok(Some(tag)) = stream.read_raw_tag_or_eof() {
        let behind_tag = position(&stream);
        let kind = WireType::new(tag & 7);
        if kind.is_none_or(|kind| stream.skip_field(kind).is_err()) {
            break;
        }
        let end = position(&stream);
        match chosen.iter().find(|taken| taken.number() == tag >> 3) {
            Some(Taken::Field(_)) => found.extend_from_slice(&bytes[begin..end]),
            Some(Taken::Within(number, inner)) if kind == Some(WireType::LengthDelimited) => {
                let mut content = CodedInputStream::from_bytes(&bytes[behind_tag..end]);
                let inner = content.read_bytes().map(|bytes| select(&bytes, inner));
                append(&mut found, *number, &inner.unwrap_or_default());
            }
            Some(Taken::Within(..)) | None => {}
        }
        begin = end;
    }
    found
}

impl Taken {
    fn number(self) -> u32 {
        match self {
            Self::Field(number) | Self::Within(number, _) => number,
        }
    }
}

/// How much of its bytes a stream has read.
fn position(stream: &CodedInputStream<'_>) -> usize {
    usize::try_from(stream.pos()).unwrap_or(usize::MAX)
}

fn append(to: &mut Vec<u8>, number: u32, message: &[u8]) {
    let mut stream = CodedOutputStream::vec(to);
    let written = stream
        .write_bytes(number, message)
        .and_then(|()| stream.flush());
    if let Err(error) = written {
        // A buffer takes what comes.
        unreachable!("a message cannot be written: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_fields_come_as_they_are_and_in_their_order() {
        // Field 1 a number, 2 bytes, 3 a message of both, 1 again.
        let bytes = [
            0x08, 5, 0x12, 2, b'a', b'b', 0x1a, 5, 0x08, 7, 0x12, 1, b'c', 0x08, 6,
        ];
        let one = select(&bytes, &[Taken::Field(1)]);
        assert_eq!(one, [0x08, 5, 0x08, 6]);
        let inner = select(&bytes, &[Taken::Within(3, &[Taken::Field(2)])]);
        assert_eq!(inner, [0x1a, 3, 0x12, 1, b'c']);
        let all = select(&bytes, &[1, 2, 3].map(Taken::Field));
        assert_eq!(all, bytes);
    }

    #[test]
    fn behind_what_cannot_be_read_nothing_is_found() {
        let chosen = [Taken::Field(1), Taken::Within(3, &[Taken::Field(1)])];
        let rows: [(&[u8], &[u8]); 5] = [
            (&[0x08, 5, 0x12, 9, b'a'], &[0x08, 5]),
            (&[0x08, 5, 0xff], &[0x08, 5]),
            (&[0x08], &[]),
            // Not a message: a number.
            (&[0x18, 5, 0x08, 1], &[0x08, 1]),
            // A message that is cut short within.
            (&[0x1a, 3, 0x08, 1, 0x08], &[0x1a, 2, 0x08, 1]),
        ];
        for (bytes, want) in rows {
            assert_eq!(select(bytes, &chosen), want, "{bytes:?}");
        }
    }
}
