//! Ids of the latest final receipts whose parts the open epoch no longer holds, each with the number that it came from.
//!
//! A carrier that did not hear our answer delivers a receipt again. It must not be taken for an unknown receipt, nor for one of a
//! later part that was given the same id. Bounded; the oldest id is forgotten first.

use std::collections::VecDeque;

use crate::model::prng::mix;
use crate::model::{Pieces, Tail};

/// The key of an id, and the recipient.
type Id = (u64, u64);

/// Replaces an id in the ring that is forgotten before its turn: no part has recipient 0.
const NOBODY: Id = (0, 0);

#[derive(Debug)]
pub(super) struct Answered {
    ring: VecDeque<Id>,
    /// Ids that have left the ring at its front: index + `gone` = number.
    gone: u32,
    /// Numbers of all ids in the ring; `latest`: of the newest of each key.
    each: Pieces<u32, 64>,
    latest: Pieces<u32, 64>,
    /// How many ids at the ring's end the present turn records.
    said: usize,
    ids_max: usize,
}

fn hash((key, recipient): Id) -> u64 {
    hash_of_tail(key, Tail::of(recipient))
}

fn hash_of_tail(key: u64, recipient: Tail) -> u64 {
    mix(key ^ mix(u64::from(recipient.index())))
}

impl Answered {
    pub(super) fn new(ids_max: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            gone: 0,
            each: Pieces::default(),
            latest: Pieces::default(),
            said: 0,
            ids_max: ids_max.max(1),
        }
    }

    pub(super) fn insert(&mut self, key: u64, recipient: u64) {
        match self.number((key, recipient)) {
            Some(known) => self.say(self.ring.len() - self.index(known)),
            None => self.push((key, recipient)),
        }
    }

    fn push(&mut self, id: Id) {
        if self.ring.len() >= self.ids_max {
            self.forget_oldest();
        }
        let (gone, number) = (self.gone, self.gone.wrapping_add(self.ring.len() as u32));
        self.ring.push_back(id);
        self.said += 1;
        let at = |number: &u32| self.ring[number.wrapping_sub(gone) as usize];
        self.each.insert_unique(hash(id), number, |known| hash(at(known)));
        match self.latest.find_mut(mix(id.0), |known| at(known).0 == id.0) {
            Some(known) => *known = number,
            None => self.latest.insert_unique(mix(id.0), number, |known| mix(at(known).0)),
        }
    }

    const fn index(&self, number: u32) -> usize {
        number.wrapping_sub(self.gone) as usize
    }

    fn forget_oldest(&mut self) {
        let number = self.gone;
        if let Some(id) = self.ring.pop_front() {
            self.gone = self.gone.wrapping_add(1);
            self.said = self.said.min(self.ring.len());
            self.unlist(id, number);
        }
    }

    fn unlist(&mut self, id: Id, number: u32) {
        self.each.remove(hash(id), |known| *known == number);
        self.latest.remove(mix(id.0), |known| *known == number);
    }

    fn number(&self, id: Id) -> Option<u32> {
        self.each.find(hash(id), |known| self.ring[self.index(*known)] == id).copied()
    }

    /// The part under this key to that number waits again, because its id was given again.
    pub(super) fn forget(&mut self, key: u64, recipient: u64) {
        if let Some(number) = self.number((key, recipient)) {
            self.unlist((key, recipient), number);
            let index = self.index(number);
            self.ring[index] = NOBODY;
        }
    }

    /// Like `forget`, but only if the present turn records the id as answered. Returns whether it does.
    pub(super) fn forget_said(&mut self, key: u64, recipient: u64) -> bool {
        if self.said == 0 {
            return false;
        }
        let number = self.number((key, recipient));
        let is_said = number.is_some_and(|number| self.index(number) + self.said >= self.ring.len());
        if is_said {
            self.forget(key, recipient);
        }
        is_said
    }

    /// The present turn records the newest `ids`.
    pub(super) fn say(&mut self, ids: usize) {
        self.said = self.said.max(ids).min(self.ring.len());
    }

    /// The present turn's batch is handed over.
    pub(super) fn committed(&mut self) {
        self.said = 0;
    }

    /// The newest ids, oldest first.
    pub(super) fn latest(&self, ids: usize) -> impl Iterator<Item = Id> {
        self.ring.iter().skip(self.ring.len().saturating_sub(ids)).copied().filter(|id| *id != NOBODY)
    }

    /// Whether a part's final receipt came under this key from that number.
    pub(super) fn holds(&self, key: u64, recipient: u64) -> bool {
        self.number((key, recipient)).is_some()
    }

    /// Whether a part's final receipt came under this key from a number with these last digits.
    pub(super) fn holds_tail(&self, key: u64, recipient: Tail) -> bool {
        let is_same = |known: &u32| {
            let (of, to) = self.ring[self.index(*known)];
            (of, Tail::of(to)) == (key, recipient)
        };
        !recipient.is_none() && self.each.find(hash_of_tail(key, recipient), is_same).is_some()
    }

    /// Whether a part's final receipt came under this key, from whatever number.
    pub(super) fn holds_id(&self, key: u64) -> bool {
        self.latest.find(mix(key), |known| self.ring[self.index(*known)].0 == key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(answered: &Answered, ids: usize) -> Vec<Id> {
        answered.latest(ids).collect()
    }

    #[test]
    fn forgets_the_oldest_first() {
        let mut answered = Answered::new(2);
        for key in [1, 2, 2, 3] {
            answered.insert(key, key * 10);
        }
        assert_eq!([1, 2, 3].map(|key| answered.holds(key, key * 10)), [false, true, true]);
        assert_eq!([1, 2, 3].map(|key| answered.holds_id(key)), [false, true, true]);
        assert_eq!((listed(&answered, 1), listed(&answered, 9)), (vec![(3, 30)], vec![(2, 20), (3, 30)]));
    }

    #[test]
    fn numbers_under_one_id_are_told_apart() {
        let mut answered = Answered::new(3);
        [10, 20, 30].into_iter().for_each(|number| answered.insert(1, number));
        assert_eq!([10, 30, 40].map(|number| answered.holds(1, number)), [true, true, false]);
        let tails = [10, 40, 0].map(|number| answered.holds_tail(1, Tail::of(number)));
        assert_eq!((tails, answered.holds_tail(1, Tail::of(50_000_030))), ([true, false, false], true));
        answered.insert(1, 40);
        assert_eq!([10, 20].map(|number| answered.holds(1, number)), [false, true]);
        answered.insert(2, 10);
        answered.insert(3, 10);
        assert!(answered.holds_id(1) && answered.holds(1, 40));
        answered.insert(4, 10);
        assert!(!answered.holds_id(1) && answered.each.len() == 3 && answered.latest.len() == 3);
    }

    #[test]
    fn what_waits_again_is_forgotten_and_keeps_its_place_until_its_turn() {
        let mut answered = Answered::new(3);
        [10, 20].into_iter().for_each(|number| answered.insert(1, number));
        answered.forget(1, 10);
        answered.forget(1, 99);
        assert_eq!((answered.holds(1, 10), answered.holds_id(1), listed(&answered, 9)), (false, true, vec![(1, 20)]));
        answered.forget(1, 20);
        assert!(!answered.holds_id(1));
        [1, 2, 3].into_iter().for_each(|key| answered.insert(key, 10));
        assert_eq!(listed(&answered, 9), [(1, 10), (2, 10), (3, 10)]);
        answered.insert(4, 10);
        assert!(!answered.holds(1, 10) && answered.holds(2, 10));
    }

    #[test]
    fn knows_what_the_present_turn_has_said() {
        let mut answered = Answered::new(9);
        [1, 2, 3].into_iter().for_each(|key| answered.insert(key, 10));
        answered.committed();
        assert!(!answered.forget_said(2, 10) && answered.holds(2, 10));
        answered.insert(4, 10);
        assert!(!answered.forget_said(3, 10) && answered.forget_said(4, 10) && !answered.holds(4, 10));
        answered.insert(2, 10);
        assert!(!answered.forget_said(1, 10) && answered.forget_said(2, 10));
        answered.committed();
        answered.say(9);
        assert!(answered.forget_said(1, 10) && answered.forget_said(3, 10));
    }
}
