//! Folding: the events since the checkpoint, which are stored by commit, become one state record per segment; and which
//! segments retention allows to drop. Runs on the reader thread; its result goes into an ordinary commit together with
//! the checkpoint.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::delivery::{Retention, retention};
use crate::model::{Address, Segment, TenantId, Wall};

use super::backend::{Op, Reader, Space, StoreError};
use super::key::Key;
use super::reader::events_of;
use super::record::{StateRecord, StatedEvent, TurnRecord, decode, encode};
use super::trim::trim;

/// The result of folding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The state records, as changes to commit.
    pub ops: Vec<Op>,
    /// By segment number, ascending: how many of its messages are not settled.
    pub unsettled: Vec<(u64, u32)>,
    /// Readers that have not read all messages that may be dropped, and how many they missed.
    pub unread: Vec<(ReaderAt, u64)>,
}

/// How far a reader has read the records of a tenant in this store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReaderAt {
    /// The tenant whose messages it reads.
    pub tenant: TenantId,
    /// The reader's name, for messages to people.
    pub name: String,
    /// It has read everything before this address.
    pub at: Address,
}

/// Counts the messages that readers have not read, in segments that are dropped.
#[derive(Debug)]
pub struct UnreadCount<'a>(Vec<(&'a ReaderAt, u64)>);

impl<'a> UnreadCount<'a> {
    /// A count for these readers.
    pub fn of(readers: &'a [ReaderAt]) -> Self {
        Self(readers.iter().map(|reader| (reader, 0)).collect())
    }

    /// Counts a segment that is dropped.
    pub fn dropped(&mut self, segment: &Segment) {
        for (reader, unread) in &mut self.0 {
            let own = segment
                .heads
                .iter()
                .enumerate()
                .filter(|(slot, head)| head.tenant == reader.tenant && segment.address(*slot as u16) >= reader.at);
            *unread += own.count() as u64;
        }
    }

    /// The readers that missed something, and how many messages.
    pub fn finish(self) -> Vec<(ReaderAt, u64)> {
        let missed = self.0.into_iter().filter(|(_, unread)| *unread > 0);
        missed.map(|(reader, unread)| (reader.clone(), unread)).collect()
    }
}

/// The state records of every segment that had events in the commits `from..=to`.
///
/// # Errors
/// Those of the store, and [`StoreError::Damaged`] for an unreadable record.
pub fn fold<R: Reader>(reader: &R, from: u64, to: u64) -> Result<Folded, StoreError> {
    let mut touched: BTreeMap<u64, StateRecord> = BTreeMap::new();
    let mut failure = None;
    let bounds = (Key::Turn(from).bytes(), Key::Turn(to + 1).bytes());
    reader.range(Space::Event, &bounds.0, &bounds.1, usize::MAX, &mut |key, value| {
        match decode::<TurnRecord>(value) {
            Ok(turn) => gather(&mut touched, &turn),
            Err(error) => {
                failure = Some(StoreError::Damaged(format!("ev {:?}: {error}", Key::number(key))));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let mut folded = Folded::default();
    for (number, news) in touched {
        let (op, unsettled) = merge(reader, number, news, to)?;
        folded.ops.push(op);
        folded.unsettled.push((number, unsettled));
    }
    Ok(folded)
}

fn gather(touched: &mut BTreeMap<u64, StateRecord>, turn: &TurnRecord) {
    for note in &turn.segments {
        let state = touched.entry(note.number).or_default();
        state.messages = note.messages;
        state.newest = state.newest.max(turn.wall);
    }
    for event in events_of(turn) {
        let state = touched.entry(event.address.segment()).or_default();
        state.events.push(StatedEvent { slot: event.address.slot(), what: event.what, at: event.at.0 });
        state.newest = state.newest.max(turn.wall);
    }
}

fn merge<R: Reader>(reader: &R, number: u64, news: StateRecord, to: u64) -> Result<(Op, u32), StoreError> {
    let key = Key::State(number);
    let mut state = match reader.get(key.space(), &key.bytes())? {
        None => StateRecord::default(),
        Some(bytes) => decode(&bytes).map_err(|error| StoreError::Damaged(format!("st {number}: {error}")))?,
    };
    if state.folded_to < to {
        state.messages = state.messages.max(news.messages);
        state.newest = state.newest.max(news.newest);
        state.events.extend(news.events);
        state.events.sort_by_key(|event| event.slot);
        trim(&mut state.events);
        state.folded_to = to;
    }
    let histories = state.events.chunk_by(|a, b| a.slot == b.slot);
    let settled = histories.filter(|events| retention::is_settled(events.iter().map(|event| event.what)));
    state.settled = settled.count() as u32;
    let unsettled = state.messages.saturating_sub(state.settled);
    Ok((Op::Put { space: key.space(), key: key.bytes(), value: encode(&state) }, unsettled))
}

/// The first segment that must stay: everything from `first` up to it may be dropped.
///
/// # Errors
/// Those of the store, and [`StoreError::Damaged`] for an unreadable record.
pub fn retire<R: Reader>(reader: &R, first: u64, retention: Retention, now: Wall) -> Result<u64, StoreError> {
    let gaps = super::recovery::restored(reader)?.map(|restored| restored.gaps).unwrap_or_default();
    let mut keep = first;
    let mut failure = None;
    let bounds = (Key::State(first).bytes(), Key::State(u64::MAX).bytes());
    reader.range(Space::State, &bounds.0, &bounds.1, usize::MAX, &mut |key, value| {
        let state = match decode::<StateRecord>(value) {
            Ok(state) => state,
            Err(error) => {
                failure = Some(StoreError::Damaged(format!("st {:?}: {error}", Key::number(key))));
                return ControlFlow::Break(());
            }
        };
        let may_drop = retention.may_drop(state.messages, state.settled, Wall(state.newest), now);
        // A restore leaves segment numbers out; any other missing segment ends the search here.
        let next = gaps.iter().find(|(unused, _)| *unused == keep).map_or(keep, |(_, used_again)| *used_again);
        match Key::number(key) {
            Some(number) if number == next && may_drop => {
                keep = number + 1;
                ControlFlow::Continue(())
            }
            Some(_) | None => ControlFlow::Break(()),
        }
    })?;
    failure.map_or(Ok(keep), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::Head;

    use super::*;

    #[test]
    fn what_a_reader_has_not_read_is_its_own_tenants_and_behind_its_place() {
        let head = |tenant: u32| Head { tenant: TenantId(tenant), ..Head::default() };
        let heads = [1, 2, 1, 1].map(head).to_vec();
        let segment = Segment { number: 7, heads, arena: Arc::default(), slots: Vec::new() };
        let reader = |tenant, at| ReaderAt { tenant: TenantId(tenant), name: String::new(), at };
        let readers = [
            reader(1, Address::default()),
            reader(1, Address::new(7, 1)),
            reader(1, Address::new(8, 0)),
            reader(2, Address::default()),
            reader(3, Address::default()),
        ];
        let mut count = UnreadCount::of(&readers);
        count.dropped(&segment);
        let missed: Vec<_> = count.finish().into_iter().map(|(reader, unread)| (reader.at, unread)).collect();
        assert_eq!(missed, [(readers[0].at, 3), (readers[1].at, 2), (readers[3].at, 1)]);
    }
}
