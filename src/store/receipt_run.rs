//! What a run of receipts holds, and how the part of a receipt is found in all of them.
//!
//! A carrier may give an id again. Of the parts of one id in a run the newest stands under the id's key alone; each other one
//! under the id's key and its recipient. So a filter answers for most ids that are not there, and one look-up finds most
//! that are.
//!
//! Knows keys and recipients; refuses to know ids, epochs, and what a receipt says.

use super::backend::{Reader, RunFamily, RunSink, StoreError};
use super::reader::ReceiptKeys;
use super::record::{ReceiptNote, decode, encode};

/// Under which a part stands beside a newer one of its id: both big endian.
fn key_to(key: u64, recipient: u64) -> [u8; 16] {
    (u128::from(key) << 64 | u128::from(recipient)).to_be_bytes()
}

/// Puts parts into a run: the oldest first, and no recipient twice under one key. They are sorted in place, and may be
/// put once more.
///
/// # Errors
///
/// Those of the sink.
pub fn put(notes: &mut [ReceiptNote], sink: &mut dyn RunSink) -> Result<(), StoreError> {
    notes.sort_by_key(|note| note.key);
    for of_one_id in notes.chunk_by_mut(|one, next| one.key == next.key) {
        if let [others @ .., newest] = of_one_id {
            sink.put(&newest.key.to_be_bytes(), &encode(newest))?;
            others.sort_unstable_by_key(|note| note.recipient);
            others.iter().try_for_each(|note| sink.put(&key_to(note.key, note.recipient), &encode(note)))?;
        }
    }
    Ok(())
}

/// The part that a receipt is about, and which of its keys led there: one that went to its number, in whatever run; else
/// the newest under a key that is a proof.
pub(super) fn find<R: Reader>(reader: &R, receipt: &ReceiptKeys) -> Result<Option<(usize, ReceiptNote)>, StoreError> {
    let mut other = None;
    for (at, &(key, is_proof)) in receipt.keys.iter().enumerate() {
        let Some(note) = under(reader, key, receipt.recipient)? else { continue };
        if note.recipient == receipt.recipient {
            return Ok(Some((at, note)));
        }
        if is_proof {
            other = other.or(Some((at, note)));
        }
    }
    Ok(other)
}

/// The newest part under this key to that recipient, else the newest; recipient 0: the newest.
fn under<R: Reader>(reader: &R, key: u64, recipient: u64) -> Result<Option<ReceiptNote>, StoreError> {
    const FAMILY: RunFamily = RunFamily::Receipt;
    let (mut newest, mut runs) = (None, 0..=u64::MAX);
    while let Some((run, octets)) = reader.probe_in(FAMILY, &key.to_be_bytes(), runs)? {
        let note = note_of(&octets)?;
        if note.recipient == recipient || recipient == 0 {
            return Ok(Some(note));
        }
        if let Some((_, octets)) = reader.probe_in(FAMILY, &key_to(key, recipient), run..=run)? {
            return note_of(&octets).map(Some);
        }
        newest = newest.or(Some(note));
        let Some(older) = run.checked_sub(1) else { break };
        runs = 0..=older;
    }
    Ok(newest)
}

fn note_of(octets: &[u8]) -> Result<ReceiptNote, StoreError> {
    decode(octets).map_err(|error| StoreError::Damaged(format!("run win: {error}")))
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;

    use crate::store::backend::{Backend, Maintainer, RunId, Space, Visit};
    use crate::store::memory::{Drops, MemoryStore};

    use super::*;

    fn note(key: u64, recipient: u64, address: u64) -> ReceiptNote {
        ReceiptNote::of_one_part(key, recipient, address)
    }

    /// The newest first.
    fn write(store: &MemoryStore, number: u64, notes: &[ReceiptNote]) {
        let run: RunId = (RunFamily::Receipt, number);
        let mut notes: Vec<_> = notes.iter().rev().copied().collect();
        store.maintainer().write_run(run, &mut |sink| put(&mut notes, sink)).expect("in order");
    }

    fn found(store: &MemoryStore, keys: &[(u64, bool)], recipient: u64) -> Option<(usize, u64)> {
        let receipt = ReceiptKeys { keys: keys.to_vec(), recipient };
        find(&store.reader(), &receipt).expect("sound").map(|(at, note)| (at, note.address))
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
        let id = |key: u8| [0, 0, 0, 0, 0, 0, 0, key];
        let expected = [id(1).to_vec(), [id(1), id(7)].concat(), [id(1), id(9)].concat(), id(2).to_vec()];
        assert_eq!(keys.0, expected);
    }

    #[test]
    fn parts_of_one_id_are_told_apart_by_their_recipients() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 30, 103), note(1, 10, 101), note(1, 20, 102), note(2, 10, 201)]);
        let exact = |recipient| found(&store, &[(1, true)], recipient);
        assert_eq!([10, 20, 30].map(exact), [101, 102, 103].map(|address| Some((0, address))));
        assert_eq!([40, 0].map(exact), [Some((0, 103)); 2], "the newest");
        assert_eq!(found(&store, &[(3, true)], 10), None);
    }

    #[test]
    fn over_several_runs_the_recipient_counts_more_than_the_age() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 20, 2), note(1, 10, 1)]);
        write(&store, 2, &[note(5, 10, 5)]);
        write(&store, 3, &[note(1, 30, 3)]);
        write(&store, 4, &[note(1, 20, 4)]);
        let exact = |recipient| found(&store, &[(1, true)], recipient);
        assert_eq!([10, 20, 30, 40].map(exact), [1, 4, 3, 4].map(|address| Some((0, address))));
    }

    #[test]
    fn a_form_that_is_a_guess_counts_with_the_recipient_alone() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 10, 1), note(2, 30, 22), note(2, 20, 21)]);
        let both = |recipient| found(&store, &[(1, true), (2, false)], recipient);
        assert_eq!([10, 20, 40].map(both), [Some((0, 1)), Some((1, 21)), Some((0, 1))]);
        assert_eq!(found(&store, &[(2, false)], 40), None);
        assert_eq!(found(&store, &[(2, false), (1, true)], 0), Some((1, 1)));
    }

    /// Counts look-ups over runs.
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
            unreachable!("nobody walks")
        }
    }

    #[test]
    fn an_id_of_one_recipient_and_one_that_is_not_there_take_one_look_up_a_form() {
        let store = MemoryStore::new(Drops::AtOnce);
        write(&store, 1, &[note(1, 10, 1), note(2, 30, 22), note(2, 20, 21)]);
        write(&store, 2, &[note(4, 10, 4)]);
        let reader = Counting(store.reader(), Arc::default());
        let asked = |keys: &[(u64, bool)], recipient| {
            find(&reader, &ReceiptKeys { keys: keys.to_vec(), recipient }).expect("sound");
            reader.1.swap(0, Ordering::Relaxed)
        };
        assert_eq!(asked(&[(1, true), (2, false), (3, false)], 10), 1);
        assert_eq!(asked(&[(7, true), (8, false), (9, false)], 10), 3);
        assert_eq!(asked(&[(2, true)], 30), 1, "the newest of its id");
        assert_eq!(asked(&[(2, true)], 20), 2, "another one");
    }
}
