//! Questions of doors that need the store: asked of the reader thread, answered when it has.

use std::collections::BTreeMap;

use crate::delivery::{Happened, view};
use crate::model::{Address, Lane, MessageId, MessageState, ReplyTo, TenantId};
use crate::queue::Lists;
use crate::store::{CommitSeq, ReadRequest, StoreError, StoredMessage};

use super::Shard;
use super::event::{Cancelled, DoubtAction, Effect, FoundMessage, Lookup, Reply, Resolved};
use super::ledger::Listed;

#[derive(Debug)]
enum Pending {
    Lookup { reply: ReplyTo, tenant: TenantId, ids: Vec<MessageId> },
    Cancel { reply: ReplyTo, tenant: TenantId, id: MessageId },
    Records { reply: ReplyTo },
    Doubts { reply: ReplyTo, listed: Vec<Listed>, next: Option<Address> },
    Resolve { reply: ReplyTo, ids: Vec<MessageId>, action: DoubtAction },
}

/// Questions under way.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    pending: BTreeMap<u64, Pending>,
    next_token: u64,
    /// Messages that somebody wants to cancel, and the question: until they are taken by a link, have ended, or the store has
    /// answered. Each question stands for itself: who asks for a message that is not his takes nothing from its owner.
    ///
    /// Some: it became ready after the store was asked, and whether its list is of what was restored.
    cancelling: BTreeMap<(Address, u64), Option<bool>>,
}

impl Lookups {
    fn insert(&mut self, pending: Pending) -> u64 {
        self.next_token += 1;
        self.pending.insert(self.next_token, pending);
        self.next_token
    }

    /// A message was taken from its fifo, or has ended: who wants to cancel it is too late.
    pub(super) fn too_late(&mut self, address: Address) {
        while let Some((&asked, _)) = self.cancelling.range((address, 0)..=(address, u64::MAX)).next() {
            self.cancelling.remove(&asked);
        }
    }

    /// A message went from the delay queue into a list: what the store says to who wants to cancel it may be older.
    pub(super) fn became_ready(&mut self, address: Address, restored: bool) {
        for (_, ready) in self.cancelling.range_mut((address, 0)..=(address, u64::MAX)) {
            *ready = Some(restored);
        }
    }
}

impl Shard {
    fn read(&mut self, request: ReadRequest) {
        self.reads.push_back((CommitSeq(0), request));
    }

    /// Up to where something is decided: who asks the store behind it misses nothing. A message may have ended, or have
    /// been cancelled, in a batch that is not durable yet.
    pub(super) fn decided(&self) -> CommitSeq {
        if self.gathering.is_empty() { self.in_flight.unwrap_or(self.durable) } else { self.gathering.seq() }
    }

    pub(super) fn events_from(&self) -> u64 {
        self.folding.durable_to() + 1
    }

    pub(super) fn lookup(&mut self, reply: ReplyTo, tenant: TenantId, ids: Vec<MessageId>) {
        let addresses = ids.iter().map(|id| id.address()).collect();
        let token = self.lookups.insert(Pending::Lookup { reply, tenant, ids });
        self.read(ReadRequest::Messages { token, addresses, events_from: self.events_from() });
    }

    pub(super) fn cancel(&mut self, reply: ReplyTo, tenant: TenantId, id: MessageId) {
        // Also of a message that is under way: whose it is, and whether there is one of that id, only the store can tell.
        let address = id.address();
        let token = self.lookups.insert(Pending::Cancel { reply, tenant, id });
        self.lookups.cancelling.insert((address, token), None);
        let request = ReadRequest::Messages { token, addresses: vec![address], events_from: self.events_from() };
        self.reads.push_back((self.decided(), request));
    }

    pub(super) fn records(&mut self, reply: ReplyTo, tenant: TenantId, from: Address, limit: usize) {
        let token = self.lookups.insert(Pending::Records { reply });
        let from = from.max(Address::new(self.first_segment, 0));
        self.read(ReadRequest::Scan { token, tenant, from, limit, events_from: self.events_from() });
    }

    pub(super) fn found_messages(&mut self, token: u64, messages: Vec<Option<StoredMessage>>) {
        match self.lookups.pending.remove(&token) {
            Some(Pending::Lookup { reply, tenant, ids }) => {
                let found = ids.into_iter().zip(messages).map(|(id, stored)| self.shown(tenant, id, stored)).collect();
                self.reply(reply, Reply::Found(found));
            }
            Some(Pending::Cancel { reply, tenant, id }) => {
                let stored = messages.into_iter().next().flatten();
                let cancelled = self.cancel_found(token, tenant, id, stored);
                self.reply(reply, Reply::Cancelled(cancelled));
            }
            Some(Pending::Doubts { reply, listed, next }) => {
                let found = self.shown_doubts(&listed, messages);
                self.reply(reply, Reply::Doubts { found, next });
            }
            Some(Pending::Resolve { reply, ids, action }) => {
                let resolved = ids.into_iter().zip(messages).map(|(id, stored)| self.resolve_found(id, stored, action));
                let resolved = resolved.collect();
                self.reply(reply, Reply::Resolved(resolved));
            }
            Some(Pending::Records { .. }) | None => {}
        }
    }

    pub(super) fn read_for_doubts(
        &mut self,
        reply: ReplyTo,
        listed: Vec<Listed>,
        next: Option<Address>,
        addresses: Vec<Address>,
    ) {
        let token = self.lookups.insert(Pending::Doubts { reply, listed, next });
        self.read(ReadRequest::Messages { token, addresses, events_from: self.events_from() });
    }

    pub(super) fn resolve(&mut self, reply: ReplyTo, ids: Vec<MessageId>, action: DoubtAction) {
        let addresses = ids.iter().map(|id| id.address()).collect();
        let token = self.lookups.insert(Pending::Resolve { reply, ids, action });
        self.read(ReadRequest::Messages { token, addresses, events_from: self.events_from() });
    }

    fn resolve_found(&mut self, id: MessageId, stored: Option<StoredMessage>, action: DoubtAction) -> Resolved {
        let tenant = stored.as_ref().map_or(TenantId(0), |stored| stored.head.tenant);
        match self.shown(tenant, id, stored) {
            Lookup::Found(found) => self.resolve_by_hand(found.id.address(), action),
            Lookup::Unknown => Resolved::Unknown,
            Lookup::Gone => Resolved::Gone,
        }
    }

    fn shown(&self, tenant: TenantId, id: MessageId, stored: Option<StoredMessage>) -> Lookup {
        if id.address().segment() < self.first_segment && self.is_ours(id) {
            // What was dropped may still be there, or have come back after a crash: then without its history.
            return Lookup::Gone;
        }
        match stored {
            Some(stored) if self.is_that(tenant, id, &stored) => Lookup::Found(Box::new(self.message(id, stored))),
            Some(_) | None => Lookup::Unknown,
        }
    }

    fn is_ours(&self, id: MessageId) -> bool {
        id.node() == self.options.node && id.shard() == self.options.shard
    }

    /// All 128 bits and the tenant must fit.
    fn is_that(&self, tenant: TenantId, id: MessageId, stored: &StoredMessage) -> bool {
        let made = MessageId::new(stored.head.accepted_at, self.options.node, self.options.shard, stored.address);
        made == id && stored.head.tenant == tenant
    }

    pub(super) fn message(&self, id: MessageId, stored: StoredMessage) -> FoundMessage {
        let mut view = view(&stored.head, &stored.events, self.now.wall);
        self.show_restored(stored.address, stored.head.class, &mut view);
        FoundMessage { id, head: stored.head, content: stored.content, view }
    }

    fn cancel_found(
        &mut self,
        token: u64,
        tenant: TenantId,
        id: MessageId,
        stored: Option<StoredMessage>,
    ) -> Cancelled {
        let address = id.address();
        let asked = self.lookups.cancelling.remove(&(address, token));
        let (still_waits, ready) = (asked.is_some(), asked.flatten());
        let is_restored = ready
            .unwrap_or_else(|| stored.as_ref().is_some_and(|stored| self.is_in_restored_list(address, &stored.events)));
        let stored = match self.shown(tenant, id, stored) {
            Lookup::Found(found) => found,
            Lookup::Unknown => return Cancelled::Unknown,
            Lookup::Gone => return Cancelled::Gone,
        };
        let unsent = matches!(stored.view.state, MessageState::Scheduled | MessageState::Queued);
        let under_way = self.books.attempts.get(address).is_some() || self.books.attempts.doubts.contains_key(&address);
        if !unsent || !still_waits || under_way || self.books.cancelled.contains_key(&address) {
            return Cancelled::TooLate;
        }
        if !self.books.has_room_for_cancelled() {
            self.counters.cancellations_refused += 1;
            return Cancelled::Busy;
        }
        // In a list its place is free at once, in the delay queue when its time has come.
        let mut holder = tenant;
        if ready.is_some() || stored.view.state == MessageState::Queued {
            let lane = Lane { class: stored.head.class, route: stored.head.route };
            self.add_ended(Lists { lane, restored: is_restored }, 1);
            self.places.leave(std::mem::take(&mut holder));
        }
        self.finish(address, Happened::Cancelled { place_of: holder });
        Cancelled::Done
    }

    pub(super) fn found_scan(&mut self, token: u64, messages: Vec<StoredMessage>, next: Option<Address>) {
        let Some(Pending::Records { reply }) = self.lookups.pending.remove(&token) else { return };
        let found = messages
            .into_iter()
            .map(|stored| {
                let (node, shard) = (self.options.node, self.options.shard);
                let id = MessageId::new(stored.head.accepted_at, node, shard, stored.address);
                self.message(id, stored)
            })
            .collect();
        self.reply(reply, Reply::Records { found, next });
    }

    /// The store could not answer. Whoever asked is told; a queue that cannot be read stops, which the operator is told.
    pub(super) fn read_failed(&mut self, request: ReadRequest, error: &StoreError) {
        let told = match &request {
            ReadRequest::Messages { token, .. } | ReadRequest::Scan { token, .. } => self.lookups.pending.remove(token),
            ReadRequest::Probe { token, receipts } => {
                // Nobody would ever answer them otherwise, and their carrier would be read no more.
                self.probed(*token, &vec![None; receipts.len()]);
                None
            }
            ReadRequest::Expire(_) => {
                self.visit_failed();
                None
            }
            ReadRequest::Ready { .. } | ReadRequest::Due { .. } | ReadRequest::Fold { .. } => None,
        };
        if let (Some(Pending::Cancel { id, .. }), ReadRequest::Messages { token, .. }) = (&told, &request) {
            self.lookups.cancelling.remove(&(id.address(), *token));
        }
        if let Some(
            Pending::Lookup { reply, .. }
            | Pending::Cancel { reply, .. }
            | Pending::Records { reply, .. }
            | Pending::Doubts { reply, .. }
            | Pending::Resolve { reply, .. },
        ) = told
        {
            self.reply(reply, Reply::Unreadable);
        }
        let what = format!("shard {}: {error}; asked was {request:?}", self.options.shard.0);
        self.prompt.push_back(Effect::Alarm(what));
    }
}
