//! All lists of a shard. A lane has one, with several fifos: what was given back unsent goes before what has become due, and
//! that before what is fresh. What a restored backup held unsent stands in the fifos of earlier generations, which may be
//! held as a whole.
//!
//! Invariants:
//! 1. What was given back unsent is taken in the order of admission, in whatever order it comes back: a message that is
//!    older than the last one of a fifo goes into another fifo, and of the first ones of these fifos the oldest is taken. Only
//!    what fits into none of them stands out of its order, in the first.
//! 2. Nothing is taken from a list while something given back waits on disk only.
//! 3. Of a class whose restored messages are [`Unsent::Held`] or [`Unsent::GivenUp`] no link takes any from the fifos of
//!    earlier generations, and they are not counted as waiting; those that are held are not read ahead either.
//! 4. What ends while it stands in a fifo keeps its place there until it is passed over, and is counted no more
//!    ([`Lanes::depth`]): the difference is one number for each list, not a note for each message. It is below zero while
//!    entries are passed over whose messages are going to be ended.
//! 5. All windows together hold about [`WINDOWS_BYTES_MAX`]: each fifo that holds something takes in up to an even share of it,
//!    and never less than a least one.
//! 6. Memory holds the fifos that hold something, and until the next checkpoint those that have become empty. One that is not
//!    in memory has nothing on disk that counts: when it is needed again it begins at the commit that needs it, and what was
//!    dropped and has come back lies before that.
//! 7. A list knows what its fifos hold together, so that nobody looks through them to be told.

use std::collections::BTreeMap;

use crate::model::{Address, Class, Lane, RouteId, Segment, Sound, WALKED_MAX, holds};

use super::fifo::{Chunk, Fifo, Position, Taken};
use super::list::{FifoName, Generation, ListKind, ListNumber, ListOf, ListTable};

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

/// Bytes of messages that the windows of all fifos hold together.
pub const WINDOWS_BYTES_MAX: usize = 32 << 20;
/// A fifo's share of them at most, and at least; one chunk (at most a segment) enters an empty window whatever its size.
const WINDOW_BYTES: [usize; 2] = [64 << 10, 4 << 20];

/// Fifos whose ended messages are counted together: those of a list's present generation, or of all earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// Which list's.
    pub list: ListNumber,
    /// Those of what a restored backup held unsent.
    pub restored: bool,
}

/// When a fifo's first message is taken: by generation, by kind, by age.
type Turn = (Generation, u8, Address);

/// The fifos of a list that are in memory.
#[derive(Clone, Debug)]
struct List {
    lane: Lane,
    /// In the order of their names.
    fifos: Vec<(FifoName, Fifo)>,
    /// What the fifos of the present generation hold, and those of all earlier ones.
    waiting: [u64; 2],
}

impl List {
    fn fifo(&self, name: FifoName) -> Option<&Fifo> {
        self.fifos.iter().find(|(own, _)| *own == name).map(|(_, fifo)| fifo)
    }

    fn fifo_mut(&mut self, name: FifoName) -> &mut Fifo {
        let at = self.fifos.partition_point(|(own, _)| *own < name);
        if self.fifos.get(at).is_none_or(|(own, _)| *own != name) {
            self.fifos.insert(at, (name, Fifo::default()));
        }
        &mut self.fifos[at].1
    }

    /// The fifo that is next, of the present generation or, where `sent`, of any.
    fn next(&self, present: Generation, sent: bool) -> Option<(Turn, FifoName)> {
        let is_held_up = self.fifos.iter().any(|(name, fifo)| {
            let is_returned = matches!(name.kind, ListKind::Returned(_)) && name.generation == present;
            is_returned && fifo.in_window() == 0 && fifo.waiting() > 0
        });
        let may_go = |name: FifoName| if name.generation == present { !is_held_up } else { sent };
        let turn = |(name, fifo): &(FifoName, Fifo)| {
            let (segment, slot) = fifo.peek()?;
            let kind = name.kind.code().saturating_sub(ListKind::RETURNED_LAST);
            Some(((name.generation, kind, segment.address(slot)), *name))
        };
        self.fifos.iter().filter(|(name, _)| may_go(*name)).filter_map(turn).min_by_key(|(turn, _)| *turn)
    }

    fn check(&self, present: Generation) -> Sound {
        let of = |restored: bool| {
            let own = self.fifos.iter().filter(|(name, _)| (name.generation < present) == restored);
            own.map(|(_, fifo)| fifo.waiting()).sum::<u64>()
        };
        let (known, held) = (self.waiting, [of(false), of(true)]);
        holds!(7, known == held, "{:?}: {held:?}, and {known:?} are counted", self.lane);
        let names = || self.fifos.iter().map(|(name, _)| name);
        let is_of = |name: &FifoName| name.generation <= present;
        holds!(7, names().is_sorted_by(|a, b| a < b) && names().all(is_of), "{:?}", names().collect::<Vec<_>>());
        for (name, fifo) in &self.fifos {
            fifo.check(WINDOW_BYTES[1])?;
            // Into the first goes what fits into none.
            if matches!(name.kind, ListKind::Returned(1..)) && fifo.in_window() as usize <= WALKED_MAX {
                let found = || fifo.addresses().collect::<Vec<_>>();
                holds!(1, fifo.addresses().is_sorted(), "{name:?}: {:?}", found());
                let is_last = fifo.last().is_none_or(|last| fifo.addresses().all(|address| address <= last));
                holds!(1, is_last, "{name:?}: {:?} behind {:?}", found(), fifo.last());
            }
        }
        Ok(())
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Lanes {
    table: ListTable,
    present: Generation,
    lists: BTreeMap<ListNumber, List>,
    /// By class.
    unsent: [Unsent; Class::COUNT],
    /// Entries whose messages have ended, less entries passed over whose messages are still to be ended.
    ended: BTreeMap<Part, i64>,
    /// What the window of one fifo may hold, bytes.
    share: usize,
    /// Which fifo not in memory is the next whose records may be dropped once more.
    swept: FifoName,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(Generation::default(), Vec::new())
    }
}

impl Lanes {
    /// Whether the invariants hold.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Sound {
        self.table.check()?;
        self.lists.values().try_for_each(|list| list.check(self.present))
    }

    /// With the lists that were ever used, by number. `present`: how often the shard was restored.
    pub fn new(present: Generation, lists: Vec<ListOf>) -> Self {
        Self {
            table: ListTable::recorded(lists),
            present,
            lists: BTreeMap::new(),
            unsent: [Unsent::default(); Class::COUNT],
            ended: BTreeMap::new(),
            share: WINDOW_BYTES[1],
            swept: FifoName::FIRST,
        }
    }

    /// The list in which messages of that lane wait: today one for all tenants.
    pub fn list_of(&mut self, lane: Lane) -> ListNumber {
        self.table.number(ListOf { lane, tenant: None })
    }

    /// Lists that were used for the first time since the last call: to be recorded by the next batch.
    pub fn take_new_lists(&mut self) -> Vec<(ListNumber, ListOf)> {
        self.table.take_new()
    }

    /// The lane of a list.
    pub fn lane(&self, list: ListNumber) -> Lane {
        self.table.lane(list)
    }

    /// Where a message belongs that is ready since its admission.
    pub fn fresh(&mut self, lane: Lane) -> FifoName {
        FifoName { list: self.list_of(lane), generation: self.present, kind: ListKind::Fresh }
    }

    /// Where a message belongs whose time has come; `restored`: it may have been sent before the restore.
    pub fn due(&mut self, lane: Lane, restored: bool) -> FifoName {
        let generation = if restored { self.present.before() } else { self.present };
        FifoName { list: self.list_of(lane), generation, kind: ListKind::Due }
    }

    /// Where a message that is given back unsent belongs; it is then appended there.
    pub fn returned(&mut self, lane: Lane, address: Address) -> FifoName {
        let (list, generation) = (self.list_of(lane), self.present);
        let name = |at| FifoName { list, generation, kind: ListKind::Returned(at) };
        let known = self.lists.get(&list);
        let fits =
            |name: &FifoName| known.and_then(|known| known.fifo(*name)).is_none_or(|fifo| fifo.ends_before(address));
        let name = (0..=ListKind::RETURNED_LAST).rev().map(name).find(fits).unwrap_or(name(0));
        self.change(name, |fifo| fifo.expect(address));
        name
    }

    /// Every fifo in memory, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (FifoName, &Fifo)> {
        self.lists.values().flat_map(|list| &list.fifos).map(|(name, fifo)| (*name, fifo))
    }

    /// Says what becomes of what a class had unsent when it was restored.
    pub const fn set_unsent(&mut self, class: Class, unsent: Unsent) {
        self.unsent[class.index()] = unsent;
    }

    /// Whether what stands in lists of that generation was unsent in a backup.
    pub fn is_restored(&self, generation: Generation) -> bool {
        generation < self.present
    }

    /// Whether no link may take anything from that fifo.
    pub fn is_withheld(&self, name: FifoName) -> bool {
        self.is_restored(name.generation) && !self.is_sent(self.lane(name.list).class)
    }

    /// Whether links take what a class had unsent when it was restored.
    const fn is_sent(&self, class: Class) -> bool {
        matches!(self.unsent[class.index()], Unsent::Sent)
    }

    /// With which others the ended messages of a list's fifos of that generation are counted.
    pub fn part_of(&self, list: ListNumber, generation: Generation) -> Part {
        Part { list, restored: self.is_restored(generation) }
    }

    /// The generation by which a record names that part.
    pub const fn generation_of(&self, part: Part) -> Generation {
        if part.restored { self.present.before() } else { self.present }
    }

    /// Parts of which entries were passed over before their messages were ended.
    pub fn passed_early(&self) -> impl Iterator<Item = Part> {
        self.ended.iter().filter(|(_, ended)| **ended < 0).map(|(part, _)| *part)
    }

    /// Messages of a class that were restored unsent, and neither taken nor ended since.
    pub fn restored_waiting(&self, class: Class) -> u64 {
        let waiting: u64 =
            self.lists.values().filter(|list| list.lane.class == class).map(|list| list.waiting[1]).sum();
        let ended = self.ended.iter().filter(|(part, _)| part.restored && self.lane(part.list).class == class);
        less(waiting, ended.map(|(_, ended)| ended).sum())
    }

    /// So many more entries of messages that have ended stand in that part; fewer, if it is below zero.
    pub fn add_ended(&mut self, part: Part, entries: i64) {
        let ended = self.ended.entry(part).or_default();
        *ended += entries;
        if *ended == 0 {
            self.ended.remove(&part);
        }
    }

    /// Entries of messages that have ended, by part.
    pub fn ended(&self) -> impl Iterator<Item = (Part, i64)> {
        self.ended.iter().map(|(part, entries)| (*part, *entries))
    }

    /// Of what has no entry nothing can have ended, and when nothing is to be ended no entry was passed over too early:
    /// `settled`. What stands there all the same is a remainder, and goes.
    pub fn forget_remainders(&mut self, settled: bool) {
        let lists = &self.lists;
        self.ended.retain(|part, ended| {
            let waiting = lists.get(&part.list).map_or(0, |list| list.waiting[usize::from(part.restored)]);
            !(waiting == 0 && *ended > 0 || settled && *ended < 0)
        });
    }

    /// The fifos at whose heads something may stand that has ended, and where links may look.
    pub fn perhaps_ended(&self) -> Vec<FifoName> {
        let parts = self.ended.iter().filter(|(_, entries)| **entries > 0).map(|(part, _)| *part);
        let of = |part: Part| {
            let fifos = self.lists.get(&part.list).into_iter().flat_map(|list| &list.fifos);
            fifos.filter(move |(name, fifo)| self.part_of(name.list, name.generation) == part && fifo.in_window() > 0)
        };
        parts.flat_map(of).map(|(name, _)| *name).filter(|name| !self.is_withheld(*name)).collect()
    }

    /// The message at the head of a fifo, if it is in memory.
    pub fn peek(&self, name: FifoName) -> Option<(&Segment, u16)> {
        self.lists.get(&name.list)?.fifo(name)?.peek()
    }

    /// Takes the message at the head of a fifo, if it is in memory.
    pub fn take_from(&mut self, name: FifoName) -> Option<Taken> {
        self.change(name, Fifo::take)
    }

    /// Takes the next message of a class that was restored unsent, whatever its list; none if none is in memory.
    pub fn take_restored(&mut self, class: Class) -> Option<(FifoName, Taken)> {
        let own = self.lists.values().filter(|list| list.lane.class == class && list.waiting[1] > 0);
        let mut fifos = own.flat_map(|list| &list.fifos);
        let name = fifos.find(|(name, fifo)| self.is_restored(name.generation) && fifo.in_window() > 0)?.0;
        Some((name, self.take_from(name)?))
    }

    /// Puts a fifo back as a checkpoint left it.
    pub fn restore(&mut self, name: FifoName, fifo: Fifo) {
        self.change(name, |own| *own = fifo);
    }

    /// Records new ready messages of one commit.
    pub fn append(&mut self, name: FifoName, commit: u64, messages: u32, chunks: Vec<Chunk>) {
        let share = self.share;
        self.change(name, |fifo| fifo.append(commit, messages, chunks, share));
    }

    /// What a read found, see [`Fifo::loaded`].
    pub fn loaded(&mut self, name: FifoName, chunks: Vec<Chunk>, edge: Position) -> u64 {
        self.change(name, |fifo| fifo.loaded(chunks, edge))
    }

    /// A record that a later commit appended, while replaying.
    pub fn replay_append(&mut self, name: FifoName, commit: u64, messages: u64) {
        self.change(name, |fifo| fifo.replay_append(commit, messages));
    }

    /// A head that a later commit moved, while replaying: as [`Fifo::replay_taken`].
    pub fn replay_taken(&mut self, name: FifoName, head: Position, messages: u64) -> u64 {
        self.change(name, |fifo| fifo.replay_taken(head, messages))
    }

    /// Entries of a class on any of `routes`: what a link may be told of. It passes over those that have ended.
    pub fn waiting(&self, class: Class, routes: &[RouteId]) -> u64 {
        let sent = self.is_sent(class);
        let own = routes.iter().flat_map(|route| self.of_lane(Lane { class, route: *route }));
        own.map(|list| list.waiting[0] + if sent { list.waiting[1] } else { 0 }).sum()
    }

    /// Entries of all lists, also of messages that have ended.
    pub fn entries_total(&self) -> u64 {
        self.lists.values().flat_map(|list| list.waiting).sum()
    }

    /// Messages that wait in all lists.
    pub fn depth_total(&self) -> u64 {
        less(self.entries_total(), self.ended.values().sum())
    }

    /// Messages that wait in that part, of which so many entries are left.
    pub fn depth(&self, part: Part, entries: u64) -> u64 {
        less(entries, self.ended.get(&part).copied().unwrap_or(0))
    }

    /// Takes the next message of a class from the lists of `routes`: what was restored, then what comes back first, then the
    /// oldest that is in memory.
    pub fn take(&mut self, class: Class, routes: &[RouteId]) -> Option<(FifoName, Taken)> {
        let (present, sent) = (self.present, self.is_sent(class));
        let own = routes.iter().flat_map(|route| self.of_lane(Lane { class, route: *route }));
        let (_, name) = own.filter_map(|list| list.next(present, sent)).min_by_key(|(turn, _)| *turn)?;
        Some((name, self.take_from(name)?))
    }

    /// Takes the next message of a list of whose lane no route is known; nothing of what is withheld.
    pub fn take_stray(&mut self, is_known: impl Fn(RouteId) -> bool) -> Option<(FifoName, Taken)> {
        let strays = self.lists.values().filter(|list| !is_known(list.lane.route));
        let name = strays.filter_map(|list| list.next(self.present, self.is_sent(list.lane.class))).min()?.1;
        Some((name, self.take_from(name)?))
    }

    /// The next read that a fifo needs, when everything up to and with commit `durable` is on disk.
    pub fn wants_read(&mut self, durable: u64) -> Option<(FifoName, Position)> {
        let holding = self.iter().filter(|(_, fifo)| fifo.waiting() > 0).count();
        let [least, most] = WINDOW_BYTES;
        self.share = (WINDOWS_BYTES_MAX / holding.max(1)).clamp(least, most);
        let (unsent, share, present) = (self.unsent, self.share, self.present);
        self.lists.values_mut().find_map(|list| {
            let is_held = unsent[list.lane.class.index()] == Unsent::Held;
            let mut wanting = list.fifos.iter_mut().filter(|(name, _)| !is_held || name.generation == present);
            wanting.find_map(|(name, fifo)| fifo.wants_read(durable, share).map(|from| (*name, from)))
        })
    }

    /// What the window of one fifo may hold, bytes.
    pub const fn share(&self) -> usize {
        self.share
    }

    /// Bytes that all windows hold, roughly.
    pub fn window_bytes(&self) -> usize {
        self.iter().map(|(_, fifo)| fifo.window_bytes()).sum()
    }

    /// Forgets the fifos that hold nothing; what stands on disk of them up to the last commit may be dropped once a checkpoint
    /// is durable that does not name them. Of others not in memory the next `sweep` names are given as well: what was dropped
    /// of them may have come back, or have stayed.
    pub fn retire(&mut self, sweep: usize) -> Vec<FifoName> {
        let mut gone = Vec::new();
        for list in self.lists.values_mut() {
            gone.extend(list.fifos.extract_if(.., |(_, fifo)| fifo.is_idle()).map(|(name, _)| name));
        }
        self.lists.retain(|_, list| !list.fifos.is_empty());
        for _ in 0..sweep.min(self.table.count() * (usize::from(self.present.0) + 1) * ListKind::COUNT) {
            let name = self.swept;
            self.swept = name.next(self.present);
            if self.swept.list.0 as usize >= self.table.count() {
                self.swept = FifoName::FIRST;
            }
            let is_here = self.lists.get(&name.list).is_some_and(|list| list.fifo(name).is_some());
            if !is_here && !gone.contains(&name) {
                gone.push(name);
            }
        }
        gone
    }

    /// The one place where a fifo changes: its list goes on knowing what its fifos hold.
    fn change<R>(&mut self, name: FifoName, change: impl FnOnce(&mut Fifo) -> R) -> R {
        let present = self.present;
        let list = self.lists.entry(name.list).or_insert_with(|| List {
            lane: self.table.lane(name.list),
            fifos: Vec::new(),
            waiting: [0; 2],
        });
        let fifo = list.fifo_mut(name);
        let (before, stood) = (fifo.waiting(), fifo.stands());
        let result = change(fifo);
        debug_assert_eq!(fifo.check_since(stood), Ok(()), "see the head of that file");
        let after = fifo.waiting();
        let waiting = &mut list.waiting[usize::from(name.generation < present)];
        *waiting = *waiting + after - before;
        result
    }

    /// The lists of a lane that are in memory.
    fn of_lane(&self, lane: Lane) -> impl Iterator<Item = &List> {
        self.table.of_lane(lane).filter_map(|number| self.lists.get(&number))
    }
}

/// Never below zero: of entries that a start has not found some may still be counted as ended ([`Lanes::forget_remainders`]).
fn less(entries: u64, ended: i64) -> u64 {
    entries.saturating_add_signed(ended.saturating_neg())
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
