//! Ids of the last final receipts whose parts the open epoch no longer holds: a carrier that heard no answer delivers its
//! receipt again, and that must not be taken for one that nobody knows. Bounded; the oldest is forgotten first.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::model::prng::mix;

#[derive(Debug)]
pub(super) struct Answered {
    /// Key and recipient; recipient 0 where an older version did not write it down.
    ring: VecDeque<(u64, u64)>,
    table: HashTable<(u64, u64)>,
    ids_max: usize,
}

impl Answered {
    pub(super) fn new(ids_max: usize) -> Self {
        Self { ring: VecDeque::new(), table: HashTable::new(), ids_max: ids_max.max(1) }
    }

    pub(super) fn insert(&mut self, key: u64, recipient: u64) {
        if self.recipient_of(key).is_some() {
            return;
        }
        if self.ring.len() >= self.ids_max
            && let Some((oldest, _)) = self.ring.pop_front()
            && let Ok(found) = self.table.find_entry(mix(oldest), |known| known.0 == oldest)
        {
            found.remove();
        }
        self.ring.push_back((key, recipient));
        self.table.insert_unique(mix(key), (key, recipient), |known| mix(known.0));
    }

    /// The latest, oldest of them first.
    pub(super) fn latest(&self, ids: usize) -> impl Iterator<Item = (u64, u64)> {
        self.ring.iter().skip(self.ring.len().saturating_sub(ids)).copied()
    }

    /// The recipient of the part whose final receipt came under this key.
    pub(super) fn recipient_of(&self, key: u64) -> Option<u64> {
        self.table.find(mix(key), |known| known.0 == key).map(|known| known.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_first() {
        let mut answered = Answered::new(2);
        for key in [1, 2, 2, 3] {
            answered.insert(key, key * 10);
        }
        assert_eq!([1, 2, 3].map(|key| answered.recipient_of(key)), [None, Some(20), Some(30)]);
        assert_eq!(answered.latest(1).collect::<Vec<_>>(), [(3, 30)]);
        assert_eq!(answered.latest(9).collect::<Vec<_>>(), [(2, 20), (3, 30)]);
    }
}
