//! All fifos of a shard. A lane has several: what was given back unsent goes before what has become due, and that before
//! what is fresh. What a restored backup held unsent stands in fifos of its own, which may be held as a whole.
//!
//! Invariants:
//! 1. What was given back unsent is taken in the order of admission, in whatever order it comes back: a message that is
//!    older than the last one of a fifo goes into another fifo, and of the first ones of these fifos the oldest is taken.
//! 2. Nothing is taken from a lane while something given back waits on disk only.
//! 3. Of a class whose restored messages are [`Unsent::Held`] or [`Unsent::GivenUp`] no link takes any from its
//!    [`FifoKind::Held`] fifos, and they are not counted as waiting; those that are held are not read ahead either.
//! 4. What ends while it stands in a fifo keeps its place there until it is passed over, and is counted no more
//!    ([`Lanes::depth`]): the difference is one number for each lane, not a note for each message. It is below zero while
//!    entries are passed over whose messages are going to be ended.
//! 5. All windows together hold [`WINDOWS_BYTES_MAX`], shared evenly by the fifos that hold something.

use std::collections::BTreeMap;

use crate::model::{Address, Class, Lane, RouteId, Segment};

use super::fifo::{Chunk, Fifo, Position, Taken};

/// Which of a lane's fifos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FifoKind {
    /// Unsent when the backup was made from which this shard was restored, by its code on disk: see
    /// [`FifoKind::restored`].
    Held(u8),
    /// Given back unsent; each holds older messages before newer ones, up to [`FifoKind::RETURNED_LAST`].
    Returned(u8),
    /// Its time has come: scheduled, retried, no longer in doubt.
    Due,
    /// Ready since admission.
    Fresh,
}

impl FifoKind {
    /// The fifo of what is given back for the first time.
    pub const RETURNED_LAST: u8 = 7;

    /// How often a shard can be restored from a backup of a restored one: each time takes a set of codes.
    pub const RESTORES_MAX: u8 = 15;

    /// What a code becomes by the `generation`-th restore, from 1. Each set of codes sorts before the earlier ones, so that a
    /// list of keys keeps its order when they are rewritten; what is held already stays as it is.
    pub const fn restored(code: u8, generation: u8) -> u8 {
        if code < Self::HELD_FIRST { u8::MAX - 16 * generation + 1 + code } else { code }
    }

    const HELD_FIRST: u8 = 16;

    /// Taken first: what a restore held, then what comes back, then what has become due.
    const fn rank(self) -> u16 {
        match self {
            Self::Held(code) if code % 16 <= Self::RETURNED_LAST => (code & 0xF0) as u16,
            Self::Held(code) => code as u16,
            Self::Returned(_) => 256,
            Self::Due => 257,
            Self::Fresh => 258,
        }
    }

    /// As kept on disk.
    pub const fn code(self) -> u8 {
        match self {
            Self::Held(code) => code,
            Self::Returned(at) => at,
            Self::Due => Self::RETURNED_LAST + 1,
            Self::Fresh => Self::RETURNED_LAST + 2,
        }
    }

    /// As read back from disk.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0..=Self::RETURNED_LAST => Some(Self::Returned(code)),
            8 => Some(Self::Due),
            9 => Some(Self::Fresh),
            10..Self::HELD_FIRST => None,
            Self::HELD_FIRST.. => {
                if code % 16 <= 9 {
                    Some(Self::Held(code))
                } else {
                    None
                }
            }
        }
    }
}

const _: () = assert!(FifoKind::Fresh.code() == 9);

/// A fifo's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FifoName {
    /// Class × route.
    pub lane: Lane,
    /// Which of the lane's.
    pub kind: FifoKind,
}

/// What becomes of what a class had unsent in the backup of which this is the restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsent {
    /// Links take it like anything else.
    #[default]
    Sent,
    /// It stays where it is, and is not even read.
    Held,
    /// It is read to be given up; no link may have it.
    GivenUp,
}

/// Octets of messages that the windows of all fifos hold together.
pub const WINDOWS_BYTES_MAX: usize = 32 << 20;
/// A fifo's share of them at most, and at least; one chunk (at most a segment) enters an empty window whatever its size.
const WINDOW_BYTES: [usize; 2] = [64 << 10, 4 << 20];

/// Lists whose ended messages are counted together: a lane's own, or those of what was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lists {
    /// Which lane's.
    pub lane: Lane,
    /// Those of what a restored backup held unsent.
    pub restored: bool,
}

impl Lists {
    /// The lists that this fifo belongs to.
    pub const fn of(name: FifoName) -> Self {
        Self { lane: name.lane, restored: matches!(name.kind, FifoKind::Held(_)) }
    }
}

/// The fifos that ever held a message since the last time they were all empty.
#[derive(Clone, Debug)]
pub struct Lanes {
    fifos: BTreeMap<FifoName, Fifo>,
    /// By class.
    unsent: [Unsent; Class::COUNT],
    /// Entries whose messages have ended, less entries passed over whose messages are still to be ended.
    ended: BTreeMap<Lists, i64>,
    /// What the window of one fifo may hold, octets.
    share: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            fifos: BTreeMap::new(),
            unsent: [Unsent::default(); Class::COUNT],
            ended: BTreeMap::new(),
            share: WINDOW_BYTES[1],
        }
    }
}

impl Lanes {
    /// The fifo of that name, made when it is first needed.
    pub fn fifo(&mut self, name: FifoName) -> &mut Fifo {
        self.fifos.entry(name).or_default()
    }

    /// Every fifo, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&FifoName, &Fifo)> {
        self.fifos.iter()
    }

    /// Every fifo, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&FifoName, &mut Fifo)> {
        self.fifos.iter_mut()
    }

    /// Says what becomes of what a class had unsent when it was restored.
    pub const fn set_unsent(&mut self, class: Class, unsent: Unsent) {
        self.unsent[class.index()] = unsent;
    }

    /// Whether no link may take anything from that fifo.
    pub const fn is_withheld(&self, name: &FifoName) -> bool {
        matches!(name.kind, FifoKind::Held(_)) && !matches!(self.unsent[name.lane.class.index()], Unsent::Sent)
    }

    /// Lists whose entries were passed over before their messages were ended.
    pub fn passed_early(&self) -> impl Iterator<Item = Lists> {
        self.ended.iter().filter(|(_, ended)| **ended < 0).map(|(lists, _)| *lists)
    }

    /// Messages of a class that were restored unsent, and neither taken nor ended since.
    pub fn restored_waiting(&self, class: Class) -> u64 {
        let restored = self.of_class(class).filter(|(name, _)| matches!(name.kind, FifoKind::Held(_)));
        let waiting: u64 = restored.map(|(_, fifo)| fifo.waiting()).sum();
        let ended = self.ended.iter().filter(|(lists, _)| lists.restored && lists.lane.class == class);
        less(waiting, ended.map(|(_, ended)| ended).sum())
    }

    /// So many more entries of messages that have ended stand in those lists; fewer, if it is below zero.
    pub fn add_ended(&mut self, lists: Lists, entries: i64) {
        let ended = self.ended.entry(lists).or_default();
        *ended += entries;
        if *ended == 0 {
            self.ended.remove(&lists);
        }
    }

    /// Entries of messages that have ended, by lists.
    pub fn ended(&self) -> impl Iterator<Item = (Lists, i64)> {
        self.ended.iter().map(|(lists, entries)| (*lists, *entries))
    }

    /// Of lists without any entry nothing can have ended, and when nothing is to be ended no entry was passed over too early:
    /// `settled`. What stands there all the same is a remainder, and goes.
    pub fn forget_remainders(&mut self, settled: bool) {
        let fifos = &self.fifos;
        self.ended.retain(|lists, ended| {
            let is_empty = in_lists(fifos, *lists).all(|(_, fifo)| fifo.waiting() == 0);
            !(is_empty && *ended > 0 || settled && *ended < 0)
        });
    }

    /// A fifo at whose head something may stand that has ended, and where links may look: none if there is none.
    pub fn perhaps_ended(&self) -> Vec<FifoName> {
        let lists = self.ended.iter().filter(|(_, entries)| **entries > 0).map(|(lists, _)| *lists);
        let fifos = lists.flat_map(|lists| in_lists(&self.fifos, lists));
        fifos.filter(|(name, fifo)| fifo.in_window() > 0 && !self.is_withheld(name)).map(|(name, _)| *name).collect()
    }

    /// The message at the head of a fifo, if it is in memory.
    pub fn peek(&self, name: FifoName) -> Option<(&Segment, u16)> {
        self.fifos.get(&name)?.peek()
    }

    /// Takes the next message of a class that was restored unsent, whatever its route; none if none is in memory.
    pub fn take_restored(&mut self, class: Class) -> Option<(FifoName, Taken)> {
        let is_there =
            |(name, fifo): &(&FifoName, &Fifo)| matches!(name.kind, FifoKind::Held(_)) && fifo.in_window() > 0;
        let name = self.of_class(class).find(is_there).map(|(name, _)| *name)?;
        let taken = self.fifo(name).take()?;
        Some((name, taken))
    }

    /// Puts a fifo back as a checkpoint left it.
    pub fn restore(&mut self, name: FifoName, fifo: Fifo) {
        self.fifos.insert(name, fifo);
    }

    /// Records new ready messages of one commit.
    pub fn append(&mut self, name: FifoName, commit: u64, messages: u32, chunks: Vec<Chunk>) {
        let share = self.share;
        self.fifo(name).append(commit, messages, chunks, share);
    }

    /// Entries of a class on any of `routes`: what a link may be told of. It passes over those that have ended.
    pub fn waiting(&self, class: Class, routes: &[RouteId]) -> u64 {
        let own = routes.iter().flat_map(|route| self.of_lane(Lane { class, route: *route }));
        own.filter(|(name, _)| !self.is_withheld(name)).map(|(_, fifo)| fifo.waiting()).sum()
    }

    /// Entries of all lanes, also of messages that have ended.
    pub fn entries_total(&self) -> u64 {
        self.fifos.values().map(Fifo::waiting).sum()
    }

    /// Messages that wait in all lanes.
    pub fn depth_total(&self) -> u64 {
        less(self.entries_total(), self.ended.values().sum())
    }

    /// Messages that wait in those lists, of which so many entries are left.
    pub fn depth(&self, lists: Lists, entries: u64) -> u64 {
        less(entries, self.ended.get(&lists).copied().unwrap_or(0))
    }

    /// Where a message that is given back unsent belongs; it is then appended there.
    pub fn returned(&mut self, lane: Lane, address: Address) -> FifoName {
        let names = (0..=FifoKind::RETURNED_LAST).rev().map(|at| FifoName { lane, kind: FifoKind::Returned(at) });
        let first = FifoName { lane, kind: FifoKind::Returned(0) };
        let name = names.into_iter().find(|name| self.fifo(*name).ends_before(address)).unwrap_or(first);
        self.fifo(name).expect(address);
        name
    }

    /// Takes the next message of a class from the lanes of `routes`: what comes back first, then the oldest that is in
    /// memory.
    pub fn take(&mut self, class: Class, routes: &[RouteId]) -> Option<(FifoName, Taken)> {
        let own = routes.iter().flat_map(|route| self.of_lane(Lane { class, route: *route }));
        let name = own
            .filter(|(_, fifo)| fifo.in_window() > 0)
            .filter(|(name, _)| !self.is_withheld(name) && !self.is_held_up(name))
            .min_by_key(|(name, fifo)| (name.kind.rank(), fifo.peek().map(|(segment, slot)| segment.address(slot))))
            .map(|(name, _)| *name)?;
        let taken = self.fifo(name).take()?;
        Some((name, taken))
    }

    /// The next read that a fifo needs, when everything up to and with commit `durable` is on disk.
    pub fn wants_read(&mut self, durable: u64) -> Option<(FifoName, Position)> {
        let holding = self.fifos.values().filter(|fifo| fifo.waiting() > 0).count();
        let [least, most] = WINDOW_BYTES;
        self.share = (WINDOWS_BYTES_MAX / holding.max(1)).clamp(least, most);
        let (unsent, share) = (self.unsent, self.share);
        let is_held =
            |name: &FifoName| matches!(name.kind, FifoKind::Held(_)) && unsent[name.lane.class.index()] == Unsent::Held;
        let mut wanting = self.fifos.iter_mut().filter(|(name, _)| !is_held(name));
        wanting.find_map(|(name, fifo)| fifo.wants_read(durable, share).map(|from| (*name, from)))
    }

    /// What the window of one fifo may hold, octets.
    pub const fn share(&self) -> usize {
        self.share
    }

    /// Octets that all windows hold, roughly.
    pub fn window_bytes(&self) -> usize {
        self.fifos.values().map(Fifo::window_bytes).sum()
    }

    /// Something that was given back may go before it, and is not in memory.
    fn is_held_up(&self, name: &FifoName) -> bool {
        if matches!(name.kind, FifoKind::Held(_)) {
            return false;
        }
        let kinds = FifoKind::Returned(0)..=FifoKind::Returned(FifoKind::RETURNED_LAST);
        let [first, last] = [*kinds.start(), *kinds.end()].map(|kind| FifoName { lane: name.lane, kind });
        self.fifos.range(first..=last).any(|(_, fifo)| fifo.in_window() == 0 && fifo.waiting() > 0)
    }

    fn of_lane(&self, lane: Lane) -> impl Iterator<Item = (&FifoName, &Fifo)> {
        let edge = |kind| FifoName { lane, kind };
        self.fifos.range(edge(FifoKind::Held(0))..=edge(FifoKind::Fresh))
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = (&FifoName, &Fifo)> {
        let edge = |route, kind| FifoName { lane: Lane { class, route: RouteId(route) }, kind };
        self.fifos.range(edge(0, FifoKind::Held(0))..=edge(u16::MAX, FifoKind::Fresh))
    }
}

/// The fifos that belong to those lists.
fn in_lists(fifos: &BTreeMap<FifoName, Fifo>, lists: Lists) -> impl Iterator<Item = (&FifoName, &Fifo)> {
    let edge = |kind| FifoName { lane: lists.lane, kind };
    let of_lane = fifos.range(edge(FifoKind::Held(0))..=edge(FifoKind::Fresh));
    of_lane.filter(move |(name, _)| Lists::of(**name) == lists)
}

/// Never below zero.
fn less(entries: u64, ended: i64) -> u64 {
    entries.saturating_add_signed(ended.saturating_neg())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::runs::SlotRuns;
    use super::*;

    fn append(lanes: &mut Lanes, kind: FifoKind, route: u16, commit: u64) {
        let name = FifoName { lane: Lane { class: Class::Otp, route: RouteId(route) }, kind };
        let segment = Arc::new(Segment { number: commit, ..Segment::default() });
        lanes.append(name, commit, 1, vec![Chunk { commit, segment, runs: SlotRuns::one(0) }]);
    }

    #[test]
    fn what_comes_back_goes_first_then_the_oldest_of_the_routes() {
        let mut lanes = Lanes::default();
        append(&mut lanes, FifoKind::Fresh, 2, 1);
        append(&mut lanes, FifoKind::Fresh, 1, 2);
        append(&mut lanes, FifoKind::Fresh, 9, 3);
        append(&mut lanes, FifoKind::Due, 1, 4);
        let routes = [RouteId(1), RouteId(2)];
        assert_eq!(lanes.waiting(Class::Otp, &routes), 3);
        assert_eq!(lanes.waiting(Class::Marketing, &routes), 0);
        let order: Vec<_> =
            std::iter::from_fn(|| lanes.take(Class::Otp, &routes)).map(|(_, t)| t.segment.number).collect();
        assert_eq!(order, vec![4, 1, 2]);
        assert_eq!(lanes.entries_total(), 1);
    }

    fn give_back(lanes: &mut Lanes, commit: u64, segment: u64) {
        let name = lanes.returned(Lane { class: Class::Otp, route: RouteId(1) }, Address::new(segment, 0));
        let segment = Arc::new(Segment { number: segment, ..Segment::default() });
        lanes.append(name, commit, 1, vec![Chunk { commit, segment, runs: SlotRuns::one(0) }]);
    }

    fn take_all(lanes: &mut Lanes, messages: usize) -> Vec<u64> {
        let take = || lanes.take(Class::Otp, &[RouteId(1)]).map(|(_, taken)| taken.segment.number);
        std::iter::from_fn(take).take(messages).collect()
    }

    #[test]
    fn what_is_given_back_again_and_again_keeps_its_place() {
        let mut lanes = Lanes::default();
        append(&mut lanes, FifoKind::Fresh, 1, 9);
        for (commit, segment) in [(11, 1), (12, 2), (13, 3)] {
            give_back(&mut lanes, commit, segment);
        }
        assert_eq!(take_all(&mut lanes, 2), [1, 2]);
        give_back(&mut lanes, 14, 1);
        give_back(&mut lanes, 15, 2);
        assert_eq!(take_all(&mut lanes, 1), [1]);
        give_back(&mut lanes, 16, 1);
        assert_eq!(take_all(&mut lanes, 9), [1, 2, 3, 9]);
    }

    /// Seed 196: a link that drains gives back by class and bind, not by age.
    #[test]
    fn what_is_given_back_in_any_order_is_taken_by_age() {
        let mut lanes = Lanes::default();
        append(&mut lanes, FifoKind::Fresh, 1, 9);
        for (commit, segment) in (11..).zip([3, 4, 8, 5, 6, 7, 1, 2]) {
            give_back(&mut lanes, commit, segment);
        }
        assert_eq!(take_all(&mut lanes, 9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn nothing_overtakes_what_was_given_back_and_is_on_disk() {
        let mut lanes = Lanes::default();
        append(&mut lanes, FifoKind::Fresh, 1, 1);
        append(&mut lanes, FifoKind::Fresh, 2, 2);
        let lane = Lane { class: Class::Otp, route: RouteId(1) };
        let name = lanes.returned(lane, Address::new(1, 5));
        lanes.append(name, 3, 1, Vec::new());
        assert_eq!(take_all(&mut lanes, 9), [] as [u64; 0]);
        assert!(lanes.take(Class::Otp, &[RouteId(2)]).is_some(), "another lane goes on");
        assert_eq!(lanes.wants_read(3), Some((name, Position { commit: 1, index: 0 })));
    }

    #[test]
    fn codes_read_back() {
        for code in 0..=9 {
            assert_eq!(FifoKind::from_code(code).map(FifoKind::code), Some(code));
        }
        assert_eq!([10, 15, 26, 31, 255].map(FifoKind::from_code), [None; 5]);
    }

    #[test]
    fn each_restore_has_codes_of_its_own_in_an_order_that_stays() {
        let all: Vec<u8> = (0..=9).collect();
        assert_eq!((FifoKind::restored(9, 1), FifoKind::restored(0, FifoKind::RESTORES_MAX)), (249, 16));
        let mut codes = all.clone();
        for generation in 1..=FifoKind::RESTORES_MAX {
            let restored: Vec<u8> = codes.iter().map(|code| FifoKind::restored(*code, generation)).collect();
            assert!(restored.is_sorted_by(|a, b| a < b), "{generation}: {restored:?}");
            assert!(restored.iter().all(|code| FifoKind::from_code(*code) == Some(FifoKind::Held(*code))));
            codes = [all.clone(), restored].concat();
        }
    }

    #[test]
    fn what_is_held_lets_everything_else_pass_until_it_is_released() {
        let mut lanes = Lanes::default();
        let routes = [RouteId(1)];
        append(&mut lanes, FifoKind::Held(249), 1, 1);
        append(&mut lanes, FifoKind::Fresh, 1, 2);
        lanes.set_unsent(Class::Otp, Unsent::Held);
        assert_eq!((lanes.waiting(Class::Otp, &routes), lanes.restored_waiting(Class::Otp)), (1, 1));
        assert_eq!(lanes.take(Class::Otp, &routes).map(|(_, taken)| taken.segment.number), Some(2));
        assert!(lanes.take(Class::Otp, &routes).is_none());
        assert_eq!(lanes.depth_total(), 1, "it still counts against the limit of the queue");
        append(&mut lanes, FifoKind::Fresh, 1, 3);
        lanes.set_unsent(Class::Otp, Unsent::GivenUp);
        assert_eq!(take_all(&mut lanes.clone(), 9), [3], "what is given up later is not sent before");
        lanes.set_unsent(Class::Otp, Unsent::Sent);
        assert_eq!(take_all(&mut lanes, 9), [1, 3]);
    }

    #[test]
    fn what_is_held_is_not_read_ahead() {
        let mut lanes = Lanes::default();
        let lane = Lane { class: Class::Otp, route: RouteId(1) };
        let name = FifoName { lane, kind: FifoKind::Held(249) };
        lanes.restore(name, Fifo::recovered(Position { commit: 1, index: 0 }, 5, 7));
        lanes.set_unsent(Class::Otp, Unsent::Held);
        assert_eq!(lanes.wants_read(9), None);
        lanes.set_unsent(Class::Otp, Unsent::GivenUp);
        assert_eq!(lanes.clone().wants_read(9), Some((name, Position { commit: 1, index: 0 })));
        lanes.set_unsent(Class::Otp, Unsent::Sent);
        assert_eq!(lanes.wants_read(9), Some((name, Position { commit: 1, index: 0 })));
    }

    #[test]
    fn what_has_ended_is_counted_no_more_and_keeps_its_entry_until_it_is_passed() {
        let mut lanes = Lanes::default();
        append(&mut lanes, FifoKind::Fresh, 1, 1);
        append(&mut lanes, FifoKind::Fresh, 1, 2);
        append(&mut lanes, FifoKind::Held(249), 1, 3);
        let lane = Lane { class: Class::Otp, route: RouteId(1) };
        let [own, restored] = [false, true].map(|restored| Lists { lane, restored });
        lanes.add_ended(own, 1);
        assert_eq!((lanes.depth_total(), lanes.entries_total(), lanes.depth(own, 2)), (2, 3, 1));
        lanes.add_ended(restored, 1);
        assert_eq!((lanes.depth_total(), lanes.restored_waiting(Class::Otp)), (1, 0));
        assert_eq!(lanes.perhaps_ended().len(), 2);
        lanes.set_unsent(Class::Otp, Unsent::Held);
        assert_eq!(lanes.perhaps_ended(), [FifoName { lane, kind: FifoKind::Fresh }], "what is held is not looked at");
        take_all(&mut lanes, 2);
        lanes.add_ended(own, -2);
        assert_eq!(lanes.depth(own, 0), 1, "passed over, and to be ended");
        lanes.add_ended(own, 1);
        assert_eq!(lanes.ended().collect::<Vec<_>>(), [(restored, 1)]);
    }

    #[test]
    fn a_remainder_goes_when_nothing_is_left_that_it_could_mean() {
        let mut lanes = Lanes::default();
        let lane = Lane { class: Class::Otp, route: RouteId(1) };
        let lists = Lists { lane, restored: false };
        append(&mut lanes, FifoKind::Fresh, 1, 1);
        lanes.add_ended(lists, 1);
        lanes.forget_remainders(true);
        assert_eq!(lanes.ended().count(), 1, "its entry stands there");
        take_all(&mut lanes, 1);
        lanes.forget_remainders(false);
        assert_eq!(lanes.ended().count(), 0);
        lanes.add_ended(lists, -1);
        lanes.forget_remainders(false);
        assert_eq!(lanes.ended().count(), 1, "its message is going to be ended");
        lanes.forget_remainders(true);
        assert_eq!(lanes.ended().count(), 0);
    }

    #[test]
    fn fifos_share_what_all_windows_may_hold() {
        let mut lanes = Lanes::default();
        let share = |lanes: &mut Lanes| {
            lanes.wants_read(9);
            lanes.share()
        };
        assert_eq!(share(&mut lanes), WINDOW_BYTES[1]);
        for route in 1..=64 {
            append(&mut lanes, FifoKind::Fresh, route, 1);
        }
        assert_eq!(share(&mut lanes), WINDOWS_BYTES_MAX / 64);
        for route in 65..=1_000 {
            append(&mut lanes, FifoKind::Fresh, route, 1);
        }
        assert_eq!(share(&mut lanes), WINDOW_BYTES[0]);
    }
}
