//! Parked receipts: what carriers said of ids that nobody knew yet. Found again by the id of the response that comes later,
//! in whatever form that carrier writes it there. Bounded: another program on the same account may have any number of them.
//!
//! A carrier may give an id again: receipts of one id from different numbers are parked side by side.
//!
//! Invariants:
//! 1. At most one receipt is parked under one id from one number; a final one is not replaced. Under one id there are at most
//!    [`NUMBERS_PER_ID_MAX`].
//! 2. Every alias leads to an id under which something is parked that has it as a candidate.
//! 3. `by_recipient` and `by_age` hold exactly the parked receipts.
//! 4. Over the bound those go first to whose numbers nothing was under way when they came; of each kind the oldest.

use std::collections::BTreeSet;

use crate::model::{Map, ReceiptState, Wall, map};
use crate::smpp::receipt_id::{Dialect, IdForm, id_key};
use crate::store::record::InboundRecord;

use super::receipt_epoch::NUMBERS_PER_ID_MAX;

/// Commit and place in it: when a receipt was parked, and where it is on disk, if it is.
pub(super) type Parked = (u64, u32);

/// One of them.
#[derive(Debug)]
pub(super) struct Orphan {
    pub at: Parked,
    /// Nothing was under way to its number: it is probably another program's.
    pub is_foreign: bool,
    /// A foreign one is in memory only. If it is ours all the same, its carrier writes numbers in another form, and the
    /// response that makes its id known comes in this life of the process or never.
    pub is_on_disk: bool,
    /// Without its text, which nobody looks at any more.
    pub record: InboundRecord,
}

/// Which one another receipt has driven out.
#[derive(Debug)]
pub(super) enum Displaced {
    /// The one of the same id and number.
    Older(Orphan),
    /// The oldest of the same id.
    Shed(Orphan),
}

/// The key of an id, and the number that its receipt came from.
type Place = (u64, u64);

#[derive(Debug)]
pub(super) struct Orphans {
    /// By the key of the id as the receipt has it; those of one id in the order in which they were parked, at least one.
    parked: Map<u64, Vec<Orphan>>,
    /// Other keys under which the response's id may stand.
    aliases: Map<u64, u64>,
    /// Number that it came from, key.
    by_recipient: BTreeSet<(u64, u64)>,
    /// Foreign ones and others, by when they were parked.
    by_age: [BTreeSet<(Parked, Place)>; 2],
    /// Of all, and of the foreign ones.
    receipts_max: usize,
    foreign_max: usize,
}

impl Orphans {
    pub(super) fn new(hash_seed: u64, receipts_max: usize, foreign_max: usize) -> Self {
        Self {
            parked: map(hash_seed),
            aliases: map(hash_seed),
            by_recipient: BTreeSet::new(),
            by_age: [BTreeSet::new(), BTreeSet::new()],
            receipts_max,
            foreign_max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_recipient.len()
    }

    /// Whether a receipt of that id and number is parked already that says more than this one.
    pub(super) fn outranks(&self, record: &InboundRecord) -> bool {
        self.at(place_of(record)).is_some_and(|known| is_final(&known.record))
    }

    /// Parks; gives the one that must go for it.
    pub(super) fn insert(&mut self, orphan: Orphan) -> Option<Displaced> {
        let place = place_of(&orphan.record);
        let older = self.take_out(place);
        for alias in aliases_of(&orphan.record) {
            self.aliases.insert(alias, place.0);
        }
        self.by_recipient.insert((place.1, place.0));
        self.by_age[usize::from(!orphan.is_foreign)].insert((orphan.at, place));
        let of_id = self.parked.entry(place.0).or_default();
        of_id.push(orphan);
        let crowded = of_id.first().filter(|_| of_id.len() > NUMBERS_PER_ID_MAX).map(|oldest| place_of(&oldest.record));
        let shed = crowded.and_then(|oldest| self.take_out(oldest));
        older.map(Displaced::Older).or(shed.map(Displaced::Shed))
    }

    /// Takes out one that there is no room for.
    pub(super) fn shed(&mut self) -> Option<Orphan> {
        let [foreign, others] = &self.by_age;
        let is_over = foreign.len() > self.foreign_max || foreign.len() + others.len() > self.receipts_max;
        let (_, place) = foreign.first().or_else(|| others.first()).filter(|_| is_over)?;
        self.take_out(*place)
    }

    /// The receipt of the message to that recipient that was taken under an id with this key.
    pub(super) fn take(&mut self, key: u64, recipient: u64) -> Option<Orphan> {
        // Asked for each part that was taken, and mostly none is parked.
        if self.parked.is_empty() {
            return None;
        }
        let place = self.choose(key, recipient)?;
        self.take_out(place)
    }

    /// The one that came from the recipient, under that very id or another form of it. Else the newest under that very id, for
    /// a carrier may write numbers in a way of its own; a converted id may be another message's.
    fn choose(&self, key: u64, recipient: u64) -> Option<Place> {
        let of_recipient = |key: u64| self.at((key, recipient)).map(|_| (key, recipient));
        let by_alias = || self.aliases.get(&key).and_then(|key| of_recipient(*key));
        let newest = || self.parked.get(&key)?.last().map(|orphan| place_of(&orphan.record));
        of_recipient(key).or_else(by_alias).or_else(newest)
    }

    fn at(&self, (key, from): Place) -> Option<&Orphan> {
        self.parked.get(&key)?.iter().find(|orphan| orphan.record.from == from)
    }

    /// Those from that number by that group since `since`.
    pub(super) fn of(&self, from: u64, group: u16, since: Wall) -> Vec<InboundRecord> {
        let places = self.by_recipient.range((from, 0)..=(from, u64::MAX)).map(|(from, key)| (*key, *from));
        let found = places.filter_map(|place| self.at(place).map(|orphan| &orphan.record));
        found.filter(|record| record.group == group && Wall(record.wall) >= since).cloned().collect()
    }

    /// Forgets what came in before `horizon`; in the order in which it was parked.
    pub(super) fn expire(&mut self, horizon: Wall) -> Vec<Orphan> {
        let old = |orphan: &&Orphan| Wall(orphan.record.wall) < horizon;
        let found = self.parked.values().flatten().filter(old);
        let mut places: Vec<_> = found.map(|orphan| (orphan.at, place_of(&orphan.record))).collect();
        places.sort_unstable();
        places.into_iter().filter_map(|(_, place)| self.take_out(place)).collect()
    }

    /// Takes out the one of the same id and number.
    pub(super) fn remove(&mut self, record: &InboundRecord) -> Option<Orphan> {
        self.take_out(place_of(record))
    }

    fn take_out(&mut self, place: Place) -> Option<Orphan> {
        let (key, from) = place;
        let of_id = self.parked.get_mut(&key)?;
        let orphan = of_id.remove(of_id.iter().position(|orphan| orphan.record.from == from)?);
        let is_last = of_id.is_empty();
        self.by_recipient.remove(&(from, key));
        self.by_age[usize::from(!orphan.is_foreign)].remove(&(orphan.at, place));
        if is_last {
            self.parked.remove(&key);
            for alias in aliases_of(&orphan.record) {
                if self.aliases.get(&alias) == Some(&key) {
                    self.aliases.remove(&alias);
                }
            }
        }
        Some(orphan)
    }
}

fn place_of(record: &InboundRecord) -> Place {
    (id_key(u64::from(record.group), &record.id), record.from)
}

fn aliases_of(record: &InboundRecord) -> impl Iterator<Item = u64> {
    let candidates = Dialect::default().candidates(u64::from(record.group), &record.id);
    candidates.filter(|candidate| candidate.form != IdForm::Same).map(|candidate| candidate.key)
}

fn is_final(record: &InboundRecord) -> bool {
    ReceiptState::from_index(record.state).is_some_and(ReceiptState::is_final)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(commit: u64, id: &str, from: u64, state: u8) -> Orphan {
        let record = InboundRecord { wall: commit, group: 1, from, id: id.into(), state, ..InboundRecord::default() };
        Orphan { at: (commit, 0), is_foreign: false, is_on_disk: true, record }
    }

    const DELIVERED: u8 = 2;
    const ENROUTE: u8 = 1;

    #[test]
    fn is_found_by_the_response_in_another_form_if_the_recipient_fits() {
        let mut orphans = Orphans::new(1, 9, 9);
        assert!(orphans.insert(orphan(1, "255", 77, DELIVERED)).is_none());
        let key = id_key(1, b"FF");
        assert!(orphans.take(key, 78).is_none());
        assert_eq!(orphans.take(key, 77).map(|orphan| orphan.at), Some((1, 0)));
        assert!(orphans.take(key, 77).is_none() && orphans.aliases.is_empty());
        // Those of two numbers under one id.
        [(3, 77), (4, 78)]
            .into_iter()
            .for_each(|(commit, from)| drop(orphans.insert(orphan(commit, "255", from, DELIVERED))));
        assert_eq!(orphans.take(key, 77).map(|orphan| orphan.at.0), Some(3));
        assert_eq!(orphans.take(key, 78).map(|orphan| orphan.at.0), Some(4));
        assert!(orphans.parked.is_empty() && orphans.aliases.is_empty());
        orphans.insert(orphan(2, "255", 77, DELIVERED));
        assert_eq!(orphans.take(id_key(1, b"0255"), 0).map(|orphan| orphan.at), Some((2, 0)));
    }

    #[test]
    fn is_found_by_its_recipient() {
        let mut orphans = Orphans::new(1, 9, 9);
        for (commit, id, from) in [(1, "1", 77), (2, "2", 77), (3, "3", 78), (4, "2", 77)] {
            orphans.insert(orphan(commit, id, from, ENROUTE));
        }
        let found = |orphans: &Orphans, group, since| {
            let mut walls: Vec<_> = orphans.of(77, group, Wall(since)).iter().map(|record| record.wall).collect();
            walls.sort_unstable();
            walls
        };
        assert_eq!(
            (found(&orphans, 1, 0), found(&orphans, 1, 2), found(&orphans, 2, 0)),
            (vec![1, 4], vec![4], vec![])
        );
        let record = orphans.of(77, 1, Wall(2)).remove(0);
        assert_eq!(orphans.remove(&record).map(|orphan| orphan.at.0), Some(4));
        orphans.expire(Wall(9));
        assert!(orphans.by_recipient.is_empty() && orphans.parked.is_empty());
    }

    #[test]
    fn a_final_one_stays_and_an_intermediate_one_goes() {
        let mut orphans = Orphans::new(1, 9, 9);
        orphans.insert(orphan(1, "9", 77, ENROUTE));
        let last = orphan(2, "9", 77, DELIVERED);
        assert!(!orphans.outranks(&last.record));
        let displaced = orphans.insert(last);
        assert!(matches!(displaced, Some(Displaced::Older(Orphan { at: (1, 0), .. }))), "{displaced:?}");
        assert!(orphans.outranks(&orphan(3, "9", 77, ENROUTE).record));
        assert!(!orphans.outranks(&orphan(3, "9", 78, ENROUTE).record), "from another number");
        let mut expired = |horizon| orphans.expire(Wall(horizon)).iter().map(|gone| gone.at).collect::<Vec<_>>();
        assert_eq!((expired(2), expired(3)), (vec![], vec![(2, 0)]));
        assert_eq!(orphans.len(), 0);
    }

    #[test]
    fn receipts_of_one_id_from_several_numbers_stand_side_by_side() {
        let mut orphans = Orphans::new(1, 99, 99);
        for (commit, from) in [(1, 77), (2, 78), (3, 79), (4, 80)] {
            assert!(orphans.insert(orphan(commit, "9", from, DELIVERED)).is_none());
        }
        let mut taken = |recipient| orphans.take(id_key(1, b"9"), recipient).map(|orphan| orphan.at.0);
        assert_eq!([78, 77].map(&mut taken), [Some(2), Some(1)]);
        assert_eq!([90, 79, 79].map(taken), [Some(4), Some(3), None], "of a number that none came from: the newest");
        assert!(orphans.by_recipient.is_empty() && orphans.by_age.iter().all(BTreeSet::is_empty));
    }

    #[test]
    fn of_too_many_numbers_under_one_id_the_oldest_goes() {
        let mut orphans = Orphans::new(1, 99, 99);
        let most = NUMBERS_PER_ID_MAX as u64;
        for commit in 1..=most {
            assert!(orphans.insert(orphan(commit, "9", 100 + commit, ENROUTE)).is_none());
        }
        // The first gives way to another of its number, and is the newest then.
        assert!(matches!(orphans.insert(orphan(most + 1, "9", 101, ENROUTE)), Some(Displaced::Older(_))));
        let displaced = orphans.insert(orphan(most + 2, "9", 999, ENROUTE));
        assert!(matches!(displaced, Some(Displaced::Shed(Orphan { at: (2, 0), .. }))), "{displaced:?}");
        assert_eq!(orphans.len(), NUMBERS_PER_ID_MAX);
        assert!(orphans.insert(orphan(most + 3, "8", 999, ENROUTE)).is_none(), "another id");
    }

    #[test]
    fn over_the_bound_foreign_ones_go_first_and_the_oldest_of_them() {
        let mut orphans = Orphans::new(1, 4, 2);
        let mut shed = Vec::new();
        for (commit, is_foreign) in [(1, false), (2, true), (3, true), (4, true), (5, false), (6, false), (7, false)] {
            orphans.insert(Orphan { is_foreign, ..orphan(commit, &commit.to_string(), 77, DELIVERED) });
            while let Some(gone) = orphans.shed() {
                shed.push(gone.at.0);
            }
        }
        assert_eq!((shed, orphans.len()), (vec![2, 3, 4], 4));
        orphans.insert(orphan(8, "8", 77, DELIVERED));
        assert_eq!((orphans.shed().map(|gone| gone.at.0), orphans.shed().is_none()), (Some(1), true));
        assert_eq!(orphans.by_age.iter().map(BTreeSet::len).sum::<usize>(), 4);
        assert_eq!((orphans.by_recipient.len(), orphans.aliases.len() <= 2 * 4), (4, true));
    }
}
