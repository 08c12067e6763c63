//! The status and the counters of a link, as the operator sees them. Values only.

use crate::model::{Mono, Wall};
use stentor_smpp::session::CloseReason;

use super::breaker::BreakerState;
use super::event::{BindId, Disconnect};
use super::smpp::leg::LegState;
use super::trouble::LastTrouble;
use super::{BindKind, Link, Options};

/// Whether a link sends, and why not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkState {
    /// At least one connection can submit.
    #[default]
    Up,
    /// No connection can submit.
    Down,
    /// The carrier throttled a submit: nothing is sent for a while.
    Throttled,
    /// The operator paused the link.
    Paused,
    /// The disk has no room for the records that sending would need.
    DiskFull,
    /// The carrier refused many submits in a row; see [`BreakerState`].
    BreakerOpen,
    /// The daemon is about to end.
    Draining,
}

impl LinkState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Up, Self::Down, Self::Throttled, Self::Paused, Self::DiskFull, Self::BreakerOpen, Self::Draining];

    /// The name in the API and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Throttled => "throttled",
            Self::Paused => "paused",
            Self::DiskFull => "disk_full",
            Self::BreakerOpen => "breaker_open",
            Self::Draining => "draining",
        }
    }
}

/// The status of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindStatus {
    pub bind: BindId,
    pub state: LegState,
    /// Whether messages may be submitted on it now.
    pub ready: bool,
    /// Index of the host tried or in use.
    pub host: u16,
    /// Requests without an answer: submits and queries.
    pub outstanding: u32,
    /// Bytes that wait for the socket.
    pub backlog_bytes: u64,
    /// Number of attempts in a row that failed.
    pub failures: u32,
    /// Command status with which the carrier last refused the account in a bind; cleared when a bind succeeds.
    pub refused: Option<u32>,
    /// How the last connection ended; cleared when a bind succeeds.
    pub lost: Option<Disconnect>,
    /// Receipts and messages from handsets that wait for a shard.
    pub receipts_waiting: u32,
}

/// The status of the whole link at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: LinkState,
    pub binds: Vec<BindStatus>,
    /// How many submits may be unanswered, over all connections that can submit.
    pub window: u32,
    /// Requests without an answer, over all connections: submits and queries.
    pub outstanding: u32,
    /// Messages handed over and not completely sent, without those on trial.
    pub prepared: u32,
    /// Places granted and not used: bulk and urgent without standing ones, standing.
    pub granted: (u32, u32, u32),
    /// Messages that wait at the shards, by their last demands.
    pub waiting: u64,
    /// Parts sent within the last second.
    pub rate_now: u32,
    /// Parts per second allowed at present; `None`: no limit.
    pub rate_allowed: Option<u32>,
    /// Messages that the carrier is asked about by `query_sm`.
    pub queries: u64,
    pub breaker: BreakerState,
    /// The last trouble with one of its connections.
    pub last_trouble: Option<LastTrouble>,
    /// When the link last went up or down.
    pub since: Wall,
    /// Time until the next attempt to connect, ms; `None`: no connection waits for one.
    pub next_try_ms: Option<u64>,
}

/// Maximum number of command statuses with a counter of their own; all others share one.
const STATUSES_MAX: usize = 64;

/// The counters of a link since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Parts handed to a session.
    pub sent: u64,
    /// Parts accepted.
    pub accepted: u64,
    /// Parts refused for any reason except throttling.
    pub refused: u64,
    /// Parts that the carrier throttled.
    pub throttled: u64,
    /// Parts without an answer: it is unknown whether the carrier has them.
    pub unanswered: u64,
    /// Parts that were not written.
    pub not_written: u64,
    /// Messages that could not be encoded.
    pub unencodable: u64,
    /// Messages handed over, or places given back, without a grant; more than 0 is a bug in Stentor.
    pub ungranted: u64,
    /// Responses that came after their submit or query was given up.
    pub late_responses: u64,
    /// Responses that match no request.
    pub unknown_responses: u64,
    /// PDUs that could not be read.
    pub malformed: u64,
    /// Requests at the wrong time, or of an unknown kind.
    pub strange_requests: u64,
    /// Sessions ended because the carrier sent too many meaningless PDUs.
    pub noisy_sessions: u64,
    /// Receipts that came in.
    pub receipts: u64,
    /// Receipts whose id the table of message ids knew.
    pub receipts_direct: u64,
    /// Receipts about which every shard was asked.
    pub receipts_asked_all: u64,
    /// Receipts that a shard was told to park if it does not know the id. With one shard this is every receipt.
    pub receipts_parked: u64,
    /// Messages from handsets, or parts of them.
    pub from_handsets: u64,
    /// Receipts and messages from handsets that the carrier must deliver again later, because there was no room.
    pub deferred: u64,
    /// `query_sm` requests sent.
    pub queries: u64,
    /// Answers to queries that gave a final state.
    pub queries_settled: u64,
    /// Answers to queries that gave none: the state is not final, the id is unknown, or the query was refused.
    pub queries_open: u64,
    /// Messages that are not asked about, because there was no room or their id is too long for a `query_sm`.
    pub queries_dropped: u64,
    /// Sessions that were bound.
    pub binds: u64,
    /// Sessions that ended in any other way than by our own unbind, failed binds included.
    pub sessions_lost: u64,
    /// Number of refusals by command status, in ascending order of status; `u32::MAX` counts all further statuses.
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
    /// The status of the link now.
    pub fn status(&mut self, now: Mono) -> Status {
        let outstanding = |leg: &super::Leg| leg.session.as_ref().map_or(0, |session| session.outstanding());
        let waits = |leg: &super::Leg| match leg.state {
            LegState::Waiting { until } => Some(until),
            _ => None,
        };
        Status {
            state: self.state(now),
            binds: self.legs.iter().enumerate().map(|(at, leg)| bind_status(BindId(at as u16), leg)).collect(),
            window: self.options.window.max(1) * self.legs.iter().filter(|leg| leg.ready).count() as u32,
            outstanding: self.legs.iter().map(outstanding).sum(),
            prepared: self.prepared.unsent().iter().sum(),
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

    /// The counters since the start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The carrier's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The current options.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Whether a connection is a transmitter (true) or a receiver (false); `None` for a transceiver.
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
            (false, false, ..) if self.disk.is_out() => LinkState::DiskFull,
            (false, false, false, ..) => LinkState::Down,
            (false, false, true, true, _) => LinkState::BreakerOpen,
            (false, false, true, false, Some(_)) => LinkState::Throttled,
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
        backlog_bytes: session.map_or(0, |session| session.backlog_bytes()),
        failures: leg.failures(),
        refused: leg.refused,
        lost: leg.lost,
        receipts_waiting: leg.inquiries,
    }
}
