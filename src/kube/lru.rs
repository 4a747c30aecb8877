//! A map with a bound: what was not used for longest makes room.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// At most so many entries.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    bound: usize,
    /// Counts uses.
    now: u64,
    entries: HashMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// Empty; a bound of 0 is 1.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(1),
            now: 0,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
        }
    }

    /// An entry, which counts as a use.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.entries.get_mut(key)?;
        self.by_use.remove(used);
        self.now += 1;
        *used = self.now;
        self.by_use.insert(self.now, key.clone());
        Some(value)
    }

    /// Adds an entry, or replaces it.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        while self.entries.len() >= self.bound {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.entries.remove(&oldest);
        }
        self.now += 1;
        self.by_use.insert(self.now, key.clone());
        self.entries.insert(key, (self.now, value));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some((used, _)) = self.entries.remove(key) {
            self.by_use.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<K: Clone + Eq + Hash, V> Lru<K, V> {
        /// The keys, the one that goes next first.
        pub(in super::super) fn keys(&self) -> Vec<K> {
            assert_eq!(self.entries.len(), self.by_use.len());
            self.by_use.values().cloned().collect()
        }
    }

    #[test]
    fn the_one_not_used_for_longest_goes() {
        let mut lru = Lru::new(3);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            lru.insert(key, value);
        }
        assert_eq!(lru.get(&"a"), Some(&mut 1));
        assert_eq!(lru.keys(), ["b", "c", "a"], "a look is a use");
        lru.insert("d", 4);
        assert_eq!(lru.keys(), ["c", "a", "d"]);
        assert_eq!(lru.get(&"b"), None);
        lru.insert("c", 5);
        assert_eq!(lru.keys(), ["a", "d", "c"], "replaced, and nothing goes");
        assert_eq!(lru.get(&"c"), Some(&mut 5));
        lru.remove(&"d");
        lru.remove(&"d");
        assert_eq!(lru.keys(), ["a", "c"]);
    }

    #[test]
    fn there_is_room_for_one_at_least() {
        let mut lru = Lru::new(0);
        lru.insert(1, ());
        lru.insert(2, ());
        assert_eq!(lru.keys(), [2]);
    }
}
