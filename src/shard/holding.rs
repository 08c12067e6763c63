//! What a shard does at the bounds of what it may remember of attempts, and when the disk has no room: it begins nothing new,
//! gives its places back, and goes on by itself.

use crate::delivery::Happened;
use crate::model::{Address, Class, DiskRoom};

use super::{Hold, Shard};

impl Shard {
    /// The disk has so much room. While that is little, checkpoints are what frees some: events folded, what is past its
    /// retention dropped.
    pub(super) fn disk_has(&mut self, room: DiskRoom) {
        self.disk = room;
        if room.is_low() {
            self.folding.want();
        }
    }

    /// Why no attempt of that class is begun at present. An attempt that is open may end in the ledger, so both count.
    pub(super) fn hold(&self, class: Class) -> Option<Hold> {
        let bounds = &self.options.bounds;
        let most = if class.is_urgent() { bounds.unanswered_urgent_max } else { bounds.unanswered_max };
        if self.disk.is_out() {
            Some(Hold::DiskOut)
        } else if self.books.attempts.open_count() + self.books.attempts.doubts.len() >= most {
            Some(Hold::LedgerFull)
        } else {
            None
        }
    }

    /// The carrier took a part of several: it stands in the message's timeline if it is news.
    pub(super) fn part_taken(&mut self, address: Address, part: u8, parts: u8) {
        if !self.books.knows_part(address, part) {
            self.happens(address, Happened::PartAccepted { part, parts });
        }
    }
}
