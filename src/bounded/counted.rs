//! A reader (`serde`'s `Deserializer`) that counts what is made of what it reads.
//!
//! | what is made | is counted as | because |
//! |---|---|---|
//! | an element of a list | three times the size of its type, four times that of the first one | a list begins with room for four, grows to twice its room, and has both for a moment |
//! | an entry of a map | three times the sizes of key and value, twelve times those of the first one | a node of a map has room for eleven, and at least five of them are used |
//! | a text | its bytes | |
//! | a number where a text may be made of it | as many bytes as it can have digits | amounts are numbers or texts |
//! | a field of an object | nothing | it lies within the object |
//! | what nobody wants | nothing | it is not kept |
//!
//! Of an enumeration the variant's own contents are not counted: none that is read so has any.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use super::budget::Budget;

/// The digits of the longest number with a fraction: 1.8e308, 5e-324.
const FLOAT_BYTES: usize = 344;
/// Those of the longest whole number of 64 bits, with its sign.
const WHOLE_BYTES: usize = 20;
/// A larger element is not made room for four times at first (`RawVec::MIN_NON_ZERO_CAP`).
const LARGE_ELEMENT: usize = 1024;

/// A reader that counts, or one of its parts.
pub struct Counted<'b, T> {
    inner: T,
    budget: &'b Budget,
}

impl<'b, T> Counted<'b, T> {
    /// Counts what is made of what `inner` reads.
    pub fn new(inner: T, budget: &'b Budget) -> Self {
        Self { inner, budget }
    }
}

fn take<E: serde::de::Error>(budget: &Budget, bytes: usize) -> Result<(), E> {
    match budget.take(bytes) {
        true => Ok(()),
        false => Err(E::custom("too much memory")),
    }
}

/// Where a value lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// Within the object whose field it is.
    Within,
    /// In memory of its own.
    Apart,
}

/// What takes the values.
struct Taker<'b, V> {
    visitor: V,
    budget: &'b Budget,
    entries: Lies,
}

impl<'b, V> Taker<'b, V> {
    fn new(visitor: V, budget: &'b Budget, entries: Lies) -> Self {
        Self {
            visitor,
            budget,
            entries,
        }
    }
}

macro_rules! forwarded {
    ($($method:ident: $entries:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(Taker::new(visitor, self.budget, Lies::$entries))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Counted<'_, D> {
    type Error = D::Error;

    forwarded! {
        deserialize_any: Apart, deserialize_bool: Apart, deserialize_char: Apart,
        deserialize_i8: Apart, deserialize_i16: Apart, deserialize_i32: Apart,
        deserialize_i64: Apart, deserialize_i128: Apart, deserialize_u8: Apart,
        deserialize_u16: Apart, deserialize_u32: Apart, deserialize_u64: Apart,
        deserialize_u128: Apart, deserialize_f32: Apart, deserialize_f64: Apart,
        deserialize_str: Apart, deserialize_string: Apart, deserialize_bytes: Apart,
        deserialize_byte_buf: Apart, deserialize_option: Apart, deserialize_unit: Apart,
        deserialize_seq: Apart, deserialize_map: Apart,
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let taker = Taker::new(visitor, self.budget, Lies::Apart);
        self.inner.deserialize_newtype_struct(name, taker)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let taker = Taker::new(visitor, self.budget, Lies::Within);
        self.inner.deserialize_tuple(len, taker)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let taker = Taker::new(visitor, self.budget, Lies::Within);
        self.inner.deserialize_tuple_struct(name, len, taker)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let taker = Taker::new(visitor, self.budget, Lies::Within);
        self.inner.deserialize_struct(name, fields, taker)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let budget = self.budget;
        self.inner
            .deserialize_identifier(FieldName { visitor, budget })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! counted {
    ($($method:ident($kind:ty): $bytes:expr),* $(,)?) => {
        $(fn $method<E: serde::de::Error>(self, value: $kind) -> Result<V::Value, E> {
            take(self.budget, $bytes)?;
            self.visitor.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Taker<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    counted! {
        visit_bool(bool): 0, visit_char(char): 0,
        visit_i8(i8): WHOLE_BYTES, visit_i16(i16): WHOLE_BYTES, visit_i32(i32): WHOLE_BYTES,
        visit_i64(i64): WHOLE_BYTES, visit_i128(i128): 2 * WHOLE_BYTES,
        visit_u8(u8): WHOLE_BYTES, visit_u16(u16): WHOLE_BYTES, visit_u32(u32): WHOLE_BYTES,
        visit_u64(u64): WHOLE_BYTES, visit_u128(u128): 2 * WHOLE_BYTES,
        visit_f32(f32): FLOAT_BYTES, visit_f64(f64): FLOAT_BYTES,
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<V::Value, E> {
        take(self.budget, text.len())?;
        self.visitor.visit_str(text)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<V::Value, E> {
        take(self.budget, text.len())?;
        self.visitor.visit_borrowed_str(text)
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<V::Value, E> {
        take(self.budget, text.len())?;
        self.visitor.visit_string(text)
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<V::Value, E> {
        take(self.budget, bytes.len())?;
        self.visitor.visit_bytes(bytes)
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<V::Value, E> {
        take(self.budget, bytes.len())?;
        self.visitor.visit_borrowed_bytes(bytes)
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<V::Value, E> {
        take(self.budget, bytes.len())?;
        self.visitor.visit_byte_buf(bytes)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Counted::new(inner, self.budget))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor
            .visit_newtype_struct(Counted::new(inner, self.budget))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let parts = Parts::new(inner, &self);
        self.visitor.visit_seq(parts)
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let parts = Parts::new(inner, &self);
        self.visitor.visit_map(parts)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(inner)
    }
}

/// The elements of a list, or the entries of a map or an object.
struct Parts<'b, A> {
    inner: A,
    budget: &'b Budget,
    entries: Lies,
    is_first: bool,
}

impl<'b, A> Parts<'b, A> {
    fn new<V>(inner: A, taker: &Taker<'b, V>) -> Self {
        Self {
            inner,
            budget: taker.budget,
            entries: taker.entries,
            is_first: true,
        }
    }

    /// The seed of an element or a half of an entry, of which the first one counts `first` times.
    fn seed<S>(&self, seed: S, size: usize, first: usize) -> Seed<'b, S> {
        let times = match (self.entries, self.is_first) {
            (Lies::Within, _) => 0,
            (Lies::Apart, true) => first,
            (Lies::Apart, false) => 3,
        };
        Seed {
            seed,
            bytes: times * size,
            budget: self.budget,
        }
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Parts<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let size = size_of::<S::Value>();
        let first = if size > LARGE_ELEMENT { 3 } else { 4 };
        let seed = self.seed(seed, size, first);
        self.is_first = false;
        self.inner.next_element_seed(seed)
    }

    // No hint of the size: who believes it makes room for elements that never come.
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Parts<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.seed(seed, size_of::<S::Value>(), 12);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.seed(seed, size_of::<S::Value>(), 12);
        self.is_first = false;
        self.inner.next_value_seed(seed)
    }
}

/// Makes one value, and counts where it will lie.
struct Seed<'b, S> {
    seed: S,
    bytes: usize,
    budget: &'b Budget,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        take(self.budget, self.bytes)?;
        self.seed.deserialize(Counted::new(inner, self.budget))
    }
}

/// Takes the name of a field, which is not kept. That of one to be left out is as good as unknown.
struct FieldName<'b, V> {
    visitor: V,
    budget: &'b Budget,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for FieldName<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<V::Value, E> {
        match self.budget.skips(name) {
            true => self.visitor.visit_str(""),
            false => self.visitor.visit_str(name),
        }
    }

    fn visit_bytes<E: serde::de::Error>(self, name: &[u8]) -> Result<V::Value, E> {
        match std::str::from_utf8(name) {
            Ok(name) => self.visit_str(name),
            Err(_) => Err(E::custom("the name of a field is no text")),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<V::Value, E> {
        self.visitor.visit_u64(number)
    }
}
