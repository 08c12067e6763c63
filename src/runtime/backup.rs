//! Backups while the daemon runs: asks every shard's maintenance thread for a snapshot of its store, then writes them out on
//! a thread of its own. Knows the order of things; the layout is `store::backup`'s, the way to the client `http::backup`'s.
//!
//! The mark is the moment at which a backup is asked for. What was acknowledged before is durable, so every snapshot holds it;
//! what a snapshot holds beyond the mark does no harm. Commits never wait: a snapshot is taken between two errands.

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
    http::backup::{Pipe, StartBackup},
    mesh::{Full, Sender},
    model::ShardId,
    store::{
        StoreError,
        backend::Space,
        backup::{BackupWriter, CONTROL, Manifest, Table},
        directory::Format,
        fjall_backup::{StoreSnapshot, WriteError},
        key::Key,
    },
};

use super::core::ToCore;

/// For a shard's maintenance thread to come to it. It may be folding.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(60);
/// Octets gathered before they go to the client.
const PIECE_BYTES: usize = 256 << 10;
/// Between two tries at a mailbox that is full.
const RETRY: Duration = Duration::from_millis(1);

type Snapshot = (ShardId, Result<StoreSnapshot, StoreError>);

/// To a shard's maintenance thread: open a snapshot and send it here.
#[derive(Debug)]
pub struct Order(pub mpsc::Sender<Snapshot>);

/// What a backup is made of.
#[derive(Debug)]
pub struct Source {
    /// What the data directory was made for.
    pub format: Format,
    /// Mailboxes of the cores.
    pub cores: Vec<Sender<ToCore>>,
    /// By shard: where it runs.
    pub shard_cores: Vec<u8>,
    /// Control's book, as its record.
    pub names: Vec<u8>,
}

/// What begins backups, one at a time.
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
            pipe.end(Err(format!("no thread for it: {error}")));
        }
        Some(pipe)
    })
}

/// Lets the next backup begin, also when this one panics or never ran.
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
    tracing::info!(commits = ?manifest.commits, "backup begun");
    let entries = write_stores(&manifest, snapshots, &source.names, into).map_err(|error| error.to_string())?;
    tracing::info!(entries, "backup written");
    Ok(())
}

fn write_stores(
    manifest: &Manifest,
    snapshots: Vec<StoreSnapshot>,
    names: &[u8],
    into: &Pipe,
) -> Result<u64, WriteError> {
    let mut out = BackupWriter::begin(Pieces { into, gathered: Vec::new() }, manifest).map_err(WriteError::Out)?;
    for (shard, snapshot) in snapshots.into_iter().enumerate() {
        snapshot.write(shard as u16, &mut out)?;
    }
    let mut control = || -> io::Result<()> {
        out.table(CONTROL, Table::Space(Space::Meta))?;
        out.entry(&Key::Names.bytes(), names)
    };
    control().and_then(|()| out.finish()).map_err(WriteError::Out)
}

/// One of each shard, by number.
fn snapshots(source: &Source) -> Result<Vec<StoreSnapshot>, String> {
    let (answer, answers) = mpsc::channel();
    for (shard, core) in source.shard_cores.iter().enumerate() {
        let mut item = ToCore::BackUp(ShardId(shard as u8), Order(answer.clone()));
        let core = source.cores.get(usize::from(*core)).ok_or("a shard that runs nowhere")?;
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

/// Octets on their way to the client, gathered.
struct Pieces<'a> {
    into: &'a Pipe,
    gathered: Vec<u8>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(octets);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes it any more");
        if piece.is_empty() { Ok(()) } else { self.into.put(piece).map_err(gone) }
    }
}
