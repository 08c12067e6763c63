//! What carriers answered to attempts, and what follows from it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::delivery::{Disposition, Happened, InDoubt, OpenAttempt, Refused, Resolution, attempt::Gravest};
use crate::model::{Address, CarrierError, Class, Content, DeadLetterReason, Head, Lane, Msisdn, Point, Segment, Wall};
use crate::queue::{DueEntry, InsertReason};
use crate::store::record::{AskedNote, ReceiptNote};
use crate::traffic::{Answer, NotWritten, Outcome, OutcomeBatch};
use stentor_smpp::receipt_id::id_key;

use super::ledger::{Ledger, doubt_note};
use super::turn::Turn;

/// Batches of outcomes that are not fully taken in, and left for later turns. Meanwhile nothing is handed to links: it might
/// overtake messages that come back.
#[derive(Debug, Default)]
pub(super) struct OutcomesLeft {
    /// Each batch with how many of its outcomes are taken in.
    batches: VecDeque<(OutcomeBatch, usize)>,
}

/// A run of outcomes of one batch that is taken in now.
#[derive(Debug)]
pub(super) struct TakenIn {
    pub batch: OutcomeBatch,
    pub from: usize,
    pub upto: usize,
}

impl OutcomesLeft {
    /// Most outcomes that one turn takes in: when a connection is lost, all of its window comes back at once.
    pub(super) const PER_TURN_MAX: usize = 4_096;

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether a batch that has just come is taken in at once.
    pub(super) fn is_at_once(&self, turn: &mut Turn, batch: &OutcomeBatch) -> bool {
        self.batches.is_empty()
            && batch.outcomes.len() <= Self::PER_TURN_MAX
            && !(batch.outcomes.len() > 1 && turn.buggify.at(Point::OutcomesLater))
    }

    /// Leaves a batch for later turns.
    pub(super) fn push(&mut self, batch: OutcomeBatch) {
        self.batches.push_back((batch, 0));
    }

    /// The next outcomes that are left; `None` if there is no more room in this turn.
    pub(super) fn next(&mut self, turn: &Turn, room: usize) -> Option<TakenIn> {
        // If nothing is gathered, no batch will be written whose end would begin another turn. Then one outcome is taken even
        // without room: it costs next to nothing.
        if room == 0 && !turn.gathering.is_empty() {
            return None;
        }
        let (batch, from) = self.batches.pop_front()?;
        let upto = batch.outcomes.len().min(from + room.max(1));
        Some(TakenIn { batch, from, upto })
    }

    /// The outcomes were taken in; the rest of their batch comes next.
    pub(super) fn put_back(&mut self, taken: TakenIn) {
        if taken.upto < taken.batch.outcomes.len() {
            self.batches.push_front((taken.batch, taken.upto));
        }
    }
}

/// What other machines have to do after an answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub then: Then,
    pub receipt: Option<Expected>,
    /// Set if the part's carrier is queried about it.
    pub asked: Option<Box<AskedNote>>,
    /// It was the last outcome of its attempt: the link has nothing of the message any more.
    pub is_over: bool,
}

/// What other machines have to do with a message whose attempt has its last outcome.
#[derive(Debug)]
pub(super) enum Then {
    Nothing,
    /// It goes back to its list.
    Returned(OpenAttempt),
    /// It is in doubt: a parked receipt may settle it, or its class decides.
    InDoubt,
}

/// A part was taken under an id.
#[derive(Debug)]
pub(super) enum Expected {
    /// Its receipt is waited for; with the time at which the attempt began.
    Receipt(ReceiptNote, Wall),
    /// No receipt was asked for; carriers may send one all the same.
    NoReceipt(ReceiptNote),
}

impl Ledger {
    /// Recipients and classes of messages that a link gives back unsent.
    pub(super) fn given_back(&self, batch: &OutcomeBatch) -> BTreeSet<(Msisdn, Class)> {
        let comes_back = |outcome: &&Outcome| match outcome.answer {
            Answer::NotWritten(
                NotWritten::LinkDown | NotWritten::Drained | NotWritten::ConnectionLost | NotWritten::CutChanged,
            ) => true,
            Answer::NotWritten(NotWritten::Expired | NotWritten::SiblingRefused)
            | Answer::Accepted(_)
            | Answer::Refused(_)
            | Answer::Unanswered(_)
            | Answer::Unencodable => false,
        };
        let whose =
            |outcome: &Outcome| self.books.attempts.get(outcome.address).map(|open| (open.recipient, open.lane.class));
        batch.outcomes.iter().filter(comes_back).filter_map(whose).collect()
    }

    /// Takes in the outcome of a part.
    pub(super) fn handle_outcome(&mut self, turn: &mut Turn, batch: &OutcomeBatch, outcome: &Outcome) -> Answered {
        let address = outcome.address;
        let Some(open) = self.books.attempts.get(address).filter(|open| open.attempt == outcome.attempt) else {
            let receipt = self.late_outcome(turn, batch, outcome);
            let asked = asked(turn, batch, outcome, receipt.as_ref(), None);
            return Answered { then: Then::Nothing, receipt, asked, is_over: false };
        };
        let wants_receipt = head_of(open, address).is_some_and(|head| head.receipt);
        let receipt = expected(turn, open, batch, outcome, wants_receipt);
        let asked = asked(turn, batch, outcome, receipt.as_ref(), Some(open));
        let accepted = matches!(outcome.answer, Answer::Accepted(_));
        if accepted && outcome.parts > 1 {
            self.part_taken(turn, address, outcome.part, outcome.parts);
        }
        let (mut then, mut is_over) = (Then::Nothing, false);
        if let Some(open) = self.books.attempts.settle(outcome) {
            let (verdict, unnoted) = (open.gravest, open.unnoted);
            is_over = true;
            then = self.answered(turn, outcome, (verdict, unnoted), wants_receipt, batch.link.core);
        }
        Answered { then, receipt, asked, is_over }
    }

    /// Takes in an outcome of an attempt that is not open any more: the answer came after the attempt was given up.
    fn late_outcome(&mut self, turn: &mut Turn, batch: &OutcomeBatch, outcome: &Outcome) -> Option<Expected> {
        let address = outcome.address;
        let doubt = self.books.attempts.doubts.get(&address).filter(|doubt| doubt.attempt == outcome.attempt).copied();
        let doubt = doubt.filter(|doubt| doubt.carrier == batch.link.carrier)?;
        match outcome.answer {
            Answer::Accepted(id) => {
                let id = id.of(&batch.arena);
                let of = (outcome.part, outcome.parts);
                self.taken_after_all(turn, address, &doubt, of, Resolution::LateAnswer);
                (!id.is_empty())
                    .then(|| Expected::Receipt(doubt_note(turn, address, &doubt, of, batch.group, id), doubt.sent_at))
            }
            // Of several parts, others may have been taken: only the refusal of a single-part message says that nothing was.
            Answer::Refused(status) if outcome.parts <= 1 && !doubt.vouched => {
                turn.counters.resolved[Resolution::LateAnswer.index()] += 1;
                self.refused_late(turn, address, &doubt, status);
                None
            }
            Answer::Refused(_) | Answer::NotWritten(_) | Answer::Unanswered(_) | Answer::Unencodable => None,
        }
    }

    /// All parts of an attempt have their answers.
    fn answered(
        &mut self,
        turn: &mut Turn,
        outcome: &Outcome,
        (verdict, unnoted): (Gravest, bool),
        wants_receipt: bool,
        core: u8,
    ) -> Then {
        let address = outcome.address;
        if self.books.is_closed(address) {
            self.books.settle_ended(address, turn.now.wall);
            return Then::Nothing;
        }
        if unnoted && matches!(verdict, Gravest::NotWritten(_) | Gravest::Refused(_)) {
            // The carrier has a part, and it is not known which: to send the message again would send that part twice.
            self.die(turn, address, DeadLetterReason::AttemptsExhausted);
            return Then::Nothing;
        }
        match verdict {
            Gravest::Accepted => {
                turn.counters.submitted += 1;
                let Outcome { parts, coding, .. } = *outcome;
                let what = Happened::Submitted { parts, awaits_receipt: wants_receipt, coding };
                if let Some(open) = self.happens(turn, address, what).attempt {
                    turn.measures.accept_to_submit_us.record(accept_to_submit_us(turn, &open, outcome));
                }
            }
            Gravest::NotWritten(NotWritten::Expired) => self.finish(turn, address, Happened::Expired { error: None }),
            Gravest::NotWritten(why) => {
                return self.give_back(turn, address, why).map_or(Then::Nothing, Then::Returned);
            }
            Gravest::Refused(error) => self.refused(turn, address, error),
            Gravest::Unencodable => self.die(turn, address, DeadLetterReason::Unencodable),
            Gravest::Unanswered(reason) => {
                return if self.doubt(turn, address, reason, Some(core)) { Then::InDoubt } else { Then::Nothing };
            }
        }
        Then::Nothing
    }

    /// A message comes back unsent. Returns the attempt that ends with this, for its list; `None` if none is open.
    pub(super) fn give_back(&mut self, turn: &mut Turn, address: Address, why: NotWritten) -> Option<OpenAttempt> {
        self.books.attempts.get(address)?;
        self.happens(turn, address, Happened::Returned { why }).attempt
    }

    fn refused(&mut self, turn: &mut Turn, address: Address, error: CarrierError) {
        debug_assert!(self.books.attempts.get(address).is_some(), "its last answer has just come");
        let Some(open) = self.books.attempts.get(address) else { return };
        let expires_at = head_of(open, address).map_or(Wall(u64::MAX), |head| head.expires_at);
        let refused = Refused { error, attempt: open.attempt };
        self.after_refusal(turn, address, open.lane, refused, expires_at);
    }

    /// A message in doubt was refused after all. Its expiry is not at hand here; it is checked when the message is taken next.
    fn refused_late(&mut self, turn: &mut Turn, address: Address, doubt: &InDoubt, error: CarrierError) {
        let refused = Refused { error, attempt: doubt.attempt };
        self.after_refusal(turn, address, doubt.lane, refused, Wall(u64::MAX));
    }

    fn after_refusal(&mut self, turn: &mut Turn, address: Address, lane: Lane, refused: Refused, expires_at: Wall) {
        let error = refused.error;
        let policy = &turn.options.retry[lane.class.index()];
        match policy.after_refusal(refused, turn.now.wall, expires_at, &mut turn.chance) {
            Disposition::RetryAt(at) => {
                turn.counters.retried += 1;
                self.happens(turn, address, Happened::Refused { error });
                turn.places.enter(lane.tenant, 1);
                let entry = DueEntry { address, lane, reason: InsertReason::Retry };
                turn.put_off(at, entry);
            }
            Disposition::Rejected => self.finish(turn, address, Happened::Rejected { error }),
            Disposition::Dead(reason) => {
                self.happens(turn, address, Happened::Refused { error });
                self.die(turn, address, reason);
            }
        }
    }

    /// A final receipt. A message of several parts is delivered when all parts of one attempt are, and failed when one is. A
    /// receipt of an attempt that was given up for another attempt is ignored. Returns whether the receipt came too late to
    /// count.
    pub(super) fn handle_receipt(&mut self, turn: &mut Turn, note: &ReceiptNote, end: Happened) -> bool {
        let address = Address::from_packed(note.address);
        if note.parts <= 1 {
            self.leaves_by_receipt(address);
            self.finish(turn, address, end);
            return false;
        }
        let progress = self.books.attempts.progress.get(&address).filter(|known| known.reference == note.reference);
        let Some(progress) = progress else { return true };
        if progress.closed {
            self.books.part_settled(address, note.part);
            return true;
        }
        if !matches!(end, Happened::Delivered { .. }) {
            self.leaves_by_receipt(address);
            self.finish(turn, address, end);
            self.books.part_settled(address, note.part);
            return false;
        }
        self.happens(turn, address, Happened::PartDelivered { part: note.part });
        let delivered = self.books.attempts.progress.get(&address).map_or(0, |progress| progress.delivered.len());
        if delivered >= u32::from(note.parts) {
            self.leaves_by_receipt(address);
            self.finish(turn, address, end);
        }
        false
    }
}

/// From acceptance, or `send_at` if that is later, until the part that was answered last was written, µs. 0 for an attempt that
/// was found at a start.
fn accept_to_submit_us(turn: &Turn, open: &OpenAttempt, outcome: &Outcome) -> u64 {
    let answered_in_us = turn.now.mono.since(outcome.written_at) / 1_000;
    let since = |head: &Head| turn.now.wall.since(head.accepted_at.max(head.send_at)) * 1_000;
    head_of(open, outcome.address).map_or(0, |head| since(head).saturating_sub(answered_in_us))
}

/// What to remember of a part that was taken; `None` if the carrier gave it no id.
fn expected(
    turn: &Turn,
    open: &OpenAttempt,
    batch: &OutcomeBatch,
    outcome: &Outcome,
    wants_receipt: bool,
) -> Option<Expected> {
    let Answer::Accepted(id) = outcome.answer else { return None };
    let id = id.of(&batch.arena);
    if id.is_empty() {
        return None;
    }
    let note = ReceiptNote {
        key: id_key(u64::from(batch.group.0), id),
        address: outcome.address.packed(),
        recipient: open.recipient.number(),
        until: turn.receipt_until(turn.now.wall, head_of(open, outcome.address)),
        sender: outcome.sender.index(),
        group: batch.group.0,
        reference: open.reference,
        part: outcome.part,
        parts: outcome.parts,
    };
    Some(if wants_receipt { Expected::Receipt(note, open.at) } else { Expected::NoReceipt(note) })
}

/// What to remember of a part whose carrier is queried; `None` if it is not. For an attempt that was given up the sender is not
/// known any more.
fn asked(
    turn: &Turn,
    batch: &OutcomeBatch,
    outcome: &Outcome,
    expected: Option<&Expected>,
    open: Option<&OpenAttempt>,
) -> Option<Box<AskedNote>> {
    let (Some(Expected::Receipt(note, _)), Answer::Accepted(id)) = (expected, outcome.answer) else { return None };
    let carrier = batch.link.carrier;
    if !turn.catalog.is_queried(carrier) {
        return None;
    }
    let sender = open.and_then(|open| {
        let content = open.segment.as_ref()?.content(head_of(open, outcome.address)?);
        Some(Content::decode(content).ok()?.from)
    });
    Some(Box::new(AskedNote {
        key: note.key,
        recipient: note.recipient,
        carrier: carrier.0,
        sent: u32::try_from(turn.now.wall.0 / 1_000).unwrap_or(u32::MAX),
        until: note.until,
        id: id.of(&batch.arena).to_vec(),
        sender: sender.map(|sender| sender.as_bytes().to_vec()).unwrap_or_default(),
    }))
}

fn head_of(open: &OpenAttempt, address: Address) -> Option<&Head> {
    open.segment.as_ref().and_then(|segment: &Arc<Segment>| segment.head(address.slot()))
}
