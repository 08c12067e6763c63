//! What an operator sees of a link. Values only.

use crate::model::{Mono, Wall};
use stentor_smpp::session::CloseReason;

use super::breaker::BreakerState;
use super::event::{BindId, Disconnect};
use super::leg::LegState;
use super::trouble::LastTrouble;
use super::{BindKind, Link, Options};

/// Why a link sends, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// At least one connection can submit.
    Up,
    /// None can.
    Down,
    /// The carrier asked for less and is given a rest.
    Throttled {
        /// Until when.
        until: Mono,
    },
    /// By the operator.
    Paused,
    /// The disk has no room for what would have to be written.
    DiskOut,
    /// See [`BreakerState`].
    BreakerOpen,
    /// The daemon ends.
    Draining,
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindStatus {
    /// Which.
    pub bind: BindId,
    /// What it waits for.
    pub state: LegState,
    /// Messages may be submitted on it now.
    pub ready: bool,
    /// Index of the host tried or in use.
    pub host: u16,
    /// Submits without an answer.
    pub outstanding: u32,
    /// Bytes that the socket has not taken.
    pub backlog_octets: u64,
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Command status of the last refusal of a bind, until one succeeds.
    pub refused: Option<u32>,
    /// How the last connection ended, until a bind succeeds.
    pub lost: Option<Disconnect>,
    /// Receipts that wait for a shard.
    pub receipts_waiting: u32,
}

/// The whole link at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Why it sends, or does not.
    pub state: LinkState,
    /// Each connection.
    pub binds: Vec<BindStatus>,
    /// Submits that may be without an answer, over all connections that can submit.
    pub window: u32,
    /// Submits without an answer.
    pub outstanding: u32,
    /// Messages handed over and not wholly sent.
    pub prepared: u32,
    /// Places granted and not used: bulk, urgent, standing.
    pub granted: (u32, u32, u32),
    /// Messages that wait at the shards, as they last said.
    pub waiting: u64,
    /// Parts sent within the last second.
    pub rate_now: u32,
    /// Parts per second allowed at present; `None`: no limit.
    pub rate_allowed: Option<u32>,
    /// Messages that the carrier is asked about.
    pub queries: u64,
    /// The breaker.
    pub breaker: BreakerState,
    /// What went wrong last with its connections.
    pub last_trouble: Option<LastTrouble>,
    /// Since when it is up, or down.
    pub since: Wall,
    /// In how long a connection is tried again, ms; `None`: none waits for that.
    pub next_try_ms: Option<u64>,
}

/// Command statuses counted apart at most; the rest are one.
const STATUSES_MAX: usize = 64;

/// Counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Parts handed to a session.
    pub sent: u64,
    /// Parts accepted.
    pub accepted: u64,
    /// Parts refused for good.
    pub refused: u64,
    /// Parts thrown back for being too fast.
    pub throttled: u64,
    /// Parts of which nobody knows.
    pub unanswered: u64,
    /// Parts never written.
    pub not_written: u64,
    /// Messages that could not be coded.
    pub unencodable: u64,
    /// Messages handed over without a place; a bug of ours.
    pub ungranted: u64,
    /// Responses that came after their submit was given up.
    pub late_responses: u64,
    /// Responses to nothing.
    pub unknown_responses: u64,
    /// PDUs that could not be read.
    pub malformed: u64,
    /// Requests at the wrong time, or of a kind that nobody knows.
    pub strange_requests: u64,
    /// Sessions ended because they brought too much that means nothing.
    pub noisy_sessions: u64,
    /// Receipts that came in.
    pub receipts: u64,
    /// Of these, sent straight to a shard that the table named.
    pub receipts_direct: u64,
    /// Of these, every shard was asked.
    pub receipts_asked_all: u64,
    /// Of these, nobody knew the id yet.
    pub receipts_parked: u64,
    /// Messages from handsets.
    pub from_handsets: u64,
    /// Of both, those that the carrier was asked to deliver again later, for want of room.
    pub deferred: u64,
    /// Queries sent: what became of a message.
    pub queries: u64,
    /// Answers that told its end.
    pub queries_settled: u64,
    /// Answers that told none: not final yet, not known, refused.
    pub queries_open: u64,
    /// Messages that are not asked about, for want of room or because their id cannot be written.
    pub queries_dropped: u64,
    /// Sessions that came to be.
    pub binds: u64,
    /// Sessions that ended otherwise than by our own unbinding.
    pub sessions_lost: u64,
    /// Refusals by command status, ascending; `u32::MAX` gathers the rest.
    pub statuses: Vec<(u32, u64)>,
}

impl Counters {
    /// Counts a command status other than success.
    pub fn count_status(&mut self, status: u32) {
        let status = match self.statuses.binary_search_by_key(&status, |entry| entry.0) {
            Err(_) if self.statuses.len() >= STATUSES_MAX => u32::MAX,
            Ok(_) | Err(_) => status,
        };
        match self.statuses.binary_search_by_key(&status, |entry| entry.0) {
            Ok(at) => self.statuses[at].1 += 1,
            Err(at) => self.statuses.insert(at, (status, 1)),
        }
    }

    /// Counts the end of a session.
    pub fn count_end(&mut self, reason: CloseReason) {
        match reason {
            CloseReason::Requested | CloseReason::Unbound | CloseReason::UnbindTimeout => {}
            CloseReason::PeerUnbound
            | CloseReason::BindRefused(_)
            | CloseReason::SessionInitTimeout
            | CloseReason::EnquireLinkTimeout
            | CloseReason::Inactivity
            | CloseReason::Framing(_)
            | CloseReason::ConnectionLost
            | CloseReason::PeerNotReading => self.sessions_lost += 1,
        }
    }
}

impl Link {
    /// The link as an operator sees it.
    pub fn status(&mut self, now: Mono) -> Status {
        let outstanding = |leg: &super::Leg| leg.session.as_ref().map_or(0, |session| session.outstanding());
        let (urgent, bulk) = self.prepared.unsent();
        let waits = |leg: &super::Leg| match leg.state {
            LegState::Waiting { until } => Some(until),
            _ => None,
        };
        Status {
            state: self.state(now),
            binds: self.legs.iter().enumerate().map(|(at, leg)| bind_status(BindId(at as u16), leg)).collect(),
            window: self.options.window.max(1) * self.legs.iter().filter(|leg| leg.ready).count() as u32,
            outstanding: self.legs.iter().map(outstanding).sum(),
            prepared: urgent + bulk,
            granted: self.grants.out(),
            waiting: self.grants.waiting(),
            rate_now: self.flow.used(now),
            rate_allowed: self.flow.allowed(),
            queries: self.queries.len() as u64,
            breaker: self.breaker.state(),
            last_trouble: self.last_trouble.clone(),
            since: self.since,
            next_try_ms: self.legs.iter().filter_map(waits).min().map(|until| until.since(now) / 1_000_000),
        }
    }

    /// What was counted since the start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The carrier's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// What it was told about its carrier.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// What a connection carries: `None` for a transceiver, else whether it is a transmitter.
    pub fn transmits(&self, bind: BindId) -> Option<bool> {
        match self.options.bind {
            BindKind::Transceiver => None,
            BindKind::Transmitter => Some(true),
            BindKind::Pair => Some(bind.0.is_multiple_of(2)),
        }
    }

    fn state(&self, now: Mono) -> LinkState {
        let open = matches!(self.breaker.state(), BreakerState::Open { .. });
        match (self.draining, self.paused, self.up, open, self.flow.paused_until(now)) {
            (true, ..) => LinkState::Draining,
            (false, true, ..) => LinkState::Paused,
            (false, false, ..) if self.disk.is_out() => LinkState::DiskOut,
            (false, false, false, ..) => LinkState::Down,
            (false, false, true, true, _) => LinkState::BreakerOpen,
            (false, false, true, false, Some(until)) => LinkState::Throttled { until },
            (false, false, true, false, None) => LinkState::Up,
        }
    }
}

fn bind_status(bind: BindId, leg: &super::Leg) -> BindStatus {
    let session = leg.session.as_ref();
    BindStatus {
        bind,
        state: leg.state,
        ready: leg.ready,
        host: leg.way.host,
        outstanding: session.map_or(0, |session| session.outstanding()),
        backlog_octets: session.map_or(0, |session| session.backlog_octets()),
        failures: leg.failures(),
        refused: leg.refused,
        lost: leg.lost,
        receipts_waiting: leg.inquiries,
    }
}
