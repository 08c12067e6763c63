//! Bounds the history of a message: repeated events are left out of a segment's state, so that neither a carrier that
//! repeats a receipt for ever nor a link that keeps failing makes a record too large to write.
//!
//! Invariants:
//! 1. A slot has at most [`EVENTS_MAX`] events, unless more than that decide its state.
//! 2. Events that decide its state stay, and so do the first few and the latest events.

use crate::delivery::Happened;
use crate::model::limits::SEGMENT_MESSAGES_MAX;

use super::backend::VALUE_BYTES_MAX;
use super::record::StatedEvent;

/// Most events of one message in a segment's state.
pub const EVENTS_MAX: usize = 512;
/// How many of the first events always stay: how the message began.
const BEGINNING: usize = 16;

const _: () = assert!(SEGMENT_MESSAGES_MAX * EVENTS_MAX * StatedEvent::BYTES_MAX + 1_024 <= VALUE_BYTES_MAX);

/// Bounds the events of each slot; `events` are sorted by slot, and by commit within a slot.
pub fn trim(events: &mut Vec<StatedEvent>) {
    if events.len() <= EVENTS_MAX || events.chunk_by(|a, b| a.slot == b.slot).all(|slot| slot.len() <= EVENTS_MAX) {
        return;
    }
    let mut kept = Vec::with_capacity(events.len());
    for slot in events.chunk_by(|a, b| a.slot == b.slot) {
        kept.extend(trimmed(slot));
    }
    *events = kept;
}

fn trimmed(slot: &[StatedEvent]) -> Vec<StatedEvent> {
    let mut kept = slot.to_vec();
    drop_oldest(&mut kept, |what| matches!(what, Happened::Intermediate { .. } | Happened::Late { .. }));
    kept = without_returns(&kept);
    // An event that decides the state, or what retention does with it, has its effect wherever it is in the history.
    let moves = |what| matches!(what, Happened::Rerouted { .. } | Happened::Regrouped { .. });
    drop_oldest(&mut kept, |what| !what.is_sent() && !moves(what));
    kept
}

/// Attempts that were never sent can be left out: the oldest go first, each with its return.
fn without_returns(slot: &[StatedEvent]) -> Vec<StatedEvent> {
    let mut excess = slot.len().saturating_sub(EVENTS_MAX);
    let (beginning, mut rest) = slot.split_at(slot.len().min(BEGINNING));
    let mut kept = beginning.to_vec();
    while let Some((event, behind)) = rest.split_first() {
        let is_return = |next: &StatedEvent| matches!(next.what, Happened::Returned { .. });
        let is_pair = matches!(event.what, Happened::Attempt { .. }) && behind.first().is_some_and(is_return);
        if is_pair && excess > 0 {
            excess = excess.saturating_sub(2);
            rest = &behind[1..];
        } else {
            kept.push(*event);
            rest = behind;
        }
    }
    kept
}

/// Leaves out the oldest events that `may_go`, except the beginning, until few enough are left.
fn drop_oldest(slot: &mut Vec<StatedEvent>, may_go: impl Fn(Happened) -> bool) {
    let mut excess = slot.len().saturating_sub(EVENTS_MAX);
    let mut at = 0;
    slot.retain(|event| {
        at += 1;
        let goes = at > BEGINNING && excess > 0 && may_go(event.what);
        excess -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use crate::delivery::EventKind;
    use crate::delivery::samples::busy;
    use crate::model::ReceiptState;
    use crate::model::{CarrierId, Coding, DeadLetterReason};
    use crate::traffic::NotWritten;

    use super::*;

    const ATTEMPT: Happened = Happened::Attempt { carrier: CarrierId(1), attempt: 1 };
    const RETURNED: Happened = Happened::Returned { why: NotWritten::LinkDown };
    const SUBMITTED: Happened = Happened::Submitted { parts: 1, awaits_receipt: true, coding: Coding::Gsm7 };
    const INTERMEDIATE: Happened = Happened::Intermediate { receipt: ReceiptState::Enroute };
    const DELIVERED: Happened = Happened::Delivered { error: None };
    const LATE: Happened = Happened::Late { receipt: ReceiptState::Delivered };

    fn slot(happened: &[(Happened, usize)]) -> Vec<StatedEvent> {
        let happened = happened.iter().flat_map(|(what, times)| std::iter::repeat_n(*what, *times));
        happened.zip(0..).map(|(what, at)| StatedEvent { slot: 3, what, at }).collect()
    }

    fn count(events: &[StatedEvent], kind: EventKind) -> usize {
        events.iter().filter(|event| event.what.kind() == kind).count()
    }

    #[test]
    fn what_is_repeated_without_end_is_left_out_and_what_decides_stays() {
        use EventKind as E;
        let mut events = slot(&[(ATTEMPT, 1), (SUBMITTED, 1), (INTERMEDIATE, 9_000), (DELIVERED, 1), (LATE, 9_000)]);
        let last = *events.last().expect("some");
        trim(&mut events);
        assert_eq!((events.len(), count(&events, E::Delivered), count(&events, E::Submitted)), (EVENTS_MAX, 1, 1));
        assert_eq!((events.last(), count(&events, E::Intermediate)), (Some(&last), BEGINNING - 2));
        assert!(events.is_sorted_by_key(|event| event.at));
    }

    #[test]
    fn attempts_that_never_left_go_with_their_returns() {
        let mut events: Vec<_> = (0..2_000).flat_map(|_| slot(&[(ATTEMPT, 1), (RETURNED, 1)])).collect();
        events.extend(slot(&[(ATTEMPT, 1), (SUBMITTED, 1)]));
        trim(&mut events);
        assert!(events.len() <= EVENTS_MAX);
        assert_eq!(count(&events, EventKind::Attempt), count(&events, EventKind::Returned) + 1);
    }

    #[test]
    fn whatever_it_is_it_is_bounded_and_a_short_history_is_left_alone() {
        let dead = Happened::Dead { reason: DeadLetterReason::AttemptsExhausted, by: None };
        let mut events = slot(&[(Happened::Refused { error: busy(8) }, 2_000), (dead, 1)]);
        let short = slot(&[(LATE, 9)]);
        let other: Vec<_> = short.iter().map(|event| StatedEvent { slot: 4, ..*event }).collect();
        events.extend(&other);
        trim(&mut events);
        assert_eq!((events.len(), count(&events, EventKind::Dead)), (EVENTS_MAX + 9, 1));
        assert!(events.ends_with(&other));
    }
}
