//! The open epoch of receipts: parts that wait for theirs, in the order in which carriers took them. Bounded: when it is
//! full, the older half is sealed into a sorted run, of which only what is still unanswered is written.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::model::prng::mix;
use crate::store::record::ReceiptNote;

#[derive(Clone, Copy, Debug)]
struct Entry {
    note: ReceiptNote,
    answered: bool,
}

/// Where an entry stands, with half of its key's hash: a table that grows, or finds another key in the same place, does not
/// have to look into the ring, which is far larger than a cache.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: u32,
    half: u32,
}

const fn half(key: u64) -> u32 {
    (mix(key) >> 32) as u32
}

const fn hash(half: u32) -> u64 {
    (half as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A ring of entries and a table of places in it: about 57 bytes an entry.
#[derive(Debug, Default)]
pub(super) struct ReceiptEpoch {
    ring: VecDeque<Entry>,
    /// Entries that left the ring at its front: index + `gone` = number.
    gone: u32,
    table: HashTable<Place>,
    /// Commits whose entries are in the ring, oldest first, with how many of theirs are left.
    commits: VecDeque<(u64, usize)>,
    /// Entries at the ring's end that belong to no commit yet.
    uncommitted: usize,
    /// Keys whose latest entry is not answered.
    unanswered: usize,
}

impl ReceiptEpoch {
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Parts in it whose final receipt is missing.
    pub(super) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Adds a part; a carrier that gives an id again gives it to the new message.
    pub(super) fn insert(&mut self, note: ReceiptNote) {
        let place = Place { number: self.gone.wrapping_add(self.ring.len() as u32), half: half(note.key) };
        let (ring, gone) = (&self.ring, self.gone);
        let at = |place: &Place| ring.get(place.number.wrapping_sub(gone) as usize);
        let is_same =
            |known: &Place| known.half == place.half && at(known).is_some_and(|entry| entry.note.key == note.key);
        match self.table.find_mut(hash(place.half), is_same) {
            Some(known) => {
                self.unanswered += usize::from(at(known).is_some_and(|entry| entry.answered));
                *known = place;
            }
            None => {
                self.unanswered += 1;
                self.table.insert_unique(hash(place.half), place, |known| hash(known.half));
            }
        }
        self.ring.push_back(Entry { note, answered: false });
        self.uncommitted += 1;
    }

    /// What was added since the last call belongs to that commit.
    pub(super) fn committed(&mut self, commit: u64) {
        match std::mem::take(&mut self.uncommitted) {
            0 => {}
            entries => self.commits.push_back((commit, entries)),
        }
    }

    fn position(&self, key: u64) -> Option<usize> {
        let (half, index) = (half(key), |place: &Place| place.number.wrapping_sub(self.gone) as usize);
        let is_same = |place: &Place| {
            place.half == half && self.ring.get(index(place)).is_some_and(|entry| entry.note.key == key)
        };
        self.table.find(hash(half), is_same).map(index)
    }

    /// The part that waits, or waited, under this key; with whether its final receipt came.
    pub(super) fn find(&self, key: u64) -> Option<(ReceiptNote, bool)> {
        self.ring.get(self.position(key)?).map(|entry| (entry.note, entry.answered))
    }

    /// Its final receipt came; false if it does not stand here.
    pub(super) fn answer(&mut self, key: u64) -> bool {
        let Some(entry) = self.position(key).and_then(|at| self.ring.get_mut(at)) else { return false };
        self.unanswered -= usize::from(!entry.answered);
        entry.answered = true;
        true
    }

    /// What of the oldest `entries` is unanswered, sorted by key.
    pub(super) fn oldest_unanswered(&self, entries: usize) -> Vec<ReceiptNote> {
        let oldest = self.ring.iter().take(entries).filter(|entry| !entry.answered);
        let mut notes: Vec<_> = oldest.map(|entry| entry.note).collect();
        notes.sort_by_key(|note| note.key);
        notes.dedup_by_key(|note| note.key);
        notes
    }

    /// Forgets the oldest `entries`: they are in a run, or answered; of the latter `answered` is told.
    pub(super) fn forget(&mut self, entries: usize, mut answered: impl FnMut(&ReceiptNote)) {
        for _ in 0..entries.min(self.ring.len()) {
            if let Some(entry) = self.ring.pop_front() {
                if entry.answered {
                    answered(&entry.note);
                }
                let number = self.gone;
                if let Ok(found) = self.table.find_entry(hash(half(entry.note.key)), |known| known.number == number) {
                    found.remove();
                    self.unanswered -= usize::from(!entry.answered);
                }
            }
            self.gone = self.gone.wrapping_add(1);
            match self.commits.front_mut() {
                Some((_, left)) if *left > 1 => *left -= 1,
                Some(_) => drop(self.commits.pop_front()),
                None => self.uncommitted = self.uncommitted.saturating_sub(1),
            }
        }
    }

    /// The first commit whose entries are still in memory.
    pub(super) fn first_commit(&self) -> Option<u64> {
        self.commits.front().map(|(commit, _)| *commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(key: u64) -> ReceiptNote {
        ReceiptNote {
            key,
            address: key,
            recipient: 0,
            since: 0,
            tenant: 0,
            class: 0,
            part: 1,
            parts: 1,
            flags: 0,
            reference: 0,
        }
    }

    #[test]
    fn seals_only_what_is_unanswered() {
        let mut epoch = ReceiptEpoch::default();
        [5, 3, 9].into_iter().for_each(|key| epoch.insert(note(key)));
        epoch.committed(1);
        epoch.insert(note(7));
        epoch.committed(2);
        epoch.answer(3);
        epoch.answer(3);
        assert_eq!((epoch.find(3).map(|(_, answered)| answered), epoch.unanswered()), (Some(true), 3));
        let keys: Vec<_> = epoch.oldest_unanswered(3).iter().map(|note| note.key).collect();
        assert_eq!(keys, vec![5, 9]);
        let mut answered = Vec::new();
        epoch.forget(3, |note| answered.push(note.key));
        assert_eq!((epoch.find(5), epoch.len(), epoch.first_commit(), answered), (None, 1, Some(2), vec![3]));
        assert!(epoch.find(7).is_some() && epoch.unanswered() == 1);
        epoch.insert(note(8));
        epoch.forget(2, |_| {});
        epoch.insert(note(6));
        epoch.committed(3);
        epoch.forget(1, |_| {});
        assert_eq!(
            (epoch.len(), epoch.first_commit()),
            (0, None),
            "what is forgotten before its commit counts nowhere"
        );
    }

    #[test]
    fn an_id_given_again_belongs_to_the_new_message() {
        let mut epoch = ReceiptEpoch::default();
        epoch.insert(note(1));
        epoch.answer(1);
        assert_eq!(epoch.unanswered(), 0);
        epoch.insert(ReceiptNote { address: 77, ..note(1) });
        assert_eq!(epoch.unanswered(), 1);
        assert_eq!(epoch.find(1).map(|(note, answered)| (note.address, answered)), Some((77, false)));
        epoch.forget(1, |_| {});
        assert_eq!((epoch.find(1).map(|(note, _)| note.address), epoch.unanswered()), (Some(77), 1));
        epoch.insert(note(1));
        assert_eq!(epoch.unanswered(), 1);
        epoch.forget(1, |_| {});
        assert_eq!((epoch.len(), epoch.unanswered()), (1, 1));
    }
}
