//! The store on disk: one fjall database per shard.
//!
//! Knows: the options of each space, when a memtable is sealed, how old journals are freed, how runs are written.
//! Refuses to know: what a key or value means, which thread it runs on. `fjall_ranges` wraps what fjall hides,
//! `fjall_journals` checks the journals before fjall opens them.
//!
//! Why this file seals memtables and not fjall: fjall asks its worker to do it with *every* write to a full memtable,
//! through a queue of 1,000 places, and the worker itself waits for a place in that queue when it seals. A single
//! worker that is busy compacting for 1,000 commits then waits for itself for ever. So fjall's own limit is set so high
//! that it is never reached, and the commit that fills a memtable seals it, once.
//!
//! Why there are marker keys: see `fjall_ranges` on what pins a journal. A space whose tables were all dropped gets one
//! entry under [`MARKER`], so that it can be flushed. Callers therefore may not use keys of one byte, and never see
//! them.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot,
};

use super::fjall_journals::{self, Journals};
use super::fjall_mutants::{self, Mutant};
use super::fjall_ranges;
use super::fjall_reads;
use stentor_core::store::backend::{Backend, Fill, Maintainer, Op, Reader, RunFamily, RunId, Space, StoreError, Visit};
use stentor_core::store::run;

/// Sorts before every key of a caller, so that the table that holds it goes with the next dropped range.
pub(super) const MARKER: [u8; 1] = [0];

/// Sealed journals of this size in all make fjall flush what pins the oldest one, bytes. fjall accepts no smaller
/// value, and seals a journal at 64 MB; so there are one or two journals, three while the worker is behind, and a start
/// replays at most what two hold.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

const SPACES: usize = Space::ALL.len();

/// The resources of one store; the stores of a process share them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FjallOptions {
    /// Size of the block cache, bytes.
    pub cache_bytes: u64,
    /// How many table files are kept open.
    pub open_files_max: usize,
    /// Memtables are sealed at their usual size divided by 2^n. 0 except in tests that need many tables from few bytes.
    pub memtables_shift: u32,
    /// A deliberate bug, for tests that prove that it would be noticed.
    pub mutant: Option<Mutant>,
}

impl FjallOptions {
    /// One store's share of what a process may use, for `stores` stores: 64 MiB of cache in all (but at least 4 MiB
    /// each), and 512 open files (but at least 32 each), so that sockets have the rest of the usual 1,024.
    pub fn shared_by(stores: usize) -> FjallOptions {
        let stores = stores.max(1);
        FjallOptions {
            cache_bytes: ((64 << 20) / stores as u64).max(4 << 20),
            open_files_max: (512 / stores).max(32),
            memtables_shift: 0,
            mutant: None,
        }
    }
}

/// What opening a store found, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The journals, as checked before fjall opened them.
    pub journals: Journals,
    /// Runs that were never registered and are now deleted.
    pub runs_deleted: Vec<RunId>,
}

/// The writing handle; see [`Backend`].
pub struct FjallStore {
    shared: Arc<Shared>,
    /// A commit has failed: the kernel may have discarded what it could not write.
    has_failed: bool,
    /// The next commit fails.
    #[cfg(test)]
    fails_next: bool,
}

/// The reading handle; see [`Reader`].
#[derive(Clone)]
pub struct FjallReader {
    shared: Arc<Shared>,
}

/// The maintenance handle; see [`Maintainer`].
pub struct FjallMaintainer {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    options: FjallOptions,
    db: Database,
    spaces: [Keyspace; SPACES],
    /// By number of the space: the sequence number of the last write to it; 0: none.
    written: [AtomicU64; SPACES],
    /// The runs that are looked up. Only the maintenance handle changes this.
    runs: RwLock<BTreeMap<RunId, Keyspace>>,
}

impl FjallStore {
    /// Opens the store in `shard`, or creates it there. No other process may have it open (`directory` holds the lock).
    ///
    /// # Errors
    /// As [`fjall_journals::prepare`]; [`StoreError::Failed`] if its files cannot be read at the moment,
    /// [`StoreError::Damaged`] if they can never be read or a registered run is missing.
    pub fn open(shard: &Path, options: FjallOptions) -> Result<(FjallStore, Opened), StoreError> {
        let journals =
            if options.has(Mutant::SkipScanner) { Journals::default() } else { fjall_journals::prepare(shard)? };
        let unreadable = |error: fjall::Error| fjall_reads::not_opened(shard, &error);
        let db = Database::builder(shard)
            .cache_size(options.cache_bytes)
            .max_cached_files(Some(options.open_files_max))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .worker_threads(1)
            .open()
            .map_err(unreadable)?;
        fjall_ranges::skip_seqnos(&db);
        let mut spaces = Vec::with_capacity(SPACES);
        for space in Space::ALL {
            spaces.push(db.keyspace(space.name(), || space_options(space)).map_err(unreadable)?);
        }
        let spaces: [Keyspace; SPACES] =
            spaces.try_into().map_err(|_| StoreError::Misuse("the number of spaces is not itself".to_owned()))?;
        let written = std::array::from_fn(|at| AtomicU64::new(fjall_ranges::highest_seqno(&spaces[at]).unwrap_or(0)));
        let shared = Arc::new(Shared { path: shard.to_owned(), options, db, spaces, written, runs: RwLock::default() });
        shared.sync_key_spaces()?;
        shared.put_marker(Space::Meta).map_err(failed)?;
        let runs_deleted = shared.recover_runs()?;
        let store = FjallStore {
            shared,
            has_failed: false,
            #[cfg(test)]
            fails_next: false,
        };
        Ok((store, Opened { journals, runs_deleted }))
    }

    /// How many journals there are, including the active one.
    pub fn journal_count(&self) -> usize {
        self.shared.db.journal_count()
    }

    /// The fjall key space of a space, to be filled beside the journal while the store is new.
    pub(super) fn keyspace(&self, space: Space) -> &Keyspace {
        self.shared.space(space)
    }

    /// fjall's number of a space, as used in the journals.
    pub(super) fn number(&self, space: Space) -> Option<u64> {
        self.shared.space(space).path().file_name()?.to_str()?.parse().ok()
    }

    /// Every key space and its name: the spaces, then the runs.
    pub(super) fn key_spaces(&self) -> Vec<(String, Keyspace)> {
        let spaces = Space::ALL.into_iter().map(|space| (space.name().to_owned(), self.shared.space(space).clone()));
        let runs = self.shared.read_runs();
        spaces.chain(runs.iter().map(|(id, run)| (run::name(*id), run.clone()))).collect()
    }

    /// Bytes allocated to journals, active and sealed.
    pub fn journal_bytes(&self) -> u64 {
        self.shared.db.journal_disk_space().unwrap_or(0)
    }
}

impl Backend for FjallStore {
    type Reader = FjallReader;
    type Maintainer = FjallMaintainer;

    fn commit(&mut self, ops: Vec<Op>) -> Result<(), StoreError> {
        if self.has_failed {
            return Err(StoreError::Failed("an earlier commit has failed".to_owned()));
        }
        let done = self.write(ops);
        self.has_failed = matches!(done, Err(StoreError::Failed(_)));
        done
    }

    fn reader(&self) -> FjallReader {
        FjallReader { shared: Arc::clone(&self.shared) }
    }

    fn maintainer(&self) -> FjallMaintainer {
        FjallMaintainer { shared: Arc::clone(&self.shared) }
    }

    fn disk_bytes(&self) -> u64 {
        self.shared.db.disk_space().unwrap_or(0)
    }
}

impl FjallStore {
    #[cfg(test)]
    pub(super) const fn fail_next(&mut self) {
        self.fails_next = true;
    }

    fn write(&mut self, ops: Vec<Op>) -> Result<(), StoreError> {
        #[cfg(test)]
        if std::mem::take(&mut self.fails_next) {
            return Err(StoreError::Failed("a simulated disk error".to_owned()));
        }
        if ops.is_empty() {
            return Ok(());
        }
        ops.iter().try_for_each(Op::check)?;
        if self.shared.options.has(Mutant::DropEarly) {
            fjall_mutants::drop_early(&ops, self.shared.space(Space::Event))?;
        }
        let synced =
            if self.shared.options.has(Mutant::SkipSync) { PersistMode::Buffer } else { PersistMode::SyncData };
        let mut is_touched = [false; SPACES];
        let mut batch = OwnedWriteBatch::with_capacity(self.shared.db.clone(), ops.len()).durability(Some(synced));
        for op in ops {
            let (Op::Put { space, .. } | Op::Delete { space, .. }) = op;
            is_touched[space as usize] = true;
            let keyspace = self.shared.space(space);
            match op {
                Op::Put { key, value, .. } => batch.insert(keyspace, key, value),
                Op::Delete { key, .. } => batch.remove(keyspace, key),
            }
        }
        batch.commit().map_err(failed)?;
        self.shared.after_commit(is_touched)
    }
}

impl FjallReader {
    /// The input of a backup: a snapshot, and the spaces (by number) and runs to be read with it.
    pub(super) fn view(&self) -> (Snapshot, &[Keyspace], Vec<(RunId, Keyspace)>) {
        let runs = self.shared.read_runs().iter().map(|(run, keyspace)| (*run, keyspace.clone())).collect();
        (self.shared.db.snapshot(), &self.shared.spaces, runs)
    }
}

impl Reader for FjallReader {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let snapshot = self.shared.db.snapshot();
        let found = fjall_reads::read(|| snapshot.get(self.shared.space(space), key))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, space: Space, from: &[u8], to: &[u8], limit: usize, visit: Visit<'_>) -> Result<usize, StoreError> {
        if from >= to {
            return Ok(0);
        }
        let snapshot = self.shared.db.snapshot();
        let entries = |from: &[u8]| snapshot.range::<&[u8], _>(self.shared.space(space), from..to);
        fjall_reads::walk(from, entries, limit, visit)
    }

    fn last(&self, space: Space, below: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let snapshot = self.shared.db.snapshot();
        fjall_reads::read(|| {
            for guard in snapshot.range::<&[u8], _>(self.shared.space(space), ..below).rev() {
                let (key, value) = guard.into_inner()?;
                if *key != MARKER {
                    return Ok(Some((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value))));
                }
            }
            Ok(None)
        })
    }

    fn runs(&self, family: RunFamily) -> Vec<u64> {
        self.shared.read_runs().range((family, 0)..=(family, u64::MAX)).map(|((_, number), _)| *number).collect()
    }

    fn probe_in(
        &self,
        family: RunFamily,
        key: &[u8],
        numbers: RangeInclusive<u64>,
    ) -> Result<Option<(u64, Bytes)>, StoreError> {
        let runs = self.shared.read_runs();
        for ((_, number), run) in runs.range((family, *numbers.start())..=(family, *numbers.end())).rev() {
            if let Some(value) = fjall_reads::read(|| run.get(key))? {
                return Ok(Some((*number, Bytes::copy_from_slice(&value))));
            }
        }
        Ok(None)
    }

    fn run_range(
        &self,
        run: RunId,
        from: &[u8],
        to: &[u8],
        limit: usize,
        visit: Visit<'_>,
    ) -> Result<usize, StoreError> {
        let run = self.shared.read_runs().get(&run).cloned();
        match run {
            Some(run) if from < to => fjall_reads::walk(from, |from| run.range::<&[u8], _>(from..to), limit, visit),
            Some(_) | None => Ok(0),
        }
    }
}

impl Maintainer for FjallMaintainer {
    fn drop_range(&mut self, space: Space, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        fjall_ranges::drop_range(self.shared.space(space), from, to).map_err(failed)
    }

    fn write_run(&mut self, run: RunId, fill: Fill<'_>) -> Result<(), StoreError> {
        let name = run::name(run);
        if self.shared.db.keyspace_exists(&name) {
            return Err(StoreError::Misuse(format!("{name} already exists")));
        }
        if self.shared.options.has(Mutant::RegisterEarly) {
            let mut batch = self.shared.db.batch().durability(Some(PersistMode::SyncData));
            batch.insert(self.shared.space(Space::Meta), run::registration_key(run), []);
            batch.commit().map_err(failed)?;
        }
        let keyspace = self.shared.db.keyspace(&name, run_options).map_err(failed)?;
        match fjall_ranges::ingest(&keyspace, fill) {
            Ok(()) => {
                self.shared.sync_key_spaces()?;
                self.shared.write_runs().insert(run, keyspace);
                Ok(())
            }
            Err(error) => {
                self.shared.db.delete_keyspace(keyspace).map_err(failed)?;
                Err(error)
            }
        }
    }

    fn delete_run(&mut self, run: RunId) -> Result<(), StoreError> {
        let keyspace = self.shared.write_runs().remove(&run);
        keyspace.map_or(Ok(()), |keyspace| self.shared.db.delete_keyspace(keyspace).map_err(failed))
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.shared.checkpoint()
    }
}

impl Shared {
    fn space(&self, space: Space) -> &Keyspace {
        &self.spaces[space as usize]
    }

    /// fjall syncs what it makes inside the directory of a new key space, but not the directory that contains it.
    /// Without this call a power cut removes the whole key space, and fjall opens without an error.
    fn sync_key_spaces(&self) -> Result<(), StoreError> {
        if self.options.has(Mutant::SkipDirectorySync) {
            return Ok(());
        }
        fjall_ranges::sync_key_spaces(&self.path)
            .map_err(|error| StoreError::Failed(format!("cannot sync {}: {error}", self.path.display())))
    }

    /// A poisoned lock means that the maintenance thread panicked while it changed the list; the process is about to
    /// abort.
    fn read_runs(&self) -> RwLockReadGuard<'_, BTreeMap<RunId, Keyspace>> {
        self.runs.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write_runs(&self) -> RwLockWriteGuard<'_, BTreeMap<RunId, Keyspace>> {
        self.runs.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn after_commit(&self, is_touched: [bool; SPACES]) -> Result<(), StoreError> {
        for space in Space::ALL.into_iter().filter(|space| is_touched[*space as usize]) {
            let keyspace = self.space(space);
            let seqno = fjall_ranges::highest_memtable_seqno(keyspace).unwrap_or_else(|| self.db.seqno());
            self.written[space as usize].store(seqno, Ordering::Release);
            if fjall_ranges::memtable_bytes(keyspace) >= memtable_bytes_max(space) >> self.options.memtables_shift {
                fjall_ranges::rotate(keyspace).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Seals the memtables that keep a sealed journal alive; does nothing if there is none. Fails if the worker has
    /// failed, which would otherwise go unnoticed while nothing is committed. The data that the worker writes was
    /// synced with its batch already.
    fn checkpoint(&self) -> Result<(), StoreError> {
        self.db.persist(PersistMode::Buffer).map_err(failed)?;
        if self.db.journal_count() <= 1 {
            return Ok(());
        }
        for space in Space::ALL {
            let keyspace = self.space(space);
            let written = self.written[space as usize].load(Ordering::Acquire);
            let needs_marker = written > 0
                && fjall_ranges::memtable_bytes(keyspace) == 0
                && !fjall_ranges::is_flushing(keyspace)
                && !fjall_ranges::is_persisted(keyspace, written);
            if needs_marker {
                self.put_marker(space).map_err(failed)?;
            }
            if fjall_ranges::memtable_bytes(keyspace) > 0 {
                fjall_ranges::rotate(keyspace).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Synced, like every batch: the scanner relies on it.
    fn put_marker(&self, space: Space) -> fjall::Result<()> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        batch.insert(self.space(space), MARKER, []);
        batch.commit()
    }

    fn recover_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let names = self.db.list_keyspace_names();
        let present = names.iter().filter_map(|name| run::parse_name(name)).collect();
        let (from, to) = run::registration_bounds();
        let mut registered = Vec::new();
        let visit: Visit<'_> = &mut |key, _| {
            registered.extend(run::parse_registration_key(key));
            ControlFlow::Continue(())
        };
        let entries = |from: &[u8]| self.space(Space::Meta).range::<&[u8], _>(from..&to[..]);
        fjall_reads::walk(&from, entries, usize::MAX, visit)?;
        let found = run::reconcile(present, registered)?;
        for id in &found.delete {
            let keyspace = fjall_reads::read(|| self.db.keyspace(&run::name(*id), run_options))?;
            self.db.delete_keyspace(keyspace).map_err(failed)?;
        }
        let mut runs = self.write_runs();
        for id in found.keep {
            runs.insert(id, fjall_reads::read(|| self.db.keyspace(&run::name(id), run_options))?);
        }
        Ok(found.delete)
    }
}

fn failed(error: fjall::Error) -> StoreError {
    StoreError::Failed(match error {
        fjall::Error::Poisoned => "an earlier write or a background write failed; see the log".to_owned(),
        error => error.to_string(),
    })
}

/// Size at which the memtable of a space is sealed, bytes. The sum of these bounds what a start replays.
fn memtable_bytes_max(space: Space) -> u64 {
    match space {
        Space::Segment | Space::Event => 16 << 20,
        Space::State | Space::Due | Space::Receipt | Space::Dedup => 4 << 20,
        Space::Ready
        | Space::Book
        | Space::DeadLetter
        | Space::Moved
        | Space::Outbox
        | Space::Handset
        | Space::Joining
        | Space::Orphan
        | Space::Entry
        | Space::Meta => 1 << 20,
    }
}

fn space_options(space: Space) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default().manual_journal_persist(true).max_memtable_size(u64::MAX);
    match space {
        // Values are compressed already, and the keys that are looked up exist.
        Space::Segment | Space::Event | Space::Receipt | Space::Dedup | Space::State | Space::Due => options
            .data_block_compression_policy(CompressionPolicy::disabled())
            .filter_policy(FilterPolicy::disabled())
            .expect_point_read_hits(true),
        Space::Ready | Space::Book | Space::Meta => {
            options.data_block_compression_policy(CompressionPolicy::disabled())
        }
        Space::DeadLetter
        | Space::Moved
        | Space::Outbox
        | Space::Handset
        | Space::Joining
        | Space::Orphan
        | Space::Entry => options,
    }
}

fn run_options() -> KeyspaceCreateOptions {
    let bloom = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0));
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .max_memtable_size(u64::MAX)
        .data_block_compression_policy(CompressionPolicy::disabled())
        .filter_policy(FilterPolicy::all(bloom))
}

impl std::fmt::Debug for FjallStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallStore").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for FjallReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallReader").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for FjallMaintainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallMaintainer").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "fjall_tests.rs"]
mod tests;
