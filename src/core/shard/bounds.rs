//! How much a shard may remember of each kind, and what a checkpoint takes in one record at most: messages under way stand in
//! pages beside it, of any number. What happens at a bound is told where the set is kept: here are the figures and how they
//! relate.
//!
//! | set | at its bound | safe, because |
//! |---|---|---|
//! | attempts without an answer: open and in the ledger | no attempt is begun until some are settled | nothing leaves |
//! | messages that were in doubt of late | the oldest is forgotten, and no receipt without a known id settles anything | silence settles nothing wrongly |
//! | messages of several parts | those that only wait for receipts go, oldest first: these come `late` | it stays `submitted` |
//! | the same, when none of them only waits | a further one that was taken in part is not tried again: it ends `dead` | no part goes twice |
//! | messages cancelled and not yet passed over | no cancellation is taken until some have been passed over | nobody was told "cancelled" |
//! | attempts consumed by messages that are tried again | a further one counts from 1 again | it is tried more often, never less |
//! | parked receipts | of numbers to which nothing is under way, oldest first; then the oldest | a foreign program's go first, which are in memory only |
//! | parts about which their carriers are asked | one more is not asked about | it ends with `no_receipt` |
//! | eras of the delay queue: how often the clock went back while something waits | what is put off goes to the era that has come least far | it is late, by less than the clock went back |
//! | numbers of lists | nobody can go over it: one for each class and number of a route | |
//! | messages from handsets, those included that wait to be joined | the carrier is asked to deliver it later | it keeps it |
//! | messages from handsets that lack parts | the oldest is given up | it is kept as what is there of it |

use crate::delivery::progress::ENTRY_OCTETS;
use crate::model::limits::OPEN_ATTEMPTS_MAX;
use crate::queue::ERAS_MAX;
use crate::store::backend::VALUE_BYTES_MAX;
use crate::store::record::{
    CHECKPOINT_OCTETS, COUNT_OCTETS, DUE_OCTETS, ENDED_OCTETS, FIFO_OCTETS, MARK_OCTETS, PROGRESS_OCTETS,
};
use crate::store::recovery::PARKED_READ_MAX;

/// See the head of this file. A shard's own, not the process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Attempts that are open or in the ledger before no more of bulk is begun.
    pub unanswered_max: usize,
    /// The same for what cannot wait.
    pub unanswered_urgent_max: usize,
    /// Messages that were in doubt of late.
    pub once_in_doubt_max: usize,
    /// Bytes that progress of messages of several parts takes on disk.
    pub progress_octets_max: usize,
    /// Messages cancelled and not yet passed over.
    pub cancelled_max: usize,
    /// Messages whose consumed attempts are remembered.
    pub tried_max: usize,
    /// Parked receipts from numbers to which something is under way, those from other numbers included.
    pub parked_max: usize,
    /// Parked receipts from other numbers: in memory only.
    pub parked_foreign_max: usize,
    /// Parts about which carriers are asked that send no receipts.
    pub asked_max: usize,
    /// Messages from handsets kept.
    pub handset_messages_max: usize,
    /// Bytes of theirs.
    pub handset_octets_max: u64,
    /// Messages from handsets that lack parts; of some more it is remembered for a while which parts they had.
    pub joining_max: usize,
    /// Bytes of theirs: these are in memory.
    pub joining_octets_max: u64,
    /// What a checkpoint, or a segment's history, may take in one record, bytes.
    pub checkpoint_octets_max: usize,
}

/// Fifos that hold something; others are in no checkpoint. A list has at most ten of each generation, and there are no more
/// lists than classes and routes ([`crate::queue::LISTS_MAX`]).
const FIFOS_FORESEEN: usize = 1 << 18;
/// Most of what a checkpoint may take in one record: the store's limit of one value.
const MOST: usize = CHECKPOINT_OCTETS
    + FIFOS_FORESEEN * (FIFO_OCTETS + ENDED_OCTETS)
    + ERAS_MAX * DUE_OCTETS
    + 256 * MARK_OCTETS
    + 128 * COUNT_OCTETS;

const _: () = assert!(MOST <= VALUE_BYTES_MAX);
const _: () = assert!(PROGRESS_OCTETS == ENTRY_OCTETS, "progress counts what it takes on disk");
const _: () = assert!(OPEN_ATTEMPTS_MAX < Bounds::DEFAULT.unanswered_max);
const _: () = assert!(Bounds::DEFAULT.unanswered_max < Bounds::DEFAULT.unanswered_urgent_max);
const _: () = assert!(Bounds::DEFAULT.parked_foreign_max < Bounds::DEFAULT.parked_max);
const _: () = assert!(Bounds::DEFAULT.parked_max <= PARKED_READ_MAX);
const _: () = assert!(Bounds::DEFAULT.joining_max < Bounds::DEFAULT.handset_messages_max);
const _: () = assert!(Bounds::DEFAULT.joining_octets_max < Bounds::DEFAULT.handset_octets_max);

impl Bounds {
    /// Those of a shard that is alone in its process.
    pub const DEFAULT: Self = Self {
        unanswered_max: 112 << 10,
        unanswered_urgent_max: 128 << 10,
        once_in_doubt_max: 256 << 10,
        progress_octets_max: 16 << 20,
        cancelled_max: 512 << 10,
        tried_max: 1 << 20,
        parked_max: 64 << 10,
        parked_foreign_max: 4 << 10,
        asked_max: 64 << 10,
        handset_messages_max: 256 << 10,
        handset_octets_max: 64 << 20,
        joining_max: 16 << 10,
        joining_octets_max: 8 << 20,
        checkpoint_octets_max: VALUE_BYTES_MAX,
    };

    /// Those of one of so many shards: what is not in a checkpoint is shared out.
    pub fn shared_by(shards: u8) -> Self {
        let shards = usize::from(shards.max(1));
        let share = |whole: usize| (whole / shards).max(1);
        Self {
            parked_max: share(Self::DEFAULT.parked_max),
            parked_foreign_max: share(Self::DEFAULT.parked_foreign_max),
            asked_max: share(Self::DEFAULT.asked_max),
            handset_messages_max: share(Self::DEFAULT.handset_messages_max),
            handset_octets_max: (Self::DEFAULT.handset_octets_max / shards as u64).max(1),
            joining_max: share(Self::DEFAULT.joining_max),
            joining_octets_max: (Self::DEFAULT.joining_octets_max / shards as u64).max(1),
            ..Self::DEFAULT
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}
