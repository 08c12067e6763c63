//! Parts that wait for receipts and those whose final receipt has come of late: which part a receipt is about.
//!
//! A carrier may give an id again, and then the number that a receipt comes from says which part is meant. Knows keys and
//! numbers; refuses to know runs (it is told what they hold), what is parked, and what a receipt does to its message.
//!
//! Invariant: a start that takes in each commit's parts and then its answers knows what the shard before it knew.

use std::ops::Range;

use crate::smpp::receipt_id::{Candidate, IdForm};
use crate::store::record::{ReceiptNote, ReceiptsRecord};

use super::answered::Answered;
use super::receipt_epoch::ReceiptEpoch;

/// How many of the latest answered receipts are written down once more when entries leave the epoch.
const ANSWERED_AGAIN_MAX: usize = 16_384;

/// What a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// This part; in which form the receipt has its id, and whether its final receipt came before.
    Part { form: IdForm, note: ReceiptNote, answered: bool },
    /// One whose final receipt came before; no more is known of it.
    Again,
}

#[derive(Debug)]
pub(super) struct Awaited {
    epoch: ReceiptEpoch,
    answered: Answered,
    /// The first commit of entries that leave, while they do.
    leaving_from: Option<u64>,
}

impl Awaited {
    pub(super) fn new(answered_max: usize) -> Self {
        Self { epoch: ReceiptEpoch::default(), answered: Answered::new(answered_max), leaving_from: None }
    }

    /// Entries of the open epoch.
    pub(super) fn len(&self) -> usize {
        self.epoch.len()
    }

    /// Parts in the open epoch whose final receipt is missing.
    pub(super) const fn waiting(&self) -> usize {
        self.epoch.unanswered()
    }

    /// The first commit that a start has to take in.
    pub(super) fn first_commit(&self) -> Option<u64> {
        self.leaving_from.or(self.epoch.first_commit())
    }

    pub(super) fn committed(&mut self, commit: u64) {
        self.epoch.committed(commit);
        self.answered.committed();
    }

    /// A commit that a start has found.
    pub(super) fn replay(&mut self, commit: u64, record: &ReceiptsRecord) {
        for note in &record.entries {
            self.insert(*note);
        }
        for (key, recipient) in &record.answered {
            self.note_answer(*key, *recipient);
        }
        self.committed(commit);
    }

    /// A part waits for its receipt. `said`: what the present turn writes down.
    pub(super) fn wait(&mut self, note: ReceiptNote, said: &mut ReceiptsRecord) {
        let id = (note.key, note.recipient);
        if self.insert(note) || self.answered.forget_said(note.key, note.recipient) {
            // A start would take the answer to the older part for one to this.
            said.answered.retain(|known| *known != id);
        }
        said.entries.push(note);
    }

    /// Whether it takes the place of one that was answered.
    fn insert(&mut self, note: ReceiptNote) -> bool {
        match self.epoch.insert(note) {
            Some(older) if older.recipient == note.recipient => true,
            Some(older) => {
                self.answered.insert(older.key, older.recipient);
                false
            }
            None => false,
        }
    }

    /// The final receipt of the part under that key to that number came, or nobody wants it.
    pub(super) fn answer(&mut self, key: u64, recipient: u64, said: &mut ReceiptsRecord) {
        self.note_answer(key, recipient);
        said.answered.push((key, recipient));
    }

    fn note_answer(&mut self, key: u64, recipient: u64) {
        if !self.epoch.answer(key, recipient) {
            self.answered.insert(key, recipient);
        }
    }

    /// The part of the open epoch that waits, or waited, under this key for a receipt of that number.
    pub(super) fn find(&self, key: u64, recipient: u64) -> Option<(ReceiptNote, bool)> {
        self.epoch.find(key, recipient).filter(|(note, _)| note.recipient == recipient)
    }

    /// What is meant if an id and the number agree, as far as no run is to be asked.
    pub(super) fn by_number(&self, forms: impl Iterator<Item = Candidate> + Clone, number: u64) -> Option<Meant> {
        let waits = forms.clone().find_map(|Candidate { form, key }| {
            self.find(key, number).map(|(note, answered)| Meant::Part { form, note, answered })
        });
        waits.or_else(|| self.is_answered(forms, number).then_some(Meant::Again))
    }

    fn is_answered(&self, mut forms: impl Iterator<Item = Candidate>, number: u64) -> bool {
        forms.any(|candidate| self.answered.holds(candidate.key, number))
    }

    /// Whether the open epoch holds a part that was given that very id.
    pub(super) fn holds_id(&self, forms: impl Iterator<Item = Candidate>) -> bool {
        exact(forms).is_some_and(|candidate| self.epoch.find(candidate.key, 0).is_some())
    }

    /// What is meant. `found`: in the runs, where they were asked.
    pub(super) fn meant(
        &self,
        forms: impl Iterator<Item = Candidate> + Clone,
        number: u64,
        found: Option<(IdForm, ReceiptNote)>,
    ) -> Option<Meant> {
        let known = self.by_number(forms.clone(), number);
        let of_number = found.filter(|(_, note)| note.recipient == number);
        let in_a_run = || of_number.map(|(form, note)| Meant::Part { form, note, answered: false });
        known.or_else(in_a_run).or_else(|| self.by_id(exact(forms)?, found))
    }

    /// What is meant if no part of that number is known: the newest that was given that very id, for a carrier may write numbers
    /// in a way of its own.
    fn by_id(&self, Candidate { form, key }: Candidate, found: Option<(IdForm, ReceiptNote)>) -> Option<Meant> {
        if let Some((note, answered)) = self.epoch.find(key, 0) {
            return Some(Meant::Part { form, note, answered });
        }
        match found {
            Some((_, note)) if self.answered.holds(note.key, note.recipient) => Some(Meant::Again),
            Some((form, note)) => Some(Meant::Part { form, note, answered: false }),
            None => self.answered.holds_id(key).then_some(Meant::Again),
        }
    }

    /// What is unanswered of these entries of the open epoch, which are counted from the oldest.
    pub(super) fn unanswered(&self, entries: Range<usize>) -> impl Iterator<Item = ReceiptNote> {
        self.epoch.waiting_of(entries)
    }

    /// The oldest entries of the epoch leave it. A start still takes in their commits, until the answers that stand in them
    /// have been [said again](Self::say_again).
    pub(super) fn forget_oldest(&mut self, entries: usize) {
        let Self { epoch, answered, leaving_from } = self;
        *leaving_from = leaving_from.or(epoch.first_commit());
        epoch.forget(entries, |note, is_answered| match is_answered {
            true => answered.insert(note.key, note.recipient),
            // A run answers for it, and an older part of its id and number is no longer meant.
            false => answered.forget(note.key, note.recipient),
        });
    }

    /// With the entries that have left go, after a restart, the commits that say what was answered; of the latest it is said
    /// again, for a carrier that heard no answer delivers once more after its reconnection.
    pub(super) fn say_again(&mut self, said: &mut ReceiptsRecord) {
        self.leaving_from = None;
        self.answered.say(ANSWERED_AGAIN_MAX);
        let again = self.answered.latest(ANSWERED_AGAIN_MAX);
        // Of what the epoch holds a start knows it by the part's own commits.
        said.answered.extend(again.filter(|(key, recipient)| self.find(*key, *recipient).is_none()));
    }
}

/// That very id, but for case, leading zeros and blanks.
fn exact(mut forms: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    forms.find(|candidate| candidate.form == IdForm::Same)
}
