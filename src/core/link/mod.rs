//! One carrier's link: its sessions, windows and limits, the order in which parts are sent, and the outcome of each part.
//!
//! Knows one carrier. Refuses to know routes, retries, records and other carriers; reads no clock and opens no socket. It
//! keeps its side of the invariants of [`crate::traffic`].
//!
//! A `node` makes these calls, in this order, each time something has happened:
//! 1. [`Link::handle`] for each event, [`Link::handle_bytes`] for received bytes, [`Link::handle_timeout`] when the time
//!    that [`Link::poll_timeout`] gave has come;
//! 2. `poll_effect` until it returns `None`; messages to shards are gathered until then, so several events may be handled
//!    before this step;
//! 3. for each `Transmit`: [`Link::take_transmit`], write the bytes, report them by `Written`;
//! 4. sleep until [`Link::poll_timeout`] at the latest.
//!
//! From the wire inward: [`smpp`] speaks with the carrier: connections, PDUs, what answers and receipts mean. The other files
//! are what a carrier of any kind needs: [`prepared`] holds the messages in the order of sending
//! (`shared`: tenants take turns; [`ceiling`]: classes leave something to each other), [`grants`] decides which shard
//! may hand over more, [`flow`] and [`breaker`] slow or stop sending, [`inquiry`] and [`id_table`] bring receipts to their
//! shard, [`queries`] decides which messages to ask about at a carrier that sends no receipts, [`outbox`] gathers the messages
//! to the shards; `trial` and `control` hold methods of [`Link`].

pub mod breaker;
pub mod ceiling;
pub mod event;
pub mod flow;
pub mod grants;
pub mod hosts;
pub mod id_table;
mod in_hand;
pub mod inquiry;
pub mod noise;
pub mod options;
pub mod outbox;
pub mod prepared;
pub mod queries;
pub mod smpp;
pub mod status;
pub mod trouble;

mod control;
mod shared;
mod trial;

use std::collections::VecDeque;

use crate::limit::SlidingLimit;
use crate::model::{Buggify, DiskRoom, Mono, Now, Point, Prng, ShardId, Sound, Wall};
use crate::traffic::{Grant, NotWritten, ToLink, ToShard};

use breaker::{Breaker, BreakerState};
use flow::FlowControl;
use grants::{Grants, Room};
use id_table::IdTable;
use inquiry::Inquiries;
use outbox::Outbox;
use prepared::{Awaited, Prepared};
use queries::Queries;
use smpp::compose::Composer;
use smpp::leg::{Leg, PartToken};
use smpp::unread::Unread;
use trial::Trials;
use trouble::{LastTrouble, Told};

pub use event::{Alarm, BindId, Disconnect, LinkEffect, LinkEvent, SessionLoss};
pub use options::{Account, BindKind, CarrierEncoding, Numbering, Options, TonNpi};
pub use queries::QueryOptions;
pub use status::{BindStatus, Counters, LinkState, Status};

/// How many tokens of a punctual limit that are still to come urgent messages are granted against.
const PUNCTUAL_AHEAD: u32 = 2;

/// The link to one carrier. Lives on one core.
#[derive(Debug)]
pub struct Link {
    options: Options,
    /// Counts changes of the coding options: a message cut into parts under older options cannot continue.
    era: u32,
    legs: Vec<Leg>,
    prepared: Prepared,
    trials: Trials,
    grants: Grants,
    flow: FlowControl,
    breaker: Breaker,
    ids: IdTable,
    inquiries: Inquiries,
    queries: Queries,
    outbox: Outbox,
    composer: Composer,
    counters: Counters,
    effects: VecDeque<LinkEffect>,
    granted: Vec<(ShardId, Grant)>,
    receipt_text: Vec<u8>,
    chance: Prng,
    buggify: Buggify,
    /// The connection that is served first in the next round.
    turn: usize,
    /// When the limits may give tokens for waiting messages again.
    wake_at: Option<Mono>,
    /// When the next `query_sm` is due.
    query_at: Option<Mono>,
    /// When the operator was last told that the carrier could not read a submit.
    unreadable_told: Option<Mono>,
    unread: Unread,
    last_trouble: Option<LastTrouble>,
    told: Told,
    /// When `up` last changed.
    since: Wall,
    /// Whether at least one connection can submit.
    up: bool,
    paused: bool,
    disk: DiskRoom,
    draining: bool,
    stopped: bool,
}

impl Link {
    /// A link without connections; its first [`Self::poll_timeout`] is `now`.
    pub fn new(options: Options, seed: u64, now: Now) -> Self {
        let mut chance = Prng::new(seed);
        let connections = options.connections();
        let shards = options.shards.shards();
        let buggify = Buggify::new(options.buggify_ppm, chance.next_u64());
        let mut prepared = Prepared::new(connections, chance.next_u64());
        prepared.set_ceiling(options.class_ceiling);
        Self {
            era: 0,
            legs: (0..connections).map(|_| Leg::new(&options, now.mono)).collect(),
            prepared,
            trials: Trials::default(),
            grants: Grants::new(options.link, shards),
            flow: FlowControl::new(options.rate_parts_per_s, options.silent_until, chance.fork()),
            breaker: Breaker::default(),
            ids: IdTable::new(options.receipt_table_bits),
            inquiries: Inquiries::default(),
            queries: Queries::new(options.query),
            query_at: None,
            outbox: Outbox::new(options.link, options.group, shards),
            composer: Composer::default(),
            counters: Counters::default(),
            effects: VecDeque::new(),
            granted: Vec::new(),
            receipt_text: Vec::new(),
            chance,
            buggify,
            turn: 0,
            wake_at: None,
            unreadable_told: None,
            unread: Unread::default(),
            last_trouble: None,
            told: Told::default(),
            since: now.wall,
            up: false,
            paused: false,
            disk: DiskRoom::Ample,
            draining: false,
            stopped: false,
            options,
        }
    }

    /// Handles one event.
    pub fn handle(&mut self, event: LinkEvent, now: Now) {
        match event {
            LinkEvent::Traffic(ToLink::Demand(demand)) => self.grants.handle_demand(&demand),
            LinkEvent::Traffic(ToLink::Submits(batch)) => self.handle_submits(batch, now),
            LinkEvent::Traffic(ToLink::Verdicts(batch)) => self.handle_verdicts(&batch),
            LinkEvent::Traffic(ToLink::Queries(batch)) => self.handle_queries(batch, now),
            LinkEvent::Connected { bind } => self.handle_connected(bind, now),
            LinkEvent::Words { bind, words } => self.handle_words(bind, words),
            LinkEvent::Written { bind, bytes } => self.handle_written(bind, bytes, now),
            LinkEvent::Disconnected { bind, reason, torn } => self.handle_disconnected(bind, reason, torn, now),
            LinkEvent::Pause => self.paused = true,
            LinkEvent::Resume => self.resume(),
            LinkEvent::Disk(room) => self.disk = room,
            LinkEvent::Rebind => self.rebind(now),
            LinkEvent::Drain => self.drain(now),
            LinkEvent::Stop => self.stop(now),
            LinkEvent::Reconfigure(options) => self.reconfigure(*options, now),
        }
        self.end_turn(now);
    }

    /// Handles bytes received on a connection. Returns how many it consumed: all, or those of [`sessions::PDUS_MAX`] PDUs.
    /// The caller lets other work run before it passes the rest.
    pub fn handle_bytes(&mut self, bind: BindId, bytes: &[u8], now: Now) -> usize {
        let dealt_with = self.run_session(bind, bytes, now);
        self.end_turn(now);
        dealt_with
    }

    /// To be called at the time of [`Self::poll_timeout`]; does no harm at any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.handle_leg_timeouts(now);
        self.breaker.handle_timeout(now.mono);
        self.end_turn(now);
    }

    /// The next effect to carry out; `None` when the turn is over.
    pub(crate) fn poll_effect(&mut self) -> Option<LinkEffect> {
        // Outcomes go before the grants for the places that they free. So a shard never has more open attempts, in memory or on
        // disk, than the windows and prepared queues hold.
        let told = self.outbox.pop().map(|(shard, traffic)| LinkEffect::ToShard { shard, traffic });
        told.or_else(|| self.effects.pop_front())
    }

    /// Checks the invariants of all parts of the link.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        let sessions = (0..).zip(&self.legs).filter_map(|(bind, leg)| Some((bind, leg.session.as_ref()?)));
        let awaited = sessions.flat_map(|(bind, session)| {
            let parts = session.outstanding_tokens().filter_map(|word| word.part());
            parts.map(move |PartToken { index, part }| Awaited { index, part, bind })
        });
        self.prepared.check(awaited.collect())?;
        self.grants.check()?;
        self.queries.check()?;
        self.inquiries.check(self.legs.iter().map(|leg| (leg.inquiries, leg.inquiry_bytes)))?;
        self.check_trials()?;
        self.flow.check()?;
        self.legs.iter().try_for_each(|leg| leg.writes.check())?;
        self.legs.iter().filter_map(|leg| leg.limit.as_ref()).try_for_each(SlidingLimit::check)
    }

    /// When [`Self::handle_timeout`] must be called; `None`: no timer is set.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let legs = self.legs.iter().filter_map(Leg::poll_timeout);
        let others = [self.wake_at, self.query_at, self.breaker.poll_timeout(), self.grants.poll_timeout()];
        legs.chain(others.into_iter().flatten()).min()
    }

    /// Appends the bytes to be written on `bind` to `out`; an empty buffer is swapped, not copied into. False if there are none.
    pub fn take_transmit(&mut self, bind: BindId, out: &mut Vec<u8>) -> bool {
        self.legs.get_mut(usize::from(bind.0)).is_some_and(|leg| leg.take_transmit(out))
    }

    /// The first bytes of a PDU on `bind` that is not complete yet.
    pub fn begun(&self, bind: BindId) -> &[u8] {
        let session = self.legs.get(usize::from(bind.0)).and_then(|leg| leg.session.as_ref());
        session.map_or(&[], |session| session.begun())
    }

    /// Which rare conditions the simulator has triggered.
    pub const fn buggify(&self) -> &Buggify {
        &self.buggify
    }

    /// Whether a drain is complete: no message is held, every connection is closed.
    pub fn is_drained(&self) -> bool {
        self.draining
            && self.prepared.is_empty()
            && self.legs.iter().all(|leg| leg.state == smpp::leg::LegState::Resting)
    }

    /// Why no message can be sent now, as the shards are told; `None` if messages can be sent.
    fn obstacle(&self) -> Option<NotWritten> {
        let open = matches!(self.breaker.state(), BreakerState::Open { .. });
        match (self.draining, self.paused || !self.up || open) {
            (true, _) => Some(NotWritten::Drained),
            (false, true) => Some(NotWritten::LinkDown),
            (false, false) => None,
        }
    }

    /// Ends a turn: reviews which connections can submit, sends, decides the grants, and announces bytes to write.
    fn end_turn(&mut self, now: Now) {
        self.review_legs(now);
        if let Some(why) = self.obstacle() {
            self.reject_all(why, now);
        }
        // Queries go before parts, which would leave no room in the window. They are few and have their own rate.
        self.ask_carrier(now);
        self.pump(now);
        self.decide_grants(now);
        for (at, leg) in self.legs.iter_mut().enumerate() {
            if leg.announces() {
                self.effects.push_back(LinkEffect::Transmit { bind: BindId(at as u16) });
            }
        }
    }

    fn decide_grants(&mut self, now: Now) {
        let bound = self.prepared_max();
        // Tokens of a punctual limit come singly and are used at once, so urgent messages are granted against the next ones: two,
        // for the second is on its way, which takes a commit, while the first waits for its token.
        let ahead = if self.flow.is_punctual(now.mono) { PUNCTUAL_AHEAD } else { 0 };
        let room = Room {
            bound: if bound > 1 && self.buggify.at(Point::RoomForOne) { 1 } else { bound },
            slots: self.free_slots(|bind| !self.trials.is_at(bind)),
            tokens: self.tokens(now).max(ahead),
            prepared: self.prepared.unsent(),
            beside: self.prepared.on_trial().saturating_sub(trial::WAITING_MAX),
        };
        self.grants.decide(room, self.prepared.ceilings(), now.mono, &mut self.granted);
        for (shard, grant) in self.granted.drain(..) {
            self.effects.push_back(LinkEffect::ToShard { shard, traffic: ToShard::Grant(grant) });
        }
    }

    /// How many messages may be prepared: the windows of the connections that can submit, or what the permitted rate sends in
    /// a quarter of a second if that is less; 0 when nothing can be sent.
    fn prepared_max(&self) -> u32 {
        if self.obstacle().is_some() {
            return 0;
        }
        let ready = self.legs.iter().filter(|leg| leg.ready).count() as u32;
        let window = ready.saturating_mul(self.options.window.max(1));
        let bind_rates = self.options.bind_rate_parts_per_s.map(|rate| rate.saturating_mul(ready));
        let rate = self.flow.allowed().into_iter().chain(bind_rates).min();
        let pace = rate.map_or(u32::MAX, |rate| (rate / 4).max(1));
        window.min(pace).min(self.breaker.in_flight_max())
    }
}

#[cfg(test)]
mod tests;
