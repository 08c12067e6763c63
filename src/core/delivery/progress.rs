//! The progress of messages of several parts: which parts the carrier took, and what receipts said. Bounded by the bytes that
//! the table takes in a checkpoint; at the bound, entries that only wait for receipts are removed first.
//!
//! Invariants:
//! 1. `bytes` is the sum of the maximum sizes of the entries, and never above its bound.
//! 2. A message whose entry is removed to make room has all its parts at the carrier, or is final. So no part is sent again
//!    because of a removal.

use std::collections::BTreeMap;

use crate::model::invariant::WALKED_MAX;
use crate::model::{Address, CarrierId, Sound, Wall, holds};
use crate::traffic::PartSet;

/// The progress of one message of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The carrier that holds the accepted parts.
    pub carrier: CarrierId,
    /// Concatenation reference, the same in all parts.
    pub reference: u16,
    /// Number of parts.
    pub parts: u8,
    /// Parts that the carrier took.
    pub accepted: PartSet,
    /// Parts that were delivered according to receipts.
    pub delivered: PartSet,
    /// Parts that had a final receipt of any kind.
    pub settled: PartSet,
    /// The message is final already: further receipts are late.
    pub closed: bool,
    /// When the entry was made; entries are removed by this age.
    pub since: Wall,
}

impl Progress {
    /// Whether every part had its final receipt.
    pub fn is_all_settled(&self) -> bool {
        self.settled.len() >= u32::from(self.parts)
    }

    /// Whether the carrier has every part. Such a message waits in no list to be sent.
    fn is_all_accepted(&self) -> bool {
        self.accepted.len() >= u32::from(self.parts)
    }
}

/// The result of recording that the carrier took a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was new and is recorded.
    News,
    /// It was recorded before.
    Known,
    /// There is no room to record it.
    NoRoom,
}

/// A part that the carrier took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub carrier: CarrierId,
    /// Concatenation reference, the same in all parts.
    pub reference: u16,
    /// Number of the part, from 1.
    pub part: u8,
    /// Number of parts of the message at this carrier.
    pub parts: u8,
    pub at: Wall,
}

/// The progress of all messages of several parts of a shard.
#[derive(Clone, Debug)]
pub struct ProgressTable {
    entries: BTreeMap<Address, Progress>,
    bytes: usize,
    bytes_max: usize,
    /// Where the last search for removable entries ended.
    swept_to: Address,
}

/// Maximum number of entries that one search for room visits.
const SWEEP_MAX: usize = 1_024;
/// Maximum size of an entry without its parts, bytes. Each part adds [`PART_BYTES`], as it may be in three sets.
pub const ENTRY_BYTES: usize = 46;
const PART_BYTES: usize = 3;

const fn bytes_of(parts: u8) -> usize {
    ENTRY_BYTES + PART_BYTES * parts as usize
}

impl ProgressTable {
    /// An empty table whose entries may take `bytes_max` bytes together.
    pub const fn new(bytes_max: usize) -> Self {
        Self { entries: BTreeMap::new(), bytes: 0, bytes_max, swept_to: Address::from_packed(0) }
    }

    /// Checks invariant 1.
    ///
    /// # Errors
    /// The invariant, if it does not hold.
    pub fn check(&self) -> Sound {
        holds!(1, self.bytes <= self.bytes_max, "{} bytes of {}", self.bytes, self.bytes_max);
        if self.entries.len() > WALKED_MAX {
            return Ok(());
        }
        let sum: usize = self.entries.values().map(|progress| bytes_of(progress.parts)).sum();
        holds!(1, sum == self.bytes, "the entries take {sum} bytes, counted are {}", self.bytes);
        Ok(())
    }

    /// Checks invariant 2 for an entry that is about to be removed.
    fn check_goes(&self, address: Address) -> Sound {
        let has_rest = self.entries.get(&address).filter(|progress| !progress.closed && !progress.is_all_accepted());
        holds!(2, has_rest.is_none(), "{address} has parts left to send: {has_rest:?}");
        Ok(())
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get(&self, address: &Address) -> Option<&Progress> {
        self.entries.get(address)
    }

    /// The entry of a message, to be changed. The caller must not change its number of parts; only [`Self::note`] does.
    pub fn get_mut(&mut self, address: &Address) -> Option<&mut Progress> {
        self.entries.get_mut(address)
    }

    /// All entries in order of address.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, &Progress)> {
        self.entries.iter()
    }

    pub fn remove(&mut self, address: &Address) -> Option<Progress> {
        let gone = self.entries.remove(address)?;
        self.bytes -= bytes_of(gone.parts);
        Some(gone)
    }

    /// Restores an entry from a checkpoint.
    pub fn recover(&mut self, address: Address, progress: Progress) {
        self.remove(&address);
        self.bytes += bytes_of(progress.parts);
        self.entries.insert(address, progress);
    }

    /// Records that the carrier took a part. Earlier parts under another reference, or at another carrier, are forgotten.
    pub fn note(&mut self, address: Address, taken: Taken) -> Noted {
        let Taken { carrier, reference, part, parts, at } = taken;
        let before = self.entries.get(&address).map_or(0, |known| bytes_of(known.parts));
        let bytes = self.bytes - before + bytes_of(parts);
        if bytes > self.bytes_max && bytes > self.bytes {
            return Noted::NoRoom;
        }
        self.bytes = bytes;
        let none = PartSet::default();
        let fresh = Progress {
            carrier,
            reference,
            parts,
            accepted: none,
            delivered: none,
            settled: none,
            closed: false,
            since: at,
        };
        let progress = self.entries.entry(address).or_insert(fresh);
        if progress.carrier != carrier || progress.reference != reference {
            *progress = Progress { closed: progress.closed, since: progress.since, ..fresh };
        }
        progress.parts = parts;
        let is_news = progress.accepted.insert(part);
        debug_assert_eq!(self.check(), Ok(()), "the sizes do not add up");
        if is_news { Noted::News } else { Noted::Known }
    }

    /// Whether there is no room for a message of so many parts.
    pub const fn is_full(&self, parts: u8) -> bool {
        self.bytes + bytes_of(parts) > self.bytes_max
    }

    /// Visits the next entries, in order of address and so oldest first, and removes those that only wait for receipts. Also
    /// removes at most `void_max` entries of messages that are final although the carrier does not have all their parts.
    /// Returns the number of removed entries, and the messages of the latter kind, because they may still be in a list to be
    /// sent.
    pub fn make_room(&mut self, is_under_way: impl Fn(Address) -> bool, void_max: usize) -> (usize, Vec<Address>) {
        let (mut waiting, mut void) = (Vec::new(), Vec::new());
        let behind = self.entries.range(self.swept_to..);
        let looked: Vec<Address> =
            behind.chain(self.entries.range(..self.swept_to)).take(SWEEP_MAX).map(|(address, _)| *address).collect();
        for address in looked {
            self.swept_to = Address::from_packed(address.packed().wrapping_add(1));
            let Some(progress) = self.entries.get(&address).filter(|_| !is_under_way(address)) else { continue };
            if progress.is_all_accepted() {
                waiting.push(address);
            } else if progress.closed && void.len() < void_max {
                void.push(address);
            }
        }
        for address in waiting.iter().chain(&void) {
            debug_assert_eq!(self.check_goes(*address), Ok(()), "a part would be sent again");
            self.remove(address);
        }
        debug_assert_eq!(self.check(), Ok(()), "the sizes do not add up");
        (waiting.len() + void.len(), void)
    }

    /// Removes entries from before `horizon` that only wait for receipts, which will not come any more. A message with parts
    /// left to send is kept, however old it is. A final message of which the carrier does not have all parts may still be in a
    /// list to be sent: it is kept until its segment is dropped, that is, until its address is before `first_kept`.
    pub fn expire(&mut self, horizon: Wall, first_kept: Address, is_under_way: impl Fn(Address) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.retain(|address, progress| {
            let is_done = progress.is_all_accepted() || progress.closed && *address < first_kept;
            let goes = progress.since < horizon && is_done && !is_under_way(*address);
            *bytes -= if goes { bytes_of(progress.parts) } else { 0 };
            !goes
        });
        debug_assert_eq!(self.check(), Ok(()), "the sizes do not add up");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(part: u8) -> Taken {
        Taken { carrier: CarrierId(1), reference: 7, part, parts: 2, at: Wall(5) }
    }

    const fn at(slot: u16) -> Address {
        Address::new(1, slot)
    }

    fn sum(table: &ProgressTable) -> usize {
        table.iter().map(|(_, progress)| bytes_of(progress.parts)).sum()
    }

    #[test]
    fn room_is_made_by_what_only_waits_for_receipts_oldest_first() {
        let mut table = ProgressTable::new(4 * bytes_of(2));
        for slot in 0..4 {
            assert_eq!((table.note(at(slot), taken(1)), table.note(at(slot), taken(1))), (Noted::News, Noted::Known));
        }
        assert_eq!(table.note(at(9), taken(1)), Noted::NoRoom);
        // One of two parts of each is sent: this must not be forgotten.
        assert_eq!(table.make_room(|_| false, 9), (0, vec![]));
        for slot in [1, 2] {
            assert_eq!(table.note(at(slot), taken(2)), Noted::News);
        }
        assert_eq!(table.make_room(|address| address == at(1), 9), (1, vec![]));
        assert!(table.get(&at(1)).is_some() && table.get(&at(2)).is_none());
        assert_eq!(table.note(at(9), taken(1)), Noted::News);
        // Final, with a part that the carrier does not have: it may still be in a list to be sent.
        table.get_mut(&at(3)).expect("there").closed = true;
        assert_eq!(table.make_room(|address| address == at(1), 0), (0, vec![]));
        assert_eq!(table.make_room(|address| address == at(1), 1), (1, vec![at(3)]));
        assert_eq!(table.bytes, sum(&table));
    }

    fn broken(sound: Sound) -> Option<u8> {
        sound.err().map(|broken| broken.number)
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        let mut table = ProgressTable::new(1_000);
        table.note(at(1), taken(1));
        // Callers must not change the number of parts.
        table.get_mut(&at(1)).expect("there").parts = 3;
        assert_eq!(broken(table.check()), Some(1));
        let mut table = ProgressTable::new(bytes_of(2));
        table.note(at(1), taken(1));
        let known = *table.get(&at(1)).expect("there");
        // As if the code had not checked whether there is room.
        table.recover(at(2), known);
        assert_eq!(broken(table.check()), Some(1));
    }

    #[test]
    fn breaking_invariant_2_is_noticed() {
        let mut table = ProgressTable::new(1_000);
        table.note(at(1), taken(1));
        assert_eq!(broken(table.check_goes(at(1))), Some(2), "its second part is not sent");
        table.note(at(1), taken(2));
        assert_eq!(table.check_goes(at(1)), Ok(()));
        table.note(at(2), taken(1));
        table.get_mut(&at(2)).expect("there").closed = true;
        assert_eq!(table.check_goes(at(2)), Ok(()), "it is final");
    }

    #[test]
    fn bytes_follow_the_entries() {
        let mut table = ProgressTable::new(1_000);
        table.note(at(1), taken(1));
        table.note(at(1), Taken { parts: 9, reference: 8, ..taken(1) });
        assert_eq!((table.bytes, table.get(&at(1)).map(|known| known.accepted.len())), (bytes_of(9), Some(1)));
        table.note(at(2), Taken { at: Wall(9), ..taken(1) });
        let known = *table.get(&at(2)).expect("there");
        table.recover(at(2), known);
        assert_eq!(table.bytes, sum(&table));
        let first = Address::from_packed(0);
        table.expire(Wall(6), first, |_| false);
        assert_eq!((table.len(), table.bytes), (2, bytes_of(9) + bytes_of(2)), "both have parts left to send");
        table.note(at(3), taken(1));
        table.note(at(3), taken(2));
        table.expire(Wall(6), first, |address| address == at(3));
        assert!(table.get(&at(3)).is_some(), "it is under way");
        table.expire(Wall(6), first, |_| false);
        assert!(table.get(&at(3)).is_none(), "it only waited for its receipts");
        table.get_mut(&at(1)).expect("there").closed = true;
        table.expire(Wall(6), at(1), |_| false);
        assert!(table.get(&at(1)).is_some(), "it may still be in a list to be sent");
        table.expire(Wall(6), at(2), |_| false);
        assert_eq!((table.len(), table.bytes), (1, bytes_of(2)));
        table.remove(&at(2));
        assert_eq!((table.is_empty(), table.bytes), (true, 0));
        assert!(!table.is_full(2) && ProgressTable::new(50).is_full(2));
    }
}
