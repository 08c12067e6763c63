//! The start of one shard's store, or of control's, the same for the daemon, `stentor check --data` and the crash
//! images: check the journals, open, read what a shard needs, and compare it with what was acknowledged.
//!
//! Knows: the order of these steps, and that it is an alarm if less is found than the high-water mark says. Refuses to
//! know: what a shard does with what was found.

use std::panic;
use std::path::Path;

use super::directory::HighWaterFile;
use super::fjall::{FjallOptions, FjallStore, Opened};
use stentor_core::store::backend::{Backend, Space, StoreError};
use stentor_core::store::control::{self, FoundControl};
use stentor_core::store::high_water::HighWater;
use stentor_core::store::recovery::{Recovery, recover};

/// A store that is ready for use.
#[derive(Debug)]
pub struct Started {
    /// The store.
    pub store: FjallStore,
    /// Its high-water mark, which the caller must keep up to date.
    pub mark: HighWaterFile,
    /// What a shard needs to go on.
    pub found: Recovery,
    /// What was repaired when the store was opened, for the log.
    pub opened: Opened,
    /// How the last process that used the store ended.
    pub last_end: LastEnd,
}

/// How a store was left; ordered by how much there is to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastEnd {
    /// It was made just now, so no process has used it.
    None,
    /// By a clean stop: everything acknowledged was written, and the mark was sealed.
    Clean,
    /// By a crash, a kill or a power cut.
    Broken,
}

impl LastEnd {
    fn of(mark: Option<HighWater>, last: u64) -> Self {
        match mark {
            Some(mark) if mark.is_clean && mark.commit == last => Self::Clean,
            None if last == 0 => Self::None,
            Some(_) | None => Self::Broken,
        }
    }
}

/// As [`FjallStore::open`]; if an assertion of fjall about its files fails, that is damage like any other.
///
/// # Errors
/// Those of [`FjallStore::open`].
pub fn open(shard: &Path, options: FjallOptions) -> Result<(FjallStore, Opened), StoreError> {
    panic::catch_unwind(|| FjallStore::open(shard, options)).unwrap_or_else(|asserted| {
        let text = asserted.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| asserted.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(StoreError::Damaged(format!("{}: fjall gave up on its files: {text}", shard.display())))
    })
}

/// Checks that the journals hold event records without a gap: every commit writes one under its number.
fn check_commits(shard: &Path, store: &FjallStore, opened: &Opened) -> Result<(), StoreError> {
    let numbers = store.number(Space::Event).and_then(|number| opened.journals.numbers.get(&number));
    match numbers.and_then(|numbers| numbers.gap) {
        None => Ok(()),
        Some((before, after)) => Err(StoreError::Damaged(format!(
            "{}: in the journals commit {after} follows {before}: what was acknowledged between them is missing. Keep a copy \
             of the whole directory and restore from a backup, or ask for help with the copy.",
            shard.display()
        ))),
    }
}

/// Starts the store in `shard`, or makes it there.
///
/// # Errors
/// Those of [`FjallStore::open`] and [`recover`]; [`StoreError::Damaged`] when the log ends before the high-water mark:
/// commits that were acknowledged are missing.
pub fn start(shard: &Path, options: FjallOptions) -> Result<Started, StoreError> {
    let (store, opened) = open(shard, options)?;
    check_commits(shard, &store, &opened)?;
    let (mark, before) = open_mark(shard)?;
    let found = recover(&store.reader())?;
    check_mark(shard, before, found.last.0, "messages")?;
    let last_end = LastEnd::of(before, found.last.0);
    Ok(Started { store, mark, found, opened, last_end })
}

/// The store of control, ready for use.
#[derive(Debug)]
pub struct StartedControl {
    /// The store.
    pub store: FjallStore,
    /// Its high-water mark, which the caller must keep up to date.
    pub mark: HighWaterFile,
    /// Everything that it holds.
    pub found: FoundControl,
}

/// Starts the store of control in `path`, or makes it there.
///
/// # Errors
/// As [`start`], and those of [`control::recover`].
pub fn start_control(path: &Path, options: FjallOptions) -> Result<StartedControl, StoreError> {
    let (store, _) = open(path, options)?;
    let (mark, before) = open_mark(path)?;
    let found = control::recover(&store.reader())?;
    check_mark(path, before, found.record.version, "numbers and settings")?;
    Ok(StartedControl { store, mark, found })
}

fn open_mark(store: &Path) -> Result<(HighWaterFile, Option<HighWater>), StoreError> {
    HighWaterFile::open(store)
        .map_err(|error| StoreError::Failed(format!("cannot open the high-water mark of {}: {error}", store.display())))
}

/// Checks that every commit that may have been acknowledged is there.
fn check_mark(store: &Path, mark: Option<HighWater>, last: u64, what: &str) -> Result<(), StoreError> {
    match mark {
        Some(mark) if mark.commit > last => Err(StoreError::Damaged(format!(
            "{}: commit {} was acknowledged, but the log ends at {last}: acknowledged {what} are missing. Keep a copy of the \
             whole directory and restore from a backup, or ask for help with the copy.",
            store.display(),
            mark.commit,
        ))),
        Some(_) | None => Ok(()),
    }
}
