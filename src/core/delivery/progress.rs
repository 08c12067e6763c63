//! Messages of several parts: what the carrier took of each, what receipts said. Bounded by the bytes that all of it takes
//! in a checkpoint; at the bound those go first that only wait for receipts.
//!
//! Invariants:
//! 1. `octets` is the sum of what the entries take at most, and never above its bound.
//! 2. What goes for want of room has all its parts at the carrier, or is final: nothing is sent again because of it.

use std::collections::BTreeMap;

use crate::model::invariant::WALKED_MAX;
use crate::model::{Address, CarrierId, Sound, Wall, holds};
use crate::traffic::PartSet;

/// A message of several parts: what the carrier took, what receipts said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The carrier that holds the accepted parts.
    pub carrier: CarrierId,
    /// The reference that they share.
    pub reference: u16,
    /// How many there are.
    pub parts: u8,
    /// Taken by the carrier.
    pub accepted: PartSet,
    /// Called delivered by receipts.
    pub delivered: PartSet,
    /// Parts that had a final receipt of any kind.
    pub settled: PartSet,
    /// The message is final already: further receipts are late.
    pub closed: bool,
    /// Since when, for pruning by age.
    pub since: Wall,
}

impl Progress {
    /// Every part had its final receipt.
    pub fn is_all_settled(&self) -> bool {
        self.settled.len() >= u32::from(self.parts)
    }

    /// Every part is with the carrier: the message stands in no list.
    fn is_all_accepted(&self) -> bool {
        self.accepted.len() >= u32::from(self.parts)
    }
}

/// What became of the word that the carrier took a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was not known.
    News,
    /// It was.
    Known,
    /// It is news, and there is no room to remember it.
    NoRoom,
}

/// A part that the carrier took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// By whom.
    pub carrier: CarrierId,
    /// The reference that the parts share.
    pub reference: u16,
    /// Part number, from 1.
    pub part: u8,
    /// Parts of the message at this carrier.
    pub parts: u8,
    /// When.
    pub at: Wall,
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct ProgressTable {
    entries: BTreeMap<Address, Progress>,
    octets: usize,
    octets_max: usize,
    /// Where the last look for something that may go has ended.
    swept_to: Address,
}

/// Entries that one look for room passes over at most.
const SWEEP_MAX: usize = 1_024;
/// What an entry takes apart from its parts, bytes, and each part: it may stand in three lists.
pub const ENTRY_OCTETS: usize = 46;
const PART_OCTETS: usize = 3;

const fn octets_of(parts: u8) -> usize {
    ENTRY_OCTETS + PART_OCTETS * parts as usize
}

impl ProgressTable {
    /// Empty, for entries of so many bytes together.
    pub const fn new(octets_max: usize) -> Self {
        Self { entries: BTreeMap::new(), octets: 0, octets_max, swept_to: Address::from_packed(0) }
    }

    /// Whether the invariants hold of what is here.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Sound {
        holds!(1, self.octets <= self.octets_max, "{} octets of {}", self.octets, self.octets_max);
        if self.entries.len() > WALKED_MAX {
            return Ok(());
        }
        let sum: usize = self.entries.values().map(|progress| octets_of(progress.parts)).sum();
        holds!(1, sum == self.octets, "the entries take {sum} octets, counted are {}", self.octets);
        Ok(())
    }

    /// Whether that one may go for want of room.
    fn check_goes(&self, address: Address) -> Sound {
        let has_rest = self.entries.get(&address).filter(|progress| !progress.closed && !progress.is_all_accepted());
        holds!(2, has_rest.is_none(), "{address} has parts left to send: {has_rest:?}");
        Ok(())
    }

    /// How many messages it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Of one message.
    pub fn get(&self, address: &Address) -> Option<&Progress> {
        self.entries.get(address)
    }

    /// The same, to be changed; but for its number of parts, which is [`Self::note`]'s.
    pub fn get_mut(&mut self, address: &Address) -> Option<&mut Progress> {
        self.entries.get_mut(address)
    }

    /// By address.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, &Progress)> {
        self.entries.iter()
    }

    /// Forgets one.
    pub fn remove(&mut self, address: &Address) -> Option<Progress> {
        let gone = self.entries.remove(address)?;
        self.octets -= octets_of(gone.parts);
        Some(gone)
    }

    /// Puts one back, as a checkpoint has it.
    pub fn restore(&mut self, address: Address, progress: Progress) {
        self.remove(&address);
        self.octets += octets_of(progress.parts);
        self.entries.insert(address, progress);
    }

    /// Notes that a part was taken. What it knew under another reference, or at another carrier, counts no more.
    pub fn note(&mut self, address: Address, taken: Taken) -> Noted {
        let Taken { carrier, reference, part, parts, at } = taken;
        let before = self.entries.get(&address).map_or(0, |known| octets_of(known.parts));
        let octets = self.octets - before + octets_of(parts);
        if octets > self.octets_max && octets > self.octets {
            return Noted::NoRoom;
        }
        self.octets = octets;
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
        debug_assert_eq!(self.check(), Ok(()), "see the head of this file");
        if is_news { Noted::News } else { Noted::Known }
    }

    /// Whether a message of so many parts finds no place.
    pub const fn is_full(&self, parts: u8) -> bool {
        self.octets + octets_of(parts) > self.octets_max
    }

    /// Looks at the next few entries, oldest first, and lets those go that only wait for receipts. Of those that are final
    /// without having all their parts at the carrier at most `void_max`; they are told, for they may still stand in a list.
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
            debug_assert_eq!(self.check_goes(*address), Ok(()), "see the head of this file");
            self.remove(address);
        }
        debug_assert_eq!(self.check(), Ok(()), "see the head of this file");
        (waiting.len() + void.len(), void)
    }

    /// Forgets those of before `horizon` that only wait for receipts, which will not come any more; not a message that has parts
    /// left to send, however old it is. One that is final without having all its parts at the carrier may still stand in a
    /// list: it stays until its segment, those before `first_kept`, is gone.
    pub fn expire(&mut self, horizon: Wall, first_kept: Address, is_under_way: impl Fn(Address) -> bool) {
        let octets = &mut self.octets;
        self.entries.retain(|address, progress| {
            let is_done = progress.is_all_accepted() || progress.closed && *address < first_kept;
            let goes = progress.since < horizon && is_done && !is_under_way(*address);
            *octets -= if goes { octets_of(progress.parts) } else { 0 };
            !goes
        });
        debug_assert_eq!(self.check(), Ok(()), "see the head of this file");
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
        table.iter().map(|(_, progress)| octets_of(progress.parts)).sum()
    }

    #[test]
    fn room_is_made_by_what_only_waits_for_receipts_oldest_first() {
        let mut table = ProgressTable::new(4 * octets_of(2));
        for slot in 0..4 {
            assert_eq!((table.note(at(slot), taken(1)), table.note(at(slot), taken(1))), (Noted::News, Noted::Known));
        }
        assert_eq!(table.note(at(9), taken(1)), Noted::NoRoom);
        // Half of each is out: nobody may forget that.
        assert_eq!(table.make_room(|_| false, 9), (0, vec![]));
        for slot in [1, 2] {
            assert_eq!(table.note(at(slot), taken(2)), Noted::News);
        }
        assert_eq!(table.make_room(|address| address == at(1), 9), (1, vec![]));
        assert!(table.get(&at(1)).is_some() && table.get(&at(2)).is_none());
        assert_eq!(table.note(at(9), taken(1)), Noted::News);
        // Final, with a part that the carrier does not have: it may stand in a list.
        table.get_mut(&at(3)).expect("there").closed = true;
        assert_eq!(table.make_room(|address| address == at(1), 0), (0, vec![]));
        assert_eq!(table.make_room(|address| address == at(1), 1), (1, vec![at(3)]));
        assert_eq!(table.octets, sum(&table));
    }

    fn broken(sound: Sound) -> Option<u8> {
        sound.err().map(|broken| broken.number)
    }

    #[test]
    fn breaking_invariant_1_is_noticed() {
        let mut table = ProgressTable::new(1_000);
        table.note(at(1), taken(1));
        // The number of parts is not its caller's to change.
        table.get_mut(&at(1)).expect("there").parts = 3;
        assert_eq!(broken(table.check()), Some(1));
        let mut table = ProgressTable::new(octets_of(2));
        table.note(at(1), taken(1));
        let known = *table.get(&at(1)).expect("there");
        // As if nobody had asked whether there is room.
        table.restore(at(2), known);
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
    fn octets_follow_the_entries() {
        let mut table = ProgressTable::new(1_000);
        table.note(at(1), taken(1));
        table.note(at(1), Taken { parts: 9, reference: 8, ..taken(1) });
        assert_eq!((table.octets, table.get(&at(1)).map(|known| known.accepted.len())), (octets_of(9), Some(1)));
        table.note(at(2), Taken { at: Wall(9), ..taken(1) });
        let known = *table.get(&at(2)).expect("there");
        table.restore(at(2), known);
        assert_eq!(table.octets, sum(&table));
        let first = Address::from_packed(0);
        table.expire(Wall(6), first, |_| false);
        assert_eq!((table.len(), table.octets), (2, octets_of(9) + octets_of(2)), "both have parts left to send");
        table.note(at(3), taken(1));
        table.note(at(3), taken(2));
        table.expire(Wall(6), first, |address| address == at(3));
        assert!(table.get(&at(3)).is_some(), "it is under way");
        table.expire(Wall(6), first, |_| false);
        assert!(table.get(&at(3)).is_none(), "it only waited for its receipts");
        table.get_mut(&at(1)).expect("there").closed = true;
        table.expire(Wall(6), at(1), |_| false);
        assert!(table.get(&at(1)).is_some(), "it may still stand in a list");
        table.expire(Wall(6), at(2), |_| false);
        assert_eq!((table.len(), table.octets), (1, octets_of(2)));
        table.remove(&at(2));
        assert_eq!((table.is_empty(), table.octets), (true, 0));
        assert!(!table.is_full(2) && ProgressTable::new(50).is_full(2));
    }
}
