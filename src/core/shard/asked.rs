//! Parts whose carriers send no receipts and are queried instead: their link is told of each when it is taken, and once more
//! after a restart.
//!
//! Knows ids, and which parts links have still to be told of. Does not know when a carrier is queried (its link does) or what an
//! answer leads to (`receipts.rs`).
//!
//! What is kept here is recorded in the commits of the open epoch of receipts. It is recorded once more when a restart no longer
//! reads these commits.
//!
//! Invariants:
//! 1. A link is only to be told of parts that are kept.
//! 2. At most [`Bounds::asked_max`](super::Bounds) parts are kept. One more is not queried: it ends with `no_receipt`.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{LinkId, SenderId, Sound, WALKED_MAX, Wall, holds};
use crate::store::record::{AskedNote, ReceiptsRecord};
use crate::traffic::{Bound, QueryBatch, QueryOf, Span, ToLink};

use super::turn::Turn;

/// Most parts in one message to a link.
const PER_BATCH_MAX: usize = 1_024;

/// Key and recipient, as in [`AskedNote`].
type Name = (u64, u64);

/// The parts of a shard whose carriers are queried.
#[derive(Debug, Default)]
pub(super) struct Asked {
    kept: BTreeMap<Name, AskedNote>,
    /// Parts taken in this turn, each with the link that took it.
    fresh: Vec<(LinkId, Name)>,
    /// Parts that a restart found: their link is told of them when it has a bind.
    left: BTreeSet<Name>,
}

impl Asked {
    /// How many parts are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// A carrier took a part over that link.
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

    /// The end of a part is known.
    pub(super) fn forget(&mut self, key: u64, recipient: u64) {
        if self.kept.remove(&(key, recipient)).is_some() {
            self.left.remove(&(key, recipient));
        }
    }

    /// Tells links of the parts that they took, once the batch that holds these is durable.
    pub(super) fn tell_fresh(&mut self, turn: &mut Turn) {
        let mut fresh = std::mem::take(&mut self.fresh).into_iter().peekable();
        while let Some((link, _)) = fresh.peek().copied() {
            let names = std::iter::from_fn(|| Some(fresh.next_if(|(other, _)| *other == link)?.1));
            self.tell(turn, link, &names.collect::<Vec<_>>());
        }
    }

    /// A link has a bind: it is told of its carrier's parts that a restart found.
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

    /// Takes in a commit that a start has found.
    pub(super) fn replay(&mut self, record: &ReceiptsRecord) {
        for note in &record.asked {
            let name = (note.key, note.recipient);
            self.kept.insert(name, note.clone());
            self.left.insert(name);
        }
        record.answered.iter().for_each(|(key, recipient)| self.forget(*key, *recipient));
    }

    /// Forgets parts whose wait for an answer is over.
    pub(super) fn expire(&mut self, now: Wall) {
        let Self { kept, left, .. } = self;
        kept.retain(|_, note| wall(note.until) > now);
        left.retain(|name| kept.contains_key(name));
    }

    /// Records the kept parts once more, because a restart no longer reads the commits that hold them. Parts for which `is_known`
    /// says that a restart still reads their commit are left out.
    pub(super) fn say_again(&self, said: &mut ReceiptsRecord, is_known: impl Fn(u64, u64) -> bool) {
        let again = self.kept.values().filter(|note| !is_known(note.key, note.recipient));
        said.asked.extend(again.cloned());
    }

    /// Checks the invariants; `asked_max`: how many parts may be kept.
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

    /// What a restart knows after these commits.
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
