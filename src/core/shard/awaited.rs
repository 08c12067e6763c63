//! Parts that wait for receipts and those whose final receipt has come of late: which part a receipt is about.
//!
//! A carrier may give an id again, and then the numbers that a receipt names say which part is meant. A part whose recipient they
//! agree with goes before all others, in whatever form its id is written; one that they contradict is never meant; of those
//! that they say nothing of only one that is alone can be, and its id must be written as its carrier does.
//!
//! Knows keys and numbers; refuses to know runs (it is told what they hold), what is parked, and what a receipt does to its
//! message.
//!
//! Invariant: a start that takes in each commit's parts and then its answers knows what the shard before it knew.

use std::ops::Range;

use crate::model::{Agreement, Numbers};
use crate::store::record::{ReceiptNote, ReceiptsRecord};
use stentor_smpp::receipt_id::{Candidate, IdForm};

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
    /// Any of several, and nothing tells them apart.
    Several,
    /// Its id is known, but of parts that went to other numbers.
    Others,
    /// Nothing that is known here.
    Nothing,
}

/// Whose a receipt is, as far as it says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whose {
    /// The number that it comes from, in international form; 0 if it has no such.
    pub number: u64,
    pub numbers: Numbers,
    /// Its carrier writes numbers so that they say nothing against a part.
    pub is_number_ignored: bool,
    /// Only its text looks like a receipt, and any handset can send that: its number must agree.
    pub is_untyped: bool,
    /// A part that its numbers do not name is not the only one that it may be about.
    pub is_shared: bool,
}

impl Whose {
    pub(super) fn agreement(&self, note: &ReceiptNote) -> Agreement {
        note.agreement(self.numbers, self.is_number_ignored)
    }

    /// It says nothing, of whatever part.
    const fn is_silent(&self) -> bool {
        self.is_number_ignored || self.numbers.source.is_none() && self.numbers.destination.is_none()
    }
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
        self.epoch.find(key, recipient)
    }

    /// Whether another part of that id waits, whatever its number.
    pub(super) fn waits_beside(&self, note: &ReceiptNote) -> bool {
        self.epoch.of_id(note.key).any(|(known, answered)| !answered && known.recipient != note.recipient)
    }

    /// What is meant if the numbers agree, as far as no run is to be asked.
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

    /// What is meant. `found`: in the runs, where they were asked.
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

    /// What is meant where no number agrees. Parts whose time is over are nobody's.
    fn not_agreeing(
        &self,
        forms: impl Iterator<Item = Candidate> + Clone,
        whose: &Whose,
        found: &[(Candidate, ReceiptNote)],
    ) -> Meant {
        let of_epoch = forms.clone().flat_map(|candidate| {
            self.epoch.of_id(candidate.key).map(move |(note, answered)| (candidate, note, answered))
        });
        // What stands in the open epoch stands there as it is; in a run it does not leave when it is answered.
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
            // A carrier that heard no answer delivers once more: it may be of the one that was answered.
            Some((Candidate { is_proof: true, .. }, _)) if are_several || answered.is_some() || is_again() => {
                Meant::Several
            }
            Some((Candidate { is_proof: true, .. }, _)) if whose.is_untyped || whose.is_shared => Meant::Several,
            Some((Candidate { form, is_proof: true, .. }, note)) => Meant::Part { form, note, answered: false },
            Some(_) if are_several => Meant::Several,
            // A guess alone is no candidate.
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

    /// The oldest parts whose time is over wait no more, seconds; so many are looked at.
    pub(super) fn forget_patience(&mut self, now: u32, entries: usize) {
        self.epoch.forget_patience(now, entries);
    }

    /// Goes on with learning which parts wait for which recipient; whether all are known.
    pub(super) fn learn_recipients(&mut self, entries: usize) -> bool {
        self.epoch.learn_recipients(entries)
    }

    /// How many parts to that recipient wait in the open epoch for receipts of that group, and the part if it is the only one.
    pub(super) fn waiting_for(&self, group: u16, recipient: u64) -> (u32, Option<ReceiptNote>) {
        self.epoch.waiting_for(group, recipient)
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
