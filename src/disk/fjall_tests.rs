//! Tests of the store on disk in real directories: what is kept, what a cut or a flipped bit does, what is freed, and
//! that the store in memory agrees.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::disk::fjall_ranges;
use stentor_core::store::backend::{
    Backend, Fill, KEY_BYTES_MAX, Maintainer, Op, Reader, RunFamily, RunId, Space, StoreError, Visit,
};
use stentor_core::store::memory::{DroppedRanges, Drops, MemoryStore, Remains};
use stentor_core::store::{run, scanner};

use super::{FjallOptions, FjallStore};

const OPTIONS: FjallOptions =
    FjallOptions { cache_bytes: 8 << 20, open_files_max: 64, memtables_shift: 0, mutant: None };
const RUN_A: RunId = (RunFamily::Receipt, 1);
const RUN_B: RunId = (RunFamily::Receipt, 2);

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn open(shard: &Path) -> FjallStore {
    FjallStore::open(shard, OPTIONS).expect("opens").0
}

fn put(space: Space, key: u64, value: &[u8]) -> Op {
    Op::Put { space, key: key.to_be_bytes().to_vec(), value: value.to_vec() }
}

fn delete(space: Space, key: u64) -> Op {
    Op::Delete { space, key: key.to_be_bytes().to_vec() }
}

fn entries_from(reader: &impl Reader, space: Space, from: u64) -> Entries {
    let mut entries = Entries::new();
    let visit: Visit<'_> = &mut |key, value| {
        entries.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    let visited = reader.range(space, &from.to_be_bytes(), &[0xff; 9], usize::MAX, visit).expect("readable");
    assert_eq!(visited, entries.len());
    entries
}

fn keys(reader: &impl Reader, space: Space) -> Vec<u64> {
    let keys = entries_from(reader, space, 0).into_iter();
    keys.map(|(key, _)| u64::from_be_bytes(key.try_into().expect("eight bytes"))).collect()
}

/// Seals and writes all memtables, as traffic would sooner or later.
fn flush(store: &FjallStore) {
    for keyspace in &store.shared.spaces {
        fjall_ranges::rotate(keyspace).expect("rotates");
    }
    settle(store);
}

/// Waits until the worker has written what was sealed.
fn settle(store: &FjallStore) {
    while store.shared.spaces.iter().any(fjall_ranges::is_flushing) {
        std::thread::yield_now();
    }
}

#[test]
fn every_space_keeps_what_was_committed_and_the_last_change_of_a_key_wins() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    for space in Space::ALL {
        let ops = vec![put(space, 1, b"old"), put(space, 1, b"new"), put(space, 2, b"x"), delete(space, 2)];
        store.commit(ops).unwrap();
        store.commit(vec![delete(space, 3), put(space, 3, space.name().as_bytes())]).unwrap();
    }
    for step in ["in memory", "replayed", "in tables"] {
        let reader = store.reader();
        for space in Space::ALL {
            assert_eq!(keys(&reader, space), [1, 3], "{step}, {space:?}");
            assert_eq!(reader.get(space, &1_u64.to_be_bytes()).unwrap().as_deref(), Some(&b"new"[..]), "{step}");
            let (last, value) = reader.last(space, &[0xff]).unwrap().expect("there is one");
            assert_eq!((&last[..], &value[..]), (&3_u64.to_be_bytes()[..], space.name().as_bytes()), "{step}");
            assert_eq!(reader.last(space, &1_u64.to_be_bytes()), Ok(None), "{step}");
        }
        if step == "replayed" {
            flush(&store);
        } else {
            drop((reader, store));
            store = open(root.path());
        }
    }
}

#[test]
fn what_cannot_be_kept_is_refused_whole() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let is_misuse =
        |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Misuse(_))), "{result:?}");
    for key in [vec![], vec![0], vec![1; KEY_BYTES_MAX + 1]] {
        let bad = Op::Put { space: Space::Meta, key, value: vec![] };
        is_misuse(store.commit(vec![put(Space::Meta, 1, b"good"), bad]));
    }
    assert_eq!(keys(&store.reader(), Space::Meta), [0_u64; 0]);
    let mut maintainer = store.maintainer();
    is_misuse(maintainer.write_run(RUN_A, &mut |sink| sink.put(b"bb", b"").and_then(|()| sink.put(b"bb", b""))));
    assert_eq!(store.reader().runs(RunFamily::Receipt), [0_u64; 0]);
    maintainer.write_run(RUN_A, &mut |sink| sink.put(b"aa", b"1")).unwrap();
    is_misuse(maintainer.write_run(RUN_A, &mut |sink| sink.put(b"aa", b"2")));
    assert_eq!(store.reader().probe(RunFamily::Receipt, b"aa").unwrap(), Some((1, Bytes::from_static(b"1"))));
}

#[test]
fn a_dropped_range_frees_whole_tables_and_leaves_the_rest_also_after_reopening() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    for table in 0..3_u64 {
        store.commit((0..10).map(|key| put(Space::Segment, table * 10 + key, &[7; 4000])).collect()).unwrap();
        flush(&store);
    }
    store.commit(vec![put(Space::Segment, 30, b"in memory")]).unwrap();
    let before = store.disk_bytes();
    store.maintainer().drop_range(Space::Segment, &[], &15_u64.to_be_bytes()).unwrap();
    assert_eq!(keys(&store.reader(), Space::Segment), (10..=30).collect::<Vec<_>>());
    assert!(store.disk_bytes() + 40_000 <= before);
    drop(store);
    let store = open(root.path());
    let live: Vec<u64> = keys(&store.reader(), Space::Segment).into_iter().filter(|key| *key >= 15).collect();
    assert_eq!(live, (15..=30).collect::<Vec<_>>());
    store.maintainer().drop_range(Space::Segment, &[], &31_u64.to_be_bytes()).unwrap();
    assert_eq!(keys(&store.reader(), Space::Segment).last(), Some(&30));
    flush(&store);
    store.maintainer().drop_range(Space::Segment, &[], &31_u64.to_be_bytes()).unwrap();
    assert_eq!(keys(&store.reader(), Space::Segment), [0_u64; 0]);
}

/// Commits segments until a journal of 64 MB is sealed; returns the number of the next segment.
fn seal_a_journal(store: &mut FjallStore, mut segment: u64) -> u64 {
    let value = vec![7; 1 << 20];
    let journals = store.shared.db.journal_count();
    while store.shared.db.journal_count() <= journals {
        store.commit(vec![put(Space::Segment, segment, &value)]).unwrap();
        settle(store);
        segment += 1;
    }
    segment
}

/// Makes checkpoints until only the active journal is left; false if that does not happen.
fn has_one_journal(store: &FjallStore) -> bool {
    (0..1000).any(|_| {
        store.maintainer().checkpoint().unwrap();
        settle(store);
        std::thread::yield_now();
        store.shared.db.journal_count() == 1
    })
}

#[test]
fn a_checkpoint_frees_journals_that_rarely_written_spaces_pin() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.commit(Space::ALL.into_iter().map(|space| put(space, 0, b"once")).collect()).unwrap();
    let next = seal_a_journal(&mut store, 1);
    assert!(has_one_journal(&store));
    drop(store);
    let reader = open(root.path()).reader();
    assert_eq!(keys(&reader, Space::Segment), (0..next).collect::<Vec<_>>());
    assert_eq!(keys(&reader, Space::Outbox), [0]);
}

/// fjall takes "nothing newer in tables" for "not flushed yet", so a space that was flushed and then dropped pins its
/// journal.
#[test]
fn a_checkpoint_frees_journals_that_a_space_dropped_whole_pins() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.commit(vec![put(Space::Due, 1, b"due"), put(Space::Outbox, 1, b"notice")]).unwrap();
    seal_a_journal(&mut store, 1);
    fjall_ranges::rotate(store.shared.space(Space::Due)).unwrap();
    settle(&store);
    store.maintainer().drop_range(Space::Due, &[], &[0xff]).unwrap();
    assert!(has_one_journal(&store));
    let reader = store.reader();
    let none: Visit<'_> = &mut |key, _| panic!("the marker is shown: {key:?}");
    assert_eq!(reader.range(Space::Due, &[], &[0xff], 9, none), Ok(0));
    assert_eq!(reader.last(Space::Due, &[0xff]), Ok(None));
}

#[test]
fn runs_are_probed_newest_first_and_live_by_their_registration() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    for run in [RUN_A, RUN_B] {
        let fill: Fill<'_> = &mut |sink| (0..100_u64).try_for_each(|key| sink.put(&key.to_be_bytes(), &[run.1 as u8]));
        store.maintainer().write_run(run, fill).unwrap();
    }
    store.maintainer().write_run((RunFamily::Dedup, 9), &mut |_| Ok(())).unwrap();
    store.commit(vec![run::register(RUN_A, b"note".to_vec()), run::register((RunFamily::Dedup, 9), vec![])]).unwrap();
    let probe = |store: &FjallStore| store.reader().probe(RunFamily::Receipt, &7_u64.to_be_bytes()).unwrap();
    assert_eq!(probe(&store), Some((2, Bytes::from_static(&[2]))));
    drop(store);

    let (mut store, opened) = FjallStore::open(root.path(), OPTIONS).unwrap();
    assert_eq!(opened.runs_deleted, [RUN_B]);
    assert_eq!(probe(&store), Some((1, Bytes::from_static(&[1]))));
    assert_eq!(store.reader().runs(RunFamily::Dedup), [9]);
    let mut seen = 0;
    let visit: Visit<'_> = &mut |_, _| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(store.reader().run_range(RUN_A, &[0], &[0xff], 50, visit), Ok(3));
    store.commit(vec![run::deregister(RUN_A)]).unwrap();
    store.maintainer().delete_run(RUN_A).unwrap();
    assert_eq!((probe(&store), store.reader().runs(RunFamily::Receipt)), (None, vec![]));
    drop(store);

    let mut store = open(root.path());
    assert_eq!(probe(&store), None);
    store.commit(vec![run::register(RUN_A, vec![])]).unwrap();
    drop(store);
    assert!(matches!(FjallStore::open(root.path(), OPTIONS), Err(StoreError::Damaged(_))));
}

/// After a restart fjall gives a new key space the number of a deleted one, and forgets how far its own list of key
/// spaces had counted: the new one's entry was then older than the old one's tombstone and was lost, and the next
/// opening panicked.
#[test]
fn a_run_that_takes_the_place_of_a_deleted_one_is_not_lost() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    for number in 1..6 {
        let run = (RunFamily::Receipt, number);
        store.maintainer().write_run(run, &mut |sink| sink.put(b"key", b"value")).unwrap();
        store.maintainer().delete_run(run).unwrap();
    }
    drop(store);
    store = open(root.path());
    store.maintainer().write_run((RunFamily::Receipt, 6), &mut |sink| sink.put(b"key", b"value")).unwrap();
    store.commit(vec![run::register((RunFamily::Receipt, 6), vec![])]).unwrap();
    for _ in 0..2 {
        drop(store);
        store = open(root.path());
        assert_eq!(store.reader().probe(RunFamily::Receipt, b"key").unwrap(), Some((6, Bytes::from_static(b"value"))));
    }
}

/// A stopped store of `ends.len()` batches in one journal, and where each batch ends.
struct Image {
    root: TempDir,
    ends: Vec<usize>,
}

impl Image {
    fn of(batches: u64) -> Image {
        let root = tempfile::tempdir().unwrap();
        let mut store = open(root.path());
        let mut ends = Vec::new();
        for batch in 0..batches {
            let value = vec![batch as u8 + 1; 40 + 37 * batch as usize];
            store.commit(vec![put(Space::Segment, batch, &value), put(Space::Event, batch, &value)]).unwrap();
            let journal = fs::read(root.path().join("0.jnl")).unwrap();
            ends.push(scanner::written_end(&journal, 0));
        }
        drop(store);
        fs::OpenOptions::new()
            .write(true)
            .open(root.path().join("0.jnl"))
            .and_then(|journal| journal.set_len(ends[ends.len() - 1] as u64))
            .unwrap();
        Image { root, ends }
    }

    fn whole_before(&self, byte: usize) -> usize {
        self.ends.iter().filter(|end| **end <= byte).count()
    }

    /// A copy with the journal changed by `change`.
    fn copy(&self, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(self.root.path(), copy.path());
        let journal = copy.path().join("0.jnl");
        let mut bytes = fs::read(&journal).unwrap();
        change(&mut bytes);
        fs::write(&journal, bytes).unwrap();
        copy
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn assert_holds(shard: &Path, batches: usize, what: &str) {
    let (mut store, _) = FjallStore::open(shard, OPTIONS).unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected: Vec<u64> = (0..batches as u64).collect();
    assert_eq!(keys(&store.reader(), Space::Segment), expected, "{what}");
    assert_eq!(keys(&store.reader(), Space::Event), expected, "{what}");
    store.commit(vec![put(Space::Segment, 1000, b"goes on")]).unwrap();
    drop(store);
    assert_eq!(keys(&open(shard).reader(), Space::Segment).len(), batches + 1, "{what}, opened again");
}

#[test]
fn a_journal_cut_at_any_sector_opens_with_every_whole_batch() {
    let image = Image::of(14);
    let end = image.ends[13];
    for cut in (0..end).step_by(512) {
        let padding = if cut % 1024 == 0 { 0 } else { 5000 };
        let copy = image.copy(|journal| {
            journal.truncate(cut);
            journal.resize(cut + padding, 0);
        });
        assert_holds(copy.path(), image.whole_before(cut), &format!("cut at {cut}"));
        let is_torn = !image.ends.contains(&cut) && cut > 0;
        assert_eq!(copy.path().join("0.jnl.torn-1").exists(), is_torn, "cut at {cut}");
    }
}

#[test]
fn a_flip_is_cut_off_at_the_end_and_refused_before_it() {
    let image = Image::of(6);
    let last = image.ends[4];
    for at in (0..image.ends[5]).step_by(83) {
        let batch = image.whole_before(at);
        let start = if batch == 0 { 0 } else { image.ends[batch - 1] };
        if (5..13).contains(&(at - start)) {
            continue;
        }
        let copy = image.copy(|journal| journal[at] ^= 0x10);
        let flipped = fs::read(copy.path().join("0.jnl")).unwrap();
        if at >= last {
            assert_holds(copy.path(), 5, &format!("flip at {at}"));
            continue;
        }
        let refusal = FjallStore::open(copy.path(), OPTIONS).expect_err("refused");
        assert!(matches!(refusal, StoreError::Damaged(_)), "flip at {at}: {refusal}");
        assert_eq!(fs::read(copy.path().join("0.jnl")).unwrap(), flipped, "nothing was changed");
    }
}

#[test]
fn an_older_journal_must_be_whole_and_come_first() {
    let image = Image::of(4);
    let torn = image.copy(|journal| journal.truncate(journal.len() - 1));
    fs::write(torn.path().join("1.jnl"), [0; 64]).unwrap();
    assert!(matches!(FjallStore::open(torn.path(), OPTIONS), Err(StoreError::Damaged(_))));
    let doubled = image.copy(|_| ());
    fs::copy(doubled.path().join("0.jnl"), doubled.path().join("1.jnl")).unwrap();
    assert!(matches!(FjallStore::open(doubled.path(), OPTIONS), Err(StoreError::Damaged(_))));
    let sealed = image.copy(|journal| journal.resize(journal.len() + 4096, 0));
    fs::write(sealed.path().join("1.jnl"), []).unwrap();
    assert_holds(sealed.path(), 4, "a sealed journal with the rest of its allocation");
    let named = image.copy(|_| ());
    fs::write(named.path().join("one.jnl"), []).unwrap();
    assert!(matches!(FjallStore::open(named.path(), OPTIONS), Err(StoreError::Damaged(_))));
}

#[test]
fn a_creation_that_a_crash_cut_short_is_begun_again_unless_something_was_kept() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("keyspaces")).unwrap();
    fs::write(root.path().join("lock"), []).unwrap();
    fs::write(root.path().join("0.jnl"), [0; 4096]).unwrap();
    assert_holds(root.path(), 0, "half created");
    // As a crash can leave it: the version file has a name, but no bytes.
    let named = tempfile::tempdir().unwrap();
    fs::write(named.path().join("version"), []).unwrap();
    fs::write(named.path().join("0.jnl"), []).unwrap();
    assert_holds(named.path(), 0, "created except for the version");
    let image = Image::of(1);
    fs::remove_file(image.root.path().join("version")).unwrap();
    assert!(matches!(FjallStore::open(image.root.path(), OPTIONS), Err(StoreError::Damaged(_))));
}

/// Any part of a dropped key space may be missing; any other key space needs its list of tables.
#[test]
fn a_list_of_tables_may_be_missing_where_the_key_space_was_dropped_only() {
    let image = Image::of(4);
    let named_by = |space: &Path| {
        let named = fs::read(space.join("current")).unwrap();
        space.join(format!("v{}", u64::from_le_bytes(named[..8].try_into().unwrap())))
    };
    let spaces: Vec<_> = fs::read_dir(image.root.path().join("keyspaces")).unwrap().map(|dir| dir.unwrap()).collect();
    assert!(spaces.len() > Space::ALL.len(), "fjall's own as well");
    for space in spaces {
        let live = image.copy(|_| ());
        fs::remove_file(named_by(&live.path().join("keyspaces").join(space.file_name()))).unwrap();
        assert!(crate::disk::fjall_start::open(live.path(), OPTIONS).is_err(), "{:?}", space.file_name());
    }
    let dropped = image.copy(|_| ());
    let (like, gone) = (dropped.path().join("keyspaces/1"), dropped.path().join("keyspaces/999"));
    fs::create_dir(&gone).unwrap();
    fs::copy(like.join("current"), gone.join("current")).unwrap();
    assert_holds(dropped.path(), 4, "a key space that a crash left half removed");
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(Space, u64, Option<Vec<u8>>)>),
    DropBelow(Space, u64),
    WriteRun(u64),
    Register(u64),
    DeleteRun(u64),
    Flush,
    Checkpoint,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let space = prop::sample::select(&Space::ALL[..]);
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    let change = (space.clone(), 0..30_u64, value);
    let step = prop_oneof![
        8 => prop::collection::vec(change, 0..12).prop_map(Step::Commit),
        2 => (space, 0..30_u64).prop_map(|(space, below)| Step::DropBelow(space, below)),
        2 => (0..6_u64).prop_map(Step::WriteRun),
        2 => (0..6_u64).prop_map(Step::Register),
        1 => (0..6_u64).prop_map(Step::DeleteRun),
        2 => Just(Step::Flush),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

/// Both stores, and for each space the key below which it was dropped: below it the two may differ, and nothing is
/// written any more.
struct Pair {
    root: TempDir,
    disk: Option<FjallStore>,
    memory: MemoryStore,
    dropped_below: [u64; Space::ALL.len()],
}

impl Pair {
    fn disk(&mut self) -> &mut FjallStore {
        let root = self.root.path();
        self.disk.get_or_insert_with(|| open(root))
    }

    fn both(&mut self, ops: Vec<Op>) {
        self.disk().commit(ops.clone()).unwrap();
        self.memory.commit(ops).unwrap();
    }

    fn maintain(&mut self, act: impl Fn(&mut dyn Maintainer) -> Result<(), StoreError>) {
        let disk = act(&mut self.disk().maintainer());
        assert_eq!(disk, act(&mut self.memory.maintainer()));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit(changes) => {
                let floor = self.dropped_below;
                let allowed = changes.into_iter().filter(|(space, key, _)| *key >= floor[*space as usize]);
                let ops = allowed.map(|(space, key, value)| match value {
                    Some(value) => put(space, key, &value),
                    None => delete(space, key),
                });
                self.both(ops.collect());
            }
            Step::DropBelow(space, below) => {
                let floor = &mut self.dropped_below[space as usize];
                *floor = below.max(*floor);
                let to = floor.to_be_bytes();
                self.maintain(|maintainer| maintainer.drop_range(space, &[], &to));
            }
            Step::WriteRun(run) => self.maintain(|maintainer| {
                maintainer.write_run((RunFamily::Dedup, run), &mut |sink| {
                    (0..run).try_for_each(|key| sink.put(&key.to_be_bytes(), &run.to_be_bytes()))
                })
            }),
            Step::Register(run) if self.memory.reader().runs(RunFamily::Dedup).contains(&run) => {
                self.both(vec![run::register((RunFamily::Dedup, run), vec![])]);
            }
            Step::Register(_) => {}
            Step::DeleteRun(run) => {
                self.both(vec![run::deregister((RunFamily::Dedup, run))]);
                self.maintain(|maintainer| maintainer.delete_run((RunFamily::Dedup, run)));
            }
            Step::Flush => flush(self.disk()),
            Step::Checkpoint => self.maintain(|maintainer| maintainer.checkpoint()),
            Step::Reopen => {
                self.disk = None;
                let remains = Remains { dropped: DroppedRanges::ComeBack, ..Remains::default() };
                self.memory = self.memory.crash(&remains).unwrap();
            }
        }
    }

    fn assert_equal(&mut self) {
        let (disk, memory) = (self.disk().reader(), self.memory.reader());
        for (space, floor) in Space::ALL.into_iter().zip(self.dropped_below) {
            let entries = |reader: Entries| reader.into_iter().filter(|(key, _)| !key.starts_with(run::META_PREFIX));
            assert!(entries(entries_from(&disk, space, floor)).eq(entries(entries_from(&memory, space, floor))));
        }
        for family in RunFamily::ALL {
            assert_eq!(disk.runs(family), memory.runs(family));
            for key in 0..6_u64 {
                assert_eq!(disk.probe(family, &key.to_be_bytes()), memory.probe(family, &key.to_be_bytes()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_in_memory_agrees_with_the_store_on_disk(steps in steps()) {
        let root = tempfile::tempdir().unwrap();
        let memory = MemoryStore::new(Drops::AtOnce);
        let mut pair = Pair { root, disk: None, memory, dropped_below: [0; Space::ALL.len()] };
        for step in steps {
            pair.take(step);
        }
        pair.assert_equal();
        pair.take(Step::Reopen);
        pair.assert_equal();
    }
}
