//! A message's history is bounded: what says the same again and again is left out of a segment's state, so that no carrier
//! that repeats a receipt for ever, and no link that comes and goes, makes a record that cannot be written.
//!
//! Invariants:
//! 1. A slot has at most [`EVENTS_MAX`] events, as long as no more of them decide over its state.
//! 2. What decides over its state stays, and so do the first few and the latest events.

use crate::delivery::EventKind;
use crate::model::limits::SEGMENT_MESSAGES_MAX;

use super::backend::VALUE_BYTES_MAX;

/// Slot, kind, detail, when (ms).
type Stated = (u16, u8, u32, u64);

/// Events of one message that a segment's state holds.
pub const EVENTS_MAX: usize = 512;
/// Of these the first so many always stay: how it began.
const BEGINNING: usize = 16;
/// Octets of an event in a record.
const EVENT_OCTETS: usize = 15;

const _: () = assert!(SEGMENT_MESSAGES_MAX * EVENTS_MAX * EVENT_OCTETS + 1_024 <= VALUE_BYTES_MAX);

/// Bounds the events of each slot; they are sorted by slot, and in the order of commits within one.
pub fn trim(events: &mut Vec<Stated>) {
    if events.len() <= EVENTS_MAX || events.chunk_by(|a, b| a.0 == b.0).all(|slot| slot.len() <= EVENTS_MAX) {
        return;
    }
    let mut kept = Vec::with_capacity(events.len());
    for slot in events.chunk_by(|a, b| a.0 == b.0) {
        kept.extend(trimmed(slot));
    }
    *events = kept;
}

fn trimmed(slot: &[Stated]) -> Vec<Stated> {
    let mut kept = slot.to_vec();
    drop_oldest(&mut kept, |kind| matches!(kind, EventKind::Intermediate | EventKind::Late));
    kept = without_returns(&kept);
    drop_oldest(&mut kept, |kind| !decides(kind));
    kept
}

/// An attempt that never left counts for nothing: the oldest go, each with its return.
fn without_returns(slot: &[Stated]) -> Vec<Stated> {
    let mut excess = slot.len().saturating_sub(EVENTS_MAX);
    let (beginning, mut rest) = slot.split_at(slot.len().min(BEGINNING));
    let mut kept = beginning.to_vec();
    while let Some((event, behind)) = rest.split_first() {
        let is_attempt = event.1 == EventKind::Attempt as u8;
        let is_pair = is_attempt && behind.first().is_some_and(|next| next.1 == EventKind::Returned as u8);
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

/// Whether a message's state, and what retention makes of it, depends on it wherever it stands.
const fn decides(kind: EventKind) -> bool {
    matches!(kind, EventKind::Submitted | EventKind::Resolved) || kind.is_final()
}

/// Leaves out the oldest of those that `may_go`, but for the beginning, until few enough are left.
fn drop_oldest(slot: &mut Vec<Stated>, may_go: impl Fn(EventKind) -> bool) {
    let mut excess = slot.len().saturating_sub(EVENTS_MAX);
    let mut at = 0;
    slot.retain(|event| {
        at += 1;
        let goes = at > BEGINNING && excess > 0 && EventKind::from_index(event.1).is_some_and(&may_go);
        excess -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use EventKind as E;

    use super::*;

    fn slot(kinds: &[(E, usize)]) -> Vec<Stated> {
        let kinds = kinds.iter().flat_map(|(kind, times)| std::iter::repeat_n(*kind, *times));
        kinds.enumerate().map(|(at, kind)| (3, kind as u8, at as u32, at as u64)).collect()
    }

    fn count(events: &[Stated], kind: E) -> usize {
        events.iter().filter(|event| event.1 == kind as u8).count()
    }

    #[test]
    fn what_is_repeated_without_end_is_left_out_and_what_decides_stays() {
        let mut events =
            slot(&[(E::Attempt, 1), (E::Submitted, 1), (E::Intermediate, 9_000), (E::Delivered, 1), (E::Late, 9_000)]);
        let last = *events.last().expect("some");
        trim(&mut events);
        assert_eq!((events.len(), count(&events, E::Delivered), count(&events, E::Submitted)), (EVENTS_MAX, 1, 1));
        assert_eq!((events.last(), count(&events, E::Intermediate)), (Some(&last), BEGINNING - 2));
        assert!(events.is_sorted_by_key(|event| event.3));
    }

    #[test]
    fn attempts_that_never_left_go_with_their_returns() {
        let mut events: Vec<Stated> = (0..2_000).flat_map(|_| slot(&[(E::Attempt, 1), (E::Returned, 1)])).collect();
        events.extend(slot(&[(E::Attempt, 1), (E::Submitted, 1)]));
        trim(&mut events);
        assert!(events.len() <= EVENTS_MAX);
        assert_eq!(count(&events, E::Attempt), count(&events, E::Returned) + 1);
    }

    #[test]
    fn whatever_it_is_it_is_bounded_and_a_short_history_is_left_alone() {
        let mut events = slot(&[(E::Refused, 2_000), (E::Dead, 1)]);
        let short = slot(&[(E::Late, 9)]);
        let other: Vec<Stated> = short.iter().map(|event| (4, event.1, event.2, event.3)).collect();
        events.extend(&other);
        trim(&mut events);
        assert_eq!((events.len(), count(&events, E::Dead)), (EVENTS_MAX + 9, 1));
        assert!(events.ends_with(&other));
    }
}
