//! Values that many records have in common, kept once.
//!
//! The pods of a job array differ in little: names of images, of containers and of namespaces come again
//! and again, and so do whole maps of annotations.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher as _},
    ops::Deref,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::StringMap;

/// How many values of a kind are remembered, so that the next one that is the same can share them.
const REMEMBERED: usize = 512;
/// A longer text is not remembered: until its place is taken, it may outlive all who have it.
const MAX_REMEMBERED_BYTES: usize = 512;

/// A value that never changes, and that others may have, too.
pub struct Shared<T: ?Sized>(Arc<T>);

/// The values that were made last, each at the place that its hash gives it. They are not kept alive.
pub struct Latest<T: ?Sized>(Mutex<Vec<Option<Weak<T>>>>);

impl<T: ?Sized + Hash + Eq> Latest<T> {
    /// None yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The value that is the same, if it was made lately and somebody has it still, or else this one.
    fn or_latest(&self, value: Arc<T>) -> Arc<T> {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let mut places = self.0.lock();
        if places.is_empty() {
            places.resize_with(REMEMBERED, || None);
        }
        // No more than `REMEMBERED`.
        let index = (hasher.finish() % REMEMBERED as u64) as usize;
        let Some(place) = places.get_mut(index) else {
            return value;
        };
        let latest = place.as_ref().and_then(Weak::upgrade);
        if let Some(same) = latest.filter(|latest| *latest == value) {
            return same;
        }
        *place = Some(Arc::downgrade(&value));
        value
    }
}

impl Shared<str> {
    /// Borrowed as what most functions take.
    pub fn as_str(&self) -> &str {
        self
    }
}

impl From<&str> for Shared<str> {
    fn from(text: &str) -> Self {
        static LATEST: Latest<str> = Latest::new();
        let text: Arc<str> = text.into();
        Self(match text.len() {
            0..=MAX_REMEMBERED_BYTES => LATEST.or_latest(text),
            _ => text,
        })
    }
}

impl From<String> for Shared<str> {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Shared<str> {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// A type of which records can share values.
pub trait Common: Hash + Eq + Sized + 'static {
    /// The values that were made last.
    fn latest() -> &'static Latest<Self>;
}

impl Common for StringMap {
    fn latest() -> &'static Latest<Self> {
        static LATEST: Latest<StringMap> = Latest::new();
        &LATEST
    }
}

impl<T: Common> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(T::latest().or_latest(Arc::new(value)))
    }
}

impl<T: Common + Default> Default for Shared<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<'de, T: Common + Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(from).map(Self::from)
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Shared<StringMap> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        pairs.into_iter().collect::<StringMap>().into()
    }
}

impl Default for Shared<str> {
    fn default() -> Self {
        "".into()
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<T: ?Sized + Eq> Eq for Shared<T> {}

impl<T: ?Sized + Eq + Hash> Hash for Shared<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq<str> for Shared<str> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Shared<str> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for Shared<str> {
    fn eq(&self, other: &String) -> bool {
        **self == **other
    }
}

impl AsRef<str> for Shared<str> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Shared<str> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_kept_once_for_as_long_as_somebody_has_it() {
        let one = Shared::from("sha256:a value of this test alone");
        let other = Shared::from("sha256:a value of this test alone".to_owned());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_eq!(one, "sha256:a value of this test alone");
        let maps =
            ["1", "1", "2"].map(|value| Shared::from(StringMap::from([("only here", value)])));
        assert!(Arc::ptr_eq(&maps[0].0, &maps[1].0));
        assert_ne!(maps[0], maps[2]);
        let weak = Arc::downgrade(&one.0);
        drop((one, other));
        assert!(weak.upgrade().is_none(), "nobody has it any more");
    }

    #[test]
    fn a_long_text_is_not_remembered() {
        let long = "x".repeat(MAX_REMEMBERED_BYTES + 1);
        let [one, other] = [Shared::from(&long), Shared::from(&long)];
        assert!(!Arc::ptr_eq(&one.0, &other.0));
        assert_eq!(one, other);
    }

    #[test]
    fn it_is_written_and_read_as_what_it_is() {
        let text = Shared::<str>::from("ä\"");
        let written = serde_json::to_string(&text).expect("writes");
        assert_eq!(written, r#""ä\"""#);
        assert_eq!(
            serde_json::from_str::<Shared<str>>(&written).expect("reads"),
            text
        );
        let map: Shared<StringMap> = [("a", "1")].into_iter().collect();
        let written = serde_json::to_string(&map).expect("writes");
        assert_eq!(written, r#"{"a":"1"}"#);
        assert_eq!(
            serde_json::from_str::<Shared<StringMap>>(&written).expect("reads"),
            map
        );
    }
}
