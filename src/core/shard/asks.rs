//! The questions of doors: new messages, and questions for which the store has to be read first.

use crate::model::{Address, Lane, MessageId, MessageState, TenantId, Whose};
use crate::queue::Part;
use crate::store::record::HandsetRecord;
use crate::store::{ReadRequest, StoreError, StoredMessage};

use super::Shard;
use super::event::{Ask, Cancelled, DoubtAction, Lookup, Reply, Resolved};
use super::lookups::{Listing, Pending};
use super::permits::Permits;
use super::shown::{self, shown};

impl Shard {
    pub(super) fn handle_ask(&mut self, ask: Ask) {
        let Self { turn, intake, pull, ledger, lookups, folding, handsets, .. } = self;
        let events_from = folding.events_from();
        match ask {
            Ask::Submit(frame) => intake.submit(turn, pull, frame),
            Ask::Parked { reply } => {
                let parked = Permits::parked(turn, &pull.lanes);
                turn.reply(reply, Reply::Parked(parked));
            }
            Ask::Claim { reply, tenant, print, is_paid } => intake.claim(turn, reply, tenant, print, is_paid),
            Ask::Lookup { reply, whose, ids } => lookups.lookup(turn, events_from, reply, whose, ids),
            Ask::Cancel { reply, tenant, id } => lookups.cancel(turn, events_from, reply, tenant, id),
            Ask::Records { reply, whose, from, limit } => {
                lookups.records(turn, events_from, reply, whose, from, limit);
            }
            Ask::Search { reply, whose, to, since, below, limit } => {
                let token = lookups.search(reply);
                let first_segment = turn.first_segment;
                turn.read(ReadRequest::Search { token, whose, to, since, below, first_segment, limit, events_from });
            }
            Ask::Inbound { reply, whose, from, limit } => {
                let token = lookups.inbound(reply);
                let from = from.max(Address::new(handsets.from(), 0));
                turn.read(ReadRequest::Handsets { token, whose, from, limit });
            }
            Ask::Doubts { reply, filter, from, limit } => {
                let (listed, next) = ledger.list_doubts(&filter, from, limit);
                if listed.is_empty() {
                    return turn.reply(reply, Reply::Doubts { found: Vec::new(), next });
                }
                lookups.read_for_doubts(turn, events_from, reply, listed, next);
            }
            Ask::Resolve { reply, ids, action } => lookups.resolve(turn, events_from, reply, ids, action),
            Ask::Release { reply, class, policy } => {
                let concerned = self.handle_release(class, policy);
                self.turn.reply(reply, Reply::Released(concerned));
            }
        }
    }

    pub(super) fn handle_found_messages(&mut self, token: u64, messages: Vec<Option<StoredMessage>>) {
        match self.lookups.take(token) {
            Some(Pending::Lookup { reply, whose, ids }) => {
                let found = ids.into_iter().zip(messages).map(|(id, stored)| shown(&self.turn, whose, id, stored));
                let found = found.collect();
                self.turn.reply(reply, Reply::Found(found));
            }
            Some(Pending::Cancel { reply, tenant, id }) => {
                let stored = messages.into_iter().next().flatten();
                let cancelled = self.cancel_found(token, tenant, id, stored);
                self.turn.reply(reply, Reply::Cancelled(cancelled));
            }
            Some(Pending::Doubts { reply, listed, next }) => {
                let found = self.ledger.shown_doubts(&self.turn, &listed, messages);
                self.turn.reply(reply, Reply::Doubts { found, next });
            }
            Some(Pending::Resolve { reply, ids, action }) => {
                let resolved = ids.into_iter().zip(messages).map(|(id, stored)| self.resolve_found(id, stored, action));
                let resolved = resolved.collect();
                self.turn.reply(reply, Reply::Resolved(resolved));
            }
            Some(Pending::Records { .. } | Pending::Inbound { .. }) | None => {}
        }
    }

    fn resolve_found(&mut self, id: MessageId, stored: Option<StoredMessage>, action: DoubtAction) -> Resolved {
        match shown(&self.turn, Whose::All, id, stored) {
            Lookup::Found(found) => self.ledger.resolve_by_operator(&mut self.turn, found.id.address(), action),
            Lookup::Unknown => Resolved::Unknown,
            Lookup::Gone => Resolved::Gone,
        }
    }

    fn cancel_found(
        &mut self,
        token: u64,
        tenant: TenantId,
        id: MessageId,
        stored: Option<StoredMessage>,
    ) -> Cancelled {
        let address = id.address();
        let asked = self.lookups.take_cancelling(address, token);
        let (still_waits, entered) = (asked.is_some(), asked.flatten());
        let was_restored = stored.as_ref().is_some_and(|stored| self.turn.restored.is_in_list(address, &stored.events));
        let stored = match shown(&self.turn, Whose::Of(tenant), id, stored) {
            Lookup::Found(found) => found,
            Lookup::Unknown => return Cancelled::Unknown,
            Lookup::Gone => return Cancelled::Gone,
        };
        let is_in_list = entered.is_some() || stored.view.state == MessageState::Queued;
        let cancelled = self.ledger.cancel(&mut self.turn, &stored, still_waits, is_in_list);
        if cancelled == Cancelled::Done && is_in_list {
            let route = stored.view.route.unwrap_or(stored.head.route);
            let by_store = Listing {
                lane: Lane { route, set: stored.view.set.unwrap_or(stored.head.set), ..stored.head.lane() },
                restored: was_restored,
            };
            let Listing { lane, restored } = entered.unwrap_or(by_store);
            let list = self.pull.lanes.list_of(lane);
            self.pull.add_ended(&mut self.turn, Part { list, restored }, 1);
        }
        cancelled
    }

    pub(super) fn handle_found_scan(&mut self, token: u64, messages: Vec<StoredMessage>, next: Option<Address>) {
        let Some(Pending::Records { reply }) = self.lookups.take(token) else { return };
        let found = shown::all(&self.turn, messages);
        self.turn.reply(reply, Reply::Records { found, next });
    }

    pub(super) fn handle_found_handsets(
        &mut self,
        token: u64,
        found: Vec<(Address, HandsetRecord)>,
        next: Option<Address>,
    ) {
        let Some(Pending::Inbound { reply }) = self.lookups.take(token) else { return };
        self.turn.reply(reply, Reply::Inbound { found, next });
    }

    /// The store could not answer. The caller gets an error; a queue that cannot be read stops. The operator is told.
    pub(super) fn handle_read_failed(&mut self, request: ReadRequest, error: &StoreError) {
        match &request {
            ReadRequest::Messages { token, .. }
            | ReadRequest::Scan { token, .. }
            | ReadRequest::Search { token, .. }
            | ReadRequest::Handsets { token, .. } => {
                self.lookups.handle_failed(&mut self.turn, *token);
            }
            ReadRequest::Probe { token, receipts } => {
                // Judge the receipts without the runs: else they would stay unanswered, and the link would stop reading.
                self.handle_probed(*token, &vec![Vec::new(); receipts.len()]);
            }
            ReadRequest::Expire(_) => self.alarms.handle_visit_failed(&mut self.turn),
            ReadRequest::Fold { .. } => self.folding.handle_failed(),
            ReadRequest::Ready { .. } | ReadRequest::Due { .. } => {}
        }
        let asked = match &request {
            // Not the whole request: its snapshot holds everything that is under way.
            ReadRequest::Fold { from, .. } => format!("what commits from {from} on decided"),
            request => format!("{request:?}"),
        };
        self.turn.alarm(&format!("{error}; the store was asked for {asked}"));
    }
}
