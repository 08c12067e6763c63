//! The states of messages, for clients that query them by `query_sm` instead of waiting for receipts. Knows ids and
//! times; refuses to know connections and PDUs.

use std::collections::{HashMap, VecDeque};

use stentor_core::sim::carrier::Fate;

use super::receipts::OwnedAddress;

/// Most messages that are remembered; the oldest is forgotten first.
const KNOWN_MAX: usize = 1 << 20;

/// The final state of a message, and when it is reached.
#[derive(Debug)]
pub(super) struct End {
    /// The final state.
    pub fate: Fate,
    /// When it is reached, in milliseconds since the simulator's start.
    pub due_ms: u64,
    /// The sender of the message.
    pub sender: OwnedAddress,
}

/// The ends of messages, by id as it was given in the response.
#[derive(Debug, Default)]
pub(super) struct Ends {
    by_id: HashMap<Vec<u8>, End>,
    in_order: VecDeque<Vec<u8>>,
}

impl Ends {
    /// A message was taken under that id.
    pub(super) fn note(&mut self, id: Vec<u8>, end: End) {
        if self.by_id.insert(id.clone(), end).is_none() {
            self.in_order.push_back(id);
        }
        while self.in_order.len() > KNOWN_MAX {
            self.in_order.pop_front().map(|oldest| self.by_id.remove(&oldest));
        }
    }

    /// The state of a message at `now_ms`; `None` if it is unknown or had another sender.
    pub(super) fn find(&self, id: &[u8], sender: &[u8], now_ms: u64) -> Option<Fate> {
        let end = self.by_id.get(id).filter(|end| end.sender.borrow().digits == sender)?;
        Some(if end.due_ms <= now_ms { end.fate } else { Fate::Enroute })
    }
}
