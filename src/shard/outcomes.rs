//! What carriers said to attempts, and what follows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::delivery::{Disposition, EventKind, Happened, InDoubt, OpenAttempt, Refused, attempt::Verdict};
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
            |outcome: &Outcome| self.books.attempts.get(outcome.address).map(|open| (open.recipient, open.lane.class));
        batch.outcomes.iter().filter(comes_back).filter_map(whose).collect()
    }

    fn outcome(&mut self, batch: &OutcomeBatch, outcome: &Outcome) {
        let address = outcome.address;
        let Some(open) = self.books.attempts.get(address).filter(|open| open.attempt == outcome.attempt) else {
            return self.late_outcome(batch, outcome);
        };
        let wants_receipt = head_of(open, address).is_some_and(|head| head.receipt);
        let (group, class, reference) = (batch.group, open.lane.class, open.reference);
        let awaited = Awaited { group, recipient: open.recipient, tenant: open.tenant, class, reference };
        let accepted = matches!(outcome.answer, Answer::Accepted(_));
        if accepted && outcome.parts > 1 {
            self.part_taken(address, outcome.part, outcome.parts);
        }
        if let Some(open) = self.books.attempts.settle(outcome) {
            let (verdict, unnoted) = (open.verdict, open.unnoted);
            self.answered(outcome, (verdict, unnoted), wants_receipt, batch.link.core);
        }
        if let Answer::Accepted(id) = outcome.answer {
            let id = id.of(&batch.arena);
            match wants_receipt {
                true => self.await_receipt(awaited, id, outcome),
                false => self.expect_no_receipt(awaited, id),
            }
        }
    }

    /// All parts of an attempt have their answers.
    fn answered(&mut self, outcome: &Outcome, (verdict, unnoted): (Verdict, bool), wants_receipt: bool, core: u8) {
        let address = outcome.address;
        if self.books.is_closed(address) {
            return self.books.settle_ended(address, self.now.wall);
        }
        if unnoted && matches!(verdict, Verdict::NotWritten(_) | Verdict::Refused(_)) {
            // A part is with the carrier, and nobody knows which: it would go twice.
            return self.die(address, DeadLetterReason::AttemptsExhausted);
        }
        match verdict {
            Verdict::Accepted => {
                self.counters.submitted += 1;
                let what = Happened::Submitted { parts: outcome.parts, awaits_receipt: wants_receipt };
                if let Some(open) = self.happens(address, what).attempt {
                    self.measures.accept_to_submit_us.record(self.accept_to_submit_us(&open, outcome));
                }
            }
            Verdict::NotWritten(NotWritten::Expired) => self.finish(address, Happened::Expired { error: None }),
            Verdict::NotWritten(why) => self.give_back_attempt(address, why),
            Verdict::Refused(status) => self.refused(address, status),
            Verdict::Unencodable => self.die(address, DeadLetterReason::Unencodable),
            Verdict::Unanswered(reason) => self.doubt(address, reason, Some(core)),
        }
    }

    fn give_back_attempt(&mut self, address: Address, why: NotWritten) {
        let Some(open) = self.happens(address, Happened::Returned { why }).attempt else { return };
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
            if self.books.attempts.get(address).is_some() {
                self.give_back_attempt(address, NotWritten::LinkDown);
            }
        }
    }

    fn refused(&mut self, address: Address, status: u32) {
        let Some(open) = self.books.attempts.get(address) else { return };
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
        let Refused { status, .. } = refused;
        match self.options.retry.after_refusal(refused, self.now.wall, expires_at, &mut self.chance) {
            Disposition::RetryAt(at) => {
                self.counters.retried += 1;
                self.happens(address, Happened::Refused { status });
                self.places.enter(tenant, 1);
                let entry = DueEntry { address, lane, reason: InsertReason::Retry };
                self.gathering.put_off(self.scheduled.tick_for(at), entry);
            }
            Disposition::Rejected => self.finish(address, Happened::Rejected { error: status }),
            Disposition::Dead(reason) => {
                self.happens(address, Happened::Refused { status });
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
        self.finish(address, Happened::Dead { reason, by: None });
    }

    /// A message reaches its final state.
    pub(super) fn finish(&mut self, address: Address, end: Happened) {
        debug_assert!(end.is_final());
        self.leaves_list(address);
        if let Some(at) = EventKind::FINALS.iter().position(|known| *known == end.kind()) {
            self.counters.finals[at] += 1;
        }
        self.happens(address, end);
    }
}

fn head_of(open: &OpenAttempt, address: Address) -> Option<&Head> {
    open.segment.as_ref().and_then(|segment: &Arc<Segment>| segment.head(address.slot()))
}
