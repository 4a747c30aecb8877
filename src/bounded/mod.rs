//! Texts that another machine wrote, read into types that take many times their bytes, within a bound.
//!
//! A type of the Kubernetes API is large however little is said: `{}` passes for a container, and a
//! container takes more than a kilobyte. So the memory that a reader would take is counted while it reads
//! ([`counted`]), before it is taken, and the reader stops where there would be too much. What it holds
//! then, the text included, is at most four times the text's bytes and [`SPARE_BYTES`]:
//!
//! | what | times the text's bytes |
//! |---|---|
//! | the text itself | 1 |
//! | what is counted: lists, maps and texts, as they grow | 2, and the spare ones |
//! | the scratch space of a text with escapes, while it grows | 1; what is counted then is the rest |
//!
//! The spare bytes are for what is said shortly and means well: a list of a thousand environment variables
//! is counted as a megabyte.

mod budget;
mod counted;
mod in_flight;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod yaml;

use serde::de::DeserializeOwned;

use self::counted::Counted;
pub use self::{
    budget::{Budget, SPARE_BYTES},
    in_flight::{Held, InFlight, NoRoom},
    yaml::{from_yaml, from_yaml_documents, from_yaml_into},
};

/// Why a text was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it says would take too much memory.
    #[error(
        "its {bytes} bytes would take more than {most} bytes of memory: it has too many elements"
    )]
    TooMuch {
        /// The text's.
        bytes: usize,
        /// What was allowed.
        most: usize,
    },
    /// It cannot be read. The error's own text may quote it.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// What was read, and what it takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weighed<T> {
    /// What was read.
    pub object: T,
    /// Bytes of memory, at most.
    pub bytes: usize,
}

/// Reads a body of JSON.
///
/// # Errors
/// It is no such object, or would take too much memory.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let budget = Budget::for_text(body.len());
    Ok(from_json_within(body, &budget)?.object)
}

/// Reads a body of JSON, and says what the object takes.
///
/// # Errors
/// It is no such object, or would take more than the budget has.
pub fn from_json_within<T: DeserializeOwned>(
    body: &[u8],
    budget: &Budget,
) -> Result<Weighed<T>, Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = T::deserialize(Counted::new(&mut reader, budget));
    let read = read.and_then(|object| reader.end().map(|()| object));
    match read {
        Ok(object) => Ok(Weighed {
            object,
            bytes: budget.used().saturating_add(size_of::<T>()),
        }),
        Err(_) if budget.is_exhausted() => Err(Error::TooMuch {
            bytes: body.len(),
            most: budget.most(),
        }),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
