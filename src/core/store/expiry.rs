//! Which messages of some segments have expired, judged by what the store holds: messages that wait too long to be
//! sent, or for their receipts. Knows in which states a message waits, and where; refuses to know what the shard has
//! decided since.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::delivery::Happened;
use crate::model::{Class, Lane, MessageState, RouteId, Segment, SetNumber, TenantId, Wall};

use super::backend::{Reader, Space, StoreError};
use super::key::Key;
use super::reader::events_of;
use super::record::{StateRecord, TurnRecord, decode};

/// A question: what has expired in these segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Their numbers, ascending.
    pub segments: Vec<u64>,
    /// First commit whose events are not folded yet.
    pub events_from: u64,
    /// Messages that expire up to this time are over.
    pub now: Wall,
    /// What had already ended before a clock went back stays ended: the expiry up to which it ended, in segments below
    /// that number.
    pub ended_to: Vec<(Wall, u64)>,
    /// How long a message waits for its receipt, ms: counted from when its carrier took it or from its expiry,
    /// whichever is later.
    pub receipt_wait_ms: u64,
    /// For a restored shard: segments below this number were in its backup, and the time of the restore.
    pub restored: Option<(u64, Wall)>,
}

impl Visit {
    /// The time up to which messages of that segment have expired.
    pub fn now_of(&self, segment: u64) -> Wall {
        let before = self.ended_to.iter().filter(|(_, below)| segment < *below).map(|(upto, _)| *upto);
        before.fold(self.now, Wall::max)
    }
}

/// Where an expired message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a list of its lane; `restored`: in one that holds what was unsent in a restored backup.
    Ready { restored: bool },
    /// In doubt: it is not known whether the carrier has it.
    InDoubt,
    /// At its carrier; its receipt has not come.
    AtCarrier,
}

/// A message that has expired and that has not been ended yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Its slot in the segment.
    pub slot: u16,
    /// The lane in which it waits.
    pub lane: Lane,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its expiry; for a message at its carrier, the end of the wait for its receipt.
    pub expires_at: Wall,
    /// Where it waits.
    pub place: Place,
}

/// The result for one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// The segment's number.
    pub segment: u64,
    /// Messages in the segment.
    pub messages: u32,
    /// Messages that have expired.
    pub overdue: Vec<Overdue>,
    /// When the next message of the segment expires, and the most urgent class among those that are left; in the past
    /// if a message is at a link or waits for a time of its own.
    pub next: Option<(Wall, Class)>,
}

impl Visited {
    /// The result for a segment in which nothing is left to expire.
    pub const fn nothing(segment: u64) -> Self {
        Self { segment, messages: 0, overdue: Vec::new(), next: None }
    }
}

/// The state of one message according to its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// Its state. `None`: nothing has happened to it, so it is ready or waits for its `send_at`.
    state: Option<MessageState>,
    /// When its carrier took it; its receipt has not come.
    taken_at: Option<Wall>,
    /// The route of the lane in which it waits, if that is not its own route.
    route: Option<RouteId>,
    /// Its set of counters, if that is not the one with which it was accepted.
    set: Option<SetNumber>,
    /// It is settled.
    is_over: bool,
    /// It has left the lists of unsent messages since its shard was restored.
    released: bool,
}

impl Slot {
    fn apply(&mut self, what: Happened, at: Wall, is_since: bool) {
        if self.is_over {
            return;
        }
        self.state = what.leads_to().or(self.state);
        self.is_over = what.settles();
        match what {
            Happened::Rerouted { route } => self.route = Some(route),
            Happened::Regrouped { set } => self.set = Some(set),
            _ => {}
        }
        if what.leads_to() == Some(MessageState::Submitted) {
            self.taken_at = Some(at);
        }
        self.released |= is_since && what.leaves_backup();
    }
}

/// The state of a segment's messages according to their events.
#[derive(Clone, Debug, Default)]
pub struct Stands {
    slots: Vec<Slot>,
    over: u32,
    /// Number of messages; 0 if it is not known.
    messages: u32,
    folded_to: u64,
}

impl Stands {
    fn apply(&mut self, slot: u16, what: Happened, at: Wall, is_since: bool) {
        let place = usize::from(slot);
        if self.slots.len() <= place {
            self.slots.resize(place + 1, Slot::default());
        }
        let slot = &mut self.slots[place];
        let was_over = slot.is_over;
        slot.apply(what, at, is_since);
        self.over += u32::from(!was_over && slot.is_over);
    }

    /// Whether all messages are settled, so that the segment itself need not be read.
    pub const fn is_over(&self) -> bool {
        self.messages > 0 && self.over >= self.messages
    }

    /// Judges the messages of the segment.
    pub fn judge(&self, segment: &Segment, visit: &Visit) -> Visited {
        let mut visited = Visited { messages: segment.heads.len() as u32, ..Visited::nothing(segment.number) };
        for (at, head) in segment.heads.iter().enumerate() {
            let Slot { state, taken_at, route, set, is_over, released } =
                self.slots.get(at).copied().unwrap_or_default();
            if is_over {
                continue;
            }
            let waits_for_send_at = head.send_at > head.accepted_at;
            let place = match state {
                None if waits_for_send_at => None,
                None | Some(MessageState::Queued) => {
                    let was_there = visit.restored.is_some_and(|(below, _)| segment.number < below);
                    Some(Place::Ready { restored: was_there && !released })
                }
                Some(MessageState::InDoubt) => Some(Place::InDoubt),
                Some(MessageState::Submitted) => Some(Place::AtCarrier),
                // In the delay queue, or at its link.
                Some(_) => None,
            };
            let expires_at = match taken_at.filter(|_| place == Some(Place::AtCarrier)) {
                Some(taken_at) => taken_at.max(head.expires_at).after_ms(visit.receipt_wait_ms),
                None => head.expires_at,
            };
            let now = if place == Some(Place::AtCarrier) { visit.now } else { visit.now_of(segment.number) };
            match place.filter(|_| expires_at <= now) {
                Some(place) => {
                    let lane = Lane { route: route.unwrap_or(head.route), set: set.unwrap_or(head.set), ..head.lane() };
                    visited.overdue.push(Overdue { slot: at as u16, lane, tenant: head.tenant, expires_at, place });
                }
                None => {
                    let (at, class) = visited.next.unwrap_or((expires_at, head.class));
                    visited.next = Some((at.min(expires_at), class.min(head.class)));
                }
            }
        }
        visited
    }
}

/// The events' result for the messages of the segments in `visit`.
///
/// # Errors
/// Those of the store, and [`StoreError::Damaged`] for an unreadable record.
pub fn stands<R: Reader>(reader: &R, visit: &Visit) -> Result<BTreeMap<u64, Stands>, StoreError> {
    let since = visit.restored.map_or(Wall(u64::MAX), |(_, at)| at);
    let mut found = BTreeMap::new();
    for &segment in &visit.segments {
        found.insert(segment, folded(reader, segment, since)?);
    }
    let (Some(first), Some(last)) = (visit.segments.first(), visit.segments.last()) else { return Ok(found) };
    let mut failure = None;
    let bounds = (Key::Turn(visit.events_from).bytes(), Key::Turn(u64::MAX).bytes());
    reader.range(Space::Event, &bounds.0, &bounds.1, usize::MAX, &mut |key, value| {
        let (Some(commit), Ok(turn)) = (Key::number(key), decode::<TurnRecord>(value)) else {
            failure = Some(StoreError::Damaged("ev".into()));
            return ControlFlow::Break(());
        };
        for note in &turn.segments {
            if let Some(stands) = found.get_mut(&note.number) {
                stands.messages = note.messages;
            }
        }
        for event in events_of(&turn).filter(|event| (*first..=*last).contains(&event.address.segment())) {
            if let Some(stands) = found.get_mut(&event.address.segment()).filter(|known| commit > known.folded_to) {
                stands.apply(event.address.slot(), event.what, event.at, event.at > since);
            }
        }
        ControlFlow::Continue(())
    })?;
    failure.map_or(Ok(found), Err)
}

fn folded<R: Reader>(reader: &R, segment: u64, since: Wall) -> Result<Stands, StoreError> {
    let key = Key::State(segment);
    let Some(bytes) = reader.get(key.space(), &key.bytes())? else { return Ok(Stands::default()) };
    let state: StateRecord = decode(&bytes).map_err(|error| StoreError::Damaged(format!("st {segment}: {error}")))?;
    let mut stands = Stands { messages: state.messages, folded_to: state.folded_to, ..Stands::default() };
    for event in state.events {
        stands.apply(event.slot, event.what, event.at(), event.at() > since);
    }
    Ok(stands)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::delivery::samples::busy;
    use crate::delivery::{Lost, Resolution};
    use crate::model::{CarrierId, Coding, Head, RouteId};
    use crate::traffic::{NotWritten, Unanswered};

    use super::*;

    const NOW: Wall = Wall(1_000);
    const ATTEMPT: Happened = Happened::Attempt { carrier: CarrierId(1), attempt: 1 };
    const RETURNED: Happened = Happened::Returned { why: NotWritten::LinkDown };
    const SUBMITTED: Happened = Happened::Submitted { parts: 1, awaits_receipt: true, coding: Coding::Gsm7 };
    const LOST: Lost = Lost { reason: Unanswered::Crashed, bind: None, held: false, grouped: false };

    fn visit(restored: Option<(u64, Wall)>) -> Visit {
        Visit {
            segments: vec![5],
            events_from: 1,
            now: NOW,
            ended_to: vec![(Wall(1_500), 5), (Wall(1_200), 6)],
            receipt_wait_ms: 500,
            restored,
        }
    }

    fn head(expires_at: u64, class: Class) -> Head {
        Head { expires_at: Wall(expires_at), class, route: RouteId(1), ..Head::default() }
    }

    fn judge(events: &[(u16, Happened)], heads: Vec<Head>) -> Visited {
        let mut stands = Stands::default();
        events.iter().for_each(|(slot, what)| stands.apply(*slot, *what, Wall(100), false));
        stands.judge(&Segment { number: 5, heads, arena: Arc::default(), slots: Vec::new() }, &visit(None))
    }

    #[test]
    fn only_what_waits_is_over_and_the_rest_says_when_to_look_again() {
        let by = Resolution::PolicyResend;
        let events = [
            (1, ATTEMPT),
            (2, ATTEMPT),
            (2, SUBMITTED),
            (3, ATTEMPT),
            (3, Happened::InDoubt { lost: LOST }),
            (4, ATTEMPT),
            (4, Happened::Refused { error: busy(8) }),
            (5, ATTEMPT),
            (5, RETURNED),
            (6, Happened::Expired { error: None }),
            (8, ATTEMPT),
            (8, Happened::InDoubt { lost: LOST }),
            (8, Happened::Resent { by }),
        ];
        let mut heads = vec![head(900, Class::Marketing); 7];
        heads.push(head(2_000, Class::Otp));
        heads.push(head(900, Class::Marketing));
        heads.push(head(1_200, Class::Marketing));
        let visited = judge(&events, heads);
        let found: Vec<_> = visited.overdue.iter().map(|one| (one.slot, one.place)).collect();
        let ready = Place::Ready { restored: false };
        assert_eq!(found, [(0, ready), (3, Place::InDoubt), (5, ready), (8, ready), (9, ready)], "9 was over once");
        assert_eq!(
            (visited.messages, visited.next),
            (10, Some((Wall(900), Class::Otp))),
            "1 is at its link, 4 put off"
        );
    }

    /// The wait begins with the submit or the expiry, whichever is later; a message without a receipt waits for none.
    #[test]
    fn whose_receipt_does_not_come_is_over_after_the_wait() {
        let unwanted = Happened::Submitted { parts: 1, awaits_receipt: false, coding: Coding::Gsm7 };
        let delivered = Happened::Delivered { error: None };
        let resolved = Happened::Resolved { by: Resolution::OperatorSent };
        let events = [(0, SUBMITTED), (1, SUBMITTED), (2, unwanted), (3, SUBMITTED), (3, delivered), (4, resolved)];
        // The wait is 500, now is 1,000, and all were submitted at 100.
        let heads = [50, 501, 50, 50, 500].map(|expires_at| head(expires_at, Class::Otp)).to_vec();
        let visited = judge(&events, heads);
        let found: Vec<_> = visited.overdue.iter().map(|one| (one.slot, one.place, one.expires_at)).collect();
        assert_eq!(found, [(0, Place::AtCarrier, Wall(600)), (4, Place::AtCarrier, Wall(1_000))]);
        assert_eq!(visited.next, Some((Wall(1_001), Class::Otp)));
    }

    #[test]
    fn a_segment_whose_messages_are_all_over_need_not_be_read() {
        let mut stands = Stands { messages: 2, ..Stands::default() };
        stands.apply(0, SUBMITTED, NOW, false);
        stands.apply(1, Happened::Cancelled { place_of: TenantId(0) }, NOW, false);
        assert!(!stands.is_over(), "a receipt is to come");
        stands.apply(0, Happened::Delivered { error: None }, NOW, false);
        assert!(stands.is_over());
        assert!(!Stands::default().is_over(), "nothing is known of how many there are");
    }

    #[test]
    fn what_was_restored_stands_apart_until_it_was_taken() {
        let mut stands = Stands::default();
        stands.apply(1, ATTEMPT, NOW, true);
        stands.apply(1, RETURNED, NOW, true);
        stands.apply(2, Happened::Due { from_backup: true }, NOW, true);
        stands.apply(3, Happened::Due { from_backup: false }, NOW, true);
        let heads = vec![head(900, Class::Otp); 4];
        let segment = Segment { number: 5, heads, arena: Arc::default(), slots: Vec::new() };
        let places = |below| {
            let visited = stands.judge(&segment, &visit(Some((below, Wall(100)))));
            visited.overdue.iter().map(|one| one.place == Place::Ready { restored: true }).collect::<Vec<_>>()
        };
        assert_eq!(places(6), [true, false, true, false]);
        assert_eq!(places(5), [false; 4]);
    }
}
