//! What a run of receipts holds, and how the part of a message that a receipt is about is found in all runs.
//!
//! A carrier may use a message id again. Of a run's parts with the same id, the newest is stored under the id's key
//! alone, and each other one under the id's key and the last digits of its recipient's number. So a filter answers for
//! most ids that are not in the run, and one look-up finds most that are.
//!
//! Knows keys and numbers; refuses to know ids, epochs, and the content of receipts.

use std::ops::ControlFlow;

use crate::model::{Agreement, Tail};

use super::backend::{Reader, RunFamily, RunSink, StoreError};
use super::reader::ReceiptKeys;
use super::record::{ReceiptNote, decode, encode};

/// Parts that a receipt may be about and that its numbers do not tell apart: with two of them it is not known which one
/// is meant.
const SILENT_MAX: usize = 2;

/// The key of a part beside a newer one of the same id: id's key and recipient's last digits, both big endian.
fn key_to(key: u64, recipient: Tail) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&key.to_be_bytes());
    bytes[8..].copy_from_slice(&recipient.index().to_be_bytes());
    bytes
}

fn recipient(note: &ReceiptNote) -> Tail {
    Tail::of(note.recipient)
}

/// Puts parts into a run: the oldest first, and no recipient twice under one key. They are sorted in place, so the call
/// may be repeated. Of two parts of one id to numbers that end alike, the newer one is kept.
///
/// # Errors
///
/// Those of the sink.
pub fn put(notes: &mut [ReceiptNote], sink: &mut dyn RunSink) -> Result<(), StoreError> {
    notes.sort_by_key(|note| note.key);
    for of_one_id in notes.chunk_by_mut(|one, next| one.key == next.key) {
        if let [others @ .., newest] = of_one_id {
            sink.put(&newest.key.to_be_bytes(), &encode(newest))?;
            others.sort_by_key(recipient);
            for alike in others.chunk_by(|one, next| recipient(one) == recipient(next)) {
                if let Some(note) = alike.last().filter(|note| recipient(note) != recipient(newest)) {
                    sink.put(&key_to(note.key, recipient(note)), &encode(note))?;
                }
            }
        }
    }
    Ok(())
}

/// The parts that a receipt may be about, each with the index of the key that led there: the one that its numbers agree
/// with, in any run; or else at most two about which the numbers say nothing.
pub(super) fn find<R: Reader>(reader: &R, receipt: &ReceiptKeys) -> Result<Vec<(usize, ReceiptNote)>, StoreError> {
    let mut silent: Vec<(usize, ReceiptNote)> = Vec::new();
    for (at, key) in receipt.keys.iter().enumerate() {
        let mut walk = Walk { receipt, silent: Vec::new() };
        if let Some(note) = walk.agreeing(reader, *key)? {
            return Ok(vec![(at, note)]);
        }
        silent.extend(walk.silent.into_iter().map(|note| (at, note)));
        silent.truncate(SILENT_MAX);
    }
    Ok(silent)
}

/// A search through all runs, the newest first.
struct Walk<'a> {
    receipt: &'a ReceiptKeys,
    /// Parts about which the numbers say nothing.
    silent: Vec<ReceiptNote>,
}

impl Walk<'_> {
    const FAMILY: RunFamily = RunFamily::Receipt;

    fn agreeing<R: Reader>(&mut self, reader: &R, key: u64) -> Result<Option<ReceiptNote>, StoreError> {
        let mut runs = 0..=u64::MAX;
        while let Some((run, bytes)) = reader.probe_in(Self::FAMILY, &key.to_be_bytes(), runs)? {
            let newest = note_of(&bytes)?;
            let agreeing = match self.receipt.agreement(&newest) {
                Agreement::Agrees => Some(newest),
                Agreement::SaysNothing => {
                    self.add_silent(newest);
                    self.beside(reader, run, key)?
                }
                Agreement::Contradicts => self.beside(reader, run, key)?,
            };
            let Some(older) = run.checked_sub(1).filter(|_| agreeing.is_none()) else { return Ok(agreeing) };
            runs = 0..=older;
        }
        Ok(None)
    }

    /// A part that agrees, among those stored beside the newest of its id.
    fn beside<R: Reader>(&mut self, reader: &R, run: u64, key: u64) -> Result<Option<ReceiptNote>, StoreError> {
        for tail in [self.receipt.numbers.source, self.receipt.numbers.destination] {
            let found = match tail.is_none() {
                true => None,
                false => reader.probe_in(Self::FAMILY, &key_to(key, tail), run..=run)?,
            };
            if let Some((_, bytes)) = found {
                return note_of(&bytes).map(Some);
            }
        }
        if self.silent.len() < SILENT_MAX {
            let (from, to) = (key_to(key, Tail::from_index(0)), key_to(key, Tail::NONE));
            let mut found = Vec::new();
            reader.run_range((Self::FAMILY, run), &from, &to, SILENT_MAX, &mut |_, bytes| {
                found.push(note_of(bytes));
                ControlFlow::Continue(())
            })?;
            for note in found {
                let note = note?;
                if self.receipt.agreement(&note) == Agreement::SaysNothing {
                    self.add_silent(note);
                }
            }
        }
        Ok(None)
    }

    /// An older part to the same number is no longer a candidate.
    fn add_silent(&mut self, note: ReceiptNote) {
        let is_known = self.silent.iter().any(|known| recipient(known) == recipient(&note));
        if !is_known && self.silent.len() < SILENT_MAX {
            self.silent.push(note);
        }
    }
}

fn note_of(bytes: &[u8]) -> Result<ReceiptNote, StoreError> {
    decode(bytes).map_err(|error| StoreError::Damaged(format!("run win: {error}")))
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;

    use crate::model::Numbers;
    use crate::store::backend::{Backend, Maintainer, RunId, Space, Visit};
    use crate::store::memory::{Drops, MemoryStore};

    use super::*;

    fn note(key: u64, recipient: u64, address: u64) -> ReceiptNote {
        ReceiptNote::of_one_part(key, recipient, address)
    }

    /// Writes a run; `notes` are given newest first.
    fn write(store: &MemoryStore, number: u64, notes: &[ReceiptNote]) {
        let run: RunId = (RunFamily::Receipt, number);
        let mut notes: Vec<_> = notes.iter().rev().copied().collect();
        store.maintainer().write_run(run, &mut |sink| put(&mut notes, sink)).expect("in order");
    }

    fn found(store: &MemoryStore, keys: &[u64], recipient: u64) -> Vec<(usize, u64)> {
        let found = find(&store.reader(), &receipt(keys, recipient)).expect("sound");
        found.into_iter().map(|(at, note)| (at, note.address)).collect()
    }

    /// A receipt with this number, or with none (0).
    fn receipt(keys: &[u64], source: u64) -> ReceiptKeys {
        let numbers = Numbers { source: Tail::of(source), destination: Tail::NONE };
        ReceiptKeys { keys: keys.to_vec(), numbers, is_number_ignored: false }
    }

    struct Keys(Vec<Vec<u8>>);

    impl RunSink for Keys {
        fn put(&mut self, key: &[u8], _: &[u8]) -> Result<(), StoreError> {
            self.0.push(key.to_vec());
            Ok(())
        }
    }

    #[test]
    fn golden_keys() {
        let mut notes = [note(2, 3, 0), note(1, 9, 0), note(1, 7, 0), note(1, 5, 0)];
        let mut keys = Keys(Vec::new());
        put(&mut notes, &mut keys).expect("taken");
        let id = |key: u8| [0, 0, 0, 0, 0, 0, 0, key].to_vec();
        let beside = |key: u8, tail: u8| [id(key), vec![0, 0, 0, tail]].concat();
        assert_eq!(keys.0, [id(1), beside(1, 7), beside(1, 9), id(2)]);
    }

    #[test]
    fn of_numbers_that_end_alike_under_one_id_the_newest_is_kept() {
        let alike = 40_000_000;
        for notes in [[7, alike + 7, 9], [7, 9, alike + 7]] {
            let mut notes = notes.map(|recipient| note(1, recipient, recipient));
            let mut keys = Keys(Vec::new());
            put(&mut notes, &mut keys).expect("taken");
            assert_eq!(keys.0.len(), 2, "{:?}", keys.0);
        }
    }

    #[test]
    fn parts_of_one_id_are_told_apart_by_their_recipients() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 30, 103), note(1, 10, 101), note(1, 20, 102), note(2, 10, 201)]);
        let exact = |recipient| found(&store, &[1], recipient);
        assert_eq!([10, 20, 30].map(exact), [101, 102, 103].map(|address| vec![(0, address)]));
        assert_eq!(exact(40), []);
        assert_eq!(exact(0), [(0, 103), (0, 101)], "as many as show that there is not one alone");
        assert_eq!((found(&store, &[2], 0), found(&store, &[3], 10)), (vec![(0, 201)], vec![]));
        let ignored = ReceiptKeys { is_number_ignored: true, ..receipt(&[2], 40) };
        assert_eq!(find(&store.reader(), &ignored).expect("sound").len(), 1);
    }

    #[test]
    fn over_several_runs_the_recipient_counts_more_than_the_age() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 20, 2), note(1, 10, 1)]);
        write(&store, 2, &[note(5, 10, 5)]);
        write(&store, 3, &[note(1, 30, 3)]);
        write(&store, 4, &[note(1, 20, 4)]);
        let exact = |recipient| found(&store, &[1], recipient);
        assert_eq!([10, 20, 30].map(exact), [1, 4, 3].map(|address| vec![(0, address)]));
        assert_eq!((exact(40), exact(0)), (vec![], vec![(0, 4), (0, 3)]));
        write(&store, 6, &[note(5, 10, 6)]);
        assert_eq!(found(&store, &[5], 0), [(0, 6)], "an older one to the same number is not meant");
    }

    #[test]
    fn every_key_is_tried_and_the_recipient_decides() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 10, 1), note(2, 30, 22), note(2, 20, 21)]);
        let both = |recipient| found(&store, &[1, 2], recipient);
        assert_eq!([10, 20, 40].map(both), [vec![(0, 1)], vec![(1, 21)], vec![]]);
        assert_eq!(both(0), [(0, 1), (1, 22)]);
    }

    /// Counts look-ups, over all runs.
    #[derive(Clone)]
    struct Counting<R>(R, Arc<AtomicUsize>);

    impl<R: Reader> Reader for Counting<R> {
        fn get(&self, _: Space, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
            unreachable!("only runs are asked")
        }

        fn range(&self, _: Space, _: &[u8], _: &[u8], _: usize, _: Visit<'_>) -> Result<usize, StoreError> {
            unreachable!("only runs are asked")
        }

        fn last(&self, _: Space, _: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
            unreachable!("only runs are asked")
        }

        fn runs(&self, family: RunFamily) -> Vec<u64> {
            self.0.runs(family)
        }

        fn probe_in(
            &self,
            family: RunFamily,
            key: &[u8],
            runs: RangeInclusive<u64>,
        ) -> Result<Option<(u64, Bytes)>, StoreError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.probe_in(family, key, runs)
        }

        fn run_range(&self, _: RunId, _: &[u8], _: &[u8], _: usize, _: Visit<'_>) -> Result<usize, StoreError> {
            unreachable!("not called if a number is known")
        }
    }

    #[test]
    fn an_id_of_one_recipient_and_one_that_is_not_there_take_one_look_up_a_form() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 10, 1), note(2, 30, 22), note(2, 20, 21)]);
        write(&store, 2, &[note(4, 10, 4)]);
        let reader = Counting(store.reader(), Arc::default());
        let asked = |keys: &[u64], recipient| {
            find(&reader, &receipt(keys, recipient)).expect("sound");
            reader.1.swap(0, Ordering::Relaxed)
        };
        assert_eq!(asked(&[1, 2, 3], 10), 1);
        assert_eq!(asked(&[7, 8, 9], 10), 3);
        assert_eq!(asked(&[2], 30), 1, "the newest of its id");
        assert_eq!(asked(&[2], 20), 2, "another one");
    }
}
