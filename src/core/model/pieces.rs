//! A hash table in pieces. A table that grows moves all that it holds: with a million entries that takes tens of milliseconds,
//! in the middle of a turn. Here one of many small ones grows at a time.

use hashbrown::HashTable;

/// `N` tables, a power of two, as one. Who uses it brings the hashes, as with [`HashTable`].
#[derive(Clone, Debug)]
pub struct Pieces<T, const N: usize> {
    tables: Box<[HashTable<T>]>,
}

impl<T, const N: usize> Default for Pieces<T, N> {
    fn default() -> Self {
        const { assert!(N.is_power_of_two() && N <= 1 << 16) };
        Self { tables: (0..N).map(|_| HashTable::new()).collect() }
    }
}

/// By bits that a table uses least: it takes its place from the lowest and its tag from the highest.
const fn piece<const N: usize>(hash: u64) -> usize {
    (hash >> 40) as usize & (N - 1)
}

impl<T, const N: usize> Pieces<T, N> {
    /// How many it holds.
    pub fn len(&self) -> usize {
        self.tables.iter().map(HashTable::len).sum()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(HashTable::is_empty)
    }

    /// One with that hash.
    pub fn find(&self, hash: u64, is_sought: impl FnMut(&T) -> bool) -> Option<&T> {
        self.tables[piece::<N>(hash)].find(hash, is_sought)
    }

    /// One with that hash, to be changed in what does not count for its hash.
    pub fn find_mut(&mut self, hash: u64, is_sought: impl FnMut(&T) -> bool) -> Option<&mut T> {
        self.tables[piece::<N>(hash)].find_mut(hash, is_sought)
    }

    /// Adds one that is not there.
    pub fn insert_unique(&mut self, hash: u64, value: T, hash_of: impl Fn(&T) -> u64) {
        self.tables[piece::<N>(hash)].insert_unique(hash, value, hash_of);
    }

    /// Takes one with that hash out.
    pub fn remove(&mut self, hash: u64, is_sought: impl FnMut(&T) -> bool) -> Option<T> {
        let found = self.tables[piece::<N>(hash)].find_entry(hash, is_sought).ok()?;
        Some(found.remove().0)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::prng::mix;

    use super::*;

    #[test]
    fn holds_what_one_table_would_and_no_piece_is_large() {
        let mut pieces: Pieces<u64, 64> = Pieces::default();
        for value in 0..100_000 {
            pieces.insert_unique(mix(value), value, |known| mix(*known));
        }
        assert_eq!(pieces.len(), 100_000);
        let largest = pieces.tables.iter().map(HashTable::len).max();
        assert!(largest.is_some_and(|largest| largest < 2_000), "{largest:?} of 1,562 on average");
        for value in (0..100_000).step_by(3) {
            assert_eq!(pieces.remove(mix(value), |known| *known == value), Some(value));
        }
        let found = |value| pieces.find(mix(value), |known| *known == value).copied();
        assert_eq!([3, 4, 99_999, 100_000].map(found), [None, Some(4), None, None]);
        assert!(!pieces.is_empty() && pieces.len() == 66_666);
    }
}
