//! State that the whole simulated world shares: the agenda, random numbers, both clocks, the trace, the oracle and the
//! tally. Knows none of the actors.

use std::sync::Arc;

use crate::admission::numbering::Numbering;
use crate::model::{LinkId, Mono, Now, Prng, ReplyTo, Wall};
use crate::shard::Reply;

use super::agenda::{Agenda, MS, SECOND};
use super::happening::{ConnId, Happening};
use super::mutants::Mutant;
use super::oracle::Oracle;
use super::tally::{Count, Tally};
use super::trace::Trace;

/// The wall clock when the world begins: 2026-11-21 05:21:52 UTC.
pub const WALL_BASE_MS: u64 = 1_795_238_512_000;

/// Largest jump of the wall clock in usual worlds, ms.
pub(super) const WALL_JUMP_MAX_MS: u64 = 300_000;

/// Notes a line in the stage's trace.
macro_rules! note {
    ($stage:expr, $($what:tt)+) => {{
        let at_ns = $stage.now_ns();
        $stage.trace.note(at_ns, format_args!($($what)+));
    }};
}
pub(super) use note;

/// State that the whole simulated world shares.
#[derive(Debug)]
pub struct Stage {
    /// The events that are still to happen.
    pub agenda: Agenda<Happening>,
    /// Every random decision of the world, in the order in which it is drawn.
    pub chance: Prng,
    /// Decisions about control, drawn apart so that the others stay the same.
    pub control_chance: Prng,
    /// Decisions about handsets, drawn apart for the same reason.
    pub handset_chance: Prng,
    /// Decisions of special kinds of worlds, drawn apart for the same reason.
    pub kind_chance: Prng,
    /// The record of what happened.
    pub trace: Trace,
    /// The judge of what must be true.
    pub oracle: Oracle,
    /// How often each thing happened.
    pub tally: Tally,
    /// Questions of doors that have not reached the process.
    pub asks_under_way: u32,
    /// Replies that have left their shard and have not reached their door.
    pub replies_under_way: u32,
    /// There are no more faults.
    pub calm: bool,
    /// The bug that is built in.
    pub mutant: Option<Mutant>,
    /// Finds out the countries of recipients.
    pub numbering: Option<Arc<Numbering>>,
    wall_shift_ms: i64,
    mono_shift_ns: u64,
    /// The greatest time that the wall clock ever showed.
    wall_max: Wall,
    /// The time from which the wall clock was last set back: until it shows that again, it is behind.
    pub ahead_until: Wall,
}

impl Stage {
    /// The state at the beginning.
    pub fn new(chance: Prng, trace: Trace, oracle: Oracle, mutant: Option<Mutant>) -> Self {
        let mut others = chance.clone();
        Self {
            agenda: Agenda::new(),
            control_chance: others.fork(),
            handset_chance: others.fork(),
            kind_chance: others.fork(),
            chance,
            trace,
            oracle,
            tally: Tally::default(),
            asks_under_way: 0,
            replies_under_way: 0,
            calm: false,
            mutant,
            numbering: None,
            wall_shift_ms: 0,
            mono_shift_ns: SECOND,
            wall_max: Wall(0),
            ahead_until: Wall(0),
        }
    }

    /// Nanoseconds since the world began.
    pub const fn now_ns(&self) -> u64 {
        self.agenda.now_ns()
    }

    /// Both clocks, as the present process reads them.
    pub const fn now(&self) -> Now {
        Now { mono: Mono(self.now_ns() + self.mono_shift_ns), wall: self.wall() }
    }

    /// The wall clock.
    pub const fn wall(&self) -> Wall {
        Wall((WALL_BASE_MS + self.now_ns() / MS).saturating_add_signed(self.wall_shift_ms))
    }

    /// The time on the agenda at which the process's monotonic clock reads `at`.
    pub const fn agenda_ns(&self, at: Mono) -> u64 {
        at.0.saturating_sub(self.mono_shift_ns)
    }

    /// A new process starts: its monotonic clock begins at another value.
    pub const fn shift_mono(&mut self) {
        self.mono_shift_ns = SECOND + self.chance.below(1_000 * SECOND);
    }

    /// The wall clock shows that when the world begins.
    pub const fn begin_at(&mut self, wall: Wall) {
        self.wall_shift_ms = wall.0 as i64 - WALL_BASE_MS as i64;
    }

    /// The wall clock is put right: it does not show less than it ever did.
    pub const fn right_wall(&mut self) {
        self.wall_shift_ms += self.wall_max.0.saturating_sub(self.wall().0) as i64;
    }

    /// The wall clock is set by at most `most_ms`, forwards (true) or backwards.
    pub const fn jump_wall(&mut self, most_ms: u64) -> bool {
        if self.wall().0 > self.wall_max.0 {
            self.wall_max = self.wall();
        }
        let by = self.chance.between(1, most_ms) as i64;
        let forward = self.chance.chance(500_000);
        if !forward && self.wall().0 > self.ahead_until.0 {
            self.ahead_until = self.wall();
        }
        self.wall_shift_ms += if forward { by } else { -by };
        forward
    }

    /// So much time passes at once for every part of the world; used to let retention pass.
    pub const fn age(&mut self, ms: u64) {
        self.wall_shift_ms += ms as i64;
        self.mono_shift_ns += ms * MS;
    }

    /// A shard releases a reply.
    pub fn told(&mut self, to: ReplyTo, reply: &Reply) {
        self.oracle.told(to, reply, &mut self.tally);
    }

    /// A socket accepted bytes: the parts that are now complete are judged.
    pub fn wrote(&mut self, id: ConnId, carrier: usize, bytes: &[u8]) {
        let at_ns = self.now_ns();
        self.wall_max = self.wall_max.max(self.wall());
        for part in self.oracle.wire.wrote(id, carrier, bytes, at_ns) {
            note!(self, "{id:?} writes {part:?}");
            if self.oracle.outlives_retention(&part) {
                self.tally.add(Count::Outlived);
            }
            self.oracle.wrote(carrier, &part, self.wall_max);
            let now = (at_ns, self.wall());
            self.oracle.counts(carrier, &part, now, &mut self.tally);
        }
    }

    /// A link gives bytes to a socket.
    pub fn leaves(&mut self, link: LinkId, bytes: &[u8]) {
        if let Some((invariant, what)) = self.oracle.crowd.leaves(link, bytes, self.now_ns()) {
            self.oracle.break_at(invariant, what);
        }
    }

    /// The bug that is built in.
    pub const fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    /// Whether this bug is built in.
    pub fn is_mutant(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether a fault happens, with that probability in parts per million; never in the calm.
    pub const fn fault(&mut self, ppm: u32) -> bool {
        !self.calm && ppm > 0 && self.chance.chance(ppm)
    }
}
