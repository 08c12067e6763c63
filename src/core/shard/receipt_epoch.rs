//! The open epoch of receipts: parts that wait for receipts, in the order in which carriers took them.
//!
//! It is bounded. When it is full, the older half is sealed into a sorted run, to which only the parts without an answer are
//! written.
//!
//! A carrier may give an id again. Parts under one id to different numbers are all kept, each entry leading to the one before it.
//! A part to the same number replaces the older one.

use std::collections::VecDeque;
use std::ops::Range;

use crate::model::Pieces;
use crate::model::prng::mix;
use crate::store::record::ReceiptNote;

/// Most numbers for which parts of one id are told apart; if there are more, the oldest part is forgotten. A search looks at no
/// more entries than this.
pub(super) const NUMBERS_PER_ID_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Answered,
    /// Its wait is over: a receipt that still comes is late.
    Late,
    /// It was replaced, or forgotten as the oldest of its id: it is ignored everywhere.
    Void,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    note: ReceiptNote,
    /// The number of the entry of the same key that was added before this one. If it is not below this entry's own number, there
    /// is none, or it has left the ring.
    older: u32,
    state: State,
}

const _: () = assert!(size_of::<Entry>() == 48, "a link to an older entry takes room that was padding");

/// Where the newest entry of a key is, with half of the key's hash. With the half at hand, a table that grows, or that meets
/// another key in the same bucket, need not look into the ring, which is far larger than a cache.
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

/// How many parts wait for each recipient, as far as entries have been looked at.
#[derive(Debug)]
struct Recipients {
    /// The number of the entry to look at next.
    upto: u32,
    waiting: Pieces<Waiting, 64>,
}

/// The parts that wait for one recipient in one group.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    recipient: u64,
    group: u16,
    count: u32,
    /// The entry numbers of all these parts, combined by exclusive or. With one part left, it is that part's number.
    numbers: u32,
}

impl Recipients {
    fn hash(group: u16, recipient: u64) -> u64 {
        mix(recipient ^ u64::from(group) << 48)
    }

    fn find(&self, group: u16, recipient: u64) -> Option<&Waiting> {
        let is_same = |known: &Waiting| (known.recipient, known.group) == (recipient, group);
        self.waiting.find(Self::hash(group, recipient), is_same)
    }

    fn add(&mut self, note: &ReceiptNote, number: u32) {
        let ReceiptNote { recipient, group, .. } = *note;
        let is_same = |known: &Waiting| (known.recipient, known.group) == (recipient, group);
        match self.waiting.find_mut(Self::hash(group, recipient), is_same) {
            Some(known) => (known.count, known.numbers) = (known.count + 1, known.numbers ^ number),
            None => {
                let first = Waiting { recipient, group, count: 1, numbers: number };
                let hash = |known: &Waiting| Self::hash(known.group, known.recipient);
                self.waiting.insert_unique(hash(&first), first, hash);
            }
        }
    }

    fn remove(&mut self, note: &ReceiptNote, number: u32) {
        let ReceiptNote { recipient, group, .. } = *note;
        let hash = Self::hash(group, recipient);
        let is_same = |known: &Waiting| (known.recipient, known.group) == (recipient, group);
        let Some(known) = self.waiting.find_mut(hash, is_same) else { return };
        (known.count, known.numbers) = (known.count - 1, known.numbers ^ number);
        if known.count == 0 {
            self.waiting.remove(hash, is_same);
        }
    }
}

/// A ring of entries and a table that finds them by key: about 57 bytes for each entry.
#[derive(Debug, Default)]
pub(super) struct ReceiptEpoch {
    ring: VecDeque<Entry>,
    /// Entries that have left the ring at its front: index + `gone` = number.
    gone: u32,
    table: Pieces<Place, 64>,
    /// Commits whose entries are in the ring, oldest first, each with how many of its entries are left.
    commits: VecDeque<(u64, usize)>,
    /// Entries at the ring's end that belong to the batch being gathered.
    uncommitted: usize,
    /// Entries that wait.
    unanswered: usize,
    /// `None` until `learn_recipients` is called for the first time.
    recipients: Option<Recipients>,
    /// The number of the first entry whose wait may not be over yet.
    patient_from: u32,
}

impl ReceiptEpoch {
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Parts in the epoch whose final receipt is missing.
    pub(super) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Adds a part. Returns the older part that it replaces or drives out, if that was answered.
    pub(super) fn insert(&mut self, note: ReceiptNote) -> Option<ReceiptNote> {
        let place = Place { number: self.gone.wrapping_add(self.ring.len() as u32), half: half(note.key) };
        let (ring, gone) = (&self.ring, self.gone);
        let at = |place: &Place| ring.get(place.number.wrapping_sub(gone) as usize);
        let is_same =
            |known: &Place| known.half == place.half && at(known).is_some_and(|entry| entry.note.key == note.key);
        let older = match self.table.find_mut(hash(place.half), is_same) {
            Some(known) => std::mem::replace(known, place).number,
            None => {
                self.table.insert_unique(hash(place.half), place, |known| hash(known.half));
                place.number
            }
        };
        let is_next = |recipients: &&mut Recipients| recipients.upto == place.number;
        if let Some(recipients) = self.recipients.as_mut().filter(is_next) {
            recipients.add(&note, place.number);
            recipients.upto = place.number.wrapping_add(1);
        }
        self.ring.push_back(Entry { note, older, state: State::Waits });
        self.uncommitted += 1;
        self.unanswered += 1;
        if older == place.number { None } else { self.give_way(&note) }
    }

    /// Removes the entry to the same number as the newest of a key, or the oldest if the key has too many numbers.
    fn give_way(&mut self, newest: &ReceiptNote) -> Option<ReceiptNote> {
        let (mut newer, mut numbers) = (self.ring.len().checked_sub(1)?, 1);
        while let Some(at) = self.older(newer) {
            if self.ring[at].note.recipient == newest.recipient || numbers == NUMBERS_PER_ID_MAX {
                return self.unlink(newer, at);
            }
            (newer, numbers) = (at, numbers + 1);
        }
        None
    }

    fn unlink(&mut self, newer: usize, at: usize) -> Option<ReceiptNote> {
        // An entry that leads to itself has no older one.
        let next = self.older(at).unwrap_or(newer);
        self.ring[newer].older = self.gone.wrapping_add(next as u32);
        let was = std::mem::replace(&mut self.ring[at].state, State::Void);
        self.unanswered -= usize::from(was == State::Waits);
        let note = self.ring[at].note;
        if was == State::Waits {
            Self::note_end(&mut self.recipients, &note, self.gone.wrapping_add(at as u32), self.gone);
        }
        (was == State::Answered).then_some(note)
    }

    /// Everything added since the last call belongs to that commit.
    pub(super) fn committed(&mut self, commit: u64) {
        match std::mem::take(&mut self.uncommitted) {
            0 => {}
            entries => self.commits.push_back((commit, entries)),
        }
    }

    /// The index of the newest entry of a key.
    fn position(&self, key: u64) -> Option<usize> {
        let (half, index) = (half(key), |place: &Place| place.number.wrapping_sub(self.gone) as usize);
        let is_same = |place: &Place| {
            place.half == half && self.ring.get(index(place)).is_some_and(|entry| entry.note.key == key)
        };
        self.table.find(hash(half), is_same).map(index)
    }

    /// The index of the entry of the same key before that one.
    fn older(&self, at: usize) -> Option<usize> {
        let older = self.ring.get(at)?.older.wrapping_sub(self.gone) as usize;
        (older < at).then_some(older)
    }

    fn to_number(&self, newest: usize, recipient: u64) -> Option<usize> {
        let mut all = std::iter::successors(Some(newest), |at| self.older(*at));
        all.find(|at| self.ring[*at].note.recipient == recipient)
    }

    /// The parts that wait, or waited, under this key, newest first; each with whether it waits no longer.
    pub(super) fn of_id(&self, key: u64) -> impl Iterator<Item = (ReceiptNote, bool)> {
        let all = std::iter::successors(self.position(key), |at| self.older(*at));
        all.map(|at| (self.ring[at].note, self.ring[at].state != State::Waits))
    }

    /// The part under this key to that number.
    pub(super) fn find(&self, key: u64, recipient: u64) -> Option<(ReceiptNote, bool)> {
        self.of_id(key).find(|(note, _)| note.recipient == recipient)
    }

    /// Learns from so many more entries which parts wait for which recipient. Returns whether all entries are learned. Few
    /// carriers leave ids out, so nothing is learned before a receipt without an id comes.
    pub(super) fn learn_recipients(&mut self, entries: usize) -> bool {
        let Self { ring, gone, recipients, .. } = self;
        let recipients = recipients.get_or_insert_with(|| Recipients { upto: *gone, waiting: Pieces::default() });
        let from = recipients.upto.wrapping_sub(*gone) as usize;
        for entry in ring.range(from..ring.len().min(from + entries)) {
            if entry.state == State::Waits {
                recipients.add(&entry.note, recipients.upto);
            }
            recipients.upto = recipients.upto.wrapping_add(1);
        }
        from + entries >= ring.len()
    }

    /// How many parts to that recipient wait for receipts of that group, and the part if it is the only one. All entries must
    /// have been [learned](Self::learn_recipients).
    pub(super) fn waiting_for(&self, group: u16, recipient: u64) -> (u32, Option<ReceiptNote>) {
        let waiting = self.recipients.as_ref().and_then(|recipients| recipients.find(group, recipient));
        let Some(waiting) = waiting else { return (0, None) };
        let sole = self.ring.get(waiting.numbers.wrapping_sub(self.gone) as usize).filter(|_| waiting.count == 1);
        (waiting.count, sole.map(|entry| entry.note))
    }

    /// Ends the wait of the oldest entries that waited until `now` (seconds). Looks at `entries` entries, and stops at the first
    /// that still waits: those after it wait longer than they must.
    pub(super) fn forget_patience(&mut self, now: u32, entries: usize) {
        let Self { ring, gone, recipients, unanswered, patient_from, .. } = self;
        let from = (patient_from.wrapping_sub(*gone) as usize).min(ring.len());
        for (at, entry) in ring.iter_mut().enumerate().skip(from).take(entries) {
            if entry.state == State::Waits {
                if entry.note.until > now {
                    break;
                }
                entry.state = State::Late;
                *unanswered -= 1;
                Self::note_end(recipients, &entry.note, gone.wrapping_add(at as u32), *gone);
            }
            *patient_from = gone.wrapping_add(at as u32).wrapping_add(1);
        }
    }

    /// An entry has stopped waiting: it is taken out of what is known of recipients.
    fn note_end(recipients: &mut Option<Recipients>, note: &ReceiptNote, number: u32, gone: u32) {
        if let Some(recipients) = recipients
            && number.wrapping_sub(gone) < recipients.upto.wrapping_sub(gone)
        {
            recipients.remove(note, number);
        }
    }

    /// The final receipt of the part under this key to that number came. Returns false if the epoch does not hold the part.
    pub(super) fn answer(&mut self, key: u64, recipient: u64) -> bool {
        let at = self.position(key).and_then(|newest| self.to_number(newest, recipient));
        let Some((at, entry)) = at.and_then(|at| Some((at, self.ring.get_mut(at)?))) else { return false };
        let was = std::mem::replace(&mut entry.state, State::Answered);
        self.unanswered -= usize::from(was == State::Waits);
        if was == State::Waits {
            Self::note_end(&mut self.recipients, &entry.note, self.gone.wrapping_add(at as u32), self.gone);
        }
        true
    }

    /// The parts that still wait among these entries, oldest first; entries are counted from the oldest.
    pub(super) fn waiting_of(&self, entries: Range<usize>) -> impl Iterator<Item = ReceiptNote> {
        let some = self.ring.range(entries).filter(|entry| entry.state == State::Waits);
        some.map(|entry| entry.note)
    }

    /// Removes the oldest `entries`, which are in a run or answered. `left` is called with each part, and whether it was
    /// answered.
    pub(super) fn forget(&mut self, entries: usize, mut left: impl FnMut(&ReceiptNote, bool)) {
        for _ in 0..entries.min(self.ring.len()) {
            if let Some(entry) = self.ring.pop_front() {
                if !matches!(entry.state, State::Void | State::Late) {
                    left(&entry.note, entry.state == State::Answered);
                }
                self.unanswered -= usize::from(entry.state == State::Waits);
                let number = self.gone;
                if self.patient_from == number {
                    self.patient_from = number.wrapping_add(1);
                }
                match &mut self.recipients {
                    Some(recipients) if recipients.upto == number => recipients.upto = number.wrapping_add(1),
                    recipients if entry.state == State::Waits => {
                        Self::note_end(recipients, &entry.note, number, number);
                    }
                    _ => {}
                }
                self.table.remove(hash(half(entry.note.key)), |known| known.number == number);
            }
            self.gone = self.gone.wrapping_add(1);
            match self.commits.front_mut() {
                Some((_, left)) if *left > 1 => *left -= 1,
                Some(_) => drop(self.commits.pop_front()),
                None => {
                    debug_assert!(self.uncommitted > 0, "each entry is of a commit, or of the batch to come");
                    self.uncommitted = self.uncommitted.saturating_sub(1);
                }
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

    const ANNA: u64 = 4_915_112_345_001;

    fn note(key: u64) -> ReceiptNote {
        ReceiptNote::of_one_part(key, ANNA, key)
    }

    /// The same id, for another number.
    fn to(key: u64, recipient: u64) -> ReceiptNote {
        ReceiptNote { recipient, address: recipient, ..note(key) }
    }

    fn insert(epoch: &mut ReceiptEpoch, note: ReceiptNote) -> Option<u64> {
        epoch.insert(note).map(|note| note.recipient)
    }

    /// The part to that number, else the newest.
    fn found(epoch: &ReceiptEpoch, key: u64, recipient: u64) -> Option<(u64, bool)> {
        let found = epoch.find(key, recipient).or_else(|| epoch.of_id(key).next());
        found.map(|(note, answered)| (note.address, answered))
    }

    #[test]
    fn seals_only_what_is_unanswered() {
        let mut epoch = ReceiptEpoch::default();
        for key in [5, 3, 9] {
            epoch.insert(note(key));
        }
        epoch.committed(1);
        epoch.insert(note(7));
        epoch.committed(2);
        epoch.answer(3, ANNA);
        epoch.answer(3, ANNA);
        assert_eq!((found(&epoch, 3, ANNA), epoch.unanswered()), (Some((3, true)), 3));
        let keys: Vec<_> = epoch.waiting_of(0..3).map(|note| note.key).collect();
        assert_eq!(keys, vec![5, 9]);
        let mut left = Vec::new();
        epoch.forget(3, |note, answered| left.push((note.key, answered)));
        assert_eq!((epoch.find(5, ANNA), epoch.len(), epoch.first_commit()), (None, 1, Some(2)));
        assert_eq!(left, vec![(5, false), (3, true), (9, false)]);
        assert!(epoch.find(7, ANNA).is_some() && epoch.unanswered() == 1);
        epoch.insert(note(8));
        epoch.forget(2, |_, _| {});
        epoch.insert(note(6));
        epoch.committed(3);
        epoch.forget(1, |_, _| {});
        assert_eq!(
            (epoch.len(), epoch.first_commit()),
            (0, None),
            "what is forgotten before its commit counts nowhere"
        );
    }

    #[test]
    fn an_id_given_again_to_the_same_number_belongs_to_the_new_message() {
        let mut epoch = ReceiptEpoch::default();
        epoch.insert(note(1));
        epoch.answer(1, ANNA);
        assert_eq!(epoch.unanswered(), 0);
        assert_eq!(insert(&mut epoch, ReceiptNote { address: 77, ..note(1) }), Some(ANNA));
        assert_eq!((epoch.unanswered(), found(&epoch, 1, ANNA)), (1, Some((77, false))));
        let mut left = Vec::new();
        epoch.forget(1, |note, _| left.push(note.address));
        assert_eq!((left.len(), found(&epoch, 1, ANNA), epoch.unanswered()), (0, Some((77, false)), 1));
        assert_eq!(insert(&mut epoch, note(1)), None);
        assert_eq!((epoch.unanswered(), epoch.waiting_of(0..2).count()), (1, 1));
        epoch.forget(1, |_, _| {});
        assert_eq!((epoch.len(), epoch.unanswered()), (1, 1));
    }

    #[test]
    fn parts_of_one_id_to_several_numbers_stand_side_by_side() {
        let mut epoch = ReceiptEpoch::default();
        epoch.insert(note(2));
        for number in [11, 12, 13] {
            epoch.insert(to(1, number));
        }
        assert_eq!([11, 12, 13].map(|number| found(&epoch, 1, number)), [11, 12, 13].map(|own| Some((own, false))));
        assert_eq!(found(&epoch, 1, 99), Some((13, false)), "no part to that number: the newest");
        assert!(epoch.answer(1, 12) && !epoch.answer(1, 99));
        assert_eq!(
            (epoch.unanswered(), found(&epoch, 1, 12), found(&epoch, 1, 11)),
            (3, Some((12, true)), Some((11, false)))
        );
        // The one in the middle is replaced by its successor, and the oldest is still found.
        assert_eq!(insert(&mut epoch, ReceiptNote { address: 120, ..to(1, 12) }), Some(12));
        assert_eq!([11, 12, 13].map(|number| found(&epoch, 1, number)), [11, 120, 13].map(|own| Some((own, false))));
        assert_eq!(epoch.unanswered(), 4);
        let sealed: Vec<_> = epoch.waiting_of(0..5).map(|note| (note.key, note.address)).collect();
        assert_eq!(sealed, [(2, 2), (1, 11), (1, 13), (1, 120)]);
        epoch.forget(2, |_, _| {});
        assert_eq!((found(&epoch, 1, 11), found(&epoch, 1, 13)), (Some((120, false)), Some((13, false))));
        epoch.forget(3, |_, _| {});
        assert_eq!((found(&epoch, 1, 12), epoch.len(), epoch.unanswered()), (None, 0, 0));
        assert!(epoch.table.is_empty());
    }

    #[test]
    fn of_too_many_numbers_under_one_id_the_oldest_counts_no_longer() {
        let mut epoch = ReceiptEpoch::default();
        let most = NUMBERS_PER_ID_MAX as u64;
        for number in 1..=most {
            assert_eq!(insert(&mut epoch, to(1, number)), None);
        }
        epoch.answer(1, 2);
        assert_eq!(epoch.unanswered(), NUMBERS_PER_ID_MAX - 1);
        assert_eq!(insert(&mut epoch, to(1, most + 1)), None);
        assert_eq!((found(&epoch, 1, 1), found(&epoch, 1, 2)), (Some((most + 1, false)), Some((2, true))));
        assert_eq!(epoch.unanswered(), NUMBERS_PER_ID_MAX - 1);
        assert_eq!(insert(&mut epoch, to(1, most + 2)), Some(2), "it was answered, which is to be remembered");
        assert_eq!(found(&epoch, 1, 3), Some((3, false)));
        let mut left = Vec::new();
        epoch.forget(usize::MAX, |note, answered| left.push((note.recipient, answered)));
        assert_eq!(left, (3..=most + 2).map(|number| (number, false)).collect::<Vec<_>>());
        assert_eq!(epoch.unanswered(), 0);
    }

    /// Entry numbers wrap around after 2³².
    #[test]
    fn entries_are_linked_over_the_end_of_their_numbers() {
        let mut epoch = ReceiptEpoch { gone: u32::MAX - 1, ..ReceiptEpoch::default() };
        for number in [11, 12, 13] {
            epoch.insert(to(1, number));
        }
        assert_eq!([11, 12, 13].map(|number| found(&epoch, 1, number)), [11, 12, 13].map(|own| Some((own, false))));
        epoch.forget(2, |_, _| {});
        assert_eq!((epoch.gone, found(&epoch, 1, 11), epoch.unanswered()), (0, Some((13, false)), 1));
    }

    /// Compared, at random, with a list that is searched from its end.
    #[test]
    fn finds_what_a_plain_list_finds() {
        let mut prng = crate::model::prng::Prng::new(7);
        for _ in 0..200 {
            let mut epoch = ReceiptEpoch::default();
            let mut list: Vec<(u64, u64, u64, bool)> = Vec::new();
            for address in 0..60 {
                let (key, number) = (prng.below(3), prng.between(1, 6));
                match prng.below(8) {
                    0 => {
                        let known = list.iter_mut().find(|known| (known.0, known.1) == (key, number));
                        assert_eq!(epoch.answer(key, number), known.map(|known| known.3 = true).is_some());
                    }
                    1 if epoch.len() > 0 => {
                        epoch.forget(1, |note, _| list.retain(|known| known.2 != note.address));
                    }
                    _ => {
                        list.retain(|known| (known.0, known.1) != (key, number));
                        list.push((key, number, address, false));
                        epoch.insert(ReceiptNote { address, ..to(key, number) });
                    }
                }
                for (key, number) in (0..3).flat_map(|key| (1..8).map(move |number| (key, number))) {
                    let of_key = || list.iter().rev().filter(|known| known.0 == key);
                    let known = of_key().find(|known| known.1 == number).or_else(|| of_key().next());
                    assert_eq!(found(&epoch, key, number), known.map(|known| (known.2, known.3)));
                }
                assert_eq!(epoch.unanswered(), list.iter().filter(|known| !known.3).count());
                if prng.below(4) == 0 {
                    epoch.learn_recipients(3);
                }
                if epoch.learn_recipients(0) {
                    for number in 1..8 {
                        let to: Vec<_> = list.iter().filter(|known| known.1 == number && !known.3).collect();
                        let sole = match to[..] {
                            [one] => Some(one.2),
                            _ => None,
                        };
                        let waiting = epoch.waiting_for(0, number);
                        assert_eq!((waiting.0 as usize, waiting.1.map(|note| note.address)), (to.len(), sole));
                        assert_eq!(epoch.waiting_for(1, number).0, 0, "another group");
                    }
                }
            }
        }
    }
}
