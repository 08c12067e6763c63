//! Questions of doors that need the store: the reader thread is asked, and the door gets its reply when that has answered.

use std::collections::BTreeMap;

use crate::model::{Address, Lane, MessageId, ReplyTo, TenantId, Whose};
use crate::store::ReadRequest;

use super::event::{DoubtAction, Reply};
use super::shown::Listed;
use super::turn::Turn;

/// A question, with the reply address of the door that asked.
#[derive(Debug)]
pub(super) enum Pending {
    Lookup { reply: ReplyTo, whose: Whose, ids: Vec<MessageId> },
    Cancel { reply: ReplyTo, tenant: TenantId, id: MessageId },
    Records { reply: ReplyTo },
    Inbound { reply: ReplyTo },
    Doubts { reply: ReplyTo, listed: Vec<Listed>, next: Option<Address> },
    Resolve { reply: ReplyTo, ids: Vec<MessageId>, action: DoubtAction },
}

/// The list in which a message waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing {
    pub lane: Lane,
    /// Whether the list holds what was unsent at a backup.
    pub restored: bool,
}

/// All questions under way.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    pending: BTreeMap<u64, Pending>,
    next_token: u64,
    /// Cancellations that wait for the store, by message and question; each is removed when its message is taken by a link, when
    /// it ends, or when the store has answered. There is one entry for each question, so a tenant that asks for another tenant's
    /// message does not displace the owner's question.
    ///
    /// `Some`: the message was put into this list after the store was asked.
    cancelling: BTreeMap<(Address, u64), Option<Listing>>,
}

impl Lookups {
    fn insert(&mut self, pending: Pending) -> u64 {
        self.next_token += 1;
        self.pending.insert(self.next_token, pending);
        self.next_token
    }

    /// A message was taken from its fifo, or has ended: cancelling it is too late.
    pub(super) fn too_late(&mut self, address: Address) {
        while let Some((&asked, _)) = self.cancelling.range((address, 0)..=(address, u64::MAX)).next() {
            self.cancelling.remove(&asked);
        }
    }

    /// A message entered a list, from the delay queue or from another list: the store's answer to a cancellation may be older
    /// than that.
    pub(super) fn entered(&mut self, address: Address, listing: Listing) {
        for (_, ready) in self.cancelling.range_mut((address, 0)..=(address, u64::MAX)) {
            *ready = Some(listing);
        }
    }
}

impl Lookups {
    pub(super) fn lookup(
        &mut self,
        turn: &mut Turn,
        events_from: u64,
        reply: ReplyTo,
        whose: Whose,
        ids: Vec<MessageId>,
    ) {
        let addresses = ids.iter().map(|id| id.address()).collect();
        let token = self.insert(Pending::Lookup { reply, whose, ids });
        turn.read(ReadRequest::Messages { token, addresses, events_from });
    }

    pub(super) fn cancel(
        &mut self,
        turn: &mut Turn,
        events_from: u64,
        reply: ReplyTo,
        tenant: TenantId,
        id: MessageId,
    ) {
        // Asked even if the message is under way: only the store knows whether it exists and whose it is.
        let address = id.address();
        let token = self.insert(Pending::Cancel { reply, tenant, id });
        self.cancelling.insert((address, token), None);
        let request = ReadRequest::Messages { token, addresses: vec![address], events_from };
        turn.reads.push_back((turn.decided(), request));
    }

    pub(super) fn records(
        &mut self,
        turn: &mut Turn,
        events_from: u64,
        reply: ReplyTo,
        whose: Whose,
        from: Address,
        limit: usize,
    ) {
        let token = self.insert(Pending::Records { reply });
        let from = from.max(Address::new(turn.first_segment, 0));
        turn.read(ReadRequest::Scan { token, whose, from, limit, events_from });
    }

    /// The token of a search; it is answered like a question for records.
    pub(super) fn search(&mut self, reply: ReplyTo) -> u64 {
        self.insert(Pending::Records { reply })
    }

    /// The token of a question for messages from handsets.
    pub(super) fn inbound(&mut self, reply: ReplyTo) -> u64 {
        self.insert(Pending::Inbound { reply })
    }

    pub(super) fn read_for_doubts(
        &mut self,
        turn: &mut Turn,
        events_from: u64,
        reply: ReplyTo,
        listed: Vec<Listed>,
        next: Option<Address>,
    ) {
        let addresses = listed.iter().map(|entry| entry.address).collect();
        let token = self.insert(Pending::Doubts { reply, listed, next });
        turn.read(ReadRequest::Messages { token, addresses, events_from });
    }

    pub(super) fn resolve(
        &mut self,
        turn: &mut Turn,
        events_from: u64,
        reply: ReplyTo,
        ids: Vec<MessageId>,
        action: DoubtAction,
    ) {
        let addresses = ids.iter().map(|id| id.address()).collect();
        let token = self.insert(Pending::Resolve { reply, ids, action });
        turn.read(ReadRequest::Messages { token, addresses, events_from });
    }

    /// Returns the question that the store has answered, or could not.
    pub(super) fn take(&mut self, token: u64) -> Option<Pending> {
        self.pending.remove(&token)
    }

    /// The store has answered a cancellation. `None` if the message was taken or ended in the meantime; the inner value is that
    /// of `cancelling`.
    pub(super) fn take_cancelling(&mut self, address: Address, token: u64) -> Option<Option<Listing>> {
        self.cancelling.remove(&(address, token))
    }

    /// The store could not answer: the caller gets an error.
    pub(super) fn handle_failed(&mut self, turn: &mut Turn, token: u64) {
        let told = self.pending.remove(&token);
        if let Some(Pending::Cancel { id, .. }) = &told {
            self.cancelling.remove(&(id.address(), token));
        }
        if let Some(
            Pending::Lookup { reply, .. }
            | Pending::Cancel { reply, .. }
            | Pending::Records { reply, .. }
            | Pending::Inbound { reply, .. }
            | Pending::Doubts { reply, .. }
            | Pending::Resolve { reply, .. },
        ) = told
        {
            turn.reply(reply, Reply::Unreadable);
        }
    }
}
