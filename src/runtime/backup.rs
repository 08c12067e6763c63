//! Backups while the daemon runs: asks every shard's maintenance thread for a snapshot of its store, then writes them out on
//! a thread of its own. Knows the order of the steps; `store::backup` knows the layout, `http::backup` the way to the client.
//!
//! The mark is the moment at which a backup is asked for. What was acknowledged before is durable, so every snapshot has it;
//! what a snapshot has beyond the mark does no harm. Commits never wait: a snapshot is taken between two errands.

use std::{
    io::{self, Write},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    disk::{
        directory::Format,
        fjall_backup::{StoreSnapshot, WriteError},
    },
    http::backup::{Pipe, StartBackup},
};
use stentor_core::{
    control::Entries,
    mesh::{Full, Sender},
    model::ShardId,
    store::{
        StoreError,
        backend::Space,
        backup::{BackupWriter, CONTROL, Manifest, Table},
    },
};

use super::{control::Published, core::ToCore};

/// How long to wait for a shard's maintenance thread, which may be folding.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(60);
/// Bytes that are gathered before they go to the client.
const PIECE_BYTES: usize = 256 << 10;
/// Time between two tries at a full mailbox.
const RETRY: Duration = Duration::from_millis(1);

type Snapshot = (ShardId, Result<StoreSnapshot, StoreError>);

/// Asks a shard's maintenance thread to open a snapshot and send it here.
#[derive(Debug)]
pub struct Order(pub mpsc::Sender<Snapshot>);

/// What a backup needs.
#[derive(Debug)]
pub struct Source {
    /// Node and shards that the data directory was made for.
    pub format: Format,
    /// Mailboxes of the cores, by number.
    pub cores: Vec<Sender<ToCore>>,
    /// The core of each shard, by shard.
    pub shard_cores: Vec<u8>,
    /// The entries that control has published.
    pub control: Arc<Published>,
}

/// Begins backups, one at a time.
pub fn starter(source: Source) -> StartBackup {
    let source = Arc::new(source);
    let under_way: Arc<AtomicBool> = Arc::default();
    Arc::new(move || {
        if under_way.swap(true, Ordering::AcqRel) {
            return None;
        }
        let pipe = Arc::new(Pipe::default());
        let (into, source, under_way) = (Arc::clone(&pipe), Arc::clone(&source), Free(Arc::downgrade(&under_way)));
        let run = move || {
            let _free_again = under_way;
            into.end(write(&source, &into));
        };
        if let Err(error) = thread::Builder::new().name("backup".to_owned()).spawn(run) {
            pipe.end(Err(format!("no thread can be started for it: {error}")));
        }
        Some(pipe)
    })
}

/// Dropping it lets the next backup begin, also when this one panics or never ran.
struct Free(Weak<AtomicBool>);

impl Drop for Free {
    fn drop(&mut self) {
        if let Some(under_way) = self.0.upgrade() {
            under_way.store(false, Ordering::Release);
        }
    }
}

fn write(source: &Source, into: &Pipe) -> Result<(), String> {
    let mark = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let snapshots = snapshots(source)?;
    let Format { node, shards, created, .. } = source.format;
    let manifest = Manifest {
        stentor: env!("CARGO_PKG_VERSION").to_owned(),
        node,
        shards,
        created,
        mark,
        commits: snapshots.iter().map(|snapshot| snapshot.commit().0).collect(),
    };
    tracing::info!(commits = ?manifest.commits, "backup started");
    // Control comes after the shards: any number in a snapshot was published before.
    let control = source.control.get();
    let entries = write_stores(&manifest, snapshots, &control, into).map_err(|error| error.to_string())?;
    tracing::info!(entries, "backup written");
    Ok(())
}

fn write_stores(
    manifest: &Manifest,
    snapshots: Vec<StoreSnapshot>,
    control: &Entries,
    into: &Pipe,
) -> Result<u64, WriteError> {
    let mut out = BackupWriter::begin(Pieces { into, gathered: Vec::new() }, manifest).map_err(WriteError::Out)?;
    for (shard, snapshot) in snapshots.into_iter().enumerate() {
        snapshot.write(shard as u16, &mut out)?;
    }
    write_control(control, &mut out).and_then(|()| out.finish()).map_err(WriteError::Out)
}

fn write_control<W: Write>(control: &Entries, out: &mut BackupWriter<W>) -> io::Result<()> {
    out.table(CONTROL, Table::Space(Space::Entry))?;
    control.stored().try_for_each(|(key, value)| out.entry(&key, &value))?;
    out.table(CONTROL, Table::Space(Space::Meta))?;
    let (key, value) = control.stored_version();
    out.entry(&key, &value)
}

/// One snapshot of each shard, in the order of their numbers.
fn snapshots(source: &Source) -> Result<Vec<StoreSnapshot>, String> {
    let (answer, answers) = mpsc::channel();
    for (shard, core) in source.shard_cores.iter().enumerate() {
        let mut item = ToCore::BackUp(ShardId(shard as u8), Order(answer.clone()));
        let core = source.cores.get(usize::from(*core)).ok_or("a shard runs on no core")?;
        while let Err(Full(back)) = core.try_push(item) {
            item = back;
            thread::sleep(RETRY);
        }
    }
    drop(answer);
    let mut found: Vec<Option<StoreSnapshot>> = source.shard_cores.iter().map(|_| None).collect();
    for _ in 0..found.len() {
        let late = |_| "a store does not answer; the daemon is stopping, or its disk is".to_owned();
        let (shard, snapshot) = answers.recv_timeout(SNAPSHOT_WAIT).map_err(late)?;
        let snapshot = snapshot.map_err(|error| format!("shard {}: {error}", shard.0))?;
        if let Some(place) = found.get_mut(usize::from(shard.0)) {
            *place = Some(snapshot);
        }
    }
    found.into_iter().collect::<Option<Vec<_>>>().ok_or_else(|| "a shard answered twice".to_owned())
}

/// Gathers bytes on their way to the client.
struct Pieces<'a> {
    into: &'a Pipe,
    gathered: Vec<u8>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client no longer takes it");
        if piece.is_empty() { Ok(()) } else { self.into.put(piece).map_err(gone) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{
        disk::{directory::DataDirectory, fjall::FjallOptions, fjall_backup},
        runtime::control::ControlThread,
    };
    use stentor_core::{
        control::{Kind, Names, applied},
        delivery::DoubtPolicy,
        model::Wall,
    };

    use super::*;

    const FORMAT: Format = Format { version: crate::disk::directory::FORMAT_VERSION, node: 1, shards: 1, created: 7 };

    fn start(path: &Path) -> ControlThread {
        ControlThread::start(path, FjallOptions::shared_by(1)).expect("a sound store")
    }

    fn routes(names: &[&str]) -> Names {
        Names { routes: names.iter().map(|&name| name.to_owned()).collect(), ..Names::default() }
    }

    /// Before: names that a reload had added were not in a backup, and after a restore their numbers went to others.
    #[test]
    fn a_backup_holds_every_number_that_was_given_until_then() {
        let root = tempfile::tempdir().expect("a directory");
        let control = start(&root.path().join("old"));
        control.change(routes(&["a", "b"]).changes()).expect("room");
        let published = Arc::clone(control.published());
        control.change([routes(&["c"]).changes(), vec![applied(Wall(5))]].concat()).expect("room");
        let (mark, version) = (1_000, 2);
        let manifest = Manifest { stentor: "test".to_owned(), node: 1, shards: 1, created: 7, mark, commits: vec![0] };
        let mut bytes = Vec::new();
        let mut out = BackupWriter::begin(&mut bytes, &manifest).expect("begun");
        write_control(&published.get(), &mut out).expect("written");
        out.finish().expect("finished");
        let later = control.change(routes(&["d"]).changes()).expect("room");
        assert_eq!((later.version(), later.route("d")), (version + 1, Some(4)));

        let checked = fjall_backup::check(&bytes[..]).expect("whole");
        let new = root.path().join("new");
        fjall_backup::restore(&checked, &bytes[..], &new, mark + 60_000, DoubtPolicy::Hold).expect("restored");
        let directory = DataDirectory::open(&new, FORMAT).expect("a data directory");
        let control = start(&directory.control());
        let found = control.published().get();
        assert_eq!(["a", "b", "c", "d"].map(|name| found.route(name)), [Some(1), Some(2), Some(3), None]);
        assert!(found.version() > later.version() + 60_000, "beyond whatever came after the backup");
        let kinds = [Kind::Route, Kind::Configuration].map(|kind| found.changed(kind));
        assert_eq!((kinds, found.changed(Kind::Tenant)), ([found.version(); 2], 0));
        let again = control.change(routes(&["d", "c"]).changes()).expect("room");
        assert_eq!((again.route("d"), again.route("c"), again.version()), (Some(4), Some(3), found.version() + 1));
    }

    #[test]
    fn a_broken_entry_of_control_is_refused_before_anything_is_written() {
        let manifest =
            Manifest { stentor: "test".to_owned(), node: 1, shards: 1, created: 7, mark: 1, commits: vec![0] };
        let mut bytes = Vec::new();
        let mut out = BackupWriter::begin(&mut bytes, &manifest).expect("begun");
        out.table(CONTROL, Table::Space(Space::Entry)).expect("a table");
        out.entry(&[1, b'a'], &[77]).expect("an entry");
        out.finish().expect("finished");
        let refused = fjall_backup::check(&bytes[..]).expect_err("a record that control never wrote").to_string();
        assert!(refused.contains("store of control cannot be read"), "{refused}");
    }
}
