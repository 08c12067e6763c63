//! What was used within a span of time, in slots. Knows no clock: times are numbers in whatever unit the caller counts.

use std::collections::VecDeque;

use super::rule::{Of, Units};

/// Uses, by slots of time. What falls into a slot counts as if it came at the slot's end, so it is never counted for too short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The end of each slot, ascending, and what was used in it.
    slots: VecDeque<(u64, Units)>,
    sum: Units,
}

impl Window {
    /// Adds a use. Slots are `slot` long; reports may come out of order.
    pub fn add(&mut self, at: u64, units: Units, slot: u64) {
        if units.is_zero() {
            return;
        }
        let end = (at / slot + 1) * slot;
        self.sum.add(units);
        let place = self.slots.partition_point(|(known, _)| *known < end);
        match self.slots.get_mut(place).filter(|(known, _)| *known == end) {
            Some((_, known)) => known.add(units),
            None => self.slots.insert(place, (end, units)),
        }
    }

    /// Forgets the slots that end at or before `horizon`.
    pub fn expire(&mut self, horizon: u64) {
        while let Some((_, units)) = self.slots.pop_front_if(|(end, _)| *end <= horizon) {
            self.sum.take_off(units);
        }
    }

    /// Forgets the oldest uses beyond `most` of that unit.
    pub fn keep_newest(&mut self, of: Of, most: u64) {
        while let Some((_, oldest)) = self.slots.front_mut() {
            let beyond = self.sum.of(of).saturating_sub(most);
            if beyond == 0 {
                return;
            }
            let less = match of {
                _ if oldest.of(of) <= beyond => *oldest,
                Of::Parts => Units { messages: 0, parts: beyond },
                Of::Messages => Units { messages: beyond, parts: 0 },
            };
            oldest.take_off(less);
            self.sum.take_off(less);
            if oldest.of(of) == 0 {
                self.slots.pop_front();
            }
        }
    }

    /// All uses that are not forgotten.
    pub const fn sum(&self) -> Units {
        self.sum
    }

    /// The slots: the end of each, and what was used in it.
    pub fn slots(&self) -> impl Iterator<Item = (u64, Units)> {
        self.slots.iter().copied()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_uses_are_kept() {
        let mut window = Window::default();
        (1..=4).for_each(|at| window.add(at * 10, Units { messages: 2, parts: 3 }, 10));
        window.keep_newest(Of::Messages, 9);
        assert_eq!(window.sum(), Units { messages: 8, parts: 12 });
        window.keep_newest(Of::Parts, 7);
        let parts: Vec<_> = window.slots().map(|(end, units)| (end, units.parts)).collect();
        assert_eq!(parts, [(30, 1), (40, 3), (50, 3)]);
        window.keep_newest(Of::Parts, 0);
        assert!(window.is_empty());
    }

    #[test]
    fn a_use_counts_from_the_end_of_its_slot() {
        let mut window = Window::default();
        for (at, parts) in [(100, 1), (109, 2), (95, 3), (110, 1)] {
            window.add(at, Units::message(parts), 10);
        }
        window.add(5, Units::default(), 10);
        let slots: Vec<_> = window.slots().map(|(end, units)| (end, units.messages, units.parts)).collect();
        assert_eq!(slots, [(100, 1, 3), (110, 2, 3), (120, 1, 1)]);
        window.expire(99);
        assert_eq!(window.sum(), Units { messages: 4, parts: 7 });
        window.expire(110);
        assert_eq!((window.sum(), window.is_empty()), (Units::message(1), false));
        window.clear();
        assert_eq!(window, Window::default());
    }
}
