//! Parked receipts: what carriers said of ids that nobody knew yet. Found again by the id of the response that comes later,
//! in whatever form that carrier writes it there. Bounded: another program on the same account may have any number of them.
//!
//! Invariants:
//! 1. At most one receipt is parked under one id; a final one is not replaced.
//! 2. Every alias leads to a parked receipt that has it as a candidate.
//! 3. `by_recipient` and `by_age` hold exactly the parked receipts.
//! 4. Over the bound those go first to whose numbers nothing was under way when they came; of each kind the oldest.

use std::collections::BTreeSet;

use crate::model::{Map, ReceiptState, Wall, map};
use crate::smpp::receipt_id::{Dialect, IdForm, id_key};
use crate::store::record::InboundRecord;

/// Commit and place in it: when a receipt was parked, and where it is on disk, if it is.
pub(super) type Parked = (u64, u32);

/// One of them.
#[derive(Debug)]
pub(super) struct Orphan {
    pub at: Parked,
    /// Nothing was under way to its number: it is probably another program's.
    pub is_foreign: bool,
    /// A foreign one is in memory only. If it is ours all the same, its carrier writes numbers in another form, and the
    /// response that makes its id known comes in this life of the process or never.
    pub is_on_disk: bool,
    /// Without its text, which nobody looks at any more.
    pub record: InboundRecord,
}

#[derive(Debug)]
pub(super) struct Orphans {
    /// By the key of the id as the receipt has it.
    parked: Map<u64, Orphan>,
    /// Other keys under which the response's id may stand.
    aliases: Map<u64, u64>,
    /// Number that it came from, key.
    by_recipient: BTreeSet<(u64, u64)>,
    /// Foreign ones and others, by when they were parked, with their keys.
    by_age: [BTreeSet<(Parked, u64)>; 2],
    /// Of all, and of the foreign ones.
    receipts_max: usize,
    foreign_max: usize,
}

impl Orphans {
    pub(super) fn new(hash_seed: u64, receipts_max: usize, foreign_max: usize) -> Self {
        Self {
            parked: map(hash_seed),
            aliases: map(hash_seed),
            by_recipient: BTreeSet::new(),
            by_age: [BTreeSet::new(), BTreeSet::new()],
            receipts_max,
            foreign_max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    /// Whether a receipt of that id is parked already that says more than this one.
    pub(super) fn outranks(&self, record: &InboundRecord) -> bool {
        self.parked.get(&key_of(record)).is_some_and(|known| is_final(&known.record))
    }

    /// Parks; gives the one that it replaces.
    pub(super) fn insert(&mut self, orphan: Orphan) -> Option<Orphan> {
        let key = key_of(&orphan.record);
        let older = self.remove(key);
        for alias in aliases_of(&orphan.record) {
            self.aliases.insert(alias, key);
        }
        self.by_recipient.insert((orphan.record.from, key));
        self.by_age[usize::from(!orphan.is_foreign)].insert((orphan.at, key));
        self.parked.insert(key, orphan);
        older
    }

    /// Takes out one that there is no room for.
    pub(super) fn shed(&mut self) -> Option<Orphan> {
        let [foreign, others] = &self.by_age;
        let is_over = foreign.len() > self.foreign_max || foreign.len() + others.len() > self.receipts_max;
        let (_, key) = foreign.first().or_else(|| others.first()).filter(|_| is_over)?;
        self.remove(*key)
    }

    /// The receipt of the message that was taken under an id with this key. A converted id may be another message's, so
    /// it counts only with the recipient.
    pub(super) fn take(&mut self, key: u64, recipient: u64) -> Option<Orphan> {
        // Asked for each part that was taken, and mostly none is parked.
        if self.parked.is_empty() {
            return None;
        }
        if let Some(orphan) = self.remove(key) {
            return Some(orphan);
        }
        let alias = *self.aliases.get(&key)?;
        self.parked.get(&alias).filter(|orphan| orphan.record.from == recipient)?;
        self.remove(alias)
    }

    /// Those from that number by that group since `since`, with their keys.
    pub(super) fn of(&self, from: u64, group: u16, since: Wall) -> Vec<(u64, InboundRecord)> {
        let keys = self.by_recipient.range((from, 0)..=(from, u64::MAX)).map(|(_, key)| *key);
        let found = keys.filter_map(|key| self.parked.get(&key).map(|orphan| (key, &orphan.record)));
        let wanted = found.filter(|(_, record)| record.group == group && Wall(record.wall) >= since);
        wanted.map(|(key, record)| (key, record.clone())).collect()
    }

    /// Forgets what came in before `horizon`; in the order in which it was parked.
    pub(super) fn expire(&mut self, horizon: Wall) -> Vec<Orphan> {
        let old = |(_, orphan): &(&u64, &Orphan)| Wall(orphan.record.wall) < horizon;
        let keys: Vec<u64> = self.parked.iter().filter(old).map(|(key, _)| *key).collect();
        let mut gone: Vec<Orphan> = keys.into_iter().filter_map(|key| self.remove(key)).collect();
        gone.sort_unstable_by_key(|orphan| orphan.at);
        gone
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Orphan> {
        let orphan = self.parked.remove(&key)?;
        self.by_recipient.remove(&(orphan.record.from, key));
        self.by_age[usize::from(!orphan.is_foreign)].remove(&(orphan.at, key));
        for alias in aliases_of(&orphan.record) {
            if self.aliases.get(&alias) == Some(&key) {
                self.aliases.remove(&alias);
            }
        }
        Some(orphan)
    }
}

fn key_of(record: &InboundRecord) -> u64 {
    id_key(u64::from(record.group), &record.id)
}

fn aliases_of(record: &InboundRecord) -> impl Iterator<Item = u64> {
    let candidates = Dialect::default().candidates(u64::from(record.group), &record.id);
    candidates.filter(|candidate| candidate.form != IdForm::Same).map(|candidate| candidate.key)
}

fn is_final(record: &InboundRecord) -> bool {
    record.state.and_then(ReceiptState::from_index).is_some_and(ReceiptState::is_final)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(commit: u64, id: &str, from: u64, state: u8) -> Orphan {
        let record = InboundRecord {
            wall: commit,
            group: 1,
            from,
            id: id.into(),
            state: Some(state),
            ..InboundRecord::default()
        };
        Orphan { at: (commit, 0), is_foreign: false, is_on_disk: true, record }
    }

    const DELIVERED: u8 = 2;
    const ENROUTE: u8 = 1;

    #[test]
    fn is_found_by_the_response_in_another_form_if_the_recipient_fits() {
        let mut orphans = Orphans::new(1, 9, 9);
        assert!(orphans.insert(orphan(1, "255", 77, DELIVERED)).is_none());
        let key = id_key(1, b"FF");
        assert!(orphans.take(key, 78).is_none());
        assert_eq!(orphans.take(key, 77).map(|orphan| orphan.at), Some((1, 0)));
        assert!(orphans.take(key, 77).is_none() && orphans.aliases.is_empty());
        orphans.insert(orphan(2, "255", 77, DELIVERED));
        assert_eq!(orphans.take(id_key(1, b"0255"), 0).map(|orphan| orphan.at), Some((2, 0)));
    }

    #[test]
    fn is_found_by_its_recipient() {
        let mut orphans = Orphans::new(1, 9, 9);
        for (commit, id, from) in [(1, "1", 77), (2, "2", 77), (3, "3", 78), (4, "2", 77)] {
            orphans.insert(orphan(commit, id, from, ENROUTE));
        }
        let found = |orphans: &Orphans, group, since| {
            let mut walls: Vec<_> = orphans.of(77, group, Wall(since)).iter().map(|(_, record)| record.wall).collect();
            walls.sort_unstable();
            walls
        };
        assert_eq!(
            (found(&orphans, 1, 0), found(&orphans, 1, 2), found(&orphans, 2, 0)),
            (vec![1, 4], vec![4], vec![])
        );
        let key = orphans.of(77, 1, Wall(2))[0].0;
        assert!(orphans.remove(key).is_some());
        orphans.expire(Wall(9));
        assert!(orphans.by_recipient.is_empty() && orphans.parked.is_empty());
    }

    #[test]
    fn a_final_one_stays_and_an_intermediate_one_goes() {
        let mut orphans = Orphans::new(1, 9, 9);
        orphans.insert(orphan(1, "9", 77, ENROUTE));
        let last = orphan(2, "9", 77, DELIVERED);
        assert!(!orphans.outranks(&last.record));
        assert_eq!(orphans.insert(last).map(|older| older.at), Some((1, 0)));
        assert!(orphans.outranks(&orphan(3, "9", 77, ENROUTE).record));
        let mut expired = |horizon| orphans.expire(Wall(horizon)).iter().map(|gone| gone.at).collect::<Vec<_>>();
        assert_eq!((expired(2), expired(3)), (vec![], vec![(2, 0)]));
        assert_eq!(orphans.len(), 0);
    }

    #[test]
    fn over_the_bound_foreign_ones_go_first_and_the_oldest_of_them() {
        let mut orphans = Orphans::new(1, 4, 2);
        let mut shed = Vec::new();
        for (commit, is_foreign) in [(1, false), (2, true), (3, true), (4, true), (5, false), (6, false), (7, false)] {
            orphans.insert(Orphan { is_foreign, ..orphan(commit, &commit.to_string(), 77, DELIVERED) });
            while let Some(gone) = orphans.shed() {
                shed.push(gone.at.0);
            }
        }
        assert_eq!((shed, orphans.len()), (vec![2, 3, 4], 4));
        orphans.insert(orphan(8, "8", 77, DELIVERED));
        assert_eq!((orphans.shed().map(|gone| gone.at.0), orphans.shed().is_none()), (Some(1), true));
        assert_eq!(orphans.by_age.iter().map(BTreeSet::len).sum::<usize>(), 4);
        assert_eq!((orphans.by_recipient.len(), orphans.aliases.len() <= 2 * 4), (4, true));
    }
}
