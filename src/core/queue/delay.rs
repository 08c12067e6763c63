//! The delay queue: entries that are not yet due, whatever the clock does. It has one [`ScheduledQueue`] for each *era*
//! of the clock. When the clock has gone back, an entry may have a time that its queue has already passed; such an
//! entry goes into a new era, from which nothing has been taken yet. So each entry keeps its time, and an era that is
//! ahead of the clock waits until the clock has caught up.
//!
//! Invariants:
//! 1. Numbers of eras ascend and none is used twice. There is always one era, and at most [`ERAS_MAX`]. An era without
//!    entries is removed, except the newest.
//! 2. An entry is written under its own time; or under the head of its era, if that is at most [`LATE_MAX`] later than
//!    the entry's time or than now, whichever is later; more than that only if all eras are taken.

use crate::model::{Sound, Wall, holds};

use super::scheduled::{DueEntry, DuePosition, ScheduledQueue, Tick};

/// Most eras at a time. If the clock goes back once more, none is free: new entries then go into the era with the
/// earliest head, and wait until the clock gets there.
pub const ERAS_MAX: usize = 4;
/// How much later than its time an entry may be written where its queue has passed that time, so that small steps of
/// the clock begin no era: 100 ticks, which is a second.
const LATE_MAX: u64 = 100;

/// The number of an era: a stretch of time in which the clock did not go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Era(pub u32);

/// The delay queue of a shard: its eras, ascending.
#[derive(Clone, Debug)]
pub struct DelayQueue {
    eras: Vec<(Era, ScheduledQueue)>,
}

impl Default for DelayQueue {
    fn default() -> Self {
        Self { eras: vec![(Era::default(), ScheduledQueue::default())] }
    }
}

impl DelayQueue {
    /// The queue as a checkpoint left it.
    pub fn recovered(eras: impl IntoIterator<Item = (Era, ScheduledQueue)>) -> Self {
        let eras: Vec<_> = eras.into_iter().collect();
        if eras.is_empty() { Self::default() } else { Self { eras } }
    }

    /// The eras, ascending.
    pub fn eras(&self) -> impl Iterator<Item = (Era, &ScheduledQueue)> {
        self.eras.iter().map(|(era, queue)| (*era, queue))
    }

    /// The time up to which the newest era has been taken.
    pub fn passed(&self) -> Tick {
        self.eras.last().map_or(Tick::default(), |(_, queue)| queue.head().tick)
    }

    /// Alarms of expiry that have not been taken yet.
    pub fn alarms(&self) -> u64 {
        self.eras.iter().map(|(_, queue)| queue.alarms()).sum()
    }

    /// Messages that wait in all eras.
    pub fn messages(&self) -> u64 {
        self.eras.iter().map(|(_, queue)| queue.messages()).sum()
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        let shown = || self.eras.iter().map(|(era, queue)| (era.0, queue.waiting())).collect::<Vec<_>>();
        let is_ascending = self.eras.is_sorted_by(|(a, _), (b, _)| a < b);
        holds!(1, is_ascending && (1..=ERAS_MAX).contains(&self.eras.len()), "{:?}", shown());
        let is_needed = |(_, queue): &(Era, ScheduledQueue)| queue.waiting() > 0;
        holds!(1, self.eras.iter().rev().skip(1).all(is_needed), "{:?}", shown());
        self.eras.iter().try_for_each(|(_, queue)| queue.check())
    }

    /// Checks invariant 2 for an entry for `at` that is written to that place.
    fn check_place(&self, at: Tick, now: Tick, (era, tick): (Era, Tick)) -> Sound {
        let head = self.eras.iter().find(|(known, _)| *known == era).map(|(_, queue)| queue.head().tick);
        let is_soon = tick.0 <= at.max(now).0 + LATE_MAX || self.eras.len() == ERAS_MAX;
        holds!(2, tick == at || Some(tick) == head && is_soon, "{at:?} is put to {tick:?} of {era:?} at {now:?}");
        Ok(())
    }

    /// The era and tick under which an entry for `at` must be written; may begin an era.
    pub fn place(&mut self, at: Tick, now: Tick) -> (Era, Tick) {
        let place = self.choose(at, now);
        debug_assert_eq!(self.check_place(at, now, place), Ok(()), "see the top of this file");
        place
    }

    fn choose(&mut self, at: Tick, now: Tick) -> (Era, Tick) {
        let heads = self.eras.iter().rev().map(|(era, queue)| (*era, queue.head().tick));
        if let Some((era, _)) = heads.clone().find(|(_, head)| *head <= at) {
            return (era, at);
        }
        let (era, head) = heads.min_by_key(|(_, head)| *head).unwrap_or_default();
        if head.0 - at.max(now).min(head).0 <= LATE_MAX {
            return (era, head);
        }
        let newest = self.eras.last().map_or(Era::default(), |(era, _)| *era);
        self.eras.retain(|(_, queue)| queue.waiting() > 0);
        if self.eras.len() >= ERAS_MAX {
            return (era, head);
        }
        let new = Era(newest.0 + 1);
        self.eras.push((new, ScheduledQueue::default()));
        (new, at)
    }

    /// Records the entries that `commit` writes to a place.
    pub fn insert(&mut self, (era, tick): (Era, Tick), commit: u64, entries: &[DueEntry]) {
        self.of(era).insert(tick, commit, entries);
    }

    /// When the next entry in memory falls due; entries that are only on disk are announced by [`Self::wants_read`].
    pub fn next_at(&self) -> Option<Wall> {
        self.eras.iter().filter_map(|(_, queue)| queue.next_at()).min()
    }

    /// The era and position of the next read, if one is needed and everything up to and with commit `durable` is on
    /// disk. The answer goes to [`Self::loaded`].
    pub fn wants_read(&mut self, durable: u64) -> Option<(Era, DuePosition)> {
        self.eras.iter_mut().find_map(|(era, queue)| Some((*era, queue.wants_read(durable)?)))
    }

    /// Takes in what a read of an era found, as [`ScheduledQueue::loaded`]. If the era has been removed, all that was
    /// read has been taken in the meantime.
    pub fn loaded(&mut self, era: Era, found: Vec<(DuePosition, DueEntry)>, edge: Option<DuePosition>) -> u64 {
        let queue = self.eras.iter_mut().find(|(known, _)| *known == era);
        queue.map_or(0, |(_, queue)| queue.loaded(found, edge))
    }

    /// Takes the next entry that is due at `now`; gives also its era and that era's new head.
    pub fn take(&mut self, now: Wall) -> Option<(DueEntry, Era, DuePosition)> {
        let at = self.next_at().filter(|at| *at <= now)?;
        let (era, queue) = self.eras.iter_mut().find(|(_, queue)| queue.next_at() == Some(at))?;
        let (entry, era, head) = (queue.take(now)?, *era, queue.head());
        if queue.waiting() == 0 {
            self.forget_empty();
        }
        Some((entry, era, head))
    }

    /// Ends the replay of a start: removes the eras without entries.
    pub fn replayed(&mut self) {
        self.forget_empty();
    }

    fn forget_empty(&mut self) {
        let newest = self.eras.last().map(|(era, _)| *era);
        self.eras.retain(|(era, queue)| queue.waiting() > 0 || Some(*era) == newest);
    }

    /// Moves the head of an era while replaying: as [`ScheduledQueue::replay_taken`].
    pub fn replay_taken(&mut self, era: Era, head: DuePosition, entries: u64, alarms: u64) -> u64 {
        self.of(era).replay_taken(head, entries, alarms)
    }

    /// Adds entries of an era while replaying.
    pub fn replay_insert(&mut self, era: Era, entries: u64, alarms: u64) {
        self.of(era).replay_insert(entries, alarms);
    }

    /// The queue of an era; a new one if the era is not known.
    fn of(&mut self, era: Era) -> &mut ScheduledQueue {
        let at = self.eras.partition_point(|(known, _)| *known < era);
        if self.eras.get(at).is_none_or(|(known, _)| *known != era) {
            self.eras.insert(at, (era, ScheduledQueue::default()));
        }
        &mut self.eras[at].1
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Address, Class, Lane, RouteId, SetNumber, TenantId};
    use crate::queue::InsertReason;

    use super::*;

    fn entry(slot: u16) -> DueEntry {
        let lane = Lane { class: Class::Marketing, route: RouteId(1), tenant: TenantId(3), set: SetNumber::NONE };
        DueEntry { address: Address::new(1, slot), lane, reason: InsertReason::Retry }
    }

    /// Puts an entry off while the clock shows `now`, both in ticks; gives the era that it went to.
    fn put_off(queue: &mut DelayQueue, slot: u16, at: u64, now: u64) -> u32 {
        let place = queue.place(Tick(at), Tick(now));
        queue.insert(place, u64::from(slot), &[entry(slot)]);
        place.0.0
    }

    fn slots(queue: &mut DelayQueue, now: u64) -> Vec<u16> {
        let now = Tick(now).wall();
        std::iter::from_fn(|| queue.take(now)).map(|(entry, ..)| entry.address.slot()).collect()
    }

    /// Two eras: entries from before the clock went back, and entries added since.
    fn two_eras() -> DelayQueue {
        let mut queue = DelayQueue::default();
        put_off(&mut queue, 1, 50_000, 1_000);
        put_off(&mut queue, 2, 90_000, 1_000);
        assert_eq!(slots(&mut queue, 80_000), [1]);
        assert_eq!(put_off(&mut queue, 3, 2_300, 2_000), 1);
        assert_eq!(queue.check(), Ok(()));
        queue
    }

    #[test]
    fn breaking_invariant_1_uses_an_era_again_or_keeps_one_too_long() {
        let breach = |change: fn(&mut DelayQueue)| {
            let mut queue = two_eras();
            change(&mut queue);
            queue.check().expect_err("a breach").number
        };
        assert_eq!(breach(|queue| queue.eras[1].0 = Era(0)), 1);
        assert_eq!(breach(|queue| queue.eras.clear()), 1);
        assert_eq!(breach(|queue| (2..6).for_each(|era| queue.eras.push((Era(era), queue.eras[1].1.clone())))), 1);
        assert_eq!(breach(|queue| queue.eras[0].1 = ScheduledQueue::default()), 1);
    }

    #[test]
    fn breaking_invariant_2_writes_an_entry_under_another_time() {
        let queue = two_eras();
        let check = |at, now, era, tick| queue.check_place(Tick(at), Tick(now), (Era(era), Tick(tick)));
        assert_eq!(check(2_300, 2_000, 1, 2_300), Ok(()));
        assert_eq!(check(49_950, 2_000, 0, 50_000), Ok(()), "a small step");
        for (at, now, era, tick) in [(2_300, 2_000, 0, 50_000), (2_300, 2_000, 1, 2_301), (2_300, 2_000, 1, 2_200)] {
            assert_eq!(check(at, now, era, tick).expect_err("a breach").number, 2);
        }
    }

    #[test]
    fn what_is_put_off_after_the_clock_went_back_is_not_late() {
        let mut queue = DelayQueue::default();
        assert_eq!([put_off(&mut queue, 1, 50_000, 1_000), put_off(&mut queue, 2, 90_000, 1_000)], [0, 0]);
        assert_eq!(slots(&mut queue, 80_000), [1], "the clock is a long way ahead");
        // The clock goes back: waiting entries keep their times, and new entries have their own.
        assert_eq!([put_off(&mut queue, 3, 2_300, 2_000), put_off(&mut queue, 4, 95_000, 2_000)], [1, 1]);
        assert_eq!(queue.next_at(), Some(Tick(2_300).wall()));
        assert!(slots(&mut queue, 2_299).is_empty());
        assert_eq!(slots(&mut queue, 2_300), [3]);
        assert_eq!(put_off(&mut queue, 5, 90_001, 3_000), 1, "the newest era that has not passed it");
        assert_eq!(slots(&mut queue, 100_000), [2, 5, 4]);
        assert_eq!(queue.eras().count(), 1, "and an era that holds nothing goes");
        assert_eq!((queue.messages(), queue.alarms(), queue.next_at()), (0, 0, None));
    }

    #[test]
    fn small_steps_begin_no_era_and_there_are_only_so_many() {
        let mut queue = DelayQueue::default();
        put_off(&mut queue, 1, 1_000_000, 0);
        put_off(&mut queue, 2, 2_000_000, 0);
        slots(&mut queue, 1_000_000);
        assert_eq!(put_off(&mut queue, 3, 999_000, 999_900), 0, "at the head: as late as the clock went back");
        assert_eq!(slots(&mut queue, 1_000_000), [3]);
        for era in 1..ERAS_MAX as u32 {
            let now = 1_000_000 - u64::from(era) * 100_000;
            assert_eq!(put_off(&mut queue, 10, now - 50_000, now - 60_000), era);
            assert_eq!(put_off(&mut queue, 11, now, now - 60_000), era);
            assert_eq!(slots(&mut queue, now - 50_000), [10]);
        }
        assert_eq!(put_off(&mut queue, 12, 5, 1), 3, "none is left: to the era whose head is earliest");
        assert!(slots(&mut queue, 649_999).is_empty());
        assert_eq!(slots(&mut queue, 650_000), [12]);
        assert_eq!(slots(&mut queue, 2_000_000), [11, 11, 11, 2]);
        assert_eq!(queue.eras().map(|(era, _)| era.0).collect::<Vec<_>>(), [3]);
        // An era without entries makes room for the next.
        assert_eq!(put_off(&mut queue, 13, 5, 1), 4);
        assert_eq!(queue.eras().count(), 1);
    }

    #[test]
    fn a_start_finds_every_era_as_it_was() {
        let mut queue = DelayQueue::default();
        put_off(&mut queue, 1, 50_000, 1_000);
        put_off(&mut queue, 2, 90_000, 1_000);
        slots(&mut queue, 50_000);
        put_off(&mut queue, 3, 2_300, 2_000);
        let mut started = DelayQueue::default();
        started.replay_insert(Era(0), 2, 0);
        assert_eq!(started.replay_taken(Era(0), DuePosition { tick: Tick(50_000), commit: 1, index: 1 }, 1, 0), 0);
        started.replay_insert(Era(1), 1, 0);
        let state = |queue: &DelayQueue| -> Vec<_> {
            queue.eras().map(|(era, queue)| (era, queue.head(), queue.waiting())).collect()
        };
        assert_eq!(state(&started), state(&queue));
        let (first, from) = started.wants_read(9).expect("all of it is on the disk");
        let (second, _) = started.wants_read(9).expect("of the other too");
        assert_eq!((first, from.tick, second), (Era(0), Tick(50_000), Era(1)));
        let at = |tick, commit| DuePosition { tick: Tick(tick), commit, index: 0 };
        assert_eq!(started.loaded(Era(1), vec![(at(2_300, 3), entry(3))], None), 0);
        assert_eq!(started.loaded(Era(0), vec![(at(90_000, 2), entry(2))], None), 0);
        assert_eq!(slots(&mut started, 90_000), [3, 2]);
        assert_eq!(started.loaded(Era(7), Vec::new(), None), 0);
    }
}
