//! A hash table in pieces. A table that grows moves everything that it holds: with a million entries that takes tens of
//! milliseconds, in the middle of a turn. Here only one of many small tables grows at a time.

use hashbrown::HashTable;

/// `N` tables, a power of two, that act as one. The caller supplies the hashes, as with [`HashTable`].
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

/// The table for a hash. Uses bits in the middle: a table itself takes the position from the lowest bits and the tag
/// from the highest.
const fn piece<const N: usize>(hash: u64) -> usize {
    (hash >> 40) as usize & (N - 1)
}

impl<T, const N: usize> Pieces<T, N> {
    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.tables.iter().map(HashTable::len).sum()
    }

    /// Whether it holds no entries.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(HashTable::is_empty)
    }

    /// An entry with that hash for which `is_sought` is true.
    pub fn find(&self, hash: u64, is_sought: impl FnMut(&T) -> bool) -> Option<&T> {
        self.tables[piece::<N>(hash)].find(hash, is_sought)
    }

    /// As [`Self::find`], mutable. The caller must not change what the hash depends on.
    pub fn find_mut(&mut self, hash: u64, is_sought: impl FnMut(&T) -> bool) -> Option<&mut T> {
        self.tables[piece::<N>(hash)].find_mut(hash, is_sought)
    }

    /// Adds an entry that is not in the table yet.
    pub fn insert_unique(&mut self, hash: u64, value: T, hash_of: impl Fn(&T) -> u64) {
        self.tables[piece::<N>(hash)].insert_unique(hash, value, hash_of);
    }

    /// Removes an entry with that hash for which `is_sought` is true, and gives it.
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
