//! Messages written straight from records. Lists of everything are asked for several times a second, so no
//! message is built first of what is written anyway.

use protobuf::Message;

use crate::model::StringMap;

/// Writes the fields of a message behind what is in a buffer. What has its default value is left out, as
/// protobuf 3 has it.
pub struct Fields<'a>(&'a mut Vec<u8>);

/// Kinds of fields on the wire.
const VARINT: u8 = 0;
const BYTES: u8 = 2;

impl<'a> Fields<'a> {
    /// Writes into this buffer.
    pub fn of(buffer: &'a mut Vec<u8>) -> Self {
        Self(buffer)
    }

    /// A `string`.
    #[inline]
    pub fn text(&mut self, field: u8, value: &str) {
        if !value.is_empty() {
            self.tag(field, BYTES);
            self.varint(value.len() as u64);
            self.0.extend_from_slice(value.as_bytes());
        }
    }

    /// Fields that are written already.
    pub fn append(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// A `uint32`, a `bool` or an `enum`.
    pub fn number(&mut self, field: u8, value: u32) {
        self.varint_field(field, value.into());
    }

    /// An `int64`.
    pub fn int64(&mut self, field: u8, value: i64) {
        self.varint_field(field, value as u64);
    }

    /// A `map<string, string>`, as a field whose number is at most 15.
    #[inline]
    pub fn map(&mut self, field: u8, map: &StringMap) {
        map.write_as(field, self.0);
    }

    /// A message that there is already, or one of a repeated field.
    pub fn encoded(&mut self, field: u8, message: &impl Message) {
        self.long_message(field, |fields| {
            // It fails for more than two gigabytes only, before it writes any.
            let _ = message.write_to_vec(fields.0);
        });
    }

    /// A message, or one of a repeated field; also one without fields.
    #[inline]
    pub fn message(&mut self, field: u8, write: impl FnOnce(&mut Fields<'_>)) {
        self.message_of(1, field, write);
    }

    /// The same where it mostly has some hundred bytes.
    #[inline]
    pub fn long_message(&mut self, field: u8, write: impl FnOnce(&mut Fields<'_>)) {
        self.message_of(2, field, write);
    }

    /// The length stands first, and is known last: there is room for so many digits of it, and what was
    /// written is moved where it has others.
    #[inline]
    fn message_of(&mut self, digits: usize, field: u8, write: impl FnOnce(&mut Fields<'_>)) {
        self.tag(field, BYTES);
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 2][..digits]);
        write(&mut Fields(self.0));
        let length = self.0.len() - at - digits;
        match (digits, length) {
            (1, 0..0x80) => self.0[at] = length as u8,
            (2, 0x80..0x4000) => {
                self.0[at] = length as u8 | 0x80;
                self.0[at + 1] = (length >> 7) as u8;
            }
            _ => self.move_behind_length(at, digits, length),
        }
    }

    #[cold]
    fn move_behind_length(&mut self, at: usize, digits: usize, length: usize) {
        let mut first = Vec::new();
        Fields(&mut first).varint(length as u64);
        self.0.splice(at..at + digits, first);
    }

    fn varint_field(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.tag(field, VARINT);
            self.varint(value);
        }
    }

    #[inline]
    fn tag(&mut self, field: u8, kind: u8) {
        match field {
            // The four bits that one byte has for it.
            0..16 => self.0.push(field << 3 | kind),
            _ => self.varint(u64::from(field) << 3 | u64::from(kind)),
        }
    }

    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use protobuf::Message as _;

    use super::*;
    use crate::proto::{PodSandbox, PodSandboxMetadata};

    #[test]
    fn maps_are_any_field() {
        let long = "y".repeat(70_000);
        let labels = StringMap::from([("a", "1"), ("", ""), ("long", &long), ("z", "")]);
        let annotations = StringMap::from([("b", "2")]);
        let mut bytes = Vec::new();
        let mut fields = Fields::of(&mut bytes);
        fields.text(1, "id");
        fields.map(5, &labels);
        fields.map(6, &annotations);
        fields.map(5, &StringMap::default());
        let want = PodSandbox {
            id: "id".into(),
            labels: labels.to_map(),
            annotations: annotations.to_map(),
            ..Default::default()
        };
        assert_eq!(
            PodSandbox::parse_from_bytes(&bytes).expect("a message"),
            want
        );
    }

    /// Lengths of one digit, two and three, whatever was thought of them.
    #[test]
    fn messages_of_any_length_stand_behind_it() {
        for length in [0, 1, 125, 126, 127, 128, 129, 16_380, 16_384, 40_000] {
            let name = "y".repeat(length);
            let write = |fields: &mut Fields<'_>| fields.text(1, &name);
            let mut written = [Vec::new(), Vec::new()];
            let [short, long] = &mut written;
            Fields::of(short).message(2, write);
            Fields::of(long).long_message(2, write);
            let want = PodSandbox {
                metadata: protobuf::MessageField::some(PodSandboxMetadata {
                    name: name.clone(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let want = want.write_to_bytes().expect("a message");
            assert_eq!(written, [want.clone(), want], "{length}");
        }
    }
}
