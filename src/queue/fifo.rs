//! One queue of ready messages: a durable list of records (commit number → slots) of which a window at the head is in
//! memory. What was taken is one position, so nothing is deleted per message.
//!
//! Invariants:
//! 1. The window is contiguous: it holds everything between `head` and the end of commit `loaded_to`.
//! 2. `waiting` counts what is behind `head`, in memory or not.
//! 3. Positions only grow.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Address, Segment};

use super::runs::SlotRuns;

/// The `index`-th message of the record that commit `commit` wrote for this fifo; the next one to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Commit number of the record; 0 before the first.
    pub commit: u64,
    /// Messages of that record already taken.
    pub index: u32,
}

/// Slots of one segment that stand together in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Commit number of the record.
    pub commit: u64,
    /// The segment they belong to.
    pub segment: Arc<Segment>,
    /// Which of it.
    pub runs: SlotRuns,
}

/// A message taken from the head.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its segment.
    pub segment: Arc<Segment>,
    /// Its slot.
    pub slot: u16,
}

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct Fifo {
    window: VecDeque<Chunk>,
    in_window: u32,
    head: Position,
    loaded_to: u64,
    newest: u64,
    /// The record before the newest: of all records only the newest can be on its way to the disk still.
    previous: u64,
    waiting: u64,
    reading: bool,
    /// The last message, while any waits and it is known.
    last: Option<Address>,
}

impl Fifo {
    /// Messages kept in the window at most (a chunk that begins below is taken whole).
    pub const WINDOW_MESSAGES_MAX: u32 = 8_192;

    /// As a checkpoint left it: everything behind `head` is on disk.
    pub fn recovered(head: Position, newest: u64, waiting: u64) -> Self {
        Self { head, newest, waiting, loaded_to: head.commit.saturating_sub(1), ..Self::default() }
    }

    /// The next message to take.
    pub const fn head(&self) -> Position {
        self.head
    }

    /// Commit of the newest record.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Messages not yet taken.
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Messages that can be taken without reading.
    pub const fn in_window(&self) -> u32 {
        self.in_window
    }

    /// Records a commit's new messages, of which `chunks` are at hand. They enter the window when it reaches that far.
    pub fn append(&mut self, commit: u64, messages: u32, chunks: Vec<Chunk>) {
        debug_assert!(commit > self.newest, "records are appended in the order of commits");
        let contiguous = self.loaded_to >= self.newest && !self.reading;
        (self.previous, self.newest) = (self.newest, commit);
        self.waiting += u64::from(messages);
        let at_hand: u32 = chunks.iter().map(|chunk| chunk.runs.len()).sum();
        if contiguous && at_hand == messages && self.in_window < Self::WINDOW_MESSAGES_MAX {
            self.loaded_to = commit;
            self.in_window += messages;
            self.window.extend(chunks);
        }
    }

    /// Whether everything in it is older than that message.
    pub fn ends_before(&self, address: Address) -> bool {
        self.last.map_or(self.waiting == 0, |last| last < address)
    }

    /// That message will be appended in this turn.
    pub const fn expect(&mut self, address: Address) {
        self.last = Some(address);
    }

    /// From where to read, when the window runs low and more is on disk, where everything up to and with commit
    /// `durable` is. The answer comes by [`Self::loaded`].
    pub fn wants_read(&mut self, durable: u64) -> Option<Position> {
        let low = self.in_window < Self::WINDOW_MESSAGES_MAX / 2;
        let on_disk = if self.newest <= durable { self.newest } else { self.previous };
        if self.reading || !low || self.loaded_to >= on_disk {
            return None;
        }
        self.reading = true;
        Some(Position { commit: self.loaded_to + 1, index: 0 }.max(self.read_from()))
    }

    fn read_from(&self) -> Position {
        if self.window.is_empty() { self.head } else { Position { commit: self.loaded_to + 1, index: 0 } }
    }

    /// What a read found: everything of the records up to and with `through`, in order, from its start position on.
    pub fn loaded(&mut self, chunks: Vec<Chunk>, through: u64) {
        self.reading = false;
        self.loaded_to = self.loaded_to.max(through);
        self.in_window += chunks.iter().map(|chunk| chunk.runs.len()).sum::<u32>();
        self.window.extend(chunks);
        if self.loaded_to >= self.newest {
            debug_assert_eq!(u64::from(self.in_window), self.waiting, "nothing is lost between disk and window");
            self.waiting = u64::from(self.in_window);
        }
    }

    /// Takes the next message, if the window holds one.
    pub fn take(&mut self) -> Option<Taken> {
        let chunk = self.window.front_mut()?;
        let (first, count) = chunk.runs.0.first_mut()?;
        let slot = *first;
        if self.head.commit == chunk.commit {
            self.head.index += 1;
        } else {
            self.head = Position { commit: chunk.commit, index: 1 };
        }
        let segment = if *count > 1 {
            *first += 1;
            *count -= 1;
            chunk.segment.clone()
        } else if chunk.runs.0.len() > 1 {
            chunk.runs.0.remove(0);
            chunk.segment.clone()
        } else {
            self.window.pop_front()?.segment
        };
        self.in_window -= 1;
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.last = None;
        }
        Some(Taken { segment, slot })
    }

    /// The message that [`Self::take`] would give.
    pub fn peek(&self) -> Option<(&Segment, u16)> {
        let chunk = self.window.front()?;
        let &(slot, _) = chunk.runs.0.first()?;
        Some((&chunk.segment, slot))
    }

    /// Moves the head while replaying: a later commit took up to `head`, which was `messages` further.
    pub fn replay_taken(&mut self, head: Position, messages: u64) {
        debug_assert!(head >= self.head, "positions only grow");
        self.head = head;
        self.loaded_to = self.loaded_to.max(head.commit.saturating_sub(1));
        self.waiting = self.waiting.saturating_sub(messages);
    }

    /// Adds a record while replaying: it is on disk.
    pub fn replay_append(&mut self, commit: u64, messages: u64) {
        (self.previous, self.newest) = (self.newest, commit);
        self.waiting += messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(commit: u64, slots: std::ops::Range<u16>) -> Chunk {
        let mut runs = SlotRuns::default();
        slots.for_each(|slot| runs.push(slot));
        Chunk { commit, segment: Arc::new(Segment { number: commit, ..Segment::default() }), runs }
    }

    fn take_all(fifo: &mut Fifo) -> Vec<(u64, u16)> {
        std::iter::from_fn(|| fifo.take()).map(|taken| (taken.segment.number, taken.slot)).collect()
    }

    #[test]
    fn keeps_order_and_counts_through_memory() {
        let mut fifo = Fifo::default();
        fifo.append(1, 2, vec![chunk(1, 0..2)]);
        fifo.append(3, 1, vec![chunk(3, 5..6)]);
        assert_eq!((fifo.waiting(), fifo.in_window()), (3, 3));
        assert_eq!(take_all(&mut fifo), vec![(1, 0), (1, 1), (3, 5)]);
        assert_eq!(fifo.head(), Position { commit: 3, index: 1 });
        assert_eq!(fifo.wants_read(9), None);
    }

    #[test]
    fn what_does_not_fit_comes_back_by_reading_from_there() {
        let mut fifo = Fifo::default();
        let big = Fifo::WINDOW_MESSAGES_MAX;
        fifo.append(1, big, vec![chunk(1, 0..big as u16)]);
        fifo.append(2, 2, vec![chunk(2, 0..2)]);
        fifo.append(3, 1, vec![chunk(3, 0..1)]);
        assert_eq!(fifo.in_window(), big);
        assert_eq!(fifo.wants_read(9), None, "not while the window is high");
        assert_eq!(take_all(&mut fifo).len(), big as usize);
        assert_eq!(fifo.wants_read(9), Some(Position { commit: 2, index: 0 }));
        assert_eq!(fifo.wants_read(9), None, "one read at a time");
        fifo.append(4, 1, vec![chunk(4, 0..1)]);
        fifo.loaded(vec![chunk(2, 0..2)], 2);
        assert_eq!(fifo.wants_read(9), Some(Position { commit: 3, index: 0 }));
        fifo.loaded(vec![chunk(3, 0..1), chunk(4, 0..1)], 4);
        assert_eq!(take_all(&mut fifo), vec![(2, 0), (2, 1), (3, 0), (4, 0)]);
        assert_eq!(fifo.waiting(), 0);
    }

    #[test]
    fn begins_in_the_middle_of_a_record_after_a_start() {
        let mut fifo = Fifo::recovered(Position { commit: 7, index: 2 }, 9, 4);
        assert_eq!(fifo.wants_read(9), Some(Position { commit: 7, index: 2 }));
        fifo.loaded(vec![chunk(7, 2..5), chunk(9, 0..1)], 9);
        assert_eq!(take_all(&mut fifo), vec![(7, 2), (7, 3), (7, 4), (9, 0)]);
        assert_eq!(fifo.head(), Position { commit: 9, index: 1 });
    }

    #[test]
    fn does_not_look_for_what_is_still_on_its_way_to_the_disk() {
        let mut fifo = Fifo::default();
        fifo.append(3, 1, Vec::new());
        assert_eq!(fifo.wants_read(2), None, "a read would not find it and would then be taken for the end");
        assert_eq!(fifo.wants_read(3), Some(Position { commit: 1, index: 0 }));
        fifo.append(4, 1, Vec::new());
        fifo.loaded(vec![chunk(3, 0..1)], 3);
        assert_eq!(fifo.wants_read(3), None);
        assert_eq!(fifo.wants_read(4), Some(Position { commit: 4, index: 0 }));
    }

    #[test]
    fn replay_ends_where_the_original_stood() {
        let mut original = Fifo::default();
        original.append(1, 3, vec![chunk(1, 0..3)]);
        original.take();
        original.take();
        let mut replayed = Fifo::recovered(Position::default(), 0, 0);
        replayed.replay_append(1, 3);
        replayed.replay_taken(original.head(), 2);
        assert_eq!((replayed.head(), replayed.waiting()), (original.head(), original.waiting()));
        assert_eq!(replayed.wants_read(9), Some(Position { commit: 1, index: 2 }));
    }
}
