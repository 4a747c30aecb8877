//! A map with a bound, of entries and of what they weigh: what was not used for longest makes room.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// At most so many entries, which weigh no more than so much together.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    bound: usize,
    most: usize,
    weight: usize,
    /// Counts uses.
    now: u64,
    entries: HashMap<K, Entry<V>>,
    by_use: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Entry<V> {
    used: u64,
    weight: usize,
    value: V,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// Empty; a bound of 0 is 1.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound: bound.max(1),
            most: usize::MAX,
            weight: 0,
            now: 0,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
        }
    }

    /// The same, of entries that weigh no more than this together.
    pub(super) fn weighing(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// An entry, which counts as a use.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used);
        self.now += 1;
        entry.used = self.now;
        self.by_use.insert(self.now, key.clone());
        Some(&mut entry.value)
    }

    /// Adds an entry that weighs nothing, or replaces it.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.insert_weighing(0, key, value);
    }

    /// Adds an entry, or replaces it. One that weighs more than all may is not kept.
    pub(super) fn insert_weighing(&mut self, weight: usize, key: K, value: V) {
        self.remove(&key);
        if weight > self.most {
            return;
        }
        while self.entries.len() >= self.bound || self.weight > self.most - weight {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.weight -= gone.weight;
            }
        }
        self.now += 1;
        self.weight += weight;
        self.by_use.insert(self.now, key.clone());
        let used = self.now;
        let entry = Entry {
            used,
            weight,
            value,
        };
        self.entries.insert(key, entry);
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(gone) = self.entries.remove(key) {
            self.by_use.remove(&gone.used);
            self.weight -= gone.weight;
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
    fn what_weighs_too_much_makes_room_or_is_not_kept() {
        let mut lru = Lru::new(9).weighing(10);
        for (key, weight) in [("a", 4), ("b", 4), ("c", 2)] {
            lru.insert_weighing(weight, key, ());
        }
        assert_eq!(lru.keys(), ["a", "b", "c"]);
        lru.insert_weighing(5, "d", ());
        assert_eq!(lru.keys(), ["c", "d"]);
        lru.insert_weighing(11, "e", ());
        assert_eq!(lru.keys(), ["c", "d"], "nothing goes for it");
        lru.insert_weighing(11, "c", ());
        assert_eq!(lru.keys(), ["d"], "what it was before is outdated");
        lru.insert_weighing(10, "f", ());
        assert_eq!((lru.keys(), lru.weight), (vec!["f"], 10));
    }

    #[test]
    fn there_is_room_for_one_at_least() {
        let mut lru = Lru::new(0);
        lru.insert(1, ());
        lru.insert(2, ());
        assert_eq!(lru.keys(), [2]);
    }
}
