//! Parked receipts: what carriers said of ids that were not known yet.
//!
//! A parked receipt is found by the id in the response that comes later, in whatever form the carrier writes the id there. The
//! number of them is bounded: another program on the same account may cause any number.
//!
//! A carrier may give an id again: receipts of one id that name different numbers are parked separately.
//!
//! Invariants:
//! 1. Under one id, at most one receipt is parked that names the same numbers; a final one is not replaced. Under one id there
//!    are at most [`NUMBERS_PER_ID_MAX`].
//! 2. Every alias leads to an id under which a receipt is parked that has the alias as a candidate.
//! 3. `by_recipient` and `by_age` hold exactly the parked receipts.
//! 4. Over the bound, receipts go first if nothing was under way to their number when they came; of each kind the oldest first.

use std::collections::BTreeSet;

use crate::model::prng::mix;
use crate::model::{Agreement, CarrierId, Map, Numbers, ReceiptState, Sound, Tail, WALKED_MAX, Wall, holds, map};
use crate::store::record::{InboundRecord, ReceiptNote};
use stentor_smpp::receipt_id::{Candidate, Dialect, IdRelation, id_key};

use super::awaited::Whose;

use super::receipt_epoch::NUMBERS_PER_ID_MAX;

/// Commit and index in it: when a receipt was parked, and where it is on disk, if it is there.
pub(super) type Parked = (u64, u32);

/// A parked receipt.
#[derive(Debug)]
pub(super) struct Orphan {
    pub at: Parked,
    /// Nothing was under way to its number, so it is probably another program's.
    pub is_foreign: bool,
    /// Whether it is on disk; a foreign one is in memory only. If it is ours after all, its carrier writes numbers in another
    /// form, and the response that makes its id known comes before the process ends, or never.
    pub is_on_disk: bool,
    /// The receipt without its text, which is not needed any more.
    pub record: InboundRecord,
}

/// The receipt that another has driven out.
#[derive(Debug)]
pub(super) enum Displaced {
    /// The one of the same id and number.
    Older(Orphan),
    /// The oldest of the same id.
    Shed(Orphan),
}

/// The key of an id, and the numbers that its receipt names. Identifies a parked receipt.
pub(super) type Place = (u64, (u32, u32));

/// How a carrier writes ids, and whether numbers in its receipts are ignored.
pub(super) type Writes = (Dialect, bool);

#[derive(Debug)]
pub(super) struct Orphans {
    /// By the key of the id as the receipt writes it; the receipts of one id in the order in which they were parked, at least
    /// one.
    parked: Map<u64, Vec<Orphan>>,
    /// Other keys that the id in the response may have, each leading to a key of `parked`.
    aliases: Map<u64, u64>,
    /// The number that a receipt came from, and its place.
    by_recipient: BTreeSet<(u64, Place)>,
    /// First foreign receipts, then the others; each by when it was parked.
    by_age: [BTreeSet<(Parked, Place)>; 2],
    /// Bounds of all receipts, and of the foreign ones.
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

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self) -> Sound {
        let [foreign, others] = self.by_age.each_ref().map(BTreeSet::len);
        holds!(3, foreign + others == self.len(), "{foreign} and {others} by age, {} by number", self.len());
        holds!(
            4,
            foreign <= self.foreign_max && self.len() <= self.receipts_max,
            "{foreign} foreign of {}",
            self.len()
        );
        if self.len() > WALKED_MAX {
            return Ok(());
        }
        let mut parked = 0;
        for (key, of_id) in &self.parked {
            parked += of_id.len();
            let mut places: Vec<Place> = of_id.iter().map(|orphan| place_of(&orphan.record)).collect();
            for (orphan, place) in of_id.iter().zip(&places) {
                let is_by_recipient = self.by_recipient.contains(&(orphan.record.from, *place));
                let is_by_age = self.by_age[usize::from(!orphan.is_foreign)].contains(&(orphan.at, *place));
                holds!(3, is_by_recipient && is_by_age, "{orphan:?} is parked alone");
            }
            places.sort_unstable();
            let are_apart = places.is_sorted_by(|a, b| a < b) && places.iter().all(|place| place.0 == *key);
            holds!(1, are_apart && (1..=NUMBERS_PER_ID_MAX).contains(&places.len()), "{places:?} under {key}");
        }
        holds!(3, parked == self.len(), "{parked} are parked, {} by number", self.len());
        for (alias, key) in &self.aliases {
            let mut of_id = self.parked.get(key).into_iter().flatten();
            let leads = of_id.any(|orphan| aliases_of(&orphan.record).any(|own| own == *alias));
            holds!(2, leads, "{alias} leads to {key}");
        }
        Ok(())
    }

    /// Whether a final receipt of that id and number is parked already.
    pub(super) fn outranks(&self, record: &InboundRecord) -> bool {
        self.at(place_of(record)).is_some_and(|known| is_final(&known.record))
    }

    /// Parks a receipt. Returns the one that it drives out.
    pub(super) fn insert(&mut self, orphan: Orphan) -> Option<Displaced> {
        let place = place_of(&orphan.record);
        let older = self.take_out(place);
        for alias in aliases_of(&orphan.record) {
            self.aliases.insert(alias, place.0);
        }
        self.by_recipient.insert((orphan.record.from, place));
        self.by_age[usize::from(!orphan.is_foreign)].insert((orphan.at, place));
        let of_id = self.parked.entry(place.0).or_default();
        of_id.push(orphan);
        let crowded = of_id.first().filter(|_| of_id.len() > NUMBERS_PER_ID_MAX).map(|oldest| place_of(&oldest.record));
        let shed = crowded.and_then(|oldest| self.take_out(oldest));
        older.map(Displaced::Older).or(shed.map(Displaced::Shed))
    }

    /// Takes out a receipt over the bound; `None` if there is room for all.
    pub(super) fn shed(&mut self) -> Option<Orphan> {
        let [foreign, others] = &self.by_age;
        let is_over = foreign.len() > self.foreign_max || foreign.len() + others.len() > self.receipts_max;
        let (_, place) = foreign.first().or_else(|| others.first()).filter(|_| is_over)?;
        self.take_out(*place)
    }

    /// Takes the receipt about a part that was taken. `is_alone`: no other part of its id waits; `writes`: how a carrier writes.
    pub(super) fn take(
        &mut self,
        note: &ReceiptNote,
        is_alone: bool,
        writes: impl Fn(CarrierId) -> Writes,
    ) -> Option<Orphan> {
        // Called for each part that was taken, and mostly no receipt is parked.
        if self.parked.is_empty() {
            return None;
        }
        let place = self.choose(note, is_alone, writes)?;
        self.take_out(place)
    }

    /// Prefers the newest receipt whose number agrees. Otherwise the one that names no number, if it is the only one and its id
    /// is written as its carrier writes ids; but not if it could have been about several parts when it came, nor if only its text
    /// looks like a receipt.
    fn choose(&self, note: &ReceiptNote, is_alone: bool, writes: impl Fn(CarrierId) -> Writes) -> Option<Place> {
        let aliased = self.aliases.get(&note.key).and_then(|key| self.parked.get(key));
        let (mut agreeing, mut silent, mut are_several) = (None, None, false);
        for orphan in self.parked.get(&note.key).into_iter().chain(aliased).flatten() {
            let record = &orphan.record;
            let (dialect, is_number_ignored) = writes(CarrierId(record.carrier));
            let whose = whose(record, is_number_ignored);
            let mut forms = dialect.candidates(u64::from(record.group), &record.id);
            let Some(Candidate { is_proof, .. }) = forms.find(|form| form.key == note.key) else { continue };
            match whose.agreement(note) {
                Agreement::Agrees if is_proof || agreeing.is_none() => agreeing = Some(place_of(record)),
                Agreement::Agrees => {}
                Agreement::SaysNothing if is_proof && !record.is_ambiguous && !record.is_untyped => {
                    (are_several, silent) = (silent.is_some(), Some(place_of(record)));
                }
                Agreement::SaysNothing | Agreement::Contradicts => {}
            }
        }
        agreeing.or(silent.filter(|_| is_alone && !are_several))
    }

    fn at(&self, place: Place) -> Option<&Orphan> {
        self.parked.get(&place.0)?.iter().find(|orphan| place_of(&orphan.record) == place)
    }

    /// The receipt that is parked at that place.
    pub(super) fn record(&self, place: Place) -> Option<&InboundRecord> {
        self.at(place).map(|orphan| &orphan.record)
    }

    /// The places of receipts that came from these carriers.
    pub(super) fn places_of(&self, is_wanted: impl Fn(CarrierId) -> bool) -> Vec<Place> {
        let all = self.by_recipient.iter().map(|(_, place)| *place);
        all.filter(|place| self.record(*place).is_some_and(|record| is_wanted(CarrierId(record.carrier)))).collect()
    }

    /// The latest receipt without an id from that number over that group since `since`.
    pub(super) fn nameless(&self, group: u16, from: u64, since: Wall) -> Option<&InboundRecord> {
        if self.parked.is_empty() {
            return None;
        }
        let of_number = self.parked.get(&nameless_key(group, from))?.iter().map(|orphan| &orphan.record);
        let is_own = |record: &&InboundRecord| {
            record.id.is_empty() && (record.group, record.from) == (group, from) && Wall(record.wall) >= since
        };
        of_number.rev().find(is_own)
    }

    /// The receipts from that number over that group since `since`.
    pub(super) fn of(&self, from: u64, group: u16, since: Wall) -> Vec<InboundRecord> {
        let (first, last) = ((0, (0, 0)), (u64::MAX, (u32::MAX, u32::MAX)));
        let places = self.by_recipient.range((from, first)..=(from, last)).map(|(_, place)| *place);
        let found = places.filter_map(|place| self.record(place));
        found.filter(|record| record.group == group && Wall(record.wall) >= since).cloned().collect()
    }

    /// Forgets receipts that came before `horizon`; returns them in the order in which they were parked.
    pub(super) fn expire(&mut self, horizon: Wall) -> Vec<Orphan> {
        let old = |orphan: &&Orphan| Wall(orphan.record.wall) < horizon;
        let found = self.parked.values().flatten().filter(old);
        let mut places: Vec<_> = found.map(|orphan| (orphan.at, place_of(&orphan.record))).collect();
        places.sort_unstable();
        places.into_iter().filter_map(|(_, place)| self.take_out(place)).collect()
    }

    /// Takes out the receipt of the same id and number.
    pub(super) fn remove(&mut self, record: &InboundRecord) -> Option<Orphan> {
        self.take_out(place_of(record))
    }

    fn take_out(&mut self, place: Place) -> Option<Orphan> {
        let key = place.0;
        let of_id = self.parked.get_mut(&key)?;
        let orphan = of_id.remove(of_id.iter().position(|orphan| place_of(&orphan.record) == place)?);
        let is_last = of_id.is_empty();
        self.by_recipient.remove(&(orphan.record.from, place));
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
    let key = match record.id.is_empty() {
        true => nameless_key(record.group, record.from),
        false => id_key(u64::from(record.group), &record.id),
    };
    (key, record.tails)
}

/// Stands for the key of an id where there is none: receipts without an id are kept by number.
fn nameless_key(group: u16, from: u64) -> u64 {
    mix(from ^ u64::from(group) << 48)
}

/// What a parked receipt says about whose it is.
pub(super) fn whose(record: &InboundRecord, is_number_ignored: bool) -> Whose {
    let (source, destination) = record.tails;
    let numbers = Numbers { source: Tail::from_index(source), destination: Tail::from_index(destination) };
    let InboundRecord { from: number, is_untyped, is_ambiguous: is_shared, .. } = *record;
    Whose { number, numbers, is_number_ignored, is_untyped, is_shared }
}

fn aliases_of(record: &InboundRecord) -> impl Iterator<Item = u64> {
    let candidates = Dialect::default().candidates(u64::from(record.group), &record.id);
    candidates.filter(|candidate| candidate.form != IdRelation::Same).map(|candidate| candidate.key)
}

fn is_final(record: &InboundRecord) -> bool {
    ReceiptState::from_index(record.state).is_some_and(ReceiptState::is_final)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(commit: u64, id: &str, from: u64, state: u8) -> Orphan {
        let tails = (Tail::of(from).index(), Tail::NONE.index());
        let record =
            InboundRecord { wall: commit, group: 1, from, tails, id: id.into(), state, ..InboundRecord::default() };
        Orphan { at: (commit, 0), is_foreign: false, is_on_disk: true, record }
    }

    fn take(orphans: &mut Orphans, id: &str, recipient: u64) -> Option<u64> {
        take_by(orphans, id, recipient, (Dialect::default(), false))
    }

    fn take_by(orphans: &mut Orphans, id: &str, recipient: u64, writes: Writes) -> Option<u64> {
        let note = ReceiptNote::of_one_part(id_key(1, id.as_bytes()), recipient, 1);
        orphans.take(&note, true, |_| writes).map(|orphan| orphan.at.0)
    }

    const DELIVERED: u8 = 2;
    const ENROUTE: u8 = 1;

    /// Two numbers under one id, and one under another. Returns the invariant that `change` breaks.
    fn breach(change: fn(&mut Orphans)) -> u8 {
        let mut orphans = Orphans::new(1, 3, 1);
        for (commit, id, from) in [(1, "255", 77), (2, "255", 78), (3, "9", 77)] {
            orphans.insert(Orphan { is_foreign: commit == 3, ..orphan(commit, id, from, DELIVERED) });
        }
        assert_eq!(orphans.check(), Ok(()));
        change(&mut orphans);
        orphans.check().expect_err("a breach").number
    }

    fn of_id<'a>(orphans: &'a mut Orphans, id: &str) -> &'a mut Vec<Orphan> {
        orphans.parked.get_mut(&id_key(1, id.as_bytes())).expect("parked")
    }

    #[test]
    fn breaking_invariant_1_parks_two_of_one_number_under_one_id() {
        assert_eq!(breach(|orphans| drop(of_id(orphans, "255").drain(..))), 1, "nothing under an id");
        let same = |orphans: &mut Orphans| {
            let again = orphan(1, "255", 77, DELIVERED);
            of_id(orphans, "255").push(again);
        };
        assert_eq!(breach(same), 1);
        let other = |orphans: &mut Orphans| {
            let gone = of_id(orphans, "9").remove(0);
            of_id(orphans, "255").push(gone);
        };
        assert_eq!(breach(other), 1, "under another's id");
    }

    #[test]
    fn breaking_invariant_2_leaves_an_alias_behind() {
        assert_eq!(breach(|orphans| assert!(orphans.aliases.insert(5, id_key(1, b"9")).is_none())), 2);
        assert_eq!(breach(|orphans| assert!(orphans.aliases.insert(5, 6).is_none())), 2);
    }

    #[test]
    fn breaking_invariant_3_forgets_a_number_or_an_age() {
        assert_eq!(breach(|orphans| assert!(orphans.by_recipient.pop_first().is_some())), 3);
        assert_eq!(breach(|orphans| assert!(orphans.by_age[1].pop_first().is_some())), 3);
        let exchanged = |orphans: &mut Orphans| {
            let foreign = orphans.by_age[0].pop_first().expect("one");
            orphans.by_age[1].insert(foreign);
        };
        assert_eq!(breach(exchanged), 3);
        assert_eq!(breach(|orphans| drop(of_id(orphans, "255").pop())), 3);
    }

    #[test]
    fn breaking_invariant_4_keeps_more_than_there_may_be() {
        let insert = |orphans: &mut Orphans, is_foreign: bool| {
            drop(orphans.insert(Orphan { is_foreign, ..orphan(4, "8", 79, DELIVERED) }));
        };
        let mut orphans = Orphans::new(1, 1, 1);
        insert(&mut orphans, false);
        assert_eq!(orphans.check(), Ok(()));
        drop(orphans.insert(orphan(5, "7", 79, DELIVERED)));
        assert_eq!(orphans.check().expect_err("a breach").number, 4, "none was shed");
        assert!(orphans.shed().is_some());
        assert_eq!(orphans.check(), Ok(()));
        let mut orphans = Orphans::new(1, 9, 0);
        insert(&mut orphans, true);
        assert_eq!(orphans.check().expect_err("a breach").number, 4, "foreign ones");
    }

    #[test]
    fn is_found_by_the_response_in_another_form_if_the_recipient_fits() {
        let mut orphans = Orphans::new(1, 9, 9);
        assert!(orphans.insert(orphan(1, "255", 77, DELIVERED)).is_none());
        assert_eq!(take(&mut orphans, "FF", 78), None);
        assert_eq!(take(&mut orphans, "FF", 77), Some(1));
        assert!(take(&mut orphans, "FF", 77).is_none() && orphans.aliases.is_empty());
        // Receipts of two numbers under one id.
        [(3, 77), (4, 78)]
            .into_iter()
            .for_each(|(commit, from)| drop(orphans.insert(orphan(commit, "255", from, DELIVERED))));
        assert_eq!([77, 78].map(|recipient| take(&mut orphans, "FF", recipient)), [Some(3), Some(4)]);
        assert!(orphans.parked.is_empty() && orphans.aliases.is_empty());
    }

    /// Field K5: another number's receipt settled what was given its id.
    #[test]
    fn one_that_names_no_number_is_taken_if_it_is_alone_and_one_that_names_another_never() {
        let parked = |ids: &[(&str, u64)]| {
            let mut orphans = Orphans::new(1, 9, 9);
            for (commit, (id, from)) in (1..).zip(ids) {
                orphans.insert(orphan(commit, id, *from, DELIVERED));
            }
            orphans
        };
        assert_eq!(take(&mut parked(&[("255", 0)]), "0255", 77), Some(1));
        assert_eq!(take(&mut parked(&[("255", 78)]), "255", 77), None, "another's");
        assert_eq!(take(&mut parked(&[("255", 0), ("255", 77)]), "255", 77), Some(2), "its own");
        assert_eq!(take(&mut parked(&[("255", 0)]), "FF", 77), None, "a guess");
        let told = Dialect::told(IdRelation::DecimalToHex);
        assert_eq!(take_by(&mut parked(&[("255", 0)]), "FF", 77, (told, false)), Some(1));
        assert_eq!(take_by(&mut parked(&[("255", 77)]), "255", 77, (told, false)), None, "it means another id");
        assert_eq!(take_by(&mut parked(&[("255", 78)]), "255", 77, (Dialect::default(), true)), Some(1), "ignored");
        assert_eq!(take_by(&mut parked(&[("255", 78), ("255", 79)]), "255", 77, (Dialect::default(), true)), None);
        let beside = ReceiptNote::of_one_part(id_key(1, b"255"), 77, 1);
        assert!(parked(&[("255", 0)]).take(&beside, false, |_| (Dialect::default(), false)).is_none());
        for (is_ambiguous, is_untyped) in [(true, false), (false, true)] {
            let mut orphans = Orphans::new(1, 9, 9);
            for (commit, from) in [(1, 0), (2, 77)] {
                let mut odd = orphan(commit, "255", from, DELIVERED);
                (odd.record.is_ambiguous, odd.record.is_untyped) = (is_ambiguous, is_untyped);
                orphans.insert(odd);
            }
            assert_eq!([77, 77].map(|recipient| take(&mut orphans, "255", recipient)), [Some(2), None]);
        }
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
        let mut taken = |recipient| take(&mut orphans, "9", recipient);
        assert_eq!([78, 77].map(&mut taken), [Some(2), Some(1)]);
        assert_eq!([90, 79, 79, 80].map(taken), [None, Some(3), None, Some(4)]);
        assert!(orphans.by_recipient.is_empty() && orphans.by_age.iter().all(BTreeSet::is_empty));
    }

    #[test]
    fn of_too_many_numbers_under_one_id_the_oldest_goes() {
        let mut orphans = Orphans::new(1, 99, 99);
        let most = NUMBERS_PER_ID_MAX as u64;
        for commit in 1..=most {
            assert!(orphans.insert(orphan(commit, "9", 100 + commit, ENROUTE)).is_none());
        }
        // The first is replaced by another of its number, and is then the newest.
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
