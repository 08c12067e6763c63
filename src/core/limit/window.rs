//! What was used within a span of time, in slots. Knows no clock: times are numbers in whatever unit the caller counts.
//!
//! Slots are fine while there are few of them: a limit that lets little pass, or all of it at once, has room again at the very time.
//! When there are many they are joined into coarse ones, so that memory does not grow with what passes.

use std::collections::VecDeque;

use super::rule::{Of, Units};

/// With more slots than this, fine ones are joined.
pub const SLOTS_MAX: usize = 512;

/// How long slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub fine: u64,
    /// Not shorter than `fine`; the span of a window has at most half of [`SLOTS_MAX`] of them. `None`: slots are never joined.
    pub coarse: Option<u64>,
}

/// Uses, by slots of time. What falls into a slot counts as if it came at the slot's end, so it is never counted for too short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The end of each slot, ascending, and what was used in it.
    slots: VecDeque<(u64, Units)>,
    sum: Units,
}

impl Window {
    /// Adds a use. Reports may come out of order.
    pub fn add(&mut self, at: u64, units: Units, slot: Slot) {
        if units.is_zero() {
            return;
        }
        let end = (at / slot.fine + 1) * slot.fine;
        self.sum.add(units);
        let place = self.slots.partition_point(|(known, _)| *known < end);
        match self.slots.get_mut(place).filter(|(known, _)| *known == end) {
            Some((_, known)) => known.add(units),
            None => self.slots.insert(place, (end, units)),
        }
        if let Some(coarse) = slot.coarse.filter(|_| self.slots.len() > SLOTS_MAX) {
            self.join(coarse);
        }
    }

    fn join(&mut self, coarse: u64) {
        let mut joined: VecDeque<(u64, Units)> = VecDeque::with_capacity(SLOTS_MAX + 1);
        for (end, units) in self.slots.drain(..) {
            let end = end.div_ceil(coarse) * coarse;
            match joined.back_mut().filter(|(known, _)| *known == end) {
                Some((_, known)) => known.add(units),
                None => joined.push_back((end, units)),
            }
        }
        self.slots = joined;
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

    const SLOT: Slot = Slot { fine: 10, coarse: Some(40) };

    #[test]
    fn many_fine_slots_are_joined_and_none_counts_for_shorter() {
        let mut window = Window::default();
        let most = SLOTS_MAX as u64;
        (0..most).for_each(|at| window.add(at * 10, Units::message(1), SLOT));
        assert_eq!(
            window.slots().map(|(end, _)| end).take(3).collect::<Vec<_>>(),
            [10, 20, 30],
            "there are not too many"
        );
        window.add(most * 10, Units::message(1), SLOT);
        let slots: Vec<_> = window.slots().map(|(end, units)| (end, units.messages)).collect();
        assert_eq!((slots.len() as u64, slots[0], slots[1]), (most / 4 + 1, (40, 4), (80, 4)));
        assert_eq!(window.sum(), Units { messages: most + 1, parts: most + 1 });
        window.add(most * 10 + 15, Units::message(1), SLOT);
        let ends: Vec<_> = window.slots().map(|(end, _)| end).skip(slots.len() - 1).collect();
        assert_eq!(ends, [most * 10 + 20, most * 10 + 40], "one that is new is fine again, and in order");
    }

    #[test]
    fn the_newest_uses_are_kept() {
        let mut window = Window::default();
        (1..=4).for_each(|at| window.add(at * 10, Units { messages: 2, parts: 3 }, SLOT));
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
            window.add(at, Units::message(parts), SLOT);
        }
        window.add(5, Units::default(), SLOT);
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
