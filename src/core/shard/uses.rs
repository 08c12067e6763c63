//! What this shard has used of each counter, by the wall clock: in the checkpoint's book, and told to the home of the counters at a
//! start. While the process lives, the home knows it better.
//!
//! It does not know rules, so it keeps a bounded number of entries for each counter: where there are more, neighbours are joined
//! under the later time, the older ones first. So a use never counts for too short.

use std::collections::{BTreeMap, VecDeque};

use crate::limit::{Counter, Units};
use crate::model::Wall;

/// Most entries of a counter.
pub(super) const USES_MAX: usize = 96;
/// Uses closer together than this share an entry, ms.
const MERGED_MS: u64 = 20;
/// No limit looks further back, ms: 31 days, and the hours by which a month is longer when its zone turns the clock back.
pub(super) const KEPT_MS: u64 = 32 * 86_400_000;

/// What was used, by counter; see the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses(BTreeMap<Counter, VecDeque<(Wall, Units)>>);

impl Uses {
    /// Adds a use. One that comes after a later one counts as late as that.
    pub(super) fn add(&mut self, counter: &Counter, at: Wall, units: Units) {
        if units.is_zero() {
            return;
        }
        if !self.0.contains_key(counter) {
            self.0.insert(counter.clone(), VecDeque::new());
        }
        let Some(own) = self.0.get_mut(counter) else { return };
        match own.back_mut() {
            Some((last, known)) if at.0 < last.0 + MERGED_MS => {
                known.add(units);
                *last = at.max(*last);
            }
            Some(_) | None => own.push_back((at, units)),
        }
        if own.len() > USES_MAX {
            join(own);
        }
    }

    /// Forgets what no limit looks at any more, and counters of which nothing is left or whose rules are gone.
    pub(super) fn expire(&mut self, now: Wall, is_wanted: impl Fn(&Counter) -> bool) {
        let horizon = now.0.saturating_sub(KEPT_MS);
        self.0.retain(|counter, own| {
            while own.pop_front_if(|(at, _)| at.0 < horizon).is_some() {}
            !own.is_empty() && is_wanted(counter)
        });
    }

    pub(super) fn shift(&mut self, ms: i64) {
        for own in self.0.values_mut() {
            own.iter_mut().for_each(|(at, _)| *at = Wall(at.0.saturating_add_signed(ms)));
        }
    }

    /// All uses, by counter.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Counter, &VecDeque<(Wall, Units)>)> {
        self.0.iter()
    }
}

/// Joins two neighbours: those that together stand for the shortest time for their age.
fn join(own: &mut VecDeque<(Wall, Units)>) {
    let Some((newest, _)) = own.back().copied() else { return };
    // What an entry stands for begins after the entry before it.
    let cost = |at: &usize| {
        let ((before, _), (after, _)) = (own[at - 1], own[at + 1]);
        (after.since(before) as f64 / (newest.since(before) + 1) as f64 * 1e9) as u64
    };
    let Some(at) = (1..own.len() - 1).min_by_key(cost) else { return };
    if let Some((_, units)) = own.remove(at) {
        own[at].1.add(units);
    }
}

#[cfg(test)]
mod tests {
    use crate::limit::Value;
    use crate::model::LimitId;

    use super::*;

    #[test]
    fn uses_are_kept_bounded_and_never_too_early() {
        let counter = Counter { rule: LimitId(1), value: Value::All };
        let mut uses = Uses::default();
        for second in 0..100_000_u64 {
            uses.add(&counter, Wall(second * 1_000), Units::message(2));
        }
        let own = uses.0.get(&counter).expect("known");
        assert!(own.len() <= USES_MAX && own.iter().is_sorted_by_key(|(at, _)| *at));
        for age in [10, 100, 1_000, 10_000, 50_000] {
            let from = Wall((99_999 - age) * 1_000);
            let counted: u64 = own.iter().filter(|(at, _)| *at > from).map(|(_, units)| units.messages).sum();
            assert!(counted >= age && counted <= age + age / 5 + 2, "{counted} of {age}");
        }
        assert_eq!(own.iter().map(|(_, units)| units.parts).sum::<u64>(), 200_000);
        uses.add(&counter, Wall(5), Units::message(1));
        assert_eq!(uses.0[&counter].back().map(|(at, units)| (at.0, units.parts)), Some((99_999_000, 3)));
        uses.expire(Wall(99_999_000 + KEPT_MS), |_| true);
        assert_eq!(uses.0[&counter].len(), 1);
        uses.expire(Wall(0), |counter| counter.rule == LimitId(2));
        assert_eq!(uses, Uses::default());
    }
}
