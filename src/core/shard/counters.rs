//! What a shard counts and measures.

use crate::delivery::{EventKind, Resolution};
use crate::metrics::Distribution;
use crate::model::{Class, Refusal};

/// What a shard counts; read by the metrics of its core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages accepted, by [`Class::index`].
    pub accepted: [u64; Class::COUNT],
    /// Lines that repeated an idempotency key.
    pub duplicates: u64,
    /// Lines refused, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Attempts begun.
    pub attempts: u64,
    /// Messages that a carrier took in full.
    pub submitted: u64,
    /// Messages that reached a final state, in the order of [`EventKind::FINALS`].
    pub finals: [u64; EventKind::FINALS.len()],
    /// Attempts that went in doubt.
    pub in_doubt: u64,
    /// Messages that left the ledger, by [`Resolution::index`].
    pub resolved: [u64; Resolution::ALL.len()],
    /// Attempts that a carrier refused and that are tried again.
    pub retried: u64,
    /// Receipts matched to a part.
    pub receipts: u64,
    /// Receipts after the final state.
    pub receipts_late: u64,
    /// Receipts whose id is known, but of parts to other numbers.
    pub receipts_strange: u64,
    /// Receipts parked because their part was unknown.
    pub receipts_parked: u64,
    /// Parked receipts dropped for want of room: first those from numbers with nothing under way, then the others.
    pub receipts_dropped: [u64; 2],
    /// Receipts that repeat what their message's timeline says often enough already; not recorded.
    pub receipts_repeated: u64,
    /// Parts that are not queried for want of room.
    pub queries_full: u64,
    /// Messages from handsets that were kept: first those to a tenant's number, then those to a number that no tenant has.
    pub handsets_kept: [u64; 2],
    /// Messages from handsets that were not taken for want of room.
    pub handsets_refused: u64,
    /// Messages from handsets whose parts were joined.
    pub handsets_joined: u64,
    /// Messages from handsets that were given up and kept without the missing parts.
    pub handsets_incomplete: u64,
    /// Messages of several parts whose progress was forgotten for want of room: their receipts count as late.
    pub parts_forgotten: u64,
    /// Parts taken by a carrier that there was no room to record as taken.
    pub parts_unnoted: u64,
    /// Times that consumed attempts could not be remembered for want of room.
    pub attempts_uncounted: u64,
    /// Cancellations refused for want of room.
    pub cancellations_refused: u64,
    /// Checkpoints left out because one of their records was too large.
    pub checkpoints_too_large: u64,
    /// Messages moved to the lane of another route because theirs is gone.
    pub rerouted: u64,
    /// Messages that ended because their route is gone and no other leads to their recipient.
    pub unroutable: u64,
    /// Records dropped at their retention before a reader had read them, counted once for each such reader.
    pub records_unread: u64,
    /// Damaged segments found.
    pub quarantined: u64,
    /// How often messages of a segment that had left memory were read back because they are next.
    pub segments_read: u64,
}

/// What a shard measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// From acceptance, or `send_at` if that is later, until the message was written to its carrier, µs; once per submitted
    /// message.
    pub accept_to_submit_us: Distribution,
    /// From handing out a batch until it is durable, µs.
    pub commit_us: Distribution,
    /// Messages admitted by each batch.
    pub commit_messages: Distribution,
}
