//! What carriers said to attempts, and what follows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::delivery::{Disposition, EventKind, InDoubt, OpenAttempt, Progress, Refused, Taken, attempt::Verdict};
use crate::model::{Address, Class, DeadLetterReason, Head, Lane, LinkId, Msisdn, Point, Segment, TenantId, Wall};
use crate::queue::{DueEntry, InsertReason};
use crate::traffic::{Answer, NotWritten, Outcome, OutcomeBatch, ToLink};

use super::Shard;
use super::event::Effect;
use super::receipts::Awaited;

/// Outcomes that one turn takes in: a connection that is lost brings all of its window at once.
const OUTCOMES_PER_TURN_MAX: usize = 4_096;

/// Batches of outcomes of which some are left for later turns. Nothing is handed to links meanwhile: it might overtake what
/// comes back.
#[derive(Debug, Default)]
pub(super) struct OutcomesLeft {
    /// Each with how many of it are taken in.
    batches: VecDeque<(OutcomeBatch, usize)>,
}

impl OutcomesLeft {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

impl Shard {
    pub(super) fn outcomes(&mut self, batch: OutcomeBatch) {
        let given_back = self.given_back(&batch);
        let is_at_once = self.outcomes_left.is_empty()
            && batch.outcomes.len() <= OUTCOMES_PER_TURN_MAX
            && !(batch.outcomes.len() > 1 && self.buggify.at(Point::OutcomesLater));
        if is_at_once {
            for outcome in &batch.outcomes {
                self.outcome(&batch, outcome);
            }
        }
        if !given_back.is_empty() {
            self.recall_followers(batch.link, &given_back);
        }
        if !is_at_once {
            self.outcomes_left.batches.push_back((batch, 0));
        }
    }

    /// Takes in what is left of outcomes, as much as one turn may.
    pub(super) fn go_on_with_outcomes(&mut self) {
        let mut room = OUTCOMES_PER_TURN_MAX;
        // One of which nothing follows leaves no batch whose end would begin the next turn, and costs next to nothing.
        while (room > 0 || self.gathering.is_empty())
            && let Some((batch, taken)) = self.outcomes_left.batches.pop_front()
        {
            let upto = batch.outcomes.len().min(taken + room.max(1));
            for outcome in &batch.outcomes[taken..upto] {
                self.outcome(&batch, outcome);
            }
            room = room.saturating_sub(upto - taken);
            if upto < batch.outcomes.len() {
                self.outcomes_left.batches.push_front((batch, upto));
            }
        }
    }

    /// Whose messages a link gives back as they were.
    fn given_back(&self, batch: &OutcomeBatch) -> BTreeSet<(Msisdn, Class)> {
        let comes_back = |outcome: &&Outcome| match outcome.answer {
            Answer::NotWritten(NotWritten::LinkDown | NotWritten::Drained | NotWritten::ConnectionLost) => true,
            Answer::NotWritten(NotWritten::Expired | NotWritten::SiblingRefused)
            | Answer::Accepted(_)
            | Answer::Refused(_)
            | Answer::Unanswered(_)
            | Answer::Unencodable => false,
        };
        let whose =
            |outcome: &Outcome| self.attempts.get(outcome.address).map(|open| (open.recipient, open.lane.class));
        batch.outcomes.iter().filter(comes_back).filter_map(whose).collect()
    }

    fn outcome(&mut self, batch: &OutcomeBatch, outcome: &Outcome) {
        let address = outcome.address;
        let Some(open) = self.attempts.get(address).filter(|open| open.attempt == outcome.attempt) else {
            return self.late_outcome(batch, outcome);
        };
        let wants_receipt = head_of(open, address).is_some_and(|head| head.receipt);
        let (carrier, reference) = (open.carrier, open.reference);
        let (group, class) = (batch.group, open.lane.class);
        let awaited = Awaited { group, recipient: open.recipient, tenant: open.tenant, class, reference };
        let accepted = matches!(outcome.answer, Answer::Accepted(_));
        if accepted && outcome.parts > 1 {
            let Outcome { part, parts, .. } = *outcome;
            self.part_taken(address, Taken { carrier, reference, part, parts, at: self.now.wall });
        }
        if let Some(open) = self.attempts.settle(outcome) {
            self.resolved(address, open, outcome, wants_receipt, batch.link.core);
        }
        if let Answer::Accepted(id) = outcome.answer {
            let id = id.of(&batch.arena);
            match wants_receipt {
                true => self.await_receipt(awaited, id, outcome),
                false => self.expect_no_receipt(awaited, id),
            }
        }
    }

    fn resolved(&mut self, address: Address, open: OpenAttempt, outcome: &Outcome, wants_receipt: bool, core: u8) {
        if self.is_closed(address) {
            return self.resolved_closed(address, &open);
        }
        if open.unnoted && matches!(open.verdict, Verdict::NotWritten(_) | Verdict::Refused(_)) {
            // A part is with the carrier, and nobody knows which: it would go twice.
            return self.die(address, DeadLetterReason::AttemptsExhausted);
        }
        match open.verdict {
            Verdict::Accepted => {
                self.counters.submitted += 1;
                self.measures.accept_to_submit_us.record(self.accept_to_submit_us(&open, outcome));
                self.gathering.event(address, EventKind::Submitted, u32::from(outcome.parts));
                if !wants_receipt {
                    self.attempts.progress.remove(&address);
                }
            }
            Verdict::NotWritten(NotWritten::Expired) => self.finish(address, EventKind::Expired, 0),
            Verdict::NotWritten(reason) => self.give_back_attempt(address, open, reason),
            Verdict::Refused(status) => self.refused(address, &open, status),
            Verdict::Unencodable => self.die(address, DeadLetterReason::Unencodable),
            Verdict::Unanswered(reason) => self.doubt(address, &open, reason, Some(core)),
        }
    }

    /// The last outcome of a message that is final already.
    fn resolved_closed(&mut self, address: Address, open: &OpenAttempt) {
        if matches!(open.verdict, Verdict::Unanswered(_)) {
            self.attempts.restore_once_in_doubt(open.recipient, address, self.now.wall);
        }
        if self.attempts.progress.get(&address).is_some_and(Progress::is_all_settled) {
            self.attempts.progress.remove(&address);
        }
    }

    /// A receipt of one part has ended the message while others were still under way.
    pub(super) fn is_closed(&self, address: Address) -> bool {
        self.attempts.progress.get(&address).is_some_and(|progress| progress.closed)
    }

    fn give_back_attempt(&mut self, address: Address, open: OpenAttempt, reason: NotWritten) {
        self.gathering.event(address, EventKind::Returned, reason as u32);
        if open.attempt > 1 {
            self.remember_tried(address, open.attempt - 1);
        }
        self.places.enter(open.tenant, 1);
        let name = self.lanes.returned(open.lane, address);
        self.gathering.returned(name, address, open.segment);
    }

    /// Followers of what came back that have not left for that link yet come back as well, or they would overtake it.
    fn recall_followers(&mut self, link: LinkId, of: &BTreeSet<(Msisdn, Class)>) {
        let mut recalled = Vec::new();
        for (_, effect) in &mut self.effects {
            let Effect::Link(to, ToLink::Submits(batch)) = effect else { continue };
            if *to != link {
                continue;
            }
            let (class, before) = (batch.class, batch.submits.len());
            batch.submits.retain(|submit| {
                let stays = !of.contains(&(submit.head.to, submit.head.class));
                recalled.extend((!stays).then_some(submit.address));
                stays
            });
            let gone = (before - batch.submits.len()) as u32;
            batch.unused += gone;
            if let Some(slot) = self.links.iter_mut().find(|slot| slot.id == link) {
                slot.recalled(class, gone);
            }
        }
        for address in recalled {
            if let Some(open) = self.attempts.remove(address) {
                self.give_back_attempt(address, open, NotWritten::LinkDown);
            }
        }
    }

    fn refused(&mut self, address: Address, open: &OpenAttempt, status: u32) {
        let expires_at = head_of(open, address).map_or(Wall(u64::MAX), |head| head.expires_at);
        let refused = Refused { carrier: open.carrier, status, attempt: open.attempt };
        self.after_refusal(address, open.lane, open.tenant, refused, expires_at);
    }

    /// A message in doubt was refused after all. When it expires is not at hand; whoever takes it next looks.
    pub(super) fn refused_late(&mut self, address: Address, doubt: &InDoubt, status: u32) {
        let refused = Refused { carrier: doubt.carrier, status, attempt: doubt.attempt };
        self.after_refusal(address, doubt.lane, doubt.tenant, refused, Wall(u64::MAX));
    }

    fn after_refusal(&mut self, address: Address, lane: Lane, tenant: TenantId, refused: Refused, expires_at: Wall) {
        let Refused { status, attempt, .. } = refused;
        match self.options.retry.after_refusal(refused, self.now.wall, expires_at, &mut self.chance) {
            Disposition::RetryAt(at) => {
                self.counters.retried += 1;
                self.gathering.event(address, EventKind::Refused, status);
                self.remember_tried(address, attempt);
                self.places.enter(tenant, 1);
                let entry = DueEntry { address, lane, reason: InsertReason::Retry };
                self.gathering.put_off(self.scheduled.tick_for(at), entry);
            }
            Disposition::Rejected => self.finish(address, EventKind::Rejected, status),
            Disposition::Dead(reason) => {
                self.gathering.event(address, EventKind::Refused, status);
                self.die(address, reason);
            }
        }
    }

    /// From acceptance, or the time asked for, until the part that was answered last was written. 0 for an attempt that
    /// was found at a start.
    fn accept_to_submit_us(&self, open: &OpenAttempt, outcome: &Outcome) -> u64 {
        let answered_in_us = self.now.mono.since(outcome.written_at) / 1_000;
        let since = |head: &Head| self.now.wall.since(head.accepted_at.max(head.send_at)) * 1_000;
        head_of(open, outcome.address).map_or(0, |head| since(head).saturating_sub(answered_in_us))
    }

    pub(super) fn die(&mut self, address: Address, reason: DeadLetterReason) {
        self.finish(address, EventKind::Dead, reason as u32);
    }

    /// A message reaches its final state: nothing of it stays but its history, and receipts of its other parts.
    pub(super) fn finish(&mut self, address: Address, kind: EventKind, detail: u32) {
        debug_assert!(kind.is_final());
        self.gathering.event(address, kind, detail);
        self.tried.remove(&address);
        self.leaves_list(address);
        self.attempts.doubts.remove(&address);
        if let Some(progress) = self.attempts.progress.get_mut(&address) {
            progress.closed = true;
        }
        const FINALS: [EventKind; 6] = super::Counters::FINALS;
        if let Some(at) = FINALS.iter().position(|known| *known == kind) {
            self.counters.finals[at] += 1;
        }
    }
}

fn head_of(open: &OpenAttempt, address: Address) -> Option<&Head> {
    open.segment.as_ref().and_then(|segment: &Arc<Segment>| segment.head(address.slot()))
}
