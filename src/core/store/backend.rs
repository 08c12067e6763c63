//! The byte-level interface of the store: what any place that keeps the bytes must do.
//!
//! Knows: key spaces by name, atomic batches, ranges, immutable sorted runs, and when a byte counts as kept.
//! Refuses to know: what a key or a value means (`key`, `record`), who waits for a commit, files and threads.
//!
//! Three handles, one for each thread that uses a store:
//! - [`Backend`] commits. One per shard, on its storage thread.
//! - [`Reader`] reads. Cheap to clone, on the reader thread; sees only whole batches that are already durable.
//! - [`Maintainer`] drops ranges and writes or deletes runs, on the maintenance thread, so that a commit never waits for it.
//!
//! Invariants:
//! 1. When [`Backend::commit`] returns `Ok`, the whole batch is on stable storage. If the process dies before that, the
//!    batch is there afterwards either as a whole or not at all.
//! 2. After a [`StoreError::Failed`] nothing more is committed by this handle: the process exits and recovers.
//! 3. What [`Maintainer::drop_range`] removed may come back after a crash, in part or whole, and some of it may stay
//!    until a later call. A caller ignores everything below its own durable cursor and drops it again.
//! 4. A caller that has dropped a range never puts a key into it again: what comes back must not hide something newer.
//!    The store in memory refuses such a key.
//! 5. A run exists once its registration is committed ([`super::run`]): an unregistered one is deleted at the next start.

use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;

/// A key space: keys of different spaces never collide, and one batch may write to several.
///
/// The number is not on disk (the name is); it only orders the spaces in memory.
///
/// Keys of `Segment`, `Event`, `Receipt` and `Dedup` only grow: whole tables are then moved down, and each byte is
/// written twice, to the journal and to one table. A single key that sorts after all others makes every compaction
/// rewrite the space: 2.8 times the bytes and commits that waited 1.3 s, measured with 2 GB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// Segment number → encoded messages; dropped by range.
    Segment = 0,
    /// List, generation, kind and commit number → messages that became ready; dropped by range behind the cursor.
    Ready = 1,
    /// Commit number → packed state deltas; dropped by range once folded.
    Event = 2,
    /// Segment → folded state array; dropped by range with its segment.
    State = 3,
    /// Era, tick and commit number → entries of the delay queue; dropped by range behind the cursor.
    Due = 4,
    /// Commit number → write-ahead of the receipt epoch; dropped by range once a run holds it.
    Receipt = 5,
    /// Commit number → fingerprints that the commit recorded; dropped by range once they are older than the dedup
    /// window.
    Dedup = 6,
    /// Dead letters (copies), deleted one by one. Not used yet.
    DeadLetter = 7,
    /// Old address → new address of messages that were copied forward out of an old segment. Not used yet.
    Moved = 8,
    /// Notices for clients; dropped by range past retention. Nothing sends them yet.
    Outbox = 9,
    /// Messages from handsets; dropped by range past retention.
    Handset = 10,
    /// Parts of messages from handsets that wait for the others; deleted one by one.
    Joining = 11,
    /// Receipts whose message is not known yet.
    Orphan = 12,
    /// Only in the store of control: data that does not belong to a recipient, by kind and key; deleted one by one.
    Entry = 13,
    /// Commit number of a checkpoint, page → messages under way; dropped by range once the next checkpoint is durable.
    Book = 14,
    /// Cursors, versions, run registrations: few keys, overwritten in place.
    Meta = 15,
}

impl Space {
    /// Every space, in the order of its number. `Meta` is the last, as it is in a backup.
    pub const ALL: [Space; 16] = [
        Space::Segment,
        Space::Ready,
        Space::Event,
        Space::State,
        Space::Due,
        Space::Receipt,
        Space::Dedup,
        Space::DeadLetter,
        Space::Moved,
        Space::Outbox,
        Space::Handset,
        Space::Joining,
        Space::Orphan,
        Space::Entry,
        Space::Book,
        Space::Meta,
    ];

    /// The name on disk. Part of the format: a name is never reused for something else.
    pub const fn name(self) -> &'static str {
        match self {
            Space::Segment => "seg",
            Space::Ready => "ready",
            Space::Event => "ev",
            Space::State => "st",
            Space::Due => "due",
            Space::Receipt => "win",
            Space::Dedup => "dup",
            Space::DeadLetter => "dlq",
            Space::Moved => "moved",
            Space::Outbox => "outbox",
            Space::Handset => "handset",
            Space::Joining => "joining",
            Space::Orphan => "orphan",
            Space::Entry => "entry",
            Space::Book => "book",
            Space::Meta => "meta",
        }
    }
}

/// What a sorted run holds. The runs of one family are looked up together, newest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RunFamily {
    /// Carrier message id, perhaps with the recipient → address: sealed receipt epochs.
    Receipt = 0,
    /// Dedup fingerprint → first id. Not used yet.
    Dedup = 1,
    /// Counters for caps per recipient. Not used yet.
    Cap = 2,
    /// Recipients of an audience. Not used yet.
    Audience = 3,
}

impl RunFamily {
    /// Every family, in the order of its number.
    pub const ALL: [RunFamily; 4] = [RunFamily::Receipt, RunFamily::Dedup, RunFamily::Cap, RunFamily::Audience];

    /// The name on disk. Part of the format, as [`Space::name`].
    pub const fn name(self) -> &'static str {
        match self {
            RunFamily::Receipt => "win",
            RunFamily::Dedup => "dup",
            RunFamily::Cap => "cap",
            RunFamily::Audience => "audience",
        }
    }
}

/// A run: its family, and its number in that family. The newest has the greatest number; a number is never reused.
pub type RunId = (RunFamily, u64);

/// One change of a batch. Of several changes of one key in a batch, the last one wins.
///
/// A key has [`KEY_BYTES_MIN`] to [`KEY_BYTES_MAX`] bytes, a value at most [`VALUE_BYTES_MAX`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// The key holds this value from now on.
    Put { space: Space, key: Vec<u8>, value: Vec<u8> },
    /// The key holds nothing from now on. Not for keys that are dropped by range: a delete costs as much as a put.
    Delete { space: Space, key: Vec<u8> },
}

impl Op {
    /// Checks that key and value are within their bounds.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if they are not.
    pub fn check(&self) -> Result<(), StoreError> {
        match self {
            Op::Put { space, key, value } => {
                check_key(key)?;
                if value.len() > VALUE_BYTES_MAX {
                    return Err(StoreError::Misuse(format!("a value of {} bytes for {}", value.len(), space.name())));
                }
                Ok(())
            }
            Op::Delete { key, .. } => check_key(key),
        }
    }
}

/// Checks that a key is within its bounds.
pub(super) fn check_key(key: &[u8]) -> Result<(), StoreError> {
    if (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    Err(StoreError::Misuse(format!("a key of {} bytes", key.len())))
}

/// Shortest key, bytes: shorter ones are the backend's own.
pub const KEY_BYTES_MIN: usize = 2;

/// Longest key, bytes: the journal stores the length in a `u16`.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// Longest value, bytes. The journal allows up to `u32::MAX`; a value of this size is a bug already.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// An error of the store; the variant says who must act.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// A write, a sync or the background worker failed, or a read failed several times: nothing more may be
    /// acknowledged. The process exits and recovers; it does not write again, because the kernel forgets a failed sync.
    Failed(String),
    /// Stored bytes cannot be read or do not fit together: the operator decides, nothing is changed.
    Damaged(String),
    /// The caller asked for something that cannot be stored (key empty or too long, run not sorted, run number taken).
    /// A bug in Stentor.
    Misuse(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Failed(what) => write!(f, "the store failed and must be recovered: {what}"),
            StoreError::Damaged(what) => write!(f, "the store is damaged: {what}"),
            StoreError::Misuse(what) => write!(f, "an invalid request to the store: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The writing handle of a store. A store has only one: its thread is the single writer.
pub trait Backend: Send {
    /// Handle for the reader thread.
    type Reader: Reader;
    /// Handle for the maintenance thread.
    type Maintainer: Maintainer;

    /// Applies all of `ops` or nothing; returns when they are on stable storage and visible to readers.
    /// An empty batch does nothing and syncs nothing.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: whether the batch survived is known only after recovery. [`StoreError::Misuse`]: nothing
    /// was written.
    fn commit(&mut self, ops: Vec<Op>) -> Result<(), StoreError>;

    /// A new reading handle.
    fn reader(&self) -> Self::Reader;

    /// A new maintenance handle. Only one may be in use at a time.
    fn maintainer(&self) -> Self::Maintainer;

    /// Bytes on disk, including journals. An estimate for metrics and for the floor of free space.
    fn disk_bytes(&self) -> u64;
}

/// The reading handle: every call sees the batches that were durable when it began, as wholes, and nothing of later
/// ones.
pub trait Reader: Clone + Send + Sync {
    /// The value of `key`.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits at most `limit` entries with `from <= key < to` in ascending order until `visit` breaks; returns how many
    /// it visited. Begin at a cursor, never at the empty key of a space that is dropped by range.
    fn range(&self, space: Space, from: &[u8], to: &[u8], limit: usize, visit: Visit<'_>) -> Result<usize, StoreError>;

    /// The entry with the greatest key below `below` (exclusive). Steps over deleted entries one by one, so it is not
    /// for a space in which many of the last keys are deleted.
    fn last(&self, space: Space, below: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError>;

    /// The run numbers of a family, ascending. A run is listed from the moment its write returns until it is deleted.
    fn runs(&self, family: RunFamily) -> Vec<u64>;

    /// The newest run of the family that holds `key`, and the value in it.
    fn probe(&self, family: RunFamily, key: &[u8]) -> Result<Option<(u64, Bytes)>, StoreError> {
        self.probe_in(family, key, 0..=u64::MAX)
    }

    /// As [`Reader::probe`], among the runs with these numbers.
    fn probe_in(
        &self,
        family: RunFamily,
        key: &[u8],
        runs: RangeInclusive<u64>,
    ) -> Result<Option<(u64, Bytes)>, StoreError>;

    /// As [`Reader::range`], within one run. A run that does not exist (any more) has no entries.
    fn run_range(
        &self,
        run: RunId,
        from: &[u8],
        to: &[u8],
        limit: usize,
        visit: Visit<'_>,
    ) -> Result<usize, StoreError>;
}

/// Called with key and value; both are valid only during the call.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// The maintenance handle: work that may take long, and that a start repeats if a crash undid it.
pub trait Maintainer: Send {
    /// Frees `from <= key < to`. Best effort, and not durable (invariant 3): pass the same `from` each time, so that a
    /// later call frees what this one could not.
    fn drop_range(&mut self, space: Space, from: &[u8], to: &[u8]) -> Result<(), StoreError>;

    /// Writes a run: `fill` puts its entries in strictly ascending order of key. On return the run is durable and is
    /// looked up; it survives a restart only once [`super::run::register`] is committed.
    ///
    /// # Errors
    /// Whatever `fill` returns, and [`StoreError::Misuse`] for a number already taken or unsorted keys; the run does
    /// not exist then.
    fn write_run(&mut self, run: RunId, fill: Fill<'_>) -> Result<(), StoreError>;

    /// Deletes a whole run; call it after [`super::run::deregister`] is committed. It is not an error if the run does
    /// not exist.
    fn delete_run(&mut self, run: RunId) -> Result<(), StoreError>;

    /// Moves what is in memory into tables, so that old journals can be deleted. Cheap when there is nothing to do;
    /// call it once a second and after every few tens of MiB of commits.
    fn checkpoint(&mut self) -> Result<(), StoreError>;
}

/// Puts the entries of a run, one after the other, into the sink.
pub type Fill<'a> = &'a mut dyn FnMut(&mut dyn RunSink) -> Result<(), StoreError>;

/// Receives the entries of a run while it is written.
pub trait RunSink {
    /// Adds the next entry; its key is greater than the one before.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
}
