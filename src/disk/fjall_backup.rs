//! Backups of stores on disk: reads a store as it was after one commit, while the store goes on, and writes it as a new
//! store elsewhere.
//!
//! Knows: which tables a store has, how a new store is filled. Refuses to know: the layout of a backup (`backup`),
//! which part of a table is needed (`extent`), what a restore changes in it (`restored`), who asks for a backup.
//!
//! Why a snapshot is enough: one batch is one commit, so a snapshot holds whole batches. All iterators are made at
//! once, on the thread that drops ranges and deletes runs, so nothing can be removed while it is read: an iterator
//! keeps the tables and memtables that it was made from, and a deleted run stays until its last reader has finished.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;

use fjall::{Iter, Readable, Snapshot};

use stentor_core::delivery::DoubtPolicy;

use super::directory::{self, Format, HighWaterFile, Restoring};
use super::fjall::{FjallOptions, FjallReader, FjallStore};
use super::fjall_ranges;
use super::fjall_reads::{read, unreadable};
use stentor_core::store::backend::{Backend, Maintainer, Op, Space, StoreError};
use stentor_core::store::backup::{BackupReader, BackupWriter, Broken, CONTROL, Manifest, Piece, Table};
use stentor_core::store::batch::CommitSeq;
use stentor_core::store::control::{ControlPlan, ControlSurvey};
use stentor_core::store::extent::Extent;
use stentor_core::store::key::Key;
use stentor_core::store::record::{CheckpointRecord, DecodeError, decode};
use stentor_core::store::restored::{Entry, Exhausted, Plan, Survey};
use stentor_core::store::run;

/// A store as it was after one commit.
pub struct StoreSnapshot {
    commit: CommitSeq,
    tables: Vec<(Table, Iter)>,
    extent: Extent,
}

impl StoreSnapshot {
    /// A snapshot of a shard's store. To be called on its maintenance thread.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for records that a start could not read either.
    pub fn open(reader: &FjallReader) -> Result<Self, StoreError> {
        let (snapshot, spaces, runs) = reader.view();
        let space = |space: Space| &spaces[space as usize];
        let extent = Extent::of(checkpoint(&snapshot, reader)?);
        let newest = snapshot.range::<&[u8], _>(space(Space::Event), &Key::Turn(1).bytes()[..]..).next_back();
        let newest = newest.map(|guard| guard.key().map_err(|error| unreadable(&error))).transpose()?;
        let newest = newest.and_then(|key| Key::number(&key));
        let mut tables = Vec::new();
        let (from, to) = run::registration_bounds();
        for guard in snapshot.range::<&[u8], _>(space(Space::Meta), &from[..]..&to[..]) {
            let key = guard.key().map_err(|error| unreadable(&error))?;
            let Some(id) = run::parse_registration_key(&key) else { continue };
            let lost = || StoreError::Damaged(format!("{} is registered but not there", run::name(id)));
            let keyspace =
                runs.iter().find(|(known, _)| *known == id).map(|(_, keyspace)| keyspace).ok_or_else(lost)?;
            tables.push((Table::Run(id), snapshot.iter(keyspace)));
        }
        for (from, table) in Space::ALL.map(|space| (extent.first_key(space), space)) {
            tables.push((Table::Space(table), snapshot.range::<&[u8], _>(space(table), &from[..]..)));
        }
        Ok(Self { commit: extent.last_commit(newest), tables, extent })
    }

    /// The last commit in the snapshot.
    pub const fn commit(&self) -> CommitSeq {
        self.commit
    }

    /// Writes the whole snapshot.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the store cannot be read, and errors of `out`.
    pub fn write<W: Write>(self, store: u16, out: &mut BackupWriter<W>) -> Result<(), WriteError> {
        for (table, entries) in self.tables {
            out.table(store, table).map_err(WriteError::Out)?;
            for guard in entries {
                let (key, value) = guard.into_inner().map_err(|error| WriteError::Store(unreadable(&error)))?;
                if self.extent.holds(table, &key) {
                    out.entry(&key, &value).map_err(WriteError::Out)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for StoreSnapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StoreSnapshot").field("commit", &self.commit).finish_non_exhaustive()
    }
}

/// Why a backup was not completed.
#[derive(Debug)]
pub enum WriteError {
    /// The store cannot be read.
    Store(StoreError),
    /// The output cannot be written.
    Out(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(out, "{error}"),
            Self::Out(error) => write!(out, "{error}"),
        }
    }
}

fn checkpoint(snapshot: &Snapshot, reader: &FjallReader) -> Result<CheckpointRecord, StoreError> {
    let (_, spaces, _) = reader.view();
    let found = read(|| snapshot.get(&spaces[Space::Meta as usize], Key::Checkpoint.bytes()))?;
    let record = found.map(|bytes| decode(&bytes)).transpose();
    record.map(Option::unwrap_or_default).map_err(|error| StoreError::Damaged(format!("checkpoint: {error}")))
}

/// Why a backup was not restored. Each is one line for the operator.
#[derive(Debug)]
pub enum RestoreError {
    /// The backup is not complete.
    Broken(Broken),
    /// A record in it cannot be read; of the store with this number.
    Record(u16, DecodeError),
    /// This shard cannot be restored again.
    Exhausted(u16, Exhausted),
    /// The target directory is refused.
    Place(directory::Refusal),
    /// The new store cannot be written.
    Store(StoreError),
    /// The new directory cannot be written.
    Io(io::Error),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => write!(out, "{broken}"),
            Self::Record(CONTROL, error) => write!(out, "the backup's store of control cannot be read: {error}"),
            Self::Record(shard, error) => write!(out, "the backup's shard {shard} cannot be read: {error}"),
            Self::Exhausted(shard, why) => write!(out, "shard {shard} cannot be restored: {why}"),
            Self::Place(refusal) => write!(out, "{refusal}"),
            Self::Store(error) => write!(out, "{error}"),
            Self::Io(error) => write!(out, "cannot write: {error}"),
        }
    }
}

impl std::error::Error for RestoreError {}

/// A backup that was read to its end and is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its manifest.
    pub manifest: Manifest,
    /// Number of entries.
    pub entries: u64,
    /// Length of the backup, bytes.
    pub bytes: u64,
    /// Bytes of all keys and values, uncompressed, as a store keeps them.
    pub plain_bytes: u64,
    surveys: Vec<Survey>,
    control: ControlSurvey,
}

/// Reads a backup to its end, so that nothing is written before it is known to be complete.
///
/// # Errors
/// [`RestoreError::Broken`] and [`RestoreError::Record`].
pub fn check<R: Read>(input: R) -> Result<Checked, RestoreError> {
    let mut reader = BackupReader::open(input).map_err(RestoreError::Broken)?;
    let manifest = reader.manifest().clone();
    let mut surveys = vec![Survey::default(); usize::from(manifest.shards)];
    let mut control = ControlSurvey::default();
    while let Some(piece) = reader.next_piece().map_err(RestoreError::Broken)? {
        let noted = match surveys.get_mut(usize::from(piece.store)) {
            Some(survey) => survey.note(&piece),
            None => control.note(&piece),
        };
        noted.map_err(|error| RestoreError::Record(piece.store, error))?;
    }
    Ok(Checked {
        manifest,
        entries: reader.entries(),
        bytes: reader.bytes(),
        plain_bytes: reader.plain_bytes(),
        surveys,
        control,
    })
}

/// Makes a data directory at `path`, which must be empty or not exist, from a backup that [`check`] found complete. The
/// directory is usable only once this returns: the file that makes it one is written last. `now_ms` is the current
/// time.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore<R: Read>(
    checked: &Checked,
    input: R,
    path: &Path,
    now_ms: u64,
    unsent: DoubtPolicy,
) -> Result<(), RestoreError> {
    let Manifest { node, shards, created, mark, ref commits, .. } = checked.manifest;
    let mut plans = Vec::new();
    for (shard, (survey, commit)) in checked.surveys.iter().zip(commits).enumerate() {
        let plan = Plan::new(survey.clone(), *commit, mark, now_ms, unsent);
        plans.push(plan.map_err(|why| RestoreError::Exhausted(shard as u16, why))?);
    }
    let reader = BackupReader::open(input).map_err(RestoreError::Broken)?;
    let format = Format { version: directory::FORMAT_VERSION, node, shards, created };
    let place = Restoring::begin(path, format).map_err(RestoreError::Place)?;
    let mut pieces = Pieces { reader, next: None };
    for (shard, (plan, commit)) in plans.iter().zip(commits).enumerate() {
        let store = place.shard(shard as u16);
        fill(&store, shard as u16, &Rewriting::Shard(plan), &mut pieces)?;
        let mut mark = HighWaterFile::open(&store).map_err(RestoreError::Io)?.0;
        mark.seal(*commit).map_err(RestoreError::Io)?;
    }
    let (store, plan) = (place.control(), ControlPlan::new(&checked.control, mark, now_ms));
    fill(&store, CONTROL, &Rewriting::Control(&plan), &mut pieces)?;
    let mut mark = HighWaterFile::open(&store).map_err(RestoreError::Io)?.0;
    mark.seal(plan.version()).map_err(RestoreError::Io)?;
    place.finish().map_err(RestoreError::Place)
}

/// The pieces of a backup, with a look-ahead of one.
struct Pieces<R> {
    reader: BackupReader<R>,
    next: Option<Piece>,
}

impl<R: Read> Pieces<R> {
    fn peek(&mut self) -> Result<Option<&Piece>, Broken> {
        if self.next.is_none() {
            self.next = self.reader.next_piece()?;
        }
        Ok(self.next.as_ref())
    }

    /// The next table, if it is of that store.
    fn table_of(&mut self, store: u16) -> Result<Option<Table>, Broken> {
        Ok(self.peek()?.filter(|piece| piece.store == store).map(|piece| piece.table))
    }

    /// The next piece, if it is of that table.
    fn take(&mut self, store: u16, table: Table) -> Result<Option<Piece>, Broken> {
        let is_next = self.peek()?.is_some_and(|piece| (piece.store, piece.table) == (store, table));
        Ok(if is_next { self.next.take() } else { None })
    }
}

/// The changes that a restore makes in a store's entries while they are written.
enum Rewriting<'a> {
    Shard(&'a Plan),
    Control(&'a ControlPlan),
}

impl Rewriting<'_> {
    /// Records that are written in addition to those of the backup.
    fn records(&self) -> Vec<Entry> {
        match self {
            Self::Shard(plan) => vec![plan.record()],
            Self::Control(plan) => vec![plan.record()],
        }
    }
}

/// Fills a new store: tables beside the journal, `meta` last, so that runs are registered only once they are there.
fn fill<R: Read>(path: &Path, store: u16, plan: &Rewriting<'_>, pieces: &mut Pieces<R>) -> Result<(), RestoreError> {
    let (mut target, _) = FjallStore::open(path, FjallOptions::shared_by(1)).map_err(RestoreError::Store)?;
    let mut meta = Vec::new();
    while let Some(table) = pieces.table_of(store).map_err(RestoreError::Broken)? {
        let mut failure = None;
        let written = match table {
            Table::Space(Space::Meta) => each(pieces, store, table, plan, &mut |key, value| {
                meta.push((key.to_vec(), value.to_vec()));
                Ok(())
            }),
            Table::Space(space) => {
                let filled = fjall_ranges::ingest(target.keyspace(space), &mut |sink| {
                    let done = each(pieces, store, table, plan, &mut |key, value| sink.put(key, value));
                    done.map_err(|error| given_up(&mut failure, error))
                });
                filled.map_err(RestoreError::Store)
            }
            Table::Run(run) => {
                let filled = target.maintainer().write_run(run, &mut |sink| {
                    let done = each(pieces, store, table, plan, &mut |key, value| sink.put(key, value));
                    done.map_err(|error| given_up(&mut failure, error))
                });
                filled.map_err(RestoreError::Store)
            }
        };
        // Reports the cause, not the error that followed from it.
        failure.map_or(written, Err)?;
    }
    meta.extend(plan.records());
    let ops = meta.into_iter().map(|(key, value)| Op::Put { space: Space::Meta, key, value }).collect();
    target.commit(ops).map_err(RestoreError::Store)
}

fn given_up(failure: &mut Option<RestoreError>, error: RestoreError) -> StoreError {
    *failure = Some(error);
    StoreError::Failed("given up".to_owned())
}

type Put<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError>;

/// Passes on every entry of the next table that the plan keeps.
fn each<R: Read>(
    pieces: &mut Pieces<R>,
    store: u16,
    table: Table,
    plan: &Rewriting<'_>,
    put: Put<'_>,
) -> Result<(), RestoreError> {
    while let Some(piece) = pieces.take(store, table).map_err(RestoreError::Broken)? {
        for (key, value) in piece.entries() {
            match plan {
                Rewriting::Shard(plan) if plan.keeps(table, key) => put(key, value).map_err(RestoreError::Store)?,
                Rewriting::Shard(_) => {}
                Rewriting::Control(plan) => {
                    let rewritten =
                        plan.rewrite(table, key, value).map_err(|error| RestoreError::Record(store, error))?;
                    if let Some((key, value)) = rewritten {
                        put(&key, &value).map_err(RestoreError::Store)?;
                    }
                }
            }
        }
    }
    Ok(())
}
