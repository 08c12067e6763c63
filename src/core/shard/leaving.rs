//! How messages leave their lists: an attempt begins, or they have ended and are passed over.
//!
//! This file knows what that changes in the books; the lists themselves are in `pull.rs`.

use crate::delivery::{Happened, InDoubt, OpenAttempt, Permit, Resolution, attempt::Gravest};
use crate::model::{Address, Content, DeadLetterReason, Head, Lane, LinkId, MessageState};
use crate::queue::Taken;
use crate::routing::Question;
use crate::store::expiry::{Overdue, Place};
use crate::traffic::Submit;

use super::books::{CLOSED, Expired};
use super::event::{Cancelled, FoundMessage};
use super::ledger::Ledger;
use super::notes::attempt_note;
use super::restored::{self, unsent_doubt};
use super::sets::SETS_MAX;
use super::turn::Turn;

/// Whether a message that was just taken from a list must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// It may be sent: it waited until now.
    No,
    /// It ended earlier, or its segment's alarm ends it. The count of entries of ended messages goes down by one: its end has
    /// raised that count, or will raise it.
    Ended,
    /// A receipt ended it, or it ends now. Its place in the queue was held until now.
    Closed,
}

/// The result of rerouting a message whose route is gone.
#[derive(Debug)]
pub(super) enum Rerouted {
    /// It now waits in that lane.
    To(Lane),
    /// It has ended, or ends now.
    Not(Passed),
}

/// Which list a message was taken from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub lane: Lane,
    /// Whether the list holds what was unsent at a backup.
    pub is_restored: bool,
}

/// The result of taking a message from its list for a link.
#[derive(Debug)]
pub(super) enum Begun {
    /// Its attempt is recorded.
    Submit(Submit),
    /// It is not to be sent after all.
    Not(Passed),
}

impl Ledger {
    /// Decides whether a message that was just taken from a list must not be sent, because it has ended or has expired
    /// (`is_over`); if so, nothing is left to do about its entry. `is_restored`: it was in the list when the backup was made.
    pub(super) fn pass_over(
        &mut self,
        turn: &mut Turn,
        address: Address,
        head: Option<&Head>,
        is_over: bool,
        is_restored: bool,
    ) -> Passed {
        let cancelled = self.books.pass_over(address);
        if cancelled == Some(CLOSED) || cancelled.is_none() && self.books.is_closed(address) {
            waits_no_more(turn, address, head);
            return Passed::Closed;
        }
        // A message that was cancelled while it was put off has held its place until now.
        turn.places.leave(cancelled.unwrap_or_default());
        if is_over && cancelled.is_none() && self.books.may_end_by_carrier(address) {
            // A receipt may still come and end it before its segment is visited; then the visit would not count its entry as left.
            if is_restored {
                self.note_restored_doubt(turn, address, Resolution::Expired);
            }
            waits_no_more(turn, address, head);
            self.finish(turn, address, Happened::Expired { error: None });
            return Passed::Closed;
        }
        if is_over && cancelled.is_none() {
            turn.whereabouts.passed_over(address);
        }
        if cancelled.is_some() || is_over { Passed::Ended } else { Passed::No }
    }

    /// Records the attempt of a message just taken for a link, unless it must not be sent. `is_over`: it has expired.
    pub(super) fn begin(
        &mut self,
        turn: &mut Turn,
        link: LinkId,
        source: Source,
        taken: &Taken,
        is_over: bool,
    ) -> Begun {
        let address = taken.segment.address(taken.slot);
        let head = taken.segment.head(taken.slot).copied();
        let passed = self.pass_over(turn, address, head.as_ref(), is_over, source.is_restored);
        if passed != Passed::No {
            return Begun::Not(passed);
        }
        waits_no_more(turn, address, head.as_ref());
        let Some(head) = head else {
            // Its segment is damaged, which the operator was told.
            self.die(turn, address, DeadLetterReason::Unreadable);
            return Begun::Not(Passed::No);
        };
        if source.is_restored {
            self.begin_restored(turn, address);
        }
        let (attempt, doubts) = (self.books.next_attempt(address), self.books.doubts_before(address));
        let progress = self.books.attempts.progress.get(&address).filter(|known| known.carrier == link.carrier);
        let (reference, answered, cut) = match progress {
            Some(known) if !known.accepted.is_empty() => (known.reference, Some(Box::new(known.accepted)), known.parts),
            Some(known) => (known.reference, None, 0),
            None => (self.reference(head.parts), None, 0),
        };
        let open = OpenAttempt {
            doubts,
            attempt,
            reference,
            carrier: link.carrier,
            lane: Lane { tenant: head.tenant, ..source.lane },
            recipient: head.to,
            parts: head.parts,
            at: turn.now.wall,
            segment: Some(taken.segment.clone()),
            outcomes: 0,
            resumed: answered.as_ref().map_or(0, |set| set.len() as u8),
            gravest: Gravest::Accepted,
            answered: false,
            lost_on: None,
            unnoted: false,
            permit: Permit { given: true, ..Permit::default() },
        };
        let trial = doubts.trial();
        turn.gathering.batch().turn.attempts.push(attempt_note(address, &open));
        self.books.begin(address, open);
        let arena = taken.segment.arena.clone();
        let weight = turn.options.weight_of(head.tenant);
        Begun::Submit(Submit { address, attempt, reference, head, arena, answered, cut, trial, weight })
    }

    /// A message moves from one lane to another.
    fn moves(&mut self, turn: &mut Turn, address: Address, from: Lane, to: Lane) {
        if to.route != from.route {
            turn.counters.rerouted += 1;
            self.happens(turn, address, Happened::Rerouted { route: to.route });
        }
        if to.set != from.set {
            self.happens(turn, address, Happened::Regrouped { set: to.set });
        }
    }

    /// Finds a new lane for a message just taken from the list of a route that is gone, or of a set of counters that was made under
    /// other rules: by the present rules.
    pub(super) fn reroute(&mut self, turn: &mut Turn, taken: &Taken, is_over: bool, source: Source) -> Rerouted {
        let is_restored = source.is_restored;
        let address = taken.segment.address(taken.slot);
        let head = taken.segment.head(taken.slot).copied();
        let passed = self.pass_over(turn, address, head.as_ref(), is_over, is_restored);
        if passed != Passed::No {
            return Rerouted::Not(passed);
        }
        let Some(head) = head else {
            waits_no_more(turn, address, None);
            self.die(turn, address, DeadLetterReason::Unreadable);
            return Rerouted::Not(Passed::No);
        };
        let content = Content::decode(taken.segment.content(&head)).unwrap_or_default();
        let question = Question::of(&head, &content.from, content.tags);
        let known = turn.catalog.routes.get(source.lane.route).map(|route| route.id);
        let route = known.or_else(|| turn.catalog.routes.find(&question).map(|route| route.id));
        let mut reason = DeadLetterReason::NoRoute;
        if let Some(route) = route {
            let head = Head { route, ..head };
            let content = taken.segment.content(&head);
            match turn.sets.judge(&head, content, &turn.catalog, 2 * SETS_MAX) {
                Ok(set) => {
                    let lane = Lane { route, set, ..head.lane() };
                    self.moves(turn, address, source.lane, lane);
                    return Rerouted::To(lane);
                }
                Err(_) => reason = DeadLetterReason::OverLimit,
            }
        }
        waits_no_more(turn, address, Some(&head));
        if is_restored {
            self.begin_restored(turn, address);
        }
        turn.counters.unroutable += u64::from(reason == DeadLetterReason::NoRoute);
        self.die(turn, address, reason);
        Rerouted::Not(Passed::No)
    }

    /// A message that was unsent at the backup is taken to be sent: its doubt is recorded before its attempt.
    fn begin_restored(&mut self, turn: &mut Turn, address: Address) {
        self.note_restored_doubt(turn, address, Resolution::OperatorResend);
        self.happens(turn, address, Happened::Resent { by: Resolution::OperatorResend });
    }

    /// A message that was unsent at the backup leaves its list. It was in doubt until now, so the doubt is recorded; the caller
    /// records how it ends.
    fn note_restored_doubt(&mut self, turn: &mut Turn, address: Address, how: Resolution) {
        turn.counters.in_doubt += 1;
        turn.counters.resolved[how.index()] += 1;
        self.happens(turn, address, Happened::InDoubt { lost: restored::LOST });
    }

    /// Ends a message that has expired, unless it is in another place by now.
    pub(super) fn expire(&mut self, turn: &mut Turn, address: Address, message: &Overdue) -> Expired {
        let mut list = None;
        match message.place {
            Place::Ready { restored } => {
                if self.books.attempts.get(address).is_some() || self.books.attempts.doubts.contains_key(&address) {
                    return Expired::Elsewhere;
                }
                if self.books.cancelled.contains_key(&address) || self.books.is_closed(address) {
                    return Expired::Before;
                }
                if restored {
                    self.note_restored_doubt(turn, address, Resolution::Expired);
                }
                list = Some((message.lane, restored));
                turn.places.leave(message.tenant);
            }
            // A part of it may still be answered, or it is in doubt again after the operator said that it was sent.
            Place::AtCarrier if self.books.attempts.get(address).is_some() => return Expired::Elsewhere,
            Place::AtCarrier if self.books.attempts.in_ledger(address).is_some() => return Expired::Elsewhere,
            Place::AtCarrier => {
                self.finish(turn, address, Happened::NoReceipt);
                return Expired::Now(None);
            }
            // If it waits for a receipt until `decided_at`, it goes on waiting, and is ready again or settled then.
            Place::InDoubt => match self.books.attempts.in_ledger(address) {
                Some(doubt) if doubt.decided_at == InDoubt::HELD => {
                    turn.counters.resolved[Resolution::Expired.index()] += 1;
                }
                Some(_) | None => return Expired::Elsewhere,
            },
        }
        self.finish(turn, address, Happened::Expired { error: None });
        Expired::Now(list)
    }

    /// Gives up a message that was unsent at a backup and was just taken from its list.
    pub(super) fn drop_restored(&mut self, turn: &mut Turn, lane: Lane, taken: &Taken, is_over: bool) -> Passed {
        let address = taken.segment.address(taken.slot);
        let head = taken.segment.head(taken.slot).copied();
        let passed = self.pass_over(turn, address, head.as_ref(), is_over, true);
        if passed != Passed::No {
            return passed;
        }
        waits_no_more(turn, address, head.as_ref());
        let Some(head) = head else {
            self.die(turn, address, DeadLetterReason::Unreadable);
            return Passed::No;
        };
        turn.counters.in_doubt += 1;
        self.happens(turn, address, Happened::InDoubt { lost: restored::LOST });
        self.give_up(turn, address, &unsent_doubt(&head, lane, turn.now.wall), Resolution::OperatorDrop);
        Passed::No
    }

    /// Cancels a message. `is_in_list`: it is in a list, and its place is free at once; otherwise it is in the delay queue, and
    /// its place is free when it is due there.
    pub(super) fn cancel(
        &mut self,
        turn: &mut Turn,
        found: &FoundMessage,
        is_asked_in_time: bool,
        is_in_list: bool,
    ) -> Cancelled {
        let address = found.id.address();
        let unsent = matches!(found.view.state, MessageState::Scheduled | MessageState::Queued);
        let under_way = self.books.attempts.get(address).is_some() || self.books.attempts.doubts.contains_key(&address);
        if !unsent || !is_asked_in_time || under_way || self.books.cancelled.contains_key(&address) {
            return Cancelled::TooLate;
        }
        if !self.books.has_room_for_cancelled() {
            turn.counters.cancellations_refused += 1;
            return Cancelled::Busy;
        }
        let mut holder = found.head.tenant;
        if is_in_list {
            turn.places.leave(std::mem::take(&mut holder));
        }
        self.finish(turn, address, Happened::Cancelled { place_of: holder });
        Cancelled::Done
    }

    /// Whether a message that is due in the delay queue was cancelled: then it is passed over, and its place is free. A message
    /// that a receipt has closed goes on into its list, where its head names the tenant whose place it holds.
    pub(super) fn passes_over(&mut self, turn: &mut Turn, address: Address) -> bool {
        let Some(tenant) = self.books.cancelled.get(&address).copied().filter(|tenant| *tenant != CLOSED) else {
            return false;
        };
        self.books.pass_over(address);
        turn.places.leave(tenant);
        true
    }
}

/// A message that had not ended was taken from its list: its place is free.
fn waits_no_more(turn: &mut Turn, address: Address, head: Option<&Head>) {
    turn.moved.push(address);
    if let Some(head) = head {
        turn.places.leave(head.tenant);
    }
}
