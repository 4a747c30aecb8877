//! Maps of strings to strings that take little room.

use std::{collections::BTreeMap, fmt};

use protobuf::{rt::string_size, CodedOutputStream};
use serde::{de::Deserializer, ser::Serializer, Deserialize, Serialize};

use super::ENTRY_BYTES;

/// Labels or annotations, by key, in one piece of memory: a map of its own for each container would take
/// several times as much.
///
/// They lie there as protobuf has them in a `map<string, string>` that is field 1 of a message: the field's tag,
/// the length of the entry, the key as its field 1, the value as its field 2. Other messages take them as they
/// are, but for the tag.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct StringMap(Box<[u8]>);

impl StringMap {
    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries().filter_map(pair)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.iter().find(|(known, _)| *known == key);
        found.map(|(_, value)| value)
    }

    /// The entries as they are encoded, without their tags and lengths.
    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (_tag, behind) = rest.split_first()?;
            rest = behind;
            let length = varint(&mut rest)?;
            let (entry, others) = rest.split_at_checked(length)?;
            rest = others;
            Some(entry)
        })
    }

    /// Writes it behind a message as a field whose number is 1 to 15, so that its tag is one byte.
    pub fn write_as(&self, field: u8, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&self.0);
        let mut rest = &mut to[start..];
        while let Some((tag, behind)) = rest.split_first_mut() {
            *tag = field << 3 | BYTES;
            let mut after = &*behind;
            let Some(length) = varint(&mut after) else {
                break;
            };
            let next = (behind.len() - after.len()).saturating_add(length);
            rest = behind.get_mut(next..).unwrap_or_default();
        }
    }

    /// What it counts where memory has a budget: as much as within a configuration.
    pub fn weight(&self) -> u64 {
        (self.0.len() + self.entries().count() * ENTRY_BYTES) as u64
    }

    /// A map that can be changed, or that something else asks for.
    pub fn to_map<M: FromIterator<(String, String)>>(&self) -> M {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        self.iter().map(owned).collect()
    }
}

/// The kind of field that has a length, as a tag says it.
const BYTES: u8 = 2;
/// The tag of the entries.
const TAG: u8 = 1 << 3 | BYTES;

/// Key and value of an entry.
fn pair(mut entry: &[u8]) -> Option<(&str, &str)> {
    let key = text(&mut entry)?;
    let value = text(&mut entry)?;
    Some((key, value))
}

/// A string field, taken off the beginning.
fn text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    let (_tag, behind) = from.split_first()?;
    *from = behind;
    let length = varint(from)?;
    let (text, behind) = from.split_at_checked(length)?;
    *from = behind;
    std::str::from_utf8(text).ok()
}

#[inline]
fn varint(from: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, behind) = from.split_first()?;
        *from = behind;
        value |= usize::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for StringMap {
    /// The last value of a key counts.
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let pairs = pairs
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref()));
        let sorted: BTreeMap<&str, &str> = pairs.collect();
        let mut bytes = Vec::new();
        let mut stream = CodedOutputStream::vec(&mut bytes);
        let written = sorted.into_iter().try_for_each(|(key, value)| {
            let length = string_size(1, key) + string_size(2, value);
            stream.write_raw_byte(TAG)?;
            stream.write_raw_varint64(length)?;
            stream.write_string(1, key)?;
            stream.write_string(2, value)
        });
        if let Err(error) = written.and_then(|()| stream.flush()) {
            // A buffer takes what comes.
            unreachable!("strings cannot be encoded: {error}");
        }
        drop(stream);
        Self(bytes.into())
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> From<[(K, V); N]> for StringMap {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl Serialize for StringMap {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for StringMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(from)?;
        Ok(map.into_iter().collect())
    }
}

impl fmt::Debug for StringMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn it_is_the_map_that_it_was_made_of() {
        let long = "ü".repeat(70_000);
        let pairs = [
            ("b", "2"),
            ("", "none"),
            ("a", ""),
            ("long", &long),
            ("b", "3"),
        ];
        let map = StringMap::from(pairs);
        let listed: Vec<_> = map.iter().collect();
        assert_eq!(
            listed,
            [("", "none"), ("a", ""), ("b", "3"), ("long", &*long)]
        );
        assert_eq!((map.get("b"), map.get("c")), (Some("3"), None));
        let owned: HashMap<String, String> = map.to_map();
        assert_eq!(owned.into_iter().collect::<StringMap>(), map);
        let text = serde_json::to_string(&map).expect("writes");
        assert_eq!(
            serde_json::from_str::<StringMap>(&text).expect("reads"),
            map
        );
        assert_eq!(StringMap::default().iter().count(), 0);
    }

    /// A message with a map as this field.
    fn message(map: &StringMap, field: u8) -> Vec<u8> {
        let mut bytes = b"before".to_vec();
        map.write_as(field, &mut bytes);
        bytes.split_off(b"before".len())
    }

    #[test]
    fn it_counts_what_it_would_within_a_message() {
        let map = StringMap::from([("a", "1"), ("long", &"y".repeat(300))]);
        assert_eq!(map.weight(), crate::model::weight(&message(&map, 6)));
        assert_eq!(StringMap::default().weight(), 0);
    }

    #[test]
    fn what_is_no_map_has_no_entries() {
        for bytes in [
            &[10, 5, 0][..],
            &[0xff; 12],
            &[10, 3, 0x0a, 9, b'x'],
            &[10],
            &[0],
        ] {
            let map = StringMap(bytes.into());
            assert_eq!(map.iter().count(), 0, "{bytes:?}");
            assert_eq!(message(&map, 1).len(), bytes.len());
        }
    }
}
