//! The clock as an argument, with two hands. Limits, timeouts and backoff read only [`Mono`]; schedules, expiry
//! and ids read [`Wall`]; the simulator moves them apart. Nothing here asks a clock.

use std::ops::Add;

/// Monotonic nanoseconds since an arbitrary origin of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// Milliseconds since the Unix epoch; may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// One reading of both hands, taken once per turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For limits, timeouts and backoff.
    pub mono: Mono,
    /// For schedules, expiry and ids.
    pub wall: Wall,
}

impl Mono {
    /// That many nanoseconds later.
    pub const fn after_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// That many milliseconds later.
    pub const fn after_ms(self, ms: u64) -> Self {
        self.after_ns(ms.saturating_mul(1_000_000))
    }

    /// Nanoseconds since `earlier`; 0 when it lies ahead.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Wall {
    /// That many milliseconds later.
    pub const fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 when it lies ahead.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Now {
    /// Both hands moved forward together by that many nanoseconds of the monotonic one.
    pub const fn after_ns(self, ns: u64) -> Self {
        Self { mono: self.mono.after_ns(ns), wall: self.wall.after_ms(ns / 1_000_000) }
    }

    /// When, on the monotonic hand, the wall will read `at` if it does not jump; now if it already did.
    pub const fn mono_at(self, at: Wall) -> Mono {
        self.mono.after_ms(at.since(self.wall))
    }
}

impl Add<u64> for Wall {
    type Output = Self;

    fn add(self, ms: u64) -> Self {
        self.after_ms(ms)
    }
}
