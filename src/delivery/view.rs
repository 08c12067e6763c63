//! A message's state, derived from its head and its events: the one place where events get their meaning. The API, the
//! retention of segments and the simulator's oracle all ask here.

use crate::model::{CarrierId, DeadLetterReason, Head, MessageState, Wall};

use super::event::{Event, EventKind};

/// What the API shows of a message, apart from its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageView {
    /// Where it stands.
    pub state: MessageState,
    /// Attempts that were recorded and consumed.
    pub attempts: u32,
    /// Parts at the carrier, or as counted at ingest.
    pub parts: u8,
    /// Parts that receipts called delivered.
    pub parts_delivered: u32,
    /// Carrier of the last attempt.
    pub carrier: Option<CarrierId>,
    /// When the carrier had taken all parts.
    pub submitted_at: Option<Wall>,
    /// When it reached its final state.
    pub final_at: Option<Wall>,
    /// The last code a carrier gave: a command status or a receipt's error.
    pub error: Option<u32>,
    /// Why it was given up.
    pub reason: Option<DeadLetterReason>,
    /// All that happened, in order.
    pub timeline: Vec<TimelineEntry>,
}

/// One line of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When.
    pub at: Wall,
    /// What.
    pub kind: EventKind,
    /// See [`EventKind`].
    pub detail: u32,
}

/// Reads a message's events, in the order of their commits, as they stand at `now`.
pub fn view(head: &Head, events: &[Event], now: Wall) -> MessageView {
    let waits = head.send_at > head.accepted_at;
    let mut view = MessageView {
        state: if waits { MessageState::Scheduled } else { MessageState::Queued },
        parts: head.parts,
        ..MessageView::default()
    };
    for event in events {
        view.timeline.push(TimelineEntry { at: event.at, kind: event.kind, detail: event.detail });
        if !view.state.is_final() {
            apply(&mut view, event);
        }
    }
    let unsent = matches!(view.state, MessageState::Scheduled | MessageState::Queued);
    if unsent && head.expires_at <= now {
        view.state = MessageState::Expired;
        view.final_at = Some(head.expires_at);
        view.reason = Some(DeadLetterReason::ExpiredHere);
    }
    view
}

fn apply(view: &mut MessageView, event: &Event) {
    let end = |view: &mut MessageView, state| {
        view.state = state;
        view.final_at = Some(event.at);
    };
    match event.kind {
        EventKind::Due | EventKind::Resent => view.state = MessageState::Queued,
        EventKind::Attempt => {
            view.state = MessageState::Sending;
            view.attempts += 1;
            view.carrier = Some(CarrierId((event.detail >> 8) as u16));
        }
        EventKind::PartAccepted => view.parts = (event.detail >> 8) as u8,
        EventKind::Submitted => {
            view.state = MessageState::Submitted;
            view.parts = event.detail as u8;
            view.submitted_at = Some(event.at);
        }
        EventKind::Returned => {
            view.state = MessageState::Queued;
            view.attempts = view.attempts.saturating_sub(1);
        }
        EventKind::Refused => {
            view.state = MessageState::Scheduled;
            view.error = Some(event.detail);
        }
        EventKind::InDoubt => view.state = MessageState::InDoubt,
        EventKind::Resolved => {
            view.state = MessageState::Submitted;
            view.submitted_at = Some(event.at);
        }
        EventKind::PartDelivered => view.parts_delivered += 1,
        EventKind::Intermediate | EventKind::Late => {}
        EventKind::Delivered => {
            view.parts_delivered = u32::from(view.parts);
            end(view, MessageState::Delivered);
        }
        EventKind::Undelivered => {
            view.error = Some(event.detail);
            end(view, MessageState::Undelivered);
        }
        EventKind::Expired => {
            view.error = (event.detail != 0).then_some(event.detail);
            // Here, unless a carrier had it: then its receipt says so.
            let is_here = event.detail == 0 && view.submitted_at.is_none();
            view.reason = is_here.then_some(DeadLetterReason::ExpiredHere);
            end(view, MessageState::Expired);
        }
        EventKind::Rejected => {
            view.error = Some(event.detail);
            end(view, MessageState::Rejected);
        }
        EventKind::Cancelled => end(view, MessageState::Cancelled),
        EventKind::Dead => {
            view.reason = DeadLetterReason::from_index(event.detail as u8);
            end(view, MessageState::Dead);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(kinds: &[(EventKind, u32)]) -> (MessageState, u32) {
        let events: Vec<_> = kinds
            .iter()
            .map(|&(kind, detail)| Event { address: Default::default(), kind, detail, at: Wall(5) })
            .collect();
        let head = Head { expires_at: Wall(100), ..Head::default() };
        let view = view(&head, &events, Wall(50));
        assert_eq!(view.timeline.len(), kinds.len());
        (view.state, view.attempts)
    }

    #[test]
    fn follows_the_diagram() {
        use EventKind as E;
        use MessageState as S;
        assert_eq!(state(&[]), (S::Queued, 0));
        assert_eq!(state(&[(E::Attempt, 1)]), (S::Sending, 1));
        assert_eq!(state(&[(E::Attempt, 1), (E::Returned, 1)]), (S::Queued, 0));
        assert_eq!(state(&[(E::Attempt, 1), (E::InDoubt, 1), (E::Resent, 0), (E::Attempt, 2)]), (S::Sending, 2));
        assert_eq!(state(&[(E::Attempt, 1), (E::InDoubt, 1), (E::Resolved, 1)]), (S::Submitted, 1));
        assert_eq!(state(&[(E::Attempt, 1), (E::Refused, 8)]), (S::Scheduled, 1));
        assert_eq!(state(&[(E::Attempt, 1), (E::Submitted, 1), (E::Delivered, 0)]), (S::Delivered, 1));
    }

    #[test]
    fn a_final_state_does_not_regress() {
        use EventKind as E;
        let events = [(E::Attempt, 1), (E::Submitted, 1), (E::Undelivered, 1), (E::Delivered, 0), (E::Late, 2)];
        assert_eq!(state(&events), (MessageState::Undelivered, 1));
    }

    #[test]
    fn what_waits_past_its_time_reads_as_expired() {
        let head = Head { expires_at: Wall(10), ..Head::default() };
        assert_eq!(view(&head, &[], Wall(9)).state, MessageState::Queued);
        assert_eq!(view(&head, &[], Wall(10)).state, MessageState::Expired);
    }

    #[test]
    fn an_end_by_time_says_whose_it_was() {
        use EventKind as E;
        let head = Head { expires_at: Wall(10), ..Head::default() };
        let of = |kinds: &[E]| {
            let event = |kind: &E| Event { address: Default::default(), kind: *kind, detail: 0, at: Wall(5) };
            let view = view(&head, &kinds.iter().map(event).collect::<Vec<_>>(), Wall(50));
            (view.state, view.reason)
        };
        assert_eq!(
            of(&[E::Attempt, E::Returned, E::Expired]),
            (MessageState::Expired, Some(DeadLetterReason::ExpiredHere))
        );
        assert_eq!(of(&[E::Attempt, E::Submitted, E::Expired]), (MessageState::Expired, None));
    }
}
