//! Questions about many messages, answered one segment at a time: a large question waits, and urgent ones are answered
//! between two of its steps. A step reads one segment at most; the last step reads the events of all messages that were
//! found at once, because folding moves events from one record to another.
//!
//! The cost of one question is bounded here, whatever it asks for: [`Answerer::SCAN_PASSED_BYTES_MAX`],
//! [`Answerer::SCAN_FOUND_BYTES_MAX`].

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Address, Segment};
use crate::store::backend::{Reader, Space, StoreError};
use crate::store::key::Key;
use crate::store::segment;

use super::{Answerer, Found, ReadRequest, StoredMessage, damaged, stored};

/// The state of an answer.
#[derive(Debug)]
pub enum Step {
    /// The answer is complete.
    Done(Found),
    /// More has to be read: pass this to [`Answerer::advance`].
    More(Box<Walk>),
}

/// A question that is being answered.
#[derive(Debug)]
pub struct Walk {
    request: ReadRequest,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// The addresses still to be read, the last one first, each with its index in the answer.
    Messages {
        left: Vec<(Address, usize)>,
        found: Vec<Option<StoredMessage>>,
    },
    Scan {
        at: Address,
        found: Vec<StoredMessage>,
        found_bytes: usize,
        passed_bytes: usize,
    },
    Search {
        below: Option<Address>,
        found: Vec<StoredMessage>,
        found_bytes: usize,
        passed_bytes: usize,
    },
}

impl<R: Reader> Answerer<R> {
    /// Most bytes of segments that one page of records reads: bounds the time of a question, whichever tenant's
    /// messages they are.
    pub const SCAN_PASSED_BYTES_MAX: usize = 2 << 20;
    /// Most bytes of content in one page of records, unless one message alone is larger.
    pub const SCAN_FOUND_BYTES_MAX: usize = 1 << 20;

    /// Answers one question, in as many steps as it takes.
    pub fn answer(&mut self, request: ReadRequest) -> Found {
        let mut step = self.begin(request);
        loop {
            match step {
                Step::Done(found) => return found,
                Step::More(walk) => step = self.advance(walk),
            }
        }
    }

    /// Begins an answer: complete at once, or in steps.
    pub fn begin(&mut self, request: ReadRequest) -> Step {
        let way = match &request {
            ReadRequest::Messages { addresses, .. } => {
                let mut left: Vec<_> = addresses.iter().copied().zip(0..).collect();
                left.sort_unstable_by(|a, b| b.cmp(a));
                Way::Messages { left, found: vec![None; addresses.len()] }
            }
            ReadRequest::Scan { from, .. } => {
                Way::Scan { at: *from, found: Vec::new(), found_bytes: 0, passed_bytes: 0 }
            }
            ReadRequest::Search { below, .. } => {
                Way::Search { below: *below, found: Vec::new(), found_bytes: 0, passed_bytes: 0 }
            }
            ReadRequest::Ready { .. }
            | ReadRequest::Due { .. }
            | ReadRequest::Handsets { .. }
            | ReadRequest::Fold { .. }
            | ReadRequest::Expire(_)
            | ReadRequest::Probe { .. } => return Step::Done(self.answer_at_once(request)),
        };
        Step::More(Box::new(Walk { request, way }))
    }

    /// Does the next step.
    pub fn advance(&mut self, mut walk: Box<Walk>) -> Step {
        match self.step(&mut walk) {
            Ok(None) => Step::More(walk),
            Ok(Some(found)) => Step::Done(found),
            Err(error) => Step::Done(Found::Failed { request: Box::new(walk.request), error }),
        }
    }

    fn step(&mut self, walk: &mut Walk) -> Result<Option<Found>, StoreError> {
        match (&walk.request, &mut walk.way) {
            (&ReadRequest::Messages { token, events_from, .. }, Way::Messages { left, found }) => {
                self.step_messages(left, found)?;
                if !left.is_empty() {
                    return Ok(None);
                }
                let mut messages = std::mem::take(found);
                self.add_events(messages.iter_mut().flatten().collect(), events_from)?;
                Ok(Some(Found::Messages { token, messages }))
            }
            (&ReadRequest::Scan { token, events_from, .. }, Way::Scan { .. }) => {
                let Some(next) = self.step_scan(walk)? else { return Ok(None) };
                let Way::Scan { found, .. } = &mut walk.way else { return Ok(None) };
                let mut messages = std::mem::take(found);
                self.add_events(messages.iter_mut().collect(), events_from)?;
                Ok(Some(Found::Scan { token, messages, next }))
            }
            (&ReadRequest::Search { token, events_from, .. }, Way::Search { .. }) => {
                let Some(next) = self.step_search(walk)? else { return Ok(None) };
                let Way::Search { found, .. } = &mut walk.way else { return Ok(None) };
                let mut messages = std::mem::take(found);
                self.add_events(messages.iter_mut().collect(), events_from)?;
                Ok(Some(Found::Scan { token, messages, next }))
            }
            (_, Way::Messages { .. } | Way::Scan { .. } | Way::Search { .. }) => {
                unreachable!("a walk goes the way of its question")
            }
        }
    }

    /// Reads the requested messages of the next segment.
    fn step_messages(
        &mut self,
        left: &mut Vec<(Address, usize)>,
        found: &mut [Option<StoredMessage>],
    ) -> Result<(), StoreError> {
        let Some(number) = left.last().map(|(address, _)| address.segment()) else { return Ok(()) };
        let segment = self.segment(number)?;
        while let Some((address, place)) = left.pop_if(|(address, _)| address.segment() == number) {
            if let (Some(segment), Some(found)) = (&segment, found.get_mut(place)) {
                *found = stored(segment, address);
            }
        }
        Ok(())
    }

    /// Reads the next segment; at the end of the page, gives where the next page begins, or `None` inside if there is
    /// no more.
    #[allow(
        clippy::option_option,
        reason = "outside: whether the page is at its end; inside: whether that is the end of all"
    )]
    fn step_scan(&mut self, walk: &mut Walk) -> Result<Option<Option<Address>>, StoreError> {
        let ReadRequest::Scan { whose, limit, .. } = walk.request else { return Ok(Some(None)) };
        let Way::Scan { at, found, found_bytes, passed_bytes } = &mut walk.way else { return Ok(Some(None)) };
        let Some(segment) = self.segment_from(at.segment())? else { return Ok(Some(None)) };
        let from = if segment.number == at.segment() { at.slot() } else { 0 };
        let heads = segment.heads.iter().enumerate().skip(from.into());
        for (slot, head) in heads.filter(|(_, head)| whose.includes(head.tenant)) {
            let address = segment.address(slot as u16);
            if found.len() >= limit || *found_bytes >= Self::SCAN_FOUND_BYTES_MAX {
                return Ok(Some(Some(address)));
            }
            *found_bytes += head.content_len as usize;
            found.extend(stored(&segment, address));
        }
        *passed_bytes += segment.memory_bytes();
        *at = Address::new(segment.number + 1, 0);
        let is_full = found.len() >= limit || *passed_bytes >= Self::SCAN_PASSED_BYTES_MAX;
        Ok(is_full.then_some(Some(*at)))
    }

    /// Reads the next older segment; the answer is as of [`Self::step_scan`]. The search ends with a segment in which
    /// everything is older than requested, because segments are in the order of admission.
    #[allow(
        clippy::option_option,
        reason = "outside: whether the page is at its end; inside: whether that is the end of all"
    )]
    fn step_search(&mut self, walk: &mut Walk) -> Result<Option<Option<Address>>, StoreError> {
        let ReadRequest::Search { whose, to, since, first_segment, limit, .. } = walk.request else {
            return Ok(Some(None));
        };
        let Way::Search { below, found, found_bytes, passed_bytes } = &mut walk.way else { return Ok(Some(None)) };
        let Some(segment) = self.segment_below(*below)?.filter(|segment| segment.number >= first_segment) else {
            return Ok(Some(None));
        };
        let slots = match below {
            Some(below) if below.segment() == segment.number => usize::from(below.slot()),
            Some(_) | None => segment.heads.len(),
        };
        let heads = segment.heads.iter().enumerate().take(slots).rev();
        for (slot, head) in heads.filter(|(_, head)| head.to == to && whose.includes(head.tenant)) {
            if head.accepted_at < since {
                continue;
            }
            let address = segment.address(slot as u16);
            if found.len() >= limit || *found_bytes >= Self::SCAN_FOUND_BYTES_MAX {
                return Ok(Some(Some(Address::from_packed(address.packed() + 1))));
            }
            *found_bytes += head.content_len as usize;
            found.extend(stored(&segment, address));
        }
        *passed_bytes += segment.memory_bytes();
        *below = Some(Address::new(segment.number, 0));
        let is_old = !segment.heads.is_empty() && segment.heads.iter().all(|head| head.accepted_at < since);
        if is_old || segment.number <= first_segment {
            return Ok(Some(None));
        }
        let is_full = found.len() >= limit || *passed_bytes >= Self::SCAN_PASSED_BYTES_MAX;
        Ok(is_full.then_some(*below))
    }

    /// The last segment with a message before that address, or the last of all for `None`; a damaged one is replaced by
    /// one without messages. The segment is not kept in memory.
    fn segment_below(&mut self, below: Option<Address>) -> Result<Option<Arc<Segment>>, StoreError> {
        let bound = below.map_or(u64::MAX, |below| below.segment() + u64::from(below.slot() > 0));
        let Some((key, _)) = self.reader.last(Space::Segment, &Key::Segment(bound).bytes())? else { return Ok(None) };
        match Key::number(&key) {
            Some(number) => self.segment_from(number),
            None => Ok(None),
        }
    }

    /// The first segment from that number on; a damaged one is replaced by one without messages. It is not kept in
    /// memory: a reader that goes through everything needs it only once, and must not displace segments that lanes
    /// read.
    fn segment_from(&mut self, number: u64) -> Result<Option<Arc<Segment>>, StoreError> {
        if let Some(segment) = self.recent.iter().find(|segment| segment.number == number) {
            return Ok(Some(segment.clone()));
        }
        let mut found = None;
        let bounds = (Key::Segment(number).bytes(), Key::Segment(u64::MAX).bytes());
        self.reader.range(Space::Segment, &bounds.0, &bounds.1, 1, &mut |key, value| {
            let number = Key::number(key).unwrap_or(number);
            let decoded = match segment::decode(value) {
                Ok(segment) if segment.number == number => Ok(segment),
                Ok(segment) => Err(StoreError::Damaged(format!("seg {number} carries number {}", segment.number))),
                Err(error) => Err(damaged(&format!("seg {number}"), error)),
            };
            found = Some((number, decoded.map_err(|error| (error, Bytes::copy_from_slice(value)))));
            ControlFlow::Break(())
        })?;
        let Some((number, decoded)) = found else { return Ok(None) };
        let segment = decoded.unwrap_or_else(|(error, bytes)| {
            self.quarantine(number, error, Some(bytes));
            Segment { number, ..Segment::default() }
        });
        Ok(Some(Arc::new(segment)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::memory::{Drops, MemoryReader, MemoryStore};
    use super::super::super::{Backend, CommitSeq, WriteBatch};
    use super::*;
    use crate::model::{Head, Msisdn, TenantId, Wall, Whose};

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);
    const MANY: usize = 500;

    /// A store with segments from number 1 on: for each message its tenant and its length in bytes.
    fn store(segments: &[&[(TenantId, usize)]]) -> Answerer<MemoryReader> {
        let mut store = MemoryStore::new(Drops::AtOnce);
        let made = segments.iter().zip(1..).map(|(messages, number)| {
            let mut arena = Vec::new();
            let heads = messages.iter().map(|(tenant, bytes)| {
                let (content_at, content_len) = (arena.len() as u32, *bytes as u32);
                arena.resize(arena.len() + bytes, b'x');
                let to = Msisdn::from_number(491_511_000_000).unwrap_or_default();
                Head { to, tenant: *tenant, content_at, content_len, ..Head::default() }
            });
            let heads = heads.collect();
            Arc::new(Segment { number, heads, arena: Arc::new(arena), ..Segment::default() })
        });
        let batch = WriteBatch { seq: CommitSeq(1), segments: made.collect(), ..WriteBatch::default() };
        store.commit(batch.into_ops()).expect("kept");
        Answerer::new(store.reader())
    }

    fn scan(tenant: TenantId, from: Address, limit: usize) -> ReadRequest {
        ReadRequest::Scan { token: 1, whose: Whose::Of(tenant), from, limit, events_from: 1 }
    }

    /// All pages until the end, each as the addresses that it holds.
    fn pages(answerer: &mut Answerer<MemoryReader>, tenant: TenantId, limit: usize) -> Vec<Vec<Address>> {
        let (mut pages, mut from) = (Vec::new(), Address::default());
        loop {
            let Found::Scan { messages, next, .. } = answerer.answer(scan(tenant, from, limit)) else {
                panic!("another answer")
            };
            pages.push(messages.iter().map(|message| message.address).collect());
            assert!(messages.iter().all(|message| message.head.tenant == tenant));
            let Some(next) = next else { return pages };
            assert!(next > from);
            from = next;
        }
    }

    /// M1: each message of any tenant cost one question to the store.
    #[test]
    fn what_belongs_to_others_is_passed_over_in_one_question() {
        let foreign: Vec<_> = vec![(A, 10); 1_000];
        let mut answerer = store(&[&foreign, &foreign, &[(A, 1), (B, 1)], &foreign]);
        let own = vec![Address::new(3, 1)];
        assert_eq!(pages(&mut answerer, B, 1), [own.clone(), vec![]], "the first page ends where its limit is reached");
        assert_eq!(pages(&mut answerer, B, MANY), [own]);
        assert_eq!(pages(&mut answerer, TenantId(9), 1), [Vec::<Address>::new()]);
        assert_eq!(pages(&mut answerer, A, MANY).concat().len(), 3_001);
    }

    #[test]
    fn what_one_question_passes_over_is_bounded() {
        let large: &[(TenantId, usize)] = &[(A, 1 << 20)];
        let mut answerer = store(&[large; 10]);
        assert_eq!(pages(&mut answerer, B, 1), vec![Vec::<Address>::new(); 6]);
        let of_a = pages(&mut answerer, A, MANY);
        assert!(of_a.iter().all(|page| page.len() <= 4) && of_a.concat().len() == 10, "{of_a:?}");
    }

    #[test]
    fn what_one_page_holds_is_bounded() {
        let messages = vec![(B, 300 << 10); 10];
        let mut answerer = store(&[&messages]);
        let sizes: Vec<_> = pages(&mut answerer, B, MANY).iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 4, 2, 0], "what was passed over ends the third as well");
    }

    /// Messages to two recipients in turn, each segment a second later than the one before.
    fn in_time(segments: u64, messages: usize) -> Answerer<MemoryReader> {
        let mut store = MemoryStore::new(Drops::AtOnce);
        let made = (1..=segments).map(|number| {
            let heads = (0..messages).map(|slot| Head {
                to: Msisdn::from_number(491_511_000_000 + slot as u64 % 2).unwrap_or_default(),
                tenant: if slot % 4 < 2 { A } else { B },
                accepted_at: Wall(number * 1_000),
                ..Head::default()
            });
            Arc::new(Segment { number, heads: heads.collect(), ..Segment::default() })
        });
        let batch = WriteBatch { seq: CommitSeq(1), segments: made.collect(), ..WriteBatch::default() };
        store.commit(batch.into_ops()).expect("kept");
        Answerer::new(store.reader())
    }

    /// All pages of one recipient's messages.
    fn search(
        answerer: &mut Answerer<MemoryReader>,
        whose: Whose,
        since: u64,
        first: u64,
        limit: usize,
    ) -> Vec<Vec<Address>> {
        let (mut pages, mut below) = (Vec::new(), None);
        loop {
            let request = ReadRequest::Search {
                token: 1,
                whose,
                to: Msisdn::from_number(491_511_000_001).unwrap_or_default(),
                since: Wall(since),
                below,
                first_segment: first,
                limit,
                events_from: 1,
            };
            let Found::Scan { messages, next, .. } = answerer.answer(request) else { panic!("another answer") };
            pages.push(messages.iter().map(|message| message.address).collect());
            let Some(next) = next else { return pages };
            assert!(below.is_none_or(|below| next < below));
            below = Some(next);
        }
    }

    #[test]
    fn a_recipients_messages_are_found_the_newest_first() {
        let mut answerer = in_time(5, 8);
        let at = |segment: u64, slot: u16| Address::new(segment, slot);
        let of_a: Vec<Address> = (1..=5).rev().flat_map(|segment| [at(segment, 5), at(segment, 1)]).collect();
        for limit in [1, 2, 3, 7, MANY] {
            let pages = search(&mut answerer, Whose::Of(A), 0, 1, limit);
            assert!(pages.iter().all(|page| page.len() <= limit), "{limit}: {pages:?}");
            assert_eq!(pages.concat(), of_a, "{limit}");
        }
        assert_eq!(search(&mut answerer, Whose::All, 0, 1, MANY).concat().len(), 20);
        assert_eq!(search(&mut answerer, Whose::Of(A), 3_500, 1, MANY).concat(), of_a[..4], "back to a time");
        assert_eq!(search(&mut answerer, Whose::Of(A), 0, 4, MANY).concat(), of_a[..4], "back to what is kept");
        assert_eq!(search(&mut answerer, Whose::Of(TenantId(9)), 0, 1, MANY), [Vec::<Address>::new()]);
    }

    #[test]
    fn what_a_search_passes_over_is_bounded() {
        let large: &[(TenantId, usize)] = &[(A, 1 << 20)];
        let mut answerer = store(&[large; 10]);
        assert_eq!(search(&mut answerer, Whose::All, 0, 1, 1), vec![Vec::<Address>::new(); 5]);
    }

    #[test]
    fn others_are_answered_between_two_steps() {
        let mut answerer = store(&[&[(A, 1)], &[(A, 2)], &[(A, 3)]]);
        let addresses = [3, 1, 9, 2, 1].map(|segment| Address::new(segment, 0)).to_vec();
        let request = ReadRequest::Messages { token: 7, addresses, events_from: 1 };
        let mut step = answerer.begin(request);
        let mut steps = 0;
        let messages = loop {
            match step {
                Step::Done(Found::Messages { token: 7, messages }) => break messages,
                Step::Done(other) => panic!("{other:?}"),
                Step::More(walk) => {
                    assert_eq!(pages(&mut answerer, A, MANY).concat().len(), 3);
                    steps += 1;
                    step = answerer.advance(walk);
                }
            }
        };
        assert_eq!(steps, 4, "one for each segment, whether or not it is there");
        let found: Vec<_> = messages.iter().map(|found| found.as_ref().map(|found| found.content.len())).collect();
        assert_eq!(found, [Some(3), Some(1), None, Some(2), Some(1)]);
        assert!(matches!(
            answerer.answer(ReadRequest::Messages { token: 8, addresses: Vec::new(), events_from: 1 }),
            Found::Messages { token: 8, messages } if messages.is_empty()
        ));
    }
}
