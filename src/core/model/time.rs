//! Time as an argument, by two clocks. Limits, timeouts and back-off read only [`Mono`]; schedules, expiry and ids read
//! [`Wall`]; the simulator moves the two apart. Nothing here reads a real clock.

use std::ops::Add;

/// Monotonic nanoseconds since an arbitrary origin of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// Milliseconds since the Unix epoch, by the wall clock; may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// Steps of the wall clock that are smaller are ignored, ms.
pub const CLOCK_STEP_MS: u64 = 1_000;

/// One reading of both clocks, taken once per turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock: for limits, timeouts and back-off.
    pub mono: Mono,
    /// Wall clock: for schedules, expiry and ids.
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

    /// Nanoseconds since `earlier`; 0 if `earlier` is in the future.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Wall {
    /// That many milliseconds later.
    pub const fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if `earlier` is in the future.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Now {
    /// By how much the wall clock was set since `before`, ms; 0 for less than [`CLOCK_STEP_MS`].
    pub const fn jumped_ms(self, before: Self) -> i64 {
        let passed_ms = (self.mono.since(before.mono) / 1_000_000) as i64;
        let jumped_ms = (self.wall.0.wrapping_sub(before.wall.0) as i64).saturating_sub(passed_ms);
        if jumped_ms.unsigned_abs() < CLOCK_STEP_MS { 0 } else { jumped_ms }
    }

    /// Both clocks moved forward together by that many nanoseconds.
    pub const fn after_ns(self, ns: u64) -> Self {
        Self { mono: self.mono.after_ns(ns), wall: self.wall.after_ms(ns / 1_000_000) }
    }

    /// When, by the monotonic clock, the wall clock will show `at` if it does not jump; now if `at` has passed.
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
