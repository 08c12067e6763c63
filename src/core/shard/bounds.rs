//! How much a shard may remember of each kind, and how large one record of a checkpoint may be. Messages under way are not in
//! that record but in pages beside it, however many they are.
//!
//! What happens at a bound is told in the file that keeps the set; here are the figures and how they relate.
//!
//! | set | at its bound | safe, because |
//! |---|---|---|
//! | attempts without an answer: open and in the ledger | no attempt is begun until some are settled | nothing leaves |
//! | messages that were recently in doubt | the oldest is forgotten, and no receipt without a known id settles anything | no receipt settles the wrong message |
//! | messages of several parts | those that only wait for receipts are forgotten, oldest first: their receipts come `late` | the message stays `submitted` |
//! | messages of several parts, when none of them only waits | one more that was taken in part is not tried again: it ends `dead` | no part is sent twice |
//! | messages cancelled and not yet passed over | no cancellation is accepted until some have been passed over | the caller was not told "cancelled" |
//! | attempts consumed by messages that are tried again | one more message counts from 1 again | it is tried more often, never less |
//! | parked receipts | receipts from numbers with nothing under way are dropped, oldest first; then the oldest of the others | those of a foreign program are dropped first; they are in memory only |
//! | parts that their carriers are queried about | one more is not queried | it ends with `no_receipt` |
//! | eras of the delay queue: how often the clock went back while something waits | new entries go to the era that has come least far | they are late, by less than the clock went back |
//! | numbers of lists | cannot be exceeded: there is one for each class and route number | |
//! | messages from handsets, those included that wait to be joined | the carrier is asked to deliver later | the carrier keeps the message |
//! | messages from handsets that lack parts | the oldest is given up | it is kept with the parts that have come |

use crate::delivery::progress::ENTRY_BYTES;
use crate::model::limits::OPEN_ATTEMPTS_MAX;
use crate::queue::ERAS_MAX;
use crate::store::backend::VALUE_BYTES_MAX;
use crate::store::record::{
    CHECKPOINT_BYTES, COUNT_BYTES, DUE_BYTES, ENDED_BYTES, FIFO_BYTES, MARK_BYTES, PROGRESS_BYTES,
};
use crate::store::recovery::PARKED_READ_MAX;

/// The bounds of one shard, not of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Attempts that are open or in the ledger at which no more of bulk classes are begun.
    pub unanswered_max: usize,
    /// The same bound for urgent classes. Attempts of all classes count against both; this one is larger, so bulk cannot use it
    /// up.
    pub unanswered_urgent_max: usize,
    /// Messages that were recently in doubt.
    pub once_in_doubt_max: usize,
    /// Bytes on disk for the progress of messages of several parts.
    pub progress_bytes_max: usize,
    /// Messages cancelled and not yet passed over.
    pub cancelled_max: usize,
    /// Messages for which consumed attempts are remembered.
    pub tried_max: usize,
    /// Parked receipts, including those counted by `parked_foreign_max`.
    pub parked_max: usize,
    /// Parked receipts from numbers to which nothing is under way. They are in memory only.
    pub parked_foreign_max: usize,
    /// Parts that are queried because their carrier sends no receipts.
    pub asked_max: usize,
    /// Messages from handsets that are kept.
    pub handset_messages_max: usize,
    /// Bytes of the messages from handsets that are kept.
    pub handset_bytes_max: u64,
    /// Messages from handsets that lack parts. Of messages that wait no more, some parts are remembered for a while.
    pub joining_max: usize,
    /// Bytes of the messages that lack parts; they are in memory.
    pub joining_bytes_max: u64,
    /// Bytes that a checkpoint, or a segment's history, may take in one record.
    pub checkpoint_bytes_max: usize,
}

/// Fifos that a checkpoint has room for; empty ones are in no checkpoint. A list has at most ten fifos of each generation, and
/// seldom more than three hold messages; there are at most [`crate::queue::OWN_LISTS_MAX`] lists for single tenants.
const FIFOS_FORESEEN: usize = 1 << 18;
/// The largest record of a checkpoint; it must fit into one value of the store.
const MOST: usize = CHECKPOINT_BYTES
    + FIFOS_FORESEEN * (FIFO_BYTES + ENDED_BYTES)
    + ERAS_MAX * DUE_BYTES
    + 256 * MARK_BYTES
    + 128 * COUNT_BYTES;

const _: () = assert!(MOST <= VALUE_BYTES_MAX);
const _: () = assert!(PROGRESS_BYTES == ENTRY_BYTES, "progress counts what it takes on disk");
const _: () = assert!(OPEN_ATTEMPTS_MAX < Bounds::DEFAULT.unanswered_max);
const _: () = assert!(Bounds::DEFAULT.unanswered_max < Bounds::DEFAULT.unanswered_urgent_max);
const _: () = assert!(Bounds::DEFAULT.parked_foreign_max < Bounds::DEFAULT.parked_max);
const _: () = assert!(Bounds::DEFAULT.parked_max <= PARKED_READ_MAX);
const _: () = assert!(Bounds::DEFAULT.joining_max < Bounds::DEFAULT.handset_messages_max);
const _: () = assert!(Bounds::DEFAULT.joining_bytes_max < Bounds::DEFAULT.handset_bytes_max);

impl Bounds {
    /// The bounds of a shard that is alone in its process.
    pub const DEFAULT: Self = Self {
        unanswered_max: 112 << 10,
        unanswered_urgent_max: 128 << 10,
        once_in_doubt_max: 256 << 10,
        progress_bytes_max: 16 << 20,
        cancelled_max: 512 << 10,
        tried_max: 1 << 20,
        parked_max: 64 << 10,
        parked_foreign_max: 4 << 10,
        asked_max: 64 << 10,
        handset_messages_max: 256 << 10,
        handset_bytes_max: 64 << 20,
        joining_max: 16 << 10,
        joining_bytes_max: 8 << 20,
        checkpoint_bytes_max: VALUE_BYTES_MAX,
    };

    /// The bounds of each of `shards` shards. Sets that are in no checkpoint record are shared out; the others keep their full
    /// bound, since each shard has a checkpoint of its own.
    pub fn shared_by(shards: u8) -> Self {
        let shards = usize::from(shards.max(1));
        let share = |whole: usize| (whole / shards).max(1);
        Self {
            parked_max: share(Self::DEFAULT.parked_max),
            parked_foreign_max: share(Self::DEFAULT.parked_foreign_max),
            asked_max: share(Self::DEFAULT.asked_max),
            handset_messages_max: share(Self::DEFAULT.handset_messages_max),
            handset_bytes_max: (Self::DEFAULT.handset_bytes_max / shards as u64).max(1),
            joining_max: share(Self::DEFAULT.joining_max),
            joining_bytes_max: (Self::DEFAULT.joining_bytes_max / shards as u64).max(1),
            ..Self::DEFAULT
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}
