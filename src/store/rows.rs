//! The rows of a table as they were read.

/// Keys and values, one after the other in two pieces of memory.
///
/// All of the state is read before records are made of it. As thousands of small pieces, it would leave as many
/// holes, with records among them, that no page comes back from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    keys: String,
    values: Vec<u8>,
    /// Where each key and its value end.
    ends: Vec<(usize, usize)>,
}

impl Rows {
    /// Adds a row.
    pub fn push(&mut self, key: &str, value: &[u8]) {
        self.keys.push_str(key);
        self.values.extend_from_slice(value);
        self.ends.push((self.keys.len(), self.values.len()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The rows, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        let begins = std::iter::once((0, 0)).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|((key, value), ends)| {
            let (key, value) = (key..ends.0, value..ends.1);
            (&self.keys[key], &self.values[value])
        })
    }
}

impl<K: AsRef<str>, V: AsRef<[u8]>> FromIterator<(K, V)> for Rows {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Self {
        let mut all = Self::default();
        for (key, value) in rows {
            all.push(key.as_ref(), value.as_ref());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_as_they_were_put() {
        let rows = [
            ("", &b""[..]),
            ("a", b"1"),
            ("b\u{e9}", b""),
            ("", b"\xff2"),
        ];
        let kept: Rows = rows.into_iter().collect();
        assert_eq!(kept.iter().collect::<Vec<_>>(), rows);
        assert_eq!((kept.len(), Rows::default().iter().count()), (4, 0));
    }
}
