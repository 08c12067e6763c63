//! The entries of one era of the clock that are not yet due: a durable list ordered by (tick, commit number), taken
//! strictly from its head; a bounded part of it is in memory.
//!
//! Invariants:
//! 1. Everything before `head` has been taken; one position says so, nothing is deleted per entry.
//! 2. A new entry always sorts after `head`: its tick is at least `head`'s and its commit is newer.
//! 3. Memory holds every entry from `head` up to, but not including, `loaded_to`.

use std::collections::VecDeque;

use crate::model::{Address, Lane, Sound, WALKED_MAX, Wall, holds};

/// A time in hundredths of a second, rounded up: entries of one tick are in the order of their commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Length of a tick, ms.
    pub const MS: u64 = 10;

    /// The first tick that begins at or after `at`: nothing is ever early.
    pub const fn at_or_after(at: Wall) -> Self {
        Self(at.0.div_ceil(Self::MS))
    }

    /// When it begins.
    pub const fn wall(self) -> Wall {
        Wall(self.0.saturating_mul(Self::MS))
    }
}

/// Why an entry is in the delay queue; shown in the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum InsertReason {
    /// Its `send_at` is in the future.
    Scheduled = 1,
    /// It waits for the end of a back-off.
    Retry = 2,
    /// In doubt: a receipt may still settle it.
    DoubtWait = 3,
    /// No message waits: some messages of a segment may have expired by then. The entry has the address of the
    /// segment's last message and its most urgent class.
    Expiry = 4,
}

impl InsertReason {
    /// As read back from disk.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            1 => Some(Self::Scheduled),
            2 => Some(Self::Retry),
            3 => Some(Self::DoubtWait),
            4 => Some(Self::Expiry),
            0 | 5.. => None,
        }
    }
}

/// One entry of the delay queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueEntry {
    /// The message's address.
    pub address: Address,
    /// The lane in which it will be ready.
    pub lane: Lane,
    /// Why it waits.
    pub reason: InsertReason,
}

/// The `index`-th entry of the record that `commit` wrote for `tick`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DuePosition {
    /// The tick.
    pub tick: Tick,
    /// Commit number of the record.
    pub commit: u64,
    /// Entries of that record already taken.
    pub index: u32,
}

/// The entries of one era; see the top of this file.
#[derive(Clone, Debug, Default)]
pub struct ScheduledQueue {
    loaded: VecDeque<(DuePosition, DueEntry)>,
    head: DuePosition,
    /// Entries at or after this position are on disk only; `None`: none are.
    loaded_to: Option<DuePosition>,
    waiting: u64,
    /// How many of the waiting entries are alarms of expiry, not messages.
    alarms: u64,
    reading: bool,
    /// First entry that the running read may not see, because it was not durable when the read began.
    unseen: Option<DuePosition>,
    /// The newest commit with entries that are on disk only, and the first of these entries: only this commit can still
    /// be on its way to the disk.
    newest: (u64, DuePosition),
}

impl ScheduledQueue {
    /// Most entries in memory; beyond that, new entries stay on disk only.
    pub const LOADED_MAX: usize = 65_536;

    /// The queue as a checkpoint left it: everything from `head` on is on disk.
    pub fn recovered(head: DuePosition, waiting: u64, alarms: u64) -> Self {
        let on_disk = waiting > 0;
        Self { head, waiting, alarms, loaded_to: on_disk.then_some(head), ..Self::default() }
    }

    /// The next entry to take.
    pub const fn head(&self) -> DuePosition {
        self.head
    }

    /// Entries not yet taken.
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Entries not yet taken that are alarms of expiry.
    pub const fn alarms(&self) -> u64 {
        self.alarms
    }

    /// Messages that wait.
    pub const fn messages(&self) -> u64 {
        debug_assert!(self.alarms <= self.waiting, "an alarm is an entry");
        self.waiting.saturating_sub(self.alarms)
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        let Self { loaded, head, waiting, alarms, loaded_to, .. } = self;
        let known = loaded.len() as u64;
        holds!(1, loaded.front().is_none_or(|(first, _)| head <= first), "{:?} in front of {head:?}", loaded.front());
        let is_all_known = loaded_to.is_none();
        holds!(3, known == *waiting || known < *waiting && !is_all_known, "{known} of {waiting}, and {loaded_to:?}");
        holds!(3, alarms <= waiting, "{alarms} alarms among {waiting} entries");
        if loaded.len() > WALKED_MAX {
            return Ok(());
        }
        holds!(3, loaded.iter().is_sorted_by(|(a, _), (b, _)| a < b), "{loaded:?}");
        let is_in_front = loaded.back().zip(*loaded_to).is_none_or(|((last, _), edge)| *last < edge);
        holds!(3, is_in_front, "{:?} behind {loaded_to:?}", loaded.back());
        let found = loaded.iter().filter(|(_, entry)| entry.reason == InsertReason::Expiry).count() as u64;
        holds!(3, found == *alarms || found < *alarms && !is_all_known, "{found} alarms of {alarms}");
        Ok(())
    }

    /// Checks that what `commit` writes for `tick` sorts after everything that was taken.
    fn check_new(&self, tick: Tick, commit: u64) -> Sound {
        let head = self.head;
        holds!(2, (tick, commit) > (head.tick, head.commit), "{tick:?} of commit {commit} comes after {head:?}");
        Ok(())
    }

    /// The entries in memory, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (Tick, &DueEntry)> {
        self.loaded.iter().map(|(position, entry)| (position.tick, entry))
    }

    /// Records the entries that `commit` writes for `tick`.
    pub fn insert(&mut self, tick: Tick, commit: u64, entries: &[DueEntry]) {
        debug_assert_eq!(self.check_new(tick, commit), Ok(()), "see the top of this file");
        self.waiting += entries.len() as u64;
        self.alarms += entries.iter().filter(|entry| entry.reason == InsertReason::Expiry).count() as u64;
        let first = DuePosition { tick, commit, index: 0 };
        if self.loaded_to.is_some_and(|edge| first >= edge) {
            self.stay_on_disk(first);
            return;
        }
        let at = self.loaded.partition_point(|(position, _)| *position < first);
        for (index, entry) in entries.iter().enumerate() {
            self.loaded.insert(at + index, (DuePosition { index: index as u32, ..first }, *entry));
        }
        while self.loaded.len() > Self::LOADED_MAX {
            if let Some((position, _)) = self.loaded.pop_back() {
                self.stay_on_disk(position);
            }
        }
    }

    fn stay_on_disk(&mut self, position: DuePosition) {
        self.loaded_to = Some(self.loaded_to.map_or(position, |edge| edge.min(position)));
        if self.reading {
            self.unseen = Some(self.unseen.map_or(position, |unseen| unseen.min(position)));
        }
        self.newest = match self.newest {
            (commit, first) if commit == position.commit => (commit, first.min(position)),
            (commit, _) if commit < position.commit => (position.commit, position),
            newer => newer,
        };
    }

    /// When the next entry in memory falls due; entries that are only on disk are announced by [`Self::wants_read`].
    pub fn next_at(&self) -> Option<Wall> {
        self.loaded.front().map(|(position, _)| position.tick.wall())
    }

    /// The entries in memory that fall due between two times, both inclusive.
    pub fn due_between(&self, first: Wall, last: Wall) -> impl Iterator<Item = &DueEntry> {
        let from = self.loaded.partition_point(|(position, _)| position.tick.wall() < first);
        let behind = self.loaded.range(from..);
        behind.take_while(move |(position, _)| position.tick.wall() <= last).map(|(_, entry)| entry)
    }

    /// The position of the next read, if memory is empty, more is on disk, and everything up to and with commit
    /// `durable` is there. The answer goes to [`Self::loaded`].
    pub fn wants_read(&mut self, durable: u64) -> Option<DuePosition> {
        if self.reading || !self.loaded.is_empty() {
            return None;
        }
        let from = self.loaded_to?;
        let (commit, first) = self.newest;
        let unseen = (commit > durable).then_some(first);
        if unseen.is_some_and(|first| first <= from) {
            return None;
        }
        (self.reading, self.unseen) = (true, unseen);
        Some(from)
    }

    /// Takes in what a read found, in order; `edge` is where it stopped, `None` if it reached the end. Entries that
    /// were not durable when the read began may be missing from `found`: memory then ends just before the first of
    /// them. Gives the difference between the entries on disk and the count: 0, unless records do not fit together.
    #[must_use]
    pub fn loaded(&mut self, mut found: Vec<(DuePosition, DueEntry)>, edge: Option<DuePosition>) -> u64 {
        self.reading = false;
        let edge = match (edge, self.unseen.take()) {
            (Some(edge), Some(unseen)) => Some(edge.min(unseen)),
            (edge, unseen) => edge.or(unseen),
        };
        if let Some(edge) = edge {
            found.retain(|(position, _)| *position < edge);
        }
        self.loaded_to = edge;
        self.loaded.extend(found);
        let known = self.loaded.len() as u64;
        if edge.is_some() && known < self.waiting || edge.is_none() && known == self.waiting {
            return 0;
        }
        let is_alarm = |(_, entry): &&(DuePosition, DueEntry)| entry.reason == InsertReason::Expiry;
        self.alarms = self.loaded.iter().filter(is_alarm).count() as u64;
        std::mem::replace(&mut self.waiting, known).abs_diff(known)
    }

    /// Takes the next entry that is due at `now`.
    pub fn take(&mut self, now: Wall) -> Option<DueEntry> {
        let (position, _) = self.loaded.front()?;
        if position.tick.wall() > now {
            return None;
        }
        let (position, entry) = self.loaded.pop_front()?;
        self.head = DuePosition { index: position.index + 1, ..position };
        let alarms = u64::from(entry.reason == InsertReason::Expiry);
        debug_assert!(self.waiting > 0 && self.alarms >= alarms, "what is in memory waits");
        self.waiting = self.waiting.saturating_sub(1);
        self.alarms = self.alarms.saturating_sub(alarms);
        Some(entry)
    }

    /// Moves the head while replaying; `alarms` of the `entries` taken were alarms. Gives how many of them cannot have
    /// been there: 0, unless records do not fit together.
    #[must_use]
    pub fn replay_taken(&mut self, head: DuePosition, entries: u64, alarms: u64) -> u64 {
        let taken = entries.min(self.waiting);
        let waiting = self.waiting - taken;
        *self = Self::recovered(self.head.max(head), waiting, (self.alarms - alarms.min(self.alarms)).min(waiting));
        entries - taken
    }

    /// Adds entries while replaying, `alarms` of them alarms: they are on disk.
    pub fn replay_insert(&mut self, entries: u64, alarms: u64) {
        *self = Self::recovered(self.head, self.waiting + entries, self.alarms + alarms);
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Class, RouteId, SetNumber, TenantId};

    use super::*;

    fn entry(slot: u16) -> DueEntry {
        let lane = Lane { class: Class::Marketing, route: RouteId(1), tenant: TenantId(3), set: SetNumber::NONE };
        DueEntry { address: Address::new(1, slot), lane, reason: InsertReason::Retry }
    }

    fn slots(queue: &mut ScheduledQueue, now: u64) -> Vec<u16> {
        std::iter::from_fn(|| queue.take(Wall(now))).map(|entry| entry.address.slot()).collect()
    }

    fn alarm(slot: u16) -> DueEntry {
        DueEntry { reason: InsertReason::Expiry, ..entry(slot) }
    }

    /// Four entries, of which two are taken; all were in memory.
    fn half_taken() -> ScheduledQueue {
        let mut queue = ScheduledQueue::default();
        queue.insert(Tick(5), 1, &[entry(1), entry(2)]);
        queue.insert(Tick(7), 2, &[entry(3), alarm(4)]);
        assert_eq!(slots(&mut queue, 50), [1, 2]);
        assert_eq!(queue.check(), Ok(()));
        queue
    }

    #[test]
    fn breaking_invariant_1_takes_again_what_was_taken() {
        let mut queue = half_taken();
        queue.loaded.push_front((DuePosition { tick: Tick(5), commit: 1, index: 1 }, entry(2)));
        assert_eq!(queue.check().expect_err("a breach").number, 1);
    }

    #[test]
    fn breaking_invariant_2_puts_an_entry_in_front_of_the_head() {
        let queue = half_taken();
        assert_eq!(queue.check_new(Tick(5), 3), Ok(()));
        for (tick, commit) in [(4, 3), (5, 1)] {
            assert_eq!(queue.check_new(Tick(tick), commit).expect_err("a breach").number, 2);
        }
    }

    #[test]
    fn breaking_invariant_3_leaves_something_out() {
        let breach = |change: fn(&mut ScheduledQueue)| {
            let mut queue = half_taken();
            change(&mut queue);
            queue.check().expect_err("a breach").number
        };
        assert_eq!(breach(|queue| queue.loaded.truncate(1)), 3);
        assert_eq!(breach(|queue| queue.waiting += 1), 3);
        assert_eq!(breach(|queue| queue.alarms = 0), 3);
        assert_eq!(breach(|queue| queue.loaded.swap(0, 1)), 3);
        let edge = DuePosition { tick: Tick(7), commit: 2, index: 1 };
        assert_eq!(breach(|queue| queue.loaded_to = Some(DuePosition { tick: Tick(7), commit: 2, index: 1 })), 3);
        let mut queue = half_taken();
        queue.loaded.pop_back();
        queue.loaded_to = Some(edge);
        assert_eq!(queue.check(), Ok(()), "the other is on disk");
    }

    #[test]
    fn gives_each_at_its_time_and_never_early() {
        let mut queue = ScheduledQueue::default();
        queue.insert(Tick(11), 1, &[entry(1)]);
        queue.insert(Tick(6), 2, &[entry(2), entry(3)]);
        assert_eq!(queue.next_at(), Some(Wall(60)));
        assert_eq!(slots(&mut queue, 59), Vec::<u16>::new());
        assert_eq!(slots(&mut queue, 60), vec![2, 3]);
        assert_eq!(slots(&mut queue, 109), Vec::<u16>::new());
        queue.insert(Tick(6), 4, &[entry(4)]);
        assert_eq!(slots(&mut queue, 200), vec![4, 1], "at the head, they sort behind it");
        assert_eq!((queue.waiting(), queue.next_at()), (0, None));
    }

    #[test]
    fn what_exceeds_memory_is_read_back_in_order() {
        let mut queue = ScheduledQueue::default();
        let many: Vec<_> = (0..ScheduledQueue::LOADED_MAX as u32).map(|slot| entry(slot as u16)).collect();
        queue.insert(Tick(5), 1, &many);
        queue.insert(Tick(4), 2, &[entry(7)]);
        assert_eq!(slots(&mut queue, 1_000).len(), many.len());
        let edge = DuePosition { tick: Tick(5), commit: 1, index: many.len() as u32 - 1 };
        assert_eq!(queue.wants_read(9), Some(edge));
        queue.insert(Tick(6), 3, &[entry(8)]);
        let last = (edge, *many.last().expect("many"));
        let unseen = (DuePosition { tick: Tick(6), commit: 3, index: 0 }, entry(8));
        assert_eq!(queue.loaded(vec![last, unseen], None), 0);
        assert_eq!(slots(&mut queue, 1_000).len(), 1, "what was written during the read is read again, not twice");
        assert_eq!(queue.wants_read(9), Some(unseen.0));
        assert_eq!(queue.loaded(vec![unseen], None), 0);
        assert_eq!(slots(&mut queue, 1_000), vec![8]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn does_not_look_for_what_is_still_on_its_way_to_the_disk() {
        let (old, new) =
            (DuePosition { tick: Tick(5), commit: 1, index: 0 }, DuePosition { tick: Tick(6), commit: 2, index: 0 });
        let mut queue = ScheduledQueue::recovered(old, 1, 0);
        queue.insert(Tick(6), 2, &[entry(2)]);
        assert_eq!(queue.wants_read(1), Some(old));
        assert_eq!(queue.loaded(vec![(old, entry(1))], None), 0);
        assert_eq!(slots(&mut queue, 1_000), vec![1]);
        assert_eq!((queue.wants_read(1), queue.next_at()), (None, None), "the second one is not durable yet");
        assert_eq!(queue.wants_read(2), Some(new));
        assert_eq!(queue.loaded(vec![(new, entry(2))], None), 0);
        assert_eq!((slots(&mut queue, 1_000), queue.waiting()), (vec![2], 0));
    }

    #[test]
    fn alarms_of_expiry_are_no_messages() {
        let mut queue = ScheduledQueue::default();
        queue.insert(Tick(5), 1, &[entry(1), alarm(9)]);
        assert_eq!((queue.waiting(), queue.alarms(), queue.messages()), (2, 1, 1));
        assert_eq!(slots(&mut queue, 50), [1, 9]);
        assert_eq!((queue.waiting(), queue.alarms(), queue.messages()), (0, 0, 0));
        queue.replay_insert(3, 2);
        assert_eq!(queue.replay_taken(queue.head(), 2, 1), 0);
        assert_eq!((queue.alarms(), queue.messages()), (1, 0));
        assert_eq!(queue.replay_taken(queue.head(), 3, 2), 2, "only one was there");
        assert_eq!((queue.waiting(), queue.alarms()), (0, 0));
        queue.replay_insert(2, 1);
        let from = queue.wants_read(9).expect("on disk");
        assert_eq!(queue.loaded(vec![(DuePosition { commit: 3, ..from }, entry(1))], None), 1, "one is not there");
        assert_eq!((queue.check(), queue.waiting(), queue.alarms()), (Ok(()), 1, 0));
    }
}
