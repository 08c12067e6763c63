//! The writes of one turn: collected by the shard as values, encoded on the storage thread, committed as one.

use std::sync::Arc;

use crate::admission::Moment;
use crate::limit::CounterSet;
use crate::model::{Address, KeyPrint, Lane, Segment, SetNumber, TenantId};
use crate::queue::{DueEntry, Era, FifoName, Generation, ListKind, ListNumber, SlotRuns, Tick};

use super::backend::Op;
use super::book::Snapshot;
use super::key::Key;
use super::record::{
    DueRecord, FifoCode, HandsetRecord, InboundRecord, JoiningRecord, KeysRecord, ListRecord, NoticeRecord,
    ReadyRecord, ReceiptsRecord, SetRecord, TurnRecord, encode,
};
use super::segment;

/// The number of a commit in its shard, from 1, growing by one with each. Effects wait for such a number to be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitSeq(pub u64);

impl CommitSeq {
    /// The number of the next commit.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Everything that one turn writes: durable together or not at all.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// The number of its commit.
    pub seq: CommitSeq,
    /// New segments.
    pub segments: Vec<Arc<Segment>>,
    /// Lists that are used for the first time.
    pub lists: Vec<(ListNumber, Lane)>,
    /// Sets of counters that are used for the first time.
    pub sets: Vec<(SetNumber, CounterSet)>,
    /// Messages that became ready, by fifo: segment numbers and slots.
    pub ready: Vec<(FifoName, Vec<(u64, SlotRuns)>)>,
    /// What the turn decided.
    pub turn: TurnRecord,
    /// Entries for the delay queue, by era and tick.
    pub due: Vec<((Era, Tick), Vec<DueEntry>)>,
    /// Receipts that the shard began to wait for, and receipts that came.
    pub receipts: ReceiptsRecord,
    /// Fingerprints that were claimed.
    pub keys: Vec<(KeyPrint, TenantId, Address, Moment)>,
    /// Receipts whose message is not known.
    pub orphans: Vec<InboundRecord>,
    /// Orphans that were matched or became too old: commit and index in it.
    pub orphans_gone: Vec<(u64, u32)>,
    /// Notices for clients.
    pub outbox: Vec<NoticeRecord>,
    /// Messages from handsets.
    pub handsets: Vec<HandsetRecord>,
    /// Parts of messages from handsets that wait for others, and what is remembered of joined ones.
    pub joining: Vec<JoiningRecord>,
    /// Records of `joining` that are no longer needed: commit and index in it.
    pub joining_gone: Vec<(u64, u32)>,
    /// Registrations and deregistrations of runs.
    pub extra: Vec<Op>,
    /// A new checkpoint, with the folded states that belong to it.
    pub checkpoint: Option<(Box<Snapshot>, Vec<Op>)>,
}

impl WriteBatch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
            && self.ready.is_empty()
            && self.turn.events.is_empty()
            && self.turn.attempts.is_empty()
            && self.turn.taken.is_empty()
            && self.turn.due_taken.is_empty()
            && self.due.is_empty()
            && self.receipts.is_empty()
            && self.keys.is_empty()
            && self.orphans.is_empty()
            && self.orphans_gone.is_empty()
            && self.outbox.is_empty()
            && self.handsets.is_empty()
            && self.joining.is_empty()
            && self.joining_gone.is_empty()
            && self.extra.is_empty()
            && self.checkpoint.is_none()
    }

    /// How many messages it is about, roughly: new ones, attempts and events.
    pub fn weight(&self) -> usize {
        let messages: usize = self.segments.iter().map(|segment| segment.heads.len()).sum();
        messages + self.turn.attempts.len() + self.turn.events.len()
    }

    /// The changes, encoded. Slow (compression): for the storage thread.
    pub fn into_ops(self) -> Vec<Op> {
        let commit = self.seq.0;
        let mut ops = Vec::with_capacity(self.segments.len() + self.ready.len() + self.due.len() + 4);
        let mut put = |key: Key, value: Vec<u8>| ops.push(Op::Put { space: key.space(), key: key.bytes(), value });
        for segment in &self.segments {
            put(Key::Segment(segment.number), segment::encode(segment));
        }
        for (number, of) in self.lists {
            put(Key::List(number), encode(&ListRecord::from(of)));
        }
        for (number, set) in self.sets {
            put(Key::Set(number), encode(&SetRecord::of(&set)));
        }
        for (name, parts) in self.ready {
            let record = ReadyRecord(parts.into_iter().map(|(number, runs)| (number, runs.0)).collect());
            put(Key::Ready(name, commit), encode(&record));
        }
        for ((era, tick), entries) in self.due {
            let code = |entry: &DueEntry| {
                let DueEntry { address, lane, reason } = entry;
                (address.packed(), lane.class as u8, lane.route.0, lane.tenant.0, lane.set.0, *reason as u8)
            };
            put(Key::Due(era, tick.0, commit), encode(&DueRecord(entries.iter().map(code).collect())));
        }
        put(Key::Turn(commit), encode(&self.turn));
        if !self.receipts.is_empty() {
            put(Key::Receipts(commit), encode(&self.receipts));
        }
        if !self.keys.is_empty() {
            put(Key::Keys(commit), encode(&keys_record(&self.keys)));
        }
        for (index, orphan) in self.orphans.iter().enumerate() {
            put(Key::Orphan(commit, index as u32), encode(orphan));
        }
        for (index, record) in self.outbox.iter().enumerate() {
            put(Key::Outbox(commit, index as u32), encode(record));
        }
        for (index, record) in self.handsets.iter().enumerate() {
            put(Key::Handset(commit, index as u32), encode(record));
        }
        for (index, record) in self.joining.iter().enumerate() {
            put(Key::Joining(commit, index as u32), encode(record));
        }
        let checkpoint = self.checkpoint.map(|(snapshot, folded)| {
            let Snapshot { mut checkpoint, book } = *snapshot;
            let pages = book.pages();
            checkpoint.pages = pages.len() as u32;
            for (number, page) in pages.iter().enumerate() {
                put(Key::Page(checkpoint.commit, number as u32), encode(page));
            }
            put(Key::Checkpoint, encode(&checkpoint));
            folded
        });
        ops.extend(checkpoint.into_iter().flatten());
        ops.extend(self.extra);
        // The deletes come last: a record that was added and removed in one turn is put above.
        let orphans = self.orphans_gone.into_iter().map(|(commit, index)| Key::Orphan(commit, index));
        let joining = self.joining_gone.into_iter().map(|(commit, index)| Key::Joining(commit, index));
        ops.extend(orphans.chain(joining).map(|key| Op::Delete { space: key.space(), key: key.bytes() }));
        ops
    }
}

fn keys_record(keys: &[(KeyPrint, TenantId, Address, Moment)]) -> KeysRecord {
    let mut record = KeysRecord::default();
    for (index, (print, tenant, address, at)) in (0..).zip(keys) {
        if record.ahead_ms.last().is_none_or(|(_, known)| *known != at.ahead_ms()) {
            record.ahead_ms.push((index, at.ahead_ms()));
        }
        record.keys.push((print.key, print.content, address.packed(), at.wall.0, tenant.0));
    }
    record
}

/// A fifo's name in the form that records use.
pub const fn fifo_code(name: FifoName) -> FifoCode {
    (name.list.0, name.generation.0, name.kind.code())
}

/// A fifo's name as read back; `None` for an unknown kind.
pub fn fifo_name((list, generation, kind): FifoCode) -> Option<FifoName> {
    let (list, generation) = (ListNumber(list), Generation(generation));
    Some(FifoName { list, generation, kind: ListKind::from_code(kind)? })
}
