//! Messages written straight from records. Lists of everything are asked for several times a second, so no
//! message is built first of what is written anyway.

use crate::model::StringMap;

/// Writes the fields of a message behind what is in a buffer. What has its default value is left out, as
/// protobuf 3 has it.
pub struct Fields<'a>(&'a mut Vec<u8>);

/// Kinds of fields on the wire.
const VARINT: u32 = 0;
const BYTES: u32 = 2;

impl<'a> Fields<'a> {
    /// Writes into this buffer.
    pub fn of(buffer: &'a mut Vec<u8>) -> Self {
        Self(buffer)
    }

    /// A `string`.
    pub fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.tag(field, BYTES);
            self.varint(value.len() as u64);
            self.0.extend_from_slice(value.as_bytes());
        }
    }

    /// A `uint32`, a `bool` or an `enum`.
    pub fn number(&mut self, field: u32, value: u32) {
        self.varint_field(field, value.into());
    }

    /// An `int64`.
    pub fn int64(&mut self, field: u32, value: i64) {
        self.varint_field(field, value as u64);
    }

    /// A `map<string, string>`.
    pub fn map(&mut self, field: u32, map: &StringMap) {
        for entry in map.entries() {
            self.tag(field, BYTES);
            self.0.extend_from_slice(entry);
        }
    }

    /// A message, or one of a repeated field; also one without fields.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Fields<'_>)) {
        self.tag(field, BYTES);
        let start = self.0.len();
        write(&mut Fields(self.0));
        let length = self.0.len() - start;
        self.varint(length as u64);
        // The length is known last, and stands first.
        let digits = self.0.len() - start - length;
        let mut first = [0; 10];
        first[..digits].copy_from_slice(&self.0[start + length..]);
        self.0.copy_within(start..start + length, start + digits);
        self.0[start..start + digits].copy_from_slice(&first[..digits]);
    }

    fn varint_field(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, VARINT);
            self.varint(value);
        }
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
