//! All lists of a shard. A lane has one list with several fifos: messages given back unsent go before messages that
//! have become due, and these before new ones. Messages that were unsent in a restored backup are in the fifos of
//! earlier generations, which can be held back as a whole.
//!
//! Links take from a group of routes: the tenants of a class take turns (`groups.rs`), and of one tenant the oldest
//! message goes first. Nothing here walks all lists while messages are taken: what is needed of all of them is kept as a
//! sum or a set where a list changes ([`Lanes::change`]).
//!
//! Invariants:
//! 1. Messages given back unsent are taken in the order of admission, in whatever order they come back: a message that
//!    is older than the last one of a fifo goes into another fifo, and the oldest of these fifos' first messages is
//!    taken next. Only a message that fits into none of them is out of order, in the first fifo.
//! 2. Nothing is taken from a list while a message that was given back is on disk only.
//! 3. For a class whose restored messages are [`Unsent::Held`] or [`Unsent::GivenUp`], no link takes any from the fifos
//!    of earlier generations, and they are not counted as waiting; those that are held are not read ahead either.
//! 4. A message that ends while it is in a fifo keeps its entry there until the entry is passed over, but is no longer
//!    counted ([`Lanes::depth`]): the difference is one number for each list, not a note for each message. It is
//!    negative while entries are passed over whose messages have not been ended yet.
//! 5. All windows together hold about [`WINDOWS_BYTES_MAX`]: each fifo that has messages takes in up to an even share
//!    of it, but never less than a fixed minimum; a message larger than that enters an empty window.
//! 6. Memory holds the fifos that have messages, and until the next checkpoint those that have become empty. A fifo
//!    that is not in memory has nothing on disk that counts: when it is needed again it begins at the commit that needs
//!    it, and records that were dropped and have come back are before that commit.
//! 7. A list keeps the sum of its fifos' messages, so that reading it needs no walk through them. The sums by class and
//!    route, and of all lists, are those of the lists.
//! 8. A list knows what is to be taken from it next; its tenant waits in the groups of its route exactly as long as one
//!    of its lists there has something and an open gate (`gates.rs`). A fifo with a low window is among those that are read next.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::model::{
    Address, CarrierId, Class, Lane, RouteId, Segment, SetNumber, Sound, TenantId, WALKED_MAX, Wall, holds,
};

use super::fifo::{Chunk, Fifo, Position, Taken};
use super::gates::Gates;
use super::groups::{GroupNumber, Groups, Taker};
use super::list::{FifoName, Generation, ListKind, ListNumber, ListTable};

/// What happens to the messages of a class that were unsent in the backup from which this shard was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsent {
    /// Links take them like any others.
    #[default]
    Sent,
    /// They stay where they are, and are not even read.
    Held,
    /// They are read only to be given up; no link takes them.
    GivenUp,
}

/// Bytes of messages that the windows of all fifos hold together, about.
pub const WINDOWS_BYTES_MAX: usize = 32 << 20;
/// A fifo's smallest and largest share of these.
const WINDOW_BYTES: [usize; 2] = [8 << 10, 4 << 20];
/// Most fifos whose records are dropped at one checkpoint because they have become empty.
const DROPPED_MAX: usize = 32;
/// Most fifos that one search for a read, or for ended messages, looks at; the next search goes on behind them.
const LOOKED_AT_MAX: usize = 64;

/// Fifos whose ended messages are counted together: those of a list's present generation, or those of all earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The list.
    pub list: ListNumber,
    /// Whether the part is what a restored backup held unsent.
    pub restored: bool,
}

/// The order in which fifos' first messages are taken: by generation, by kind, by age.
pub(super) type Turn = (Generation, u8, Address);

/// The fifos of a list that are in memory.
#[derive(Clone, Debug)]
struct List {
    lane: Lane,
    /// Sorted by name.
    fifos: Vec<(FifoName, Fifo)>,
    /// Messages in the fifos of the present generation, and in those of all earlier ones.
    waiting: [u64; 2],
    /// The fifo from which links take next, if it has something in memory that they may take.
    next: Option<(Turn, FifoName)>,
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

    /// Finds the fifo to take from next: of the present generation or, if `sent`, of any.
    fn find_next(&self, present: Generation, sent: bool) -> Option<(Turn, FifoName)> {
        let turn = |(name, fifo): &(FifoName, Fifo)| {
            let (segment, slot) = fifo.peek()?;
            let kind = name.kind.code().saturating_sub(ListKind::RETURNED_LAST);
            Some(((name.generation, kind, segment.address(slot)), *name))
        };
        if let [only] = self.fifos.as_slice() {
            return turn(only).filter(|_| sent || only.0.generation == present);
        }
        let is_held_up = self.fifos.iter().any(|(name, fifo)| {
            let is_returned = matches!(name.kind, ListKind::Returned(_)) && name.generation == present;
            is_returned && fifo.in_window() == 0 && fifo.waiting() > 0
        });
        let may_go = |name: FifoName| if name.generation == present { !is_held_up } else { sent };
        self.fifos.iter().filter(|(name, _)| may_go(*name)).filter_map(turn).min_by_key(|(turn, _)| *turn)
    }

    fn check(&self, present: Generation, sent: bool) -> Sound {
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
            // The first fifo takes what fits into no other, so it need not be in order.
            if matches!(name.kind, ListKind::Returned(1..)) && fifo.in_window() as usize <= WALKED_MAX {
                let found = || fifo.addresses().collect::<Vec<_>>();
                holds!(1, fifo.addresses().is_sorted(), "{name:?}: {:?}", found());
                let is_last = fifo.last().is_none_or(|last| fifo.addresses().all(|address| address <= last));
                holds!(1, is_last, "{name:?}: {:?} behind {:?}", found(), fifo.last());
            }
        }
        holds!(8, self.next == self.find_next(present, sent), "{:?}: {:?} is next", self.lane, self.next);
        Ok(())
    }
}

/// All lists of a shard; see the top of this file.
#[derive(Clone, Debug)]
pub struct Lanes {
    table: ListTable,
    present: Generation,
    lists: BTreeMap<ListNumber, List>,
    groups: Groups,
    sums: Sums,
    /// The lists of messages that count on limits.
    gates: Gates,
    /// Routes of the other lists that have something next, by class and tenant.
    plain: BTreeMap<(Class, TenantId), BTreeSet<RouteId>>,
    /// By class: what happens to restored messages.
    unsent: [Unsent; Class::COUNT],
    /// By part: entries whose messages have ended, minus entries passed over whose messages have not been ended yet.
    ended: BTreeMap<Part, i64>,
    /// The sum of these.
    ended_total: i64,
    /// The part at which the next search for ended messages begins.
    ended_from: Option<Part>,
    /// Bytes that the window of one fifo may hold.
    share: usize,
    /// By class: fifos whose windows are low, and of which more is on disk.
    low: [BTreeSet<FifoName>; Class::COUNT],
    /// By class: the fifo that was read last.
    read_last: [FifoName; Class::COUNT],
    /// The next fifo not in memory whose records may be dropped again.
    swept: FifoName,
}

/// What is known of all lists together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    /// By class and route: messages of the present generation, and of all earlier ones.
    waiting: BTreeMap<(Class, RouteId), [u64; 2]>,
    /// Those of them that no link of a carrier may take, or of any, since the gate of their set is not open.
    kept: BTreeMap<(Class, RouteId, Option<CarrierId>), [u64; 2]>,
    entries: u64,
    /// Fifos that have messages.
    fifos: usize,
    /// Lists that have messages of earlier generations, by class.
    restored: BTreeSet<(Class, ListNumber)>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(Generation::default(), Vec::new())
    }
}

impl Lanes {
    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        self.table.check()?;
        self.groups.check()?;
        self.lists.values().try_for_each(|list| list.check(self.present, self.is_sent(list.lane.class)))?;
        if self.lists.len() > WALKED_MAX {
            return Ok(());
        }
        let sums = self.sum();
        holds!(7, self.sums == sums, "{sums:?}, and {:?} are counted", self.sums);
        self.check_gates()?;
        // A window that holds something is looked at when something is taken from it.
        let is_empty = |(_, fifo): &(FifoName, &Fifo)| fifo.in_window() == 0 && fifo.is_low(self.share);
        let is_noted = |name: &FifoName| self.low[self.lane(name.list).class.index()].contains(name);
        let forgotten = self.iter().filter(is_empty).map(|(name, _)| name).find(|name| !is_noted(name));
        holds!(8, forgotten.is_none(), "{forgotten:?} is low and will not be read");
        self.check_groups()
    }

    /// Checks that exactly the tenants that have something to take wait in the groups.
    fn check_groups(&self) -> Sound {
        for (group, Taker { routes, carrier }) in self.groups.iter() {
            for class in Class::ALL {
                let is_open = |list: &List| self.gates.is_open(list.lane.set, *carrier);
                let own = self.lists.values().filter(|list| list.lane.class == class && list.next.is_some());
                let own = own.filter(|list| is_open(list));
                let has: BTreeSet<TenantId> =
                    own.filter(|list| routes.contains(&list.lane.route)).map(|list| list.lane.tenant).collect();
                let wait: BTreeSet<TenantId> =
                    self.groups.turns(group, class).into_iter().flat_map(|turns| turns.iter()).collect();
                holds!(
                    8,
                    has == wait,
                    "{class:?} on {routes:?} for {carrier:?}: {has:?} have something, and {wait:?} wait"
                );
            }
        }
        Ok(())
    }

    fn sum(&self) -> Sums {
        let mut sums = Sums::default();
        for (number, list) in &self.lists {
            let Lane { class, route, set, .. } = list.lane;
            let waiting = sums.waiting.entry((class, route)).or_default();
            (waiting[0], waiting[1]) = (waiting[0] + list.waiting[0], waiting[1] + list.waiting[1]);
            for (carrier, _) in self.gates.ways(set).filter(|(_, is_open)| !is_open) {
                let kept = sums.kept.entry((class, route, carrier)).or_default();
                (kept[0], kept[1]) = (kept[0] + list.waiting[0], kept[1] + list.waiting[1]);
            }
            sums.entries += list.waiting[0] + list.waiting[1];
            sums.fifos += list.fifos.iter().filter(|(_, fifo)| fifo.waiting() > 0).count();
            if list.waiting[1] > 0 {
                sums.restored.insert((class, *number));
            }
        }
        sums.waiting.retain(|_, waiting| *waiting != [0; 2]);
        sums.kept.retain(|_, kept| *kept != [0; 2]);
        sums
    }

    /// With all lists that were ever used, by number. `present`: how often the shard was restored.
    pub fn new(present: Generation, lists: Vec<Lane>) -> Self {
        Self {
            table: ListTable::recorded(lists),
            present,
            lists: BTreeMap::new(),
            groups: Groups::default(),
            sums: Sums::default(),
            gates: Gates::default(),
            plain: BTreeMap::new(),
            unsent: [Unsent::default(); Class::COUNT],
            ended: BTreeMap::new(),
            ended_total: 0,
            ended_from: None,
            share: WINDOW_BYTES[1],
            low: Default::default(),
            read_last: [FifoName::FIRST; Class::COUNT],
            swept: FifoName::FIRST,
        }
    }

    /// Sets who takes from lists; gives the group of each.
    pub fn regroup(&mut self, takers: &[Taker]) -> Vec<GroupNumber> {
        let (numbers, has_changed) = self.groups.set(takers);
        if has_changed {
            for list in self.lists.values().filter(|list| list.next.is_some()) {
                let open = self.gates.ways(list.lane.set).filter(|(_, is_open)| *is_open);
                open.for_each(|(carrier, _)| self.groups.wait(list.lane, carrier));
            }
        }
        numbers
    }

    /// The list in which messages of that lane wait.
    pub fn list_of(&mut self, lane: Lane) -> ListNumber {
        self.table.number(lane)
    }

    /// Lists that were used for the first time since the last call: the next batch must record them.
    pub fn take_new_lists(&mut self) -> Vec<(ListNumber, Lane)> {
        self.table.take_new()
    }

    /// How many lists were ever used.
    pub const fn lists(&self) -> usize {
        self.table.count()
    }

    /// The lane of a list; its tenant is [`TenantId::SHARED`] if the list is for several.
    pub fn lane(&self, list: ListNumber) -> Lane {
        self.table.lane(list)
    }

    /// The fifo for a message that is ready since its admission.
    pub fn fresh(&mut self, lane: Lane) -> FifoName {
        FifoName { list: self.list_of(lane), generation: self.present, kind: ListKind::Fresh }
    }

    /// The fifo for a message whose time has come; `restored`: it may have been sent before the restore.
    pub fn due(&mut self, lane: Lane, restored: bool) -> FifoName {
        let generation = if restored { self.present.before() } else { self.present };
        FifoName { list: self.list_of(lane), generation, kind: ListKind::Due }
    }

    /// The fifo for a message that is given back unsent. The caller must then append it there.
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

    /// Every fifo in memory, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (FifoName, &Fifo)> {
        self.lists.values().flat_map(|list| &list.fifos).map(|(name, fifo)| (*name, fifo))
    }

    /// Sets what happens to the messages of a class that were unsent when the shard was restored.
    pub fn set_unsent(&mut self, class: Class, unsent: Unsent) {
        self.unsent[class.index()] = unsent;
        let own: Vec<_> = self.restored_lists(class).collect();
        own.into_iter().for_each(|number| self.look_again(number));
    }

    /// The lists of a class that have messages of earlier generations.
    fn restored_lists(&self, class: Class) -> impl Iterator<Item = ListNumber> {
        let edges = (class, ListNumber(0))..=(class, ListNumber(u32::MAX));
        self.sums.restored.range(edges).map(|(_, number)| *number)
    }

    /// Whether messages in lists of that generation were unsent in a backup.
    pub fn is_restored(&self, generation: Generation) -> bool {
        generation < self.present
    }

    /// Whether no link may take from that fifo.
    pub fn is_withheld(&self, name: FifoName) -> bool {
        self.is_restored(name.generation) && !self.is_sent(self.lane(name.list).class)
    }

    /// Whether links take the messages of a class that were unsent when the shard was restored.
    const fn is_sent(&self, class: Class) -> bool {
        matches!(self.unsent[class.index()], Unsent::Sent)
    }

    /// The part in which ended messages of a list's fifos of that generation are counted.
    pub fn part_of(&self, list: ListNumber, generation: Generation) -> Part {
        Part { list, restored: self.is_restored(generation) }
    }

    /// The generation that stands for that part in records.
    pub const fn generation_of(&self, part: Part) -> Generation {
        if part.restored { self.present.before() } else { self.present }
    }

    /// Parts with entries that were passed over before their messages were ended.
    pub fn passed_early(&self) -> impl Iterator<Item = Part> {
        self.ended.iter().filter(|(_, ended)| **ended < 0).map(|(part, _)| *part)
    }

    /// Messages of a class that were restored unsent and have been neither taken nor ended since.
    pub fn restored_waiting(&self, class: Class) -> u64 {
        let waiting: u64 = self.sums_of(class).map(|waiting| waiting[1]).sum();
        let ended = self.ended.iter().filter(|(part, _)| part.restored && self.lane(part.list).class == class);
        less(waiting, ended.map(|(_, ended)| ended).sum())
    }

    /// Counts entries of messages that have ended in that part; a negative number takes entries off.
    pub fn add_ended(&mut self, part: Part, entries: i64) {
        let ended = self.ended.entry(part).or_default();
        *ended += entries;
        self.ended_total += entries;
        if *ended == 0 {
            self.ended.remove(&part);
        }
    }

    /// The count of ended messages' entries, by part.
    pub fn ended(&self) -> impl Iterator<Item = (Part, i64)> {
        self.ended.iter().map(|(part, entries)| (*part, *entries))
    }

    /// Removes remainders of the count, which can be left when a start did not find some entries: a part without entries
    /// can have no ended messages; and if no message is waiting to be ended (`settled`), no entry was passed over too
    /// early.
    pub fn forget_remainders(&mut self, settled: bool) {
        let lists = &self.lists;
        self.ended.retain(|part, ended| {
            let waiting = lists.get(&part.list).map_or(0, |list| list.waiting[usize::from(part.restored)]);
            !(waiting == 0 && *ended > 0 || settled && *ended < 0)
        });
        self.ended_total = self.ended.values().sum();
    }

    /// Fifos in memory that may have ended messages at their heads, and that links may take from: those of the next
    /// [`LOOKED_AT_MAX`] parts.
    pub fn perhaps_ended(&mut self) -> Vec<FifoName> {
        if self.ended.is_empty() {
            return Vec::new();
        }
        let from = self.ended_from.unwrap_or(Part { list: ListNumber(0), restored: false });
        let parts = self.ended.range(from..).chain(self.ended.range(..from)).take(LOOKED_AT_MAX + 1);
        let mut parts: Vec<Part> = parts.map(|(part, _)| *part).collect();
        self.ended_from = if parts.len() > LOOKED_AT_MAX { parts.pop() } else { None };
        let lanes = &*self;
        let of = |part: &Part| {
            let (part, fifos) = (*part, lanes.lists.get(&part.list).into_iter().flat_map(|list| &list.fifos));
            fifos.filter(move |(name, fifo)| lanes.part_of(name.list, name.generation) == part && fifo.in_window() > 0)
        };
        let has_ended = |part: &&Part| lanes.ended.get(part).is_some_and(|entries| *entries > 0);
        let fifos = parts.iter().filter(has_ended).flat_map(of).map(|(name, _)| *name);
        fifos.filter(|name| !lanes.is_withheld(*name)).collect()
    }

    /// The message at the head of a fifo, if it is in memory.
    pub fn peek(&self, name: FifoName) -> Option<(&Segment, u16)> {
        self.fifo(name)?.peek()
    }

    fn fifo(&self, name: FifoName) -> Option<&Fifo> {
        self.lists.get(&name.list)?.fifo(name)
    }

    /// Takes the message at the head of a fifo, if it is in memory.
    pub fn take_from(&mut self, name: FifoName) -> Option<Taken> {
        self.change(name, Fifo::take)
    }

    /// Takes the next message of a class that was restored unsent, from whichever list; `None` if none is in memory.
    pub fn take_restored(&mut self, class: Class) -> Option<(FifoName, Taken)> {
        let name = {
            let own = self.restored_lists(class).filter_map(|number| self.lists.get(&number));
            let mut fifos = own.flat_map(|list| &list.fifos);
            fifos.find(|(name, fifo)| self.is_restored(name.generation) && fifo.in_window() > 0)?.0
        };
        Some((name, self.take_from(name)?))
    }

    /// Puts a fifo back as a checkpoint left it.
    pub fn recover(&mut self, name: FifoName, fifo: Fifo) {
        self.change(name, |own| *own = fifo);
    }

    /// Records new ready messages of one commit.
    pub fn append(&mut self, name: FifoName, commit: u64, messages: u32, chunks: Vec<Chunk>) {
        let share = self.share;
        self.change(name, |fifo| fifo.append(commit, messages, chunks, share));
    }

    /// Takes in what a read found, see [`Fifo::loaded`].
    pub fn loaded(&mut self, name: FifoName, chunks: Vec<Chunk>, edge: Position) -> u64 {
        self.change(name, |fifo| fifo.loaded(chunks, edge))
    }

    /// While replaying: a later commit appended a record.
    pub fn replay_append(&mut self, name: FifoName, commit: u64, messages: u64) {
        self.change(name, |fifo| fifo.replay_append(commit, messages));
    }

    /// While replaying: a later commit moved a head; as [`Fifo::replay_taken`].
    pub fn replay_taken(&mut self, name: FifoName, head: Position, messages: u64) -> u64 {
        self.change(name, |fifo| fifo.replay_taken(head, messages))
    }

    /// Entries of a class that a group may take, as a link is told. The count may include ended messages; the link's take
    /// passes over them.
    pub fn waiting(&self, class: Class, group: GroupNumber) -> u64 {
        let (sent, carrier, Sums { waiting, kept, .. }) = (self.is_sent(class), self.groups.carrier(group), &self.sums);
        let of = |sum: Option<&[u64; 2]>| sum.map_or(0, |sum| sum[0] + if sent { sum[1] } else { 0 });
        let of_route = |route: RouteId, waiting| {
            let kept_from = |carrier| of(kept.get(&(class, route, carrier)));
            let own = carrier.map_or(0, |carrier| kept_from(Some(carrier)));
            of(Some(waiting)) - kept_from(None) - own
        };
        let routes = self.groups.routes(group);
        if routes.len() < waiting.len() {
            let own = routes.iter().filter_map(|route| Some((*route, waiting.get(&(class, *route))?)));
            return own.map(|(route, waiting)| of_route(route, waiting)).sum();
        }
        // There may be hundreds of routes, and messages on few of them.
        let all = waiting.range((class, RouteId(0))..=(class, RouteId(u16::MAX)));
        let own = all.filter(|((_, route), _)| routes.binary_search(route).is_ok());
        own.map(|((_, route), waiting)| of_route(*route, waiting)).sum()
    }

    fn sums_of(&self, class: Class) -> impl Iterator<Item = [u64; 2]> {
        let edges = (class, RouteId(0))..=(class, RouteId(u16::MAX));
        self.sums.waiting.range(edges).map(|(_, waiting)| *waiting)
    }

    /// The list in which a new message of that lane would wait, if it was ever used, and how many wait there and have not ended.
    pub fn waiting_before(&self, lane: Lane) -> Option<(ListNumber, u64)> {
        let shared = Lane { tenant: TenantId::SHARED, ..lane };
        let number = self.table.known(lane).or_else(|| self.table.known(shared))?;
        Some((number, self.depth(Part { list: number, restored: false }, self.waiting_in(number))))
    }

    /// How many entries of the present generation are in a list.
    pub fn waiting_in(&self, number: ListNumber) -> u64 {
        self.lists.get(&number).map_or(0, |list| list.waiting[0])
    }

    /// Entries of all lists, including those of messages that have ended.
    pub const fn entries_total(&self) -> u64 {
        self.sums.entries
    }

    /// Messages that wait in all lists.
    pub const fn depth_total(&self) -> u64 {
        less(self.sums.entries, self.ended_total)
    }

    /// Messages that wait in that part, if it has that many entries.
    pub fn depth(&self, part: Part, entries: u64) -> u64 {
        less(entries, self.ended.get(&part).copied().unwrap_or(0))
    }

    /// Whether the next message of a class that a group takes is of a tenant that has just begun to wait.
    pub fn next_is_new(&self, class: Class, group: GroupNumber) -> bool {
        self.groups.turns(group, class).is_some_and(|turns| turns.first().is_some_and(|next| turns.is_new(next)))
    }

    /// Lanes with messages that links may take: how many, and the earliest time that `oldest` finds in their fifos. A
    /// message that was passed over and that its alarm has still to end counts too, even if its list has no entry any
    /// more.
    pub fn depths(&self, oldest: impl Fn(&Fifo) -> Option<Wall>) -> Vec<(Lane, u64, Option<Wall>)> {
        let of_list = |(number, list): (&ListNumber, &List)| {
            let is_sent = self.is_sent(list.lane.class);
            let entries = [list.waiting[0], if is_sent { list.waiting[1] } else { 0 }];
            let part = |restored| Part { list: *number, restored };
            let depth = self.depth(part(false), entries[0]) + self.depth(part(true), entries[1]);
            let own = list.fifos.iter().filter(|(name, _)| is_sent || !self.is_restored(name.generation));
            (list.lane, depth, own.filter_map(|(_, fifo)| oldest(fifo)).min())
        };
        let is_gone = |part: &Part| !self.lists.contains_key(&part.list);
        let gone = self.passed_early().filter(is_gone).map(|part| (self.lane(part.list), self.depth(part, 0), None));
        self.lists.iter().map(of_list).chain(gone).filter(|(_, depth, _)| *depth > 0).collect()
    }

    /// The next read that a fifo needs, if everything up to and with commit `durable` is on disk: of the most urgent
    /// class that needs one, and in a class one fifo after the other.
    pub fn wants_read(&mut self, durable: u64) -> Option<(FifoName, Position)> {
        for class in Class::ALL {
            let (low, last) = (&self.low[class.index()], self.read_last[class.index()]);
            let is_held = self.unsent[class.index()] == Unsent::Held;
            let order = low.range((Bound::Excluded(last), Bound::Unbounded)).chain(low.range(..=last));
            let looked_at: Vec<FifoName> = order.take(LOOKED_AT_MAX).copied().collect();
            for name in looked_at {
                self.read_last[class.index()] = name;
                if is_held && name.generation < self.present {
                    continue;
                }
                let share = self.share;
                if let Some(from) = self.change(name, |fifo| fifo.wants_read(durable, share)) {
                    return Some((name, from));
                }
            }
        }
        None
    }

    /// Bytes that the window of one fifo may hold.
    pub const fn share(&self) -> usize {
        self.share
    }

    /// Bytes of memory that all windows take, roughly.
    pub fn window_bytes(&self) -> usize {
        self.iter().map(|(_, fifo)| fifo.window_bytes()).sum()
    }

    /// Forgets the fifos that have no messages, and gives their names: their records on disk up to the last commit may
    /// be dropped once a checkpoint is durable that does not name them. Each dropping is work of its own for the store,
    /// and reads wait for it, so at most [`DROPPED_MAX`] names are given; the records of the others stay until they are
    /// swept. Gives also the next `sweep` names of fifos that are not in memory: records of these may have come back
    /// after they were dropped, or may have stayed.
    pub fn retire(&mut self, sweep: usize) -> Vec<FifoName> {
        let mut gone = Vec::new();
        for list in self.lists.values_mut() {
            gone.extend(list.fifos.extract_if(.., |(_, fifo)| fifo.is_idle()).map(|(name, _)| name));
        }
        self.lists.retain(|_, list| !list.fifos.is_empty());
        let idle: BTreeSet<FifoName> = gone.iter().copied().collect();
        gone.truncate(DROPPED_MAX);
        for _ in 0..sweep.min(self.table.count() * (usize::from(self.present.0) + 1) * ListKind::COUNT) {
            let name = self.swept;
            self.swept = name.next(self.present);
            if self.swept.list.0 as usize >= self.table.count() {
                self.swept = FifoName::FIRST;
            }
            if self.fifo(name).is_none() && !idle.contains(&name) {
                gone.push(name);
            }
        }
        gone
    }

    /// The one place where a fifo changes, so that the sums stay right.
    fn change<R>(&mut self, name: FifoName, change: impl FnOnce(&mut Fifo) -> R) -> R {
        let present = self.present;
        let list = self.lists.entry(name.list).or_insert_with(|| List {
            lane: self.table.lane(name.list),
            fifos: Vec::new(),
            waiting: [0; 2],
            next: None,
        });
        let fifo = list.fifo_mut(name);
        let (before, stood) = (fifo.waiting(), fifo.stands());
        let result = change(fifo);
        debug_assert_eq!(fifo.check_since(stood), Ok(()), "see the top of fifo.rs");
        let (after, is_low, lane) = (fifo.waiting(), fifo.is_low(self.share), list.lane);
        let low = &mut self.low[lane.class.index()];
        if is_low {
            low.insert(name);
        } else if !low.is_empty() {
            low.remove(&name);
        }
        if before != after {
            let generation = usize::from(name.generation < present);
            list.waiting[generation] = list.waiting[generation] + after - before;
            let waiting = list.waiting;
            self.count(name, lane, (before, after), waiting[1]);
            if lane.set != SetNumber::NONE {
                let after_all = waiting[0] + waiting[1];
                self.gates.count(lane.set, name.list, after_all + before - after, after_all);
            }
        }
        self.look_again(name.list);
        result
    }

    /// The messages of a fifo were `before`, and are `after`; its list has `restored` of earlier generations.
    fn count(&mut self, name: FifoName, lane: Lane, (before, after): (u64, u64), restored: u64) {
        let sums = &mut self.sums;
        sums.entries = sums.entries + after - before;
        let waiting = sums.waiting.entry((lane.class, lane.route)).or_default();
        let generation = usize::from(name.generation < self.present);
        waiting[generation] = waiting[generation] + after - before;
        if *waiting == [0; 2] {
            sums.waiting.remove(&(lane.class, lane.route));
        }
        self.count_kept(lane, generation, before, after);
        let sums = &mut self.sums;
        if generation == 1 && restored > 0 {
            sums.restored.insert((lane.class, name.list));
        } else if generation == 1 {
            sums.restored.remove(&(lane.class, name.list));
        }
        if (before == 0) != (after == 0) {
            sums.fifos = if after > 0 { sums.fifos + 1 } else { sums.fifos - 1 };
            let [least, most] = WINDOW_BYTES;
            self.share = (WINDOWS_BYTES_MAX / sums.fifos.max(1)).clamp(least, most);
        }
    }
}

/// `entries - ended`, never below zero: entries that a start did not find may still be counted as ended
/// ([`Lanes::forget_remainders`]).
const fn less(entries: u64, ended: i64) -> u64 {
    entries.saturating_add_signed(ended.saturating_neg())
}

#[path = "lanes_gates.rs"]
mod gated;

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
