//! The window: requests that wait for their response, indexed by sequence number.
//!
//! Knows which sequence numbers are outstanding, the order in which they were queued, and the caller's token for each.
//! Refuses to know PDUs and clocks.
//!
//! A ring of slots indexed by the low bits of the sequence number, at least twice as long as the window: finding,
//! adding and removing take one array access each. A number whose slot is still occupied by an older request is skipped, so
//! sequence numbers ascend but may have gaps. Slots are linked by age, so the oldest is found at once.
//!
//! Invariants:
//! - `live ≤ limit`, and the chain holds exactly the live slots, oldest first.
//! - A live slot's index is its sequence number's low bits.
//! - An overdue request keeps its slot, outside chain and count, until the slot is used again, so that a late response
//!   can still be matched.

/// Highest sequence number; 1 follows it (SMPP 3.4 §3.2).
pub const SEQUENCE_MAX: u32 = 0x7FFF_FFFF;

/// Larger windows are reduced to this; it takes two million slots, and no carrier allows more.
pub const WINDOW_MAX: u32 = 1 << 20;

const NOWHERE: u32 = u32::MAX;

/// The kind of a request; only a response of the same kind, or generic_nack, answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// submit_sm.
    Submit,
    /// deliver_sm.
    Deliver,
    /// data_sm.
    Data,
    /// query_sm.
    Query,
}

/// A request without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outstanding<T> {
    /// Its sequence number, which the response repeats.
    pub sequence: u32,
    /// The caller's token for it.
    pub token: T,
    /// Kind of the request.
    pub request: Request,
    /// When it was queued, on the monotonic clock.
    pub queued_at_ns: u64,
    /// Position in the outgoing stream just after its last byte.
    pub stream_end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState<T> {
    Nothing,
    Live(Outstanding<T>),
    Overdue(Outstanding<T>),
}

#[derive(Clone, Copy, Debug)]
struct Slot<T> {
    state: SlotState<T>,
    older: u32,
    newer: u32,
}

/// The outstanding requests of one session.
#[derive(Debug)]
pub struct Window<T> {
    slots: Vec<Slot<T>>,
    limit: u32,
    live: u32,
    oldest: u32,
    newest: u32,
    next_sequence: u32,
}

/// A request that has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled<T> {
    /// The request.
    pub outstanding: Outstanding<T>,
    /// True if it had been given up as overdue before its response came.
    pub late: bool,
}

impl<T: Copy> Window<T> {
    /// A window for at most `limit` (1..=[`WINDOW_MAX`]) requests at once. `first_sequence` is the first sequence number.
    pub fn new(limit: u32, first_sequence: u32) -> Self {
        let limit = limit.clamp(1, WINDOW_MAX);
        let slots = (limit as usize * 2).next_power_of_two().max(16);
        Window {
            slots: vec![Slot { state: SlotState::Nothing, older: NOWHERE, newer: NOWHERE }; slots],
            limit,
            live: 0,
            oldest: NOWHERE,
            newest: NOWHERE,
            next_sequence: first_sequence.clamp(1, SEQUENCE_MAX),
        }
    }

    /// Number of outstanding requests.
    pub fn len(&self) -> u32 {
        self.live
    }

    /// True if no request is outstanding.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Number of requests that can still be added.
    pub fn free(&self) -> u32 {
        self.limit - self.live
    }

    /// Takes a sequence number that no outstanding request uses.
    pub fn take_sequence(&mut self) -> u32 {
        loop {
            let sequence = self.next_sequence;
            self.next_sequence = if sequence == SEQUENCE_MAX { 1 } else { sequence + 1 };
            if !matches!(self.slots[self.index(sequence)].state, SlotState::Live(_)) {
                return sequence;
            }
        }
    }

    /// Adds a request with a number from [`Window::take_sequence`]. False, without any change, if the window is full or the
    /// number's slot is occupied.
    pub fn insert(&mut self, outstanding: Outstanding<T>) -> bool {
        let index = self.index(outstanding.sequence);
        if self.live >= self.limit || matches!(self.slots[index].state, SlotState::Live(_)) {
            return false;
        }
        let older = self.newest;
        self.slots[index] = Slot { state: SlotState::Live(outstanding), older, newer: NOWHERE };
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = index as u32,
            None => self.oldest = index as u32,
        }
        self.newest = index as u32;
        self.live += 1;
        true
    }

    /// Removes the request that a response answers. `None` if no request with this number and kind is known. For generic_nack,
    /// which answers any kind, `request` is `None`.
    pub fn settle(&mut self, sequence: u32, request: Option<Request>) -> Option<Settled<T>> {
        let index = self.index(sequence);
        let matches = |known: &Outstanding<T>| {
            known.sequence == sequence && request.is_none_or(|request| request == known.request)
        };
        match self.slots[index].state {
            SlotState::Live(known) if matches(&known) => {
                self.unchain(index);
                Some(Settled { outstanding: known, late: false })
            }
            SlotState::Overdue(known) if matches(&known) => {
                self.slots[index].state = SlotState::Nothing;
                Some(Settled { outstanding: known, late: true })
            }
            SlotState::Live(_) | SlotState::Overdue(_) | SlotState::Nothing => None,
        }
    }

    /// The oldest outstanding request.
    pub fn oldest(&self) -> Option<&Outstanding<T>> {
        match &self.slots.get(self.oldest as usize)?.state {
            SlotState::Live(outstanding) => Some(outstanding),
            SlotState::Overdue(_) | SlotState::Nothing => None,
        }
    }

    /// All outstanding requests, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Outstanding<T>> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let Slot { state: SlotState::Live(outstanding), newer, .. } = self.slots.get(at as usize)? else {
                return None;
            };
            at = *newer;
            Some(outstanding)
        })
    }

    /// Gives up the oldest request; a late response is still recognised until its slot is used again.
    pub fn give_up_oldest(&mut self) -> Option<Outstanding<T>> {
        let outstanding = *self.oldest()?;
        let index = self.index(outstanding.sequence);
        self.unchain(index);
        self.slots[index].state = SlotState::Overdue(outstanding);
        Some(outstanding)
    }

    /// The number of the oldest request whose bytes end after that position in the stream.
    pub fn first_behind(&self, position: u64) -> Option<u32> {
        let (mut at, mut first) = (self.newest, None);
        while let Some(Slot { state: SlotState::Live(outstanding), older, .. }) = self.slots.get(at as usize)
            && outstanding.stream_end > position
        {
            (at, first) = (*older, Some(outstanding.sequence));
        }
        first
    }

    /// Removes a request that was not sent, and returns it with the number of the next newer one.
    pub fn withdraw(&mut self, sequence: u32) -> Option<(Outstanding<T>, Option<u32>)> {
        let index = self.index(sequence);
        let Slot { state: SlotState::Live(outstanding), newer, .. } = self.slots[index] else { return None };
        if outstanding.sequence != sequence {
            return None;
        }
        self.unchain(index);
        let next = self.slots.get(newer as usize).and_then(|slot| match &slot.state {
            SlotState::Live(outstanding) => Some(outstanding.sequence),
            SlotState::Overdue(_) | SlotState::Nothing => None,
        });
        Some((outstanding, next))
    }

    fn index(&self, sequence: u32) -> usize {
        sequence as usize & (self.slots.len() - 1)
    }

    fn unchain(&mut self, index: usize) {
        let Slot { older, newer, .. } = self.slots[index];
        self.slots[index].state = SlotState::Nothing;
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        self.live -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn add(window: &mut Window<u64>, token: u64) -> Option<u32> {
        let sequence = window.take_sequence();
        window
            .insert(Outstanding { sequence, token, request: Request::Submit, queued_at_ns: token, stream_end: 0 })
            .then_some(sequence)
    }

    #[test]
    fn numbers_wrap_from_the_highest_to_one() {
        let mut window = Window::new(4, SEQUENCE_MAX - 1);
        let numbers: Vec<_> = (0..4).filter_map(|token| add(&mut window, token)).collect();
        assert_eq!(numbers, [SEQUENCE_MAX - 1, SEQUENCE_MAX, 1, 2]);
        assert_eq!(window.settle(1, Some(Request::Submit)).map(|settled| settled.outstanding.token), Some(2));
    }

    #[test]
    fn a_straggler_is_skipped_and_keeps_its_place() {
        let mut window = Window::new(2, 1);
        assert_eq!(add(&mut window, 0), Some(1));
        for token in 1..100 {
            let sequence = add(&mut window, token).unwrap();
            assert_ne!(sequence % 16, 1);
            assert!(window.settle(sequence, None).is_some());
        }
        assert_eq!(window.oldest().map(|oldest| oldest.token), Some(0));
        assert_eq!(window.settle(1, Some(Request::Submit)).map(|settled| settled.outstanding.token), Some(0));
        assert!(window.is_empty());
    }

    #[test]
    fn a_response_of_another_kind_settles_nothing() {
        let mut window = Window::new(2, 1);
        let sequence = add(&mut window, 7).unwrap();
        assert_eq!(window.settle(sequence, Some(Request::Deliver)), None);
        assert_eq!(window.settle(sequence + 16, None), None);
        assert!(window.settle(sequence, None).is_some());
        assert_eq!(window.settle(sequence, None), None);
    }

    #[test]
    fn an_overdue_request_frees_its_place_and_knows_its_late_answer() {
        let mut window = Window::new(1, 1);
        let sequence = add(&mut window, 7).unwrap();
        assert_eq!(window.give_up_oldest().map(|given_up| given_up.token), Some(7));
        assert_eq!((window.len(), window.free()), (0, 1));
        let settled = window.settle(sequence, Some(Request::Submit)).unwrap();
        assert!(settled.late);
        assert_eq!(window.settle(sequence, Some(Request::Submit)), None);
    }

    proptest! {
        #[test]
        fn behaves_like_a_list(limit in 1u32..12, steps in prop::collection::vec((0u8..4, 0usize..12), 0..400)) {
            let mut window = Window::new(limit, SEQUENCE_MAX - 50);
            let mut model: VecDeque<(u32, u64)> = VecDeque::new();
            for (number, (action, at)) in steps.into_iter().enumerate() {
                match action {
                    0 | 1 => match add(&mut window, number as u64) {
                        Some(sequence) => model.push_back((sequence, number as u64)),
                        None => prop_assert_eq!(model.len(), limit as usize),
                    },
                    2 => {
                        if let Some((sequence, token)) = model.remove(at) {
                            let settled = window.settle(sequence, Some(Request::Submit)).unwrap();
                            prop_assert_eq!((settled.outstanding.token, settled.late), (token, false));
                        }
                    }
                    _ => {
                        let given_up = window.give_up_oldest().map(|given_up| (given_up.sequence, given_up.token));
                        prop_assert_eq!(given_up, model.pop_front());
                    }
                }
                prop_assert_eq!(window.len() as usize, model.len());
                prop_assert_eq!(window.oldest().map(|oldest| oldest.sequence), model.front().map(|front| front.0));
            }
        }
    }
}
