//! Messages as doors show them, made of what the store found; only to a tenant that may see them.

use crate::delivery::view;
use crate::model::{Address, MessageId, Whose};
use crate::store::StoredMessage;

use super::event::{FoundMessage, Lookup};
use super::turn::Turn;

/// A message in a page of the ledger, before the store has found it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub address: Address,
    pub attempt: u8,
}

pub(super) fn shown(turn: &Turn, whose: Whose, id: MessageId, stored: Option<StoredMessage>) -> Lookup {
    if id.address().segment() < turn.first_segment && is_ours(turn, id) {
        // A dropped message may still be on disk, or have come back after a crash, but without its history.
        return Lookup::Gone;
    }
    match stored {
        Some(stored) if is_that(turn, whose, id, &stored) => Lookup::Found(Box::new(message(turn, id, stored))),
        Some(_) | None => Lookup::Unknown,
    }
}

fn is_ours(turn: &Turn, id: MessageId) -> bool {
    id.node() == turn.options.node && id.shard() == turn.options.shard
}

/// Whether the stored message has this id in all 128 bits, and may be seen.
fn is_that(turn: &Turn, whose: Whose, id: MessageId, stored: &StoredMessage) -> bool {
    let made = MessageId::new(stored.head.accepted_at, turn.options.node, turn.options.shard, stored.address);
    made == id && whose.includes(stored.head.tenant)
}

pub(super) fn message(turn: &Turn, id: MessageId, stored: StoredMessage) -> FoundMessage {
    let mut view = view(&stored.head, &stored.events, turn.now.wall);
    turn.restored.show(stored.address, stored.head.class, &mut view);
    FoundMessage { id, head: stored.head, content: stored.content, view }
}

/// All of these messages; the store has selected those that may be seen.
pub(super) fn all(turn: &Turn, messages: Vec<StoredMessage>) -> Vec<FoundMessage> {
    let found = |stored: StoredMessage| {
        let (node, shard) = (turn.options.node, turn.options.shard);
        let id = MessageId::new(stored.head.accepted_at, node, shard, stored.address);
        message(turn, id, stored)
    };
    messages.into_iter().map(found).collect()
}
