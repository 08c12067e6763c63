//! Scheduled values, at a millisecond's resolution: a wheel of 4,096 slots. Inserting and removing cost a move each
//! and, once the slots have grown, no allocation. Values due in the same millisecond come out in the order in which
//! they were inserted. Knows no clock.

const SLOTS: u64 = 4_096;
/// How far ahead [`Wheel::next_ms`] looks.
const LOOKAHEAD_MS: u64 = 64;

/// Holds values until their millisecond comes.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    slots: Vec<Vec<(u64, T)>>,
    /// Everything due before this time was taken out.
    cursor_ms: u64,
    len: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel whose time begins at `now_ms`.
    pub(super) fn new(now_ms: u64) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), cursor_ms: now_ms, len: 0 }
    }

    /// Inserts a value; if it is due in the past it comes out at the next call.
    pub(super) fn insert(&mut self, due_ms: u64, value: T) {
        let due_ms = due_ms.max(self.cursor_ms);
        self.slots[(due_ms % SLOTS) as usize].push((due_ms, value));
        self.len += 1;
    }

    /// Moves everything due at or before `now_ms` to the end of `due`.
    pub(super) fn take_due(&mut self, now_ms: u64, due: &mut Vec<T>) {
        if self.len == 0 {
            self.cursor_ms = self.cursor_ms.max(now_ms + 1);
            return;
        }
        // After a long sleep one round visits every slot.
        let first_ms = self.cursor_ms.max((now_ms + 1).saturating_sub(SLOTS));
        for tick in first_ms..=now_ms {
            let slot = &mut self.slots[(tick % SLOTS) as usize];
            let before = due.len();
            due.extend(slot.extract_if(.., |(due_ms, _)| *due_ms <= now_ms).map(|(_, value)| value));
            self.len -= due.len() - before;
        }
        self.cursor_ms = self.cursor_ms.max(now_ms + 1);
    }

    /// A time before which nothing is due, to sleep until; perhaps nothing is due even then. `None` if the wheel is empty.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let soon = self.cursor_ms..self.cursor_ms + LOOKAHEAD_MS;
        let is_occupied = |tick: &u64| !self.slots[(tick % SLOTS) as usize].is_empty();
        (self.len > 0).then(|| soon.clone().find(is_occupied).unwrap_or(soon.end))
    }

    /// Empties the wheel.
    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(Vec::clear);
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u64>, now_ms: u64) -> Vec<u64> {
        let mut due = Vec::new();
        wheel.take_due(now_ms, &mut due);
        due
    }

    #[test]
    fn everything_comes_out_once_and_never_early() {
        let mut wheel = Wheel::new(100);
        for due_ms in [100, 105, 105, 4_201, 9_000, 50] {
            wheel.insert(due_ms, due_ms);
        }
        assert_eq!(wheel.next_ms(), Some(100));
        assert!(due(&mut wheel, 99).is_empty());
        assert_eq!(due(&mut wheel, 104), [100, 50]);
        assert_eq!(wheel.next_ms(), Some(105));
        assert_eq!(due(&mut wheel, 105), [105, 105]);
        assert_eq!(wheel.next_ms(), Some(106 + LOOKAHEAD_MS));
        assert_eq!(due(&mut wheel, 8_999), [4_201]);
        assert_eq!(due(&mut wheel, 90_000), [9_000]);
        assert_eq!(wheel.next_ms(), None);
    }
}
