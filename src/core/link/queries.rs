//! The schedule of queries to a carrier that sends no receipts: about which messages, when next, and how fast.
//!
//! Knows ids, times and one limit ([`SlidingLimit`]: never more in a second than agreed). Refuses to know sessions, PDUs and
//! answers: `asking.rs` takes the due messages from here and sends the queries.
//!
//! The first query about a message is due when it has been with the carrier for `first_ms`. Each further query is due when the
//! time since sending has doubled, but after an hour at most: at 1, 2, 4, 8 ... minutes. So after a restart the schedule
//! continues where it was, as the time of sending is known. After [`Query::until`] there are no more queries.
//!
//! Invariants:
//! 1. Each kept message either waits for its time or is out (a query is under way). Those that wait are in `due` once, and
//!    nothing else is.
//! 2. At most [`QUERIES_MAX`] messages are kept; a message beyond that is not asked about.

use std::collections::BTreeSet;

use crate::limit::SlidingLimit;
use crate::model::{Mono, SenderId, ShardId, Sound, WALKED_MAX, holds};

/// Maximum number of messages of one link that are asked about.
pub const QUERIES_MAX: usize = 1 << 18;

/// Longest pause between two queries about a message, ms.
pub const GAP_MAX_MS: u64 = 3_600_000;

/// Messages past their time are dropped when they are met; at most so many in one call.
const PASSED_OVER_MAX: usize = 256;

/// How fast and how soon a carrier is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryOptions {
    /// Queries in any sliding second, all binds together; independent of the rate of parts. 0 is taken as 1.
    pub rate_per_s: u32,
    /// How long a message is with the carrier before the first query, ms. 0 is taken as 1.
    pub first_ms: u64,
}

/// A message that its carrier is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The shard that owns the message.
    pub shard: ShardId,
    /// Phone number of the recipient.
    pub recipient: u64,
    /// The sender; empty: the carrier's default sender.
    pub sender: SenderId,
    /// The carrier's message id, as in its `submit_sm_resp`.
    pub id: Box<[u8]>,
    /// No query is sent at or after this time.
    pub until: Mono,
}

#[derive(Debug)]
struct Kept {
    query: Query,
    /// When the next query is due; `None`: a query is under way.
    due: Option<Mono>,
    /// How long the message has been with the carrier at `due`, or at the time of the query under way, ms.
    age_ms: u64,
}

/// What the caller is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send a query about this message; it counts as out from now on.
    Ask(u32),
    /// Nothing before that time; `None`: nothing until another call changes the schedule.
    At(Option<Mono>),
}

/// The schedule of one link's queries. Lives on the link's core.
#[derive(Debug, Default)]
pub struct Queries {
    options: Option<QueryOptions>,
    limit: Option<SlidingLimit>,
    kept: Vec<Option<Kept>>,
    free: Vec<u32>,
    due: BTreeSet<(Mono, u32)>,
}

impl Queries {
    /// An empty schedule; with `None`, no queries are sent.
    pub fn new(options: Option<QueryOptions>) -> Self {
        let mut queries = Self::default();
        queries.configure(options);
        queries
    }

    /// Changes the options. With `None`, all messages are forgotten.
    pub fn configure(&mut self, options: Option<QueryOptions>) {
        match (&mut self.limit, options) {
            (_, None) => *self = Self::default(),
            (Some(limit), Some(options)) => limit.set_rate(options.rate_per_s.max(1)),
            (limit, Some(options)) => *limit = Some(SlidingLimit::new(options.rate_per_s.max(1))),
        }
        self.options = options;
    }

    /// Number of messages that are asked about.
    pub fn len(&self) -> usize {
        self.kept.len() - self.free.len()
    }

    /// Whether no message is asked about.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a message that has been with the carrier for `age_ms`. False: there is no room, or this carrier is not asked.
    pub fn insert(&mut self, query: Query, age_ms: u64, now: Mono) -> bool {
        let Some(options) = self.options.filter(|_| self.len() < QUERIES_MAX) else { return false };
        let first_ms = options.first_ms.max(1);
        let due = now.after_ms(first_ms.saturating_sub(age_ms));
        let kept = Some(Kept { query, due: Some(due), age_ms: age_ms.max(first_ms) });
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.kept.push(None);
                (self.kept.len() - 1) as u32
            }
        };
        if let Some(place) = self.kept.get_mut(at as usize) {
            *place = kept;
            self.due.insert((due, at));
        }
        true
    }

    /// The next message to ask about, if the limit permits a query now.
    pub fn next(&mut self, now: Mono) -> Next {
        for _ in 0..PASSED_OVER_MAX {
            let Some(&(due, at)) = self.due.first() else { return Next::At(None) };
            if due > now {
                return Next::At(Some(due));
            }
            if self.get(at).is_none_or(|query| query.until <= now) {
                self.take(at);
                continue;
            }
            let Some(limit) = &mut self.limit else { return Next::At(None) };
            if !limit.take(1, now) {
                return Next::At(Some(limit.next_at(now)));
            }
            self.due.pop_first();
            if let Some(kept) = self.kept.get_mut(at as usize).and_then(Option::as_mut) {
                kept.due = None;
            }
            return Next::Ask(at);
        }
        Next::At(Some(now))
    }

    /// The message with this number.
    pub fn get(&self, at: u32) -> Option<&Query> {
        self.kept.get(at as usize)?.as_ref().map(|kept| &kept.query)
    }

    /// Removes a message: no more queries about it.
    pub fn take(&mut self, at: u32) -> Option<Query> {
        let kept = self.kept.get_mut(at as usize)?.take()?;
        if let Some(due) = kept.due {
            self.due.remove(&(due, at));
        }
        self.free.push(at);
        Some(kept.query)
    }

    /// The query about a message that was out brought no final state: schedules the next one, or drops the message if that would
    /// be too late.
    pub fn put_back(&mut self, at: u32, now: Mono) {
        let first_ms = self.options.map_or(1, |options| options.first_ms.max(1));
        let Some(kept) = self.kept.get_mut(at as usize).and_then(Option::as_mut) else { return };
        debug_assert!(kept.due.is_none(), "{at} was not out");
        let gap_ms = kept.age_ms.clamp(first_ms.min(GAP_MAX_MS), GAP_MAX_MS);
        let due = now.after_ms(gap_ms);
        if due >= kept.query.until {
            self.take(at);
            return;
        }
        kept.age_ms = kept.age_ms.saturating_add(gap_ms);
        kept.due = Some(due);
        self.due.insert((due, at));
    }

    /// Checks the invariants.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check(&self) -> Sound {
        let kept = self.len();
        holds!(2, kept <= QUERIES_MAX, "{kept} are asked about");
        if let Some(limit) = &self.limit {
            limit.check()?;
        }
        if self.kept.len() > WALKED_MAX {
            return Ok(());
        }
        let waits: BTreeSet<(Mono, u32)> =
            (0..).zip(&self.kept).filter_map(|(at, kept)| Some((kept.as_ref()?.due?, at))).collect();
        holds!(1, waits == self.due, "{waits:?} wait, but {:?} are in `due`", self.due);
        let free = self.kept.iter().filter(|kept| kept.is_none()).count();
        holds!(1, free == self.free.len(), "{free} places are free, known are {}", self.free.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(1_000_000_000_000);
    const MINUTE_MS: u64 = 60_000;

    fn query(id: &[u8], until: Mono) -> Query {
        Query { shard: ShardId(0), recipient: 4_915_112_345_001, sender: SenderId::default(), id: id.into(), until }
    }

    fn queries(rate_per_s: u32) -> Queries {
        Queries::new(Some(QueryOptions { rate_per_s, first_ms: MINUTE_MS }))
    }

    /// The minutes at which a message is asked about whose queries bring no final state. `age`: its age at the start, minutes.
    fn asked_at(age: u64, minutes: u64) -> Vec<u64> {
        let (mut queries, mut now, mut asked) = (queries(10), START, Vec::new());
        let end = now.after_ms(minutes * MINUTE_MS);
        assert!(queries.insert(query(b"1", end), age * MINUTE_MS, now));
        loop {
            match queries.next(now) {
                Next::Ask(at) => {
                    asked.push(age + now.since(START) / 1_000_000 / MINUTE_MS);
                    assert_eq!(queries.check(), Ok(()));
                    queries.put_back(at, now);
                }
                Next::At(Some(due)) => now = due,
                Next::At(None) => break,
            }
            assert_eq!(queries.check(), Ok(()));
        }
        assert!(queries.is_empty(), "its time is over");
        asked
    }

    #[test]
    fn one_without_an_answer_is_asked_about_ever_more_seldom_until_its_time_is_over() {
        assert_eq!(asked_at(0, 300), [1, 2, 4, 8, 16, 32, 64, 124, 184, 244]);
        assert_eq!(asked_at(3, 60), [3, 6, 12, 24, 48], "after a start");
        assert_eq!(asked_at(0, 1), [] as [u64; 0]);
    }

    #[test]
    fn no_more_are_asked_in_a_second_than_agreed_and_the_oldest_first() {
        let mut queries = queries(3);
        let ids: Vec<_> = (0..8_u8).map(|id| [id]).collect();
        let until = START.after_ms(100 * MINUTE_MS);
        for (id, at) in ids.iter().zip(0..) {
            assert!(queries.insert(query(id, until), 0, START.after_ns(at)));
        }
        let (mut now, mut asked) = (START.after_ms(2 * MINUTE_MS), Vec::new());
        while asked.len() < ids.len() {
            match queries.next(now) {
                Next::Ask(at) => asked.push((now, queries.take(at).expect("kept").id[0])),
                Next::At(at) => now = at.expect("some wait"),
            }
        }
        assert!(asked.iter().map(|(_, id)| *id).eq(0..8));
        assert!(asked.windows(4).all(|four| four[3].0.since(four[0].0) >= 1_000_000_000), "{asked:?}");
    }

    #[test]
    fn who_is_not_asked_any_more_is_forgotten() {
        let mut queries = queries(1);
        assert!(queries.insert(query(b"1", START.after_ms(1_000_000)), 0, START));
        queries.configure(None);
        assert!(queries.is_empty() && queries.next(START.after_ms(900_000)) == Next::At(None));
        assert!(!queries.insert(query(b"1", START.after_ms(1_000_000)), 0, START));
    }

    #[test]
    fn breaking_invariant_1_loses_one_or_asks_twice() {
        let two = || {
            let mut queries = queries(1);
            assert!([b"1", b"2"].iter().all(|id| queries.insert(query(*id, START.after_ms(9_000_000)), 0, START)));
            assert_eq!(queries.check(), Ok(()));
            queries
        };
        let broken = |queries: &Queries| queries.check().expect_err("a breach").number;
        let mut lost = two();
        lost.due.pop_first();
        assert_eq!(broken(&lost), 1, "it is never asked about");
        let mut freed = two();
        freed.free.push(0);
        assert_eq!(broken(&freed), 1, "its place goes to another");
        let mut twice = two();
        let Next::Ask(at) = twice.next(START.after_ms(MINUTE_MS)) else { panic!("none is due") };
        twice.due.insert((START, at));
        assert_eq!(broken(&twice), 1, "it is out, and asked about again");
    }

    #[test]
    fn breaking_invariant_2_keeps_what_there_is_no_room_for() {
        let mut queries = queries(1);
        let until = START.after_ms(9_000_000);
        assert!((0..QUERIES_MAX).all(|_| queries.insert(query(b"1", until), 0, START)));
        assert_eq!((queries.insert(query(b"1", until), 0, START), queries.check()), (false, Ok(())));
        queries.kept.push(Some(Kept { query: query(b"1", until), due: Some(START), age_ms: 0 }));
        assert_eq!(queries.check().expect_err("a breach").number, 2);
    }
}
