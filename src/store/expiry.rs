//! What of some segments has run out of time, judged by what the store holds. Knows in which states a message waits, and
//! where; refuses to know what its shard has decided since.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::delivery::Happened;
use crate::model::{Class, Lane, MessageState, Segment, TenantId, Wall};

use super::backend::{Reader, Space, StoreError};
use super::key::Key;
use super::reader::events_of;
use super::record::{StateRecord, TurnRecord, decode};

/// Segments whose time may have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Which, ascending.
    pub segments: Vec<u64>,
    /// Events from this commit on are not folded yet.
    pub events_from: u64,
    /// What has expired by then is over.
    pub now: Wall,
    /// Of a restored shard: segments below this number were in its backup, and when it was restored.
    pub restored: Option<(u64, Wall)>,
}

/// Where a message waits whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a list of its lane; `restored`: in one of what a restored backup held unsent.
    Ready { restored: bool },
    /// In doubt.
    InDoubt,
}

/// A message whose time is over, and that nothing has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Which of its segment.
    pub slot: u16,
    /// Its lane.
    pub lane: Lane,
    /// Whose it is.
    pub tenant: TenantId,
    /// When its time was over.
    pub expires_at: Wall,
    /// Where it waits.
    pub place: Place,
}

/// What was found in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visited {
    /// Which.
    pub segment: u64,
    /// Messages in it.
    pub messages: u32,
    /// What is over.
    pub overdue: Vec<Overdue>,
    /// The earliest expiry of what else no carrier has, and its most urgent class; in the past where something is at a link
    /// or waits for a time of its own.
    pub next: Option<(Wall, Class)>,
}

impl Visited {
    /// A segment of which nothing is left to expire.
    pub const fn nothing(segment: u64) -> Self {
        Self { segment, messages: 0, overdue: Vec::new(), next: None }
    }
}

/// What the events say of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// Where it stands. `None`: nothing has happened to it, it is ready or waits for its `send_at`.
    state: Option<MessageState>,
    /// Nothing of it is unsent any more.
    is_over: bool,
    /// Since its shard was restored it has left the lists of what was unsent then.
    released: bool,
}

impl Slot {
    fn apply(&mut self, what: Happened, is_since: bool) {
        if self.is_over {
            return;
        }
        self.state = what.leads_to().or(self.state);
        self.is_over = what.is_sent();
        self.released |= is_since && what.leaves_backup();
    }
}

/// What the events say of the messages of one segment.
#[derive(Clone, Debug, Default)]
pub struct Stands {
    slots: Vec<Slot>,
    over: u32,
    /// Messages, where that is known.
    messages: u32,
    folded_to: u64,
}

impl Stands {
    fn apply(&mut self, slot: u16, what: Happened, is_since: bool) {
        let at = usize::from(slot);
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Slot::default());
        }
        let slot = &mut self.slots[at];
        let was_over = slot.is_over;
        slot.apply(what, is_since);
        self.over += u32::from(!was_over && slot.is_over);
    }

    /// Nothing of it can expire any more: nobody need look at the segment itself.
    pub const fn is_over(&self) -> bool {
        self.messages > 0 && self.over >= self.messages
    }

    /// Judges the messages of the segment.
    pub fn judge(&self, segment: &Segment, visit: &Visit) -> Visited {
        let mut visited = Visited { messages: segment.heads.len() as u32, ..Visited::nothing(segment.number) };
        for (at, head) in segment.heads.iter().enumerate() {
            let Slot { state, is_over, released } = self.slots.get(at).copied().unwrap_or_default();
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
                // Put off, or at its link.
                Some(_) => None,
            };
            match place.filter(|_| head.expires_at <= visit.now) {
                Some(place) => {
                    let lane = Lane { class: head.class, route: head.route };
                    visited.overdue.push(Overdue {
                        slot: at as u16,
                        lane,
                        tenant: head.tenant,
                        expires_at: head.expires_at,
                        place,
                    });
                }
                None => {
                    let (at, class) = visited.next.unwrap_or((head.expires_at, head.class));
                    visited.next = Some((at.min(head.expires_at), class.min(head.class)));
                }
            }
        }
        visited
    }
}

/// What is known of the messages of those segments.
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
                stands.apply(event.address.slot(), event.what, event.at > since);
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
        stands.apply(event.slot, event.what, event.at() > since);
    }
    Ok(stands)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::delivery::event::tests::busy;
    use crate::delivery::{Lost, Resolution};
    use crate::model::{CarrierId, Head, RouteId};
    use crate::traffic::{NotWritten, Unanswered};

    use super::*;

    const NOW: Wall = Wall(1_000);
    const ATTEMPT: Happened = Happened::Attempt { carrier: CarrierId(1), attempt: 1 };
    const RETURNED: Happened = Happened::Returned { why: NotWritten::LinkDown };
    const SUBMITTED: Happened = Happened::Submitted { parts: 1, awaits_receipt: true };
    const LOST: Lost = Lost { reason: Unanswered::Crashed, bind: None, held: false };

    fn visit(restored: Option<(u64, Wall)>) -> Visit {
        Visit { segments: vec![5], events_from: 1, now: NOW, restored }
    }

    fn head(expires_at: u64, class: Class) -> Head {
        Head { expires_at: Wall(expires_at), class, route: RouteId(1), ..Head::default() }
    }

    fn judge(events: &[(u16, Happened)], heads: Vec<Head>) -> Visited {
        let mut stands = Stands::default();
        events.iter().for_each(|(slot, what)| stands.apply(*slot, *what, false));
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
        let visited = judge(&events, heads);
        let found: Vec<_> = visited.overdue.iter().map(|one| (one.slot, one.place)).collect();
        let ready = Place::Ready { restored: false };
        assert_eq!(found, [(0, ready), (3, Place::InDoubt), (5, ready), (8, ready)]);
        assert_eq!((visited.messages, visited.next), (9, Some((Wall(900), Class::Otp))), "1 is at its link, 4 put off");
    }

    #[test]
    fn a_segment_whose_messages_are_all_over_need_not_be_read() {
        let mut stands = Stands { messages: 2, ..Stands::default() };
        stands.apply(0, SUBMITTED, false);
        stands.apply(0, Happened::Delivered { error: None }, false);
        assert!(!stands.is_over());
        stands.apply(1, Happened::Cancelled { place_of: TenantId(0) }, false);
        assert!(stands.is_over());
        assert!(!Stands::default().is_over(), "nothing is known of how many there are");
    }

    #[test]
    fn what_was_restored_stands_apart_until_it_was_taken() {
        let mut stands = Stands::default();
        stands.apply(1, ATTEMPT, true);
        stands.apply(1, RETURNED, true);
        stands.apply(2, Happened::Due { from_backup: true }, true);
        stands.apply(3, Happened::Due { from_backup: false }, true);
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
