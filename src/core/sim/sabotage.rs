//! Applies the mutants that change what passes between the real code and its world: what a start reads, what the reader
//! thread answers, what a link reports. Without a mutant everything passes unchanged.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::delivery::EventKind;
use crate::limit::{Counter, Settled, ToHome, Units, Value};
use crate::model::{CarrierId, SetNumber, Wall, Whose};
use crate::node::Errand;
use crate::shard::{Ask, Options as ShardOptions};
use crate::store::control::{self, ControlBatch, ControlRecord};
use crate::store::expiry::{Place, Visited};
use crate::store::key::Key;
use crate::store::memory::MemoryStore;
use crate::store::record::{CheckpointRecord, FifoCode, FifoNote, RestoredRecord, TurnRecord, decode, encode};
use crate::store::{Backend, Found, Op, ReadRequest, Reader, Recovery, Space, StoreError};
use crate::traffic::{ReceiptBatch, Span};

use super::mutants::Mutant;
use super::oracle::Question;
use super::stage::Stage;

/// Reads the store as a start does.
///
/// # Errors
/// As [`crate::store::recover`].
pub fn recover<R: Reader>(reader: &R, now: Wall, mutant: Option<Mutant>) -> Result<Recovery, StoreError> {
    let mut found = crate::store::recover(reader)?;
    match mutant {
        Some(Mutant::ForgetKeys) => found.keys.clear(),
        Some(Mutant::ForgetParts) => found.joining.clear(),
        Some(Mutant::LoseReady) => {
            for fifo in found.checkpoint.fifos.iter_mut().filter(|fifo| fifo.waiting > 0) {
                (fifo.commit, fifo.index, fifo.waiting) = (fifo.newest, u32::MAX, 0);
            }
        }
        Some(Mutant::LoseParked) => {
            let counts = |list: u32| {
                let set = found.lists.get(list as usize).map_or(SetNumber::NONE, |lane| lane.set);
                let set = (set != SetNumber::NONE).then(|| found.sets.get(set.0 as usize - 1)).flatten();
                set.is_some_and(|set| !set.counters.is_empty() || !set.each.is_empty())
            };
            let fifos = found.checkpoint.fifos.iter_mut().filter(|fifo| fifo.waiting > 0 && counts(fifo.fifo.0));
            fifos.for_each(|fifo| (fifo.commit, fifo.index, fifo.waiting) = (fifo.newest, u32::MAX, 0));
        }
        Some(Mutant::ReadDroppedLists) => {
            let known: Vec<FifoCode> = found.checkpoint.fifos.iter().map(|note| note.fifo).collect();
            let used = found.turns.iter().flat_map(|(_, turn)| &turn.appended).map(|(fifo, _)| *fifo);
            let unknown: BTreeSet<FifoCode> = used.filter(|fifo| !known.contains(fifo)).collect();
            let from_the_start = |fifo| FifoNote { fifo, commit: 0, index: 0, newest: 1, waiting: 0 };
            found.checkpoint.fifos.extend(unknown.into_iter().map(from_the_start));
        }
        Some(Mutant::LoseCursor) => found.turns.iter_mut().for_each(|(_, turn)| turn.taken.clear()),
        Some(Mutant::ForgetCancel) => {
            found.book.cancelled.clear();
            for (_, turn) in &mut found.turns {
                turn.events.retain(|event| event.what.kind() != EventKind::Cancelled);
            }
        }
        Some(Mutant::ForgetPage) => {
            found.book.open.clear();
            found.book.doubts.clear();
        }
        Some(Mutant::ReplayDropped) => {
            let mut turns = turns_below(reader, found.checkpoint.commit)?;
            turns.append(&mut found.turns);
            found.turns = turns;
        }
        // The shard must take this start for a later one, not the first after the restore.
        Some(Mutant::ForgetLedger) => {
            if let Some(restored) = &mut found.restored {
                restored.commit = u64::MAX;
            }
        }
        Some(Mutant::ForgetAlarms) => {
            found.book.alarms.clear();
            for (_, turn) in &mut found.turns {
                turn.alarms.kept.clear();
                turn.segments.iter_mut().for_each(|note| note.expires_at = u64::MAX);
            }
        }
        Some(Mutant::ForgetRetired) => found.checkpoint.first_segment = 0,
        Some(Mutant::ForgetProgress) => {
            let horizon = now.0.saturating_sub(ShardOptions::default().receipt_wait_ms);
            found.book.progress.retain(|progress| progress.since >= horizon);
        }
        Some(_) | None => {}
    }
    Ok(found)
}

/// The tenant that asks is replaced by the owner of the message.
pub fn lend(mut ask: Ask, question: &Question, stage: &Stage) -> Ask {
    let owner = |message: u32| stage.oracle.tenant_of(message);
    match (&mut ask, question) {
        (Ask::Lookup { whose, .. }, Question::Pry(message)) if stage.is_mutant(Mutant::IgnoreTenant) => {
            *whose = Whose::Of(owner(*message));
        }
        (Ask::Cancel { tenant, .. }, Question::Meddle(message)) if stage.is_mutant(Mutant::IgnoreTenant) => {
            *tenant = owner(*message);
        }
        _ => {}
    }
    ask
}

/// Changes what shards report to the home of limits; `None`: it does not arrive.
pub fn report(mut mail: ToHome, asks: &mut u64, mutant: Option<Mutant>) -> Option<ToHome> {
    *asks += u64::from(matches!(mail, ToHome::Ask(_)));
    match (&mut mail, mutant) {
        (ToHome::Hello { used, .. }, Some(Mutant::ForgetUsed)) => used.clear(),
        (ToHome::Settled(settled), Some(Mutant::ReportUnused)) => {
            settled.iter_mut().for_each(|ended| ended.used = Units::default());
        }
        (ToHome::Settled(settled), Some(Mutant::CountOtherCarrier)) => {
            let is_apart = |ended: &&mut Settled| ended.counters.iter().any(|counter| is_of_carrier(&counter.value));
            let apart: Vec<_> = settled.iter_mut().filter(is_apart).map(for_other_carrier).collect();
            settled.extend(apart);
        }
        (ToHome::Ask(_), Some(Mutant::ForgetAsk)) if *asks % 4 == 3 => return None,
        _ => {}
    }
    Some(mail)
}

const fn is_of_carrier(value: &Value) -> bool {
    matches!(value, Value::Carrier(_))
}

/// What one carrier has used is counted for another.
fn for_other_carrier(ended: &mut Settled) -> Settled {
    let other = |counter: &Counter| match counter.value {
        Value::Carrier(carrier) => Counter { rule: counter.rule, value: Value::Carrier(CarrierId(carrier.0 % 2 + 1)) },
        _ => counter.clone(),
    };
    let (counters, used) = (ended.counters.iter().map(other).collect(), std::mem::take(&mut ended.used));
    Settled { counters, given: Units::default(), used, at: ended.at }
}

/// Changes a request to the reader thread.
pub const fn ask(errand: &mut Errand, mutant: Option<Mutant>) {
    if let (Errand::Read(ReadRequest::Expire(visit)), Some(Mutant::ExpireEarly)) = (errand, mutant) {
        visit.now = visit.now.after_ms(30_000);
    }
}

/// The turns that the checkpoint already contains, as far as they still exist.
fn turns_below<R: Reader>(reader: &R, checkpoint: u64) -> Result<Vec<(u64, TurnRecord)>, StoreError> {
    let mut turns = Vec::new();
    let (from, to) = (Key::Turn(0).bytes(), Key::Turn(checkpoint + 1).bytes());
    reader.range(Space::Event, &from, &to, usize::MAX, &mut |key, value| {
        turns.extend(Key::number(key).zip(decode(value).ok()));
        ControlFlow::Continue(())
    })?;
    Ok(turns)
}

/// Changes an answer of the reader thread.
pub fn answer(found: &mut Found, mutant: Option<Mutant>) {
    if let (Found::Expired { visited }, Some(Mutant::LoseVisit)) = (&mut *found, mutant) {
        visited.iter_mut().for_each(|one| *one = Visited::nothing(one.segment));
    }
    if let (Found::Expired { visited }, Some(Mutant::ForgetPatience)) = (&mut *found, mutant) {
        visited.iter_mut().for_each(|one| one.overdue.retain(|message| message.place != Place::AtCarrier));
    }
    if mutant != Some(Mutant::RegressState) {
        return;
    }
    let messages: Vec<_> = match found {
        Found::Messages { messages, .. } => messages.iter_mut().flatten().collect(),
        Found::Scan { messages, .. } => messages.iter_mut().collect(),
        Found::Ready { .. }
        | Found::Due { .. }
        | Found::Handsets { .. }
        | Found::Folded { .. }
        | Found::Expired { .. }
        | Found::Probe { .. }
        | Found::Failed { .. } => Vec::new(),
    };
    // The late receipt counts as the final one.
    for message in messages {
        if message.events.last().is_some_and(|event| event.what.kind() == EventKind::Late) {
            message.events.retain(|event| !event.what.is_final());
        }
    }
}

/// A restored store continues with the segment numbers at which its backup ends.
pub fn close_gap(store: &mut MemoryStore) {
    let found = |key: Key| store.reader().get(Space::Meta, &key.bytes()).ok().flatten();
    let restored = found(Key::Restored).and_then(|bytes| decode::<RestoredRecord>(&bytes).ok());
    let checkpoint = found(Key::Checkpoint).and_then(|bytes| decode::<CheckpointRecord>(&bytes).ok());
    let (Some(mut restored), Some(mut checkpoint)) = (restored, checkpoint) else { return };
    let Some((unused, _)) = restored.gaps.pop() else { return };
    (restored.below, checkpoint.next_segment) = (unused, unused);
    let put = |key: Key, value| Op::Put { space: Space::Meta, key: key.bytes(), value };
    let ops = vec![put(Key::Restored, encode(&restored)), put(Key::Checkpoint, encode(&checkpoint))];
    // A store in memory accepts every well-formed write.
    let _ = store.commit(ops);
}

/// A restored control continues with the version at which its backup ends.
pub fn go_back(store: &mut MemoryStore, version: u64) {
    let Ok(mut found) = control::recover(&store.reader()) else { return };
    found.record.changed.iter_mut().for_each(|(_, changed)| *changed = version);
    let changes = found.entries.into_iter().map(|(kind, key, entry)| (kind, key, Some(entry.value.into()))).collect();
    let batch = ControlBatch { record: ControlRecord { version, ..found.record }, changes };
    // A store in memory accepts every well-formed write.
    let _ = store.commit(batch.into_ops());
}

/// Gives each receipt the id of the receipt before it.
pub fn exchange_ids(batch: &mut ReceiptBatch, last: &mut Vec<u8>) {
    for receipt in &mut batch.receipts {
        let own = receipt.id.of(&batch.arena).to_vec();
        if !last.is_empty() {
            receipt.id = Span::append(&mut batch.arena, last);
        }
        *last = own;
    }
}
