//! The start of one shard's store, the same for the daemon, `stentor check --data` and the crash images: look at the
//! journals, open, read what a shard needs, and compare it with what was acknowledged.
//!
//! Knows: the order of these steps, and that less than the high-water mark is an alarm. Refuses to know: what a shard does
//! with what was found.

use std::path::Path;

use super::backend::{Backend, StoreError};
use super::directory::HighWaterFile;
use super::fjall::{FjallOptions, FjallStore, Opened};
use super::recovery::{Recovery, recover};

/// A store that may be used.
#[derive(Debug)]
pub struct Started {
    /// The store.
    pub store: FjallStore,
    /// Its high-water mark, to be moved along.
    pub mark: HighWaterFile,
    /// What a shard needs to go on.
    pub found: Recovery,
    /// What the opening mended, for the log.
    pub opened: Opened,
}

/// Starts the store in `shard`, or makes it there.
///
/// # Errors
/// Those of [`FjallStore::open`] and [`recover`]; [`StoreError::Damaged`] when the log ends before the high-water mark:
/// what somebody was told is kept is not there.
pub fn start(shard: &Path, options: FjallOptions) -> Result<Started, StoreError> {
    let (store, opened) = FjallStore::open(shard, options)?;
    let (mark, before) = HighWaterFile::open(shard).map_err(|error| {
        StoreError::Failed(format!("cannot open the high-water mark of {}: {error}", shard.display()))
    })?;
    let found = recover(&store.reader())?;
    match before {
        Some(before) if before.commit > found.last.0 => Err(StoreError::Damaged(format!(
            "{}: commit {} was acknowledged, but the log ends at {}: acknowledged messages are missing. Keep a copy of the \
             whole directory and restore from a backup, or ask for help with the copy.",
            shard.display(),
            before.commit,
            found.last.0
        ))),
        Some(_) | None => Ok(Started { store, mark, found, opened }),
    }
}
