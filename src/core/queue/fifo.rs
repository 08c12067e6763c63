//! One queue of ready messages: a durable list of records (commit number → slots), with a window at its head in memory.
//! One position says what was taken, so nothing is deleted per message.
//!
//! Invariants:
//! 1. The window is contiguous: it holds everything between `head` and `edge`.
//! 2. `waiting` counts all messages behind `head`, in memory or not.
//! 3. Positions only grow.
//! 4. The window is bounded in messages and in bytes. It takes in nothing more once it has reached its share of either.
//!    A read may bring as much again, but is made only when the window holds less than half. A chunk of which only a
//!    few messages are wanted holds copies of these, not their segment ([`Chunk::slim`]); of one that is larger than the
//!    share only the first messages are taken in ([`Chunk::fitting`]).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Address, Segment, Sound, WALKED_MAX, holds};

use super::runs::SlotRuns;

/// A place in a fifo: the `index`-th message of the record that commit `commit` wrote for it. As a head: the next
/// message to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Commit number of the record; 0 before the first.
    pub commit: u64,
    /// Messages of that record already taken.
    pub index: u32,
}

impl Position {
    /// The beginning of the first record after that of `commit`.
    pub const fn after(commit: u64) -> Self {
        Self { commit: commit + 1, index: 0 }
    }
}

/// Slots of one segment, as one record lists them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Commit number of the record.
    pub commit: u64,
    /// The segment of the messages.
    pub segment: Arc<Segment>,
    /// The slots.
    pub runs: SlotRuns,
}

impl Chunk {
    /// A segment is kept whole if at least one part in this many of its bytes is wanted.
    const WHOLE_PART: usize = 4;

    /// Copies the wanted messages out of a segment that holds many others, and releases the segment. If most of it is
    /// wanted nothing is copied; that is the usual case: one lane takes the whole segment.
    #[must_use]
    pub fn slim(self) -> Self {
        let heads = self.segment.heads.len();
        let is_mostly_wanted = self.runs.len() as usize * Self::WHOLE_PART >= heads && heads > 0;
        // A few large messages may make up most of its bytes.
        if is_mostly_wanted || self.segment.bytes_of(self.runs.iter()) * Self::WHOLE_PART >= self.segment.memory_bytes()
        {
            return self;
        }
        let segment = Arc::new(self.segment.cut(self.runs.iter()));
        Self { segment, ..self }
    }

    /// As many of its first messages as take up to `bytes_max`, but at least one; and whether these are all.
    #[must_use]
    pub fn fitting(self, bytes_max: usize) -> (Self, bool) {
        let (bytes, messages) = (self.bytes(), self.runs.len());
        if bytes <= bytes_max || messages <= 1 {
            return (self, true);
        }
        let fit = (u64::from(messages) * bytes_max as u64 / bytes as u64).max(1) as u32;
        let runs = self.runs.first(fit);
        let segment = Arc::new(self.segment.cut(runs.iter()));
        (Self { segment, runs, ..self }, false)
    }

    /// Bytes of memory that it takes, roughly.
    fn bytes(&self) -> usize {
        self.segment.memory_bytes()
    }
}

/// A message that was taken from the head.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The segment of the message.
    pub segment: Arc<Segment>,
    /// The slot of the message.
    pub slot: u16,
    /// The new head.
    pub head: Position,
}

/// One queue of ready messages; see the top of this file.
#[derive(Clone, Debug)]
pub struct Fifo {
    window: VecDeque<Chunk>,
    in_window: u32,
    /// Bytes of memory that the window takes.
    window_bytes: usize,
    head: Position,
    /// Messages at or behind this position are on disk only.
    edge: Position,
    newest: u64,
    /// The record before the newest: only the newest record can still be on its way to the disk.
    previous: u64,
    waiting: u64,
    reading: bool,
    /// The last message, if any message waits and the last one is known.
    last: Option<Address>,
}

impl Default for Fifo {
    fn default() -> Self {
        Self::recovered(Position::default(), 0, 0)
    }
}

impl Fifo {
    /// Most messages in the window; a chunk that reaches this limit is taken whole.
    pub const WINDOW_MESSAGES_MAX: u32 = 8_192;

    /// The fifo as a checkpoint left it: everything behind `head` is on disk.
    pub fn recovered(head: Position, newest: u64, waiting: u64) -> Self {
        let edge = if waiting == 0 { Position::after(newest.max(head.commit)) } else { head };
        Self {
            window: VecDeque::new(),
            in_window: 0,
            window_bytes: 0,
            head,
            edge,
            newest,
            previous: 0,
            waiting,
            reading: false,
            last: None,
        }
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

    /// Bytes of memory that the window takes, roughly; a segment that several lanes share is counted in each of them.
    pub const fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    const fn has_room(&self, bytes_max: usize) -> bool {
        self.in_window < Self::WINDOW_MESSAGES_MAX && (self.window_bytes < bytes_max || self.in_window == 0)
    }

    /// Records the new messages of a commit; `chunks` are those that are in memory. They enter the window if it reaches
    /// up to here and holds less than `bytes_max`.
    pub fn append(&mut self, commit: u64, messages: u32, chunks: Vec<Chunk>, bytes_max: usize) {
        debug_assert!(commit > self.newest, "records are appended in the order of commits");
        self.begin_if_new(commit);
        let contiguous = self.edge.commit > self.newest && !self.reading;
        (self.previous, self.newest) = (self.newest, commit);
        self.waiting += u64::from(messages);
        let at_hand: u32 = chunks.iter().map(|chunk| chunk.runs.len()).sum();
        if !contiguous || at_hand != messages {
            return;
        }
        let mut index = 0;
        for chunk in chunks {
            if !self.has_room(bytes_max) {
                self.edge = Position { commit, index };
                return;
            }
            let (chunk, is_whole) = chunk.slim().fitting(bytes_max);
            index += chunk.runs.len();
            self.enter(chunk);
            if !is_whole {
                self.edge = Position { commit, index };
                return;
            }
        }
        self.edge = Position::after(commit);
    }

    /// If this is the first record since the fifo is in memory, begins there: everything on disk before it was taken
    /// long ago.
    fn begin_if_new(&mut self, commit: u64) {
        if self.newest == 0 {
            let first = Position { commit, index: 0 };
            (self.head, self.edge) = (first, first);
        }
    }

    /// Whether the fifo has no messages, in memory or on disk, so that it may be forgotten.
    pub const fn is_idle(&self) -> bool {
        self.waiting == 0 && !self.reading && self.edge.commit > self.newest
    }

    /// Checks the invariants; no window may hold more than `bytes_max`.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self, bytes_max: usize) -> Sound {
        let (in_window, waiting) = (u64::from(self.in_window), self.waiting);
        let is_all_in_window = self.edge.commit > self.newest;
        holds!(
            2,
            in_window == waiting || in_window < waiting && !is_all_in_window,
            "of {waiting} {in_window} in {self:?}"
        );
        let (messages, bytes) = self.window.back().map_or((0, 0), |chunk| (chunk.runs.len(), chunk.bytes()));
        holds!(4, self.in_window.saturating_sub(messages) < Self::WINDOW_MESSAGES_MAX / 2 * 3, "{in_window} messages");
        holds!(4, self.window_bytes.saturating_sub(bytes) < bytes_max / 2 * 3, "{} bytes", self.window_bytes);
        if self.window.len() > WALKED_MAX {
            return Ok(());
        }
        let bytes: usize = self.window.iter().map(Chunk::bytes).sum();
        holds!(4, bytes == self.window_bytes, "{bytes} bytes, but {} are counted", self.window_bytes);
        self.check_window()
    }

    /// Checks that the window holds everything between head and edge, as far as that is known without the disk.
    fn check_window(&self) -> Sound {
        let (head, edge) = (self.head, self.edge);
        let held: u32 = self.window.iter().map(|chunk| chunk.runs.len()).sum();
        holds!(1, head <= edge, "{head:?} is behind {edge:?}");
        holds!(1, held == self.in_window, "{held} messages, and {} are counted", self.in_window);
        let commits = || self.window.iter().map(|chunk| chunk.commit);
        let is_between = commits().all(|commit| head.commit <= commit && commit <= edge.commit);
        holds!(1, is_between && commits().is_sorted(), "{head:?} to {edge:?}: {:?}", commits().collect::<Vec<_>>());
        let chunks = self.window.iter();
        let at_edge: u32 = chunks.filter(|chunk| chunk.commit == edge.commit).map(|chunk| chunk.runs.len()).sum();
        let taken = if head.commit == edge.commit { head.index } else { 0 };
        holds!(1, taken + at_edge == edge.index, "{taken} taken and {at_edge} left of the record at {edge:?}");
        Ok(())
    }

    /// Its positions: head, edge, and newest record.
    pub const fn stands(&self) -> [Position; 3] {
        [self.head, self.edge, Position { commit: self.newest, index: 0 }]
    }

    /// Checks that no position has gone back since the positions were `stood`.
    ///
    /// # Errors
    /// A breach of invariant 3 if one has.
    pub fn check_since(&self, stood: [Position; 3]) -> Sound {
        let stands = self.stands();
        holds!(3, stood.iter().zip(&stands).all(|(was, is)| was <= is), "from {stood:?} to {stands:?}");
        Ok(())
    }

    /// The messages in the window, in order.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.window.iter().flat_map(|chunk| chunk.runs.iter().map(|slot| chunk.segment.address(slot)))
    }

    /// The chunks of the window, in order.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.window.iter()
    }

    /// The last message, if any message waits and the last one is known.
    pub const fn last(&self) -> Option<Address> {
        self.last
    }

    fn enter(&mut self, chunk: Chunk) {
        self.in_window += chunk.runs.len();
        self.window_bytes += chunk.bytes();
        self.window.push_back(chunk);
    }

    /// Whether all its messages are older than the one at that address.
    pub fn ends_before(&self, address: Address) -> bool {
        self.last.map_or(self.waiting == 0, |last| last < address)
    }

    /// Announces that the message at that address will be appended in this turn.
    pub const fn expect(&mut self, address: Address) {
        self.last = Some(address);
    }

    /// Whether the window runs low, more is on disk or will be, and no read is under way; the window may hold
    /// `bytes_max`.
    pub const fn is_low(&self, bytes_max: usize) -> bool {
        let is_low = self.in_window < Self::WINDOW_MESSAGES_MAX / 2 && self.has_room(bytes_max / 2);
        is_low && !self.reading && self.edge.commit <= self.newest
    }

    /// The position of the next read, if one is needed ([`Self::is_low`]), and everything up to and with commit
    /// `durable` is there; the window may hold `bytes_max`. The answer goes to [`Self::loaded`].
    pub fn wants_read(&mut self, durable: u64, bytes_max: usize) -> Option<Position> {
        let on_disk = if self.newest <= durable { self.newest } else { self.previous };
        if !self.is_low(bytes_max) || self.edge.commit > on_disk {
            return None;
        }
        self.reading = true;
        Some(self.edge)
    }

    /// Takes in what a read found: everything from its start position up to `edge`, in order. Gives the difference
    /// between the messages on disk and the count: 0, unless records do not fit together.
    #[must_use]
    pub fn loaded(&mut self, chunks: Vec<Chunk>, edge: Position) -> u64 {
        self.reading = false;
        self.edge = self.edge.max(edge);
        chunks.into_iter().for_each(|chunk| self.enter(chunk));
        let found = u64::from(self.in_window);
        let counted = if self.edge.commit > self.newest { found } else { self.waiting.max(found) };
        std::mem::replace(&mut self.waiting, counted).abs_diff(counted)
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
            let chunk = self.window.pop_front()?;
            self.window_bytes -= chunk.bytes();
            chunk.segment
        };
        self.in_window -= 1;
        debug_assert!(self.waiting > 0, "what is in the window waits");
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.last = None;
        }
        Some(Taken { segment, slot, head: self.head })
    }

    /// The message that [`Self::take`] would give.
    pub fn peek(&self) -> Option<(&Segment, u16)> {
        let chunk = self.window.front()?;
        let &(slot, _) = chunk.runs.0.first()?;
        Some((&chunk.segment, slot))
    }

    /// Moves the head while replaying: a later commit took up to `head`, which was `messages` further. Gives how many
    /// of them cannot have been there: 0, unless records do not fit together.
    #[must_use]
    pub fn replay_taken(&mut self, head: Position, messages: u64) -> u64 {
        let taken = if head < self.head { 0 } else { messages.min(self.waiting) };
        self.head = self.head.max(head);
        self.edge = self.edge.max(head);
        self.waiting -= taken;
        messages - taken
    }

    /// Adds a record while replaying: it is on disk.
    pub fn replay_append(&mut self, commit: u64, messages: u64) {
        self.begin_if_new(commit);
        (self.previous, self.newest) = (self.newest, commit);
        self.waiting += messages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 1 << 30;

    fn chunk(commit: u64, slots: std::ops::Range<u16>) -> Chunk {
        let mut runs = SlotRuns::default();
        slots.for_each(|slot| runs.push(slot));
        Chunk { commit, segment: Arc::new(Segment { number: commit, ..Segment::default() }), runs }
    }

    fn take_all(fifo: &mut Fifo) -> Vec<(u64, u16)> {
        std::iter::from_fn(|| fifo.take()).map(|taken| (taken.segment.number, taken.slot)).collect()
    }

    fn breach(fifo: &Fifo) -> u8 {
        fifo.check(MANY).expect_err("a breach").number
    }

    /// Three records; the window ends within the last.
    fn partly_read() -> Fifo {
        let mut fifo = Fifo::recovered(Position { commit: 7, index: 1 }, 9, 9);
        assert!(fifo.wants_read(9, MANY).is_some());
        assert_eq!(
            fifo.loaded(vec![chunk(7, 1..3), chunk(8, 0..2), chunk(9, 0..2)], Position { commit: 9, index: 2 }),
            0
        );
        fifo.take();
        assert_eq!(fifo.check(MANY), Ok(()));
        fifo
    }

    #[test]
    fn breaking_invariant_1_leaves_a_hole_in_the_window() {
        let mut fifo = partly_read();
        fifo.window.remove(1);
        assert_eq!(breach(&fifo), 1, "a chunk is lost");
        let mut fifo = partly_read();
        fifo.window.swap(0, 1);
        assert_eq!(breach(&fifo), 1, "a chunk is out of its order");
        let mut fifo = partly_read();
        fifo.edge.index += 1;
        assert_eq!(breach(&fifo), 1, "a message was passed over");
        let mut fifo = partly_read();
        fifo.head = Position { commit: 9, index: 3 };
        assert_eq!(breach(&fifo), 1, "the head is behind the edge");
    }

    #[test]
    fn breaking_invariant_2_counts_wrongly_what_waits() {
        let mut fifo = Fifo::default();
        fifo.append(1, 2, vec![chunk(1, 0..2)], MANY);
        assert_eq!(fifo.check(MANY), Ok(()));
        for wrong in [1, 3] {
            assert_eq!(breach(&Fifo { waiting: wrong, ..fifo.clone() }), 2);
        }
    }

    #[test]
    fn breaking_invariant_3_goes_back() {
        let mut fifo = partly_read();
        let stood = fifo.stands();
        fifo.take();
        assert_eq!(fifo.check_since(stood), Ok(()));
        fifo.replay_append(12, 1);
        assert_eq!(fifo.check_since(stood), Ok(()));
        fifo.head = Position { commit: 7, index: 1 };
        assert_eq!(fifo.check_since(stood).expect_err("a breach").number, 3);
    }

    #[test]
    fn breaking_invariant_4_holds_more_than_a_window_may() {
        let mut fifo = Fifo::default();
        (1..=20).for_each(|commit| fifo.append(commit, 1_000, vec![heavy(commit, 1_000, 1, 0..1_000)], MANY));
        assert_eq!((fifo.check(MANY), fifo.in_window()), (Ok(()), 9_000));
        // Takes in chunks without checking whether there is room.
        (21..=25).for_each(|commit| fifo.enter(heavy(commit, 1_000, 1, 0..1_000)));
        (fifo.edge, fifo.newest, fifo.waiting) = (Position::after(25), 25, 14_000);
        assert_eq!(breach(&fifo), 4);
        let mut fifo = partly_read();
        fifo.window_bytes += 1;
        assert_eq!(breach(&fifo), 4, "bytes that no chunk holds");
        assert_eq!(fifo.check(1).expect_err("a breach").number, 4, "more bytes than allowed");
    }

    #[test]
    fn keeps_order_and_counts_through_memory() {
        let mut fifo = Fifo::default();
        fifo.append(1, 2, vec![chunk(1, 0..2)], MANY);
        fifo.append(3, 1, vec![chunk(3, 5..6)], MANY);
        assert_eq!((fifo.waiting(), fifo.in_window()), (3, 3));
        assert_eq!(take_all(&mut fifo), vec![(1, 0), (1, 1), (3, 5)]);
        assert_eq!(fifo.head(), Position { commit: 3, index: 1 });
        assert_eq!(fifo.wants_read(9, MANY), None);
    }

    #[test]
    fn what_does_not_fit_comes_back_by_reading_from_there() {
        let mut fifo = Fifo::default();
        let big = Fifo::WINDOW_MESSAGES_MAX;
        fifo.append(1, big, vec![chunk(1, 0..big as u16)], MANY);
        fifo.append(2, 2, vec![chunk(2, 0..2)], MANY);
        fifo.append(3, 1, vec![chunk(3, 0..1)], MANY);
        assert_eq!(fifo.in_window(), big);
        assert_eq!(fifo.wants_read(9, MANY), None, "not while the window is high");
        assert_eq!(take_all(&mut fifo).len(), big as usize);
        assert_eq!(fifo.wants_read(9, MANY), Some(Position { commit: 2, index: 0 }));
        assert_eq!(fifo.wants_read(9, MANY), None, "one read at a time");
        fifo.append(4, 1, vec![chunk(4, 0..1)], MANY);
        assert_eq!(fifo.loaded(vec![chunk(2, 0..2)], Position::after(2)), 0);
        assert_eq!(fifo.wants_read(9, MANY), Some(Position { commit: 3, index: 0 }));
        assert_eq!(fifo.loaded(vec![chunk(3, 0..1), chunk(4, 0..1)], Position::after(4)), 0);
        assert_eq!(take_all(&mut fifo), vec![(2, 0), (2, 1), (3, 0), (4, 0)]);
        assert_eq!(fifo.waiting(), 0);
    }

    #[test]
    fn begins_in_the_middle_of_a_record_after_a_start() {
        let mut fifo = Fifo::recovered(Position { commit: 7, index: 2 }, 9, 4);
        assert_eq!(fifo.wants_read(9, MANY), Some(Position { commit: 7, index: 2 }));
        assert_eq!(fifo.loaded(vec![chunk(7, 2..5), chunk(9, 0..1)], Position::after(9)), 0);
        assert_eq!(take_all(&mut fifo), vec![(7, 2), (7, 3), (7, 4), (9, 0)]);
        assert_eq!(fifo.head(), Position { commit: 9, index: 1 });
    }

    #[test]
    fn does_not_look_for_what_is_still_on_its_way_to_the_disk() {
        let mut fifo = Fifo::default();
        fifo.append(3, 1, Vec::new(), MANY);
        assert_eq!(fifo.wants_read(2, MANY), None, "a read would not find it and would then be taken for the end");
        assert_eq!(fifo.wants_read(3, MANY), Some(Position { commit: 3, index: 0 }));
        fifo.append(4, 1, Vec::new(), MANY);
        assert_eq!(fifo.loaded(vec![chunk(3, 0..1)], Position::after(3)), 0);
        assert_eq!(fifo.wants_read(3, MANY), None);
        assert_eq!(fifo.wants_read(4, MANY), Some(Position { commit: 4, index: 0 }));
    }

    #[test]
    fn replay_ends_where_the_original_stood() {
        let mut original = Fifo::default();
        original.append(1, 3, vec![chunk(1, 0..3)], MANY);
        original.take();
        original.take();
        let mut replayed = Fifo::recovered(Position::default(), 0, 0);
        replayed.replay_append(1, 3);
        assert_eq!(replayed.replay_taken(original.head(), 2), 0);
        assert_eq!((replayed.head(), replayed.waiting()), (original.head(), original.waiting()));
        assert_eq!(replayed.wants_read(9, MANY), Some(Position { commit: 1, index: 2 }));
    }

    #[test]
    fn records_that_do_not_fit_together_are_told() {
        let mut fifo = Fifo::recovered(Position { commit: 4, index: 0 }, 4, 3);
        assert_eq!(fifo.replay_taken(Position { commit: 4, index: 2 }, 2), 0);
        assert_eq!(fifo.replay_taken(Position { commit: 4, index: 9 }, 7), 6, "only one was there");
        fifo.replay_append(5, 2);
        assert_eq!(fifo.replay_taken(Position { commit: 3, index: 1 }, 1), 1, "it was taken long ago");
        assert_eq!((fifo.head(), fifo.waiting()), (Position { commit: 4, index: 9 }, 2));
        assert!(fifo.wants_read(9, MANY).is_some());
        assert_eq!(fifo.loaded(vec![chunk(5, 0..3)], Position::after(5)), 1, "one more than was counted");
        assert_eq!((fifo.check(MANY), fifo.waiting()), (Ok(()), 3));
    }

    fn heavy(commit: u64, messages: u16, bytes: u32, wanted: std::ops::Range<u16>) -> Chunk {
        let head = |at: u16| crate::model::Head {
            content_at: u32::from(at) * bytes,
            content_len: bytes,
            ..crate::model::Head::default()
        };
        let arena = Arc::new(vec![7; usize::from(messages) * bytes as usize]);
        let heads = (0..messages).map(head).collect();
        let segment = Arc::new(Segment { number: commit, heads, arena, slots: Vec::new() });
        Chunk { segment, ..chunk(commit, wanted) }
    }

    /// Core A12: a window with one message from each of 400 segments held 233 MiB; 8,192 would have held 4.7 GiB.
    #[test]
    fn a_few_messages_of_many_segments_do_not_hold_the_segments() {
        let mut fifo = Fifo::default();
        for commit in 1..=400 {
            fifo.append(commit, 1, vec![heavy(commit, 1_000, 100, 500..501)], MANY);
        }
        assert_eq!(fifo.in_window(), 400);
        assert!(fifo.window_bytes() < 400 * 400, "{}", fifo.window_bytes());
        let taken = fifo.take().expect("one");
        assert_eq!(taken.segment.head(500).map(|head| taken.segment.content(head)), Some(&[7; 100][..]));
        std::iter::from_fn(|| fifo.take()).for_each(drop);
        assert_eq!(fifo.window_bytes(), 0);
    }

    #[test]
    fn a_segment_that_is_taken_whole_is_not_copied() {
        let whole = heavy(1, 1_000, 100, 0..1_000);
        assert!(Arc::ptr_eq(&whole.clone().slim().segment, &whole.segment));
        let largest = heavy(1, 8, 40_000, 3..5);
        assert!(Arc::ptr_eq(&largest.clone().slim().segment, &largest.segment), "a quarter of its bytes");
    }

    #[test]
    fn a_window_is_bounded_in_bytes_and_goes_on_in_the_middle_of_a_record() {
        let mut fifo = Fifo::default();
        let chunks = |range: std::ops::Range<u64>| -> Vec<_> { range.map(|_| heavy(1, 10, 10_000, 0..10)).collect() };
        fifo.append(1, 100, chunks(0..10), 250_000);
        assert_eq!((fifo.waiting(), fifo.in_window()), (100, 30), "the chunk that reaches the bound is taken whole");
        assert_eq!(fifo.wants_read(1, 250_000), None, "not while it is above half");
        assert_eq!(take_all(&mut fifo).len(), 30);
        assert_eq!(fifo.wants_read(1, 250_000), Some(Position { commit: 1, index: 30 }));
        assert_eq!(fifo.loaded(chunks(3..5), Position { commit: 1, index: 50 }), 0);
        assert_eq!(take_all(&mut fifo).len(), 20);
        assert_eq!(fifo.wants_read(1, 250_000), Some(fifo.head()));
        assert_eq!(fifo.loaded(chunks(5..10), Position::after(1)), 0);
        assert_eq!((take_all(&mut fifo).len(), fifo.waiting()), (50, 0));
    }

    #[test]
    fn one_chunk_enters_whatever_its_size() {
        let mut fifo = Fifo::default();
        fifo.append(1, 1, vec![heavy(1, 1, 40_000, 0..1)], 1_000);
        assert_eq!(fifo.in_window(), 1);
    }
}
