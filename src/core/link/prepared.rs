//! The messages that a link holds, and the order in which they are sent.
//!
//! Knows messages by index, classes, tenants, recipients and binds by number. Refuses to know sessions, windows and limits:
//! the caller asks for the next message whenever a bind can send one.
//!
//! The classes are in strict order up to a ceiling ([`super::ceiling`]). Within a class tenants take turns by weight, in parts
//! ([`super::shared`]); a message has had its turn when it leaves the shared ones.
//!
//! A message is in exactly one place:
//! - *shared*: in the queue of its class and tenant, in the order of handing over, for the first bind that asks; or, if it is
//!   on trial, for the bind that is kept free for trials ([`super::trial`]);
//! - *own* queue of a bind: its recipient has a message of this class in flight at that bind, or the message was thrown back
//!   there (the carrier throttled it, or the session did not write it);
//! - *begun* at a bind: some of its parts are sent, others are not;
//! - *flying*: every part is sent; the message waits for answers.
//!
//! Invariants:
//! 1. Two messages of one (recipient, class) are never at two binds at the same time (own, begun or flying).
//! 2. Of one (tenant, recipient, class), an older message leaves every place before a younger one does; a message that is
//!    thrown back is again ahead of its followers, because own and begun are ordered by age. Messages of two tenants have no
//!    order. Exception: a message on trial does not hold up other messages.
//! 3. No message starts at a bind while an older one of its (tenant, recipient, class) is begun there.
//! 4. A message is in the queue of its place, once, and in no other queue; the counters agree with the queues. A session
//!    waits only for answers to messages that are here.

use std::collections::{BTreeMap, VecDeque};

use crate::model::invariant::WALKED_MAX;
use crate::model::map::{Map, map};
use crate::model::{Class, ShardId, Sound, TenantId, holds};
use crate::traffic::{Submit, Trial};

use super::ceiling::Ceilings;
use super::in_hand::InHand;
use super::shared::{Cost, Shared};
use super::trial::GROUP_MAX;

/// Number of a message that the link holds; free for another message when this one is finished.
pub type Index = u32;

/// When so many messages of one class are begun at a bind, no further one is started there.
const BEGUN_MAX: usize = 4;

/// The place of a message; see the list in the documentation of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Shared,
    Own(u16),
    Begun(u16),
    Flying(u16),
}

impl Place {
    const fn bind(self) -> Option<u16> {
        match self {
            Self::Shared => None,
            Self::Own(bind) | Self::Begun(bind) | Self::Flying(bind) => Some(bind),
        }
    }
}

#[derive(Debug)]
struct Entry {
    in_hand: InHand,
    place: Place,
    /// Whether all its parts were under way at once since it came to its bind. Only for [`Prepared::check`].
    has_flown: bool,
}

/// A submit whose answer a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Awaited {
    /// The message.
    pub index: Index,
    /// Number of the part, from 1.
    pub part: u8,
    /// Number of the bind whose session waits.
    pub bind: u16,
}

/// The queues of one bind, by class.
#[derive(Debug, Default)]
struct Bench {
    own: [VecDeque<Index>; Class::COUNT],
    begun: [VecDeque<Index>; Class::COUNT],
    /// Whether the last part given out was of a begun message: then other messages get a turn.
    went_on: [bool; Class::COUNT],
}

/// The bind at which the messages of one (recipient, class) are, and how many they are.
#[derive(Clone, Copy, Debug)]
struct Stay {
    bind: u16,
    messages: u32,
}

/// All messages that a link holds, each in its place.
#[derive(Debug)]
pub struct Prepared {
    entries: Vec<Option<Entry>>,
    free: Vec<Index>,
    shared: [Shared; Class::COUNT],
    ceilings: Ceilings,
    /// Shared messages that are on trial, by class; they are not in `shared`.
    trials: [VecDeque<Index>; Class::COUNT],
    benches: Vec<Bench>,
    stays: Map<u64, Stay>,
    next_order: u64,
    /// Messages that are not completely sent, by class, without those on trial.
    unsent: [u32; Class::COUNT],
    /// Messages on trial that are not completely sent.
    on_trial: u32,
    in_hand: u32,
}

impl Prepared {
    /// An empty structure for this number of binds.
    pub fn new(binds: u16, hash_seed: u64) -> Self {
        let mut prepared = Self {
            entries: Vec::new(),
            free: Vec::new(),
            shared: Default::default(),
            ceilings: Ceilings::default(),
            trials: Default::default(),
            benches: Vec::new(),
            stays: map(hash_seed),
            next_order: 0,
            unsent: [0; Class::COUNT],
            on_trial: 0,
            in_hand: 0,
        };
        prepared.extend_binds(binds);
        prepared
    }

    /// The bind at which a message is; 0 if it is shared or not here.
    pub fn bind_of(&self, index: Index) -> u16 {
        self.entry(index).and_then(|entry| entry.place.bind()).unwrap_or(0)
    }

    /// Makes room for this number of binds; never fewer than before.
    pub fn extend_binds(&mut self, binds: u16) {
        let wanted = usize::from(binds).max(self.benches.len());
        self.benches.resize_with(wanted, Bench::default);
    }

    /// Takes over a message from a shard.
    pub fn insert(&mut self, shard: ShardId, submit: Submit) {
        let (class, tenant, is_on_trial) = (submit.head.class, submit.head.tenant, submit.trial.is_some());
        let in_hand = InHand::new(submit, shard, self.next_order);
        self.next_order += 1;
        self.in_hand += 1;
        *self.unsent_of(class, is_on_trial) += 1;
        let entry = Some(Entry { in_hand, place: Place::Shared, has_flown: false });
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.entries.push(None);
                (self.entries.len() - 1) as Index
            }
        };
        self.entries[index as usize] = entry;
        if is_on_trial {
            self.trials[class.index()].push_back(index);
        } else {
            self.shared[class.index()].push(tenant, index);
        }
    }

    /// The message, if there is one.
    pub fn get_mut(&mut self, index: Index) -> Option<&mut InHand> {
        self.entries.get_mut(index as usize)?.as_mut().map(|entry| &mut entry.in_hand)
    }

    /// Messages that are not completely sent, by class, without those on trial.
    pub const fn unsent(&self) -> [u32; Class::COUNT] {
        self.unsent
    }

    /// The ceilings of the classes.
    pub const fn ceilings(&self) -> &Ceilings {
        &self.ceilings
    }

    /// Changes the ceiling of the classes, per cent.
    pub fn set_ceiling(&mut self, percent: u32) {
        self.ceilings.set(percent);
    }

    /// A part of a message that [`Self::next`] gave is written. `awaited`: the classes of which more messages wait at shards.
    /// Against urgent classes only those bulk messages count that are here.
    pub fn handle_sent(&mut self, index: Index, awaited: [bool; Class::COUNT]) {
        let Some(class) = self.entry(index).map(|entry| entry.in_hand.submit.head.class) else { return };
        let counts = |of: Class| awaited[of.index()] && (of.is_urgent() || !class.is_urgent());
        let waits = Class::ALL.map(|of| self.unsent[of.index()] > 0 || counts(of));
        self.ceilings.handle_sent(class, waits);
    }

    /// Messages on trial that are not completely sent.
    pub const fn on_trial(&self) -> u32 {
        self.on_trial
    }

    /// Whether the link holds no message at all, not even a flying one.
    pub const fn is_empty(&self) -> bool {
        self.in_hand == 0
    }

    /// Takes the next message for `bind` out of its queue; the caller must then give it to [`Self::put`] or
    /// [`Self::remove`]. With `urgent_only`, bulk classes are skipped.
    pub fn next(&mut self, bind: u16, urgent_only: bool) -> Option<Index> {
        if self.unsent == [0; Class::COUNT] {
            return None;
        }
        let classes = self.ceilings.order().into_iter().filter(|class| !urgent_only || class.is_urgent());
        for class in classes {
            if let Some(index) = self.next_of(bind, class) {
                return Some(index);
            }
        }
        None
    }

    fn next_of(&mut self, bind: u16, class: Class) -> Option<Index> {
        let at = class.index();
        let bench = self.benches.get(usize::from(bind))?;
        let has_begun = !bench.begun[at].is_empty();
        let others_first = bench.went_on[at] && bench.begun[at].len() < BEGUN_MAX;
        let index = if has_begun && !others_first {
            self.go_on(bind, at)
        } else {
            self.start(bind, class).or_else(|| self.go_on(bind, at))
        }?;
        Some(index)
    }

    /// The bind to which the first message that waits for its trial must go, because other messages of its (recipient, class)
    /// are there; `None` if any bind will do.
    pub fn trial_is_bound_to(&self) -> Option<u16> {
        let first = self.trials.iter().find_map(|queue| queue.front())?;
        self.stays.get(&self.key(*first)).map(|stay| stay.bind)
    }

    /// Moves the next trial, one message or a group, to `bind`. False if no message on trial may go there.
    pub fn begin_trial(&mut self, bind: u16) -> bool {
        let mut chosen: Vec<Index> = Vec::new();
        for index in self.trials.iter().flatten() {
            let trial = self.entry(*index).and_then(|entry| entry.in_hand.submit.trial);
            let is_elsewhere = self.stays.get(&self.key(*index)).is_some_and(|stay| stay.bind != bind);
            match trial {
                _ if is_elsewhere => {}
                Some(Trial::InGroup) => chosen.push(*index),
                Some(Trial::Alone) | None if chosen.is_empty() => {
                    chosen.push(*index);
                    break;
                }
                Some(Trial::Alone) | None => {}
            }
            if chosen.len() >= GROUP_MAX {
                break;
            }
        }
        for queue in &mut self.trials {
            queue.retain(|index| !chosen.contains(index));
        }
        chosen.iter().for_each(|index| self.keep(bind, *index, Place::Own(bind)));
        !chosen.is_empty()
    }

    /// Whether a message is begun at this bind.
    pub fn is_begun_at(&self, bind: u16) -> bool {
        let bench = self.benches.get(usize::from(bind));
        bench.is_some_and(|bench| bench.begun.iter().any(|queue| !queue.is_empty()))
    }

    /// Whether a message on trial at this bind is not completely sent.
    pub fn is_on_trial_at(&self, bind: u16) -> bool {
        let bench = self.benches.get(usize::from(bind));
        bench.is_some_and(|bench| bench.own.iter().chain(&bench.begun).flatten().any(|index| self.is_on_trial(*index)))
    }

    /// As [`Self::next`], but only messages that are begun at this bind.
    pub fn next_begun(&mut self, bind: u16) -> Option<Index> {
        Class::ALL.into_iter().find_map(|class| self.go_on(bind, class.index()))
    }

    /// As [`Self::next`], but only messages on trial at this bind. The caller ensures that no other message is begun there.
    pub fn next_on_trial(&mut self, bind: u16) -> Option<Index> {
        self.next_begun(bind).or_else(|| Class::ALL.into_iter().find_map(|class| self.start_on_trial(bind, class)))
    }

    fn start_on_trial(&mut self, bind: u16, class: Class) -> Option<Index> {
        let own = &self.benches.get(usize::from(bind))?.own[class.index()];
        let at = own.iter().position(|index| self.is_on_trial(*index))?;
        self.benches.get_mut(usize::from(bind))?.own[class.index()].remove(at)
    }

    fn is_on_trial(&self, index: Index) -> bool {
        self.entry(index).is_some_and(|entry| entry.in_hand.submit.trial.is_some())
    }

    fn go_on(&mut self, bind: u16, at: usize) -> Option<Index> {
        let bench = self.benches.get_mut(usize::from(bind))?;
        bench.went_on[at] = true;
        bench.begun[at].pop_front()
    }

    /// The next message of which no part is sent, or whose sent parts were thrown back.
    fn start(&mut self, bind: u16, class: Class) -> Option<Index> {
        let at = class.index();
        let bench = self.benches.get_mut(usize::from(bind))?;
        bench.went_on[at] = false;
        if let Some(index) = bench.own[at].front().copied() {
            if self.waits_for_begun(bind, index) {
                return None;
            }
            return self.benches.get_mut(usize::from(bind))?.own[at].pop_front();
        }
        while let Some(index) = self.shared[at].pop(|index| cost_of(&self.entries, index)) {
            let key = self.key(index);
            match self.stays.get(&key).map(|stay| stay.bind) {
                Some(other) if other != bind => self.keep(other, index, Place::Own(other)),
                Some(_) if self.waits_for_begun(bind, index) => {
                    self.keep(bind, index, Place::Own(bind));
                    return None;
                }
                Some(_) | None => return Some(index),
            }
        }
        None
    }

    fn waits_for_begun(&self, bind: u16, index: Index) -> bool {
        debug_assert!(self.entry(index).is_some(), "message {index} is not here");
        let Some(entry) = self.entry(index) else { return false };
        let head = &entry.in_hand.submit.head;
        let Some(bench) = self.benches.get(usize::from(bind)) else { return false };
        bench.begun[head.class.index()]
            .iter()
            .any(|other| self.entry(*other).is_some_and(|other| other.in_hand.submit.head.to == head.to))
    }

    /// Puts a message that [`Self::next`] gave, or that was flying, in the place where it now belongs at `bind`.
    pub fn put(&mut self, bind: u16, index: Index) {
        let Some(entry) = entry_mut(&mut self.entries, index) else { return };
        let place = match entry.in_hand.next_part() {
            None => Place::Flying(bind),
            Some(_) if entry.in_hand.plan.is_some() && entry.in_hand.total() > 1 => Place::Begun(bind),
            Some(_) => Place::Own(bind),
        };
        self.keep(bind, index, place);
    }

    /// Moves a message to a place at a bind and updates the counters.
    fn keep(&mut self, bind: u16, index: Index, place: Place) {
        let key = self.key(index);
        let Some(entry) = entry_mut(&mut self.entries, index) else { return };
        let (class, order) = (entry.in_hand.submit.head.class, entry.in_hand.order);
        let trial = entry.in_hand.submit.trial.is_some();
        let was = std::mem::replace(&mut entry.place, place);
        entry.has_flown |= matches!(place, Place::Flying(_));
        if was == Place::Shared {
            self.stays.entry(key).or_insert(Stay { bind, messages: 0 }).messages += 1;
        }
        match (matches!(was, Place::Flying(_)), matches!(place, Place::Flying(_))) {
            (false, true) => *self.unsent_of(class, trial) -= 1,
            (true, false) => *self.unsent_of(class, trial) += 1,
            (true, true) | (false, false) => {}
        }
        debug_assert!(usize::from(bind) < self.benches.len(), "there is no bind {bind}");
        let Some(bench) = self.benches.get_mut(usize::from(bind)) else { return };
        bench.went_on[class.index()] |= matches!(place, Place::Begun(_));
        let queue = match place {
            Place::Own(_) => &mut bench.own[class.index()],
            Place::Begun(_) => &mut bench.begun[class.index()],
            Place::Shared | Place::Flying(_) => return,
        };
        let younger = queue.iter().rev().take_while(|other| order < order_of(&self.entries, **other)).count();
        queue.insert(queue.len() - younger, index);
    }

    /// Removes a message that is in no queue: one that [`Self::next`] gave, or a flying one.
    pub fn remove(&mut self, index: Index) -> Option<InHand> {
        let key = self.key(index);
        let entry = self.entries.get_mut(index as usize)?.take()?;
        self.free.push(index);
        self.in_hand -= 1;
        if entry.place != Place::Shared {
            self.leave(key);
        }
        if !matches!(entry.place, Place::Flying(_)) {
            let Submit { head, trial, .. } = &entry.in_hand.submit;
            *self.unsent_of(head.class, trial.is_some()) -= 1;
        }
        Some(entry.in_hand)
    }

    /// Whether every part of the message is sent.
    pub fn is_flying(&self, index: Index) -> bool {
        self.entry(index).is_some_and(|entry| matches!(entry.place, Place::Flying(_)))
    }

    /// Marks a message as flying: no part of it is left to send, it is in no queue, and it stays until all its answers came.
    pub fn fly(&mut self, index: Index) {
        if let Some(Place::Own(bind) | Place::Begun(bind)) = self.entry(index).map(|entry| entry.place) {
            self.keep(bind, index, Place::Flying(bind));
        }
    }

    /// Takes a message out of its queue; does nothing for a flying message, which is in no queue.
    pub fn pull_out(&mut self, index: Index) {
        let Some(entry) = entry_mut(&mut self.entries, index) else { return };
        let Submit { head, trial, .. } = &entry.in_hand.submit;
        let (at, tenant) = (head.class.index(), head.tenant);
        let queue = match entry.place {
            Place::Shared if trial.is_some() => Some(&mut self.trials[at]),
            Place::Shared => return self.shared[at].remove(tenant, index),
            Place::Own(bind) => self.benches.get_mut(usize::from(bind)).map(|bench| &mut bench.own[at]),
            Place::Begun(bind) => self.benches.get_mut(usize::from(bind)).map(|bench| &mut bench.begun[at]),
            Place::Flying(_) => None,
        };
        if let Some(queue) = queue {
            queue.retain(|other| *other != index);
        }
    }

    /// A bind stops sending. Messages that it has not begun become shared again. Returns the messages that it has begun, taken
    /// out of their queues; the caller must report an outcome for each of them.
    pub fn release(&mut self, bind: u16) -> Vec<Index> {
        let Some(bench) = self.benches.get_mut(usize::from(bind)) else { return Vec::new() };
        if bench.own.iter().chain(&bench.begun).all(VecDeque::is_empty) {
            return Vec::new();
        }
        let (own, begun) = (std::mem::take(&mut bench.own), std::mem::take(&mut bench.begun));
        let mut cut_off = Vec::new();
        for (at, (own, begun)) in own.into_iter().zip(begun).enumerate() {
            for index in own.into_iter().chain(begun) {
                if self.entry(index).is_some_and(|entry| !entry.in_hand.parts.is_untouched()) {
                    cut_off.push(index);
                } else {
                    self.share(at, index);
                }
            }
        }
        cut_off
    }

    /// Makes a message shared again, by age.
    fn share(&mut self, at: usize, index: Index) {
        let key = self.key(index);
        self.leave(key);
        if let Some(entry) = entry_mut(&mut self.entries, index) {
            (entry.place, entry.has_flown) = (Place::Shared, false);
        }
        let Self { entries, trials, shared, .. } = self;
        let order = order_of(entries, index);
        let is_older = |other| order_of(entries, other) < order;
        let Some(Submit { head, trial, .. }) = submit_of(entries, index) else { return };
        if trial.is_some() {
            let older = trials[at].iter().take_while(|other| is_older(**other)).count();
            trials[at].insert(older, index);
        } else {
            shared[at].insert(head.tenant, index, is_older);
        }
    }

    /// Takes every message with unsent parts out of all queues, oldest first.
    pub fn take_all_unsent(&mut self) -> Vec<Index> {
        let mut all = Vec::new();
        for at in 0..Class::COUNT {
            all.extend(self.shared[at].take_all());
            all.extend(std::mem::take(&mut self.trials[at]));
            for bench in &mut self.benches {
                all.extend(std::mem::take(&mut bench.own[at]));
                all.extend(std::mem::take(&mut bench.begun[at]));
            }
        }
        all.sort_unstable_by_key(|index| order_of(&self.entries, *index));
        all
    }

    fn leave(&mut self, key: u64) {
        let stay = self.stays.get_mut(&key);
        debug_assert!(stay.is_some(), "a message of {key} leaves a bind, but none is counted there");
        if let Some(stay) = stay {
            stay.messages -= 1;
            if stay.messages == 0 {
                self.stays.remove(&key);
            }
        }
    }

    /// How a message is on trial; `None` if it is not.
    pub fn trial_of(&self, index: Index) -> Option<Trial> {
        self.entry(index)?.in_hand.submit.trial
    }

    /// Checks the invariants, those of each message ([`Held::check`]) too. `awaited`: the submits whose answers sessions wait
    /// for.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self, mut awaited: Vec<Awaited>) -> Sound {
        if self.entries.len() > WALKED_MAX {
            return Ok(());
        }
        awaited.sort_unstable();
        for Awaited { index, part, bind } in &awaited {
            let place = self.entry(*index).map(|entry| entry.place);
            holds!(4, place.is_some(), "bind {bind} waits for part {part} of message {index}, which is not here");
            holds!(1, place.and_then(Place::bind) == Some(*bind), "sent at bind {bind}, message {index} is {place:?}");
        }
        for (index, entry) in self.all() {
            let from = awaited.partition_point(|one| one.index < index);
            let of_it = awaited[from..].iter().take_while(|one| one.index == index);
            entry.in_hand.check(&of_it.map(|one| one.part).collect::<Vec<u8>>())?;
        }
        self.ceilings.check()?;
        self.shared.iter().try_for_each(Shared::check)?;
        self.check_stays()?;
        self.check_tenants()?;
        self.check_queues()?;
        self.check_order()
    }

    fn all(&self) -> impl Iterator<Item = (Index, &Entry)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    /// Checks that each (recipient, class) is at one bind, and that the count of its messages there is right.
    fn check_stays(&self) -> Sound {
        let mut stays: BTreeMap<u64, (u16, u32)> = BTreeMap::new();
        for (index, entry) in self.all() {
            let Some(bind) = entry.place.bind() else { continue };
            let stay = stays.entry(self.key(index)).or_insert((bind, 0));
            holds!(1, stay.0 == bind, "message {index} is {:?}, another of its recipient at {}", entry.place, stay.0);
            stay.1 += 1;
        }
        holds!(4, stays.len() == self.stays.len(), "{} stays are known, there are {stays:?}", self.stays.len());
        for (key, found) in stays {
            let known = self.stays.get(&key).map(|stay| (stay.bind, stay.messages));
            holds!(4, known == Some(found), "stays of {key}: {known:?}, there are {found:?}");
        }
        Ok(())
    }

    /// Checks that shared messages are in the queues of their tenants.
    fn check_tenants(&self) -> Sound {
        for (tenant, queue) in self.shared.iter().flat_map(Shared::queues) {
            let is_its = |index: &&Index| self.entry(**index).is_some_and(|entry| tenant_of(entry) == tenant);
            let foreign = queue.iter().find(|index| !is_its(index));
            holds!(4, foreign.is_none(), "message {foreign:?} is in the queue of {tenant:?}");
        }
        Ok(())
    }

    /// Checks that every message is in the queue of its place, and that the counters are right.
    fn check_queues(&self) -> Sound {
        let mut queued = vec![0_u8; self.entries.len()];
        for (place, on_trial, at, queue) in self.queues() {
            for index in queue {
                let entry = self.entry(*index);
                let is_right = |entry: &Entry| {
                    let Submit { head, trial, .. } = &entry.in_hand.submit;
                    let is_its = place != Place::Shared || trial.is_some() == on_trial;
                    entry.place == place && head.class.index() == at && is_its
                };
                holds!(
                    4,
                    entry.is_some_and(is_right),
                    "message {index} is in the queue of {place:?}, class {at}: {entry:?}"
                );
                queued[*index as usize] += 1;
            }
        }
        let (mut unsent, mut on_trial, mut in_hand) = ([0; Class::COUNT], 0, 0);
        for (index, entry) in self.all() {
            let is_flying = matches!(entry.place, Place::Flying(_));
            let wanted = u8::from(!is_flying);
            let times = queued[index as usize];
            holds!(4, times == wanted, "message {index}, {:?}, is in {times} queues", entry.place);
            in_hand += 1;
            let Submit { head, trial, .. } = &entry.in_hand.submit;
            match (is_flying, trial.is_some()) {
                (true, _) => {}
                (false, true) => on_trial += 1,
                (false, false) => unsent[head.class.index()] += 1,
            }
        }
        let (found, counted) = ((unsent, on_trial, in_hand), (self.unsent, self.on_trial, self.in_hand));
        holds!(4, found == counted, "unsent, on trial, in_hand are {found:?}, counted as {counted:?}");
        let vacant = self.entries.len() - in_hand as usize;
        holds!(4, vacant == self.free.len(), "{vacant} places are vacant, known are {}", self.free.len());
        Ok(())
    }

    /// All queues: their place, whether they hold shared messages on trial, the index of their class.
    fn queues(&self) -> impl Iterator<Item = (Place, bool, usize, &VecDeque<Index>)> {
        let shared = self.shared.iter().enumerate();
        let shared = shared.flat_map(|(at, of)| of.queues().map(move |(_, queue)| (Place::Shared, false, at, queue)));
        let trials = self.trials.iter().enumerate().map(|(at, queue)| (Place::Shared, true, at, queue));
        let benches = (0..).zip(&self.benches).flat_map(|(bind, bench)| {
            let own = bench.own.iter().enumerate().map(move |(at, queue)| (Place::Own(bind), false, at, queue));
            let begun = bench.begun.iter().enumerate().map(move |(at, queue)| (Place::Begun(bind), false, at, queue));
            own.chain(begun)
        });
        shared.chain(trials).chain(benches)
    }

    /// Checks that older messages are ahead of younger ones.
    fn check_order(&self) -> Sound {
        for (place, .., queue) in self.queues() {
            let is_by_age = queue.iter().is_sorted_by_key(|index| order_of(&self.entries, *index));
            holds!(2, is_by_age, "{place:?} is not by age: {queue:?}");
        }
        // For each (tenant, recipient, class): the oldest shared message, and the oldest begun message that was never completely
        // sent.
        let (mut shared, mut begun) = (BTreeMap::<(TenantId, u64), u64>::new(), BTreeMap::new());
        let key = |index, in_hand: &InHand| (in_hand.submit.head.tenant, self.key(index));
        for (index, Entry { in_hand, place, has_flown }) in self.all() {
            let oldest = match place {
                Place::Shared if in_hand.submit.trial.is_none() => &mut shared,
                Place::Begun(_) if !has_flown => &mut begun,
                Place::Shared | Place::Own(_) | Place::Begun(_) | Place::Flying(_) => continue,
            };
            let order = oldest.entry(key(index, in_hand)).or_insert(in_hand.order);
            *order = in_hand.order.min(*order);
        }
        for (index, Entry { in_hand, place, .. }) in self.all() {
            let is_passed = |oldest: &BTreeMap<(TenantId, u64), u64>| {
                oldest.get(&key(index, in_hand)).is_some_and(|at| *at < in_hand.order)
            };
            let goes_on = matches!(place, Place::Own(_) | Place::Begun(_)) && in_hand.submit.trial.is_none();
            holds!(
                2,
                !(goes_on && is_passed(&shared)),
                "message {index} is {place:?}, but an older one is still shared"
            );
            let has_started = !in_hand.parts.is_untouched();
            holds!(3, !(has_started && is_passed(&begun)), "message {index} has started, an older one is begun");
        }
        Ok(())
    }

    fn entry(&self, index: Index) -> Option<&Entry> {
        self.entries.get(index as usize)?.as_ref()
    }

    /// Recipient and class in one number; a phone number has fewer than 50 bits.
    fn key(&self, index: Index) -> u64 {
        self.entry(index).map_or(0, |entry| {
            entry.in_hand.submit.head.to.number() << 2 | entry.in_hand.submit.head.class.index() as u64
        })
    }

    fn unsent_of(&mut self, class: Class, is_on_trial: bool) -> &mut u32 {
        if is_on_trial {
            return &mut self.on_trial;
        }
        &mut self.unsent[class.index()]
    }
}

/// The entry of a message that must be here: callers get indices from this file, and use none after [`Prepared::remove`].
fn entry_mut(entries: &mut [Option<Entry>], index: Index) -> Option<&mut Entry> {
    let entry = entries.get_mut(index as usize).and_then(Option::as_mut);
    debug_assert!(entry.is_some(), "message {index} is not here");
    entry
}

fn submit_of(entries: &[Option<Entry>], index: Index) -> Option<&Submit> {
    Some(&entries.get(index as usize)?.as_ref()?.in_hand.submit)
}

const fn tenant_of(entry: &Entry) -> TenantId {
    entry.in_hand.submit.head.tenant
}

/// What a message costs its tenant. Until it is planned, its parts are those that the door counted.
fn cost_of(entries: &[Option<Entry>], index: Index) -> Cost {
    let entry = entries.get(index as usize).and_then(Option::as_ref);
    let cost = |Entry { in_hand, .. }: &Entry| {
        let parts = in_hand.plan.map_or(in_hand.submit.head.parts, |plan| plan.parts());
        Cost { parts: parts.into(), weight: in_hand.submit.weight }
    };
    entry.map_or(Cost { parts: 1, weight: 1 }, cost)
}

fn order_of(entries: &[Option<Entry>], index: Index) -> u64 {
    entries.get(index as usize).and_then(Option::as_ref).map_or(u64::MAX, |entry| entry.in_hand.order)
}

#[cfg(test)]
#[path = "prepared_tests.rs"]
mod tests;
