//! Outcomes and receipts for the shards, gathered over one turn into one batch of each kind per shard.
//!
//! Knows batches and arenas. Refuses to know the reasons of outcomes and receipts.

use crate::model::{GroupId, LinkId, ShardId};
use crate::traffic::{Answer, HandsetIn, Outcome, OutcomeBatch, ReceiptBatch, ReceiptIn, Span, ToShard};

use super::smpp::handsets::HandsetSeen;

/// The batches of one link. Lives on the link's core.
#[derive(Debug)]
pub struct Outbox {
    link: LinkId,
    group: GroupId,
    outcomes: Vec<OutcomeBatch>,
    receipts: Vec<ReceiptBatch>,
    /// Whether a batch may have content.
    filled: bool,
    /// Size of the last batch of outcomes, as an estimate for the next one.
    expected: usize,
}

impl Outbox {
    /// Empty batches for this number of shards.
    pub fn new(link: LinkId, group: GroupId, shards: u8) -> Self {
        let shards = usize::from(shards.max(1));
        let outcomes = (0..shards).map(|_| OutcomeBatch { link, group, ..OutcomeBatch::default() }).collect();
        let receipts = (0..shards).map(|_| ReceiptBatch { link, group, ..ReceiptBatch::default() }).collect();
        Self { link, group, outcomes, receipts, filled: false, expected: 0 }
    }

    /// Adds an outcome; `id` is the carrier's message id of an accepted part.
    pub fn push_outcome(&mut self, shard: ShardId, mut outcome: Outcome, id: &[u8]) {
        let Some(batch) = of(&mut self.outcomes, shard) else { return };
        if batch.outcomes.is_empty() {
            batch.outcomes.reserve(self.expected);
        }
        if let Answer::Accepted(span) = &mut outcome.answer {
            *span = Span::append(&mut batch.arena, id);
        }
        batch.outcomes.push(outcome);
        self.filled = true;
    }

    /// Adds a receipt; its spans are set here.
    pub fn push_receipt(&mut self, shard: ShardId, mut receipt: ReceiptIn, id: &[u8], text: &[u8]) {
        let Some(batch) = of(&mut self.receipts, shard) else { return };
        receipt.id = Span::append(&mut batch.arena, id);
        receipt.text = Span::append(&mut batch.arena, text);
        batch.receipts.push(receipt);
        self.filled = true;
    }

    /// Adds a message from a handset; its spans are set here.
    pub fn push_handset(&mut self, shard: ShardId, mut message: HandsetIn, seen: &HandsetSeen<'_>) {
        let Some(batch) = of(&mut self.receipts, shard) else { return };
        message.name = Span::append(&mut batch.arena, seen.name);
        message.to = Span::append(&mut batch.arena, seen.to);
        message.header = Span::append(&mut batch.arena, &seen.header);
        message.text = Span::append(&mut batch.arena, seen.text);
        batch.handsets.push(message);
        self.filled = true;
    }

    /// Takes the next batch, shard by shard; `None` when all are empty.
    pub fn pop(&mut self) -> Option<(ShardId, ToShard)> {
        if !self.filled {
            return None;
        }
        let (link, group) = (self.link, self.group);
        for (at, batch) in self.outcomes.iter_mut().enumerate() {
            if !batch.outcomes.is_empty() {
                let batch = std::mem::replace(batch, OutcomeBatch { link, group, ..OutcomeBatch::default() });
                self.expected = batch.outcomes.len();
                return Some((ShardId(at as u8), ToShard::Outcomes(batch)));
            }
        }
        for (at, batch) in self.receipts.iter_mut().enumerate() {
            if !batch.receipts.is_empty() || !batch.handsets.is_empty() {
                let batch = std::mem::replace(batch, ReceiptBatch { link, group, ..ReceiptBatch::default() });
                return Some((ShardId(at as u8), ToShard::Receipts(batch)));
            }
        }
        self.filled = false;
        None
    }
}

/// The batch of a shard. There is one for every shard, so a missing one is a bug.
fn of<T>(batches: &mut [T], shard: ShardId) -> Option<&mut T> {
    debug_assert!(usize::from(shard.0) < batches.len(), "{shard:?} does not exist: there are {} shards", batches.len());
    batches.get_mut(usize::from(shard.0))
}
