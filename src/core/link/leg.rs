//! One connection of a link and the session on it: what it waits for, and what of its bytes is on the way.
//!
//! Knows states, deadlines, backoff and counts of bytes. Refuses to know messages and the other connections.

use crate::limit::SlidingLimit;
use crate::limit::sliding::GUARD_NS;
use crate::model::{Address, Coding, Mono, Prng, ShardId, Tail};
use stentor_smpp::session::Session;

use super::event::{Disconnect, SessionLoss};
use super::hosts::{HostChoice, Way};
use super::noise::Noise;
use super::options::Options;
use super::prepared::Index;

/// Our word for a submit: which part of which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartToken {
    /// The message in the link's hands.
    pub index: Index,
    /// Its part.
    pub part: u8,
}

/// Our word for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A submit.
    Part(PartToken),
    /// A query, by its number in [`super::queries::Queries`].
    Query(u32),
}

impl Word {
    /// The part, if it is a submit's.
    pub const fn part(self) -> Option<PartToken> {
        match self {
            Self::Part(token) => Some(token),
            Self::Query(_) => None,
        }
    }
}

/// A part whose answer did not come in time, while its session may still bring it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Our word for it. Its index may be another message's by now.
    pub token: PartToken,
    /// Whose.
    pub shard: ShardId,
    /// The message.
    pub address: Address,
    /// Its attempt.
    pub attempt: u8,
    /// Parts of the message at this carrier.
    pub parts: u8,
    /// What the number ends in that it was sent from.
    pub sender: Tail,
    /// In what it was sent.
    pub coding: Coding,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// Nothing: it is not wanted.
    Resting,
    /// Its next attempt.
    Waiting {
        /// When.
        until: Mono,
    },
    /// The owner's `Connected`.
    Connecting {
        /// Until when.
        deadline: Mono,
    },
    /// The carrier's word on the bind, which its session times.
    Binding,
    /// Traffic.
    Bound,
    /// The socket, to take the session's last bytes.
    Flushing {
        /// Until when.
        deadline: Mono,
    },
    /// The owner's `Disconnected`.
    Closing,
}

/// How long a session that has ended may take to write its last bytes, ms.
const FLUSH_MS: u64 = 1_000;

/// A session that stood so long was a good one: the next attempt comes soon.
const STEADY_NS: u64 = 10_000_000_000;

/// Bytes that may wait for the socket before no more submits are written.
const BACKLOG_OCTETS_MAX: u64 = 256 * 1024;

/// Parts of a limited link that are not written after so long are no longer where the limit believes them.
const LATE_NS: u64 = GUARD_NS / 2;

/// Parts whose bytes travel together.
#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    parts: u32,
    since: Mono,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Leg {
    /// What it waits for.
    pub state: LegState,
    /// The session, from `Connected` to `Disconnected`.
    pub session: Option<Box<Session<Word>>>,
    /// Counts its sessions, so that an answer meant for one is not given to the next.
    pub generation: u32,
    /// Where it was last connected to, or is to be.
    pub way: Way,
    /// Its own limit.
    pub limit: Option<SlidingLimit>,
    /// Whether messages may be submitted now: bound, and its partner too.
    pub ready: bool,
    /// The carrier's last refusal of a bind because of the account, until one succeeds.
    pub refused: Option<u32>,
    /// How the last connection ended, until a bind succeeds.
    pub lost: Option<Disconnect>,
    /// What the end of its connection that is told next is about.
    pub words: Option<Box<str>>,
    /// What went wrong with it since it was last connected, with the host.
    pub trouble: Option<String>,
    /// How long its session may wait for the answer to its bind, ns.
    pub bind_ns: u64,
    /// Receipts of it that wait for a shard, those of earlier sessions too.
    pub inquiries: u32,
    /// Bytes of theirs.
    pub inquiry_octets: u64,
    /// What came in just now and is not taken: sequence number, and whether it is data_sm. Empty between two events.
    pub put_off: Vec<(u32, bool)>,
    /// The owner was asked not to read.
    pub read_paused: bool,
    /// Parts of its session that were given up: at most a window, for the session ends with the first.
    pub missed: Vec<Missed>,
    /// The session shall be given up when this turn's events are through.
    pub give_up: bool,
    /// Why the session ended, if the carrier is to blame.
    pub blame: Option<SessionLoss>,
    /// We end the session, and nobody is to blame.
    pub parting: bool,
    /// What its session said that means nothing.
    pub noise: Noise,
    /// Queries of its session without an answer.
    pub queries_out: u32,
    choice: HostChoice,
    failures: u32,
    bound_at: Option<Mono>,
    /// A `Transmit` was announced and not all of it is reported.
    writing: bool,
    unreported: u64,
    taken: Flight,
    queued: Flight,
}

impl Leg {
    /// To be connected as soon as the link is asked for its first timeout.
    pub fn new(options: &Options, now: Mono) -> Self {
        Self {
            state: LegState::Waiting { until: now },
            session: None,
            generation: 0,
            way: Way::default(),
            limit: options.bind_rate_parts_per_s.map(SlidingLimit::new),
            ready: false,
            refused: None,
            inquiries: 0,
            inquiry_octets: 0,
            put_off: Vec::new(),
            read_paused: false,
            missed: Vec::new(),
            give_up: false,
            blame: None,
            parting: false,
            noise: Noise::default(),
            queries_out: 0,
            choice: HostChoice::default(),
            failures: 0,
            bound_at: None,
            lost: None,
            words: None,
            trouble: None,
            bind_ns: 0,
            writing: false,
            unreported: 0,
            taken: Flight::default(),
            queued: Flight::default(),
        }
    }

    /// When it wants attention.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let own = match self.state {
            LegState::Waiting { until } => Some(until),
            LegState::Connecting { deadline } | LegState::Flushing { deadline } => Some(deadline),
            LegState::Resting | LegState::Binding | LegState::Bound | LegState::Closing => None,
        };
        let session = self.session.as_ref().and_then(|session| session.poll_timeout()).map(Mono);
        own.into_iter().chain(session).min()
    }

    /// A fresh connection carries this session.
    pub fn begin(&mut self, session: Box<Session<Word>>) {
        self.session = Some(session);
        self.generation = self.generation.wrapping_add(1);
        self.state = LegState::Binding;
        (self.writing, self.unreported, self.give_up) = (false, 0, false);
        (self.taken, self.queued) = (Flight::default(), Flight::default());
        (self.blame, self.parting, self.noise) = (None, false, Noise::default());
        (self.read_paused, self.queries_out) = (false, 0);
        self.missed.clear();
    }

    /// The carrier took the bind.
    pub fn handle_bound(&mut self, now: Mono) {
        self.state = LegState::Bound;
        self.bound_at = Some(now);
        (self.refused, self.lost) = (None, None);
    }

    /// The session has ended; what it still has to say may go out.
    pub fn flush(&mut self, now: Mono) {
        if matches!(self.state, LegState::Binding | LegState::Bound) {
            self.state = LegState::Flushing { deadline: now.after_ms(FLUSH_MS) };
        }
    }

    /// It shall be connected: where to, for one that begins at host `first` of `hosts`.
    pub fn connect(&mut self, first: u16, hosts: u16, deadline: Mono) -> Way {
        self.state = LegState::Connecting { deadline };
        self.parting = false;
        self.way = self.choice.way(first, hosts);
        self.way
    }

    /// The connection is gone: when to try again.
    pub fn rest_or_retry(&mut self, options: &Options, wanted: bool, now: Mono, chance: &mut Prng) {
        let steady = self.bound_at.map(|since| now.since(since) >= STEADY_NS);
        if steady == Some(true) && self.blame != Some(SessionLoss::Noise) {
            self.failures = 0;
        }
        match steady {
            _ if self.parting => {}
            Some(steady) => {
                self.choice.handle_session(steady && !self.blame.is_some_and(SessionLoss::is_its_hosts_fault));
            }
            None => self.choice.handle_failed(),
        }
        (self.bound_at, self.read_paused) = (None, false);
        let doubled = options.reconnect_min_ms.max(1) << self.failures.min(20);
        let longest = options.reconnect_max_ms.max(options.reconnect_min_ms).max(1);
        let pause_ms = if self.refused.is_some() { longest } else { doubled.min(longest) };
        self.failures = self.failures.saturating_add(1);
        self.session = None;
        self.state = match wanted {
            true => LegState::Waiting { until: now.after_ms(chance.between(pause_ms / 2, pause_ms)) },
            false => LegState::Resting,
        };
    }

    /// Something was changed by which its next attempt may succeed: it comes now.
    pub fn retry_now(&mut self, now: Mono) {
        if let LegState::Waiting { until } = &mut self.state {
            *until = now;
            (self.failures, self.refused) = (0, None);
        }
    }

    /// Attempts that failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the socket takes what we write. With a limit, parts must not linger: the limit counts them as gone.
    pub fn has_room(&self, limited: bool, now: Mono) -> bool {
        let backlog = self.session.as_ref().map_or(u64::MAX, |session| session.backlog_octets());
        backlog < BACKLOG_OCTETS_MAX && !(limited && self.stalled_parts(now) > 0)
    }

    /// Parts that the limits believe to have left long ago, and that have not.
    pub fn stalled_parts(&self, now: Mono) -> u32 {
        let oldest = if self.taken.parts > 0 { self.taken } else { self.queued };
        if oldest.parts > 0 && now.since(oldest.since) > LATE_NS { self.taken.parts + self.queued.parts } else { 0 }
    }

    /// Parts were put into the session.
    pub fn handle_sent(&mut self, parts: u32, now: Mono) {
        if self.queued.parts == 0 {
            self.queued.since = now;
        }
        self.queued.parts += parts;
    }

    /// Whether the owner must be told of bytes to write; says so once.
    pub fn announces(&mut self) -> bool {
        let waiting = self.session.as_ref().map_or(0, |session| session.backlog_octets());
        let announces = !self.writing && waiting > self.unreported && self.state != LegState::Closing;
        self.writing |= announces;
        announces
    }

    /// Hands out what is to be written.
    pub fn take_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let some = self.session.as_mut().is_some_and(|session| session.poll_transmit(out));
        self.unreported += (out.len() - before) as u64;
        if some {
            self.taken.since = if self.taken.parts == 0 { self.queued.since } else { self.taken.since };
            self.taken.parts += self.queued.parts;
            self.queued = Flight::default();
        }
        self.writing = self.unreported > 0;
        some
    }

    /// The socket took bytes. Answers how many parts left later than the limits believe.
    pub fn handle_written(&mut self, octets: usize, now: Mono) -> u32 {
        if let Some(session) = self.session.as_mut() {
            session.handle_written(octets);
        }
        debug_assert!(octets as u64 <= self.unreported, "{octets} octets are written, {} were taken", self.unreported);
        self.unreported = self.unreported.saturating_sub(octets as u64);
        if self.unreported > 0 {
            return 0;
        }
        self.writing = false;
        self.take_late(now)
    }

    /// The connection is gone: what its socket was given may have left until now. Answers as [`Self::handle_written`].
    pub fn handle_gone(&mut self, now: Mono) -> u32 {
        self.queued = Flight::default();
        self.take_late(now)
    }

    fn take_late(&mut self, now: Mono) -> u32 {
        let taken = std::mem::take(&mut self.taken);
        if taken.parts > 0 && now.since(taken.since) > LATE_NS { taken.parts } else { 0 }
    }

    /// All bytes of an ended session are written.
    pub fn is_flushed(&self) -> bool {
        !self.writing && self.session.as_ref().is_none_or(|session| session.backlog_octets() == 0)
    }
}
