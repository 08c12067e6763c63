//! Parts about which their carriers are asked, for these send no receipts: handed to the carrier's link when they are taken, and
//! once more after a start.
//!
//! Knows ids and who was told of them. Refuses to know when a carrier is asked (its link does) and what an answer leads to
//! (`receipts.rs`).
//!
//! What is kept here stands in the commits of the open epoch of receipts, and is written down once more when these are no longer
//! read by a start.
//!
//! Invariants:
//! 1. Nobody is to be told of a part that is not kept.
//! 2. At most [`Bounds::asked_max`](super::Bounds) are kept. One more is not asked about: it ends with `no_receipt`.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{LinkId, SenderId, Sound, WALKED_MAX, Wall, holds};
use crate::store::record::{AskedNote, ReceiptsRecord};
use crate::traffic::{Bound, QueryBatch, QueryOf, Span, ToLink};

use super::turn::Turn;

/// Parts that a link is told of at once.
const PER_BATCH_MAX: usize = 1_024;

/// Under which key, to which recipient, as in [`AskedNote`].
type Name = (u64, u64);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Asked {
    kept: BTreeMap<Name, AskedNote>,
    /// Taken in this turn, by whose link.
    fresh: Vec<(LinkId, Name)>,
    /// Found by a start: their link is told when it has a bind.
    left: BTreeSet<Name>,
}

impl Asked {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// A carrier took a part, by that link.
    pub(super) fn keep(&mut self, turn: &mut Turn, note: AskedNote, link: LinkId) {
        let name = (note.key, note.recipient);
        if self.kept.len() >= turn.options.bounds.asked_max && !self.kept.contains_key(&name) {
            turn.counters.queries_full += 1;
            return;
        }
        turn.gathering.batch().receipts.asked.push(note.clone());
        self.kept.insert(name, note);
        self.left.remove(&name);
        self.fresh.push((link, name));
    }

    /// Its end is known.
    pub(super) fn forget(&mut self, key: u64, recipient: u64) {
        if self.kept.remove(&(key, recipient)).is_some() {
            self.left.remove(&(key, recipient));
        }
    }

    /// Links are told of what they took, behind the batch that holds it.
    pub(super) fn tell_fresh(&mut self, turn: &mut Turn) {
        let mut fresh = std::mem::take(&mut self.fresh).into_iter().peekable();
        while let Some((link, _)) = fresh.peek().copied() {
            let names = std::iter::from_fn(|| Some(fresh.next_if(|(other, _)| *other == link)?.1));
            self.tell(turn, link, &names.collect::<Vec<_>>());
        }
    }

    /// A link has a bind: it is told of what a start found for its carrier.
    pub(super) fn handle_bound(&mut self, turn: &mut Turn, bound: Bound) {
        if !bound.is_bound || self.left.is_empty() {
            return;
        }
        let is_of = |name: &Name| self.kept.get(name).is_some_and(|note| note.carrier == bound.link.carrier.0);
        let names: Vec<_> = self.left.iter().copied().filter(is_of).collect();
        for name in &names {
            self.left.remove(name);
        }
        self.tell(turn, bound.link, &names);
    }

    fn tell(&self, turn: &mut Turn, link: LinkId, names: &[Name]) {
        for some in names.chunks(PER_BATCH_MAX) {
            let mut batch = QueryBatch { shard: turn.options.shard, ..QueryBatch::default() };
            for note in some.iter().filter_map(|name| self.kept.get(name)) {
                let id = Span::append(&mut batch.arena, &note.id);
                let sender = std::str::from_utf8(&note.sender).ok().and_then(|text| SenderId::parse(text).ok());
                batch.queries.push(QueryOf {
                    id,
                    sender: sender.unwrap_or_default(),
                    recipient: note.recipient,
                    sent_at: wall(note.sent),
                    until: wall(note.until),
                });
            }
            if !batch.queries.is_empty() {
                turn.tell_link(link, ToLink::Queries(batch));
            }
        }
    }

    /// A commit that a start has found.
    pub(super) fn replay(&mut self, record: &ReceiptsRecord) {
        for note in &record.asked {
            let name = (note.key, note.recipient);
            self.kept.insert(name, note.clone());
            self.left.insert(name);
        }
        record.answered.iter().for_each(|(key, recipient)| self.forget(*key, *recipient));
    }

    /// Nobody waits any more for what has waited until now.
    pub(super) fn expire(&mut self, now: Wall) {
        let Self { kept, left, .. } = self;
        kept.retain(|_, note| wall(note.until) > now);
        left.retain(|name| kept.contains_key(name));
    }

    /// Commits are no longer read by a start: what they say of these parts, those that `is_known` does not hold, is said again.
    pub(super) fn say_again(&self, said: &mut ReceiptsRecord, is_known: impl Fn(u64, u64) -> bool) {
        let again = self.kept.values().filter(|note| !is_known(note.key, note.recipient));
        said.asked.extend(again.cloned());
    }

    /// Whether the invariants hold, where so many may be kept.
    ///
    /// # Errors
    /// The first one that does not.
    pub(super) fn check(&self, asked_max: usize) -> Sound {
        holds!(2, self.kept.len() <= asked_max, "{} parts are asked about", self.kept.len());
        if self.left.len() <= WALKED_MAX {
            let stray = self.left.iter().find(|name| !self.kept.contains_key(name));
            holds!(1, stray.is_none(), "{stray:?} is not kept");
        }
        Ok(())
    }
}

const fn wall(seconds: u32) -> Wall {
    Wall(seconds as u64 * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(key: u64, carrier: u16, until: u32) -> AskedNote {
        AskedNote { key, recipient: 4_915_112_345_001, carrier, sent: 1, until, id: vec![1], sender: Vec::new() }
    }

    /// What a start knows after these commits.
    fn replayed(records: &[ReceiptsRecord]) -> Asked {
        let mut asked = Asked::default();
        records.iter().for_each(|record| asked.replay(record));
        assert_eq!(asked.check(1_000), Ok(()));
        asked
    }

    #[test]
    fn a_start_knows_what_was_not_answered_and_whose_time_is_not_over() {
        let first = ReceiptsRecord { asked: vec![note(1, 1, 100), note(2, 1, 100)], ..ReceiptsRecord::default() };
        let of_two = (2, note(2, 1, 0).recipient);
        let second =
            ReceiptsRecord { asked: vec![note(3, 1, 50)], answered: vec![of_two], ..ReceiptsRecord::default() };
        let mut asked = replayed(&[first, second]);
        asked.expire(Wall(50_000));
        assert_eq!(asked.kept.keys().map(|(key, _)| *key).collect::<Vec<_>>(), [1]);
        assert_eq!(asked.check(1_000), Ok(()));
        let mut said = ReceiptsRecord::default();
        asked.say_again(&mut said, |key, _| key == 1);
        assert!(said.asked.is_empty(), "its own commit is still read");
        asked.say_again(&mut said, |_, _| false);
        assert_eq!(said.asked, [note(1, 1, 100)]);
    }

    #[test]
    fn breaking_invariant_1_tells_of_what_is_not_kept() {
        let record = ReceiptsRecord { asked: vec![note(1, 1, 100)], ..ReceiptsRecord::default() };
        let mut asked = replayed(&[record]);
        asked.kept.clear();
        assert_eq!(asked.check(1_000).expect_err("a breach").number, 1);
    }

    #[test]
    fn breaking_invariant_2_keeps_what_there_is_no_room_for() {
        let two = ReceiptsRecord { asked: vec![note(1, 1, 100), note(2, 1, 100)], ..ReceiptsRecord::default() };
        assert_eq!(replayed(&[two]).check(1).expect_err("a breach").number, 2);
    }
}
