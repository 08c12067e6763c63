//! Finds the part that a receipt is about, among parts that wait for receipts and parts whose final receipt came recently.
//!
//! A carrier may give an id again, and then the numbers that a receipt names say which part is meant. A part whose recipient they
//! agree with goes before all others, in whatever form its id is written. A part that they contradict is never meant. A part that
//! they say nothing about is meant only if it is the only one, and only if the receipt writes the id as its carrier does.
//!
//! Knows keys and numbers. Does not know runs (it is told what they hold), parked receipts, or what a receipt does to its
//! message.
//!
//! Invariant: a restart that takes in each commit's parts and then its answers knows what the shard before it knew.

use std::ops::Range;

use crate::model::{Agreement, Numbers};
use crate::store::record::{ReceiptNote, ReceiptsRecord};
use stentor_smpp::receipt_id::{Candidate, IdRelation};

use super::answered::Answered;
use super::receipt_epoch::ReceiptEpoch;

/// How many of the latest answered ids are recorded once more when entries leave the epoch.
const ANSWERED_AGAIN_MAX: usize = 16_384;

/// What a receipt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// This part. `form`: in which form the receipt writes its id; `answered`: its final receipt came before.
    Part { form: IdRelation, note: ReceiptNote, answered: bool },
    /// A part whose final receipt came before; nothing more is known of it.
    Again,
    /// One of several parts, and nothing tells them apart.
    Several,
    /// Its id is known, but only of parts to other numbers.
    Others,
    /// No part that is known here.
    Nothing,
}

/// What a receipt says about whose it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whose {
    /// The number that it comes from, in international form; 0 if it has none.
    pub number: u64,
    pub numbers: Numbers,
    /// Its carrier writes numbers in a form that cannot contradict a part (`dialect.number = "ignore"`).
    pub is_number_ignored: bool,
    /// Only its text looks like a receipt, which any handset can send: its number must agree with the part's.
    pub is_untyped: bool,
    /// Parts elsewhere, of which this shard knows nothing, may have the id too: without an agreeing number it settles nothing.
    pub is_shared: bool,
}

impl Whose {
    pub(super) fn agreement(&self, note: &ReceiptNote) -> Agreement {
        note.agreement(self.numbers, self.is_number_ignored)
    }

    /// Whether it says nothing about any part.
    const fn is_silent(&self) -> bool {
        self.is_number_ignored || self.numbers.source.is_none() && self.numbers.destination.is_none()
    }
}

#[derive(Debug)]
pub(super) struct Awaited {
    epoch: ReceiptEpoch,
    answered: Answered,
    /// While entries leave the epoch: the first commit of those that have left.
    leaving_from: Option<u64>,
}

impl Awaited {
    pub(super) fn new(answered_max: usize) -> Self {
        Self { epoch: ReceiptEpoch::default(), answered: Answered::new(answered_max), leaving_from: None }
    }

    /// The number of entries of the open epoch.
    pub(super) fn len(&self) -> usize {
        self.epoch.len()
    }

    /// Parts in the open epoch whose final receipt is missing.
    pub(super) const fn waiting(&self) -> usize {
        self.epoch.unanswered()
    }

    /// The first commit that a restart has to read.
    pub(super) fn first_commit(&self) -> Option<u64> {
        self.leaving_from.or(self.epoch.first_commit())
    }

    pub(super) fn committed(&mut self, commit: u64) {
        self.epoch.committed(commit);
        self.answered.committed();
    }

    /// Takes in a commit that a start has found.
    pub(super) fn replay(&mut self, commit: u64, record: &ReceiptsRecord) {
        for note in &record.entries {
            self.insert(*note);
        }
        for (key, recipient) in &record.answered {
            self.note_answer(*key, *recipient);
        }
        self.committed(commit);
    }

    /// A part begins to wait for its receipt. `said`: what the present turn records.
    pub(super) fn wait(&mut self, note: ReceiptNote, said: &mut ReceiptsRecord) {
        let id = (note.key, note.recipient);
        if self.insert(note) || self.answered.forget_said(note.key, note.recipient) {
            // Else a restart would take the answer to the older part for an answer to this one.
            said.answered.retain(|known| *known != id);
        }
        said.entries.push(note);
    }

    /// Whether the part replaces one to the same number that was answered.
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

    /// The final receipt of the part under that key to that number came, or its receipt was not asked for.
    pub(super) fn answer(&mut self, key: u64, recipient: u64, said: &mut ReceiptsRecord) {
        self.note_answer(key, recipient);
        said.answered.push((key, recipient));
    }

    fn note_answer(&mut self, key: u64, recipient: u64) {
        if !self.epoch.answer(key, recipient) {
            self.answered.insert(key, recipient);
        }
    }

    /// The part of the open epoch under this key to that number, and whether it waits no longer.
    pub(super) fn find(&self, key: u64, recipient: u64) -> Option<(ReceiptNote, bool)> {
        self.epoch.find(key, recipient)
    }

    /// Whether a part to another number waits under the same id.
    pub(super) fn waits_beside(&self, note: &ReceiptNote) -> bool {
        self.epoch.of_id(note.key).any(|(known, answered)| !answered && known.recipient != note.recipient)
    }

    /// The part whose number agrees, as far as that is known without the runs.
    pub(super) fn agreeing(&self, forms: impl Iterator<Item = Candidate> + Clone, whose: &Whose) -> Option<Meant> {
        let waits = forms.clone().find_map(|Candidate { form, key, .. }| {
            let mut agreeing = None;
            for (note, answered) in self.epoch.of_id(key) {
                if note.recipient == whose.number {
                    return Some(Meant::Part { form, note, answered });
                }
                if agreeing.is_none() && whose.agreement(&note) == Agreement::Agrees {
                    agreeing = Some(Meant::Part { form, note, answered });
                }
            }
            agreeing
        });
        waits.or_else(|| self.is_answered(forms, whose).then_some(Meant::Again))
    }

    fn is_answered(&self, mut forms: impl Iterator<Item = Candidate>, whose: &Whose) -> bool {
        let Numbers { source, destination } = whose.numbers;
        forms.any(|Candidate { key, .. }| [source, destination].iter().any(|tail| self.answered.holds_tail(key, *tail)))
    }

    /// What a receipt is about. `found`: what the runs hold, if they were asked.
    pub(super) fn meant(
        &self,
        forms: impl Iterator<Item = Candidate> + Clone,
        whose: &Whose,
        found: &[(Candidate, ReceiptNote)],
    ) -> Meant {
        let in_a_run = || {
            let (Candidate { form, .. }, note) =
                *found.iter().find(|(_, note)| whose.agreement(note) == Agreement::Agrees)?;
            Some(Meant::Part { form, note, answered: false })
        };
        self.agreeing(forms.clone(), whose).or_else(in_a_run).unwrap_or_else(|| self.not_agreeing(forms, whose, found))
    }

    /// What a receipt is about if no number agrees. Parts whose wait is over are not meant.
    fn not_agreeing(
        &self,
        forms: impl Iterator<Item = Candidate> + Clone,
        whose: &Whose,
        found: &[(Candidate, ReceiptNote)],
    ) -> Meant {
        let of_epoch = forms.clone().flat_map(|candidate| {
            self.epoch.of_id(candidate.key).map(move |(note, answered)| (candidate, note, answered))
        });
        // What the open epoch says of a part is current. A run still holds a part after it is answered.
        let of_runs = found.iter().filter(|(_, note)| self.find(note.key, note.recipient).is_none());
        let of_runs =
            of_runs.map(|(candidate, note)| (*candidate, *note, self.answered.holds(note.key, note.recipient)));
        let (mut waits, mut answered): (Option<(Candidate, ReceiptNote)>, _) = (None, None);
        let (mut are_several, mut are_others) = (false, false);
        for (candidate, note, is_answered) in of_epoch.chain(of_runs) {
            let Candidate { form, is_proof, .. } = candidate;
            match whose.agreement(&note) {
                Agreement::Contradicts => are_others |= is_proof && !is_answered,
                _ if !is_answered => (are_several, waits) = (waits.is_some(), waits.or(Some((candidate, note)))),
                _ if is_proof => answered = answered.or(Some(Meant::Part { form, note, answered: true })),
                _ => {}
            }
        }
        let is_again = || matches!(self.again(forms.clone(), whose), Meant::Again);
        match waits {
            // A carrier that did not hear our answer delivers again: the receipt may be about the part that was answered.
            Some((Candidate { is_proof: true, .. }, _)) if are_several || answered.is_some() || is_again() => {
                Meant::Several
            }
            Some((Candidate { is_proof: true, .. }, _)) if whose.is_untyped || whose.is_shared => Meant::Several,
            Some((Candidate { form, is_proof: true, .. }, note)) => Meant::Part { form, note, answered: false },
            Some(_) if are_several => Meant::Several,
            // A guess alone, the id in another form than the carrier writes, proves nothing.
            Some(_) | None if are_others => Meant::Others,
            Some(_) => Meant::Nothing,
            None => answered.filter(|_| !whose.is_untyped).unwrap_or_else(|| self.again(forms, whose)),
        }
    }

    fn again(&self, forms: impl Iterator<Item = Candidate>, whose: &Whose) -> Meant {
        let mut proofs = forms.filter(|candidate| candidate.is_proof);
        match whose.is_silent() && proofs.any(|candidate| self.answered.holds_id(candidate.key)) {
            true => Meant::Again,
            false => Meant::Nothing,
        }
    }

    /// Ends the wait of the oldest parts whose time is over at `now` (seconds); looks at so many entries.
    pub(super) fn forget_patience(&mut self, now: u32, entries: usize) {
        self.epoch.forget_patience(now, entries);
    }

    /// Learns from so many more entries which parts wait for which recipient. Returns whether all are known.
    pub(super) fn learn_recipients(&mut self, entries: usize) -> bool {
        self.epoch.learn_recipients(entries)
    }

    /// How many parts to that recipient wait in the open epoch for receipts of that group, and the part if it is the only one.
    pub(super) fn waiting_for(&self, group: u16, recipient: u64) -> (u32, Option<ReceiptNote>) {
        self.epoch.waiting_for(group, recipient)
    }

    /// The parts without an answer among these entries of the open epoch, which are counted from the oldest.
    pub(super) fn unanswered(&self, entries: Range<usize>) -> impl Iterator<Item = ReceiptNote> {
        self.epoch.waiting_of(entries)
    }

    /// The oldest entries leave the epoch. A restart still reads their commits, until the answers in these commits have been
    /// [said again](Self::say_again).
    pub(super) fn forget_oldest(&mut self, entries: usize) {
        let Self { epoch, answered, leaving_from } = self;
        *leaving_from = leaving_from.or(epoch.first_commit());
        epoch.forget(entries, |note, is_answered| match is_answered {
            true => answered.insert(note.key, note.recipient),
            // From now on a run answers for it; an older part of its id and number is no longer meant.
            false => answered.forget(note.key, note.recipient),
        });
    }

    /// After entries have left, a restart no longer reads their commits, and these record what was answered. So the latest
    /// answers are recorded again: a carrier that did not hear our answer delivers again after it reconnects.
    pub(super) fn say_again(&mut self, said: &mut ReceiptsRecord) {
        self.leaving_from = None;
        self.answered.say(ANSWERED_AGAIN_MAX);
        let again = self.answered.latest(ANSWERED_AGAIN_MAX);
        // A restart knows the answers to parts that are in the epoch from those parts' own commits.
        said.answered.extend(again.filter(|(key, recipient)| self.find(*key, *recipient).is_none()));
    }
}
