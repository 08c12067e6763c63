//! Tests of the promises of a store (`backend.rs`), run on both stores: the one in memory and the one on disk.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::fjall::{FjallOptions, FjallStore};
use stentor_core::store::backend::{
    Backend, KEY_BYTES_MAX, Maintainer, Op, Reader, RunFamily, RunId, Space, StoreError,
};
use stentor_core::store::memory::{DroppedRanges, Drops, LooseRuns, MemoryStore, Remains};
use stentor_core::store::{run, scanner};

/// A store whose process may die at any moment.
trait Bed {
    type Store: Backend;

    fn new() -> Self;
    fn store(&mut self) -> &mut Self::Store;
    /// The process dies, and another starts.
    fn crash(&mut self);
    /// The process dies while it commits these changes.
    fn crash_in_commit(&mut self, ops: Vec<Op>);
    /// The next commit fails.
    fn fail(&mut self);
}

struct InMemory(MemoryStore);

impl Bed for InMemory {
    type Store = MemoryStore;

    fn new() -> Self {
        Self(MemoryStore::new(Drops::AtOnce))
    }

    fn store(&mut self) -> &mut MemoryStore {
        &mut self.0
    }

    fn crash(&mut self) {
        let remains = Remains { dropped: DroppedRanges::ComeBack, loose_runs: LooseRuns::Whole, ..Remains::default() };
        self.0 = self.0.crash(&remains).expect("sound");
    }

    fn crash_in_commit(&mut self, ops: Vec<Op>) {
        self.0.commit_begin(ops).expect("written");
        self.0 = self.0.crash(&Remains { blocks: 1, ..Remains::default() }).expect("sound");
    }

    fn fail(&mut self) {
        // Crashing gives another handle; this one belongs to a machine that no longer runs.
        self.0.crash(&Remains::default()).expect("sound");
    }
}

struct OnDisk {
    root: TempDir,
    store: FjallStore,
}

impl OnDisk {
    fn open(root: TempDir) -> Self {
        let options = FjallOptions { cache_bytes: 8 << 20, open_files_max: 64, memtables_shift: 0, mutant: None };
        let store = FjallStore::open(root.path(), options).expect("opens").0;
        Self { root, store }
    }

    /// A copy of what is on the disk now, with the journal changed by `change`.
    fn copy(&self, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
        let copy = tempfile::tempdir().expect("a directory");
        copy_tree(self.root.path(), copy.path());
        let mut bytes = fs::read(self.journal()).expect("a journal");
        change(&mut bytes);
        fs::write(copy.path().join("0.jnl"), bytes).expect("written");
        copy
    }

    fn journal(&self) -> PathBuf {
        self.root.path().join("0.jnl")
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("read") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

impl Bed for OnDisk {
    type Store = FjallStore;

    fn new() -> Self {
        Self::open(tempfile::tempdir().expect("a directory"))
    }

    fn store(&mut self) -> &mut FjallStore {
        &mut self.store
    }

    fn crash(&mut self) {
        *self = Self::open(self.copy(|_| ()));
    }

    fn crash_in_commit(&mut self, ops: Vec<Op>) {
        let end = |bed: &Self| scanner::written_end(&fs::read(bed.journal()).expect("a journal"), 0);
        let before = end(self);
        self.store.commit(ops).expect("committed");
        let after = end(self);
        assert!(after > before);
        *self = Self::open(self.copy(|bytes| bytes.truncate(before + (after - before) / 2)));
    }

    fn fail(&mut self) {
        self.store.fail_next();
    }
}

fn put(space: Space, key: u64, value: &[u8]) -> Op {
    Op::Put { space, key: key.to_be_bytes().to_vec(), value: value.to_vec() }
}

/// The keys of a space, each with the length of its value.
fn entries<B: Bed>(bed: &mut B, space: Space) -> Vec<(u64, usize)> {
    let mut found = Vec::new();
    let read = bed.store().reader().range(space, &[0; 8], &[0xff; 9], usize::MAX, &mut |key, value| {
        found.push((u64::from_be_bytes(key.try_into().expect("eight bytes")), value.len()));
        ControlFlow::Continue(())
    });
    assert_eq!(read, Ok(found.len()));
    found
}

fn outlives<B: Bed>() {
    let mut bed = B::new();
    bed.store().commit(vec![put(Space::Segment, 1, &[7; 900]), put(Space::Event, 1, b"e")]).expect("committed");
    bed.crash();
    assert_eq!([Space::Segment, Space::Event].map(|space| entries(&mut bed, space)), [vec![(1, 900)], vec![(1, 1)]]);
    bed.crash_in_commit(vec![put(Space::Segment, 2, &[7; 900]), put(Space::Event, 2, &[7; 900])]);
    assert_eq!([Space::Segment, Space::Event].map(|space| entries(&mut bed, space)), [vec![(1, 900)], vec![(1, 1)]]);
    // A batch with a change that cannot be stored is refused as a whole.
    let long = Op::Put { space: Space::Event, key: vec![1; KEY_BYTES_MAX + 1], value: Vec::new() };
    let refused = bed.store().commit(vec![put(Space::Segment, 3, b"c"), long]);
    assert!(matches!(refused, Err(StoreError::Misuse(_))), "{refused:?}");
    bed.store().commit(vec![put(Space::Event, 4, b"d")]).expect("committed");
    bed.crash();
    assert_eq!([Space::Segment, Space::Event].map(|space| entries(&mut bed, space).len()), [1, 2]);
}

#[test]
fn a_batch_is_there_when_its_commit_has_returned_and_else_whole_or_absent() {
    outlives::<InMemory>();
    outlives::<OnDisk>();
}

fn stays_failed<B: Bed>() {
    let mut bed = B::new();
    bed.store().commit(vec![put(Space::Event, 1, b"a")]).expect("committed");
    bed.fail();
    for key in 2..4 {
        let failed = bed.store().commit(vec![put(Space::Event, key, b"b")]);
        assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    }
}

#[test]
fn after_a_failure_nothing_is_committed_any_more() {
    stays_failed::<InMemory>();
    stays_failed::<OnDisk>();
    let mut bed = OnDisk::new();
    bed.fail();
    assert!(bed.store().commit(vec![put(Space::Event, 1, b"a")]).is_err());
    assert!(bed.store().commit(Vec::new()).is_err(), "not even nothing");
    bed.crash();
    assert_eq!(entries(&mut bed, Space::Event), [], "a start goes on");
    bed.store().commit(vec![put(Space::Event, 1, b"a")]).expect("committed");
}

fn drops<B: Bed>() {
    let mut bed = B::new();
    let all: Vec<(u64, usize)> = (1..=6).map(|key| (key, key as usize)).collect();
    let write = |key| put(Space::Event, key, &vec![7; key as usize]);
    bed.store().commit((1..=6).map(write).collect()).expect("committed");
    for step in 0..4 {
        let found = entries(&mut bed, Space::Event);
        assert!(found.ends_with(&all[3..]) && found.iter().all(|entry| all.contains(entry)), "{step}: {found:?}");
        match step {
            1 => bed.crash(),
            _ => bed.store().maintainer().drop_range(Space::Event, &[0], &4_u64.to_be_bytes()).expect("dropped"),
        }
        if step == 2 {
            bed.store().maintainer().checkpoint().expect("done");
        }
    }
}

#[test]
fn of_a_dropped_range_some_may_stay_or_come_back_and_the_rest_is_whole() {
    drops::<InMemory>();
    drops::<OnDisk>();
}

fn registers<B: Bed>() {
    const RUNS: [RunId; 3] = [(RunFamily::Receipt, 1), (RunFamily::Receipt, 2), (RunFamily::Receipt, 3)];
    let mut bed = B::new();
    for id in RUNS {
        bed.store().maintainer().write_run(id, &mut |sink| sink.put(b"key", b"value")).expect("written");
    }
    let ops = RUNS[..2].iter().map(|id| run::register(*id, Vec::new())).collect();
    bed.store().commit(ops).expect("committed");
    assert_eq!(bed.store().reader().runs(RunFamily::Receipt), [1, 2, 3]);
    bed.crash();
    assert_eq!(bed.store().reader().runs(RunFamily::Receipt), [1, 2], "the third is not registered");
    bed.store().commit(vec![run::deregister(RUNS[0])]).expect("committed");
    bed.crash();
    let reader = bed.store().reader();
    assert_eq!(reader.runs(RunFamily::Receipt), [2]);
    assert!(reader.probe(RunFamily::Receipt, b"key").expect("read").is_some_and(|(number, _)| number == 2));
}

#[test]
fn a_run_outlives_a_start_if_and_only_if_it_is_registered() {
    registers::<InMemory>();
    registers::<OnDisk>();
}

#[test]
fn the_store_in_memory_refuses_a_key_of_a_range_that_was_dropped() {
    let mut bed = InMemory::new();
    let drop_range = |bed: &mut InMemory, from: u64, to: u64| {
        let [from, to] = [from, to].map(u64::to_be_bytes);
        bed.store().maintainer().drop_range(Space::Event, &from, &to).expect("dropped");
    };
    drop_range(&mut bed, 10, 20);
    drop_range(&mut bed, 15, 30);
    drop_range(&mut bed, 40, 50);
    for crashes in [false, true] {
        if crashes {
            bed.crash();
        }
        let mut is_refused = |key| bed.store().commit(vec![put(Space::Event, key, b"again")]).is_err();
        assert_eq!(
            [9, 10, 29, 30, 39, 40, 49, 50].map(&mut is_refused),
            [false, true, true, false, false, true, true, false]
        );
    }
    let other = bed.store().commit(vec![put(Space::State, 10, b"of another space")]);
    let gone = Op::Delete { space: Space::Event, key: 10_u64.to_be_bytes().to_vec() };
    assert_eq!((other, bed.store().commit(vec![gone])), (Ok(()), Ok(())));
}
