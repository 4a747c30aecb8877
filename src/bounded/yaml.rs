//! YAML, whose aliases multiply what is written once.
//!
//! What is made of a text is counted, repetitions included. The reader keeps a list of its own of what has
//! an anchor, so that has a bound as well.

use serde::{
    de::{DeserializeOwned, Error as _},
    Deserialize, Deserializer,
};
use serde_json::Value;
use serde_saphyr::Options;

use super::{budget::Budget, counted::Counted};

/// What the documents of a text may take together, and each of them.
const MOST: usize = 32 << 20;
/// Elements that the reader keeps because they have an anchor, and the bytes of their texts.
const KEPT_ELEMENTS: usize = 20_000;
const KEPT_BYTES: usize = 8 << 20;

/// Reads all documents of a text. Numbers with a leading zero are octal, as for `kubectl`.
///
/// # Errors
/// It is not YAML, or takes too much memory.
pub fn from_yaml_documents(text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let found: Documents = serde_saphyr::from_str_multiple_with_options(text, options())?;
    match found.bytes > MOST {
        true => Err(too_much()),
        false => Ok(found.kept),
    }
}

/// Reads the only document of a text.
///
/// # Errors
/// It is not YAML, or takes too much memory.
pub fn from_yaml(text: &str) -> Result<Value, serde_saphyr::Error> {
    let document: Document = serde_saphyr::from_str_with_options(text, options())?;
    Ok(document.value)
}

/// Reads the only document of a text into a type, by way of what [`from_yaml`] gives: each type that the reader itself
/// makes is as much code again as all of it here. A document that says nothing is the default.
///
/// # Errors
/// It is not YAML, takes too much memory, or is no such object.
pub fn from_yaml_into<T: DeserializeOwned + Default>(text: &str) -> Result<T, serde_saphyr::Error> {
    match from_yaml(text)? {
        Value::Null => Ok(T::default()),
        value => serde_json::from_value(value).map_err(serde_saphyr::Error::custom),
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        budget: serde_saphyr::budget! {
            max_recorded_anchor_events: KEPT_ELEMENTS,
            max_recorded_anchor_bytes: KEPT_BYTES,
        },
    }
}

fn too_much<E: serde::de::Error>() -> E {
    E::custom(format!("it would take more than {MOST} bytes of memory"))
}

/// One document, and what it takes.
struct Document {
    value: Value,
    bytes: usize,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let budget = Budget::of(MOST);
        let value = Value::deserialize(Counted::new(from, &budget));
        match value {
            Err(_) if budget.is_exhausted() => Err(too_much()),
            other => Ok(Self {
                value: other?,
                bytes: budget.used(),
            }),
        }
    }
}

/// The documents of a text; none is kept after there was too much.
#[derive(Default)]
struct Documents {
    kept: Vec<Value>,
    bytes: usize,
}

impl Extend<Document> for Documents {
    fn extend<I: IntoIterator<Item = Document>>(&mut self, more: I) {
        for document in more {
            self.bytes = self.bytes.saturating_add(document.bytes);
            if self.bytes <= MOST {
                self.kept.push(document.value);
            }
        }
    }
}
