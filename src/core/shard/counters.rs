//! What a shard counts and measures.

use crate::delivery::{EventKind, Resolution};
use crate::metrics::Distribution;
use crate::model::{Class, Refusal};

/// What a shard counts; read by the metrics of its core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages taken, by [`Class::index`].
    pub accepted: [u64; Class::COUNT],
    /// Lines that repeated a key.
    pub duplicates: u64,
    /// Lines refused, in the order of [`Counters::REFUSALS`].
    pub refused: [u64; Counters::REFUSALS.len()],
    /// Attempts recorded.
    pub attempts: u64,
    /// Messages that a carrier took whole.
    pub submitted: u64,
    /// Messages that reached a final state, in the order of [`EventKind::FINALS`].
    pub finals: [u64; EventKind::FINALS.len()],
    /// Attempts that went in doubt.
    pub in_doubt: u64,
    /// Messages that left the ledger, by [`Resolution::index`].
    pub resolved: [u64; Resolution::ALL.len()],
    /// Attempts refused and tried again.
    pub retried: u64,
    /// Receipts matched.
    pub receipts: u64,
    /// Receipts after a final state.
    pub receipts_late: u64,
    /// Receipts under the id of a part to another number.
    pub receipts_strange: u64,
    /// Receipts parked because nobody knew them.
    pub receipts_parked: u64,
    /// Parked receipts given up for want of room: from numbers to which nothing was under way, and others.
    pub receipts_dropped: [u64; 2],
    /// Receipts that said of a message what had been said often enough, and were not written down.
    pub receipts_repeated: u64,
    /// Parts that are not asked about for want of room.
    pub queries_full: u64,
    /// Messages from handsets that were kept: for a tenant that has the number they were sent to, and for nobody.
    pub handsets_kept: [u64; 2],
    /// Messages from handsets that were not taken for want of room.
    pub handsets_refused: u64,
    /// Messages from handsets that were joined.
    pub handsets_joined: u64,
    /// Messages from handsets that were given up, and kept without the parts that are missing.
    pub handsets_incomplete: u64,
    /// Messages of several parts whose receipts are late from now on, for want of room.
    pub parts_forgotten: u64,
    /// Parts taken by a carrier that there was no room to remember.
    pub parts_unnoted: u64,
    /// Attempts consumed that there was no room to remember.
    pub attempts_uncounted: u64,
    /// Cancellations that were not taken for want of room.
    pub cancellations_refused: u64,
    /// Checkpoints that were not written because they would not fit.
    pub checkpoints_too_large: u64,
    /// Messages that wait in the lane of another route since theirs is gone.
    pub rerouted: u64,
    /// Messages that ended because their route is gone and no other leads to their recipient.
    pub unroutable: u64,
    /// Records that were dropped at their retention and that a reader had not read, by reader and record.
    pub records_unread: u64,
    /// Damaged segments that were met.
    pub quarantined: u64,
}

/// What a shard measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// From acceptance, or `send_at`, until the message was written to its carrier, µs; one for each submitted.
    pub accept_to_submit_us: Distribution,
    /// From handing out a batch until it is durable, µs.
    pub commit_us: Distribution,
    /// Messages admitted by each batch.
    pub commit_messages: Distribution,
}

impl Counters {
    /// The refusals that [`Counters::refused`] counts.
    pub const REFUSALS: [Refusal; 10] = [
        Refusal::QueueFull,
        Refusal::KeyWindowFull,
        Refusal::KeyReused,
        Refusal::AlreadyExpired,
        Refusal::Draining,
        Refusal::NoRoute,
        Refusal::OverQuota,
        Refusal::DiskFull,
        Refusal::QueueShareFull,
        Refusal::KeyShareFull,
    ];
}
