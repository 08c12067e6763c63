//! Whose turn it is among those who have something to send: each gets service in proportion to its weight, and one who
//! has just begun to wait is next.
//!
//! Knows keys, weights and costs (parts). Refuses to know what is sent. This is start-time fair queueing: everyone has a
//! tag, the virtual time at which its next message begins; the lowest tag is next; a message of `n` parts moves the tag
//! of its owner forward by `n / weight`. Virtual time is the lowest tag when something was served last.
//!
//! Invariants:
//! 1. No owner saves up turns: one that begins to wait gets a tag that is not before virtual time.
//! 2. No owner gains a turn by leaving: a tag that is ahead of virtual time is kept until virtual time has reached
//!    it. No other tags of those who do not wait are kept.
//! 3. Each one that waits is in the order once, at its tag.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Sound, WALKED_MAX, holds};

/// How far one part moves the tag of an owner of weight 1.
const PART: u64 = 1 << 24;
/// When virtual time reaches this, all tags are moved back.
const REBASED_AT: u64 = 1 << 60;

/// The largest weight: the steps of tags are exact within 0.1 %.
pub const WEIGHT_MAX: u32 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    tag: u64,
    waits: bool,
    /// Nothing of it was served since it began to wait.
    is_new: bool,
}

impl Owner {
    /// Its place in the order of the owners that wait.
    const fn place<K: Copy>(&self, key: K) -> (u64, bool, K) {
        (self.tag, !self.is_new, key)
    }
}

/// The order of those who wait; see the top of this file.
#[derive(Clone, Debug)]
pub struct Turns<K> {
    /// Virtual time.
    now: u64,
    owners: BTreeMap<K, Owner>,
    /// By tag; at the same tag, those who have just begun to wait go first.
    waiting: BTreeSet<(u64, bool, K)>,
    /// Those who do not wait, and whose tags are ahead of virtual time.
    away: BTreeSet<(u64, K)>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { now: 0, owners: BTreeMap::new(), waiting: BTreeSet::new(), away: BTreeSet::new() }
    }
}

impl<K: Copy + Ord + std::fmt::Debug> Turns<K> {
    /// `key` has something to send.
    pub fn wait(&mut self, key: K) {
        let now = self.now;
        let owner = self.owners.entry(key).or_insert(Owner { tag: now, waits: false, is_new: true });
        if owner.waits {
            return;
        }
        self.away.remove(&(owner.tag, key));
        *owner = Owner { tag: owner.tag.max(now), waits: true, is_new: true };
        self.waiting.insert(owner.place(key));
    }

    /// `key` has nothing to send any more.
    pub fn leave(&mut self, key: K) {
        let Some(owner) = self.owners.get_mut(&key).filter(|owner| owner.waits) else { return };
        owner.waits = false;
        self.waiting.remove(&owner.place(key));
        if owner.tag > self.now {
            self.away.insert((owner.tag, key));
        } else {
            self.owners.remove(&key);
        }
    }

    /// Those who wait, in the order of their turns.
    pub fn iter(&self) -> impl Iterator<Item = K> + '_ {
        self.waiting.iter().map(|(_, _, key)| *key)
    }

    /// Whose turn it is.
    pub fn first(&self) -> Option<K> {
        self.waiting.first().map(|(_, _, key)| *key)
    }

    /// Whether nothing of `key` was served since it began to wait.
    pub fn is_new(&self, key: K) -> bool {
        self.owners.get(&key).is_none_or(|owner| owner.is_new)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no owner waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// `parts` of `key`, which waits, are sent.
    pub fn serve(&mut self, key: K, parts: u32, weight: u32) {
        let Some(owner) = self.owners.get_mut(&key).filter(|owner| owner.waits) else { return };
        if self.waiting.len() == 1 && self.away.is_empty() && !owner.is_new {
            // It is alone: virtual time would follow its tag. So nothing is moved, and nothing allocated, for one tenant.
            return;
        }
        // Of all that wait, not of `key`: none is behind virtual time if another is served before its turn.
        self.now = self.waiting.first().map_or(self.now, |(first, ..)| self.now.max(*first));
        self.waiting.remove(&owner.place(key));
        owner.tag += PART * u64::from(parts.max(1)) / u64::from(weight.clamp(1, WEIGHT_MAX));
        owner.is_new = false;
        self.waiting.insert(owner.place(key));
        while let Some((tag, key)) = self.away.first().copied().filter(|(tag, _)| *tag <= self.now) {
            self.away.remove(&(tag, key));
            self.owners.remove(&key);
        }
        if self.now >= REBASED_AT {
            self.rebase();
        }
    }

    /// Moves virtual time and all tags back by the same amount.
    fn rebase(&mut self) {
        let by = std::mem::take(&mut self.now);
        self.owners.values_mut().for_each(|owner| owner.tag = owner.tag.saturating_sub(by));
        let of = |waits: bool| self.owners.iter().filter(move |(_, owner)| owner.waits == waits);
        self.waiting = of(true).map(|(key, owner)| owner.place(*key)).collect();
        self.away = of(false).map(|(key, owner)| (owner.tag, *key)).collect();
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        let (waiting, away, known) = (self.waiting.len(), self.away.len(), self.owners.len());
        holds!(3, waiting + away == known, "{waiting} wait and {away} are away of {known}");
        for (key, owner) in self.owners.iter().take(WALKED_MAX) {
            let has = if owner.waits {
                self.waiting.contains(&owner.place(*key))
            } else {
                self.away.contains(&(owner.tag, *key))
            };
            holds!(3, has, "{key:?}: {owner:?}");
            holds!(1, !owner.waits || owner.tag >= self.now, "{key:?}: {owner:?} at {}", self.now);
            holds!(2, owner.waits || owner.tag > self.now, "{key:?}: {owner:?} at {}", self.now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::prng::Prng;

    /// Serves `parts` parts to those who wait, in messages of 1 to 4 parts; gives the parts of each.
    fn run(turns: &mut Turns<u32>, weight: impl Fn(u32) -> u32, parts: u64, seed: u64) -> BTreeMap<u32, u64> {
        let (mut prng, mut got, mut sum) = (Prng::new(seed), BTreeMap::new(), 0);
        while sum < parts {
            let key = turns.first().expect("some wait");
            let size = 1 + prng.below(4) as u32;
            turns.serve(key, size, weight(key));
            *got.entry(key).or_default() += u64::from(size);
            sum += u64::from(size);
        }
        assert_eq!(turns.check(), Ok(()));
        got
    }

    #[test]
    fn shares_are_right_by_weight_within_a_message() {
        let mut turns = Turns::default();
        (0..1_000).for_each(|key| turns.wait(key));
        let weight = |key: u32| [1, 10, 100][key as usize % 3];
        let got = run(&mut turns, weight, 1_000_000, 1);
        let sum: u64 = (0..1_000).map(|key| u64::from(weight(key))).sum();
        let served: u64 = got.values().sum();
        for key in 0..1_000 {
            let (has, due) = (got[&key] as f64, served as f64 * f64::from(weight(key)) / sum as f64);
            assert!((has - due).abs() <= (0.02 * due).max(4.0), "{key} of weight {}: {has} of {due}", weight(key));
        }
    }

    #[test]
    fn one_who_begins_to_wait_is_next_and_has_saved_nothing() {
        let mut turns = Turns::default();
        (0..100).for_each(|key| turns.wait(key));
        run(&mut turns, |_| 1, 10_000, 2);
        turns.wait(500);
        assert_eq!((turns.first(), turns.is_new(500)), (Some(500), true));
        turns.serve(500, 1, 1);
        assert!(!turns.is_new(500));
        let got = run(&mut turns, |_| 1, 1_010, 3);
        assert!(got[&500] <= 16, "its share is 10 parts, and it got {}", got[&500]);
    }

    #[test]
    fn one_who_leaves_and_comes_back_gains_nothing() {
        let mut turns = Turns::default();
        [1, 2].into_iter().for_each(|key| turns.wait(key));
        let mut got = [0; 3];
        for _ in 0..1_000 {
            let key = turns.first().expect("two wait");
            turns.serve(key, 1, 1);
            got[key as usize] += 1;
            if key == 2 {
                turns.leave(2);
                turns.wait(2);
            }
            assert_eq!(turns.check(), Ok(()));
        }
        assert_eq!(got, [0, 500, 500]);
    }

    #[test]
    fn one_that_is_alone_is_not_behind_when_another_comes() {
        let mut turns = Turns::default();
        turns.wait(1);
        (0..1_000).for_each(|_| turns.serve(1, 3, 1));
        assert_eq!((turns.check(), turns.now), (Ok(()), 0), "nothing moves");
        turns.wait(2);
        let got = run(&mut turns, |_| 1, 1_000, 5);
        assert!(got[&1].abs_diff(got[&2]) <= 8, "{got:?}");
    }

    #[test]
    fn memory_holds_no_owner_whose_turn_is_over() {
        let mut turns = Turns::default();
        turns.wait(0);
        for key in 1..1_000 {
            turns.wait(key);
            turns.serve(key, 3, 1);
            turns.leave(key);
            turns.serve(0, 1, 1);
        }
        (0..10).for_each(|_| turns.serve(0, 1, 1));
        assert_eq!((turns.owners.len(), turns.len()), (1, 1));
    }

    #[test]
    fn virtual_time_is_moved_back_before_it_ends() {
        let mut turns = Turns { now: REBASED_AT - 5 * PART, ..Turns::default() };
        (0..3).for_each(|key| turns.wait(key));
        turns.serve(0, 2, 1);
        turns.leave(0);
        turns.wait(0);
        assert_eq!(run(&mut turns, |_| 1, 3_000, 4).len(), 3);
        assert!(turns.now < REBASED_AT / 2, "{}", turns.now);
    }

    fn breach(change: fn(&mut Turns<u32>)) -> u8 {
        let mut turns = Turns::default();
        (0..4).for_each(|key| turns.wait(key));
        (0..4).for_each(|key| turns.serve(key, 2, 1));
        turns.serve(0, 1, 1);
        turns.leave(0);
        turns.wait(9);
        assert_eq!(turns.check(), Ok(()));
        change(&mut turns);
        turns.check().expect_err("a breach").number
    }

    #[test]
    fn breaking_invariant_1_saves_up_turns() {
        let number = breach(|turns| {
            turns.waiting.remove(&(turns.now, false, 9));
            turns.waiting.insert((0, false, 9));
            turns.owners.get_mut(&9).expect("it waits").tag = 0;
        });
        assert_eq!(number, 1);
    }

    #[test]
    fn breaking_invariant_2_keeps_a_tag_that_has_passed() {
        assert_eq!(breach(|turns| turns.now = 3 * PART), 2);
    }

    #[test]
    fn breaking_invariant_3_loses_one_who_waits() {
        assert_eq!(breach(|turns| turns.waiting.clear()), 3);
        assert_eq!(breach(|turns| turns.owners.get_mut(&1).expect("it waits").tag += 1), 3);
    }
}
