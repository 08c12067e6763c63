//! The meaning of events: the state of a message and its timeline. Events get their meaning only here: the API, expiry, the
//! retention of segments and the simulator's oracle all use this file.

use crate::model::{CarrierError, CarrierId, Coding, DeadLetterReason, Head, MessageState, RouteId, SetNumber, Wall};

use super::event::{Event, EventKind, Happened};

/// What the API shows of a message, apart from its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageView {
    pub state: MessageState,
    /// Number of recorded attempts, without those that returned unsent.
    pub attempts: u32,
    /// Number of parts at the carrier; until that is known, as counted at ingest.
    pub parts: u8,
    /// Number of parts delivered according to receipts.
    pub parts_delivered: u32,
    /// The route to which it was moved when its own was removed; `None`: it still has its own.
    pub route: Option<RouteId>,
    /// Its set of counters, if that is not the one with which it was accepted.
    pub set: Option<SetNumber>,
    /// Carrier of the last attempt.
    pub carrier: Option<CarrierId>,
    /// The encoding in which the carrier took it; unknown before the carrier has taken all parts.
    pub coding: Coding,
    /// When the carrier had taken all parts, or when it turned out that it has them.
    pub submitted_at: Option<Wall>,
    /// When it reached its final state.
    pub final_at: Option<Wall>,
    /// The last error from a carrier.
    pub error: Option<CarrierError>,
    /// Why it was given up.
    pub reason: Option<DeadLetterReason>,
    /// All events, in order.
    pub timeline: Vec<TimelineEntry>,
}

/// One line of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    pub at: Wall,
    pub what: Happened,
}

/// The value of a detail in a line of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    Number(u32),
    /// One of the names that the API documents.
    Name(&'static str),
    Carrier(CarrierId),
    Route(RouteId),
    /// An error from a carrier.
    Error(CarrierError),
}

/// The view of a message at `now`, from its events in the order of their commits.
pub fn view(head: &Head, events: &[Event], now: Wall) -> MessageView {
    let waits = head.send_at > head.accepted_at;
    let mut view = MessageView {
        state: if waits { MessageState::Scheduled } else { MessageState::Queued },
        parts: head.parts,
        ..MessageView::default()
    };
    for event in events {
        view.timeline.push(TimelineEntry { at: event.at, what: event.what });
        if !view.is_final() {
            view.apply(event);
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

impl Happened {
    /// The state of a message after this event; `None` if the event does not change it.
    pub const fn leads_to(self) -> Option<MessageState> {
        match self {
            Self::Due { .. } | Self::Returned { .. } | Self::Resent { .. } => Some(MessageState::Queued),
            Self::Attempt { .. } => Some(MessageState::Sending),
            Self::Refused { .. } => Some(MessageState::Scheduled),
            Self::InDoubt { .. } => Some(MessageState::InDoubt),
            Self::Submitted { .. } | Self::Resolved { .. } | Self::NoReceipt => Some(MessageState::Submitted),
            Self::PartAccepted { .. }
            | Self::PartDelivered { .. }
            | Self::Intermediate { .. }
            | Self::Late { .. }
            | Self::Rerouted { .. }
            | Self::Regrouped { .. } => None,
            Self::Delivered { .. } => Some(MessageState::Delivered),
            Self::Undelivered { .. } => Some(MessageState::Undelivered),
            Self::Expired { .. } => Some(MessageState::Expired),
            Self::Rejected { .. } => Some(MessageState::Rejected),
            Self::Cancelled { .. } => Some(MessageState::Cancelled),
            Self::Dead { .. } => Some(MessageState::Dead),
        }
    }

    /// Whether the message has reached its end: only notes in the timeline can follow.
    pub fn is_final(self) -> bool {
        matches!(self, Self::NoReceipt) || self.leads_to().is_some_and(MessageState::is_final)
    }

    /// Whether no more events are expected: the message has reached its end, or its carrier has it and no receipt is wanted.
    pub fn settles(self) -> bool {
        self.is_final() || matches!(self, Self::Submitted { awaits_receipt: false, .. })
    }

    /// Whether nothing of the message is left to send: its carrier has it, or it has reached its end.
    pub fn is_sent(self) -> bool {
        self.is_final() || self.leads_to() == Some(MessageState::Submitted)
    }

    /// Whether a message with this event, after its shard was restored from a backup, waits among the new messages, and not in the
    /// list of those that were unsent in the backup.
    pub const fn leaves_backup(self) -> bool {
        match self {
            Self::Due { from_backup } => !from_backup,
            other => matches!(other.leads_to(), Some(MessageState::Queued | MessageState::Sending)),
        }
    }
}

impl MessageView {
    /// Whether it has reached its end, or its carrier has it and no receipt is wanted: only notes in the timeline can follow.
    pub const fn is_final(&self) -> bool {
        self.final_at.is_some()
    }

    fn apply(&mut self, event: &Event) {
        if let Some(state) = event.what.leads_to() {
            self.state = state;
        }
        if event.what.settles() {
            self.final_at = Some(event.at);
        }
        match event.what {
            Happened::Attempt { carrier, .. } => {
                self.attempts += 1;
                self.carrier = Some(carrier);
            }
            Happened::PartAccepted { parts, .. } => self.parts = parts,
            Happened::Submitted { parts, coding, .. } => {
                (self.parts, self.coding) = (parts, coding);
                self.submitted_at = Some(event.at);
            }
            Happened::Resolved { .. } => self.submitted_at = Some(event.at),
            Happened::Returned { .. } => self.attempts = self.attempts.saturating_sub(1),
            Happened::Refused { error } | Happened::Undelivered { error } | Happened::Rejected { error } => {
                self.error = Some(error);
            }
            Happened::PartDelivered { .. } => self.parts_delivered += 1,
            Happened::Delivered { .. } => self.parts_delivered = u32::from(self.parts),
            Happened::Expired { error } => {
                self.error = error;
                self.reason = error.is_none().then_some(DeadLetterReason::ExpiredHere);
            }
            Happened::Dead { reason, .. } => self.reason = Some(reason),
            Happened::Rerouted { route } => self.route = Some(route),
            Happened::Regrouped { set } => self.set = Some(set),
            Happened::Due { .. }
            | Happened::InDoubt { .. }
            | Happened::Resent { .. }
            | Happened::Intermediate { .. }
            | Happened::Late { .. }
            | Happened::Cancelled { .. }
            | Happened::NoReceipt => {}
        }
    }
}

impl TimelineEntry {
    pub const fn kind(&self) -> EventKind {
        self.what.kind()
    }

    /// Its details: name and value, in the order in which the API shows them.
    pub fn facts(&self) -> impl Iterator<Item = (&'static str, Fact)> {
        let number = |name, number: u8| Some((name, Fact::Number(number.into())));
        let name = |key, name| Some((key, Fact::Name(name)));
        let said = |error| ("error", Fact::Error(error));
        let facts = match self.what {
            Happened::Due { .. } | Happened::Cancelled { .. } | Happened::NoReceipt | Happened::Regrouped { .. } => {
                [None; 3]
            }
            Happened::Rerouted { route } => [Some(("route", Fact::Route(route))), None, None],
            Happened::Attempt { carrier, attempt } => {
                [Some(("carrier", Fact::Carrier(carrier))), number("attempt", attempt), None]
            }
            Happened::PartAccepted { part, parts } => [number("part", part), number("parts", parts), None],
            Happened::Submitted { parts, coding, .. } => {
                [number("parts", parts), coding.name().and_then(|coding| name("encoding", coding)), None]
            }
            Happened::Returned { why } => [name("reason", why.name()), None, None],
            Happened::Refused { error } | Happened::Undelivered { error } | Happened::Rejected { error } => {
                [Some(said(error)), None, None]
            }
            Happened::InDoubt { lost } => {
                let core = lost.bind.and_then(|bind| number("core", bind.core));
                let bind = lost.bind.map(|bind| ("bind", Fact::Number(bind.number.into())));
                [name("reason", lost.reason.name()), core, bind]
            }
            Happened::Resent { by } | Happened::Resolved { by } => [name("by", by.name()), None, None],
            Happened::PartDelivered { part } => [number("part", part), None, None],
            Happened::Intermediate { receipt } | Happened::Late { receipt } => {
                [name("receipt", receipt.word()), None, None]
            }
            Happened::Delivered { error } | Happened::Expired { error } => [error.map(said), None, None],
            Happened::Dead { reason, by } => {
                [name("reason", reason.code()), by.and_then(|by| name("by", by.name())), None]
            }
        };
        facts.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use crate::delivery::Resolution;
    use crate::delivery::samples::{busy, samples};
    use crate::traffic::NotWritten;

    use super::*;

    const ATTEMPT: Happened = Happened::Attempt { carrier: CarrierId(1), attempt: 1 };
    const SUBMITTED: Happened = Happened::Submitted { parts: 1, awaits_receipt: true, coding: Coding::Gsm7 };
    const IN_DOUBT: Happened = Happened::InDoubt {
        lost: crate::delivery::Lost {
            reason: crate::traffic::Unanswered::Crashed,
            bind: None,
            held: false,
            grouped: false,
        },
    };
    const RETURNED: Happened = Happened::Returned { why: NotWritten::LinkDown };

    fn of(head: &Head, happened: &[Happened]) -> MessageView {
        let event = |what: &Happened| Event { address: Default::default(), at: Wall(5), what: *what };
        let view = view(head, &happened.iter().map(event).collect::<Vec<_>>(), Wall(50));
        assert_eq!(view.timeline.len(), happened.len());
        view
    }

    fn state(happened: &[Happened]) -> (MessageState, u32) {
        let view = of(&Head { expires_at: Wall(100), ..Head::default() }, happened);
        (view.state, view.attempts)
    }

    #[test]
    fn follows_the_diagram() {
        use MessageState as S;
        let by = Resolution::LateAnswer;
        assert_eq!(state(&[]), (S::Queued, 0));
        assert_eq!(state(&[ATTEMPT]), (S::Sending, 1));
        assert_eq!(state(&[ATTEMPT, RETURNED]), (S::Queued, 0));
        assert_eq!(state(&[ATTEMPT, IN_DOUBT, Happened::Resent { by }, ATTEMPT]), (S::Sending, 2));
        assert_eq!(state(&[ATTEMPT, IN_DOUBT, Happened::Resolved { by }]), (S::Submitted, 1));
        assert_eq!(state(&[ATTEMPT, Happened::Refused { error: busy(8) }]), (S::Scheduled, 1));
        assert_eq!(state(&[ATTEMPT, SUBMITTED, Happened::Delivered { error: None }]), (S::Delivered, 1));
    }

    #[test]
    fn a_final_state_does_not_regress() {
        let undelivered = Happened::Undelivered { error: busy(1) };
        for after in samples() {
            assert_eq!(state(&[ATTEMPT, SUBMITTED, undelivered, after]), (MessageState::Undelivered, 1), "{after:?}");
        }
    }

    #[test]
    fn what_no_receipt_came_for_stays_submitted_and_is_final() {
        let head = Head { expires_at: Wall(100), ..Head::default() };
        assert!(!of(&head, &[ATTEMPT, SUBMITTED]).is_final());
        for after in samples() {
            let view = of(&head, &[ATTEMPT, SUBMITTED, Happened::NoReceipt, after]);
            let end = (view.state, view.is_final(), view.final_at);
            assert_eq!(end, (MessageState::Submitted, true, Some(Wall(5))), "{after:?}");
        }
    }

    #[test]
    fn what_no_receipt_is_wanted_for_is_final_when_its_carrier_has_it() {
        let head = Head { expires_at: Wall(100), ..Head::default() };
        let unwanted = Happened::Submitted { parts: 1, awaits_receipt: false, coding: Coding::Gsm7 };
        for after in samples() {
            let view = of(&head, &[ATTEMPT, unwanted, after]);
            let end = (view.state, view.is_final(), view.final_at, view.submitted_at);
            assert_eq!(end, (MessageState::Submitted, true, Some(Wall(5)), Some(Wall(5))), "{after:?}");
        }
    }

    #[test]
    fn kinds_and_what_they_mean_agree_on_what_is_final() {
        for happened in samples() {
            assert_eq!(happened.kind().is_final(), happened.is_final(), "{happened:?}");
        }
    }

    #[test]
    fn what_waits_past_its_time_reads_as_expired() {
        let head = Head { expires_at: Wall(10), ..Head::default() };
        assert_eq!(view(&head, &[], Wall(9)).state, MessageState::Queued);
        assert_eq!(view(&head, &[], Wall(10)).state, MessageState::Expired);
    }

    #[test]
    fn an_end_by_time_says_whose_it_was() {
        let head = Head { expires_at: Wall(10), ..Head::default() };
        let told = |happened: &[Happened]| {
            let view = of(&head, happened);
            (view.state, view.reason, view.error)
        };
        let here = Some(DeadLetterReason::ExpiredHere);
        let end = |error| Happened::Expired { error };
        let there = CarrierError { number: 7, ..CarrierError::default() };
        assert_eq!(told(&[ATTEMPT, RETURNED, end(None)]), (MessageState::Expired, here, None));
        assert_eq!(told(&[ATTEMPT, SUBMITTED, end(Some(there))]), (MessageState::Expired, None, Some(there)));
    }
}
