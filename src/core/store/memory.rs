//! The store in memory, for the simulator and for tests: the same promises as the store on disk, and crashes on demand.
//!
//! Knows: which commits are written, which are durable, and what a crash may leave of each.
//! Refuses to know: when a crash comes and what it leaves (the caller decides), what a key or value means.
//!
//! Two steps: [`MemoryStore::commit_begin`] writes a batch, [`MemoryStore::commit_sync`] makes all written batches
//! durable and visible. A crash keeps everything durable, and of the rest what the caller chooses ([`Remains`]): a
//! number of whole batches, then one that is torn into blocks; runs without a registration whole, half or not at all;
//! ranges and runs that were dropped since the last checkpoint, as a replayed journal brings them back. Then it does
//! what a start does: a torn batch is ignored, runs without a registration are deleted.

use std::array;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::ops::{Bound, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::backend::{Backend, Fill, Maintainer, Op, Reader, RunFamily, RunId, Space, StoreError, Visit};
use super::memory_tail as tail;
use super::run;

const SPACES: usize = Space::ALL.len();

type Map = BTreeMap<Bytes, Bytes>;

/// The writing handle; see [`Backend`].
#[derive(Debug)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

/// The reading handle; see [`Reader`].
#[derive(Clone, Debug)]
pub struct MemoryReader {
    disk: Arc<Mutex<Disk>>,
}

/// The maintenance handle; see [`Maintainer`].
#[derive(Debug)]
pub struct MemoryMaintainer {
    disk: Arc<Mutex<Disk>>,
}

/// When a dropped range becomes invisible. The store on disk does either, so a caller must be correct with both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drops {
    /// At once.
    AtOnce,
    /// At the next checkpoint, as if all of it were still in a memtable.
    AtCheckpoint,
}

/// What a crash does to ranges dropped since the last checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DroppedRanges {
    /// They stay dropped.
    StayDropped,
    /// They come back.
    ComeBack,
}

/// What a crash leaves of everything that the store does not promise to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remains {
    /// How many batches that are written but not durable survive as wholes, oldest first.
    pub batches: usize,
    /// Which blocks of 512 bytes survive of the batch after those: block `i` if bit `i % 64` is set.
    pub blocks: u64,
    /// Whether a start uses what it can read of a torn batch. A deliberate bug, which the simulator must find.
    pub torn_counts: bool,
    /// What happens to ranges and runs dropped since the last checkpoint.
    pub dropped: DroppedRanges,
    /// What is left of runs without a registration: their directory entries may be lost, their tables half written.
    pub loose_runs: LooseRuns,
}

/// What is left of a run that was not registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LooseRuns {
    /// All that was written.
    Whole,
    /// The first half.
    Half,
    /// Nothing.
    Lost,
}

impl Default for Remains {
    /// Only what the store promises to keep.
    fn default() -> Self {
        Self {
            batches: 0,
            blocks: 0,
            torn_counts: false,
            dropped: DroppedRanges::StayDropped,
            loose_runs: LooseRuns::Lost,
        }
    }
}

/// A run of the store.
#[derive(Clone, Debug)]
struct Run {
    entries: Arc<Map>,
    /// Whether the end of its table was written.
    is_whole: bool,
}

#[derive(Debug)]
struct Disk {
    /// Durable and visible entries.
    spaces: [Map; SPACES],
    /// Batches that are written, but not synced, oldest first.
    begun: VecDeque<Vec<Op>>,
    runs: BTreeMap<RunId, Run>,
    /// A run that is being written; not visible yet.
    run_begun: Option<(RunId, Map)>,
    drops: Drops,
    /// Ranges that were dropped but are still visible: applied at the next checkpoint.
    drops_due: Vec<(Space, Bytes, Bytes)>,
    /// Entries dropped since the last checkpoint: a crash may bring them back.
    ghosts: [Map; SPACES],
    /// Runs deleted since the last checkpoint: a crash may bring them back.
    ghost_runs: BTreeMap<RunId, Run>,
    /// All ranges that were ever dropped: start and end; no two touch. No key may be put into them.
    gone: [Map; SPACES],
    is_crashed: bool,
    /// The read after this many successful ones fails, with this error.
    read_fails: Option<(u32, StoreError)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(drops: Drops) -> MemoryStore {
        MemoryStore::from_disk(Disk::new(drops))
    }

    /// Writes a batch without making it durable. It is not visible before [`MemoryStore::commit_sync`].
    ///
    /// # Errors
    /// As [`Backend::commit`].
    pub fn commit_begin(&mut self, ops: Vec<Op>) -> Result<(), StoreError> {
        ops.iter().try_for_each(Op::check)?;
        let mut disk = lock(&self.disk)?;
        ops.iter().try_for_each(|op| disk.check(op))?;
        if !ops.is_empty() {
            disk.begun.push_back(ops);
        }
        Ok(())
    }

    /// Makes all written batches durable and visible.
    ///
    /// # Errors
    /// As [`Backend::commit`].
    pub fn commit_sync(&mut self) -> Result<(), StoreError> {
        let mut disk = lock(&self.disk)?;
        while let Some(ops) = disk.begun.pop_front() {
            disk.apply(ops);
        }
        Ok(())
    }

    /// How many batches are written and not durable: [`MemoryStore::crash`] can let at most this many survive.
    pub fn begun(&self) -> usize {
        lock(&self.disk).map_or(0, |disk| disk.begun.len())
    }

    /// Makes one read fail, after this many successful ones. `None`: no read fails.
    pub fn fail_read(&mut self, failure: Option<(u32, StoreError)>) {
        if let Ok(mut disk) = lock(&self.disk) {
            disk.read_fails = failure;
        }
    }

    /// Loses the written batches, as a failed sync does: the next sync does not report it.
    pub fn lose_begun(&mut self) {
        if let Ok(mut disk) = lock(&self.disk) {
            disk.begun.clear();
        }
    }

    /// How many entries and runs were dropped since the last checkpoint, so that a crash may bring them back.
    pub fn dropped_lately(&self) -> usize {
        lock(&self.disk).map_or(0, |disk| disk.ghosts.iter().map(Map::len).sum::<usize>() + disk.ghost_runs.len())
    }

    /// The machine crashes and starts again. Every existing handle answers [`StoreError::Failed`] from now on.
    ///
    /// # Errors
    /// [`StoreError::Failed`] if it has crashed already, [`StoreError::Damaged`] as when a store on disk is opened: a
    /// registered run is missing or half, so it was registered too early or deleted before its registration was.
    pub fn crash(&self, remains: &Remains) -> Result<MemoryStore, StoreError> {
        let mut old = lock(&self.disk)?;
        old.is_crashed = true;
        let mut disk = Disk::new(old.drops);
        disk.spaces = mem::take(&mut old.spaces);
        disk.runs = mem::take(&mut old.runs);
        disk.gone = mem::take(&mut old.gone);
        let mut begun = mem::take(&mut old.begun).into_iter();
        for ops in begun.by_ref().take(remains.batches) {
            disk.apply(ops);
        }
        if let Some(ops) = begun.next().filter(|_| remains.blocks != 0) {
            let mut bytes = tail::write(&ops);
            tail::tear(&mut bytes, remains.blocks);
            let read = if remains.torn_counts { Some(tail::read_any(&bytes)) } else { tail::read(&bytes) };
            disk.apply(read.unwrap_or_default());
        }
        match remains.dropped {
            DroppedRanges::StayDropped => {}
            DroppedRanges::ComeBack => {
                for (space, ghosts) in disk.spaces.iter_mut().zip(mem::take(&mut old.ghosts)) {
                    for (key, value) in ghosts {
                        space.entry(key).or_insert(value);
                    }
                }
                disk.runs.extend(mem::take(&mut old.ghost_runs));
            }
        }
        if let Some((id, entries)) = old.run_begun.take() {
            disk.runs.insert(id, Run { entries: Arc::new(entries), is_whole: false });
        }
        disk.recover_runs(remains.loose_runs)?;
        Ok(MemoryStore::from_disk(disk))
    }

    fn from_disk(disk: Disk) -> MemoryStore {
        MemoryStore { disk: Arc::new(Mutex::new(disk)) }
    }
}

impl Backend for MemoryStore {
    type Reader = MemoryReader;
    type Maintainer = MemoryMaintainer;

    fn commit(&mut self, ops: Vec<Op>) -> Result<(), StoreError> {
        self.commit_begin(ops)?;
        self.commit_sync()
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader { disk: Arc::clone(&self.disk) }
    }

    fn maintainer(&self) -> MemoryMaintainer {
        MemoryMaintainer { disk: Arc::clone(&self.disk) }
    }

    fn disk_bytes(&self) -> u64 {
        let Ok(disk) = lock(&self.disk) else { return 0 };
        let maps = disk.spaces.iter().chain(disk.runs.values().map(|run| run.entries.as_ref()));
        maps.flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}

impl Reader for MemoryReader {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(read(&self.disk)?.spaces[space as usize].get(key).cloned())
    }

    fn range(&self, space: Space, from: &[u8], to: &[u8], limit: usize, visit: Visit<'_>) -> Result<usize, StoreError> {
        let entries = between(&read(&self.disk)?.spaces[space as usize], from, to, limit);
        Ok(walk(entries, visit))
    }

    fn last(&self, space: Space, below: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let disk = read(&self.disk)?;
        let mut entries = disk.spaces[space as usize].range::<[u8], _>((Bound::Unbounded, Bound::Excluded(below)));
        Ok(entries.next_back().map(|(key, value)| (key.clone(), value.clone())))
    }

    fn runs(&self, family: RunFamily) -> Vec<u64> {
        let Ok(disk) = lock(&self.disk) else { return Vec::new() };
        disk.runs.range((family, 0)..=(family, u64::MAX)).map(|((_, number), _)| *number).collect()
    }

    fn probe_in(
        &self,
        family: RunFamily,
        key: &[u8],
        runs: RangeInclusive<u64>,
    ) -> Result<Option<(u64, Bytes)>, StoreError> {
        let disk = read(&self.disk)?;
        let mut newest_first = disk.runs.range((family, *runs.start())..=(family, *runs.end())).rev();
        Ok(newest_first.find_map(|((_, number), run)| Some((*number, run.entries.get(key)?.clone()))))
    }

    fn run_range(
        &self,
        run: RunId,
        from: &[u8],
        to: &[u8],
        limit: usize,
        visit: Visit<'_>,
    ) -> Result<usize, StoreError> {
        let entries = read(&self.disk)?.runs.get(&run).map(|run| between(&run.entries, from, to, limit));
        Ok(entries.map_or(0, |entries| walk(entries, visit)))
    }
}

impl Maintainer for MemoryMaintainer {
    fn drop_range(&mut self, space: Space, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        let mut disk = lock(&self.disk)?;
        note_gone(&mut disk.gone[space as usize], from, to);
        match disk.drops {
            Drops::AtOnce => disk.drop_now(space, from, to),
            Drops::AtCheckpoint => {
                disk.drops_due.push((space, Bytes::copy_from_slice(from), Bytes::copy_from_slice(to)));
            }
        }
        Ok(())
    }

    fn write_run(&mut self, run: RunId, fill: Fill<'_>) -> Result<(), StoreError> {
        self.begin_run(run, fill)?;
        self.finish_run()
    }

    fn delete_run(&mut self, run: RunId) -> Result<(), StoreError> {
        let mut disk = lock(&self.disk)?;
        if let Some(deleted) = disk.runs.remove(&run) {
            disk.ghost_runs.insert(run, deleted);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let mut disk = lock(&self.disk)?;
        for (space, from, to) in mem::take(&mut disk.drops_due) {
            disk.drop_now(space, &from, &to);
        }
        disk.ghosts = array::from_fn(|_| Map::new());
        disk.ghost_runs.clear();
        Ok(())
    }
}

impl MemoryMaintainer {
    /// The first half of [`Maintainer::write_run`]: the run is being written, and is not visible.
    ///
    /// # Errors
    /// As [`Maintainer::write_run`].
    pub fn begin_run(&mut self, run: RunId, fill: Fill<'_>) -> Result<(), StoreError> {
        let mut disk = lock(&self.disk)?;
        if disk.runs.contains_key(&run) {
            return Err(StoreError::Misuse(format!("{} already exists", run::name(run))));
        }
        let mut entries = Map::new();
        let mut write = |key: &[u8], value: &[u8]| {
            entries.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            Ok(())
        };
        fill(&mut run::Ordered::new(&mut write))?;
        disk.run_begun = Some((run, entries));
        Ok(())
    }

    /// The second half: the run is on stable storage.
    ///
    /// # Errors
    /// [`StoreError::Failed`] after a crash.
    pub fn finish_run(&mut self) -> Result<(), StoreError> {
        let mut disk = lock(&self.disk)?;
        if let Some((run, entries)) = disk.run_begun.take() {
            disk.runs.insert(run, Run { entries: Arc::new(entries), is_whole: true });
        }
        Ok(())
    }
}

impl Disk {
    fn new(drops: Drops) -> Disk {
        Disk {
            spaces: array::from_fn(|_| Map::new()),
            begun: VecDeque::new(),
            runs: BTreeMap::new(),
            run_begun: None,
            drops,
            drops_due: Vec::new(),
            ghosts: array::from_fn(|_| Map::new()),
            ghost_runs: BTreeMap::new(),
            gone: array::from_fn(|_| Map::new()),
            is_crashed: false,
            read_fails: None,
        }
    }

    fn apply(&mut self, ops: Vec<Op>) {
        for op in ops {
            match op {
                Op::Put { space, key, value } => {
                    self.spaces[space as usize].insert(key.into(), value.into());
                }
                Op::Delete { space, key } => {
                    self.spaces[space as usize].remove(key.as_slice());
                }
            }
        }
    }

    /// Checks that the change puts nothing into a dropped range.
    fn check(&self, op: &Op) -> Result<(), StoreError> {
        let Op::Put { space, key, .. } = op else { return Ok(()) };
        let before =
            self.gone[*space as usize].range::<[u8], _>((Bound::Unbounded, Bound::Included(&key[..]))).next_back();
        match before.filter(|(_, to)| key[..] < to[..]) {
            Some(_) => Err(StoreError::Misuse(format!("{key:?} of {} lies in a range that was dropped", space.name()))),
            None => Ok(()),
        }
    }

    fn drop_now(&mut self, space: Space, from: &[u8], to: &[u8]) {
        let map = &mut self.spaces[space as usize];
        for (key, value) in between(map, from, to, usize::MAX) {
            map.remove(&key);
            self.ghosts[space as usize].insert(key, value);
        }
    }

    fn recover_runs(&mut self, loose: LooseRuns) -> Result<(), StoreError> {
        let (from, to) = run::registration_bounds();
        let registrations = between(&self.spaces[Space::Meta as usize], &from, &to, usize::MAX);
        let registered: Vec<_> = registrations.iter().filter_map(|(key, _)| run::parse_registration_key(key)).collect();
        self.runs.retain(|id, _| loose != LooseRuns::Lost || registered.contains(id));
        for (_, run) in self.runs.iter_mut().filter(|(id, _)| loose == LooseRuns::Half && !registered.contains(id)) {
            let half = run.entries.len() / 2;
            let entries = run.entries.iter().take(half).map(|(key, value)| (key.clone(), value.clone()));
            *run = Run { entries: Arc::new(entries.collect()), is_whole: false };
        }
        if let Some(half) = registered.iter().find(|id| self.runs.get(id).is_some_and(|run| !run.is_whole)) {
            return Err(StoreError::Damaged(format!("{} is registered and ends too early", run::name(*half))));
        }
        let found = run::reconcile(self.runs.keys().copied().collect(), registered)?;
        self.runs.retain(|run, _| found.keep.contains(run));
        Ok(())
    }
}

/// Notes that the range was dropped, merging it with those that touch it.
fn note_gone(gone: &mut Map, from: &[u8], to: &[u8]) {
    if from >= to {
        return;
    }
    let (mut from, mut to) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(to));
    while let Some((first, last)) = gone.range(..=to.clone()).next_back().filter(|(_, last)| **last >= from) {
        let first = first.clone();
        (from, to) = (from.min(first.clone()), to.max(last.clone()));
        gone.remove(&first);
    }
    gone.insert(from, to);
}

fn between(map: &Map, from: &[u8], to: &[u8], limit: usize) -> Vec<(Bytes, Bytes)> {
    if from >= to {
        return Vec::new();
    }
    let entries = map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
    entries.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn walk(entries: Vec<(Bytes, Bytes)>, visit: Visit<'_>) -> usize {
    let mut visited = 0;
    for (key, value) in entries {
        visited += 1;
        if visit(&key, &value).is_break() {
            break;
        }
    }
    visited
}

fn lock(disk: &Mutex<Disk>) -> Result<MutexGuard<'_, Disk>, StoreError> {
    let disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
    if disk.is_crashed {
        return Err(StoreError::Failed("the machine has crashed".to_owned()));
    }
    Ok(disk)
}

/// As [`lock`], for a read, which may be set to fail.
fn read(disk: &Mutex<Disk>) -> Result<MutexGuard<'_, Disk>, StoreError> {
    let mut disk = lock(disk)?;
    match disk.read_fails.take() {
        Some((0, failure)) => return Err(failure),
        Some((left, failure)) => disk.read_fails = Some((left - 1, failure)),
        None => {}
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: u16, value: &str) -> Op {
        Op::Put { space: Space::Event, key: key.to_be_bytes().to_vec(), value: value.into() }
    }

    fn keys(store: &MemoryStore) -> Vec<u16> {
        let mut keys = Vec::new();
        let reader = store.reader();
        let visited = reader.range(Space::Event, &[0, 0], &[0xff, 0xff, 0xff], usize::MAX, &mut |key, _| {
            keys.push(u16::from_be_bytes(key.try_into().unwrap()));
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(visited, Ok(keys.len()));
        keys
    }

    #[test]
    fn a_crash_keeps_what_is_synced_and_as_much_of_the_rest_as_told() {
        for survivors in 0..=2 {
            let mut store = MemoryStore::new(Drops::AtOnce);
            store.commit(vec![put(1, "a")]).unwrap();
            store.commit_begin(vec![put(2, "b")]).unwrap();
            store.commit_begin(vec![put(3, "c"), put(4, "c")]).unwrap();
            assert_eq!((keys(&store), store.begun()), (vec![1], 2));
            let reader = store.reader();
            let after = store.crash(&Remains { batches: survivors, ..Remains::default() }).unwrap();
            assert_eq!(keys(&after), [vec![1], vec![1, 2], vec![1, 2, 3, 4]][survivors]);
            assert!(matches!(reader.get(Space::Event, &[0, 1]), Err(StoreError::Failed(_))));
            assert!(matches!(store.commit(vec![put(9, "z")]), Err(StoreError::Failed(_))));
        }
    }

    #[test]
    fn dropped_ranges_come_back_until_the_checkpoint() {
        for (checkpoint, left) in [(false, vec![1, 2, 3]), (true, vec![3])] {
            let mut store = MemoryStore::new(Drops::AtOnce);
            store.commit(vec![put(1, "a"), put(2, "b"), put(3, "c")]).unwrap();
            store.maintainer().drop_range(Space::Event, &[0], &[0, 3]).unwrap();
            assert_eq!(keys(&store), [3]);
            if checkpoint {
                store.maintainer().checkpoint().unwrap();
            }
            let remains = Remains { dropped: DroppedRanges::ComeBack, ..Remains::default() };
            assert_eq!(keys(&store.crash(&remains).unwrap()), left);
        }
    }

    #[test]
    fn a_lazy_drop_is_seen_until_the_checkpoint() {
        let mut store = MemoryStore::new(Drops::AtCheckpoint);
        store.commit(vec![put(1, "a"), put(2, "b")]).unwrap();
        store.maintainer().drop_range(Space::Event, &[0], &[0, 2]).unwrap();
        assert_eq!(keys(&store), [1, 2]);
        store.maintainer().checkpoint().unwrap();
        assert_eq!(keys(&store), [2]);
    }

    #[test]
    fn a_torn_batch_counts_for_nothing_unless_a_bug_takes_its_front() {
        let long = "v".repeat(900);
        for (blocks, torn_counts, left) in
            [(1, false, vec![]), (u64::MAX, false, vec![1, 2]), (0, true, vec![]), (1, true, vec![1])]
        {
            let mut store = MemoryStore::new(Drops::AtOnce);
            store.commit_begin(vec![put(1, &long), put(2, &long)]).unwrap();
            let after = store.crash(&Remains { blocks, torn_counts, ..Remains::default() }).unwrap();
            assert_eq!(keys(&after), left, "blocks {blocks:b}");
        }
    }

    fn with_runs(runs: &[RunId]) -> MemoryStore {
        let store = MemoryStore::new(Drops::AtOnce);
        for run in runs {
            store.maintainer().write_run(*run, &mut |sink| sink.put(b"key", &[run.1 as u8])).unwrap();
        }
        store
    }

    #[test]
    fn an_unregistered_run_is_gone_after_a_crash_and_a_lost_one_is_damage() {
        let (a, b) = ((RunFamily::Receipt, 1), (RunFamily::Receipt, 2));
        for loose_runs in [LooseRuns::Whole, LooseRuns::Half, LooseRuns::Lost] {
            let mut store = with_runs(&[a, b]);
            store.commit(vec![run::register(a, Vec::new())]).unwrap();
            assert_eq!(store.reader().probe(RunFamily::Receipt, b"key"), Ok(Some((2, Bytes::from_static(&[2])))));
            let store = store.crash(&Remains { loose_runs, ..Remains::default() }).unwrap();
            assert_eq!(store.reader().runs(RunFamily::Receipt), [1]);
            assert_eq!(store.reader().probe(RunFamily::Receipt, b"key"), Ok(Some((1, Bytes::from_static(&[1])))));
            store.maintainer().delete_run(a).unwrap();
            assert!(matches!(store.crash(&Remains::default()), Err(StoreError::Damaged(_))));
        }
    }

    #[test]
    fn a_run_registered_while_it_is_written_is_damage() {
        let a = (RunFamily::Receipt, 1);
        let mut store = with_runs(&[]);
        store.maintainer().begin_run(a, &mut |sink| sink.put(b"key", b"value")).unwrap();
        assert!(store.reader().runs(RunFamily::Receipt).is_empty());
        store.commit(vec![run::register(a, Vec::new())]).unwrap();
        assert!(matches!(store.crash(&Remains::default()), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_deleted_run_that_comes_back_is_deleted_again() {
        let a = (RunFamily::Receipt, 1);
        let mut store = with_runs(&[a]);
        store.commit(vec![run::register(a, Vec::new())]).unwrap();
        store.commit(vec![run::deregister(a)]).unwrap();
        store.maintainer().delete_run(a).unwrap();
        let remains = Remains { dropped: DroppedRanges::ComeBack, loose_runs: LooseRuns::Whole, ..Remains::default() };
        assert!(store.crash(&remains).unwrap().reader().runs(RunFamily::Receipt).is_empty());
    }
}
