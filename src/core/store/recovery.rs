//! What a start reads: the checkpoint and everything after it. It does not read the queues: messages that wait stay on
//! disk.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::limit::CounterSet;
use crate::model::{Lane, SetNumber};
use crate::queue::{Generation, LISTS_MAX, ListNumber};

use super::backend::{Reader, RunFamily, Space, StoreError};
use super::batch::{CommitSeq, fifo_name};
use super::book::{self, Book};
use super::key::Key;
use super::record::{
    CheckpointRecord, DecodeError, FifoCode, InboundRecord, JoiningRecord, KeysRecord, ListRecord, ReceiptsRecord,
    Record, RestoredRecord, SetRecord, TurnRecord, WaitingRecord, decode,
};
use super::run;

/// Everything that a shard needs to continue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The last checkpoint; the default for a store that has none yet.
    pub checkpoint: CheckpointRecord,
    /// Messages under way at the checkpoint.
    pub book: Book,
    /// Turns after the checkpoint, with their commit numbers.
    pub turns: Vec<(u64, TurnRecord)>,
    /// What lists are for, by number.
    pub lists: Vec<Lane>,
    /// Sets of counters, from number 1.
    pub sets: Vec<CounterSet>,
    /// Receipts that are waited for and receipts that came, in the order of commits.
    pub receipts: Vec<(u64, ReceiptsRecord)>,
    /// Fingerprints, in the order of commits.
    pub keys: Vec<(u64, KeysRecord)>,
    /// Receipts whose message is not known yet, without their texts: commit, index in it, receipt. At most the latest
    /// [`PARKED_READ_MAX`].
    pub orphans: Vec<(u64, u32, InboundRecord)>,
    /// Whether older orphans exist that were not read.
    pub orphans_left_out: bool,
    /// Parts of messages from handsets that wait for others, and what is remembered of joined ones: commit, index in
    /// it, record.
    pub joining: Vec<(u64, u32, JoiningRecord)>,
    /// Sealed receipt epochs: run number, and until when their parts wait, ms.
    pub runs: Vec<(u64, u64)>,
    /// The last durable commit.
    pub last: CommitSeq,
    /// The record of the last restore, if the shard was restored from a backup.
    pub restored: Option<RestoredRecord>,
    /// How many messages of each tenant wait, as of the last commit.
    pub waiting: WaitingRecord,
}

/// Most parked receipts that a start reads: receipts parked by versions without a bound may be any number.
pub const PARKED_READ_MAX: usize = 64 << 10;

/// Reads everything that the start of a shard needs.
///
/// # Errors
/// Those of the store, and [`StoreError::Damaged`] for an unreadable record.
pub fn recover<R: Reader>(reader: &R) -> Result<Recovery, StoreError> {
    let key = Key::Checkpoint;
    let checkpoint = match reader.get(key.space(), &key.bytes())? {
        None => CheckpointRecord::default(),
        Some(bytes) => decode(&bytes).map_err(|error| StoreError::Damaged(format!("checkpoint: {error}")))?,
    };
    let book = book::read(reader, checkpoint.commit, checkpoint.pages)?;
    let turns: Vec<(u64, TurnRecord)> = records(reader, Space::Event, checkpoint.commit + 1)?;
    check_turns(checkpoint.commit, &turns)?;
    let restored = restored(reader)?;
    let present = Generation(restored.as_ref().map_or(0, |record| record.generation));
    let lists = lists(reader)?;
    let sets = sets(reader)?;
    check_fifos(&checkpoint, &turns, lists.len(), present)?;
    let receipts = records(reader, Space::Receipt, checkpoint.receipts_from)?;
    let keys = records(reader, Space::Dedup, checkpoint.keys_from)?;
    let last = CommitSeq(turns.last().map_or(checkpoint.commit, |(commit, _)| *commit));
    let waiting = waiting(reader)?;
    let (orphans, orphans_left_out) = orphans(reader, PARKED_READ_MAX)?;
    let joining = joining(reader)?;
    let runs = runs(reader)?;
    Ok(Recovery {
        checkpoint,
        book,
        turns,
        lists,
        sets,
        receipts,
        keys,
        orphans,
        orphans_left_out,
        joining,
        runs,
        last,
        restored,
        waiting,
    })
}

fn waiting<R: Reader>(reader: &R) -> Result<WaitingRecord, StoreError> {
    let key = Key::Waiting;
    let found = reader.get(key.space(), &key.bytes())?.map(|bytes| decode(&bytes)).transpose();
    found.map(Option::unwrap_or_default).map_err(|error| StoreError::Damaged(format!("waiting: {error}")))
}

/// The record of the last restore; `None` if the shard was never restored from a backup.
///
/// # Errors
/// Those of the store, and [`StoreError::Damaged`] for an unreadable record.
pub fn restored<R: Reader>(reader: &R) -> Result<Option<RestoredRecord>, StoreError> {
    let key = Key::Restored;
    let found = reader.get(key.space(), &key.bytes())?;
    let record = found.map(|bytes| decode(&bytes)).transpose();
    record.map_err(|error| StoreError::Damaged(format!("restored: {error}")))
}

/// Checks that no turn is missing between the checkpoint and the last commit: every commit wrote one.
fn check_turns(checkpoint: u64, turns: &[(u64, TurnRecord)]) -> Result<(), StoreError> {
    let mut wanted = checkpoint + 1..;
    match turns.iter().zip(&mut wanted).find(|((commit, _), wanted)| commit != wanted) {
        None => Ok(()),
        Some(((found, _), wanted)) => {
            Err(StoreError::Damaged(format!("ev: commit {wanted} is missing, the next that is there is {found}")))
        }
    }
}

/// List numbers have no gap, because the batch that first uses a list records it.
fn lists<R: Reader>(reader: &R) -> Result<Vec<Lane>, StoreError> {
    let mut found = Vec::new();
    let mut failure = None;
    let (from, to) = Key::list_bounds();
    reader.range(Space::Meta, &from, &to, usize::MAX, &mut |key, value| {
        let number = ListNumber(found.len() as u32);
        let of = decode::<ListRecord>(value).ok().and_then(ListRecord::of);
        match of.filter(|_| Key::list(key) == Some(number) && found.len() < LISTS_MAX) {
            Some(of) => found.push(of),
            None => failure = Some(StoreError::Damaged(format!("list {}: missing or unreadable", number.0))),
        }
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failure.map_or(Ok(found), Err)
}

/// Numbers of sets have no gap, because the batch that first uses a set records it.
fn sets<R: Reader>(reader: &R) -> Result<Vec<CounterSet>, StoreError> {
    let mut found = Vec::new();
    let mut failure = None;
    let (from, to) = Key::set_bounds();
    reader.range(Space::Meta, &from, &to, usize::MAX, &mut |key, value| {
        let number = SetNumber(found.len() as u32 + 1);
        let set = decode::<SetRecord>(value).ok().and_then(|record| record.set());
        match set.filter(|_| Key::set(key) == Some(number)) {
            Some(set) => found.push(set),
            None => failure = Some(StoreError::Damaged(format!("set {}: missing or unreadable", number.0))),
        }
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failure.map_or(Ok(found), Err)
}

/// Checks that every fifo named in a record is of a known list, and not of a generation later than the present one.
fn check_fifos(
    checkpoint: &CheckpointRecord,
    turns: &[(u64, TurnRecord)],
    lists: usize,
    present: Generation,
) -> Result<(), StoreError> {
    let of_turn = |turn: &TurnRecord| {
        let appended = turn.appended.iter().map(|(fifo, _)| *fifo).collect::<Vec<_>>();
        let taken = turn.taken.iter().map(|note| note.fifo);
        appended.into_iter().chain(taken).chain(turn.ended.iter().map(|note| (note.0, note.1, 0))).collect::<Vec<_>>()
    };
    let of_checkpoint = checkpoint.fifos.iter().map(|note| note.fifo);
    let ended = checkpoint.ended.iter().map(|note| (note.0, note.1, 0));
    let is_known = |code: FifoCode| {
        fifo_name(code).is_some_and(|name| (name.list.0 as usize) < lists && name.generation <= present)
    };
    let mut named = of_checkpoint.chain(ended).chain(turns.iter().flat_map(|(_, turn)| of_turn(turn)));
    match named.find(|code| !is_known(*code)) {
        None => Ok(()),
        Some((list, generation, kind)) => {
            Err(StoreError::Damaged(format!("list {list}, generation {generation}, kind {kind}: no such fifo")))
        }
    }
}

fn records<R: Reader, T: Record>(reader: &R, space: Space, from: u64) -> Result<Vec<(u64, T)>, StoreError> {
    let mut found = Vec::new();
    let mut failure = None;
    visit(reader, space, &from.to_be_bytes(), &mut |key, value| match (Key::number(key), decode(value)) {
        (Some(commit), Ok(record)) => found.push((commit, record)),
        (_, Err(error)) => failure = Some(unreadable(space, &error)),
        (None, Ok(_)) => failure = Some(StoreError::Damaged(format!("{}: key", space.name()))),
    })?;
    failure.map_or(Ok(found), Err)
}

type Parked = (u64, u32, InboundRecord);

/// The latest `receipts_max`, and whether older ones were left out.
fn orphans<R: Reader>(reader: &R, receipts_max: usize) -> Result<(Vec<Parked>, bool), StoreError> {
    let mut found = VecDeque::new();
    let mut left_out = false;
    let mut failure = None;
    visit(reader, Space::Orphan, &[0], &mut |key, value| match (Key::place(key), decode::<InboundRecord>(value)) {
        (Some((commit, index)), Ok(mut record)) => {
            record.text = Vec::new();
            if found.len() >= receipts_max {
                left_out = true;
                found.pop_front();
            }
            found.push_back((commit, index, record));
        }
        (_, Err(error)) => failure = Some(unreadable(Space::Orphan, &error)),
        (None, Ok(_)) => failure = Some(StoreError::Damaged("orphan: key".into())),
    })?;
    failure.map_or(Ok((found.into(), left_out)), Err)
}

/// All of them: the shard keeps their number bounded.
fn joining<R: Reader>(reader: &R) -> Result<Vec<(u64, u32, JoiningRecord)>, StoreError> {
    let mut found = Vec::new();
    let mut failure = None;
    visit(reader, Space::Joining, &[0], &mut |key, value| match (Key::place(key), decode(value)) {
        (Some((commit, index)), Ok(record)) => found.push((commit, index, record)),
        (_, Err(error)) => failure = Some(unreadable(Space::Joining, &error)),
        (None, Ok(_)) => failure = Some(StoreError::Damaged("joining: key".into())),
    })?;
    failure.map_or(Ok(found), Err)
}

fn runs<R: Reader>(reader: &R) -> Result<Vec<(u64, u64)>, StoreError> {
    let mut found = Vec::new();
    let (from, to) = run::registration_bounds();
    reader.range(Space::Meta, &from, &to, usize::MAX, &mut |key, note| {
        if let Some((RunFamily::Receipt, number)) = run::parse_registration_key(key) {
            found.push((number, Key::number(note).unwrap_or_default()));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn visit<R: Reader>(
    reader: &R,
    space: Space,
    from: &[u8],
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), StoreError> {
    reader.range(space, from, &[u8::MAX; 13], usize::MAX, &mut |key, value| {
        visit(key, value);
        ControlFlow::Continue(())
    })?;
    Ok(())
}

fn unreadable(space: Space, error: &DecodeError) -> StoreError {
    StoreError::Damaged(format!("{}: {error}", space.name()))
}

#[cfg(test)]
mod tests {
    use crate::model::{Class, RouteId, TenantId};

    use super::super::backend::{Backend, Op};
    use super::super::memory::{Drops, MemoryStore};
    use super::super::record::{FifoNote, TakenNote, encode};
    use super::*;

    fn put(key: Key, value: Vec<u8>) -> Op {
        Op::Put { space: key.space(), key: key.bytes(), value }
    }

    fn of(route: u16) -> Lane {
        Lane { class: Class::Otp, route: RouteId(route), tenant: TenantId(0), set: SetNumber::NONE }
    }

    fn recovered(ops: Vec<Op>) -> Result<Vec<Lane>, StoreError> {
        let mut store = MemoryStore::new(Drops::AtOnce);
        store.commit(ops).expect("kept");
        recover(&store.reader()).map(|found| found.lists)
    }

    #[test]
    fn lists_are_found_by_number_and_none_may_be_missing() {
        let list = |number, route| put(Key::List(ListNumber(number)), encode(&ListRecord::from(of(route))));
        assert!(recovered(vec![list(0, 7), list(1, 5), list(256, 6)]).is_err(), "a gap");
        assert_eq!(recovered(vec![list(0, 7), list(1, 5)]), Ok(vec![of(7), of(5)]));
        let unknown_class = put(Key::List(ListNumber(0)), encode(&ListRecord::Lane(9, 1, None, 0)));
        assert!(recovered(vec![unknown_class]).is_err());
    }

    /// The messages in a list that is not known would be lost without notice.
    #[test]
    fn a_list_that_is_named_and_not_known_is_damage() {
        let list = put(Key::List(ListNumber(0)), encode(&ListRecord::from(of(7))));
        let named = |fifo: FifoCode| {
            let note = FifoNote { fifo, commit: 0, index: 0, newest: 0, waiting: 0 };
            let checkpoint = CheckpointRecord { fifos: vec![note], ..CheckpointRecord::default() };
            let taken = vec![TakenNote { fifo, commit: 1, index: 0, messages: 0 }];
            let turns = [
                TurnRecord { appended: vec![(fifo, 1)], ..TurnRecord::default() },
                TurnRecord { taken, ..TurnRecord::default() },
                TurnRecord { ended: vec![(fifo.0, fifo.1, 1)], ..TurnRecord::default() },
            ];
            let at_once = put(Key::Checkpoint, encode(&checkpoint));
            let in_turn = turns.iter().map(|turn| put(Key::Turn(1), encode(turn)));
            in_turn.chain([at_once]).map(|op| recovered(vec![list.clone(), op]).is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(named((0, 0, 9)), [true; 4]);
        assert_eq!(named((1, 0, 9)), [false; 4], "no such list");
        assert_eq!(named((0, 1, 9)), [false; 4], "of a generation that is still to come");
        assert_eq!(named((0, 0, 10)), [false, false, true, false], "no such kind");
    }

    #[test]
    fn of_parked_receipts_the_latest_are_read_without_their_texts() {
        let mut store = MemoryStore::new(Drops::AtOnce);
        let put = |commit| {
            let record = InboundRecord { wall: commit, text: vec![7; 9], ..InboundRecord::default() };
            let key = Key::Orphan(commit, 0);
            Op::Put { space: key.space(), key: key.bytes(), value: encode(&record) }
        };
        store.commit((1..=5).map(put).collect()).expect("kept");
        let read = |most| {
            let (found, left_out) = orphans(&store.reader(), most).expect("sound");
            assert!(found.iter().all(|(.., record)| record.text.is_empty()));
            (found.iter().map(|(commit, ..)| *commit).collect::<Vec<_>>(), left_out)
        };
        assert_eq!((read(3), read(5)), ((vec![3, 4, 5], true), (vec![1, 2, 3, 4, 5], false)));
    }
}
