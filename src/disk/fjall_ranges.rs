//! Everything that fjall offers only as `doc(hidden)` or beside its journal, in one place.
//!
//! Knows: fjall 3.1.13 (the version is pinned exactly; read this file again before moving the pin).
//! Refuses to know: which space needs what, and why.
//!
//! Facts from fjall's source and from measurement:
//! - `drop_range` removes the tables that lie **wholly** within the range. Entries in a memtable, or in a table that
//!   reaches across a bound, stay. It is not journalled: what a journal still holds comes back when that journal is
//!   replayed.
//! - A sealed journal is deleted when each key space that wrote to it has a *table* at least as new as its last write
//!   there. A key space whose tables were all dropped has none, and pins the journal until it is written and flushed
//!   again.
//! - A table written by ingestion bypasses the journal and is synced before it is listed; the listing is one small file
//!   renamed into place, so an interrupted ingestion leaves an empty key space, not half a run.

use std::fs::File;
use std::io;
use std::path::Path;

use fjall::{AbstractTree, Database, Keyspace};

use stentor_core::store::backend::{Fill, StoreError};
use stentor_core::store::run::Ordered;

/// How far [`skip_seqnos`] skips: more than worker and maintenance thread can take between two commits, and few enough
/// for 2^43 openings.
const SEQNOS_SKIPPED: u64 = 1 << 20;

/// To be called after each opening, before anything is made or written; and the first entry written must be in a space
/// that is never dropped. fjall continues to count from the newest entry in any key space, but leaves out its own list
/// of key spaces, whose numbers move ahead when runs are made and deleted. An entry of that list written after the
/// restart would then be older than the one that it replaces, and be ignored: the next opening panics, or deletes the
/// run.
pub(super) fn skip_seqnos(db: &Database) {
    db.supervisor.seqno.fetch_max(db.seqno() + SEQNOS_SKIPPED);
}

/// Makes the names of all key spaces durable.
///
/// # Errors
/// Errors of the operating system.
pub(super) fn sync_key_spaces(shard: &Path) -> io::Result<()> {
    File::open(shard.join("keyspaces"))?.sync_all()
}

/// Frees the tables that lie wholly in `from <= key < to`.
///
/// # Errors
/// fjall's error if it cannot write its list of tables.
pub(super) fn drop_range(keyspace: &Keyspace, from: &[u8], to: &[u8]) -> fjall::Result<()> {
    if from >= to {
        return Ok(());
    }
    keyspace.tree.drop_range::<&[u8], _>(from..to)?;
    Ok(())
}

/// Bytes in the active memtable, including fjall's own overhead per entry.
pub(super) fn memtable_bytes(keyspace: &Keyspace) -> u64 {
    keyspace.tree.active_memtable().size()
}

/// The newest sequence number that was written to this key space and still exists in it.
pub(super) fn highest_seqno(keyspace: &Keyspace) -> Option<u64> {
    keyspace.tree.get_highest_seqno()
}

/// The newest sequence number that is not in a table yet.
pub(super) fn highest_memtable_seqno(keyspace: &Keyspace) -> Option<u64> {
    keyspace.tree.get_highest_memtable_seqno()
}

/// Whether everything up to `seqno` that was written to this key space is in tables that still exist.
pub(super) fn is_persisted(keyspace: &Keyspace, seqno: u64) -> bool {
    keyspace.tree.get_highest_persisted_seqno().is_some_and(|persisted| persisted >= seqno)
}

/// Whether a sealed memtable waits to be written as a table.
pub(super) fn is_flushing(keyspace: &Keyspace) -> bool {
    keyspace.tree.sealed_memtable_count() > 0
}

/// Seals the memtable and queues it to be written as a table, in the background. False if it was empty.
///
/// # Errors
/// fjall's error if it cannot remove a journal that is no longer needed.
pub(super) fn rotate(keyspace: &Keyspace) -> fjall::Result<bool> {
    keyspace.rotate_memtable()
}

/// Writes the entries of `fill` to an empty key space as synced tables, beside the journal. After an error the key
/// space is unusable and must be deleted.
///
/// # Errors
/// Whatever `fill` returns; [`StoreError::Misuse`] for keys out of order (fjall would panic) or out of bounds;
/// [`StoreError::Failed`] when fjall cannot write.
pub(super) fn ingest(keyspace: &Keyspace, fill: Fill<'_>) -> Result<(), StoreError> {
    let failed = |error: fjall::Error| StoreError::Failed(error.to_string());
    let mut ingestion = keyspace.start_ingestion().map_err(failed)?;
    let mut write = |key: &[u8], value: &[u8]| ingestion.write(key, value).map_err(failed);
    fill(&mut Ordered::new(&mut write))?;
    ingestion.finish().map_err(failed)
}
