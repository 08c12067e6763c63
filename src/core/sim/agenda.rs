//! What happens next in the simulated world, and when: the agenda, which is also its only clock. Events due at the same
//! instant happen in the order in which they were added.

use std::collections::BTreeMap;

use crate::model::Prng;

/// One microsecond in nanoseconds.
pub const US: u64 = 1_000;
/// One millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;
/// One second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// Generic in the kind of event.
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
    /// An empty agenda at time 0.
    pub const fn new() -> Self {
        Self { now_ns: 0, order: 0, entries: BTreeMap::new() }
    }

    /// Nanoseconds since the world began.
    pub const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Adds an event at `at_ns`; a time in the past counts as now.
    pub fn at(&mut self, at_ns: u64, what: T) {
        self.order += 1;
        self.entries.insert((at_ns.max(self.now_ns), self.order), what);
    }

    /// Adds an event `ns` nanoseconds from now.
    pub fn after(&mut self, ns: u64, what: T) {
        self.at(self.now_ns.saturating_add(ns), what);
    }

    /// Takes the next event and moves the clock to it; `None` if the agenda is empty.
    pub fn pop(&mut self) -> Option<T> {
        let ((at_ns, _), what) = self.entries.pop_first()?;
        self.now_ns = at_ns;
        Some(what)
    }
}

/// A random delay, as hosts and disks have it: mostly short, now and then very long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Lower bound of the usual delay, ns.
    pub min_ns: u64,
    /// Upper bound of the usual delay, ns.
    pub max_ns: u64,
    /// How often a delay is slow, in parts per million.
    pub slow_ppm: u32,
    /// Upper bound of a slow delay, ns.
    pub slow_ns: u64,
}

impl Latency {
    /// The same without slow delays.
    pub const fn even(self) -> Self {
        Self { slow_ppm: 0, ..self }
    }

    /// Draws one delay, ns.
    pub const fn draw(&self, prng: &mut Prng) -> u64 {
        let slow = self.slow_ppm > 0 && prng.chance(self.slow_ppm);
        prng.between(self.min_ns, if slow { self.slow_ns } else { self.max_ns })
    }
}

/// Keeps one direction of a connection in order: nothing arrives before what was sent earlier.
#[derive(Clone, Copy, Debug, Default)]
pub struct InOrder {
    last_ns: u64,
}

impl InOrder {
    /// When something arrives that, sent alone, would arrive at `at_ns`.
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
        assert_eq!((agenda.pop(), agenda.now_ns()), (Some('d'), 5), "a time in the past counts as now");
    }

    #[test]
    fn keeps_order_within_a_direction() {
        let mut line = InOrder::default();
        assert_eq!([line.arrival(7), line.arrival(3), line.arrival(9)], [7, 7, 9]);
    }
}
