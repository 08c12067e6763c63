//! What is going to happen, and when: the only clock of the simulated world. Two things at one instant happen in the order
//! in which they were put down.

use std::collections::BTreeMap;

use crate::model::Prng;

/// One microsecond in nanoseconds.
pub const US: u64 = 1_000;
/// One millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;
/// One second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// Generic in what happens.
#[derive(Debug)]
pub struct Agenda<T> {
    now_ns: u64,
    order: u64,
    entries: BTreeMap<(u64, u64), T>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Agenda<T> {
    /// Nothing is going to happen; it is time 0.
    pub const fn new() -> Self {
        Self { now_ns: 0, order: 0, entries: BTreeMap::new() }
    }

    /// Nanoseconds since the world began.
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Puts something down; what lies in the past happens now.
    pub fn at(&mut self, at_ns: u64, what: T) {
        self.order += 1;
        self.entries.insert((at_ns.max(self.now_ns), self.order), what);
    }

    /// Puts something down for later.
    pub fn after(&mut self, ns: u64, what: T) {
        self.at(self.now_ns.saturating_add(ns), what);
    }

    /// Moves the time on to the next thing.
    pub fn pop(&mut self) -> Option<T> {
        let ((at_ns, _), what) = self.entries.pop_first()?;
        self.now_ns = at_ns;
        Some(what)
    }
}

/// A delay as a few kinds of hosts have it: mostly short, now and then very long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The usual least, ns.
    pub min_ns: u64,
    /// The usual most, ns.
    pub max_ns: u64,
    /// How often it is slow, in a million.
    pub slow_ppm: u32,
    /// The most when it is slow, ns.
    pub slow_ns: u64,
}

impl Latency {
    /// Draws one.
    pub const fn draw(&self, prng: &mut Prng) -> u64 {
        let slow = self.slow_ppm > 0 && prng.chance(self.slow_ppm);
        prng.between(self.min_ns, if slow { self.slow_ns } else { self.max_ns })
    }
}

/// Keeps one direction in order: nothing arrives before what was sent earlier.
#[derive(Clone, Copy, Debug, Default)]
pub struct InOrder {
    last_ns: u64,
}

impl InOrder {
    /// When something arrives that would take until `at_ns` alone.
    pub const fn arrival(&mut self, at_ns: u64) -> u64 {
        if at_ns > self.last_ns {
            self.last_ns = at_ns;
        }
        self.last_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_by_time_then_by_order() {
        let mut agenda = Agenda::new();
        agenda.at(5, 'b');
        agenda.at(5, 'c');
        agenda.at(1, 'a');
        let order: Vec<_> = std::iter::from_fn(|| agenda.pop()).collect();
        assert_eq!((order, agenda.now_ns()), (vec!['a', 'b', 'c'], 5));
        agenda.at(2, 'd');
        assert_eq!((agenda.pop(), agenda.now_ns()), (Some('d'), 5), "the past is now");
    }

    #[test]
    fn keeps_order_within_a_direction() {
        let mut line = InOrder::default();
        assert_eq!([line.arrival(7), line.arrival(3), line.arrival(9)], [7, 7, 9]);
    }
}
