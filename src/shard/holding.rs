//! What a shard does at the bounds of what it may remember of attempts, and when the disk has no room: it begins nothing new,
//! gives its places back, and goes on by itself.

use crate::delivery::{EventKind, Noted, Taken};
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
        } else if self.attempts.open_count() + self.attempts.doubts.len() >= most {
            Some(Hold::LedgerFull)
        } else {
            None
        }
    }

    /// So many attempts of that message are consumed. Where that cannot be remembered, it counts from 1 again: it is tried
    /// more often than its policy says, and never less.
    pub(super) fn remember_tried(&mut self, address: Address, attempts: u8) {
        if self.has_room_for_tried() || self.tried.contains_key(&address) {
            self.tried.insert(address, attempts);
        } else {
            self.counters.attempts_uncounted += 1;
        }
    }

    pub(super) fn has_room_for_tried(&self) -> bool {
        self.tried.len() < self.options.bounds.tried_max
    }

    /// The carrier took a part of several: it stands in the message's timeline if it is news.
    pub(super) fn part_taken(&mut self, address: Address, taken: Taken) {
        if self.replay_part(address, taken) != Noted::Known {
            let detail = u32::from(taken.parts) << 8 | u32::from(taken.part);
            self.gathering.event(address, EventKind::PartAccepted, detail);
        }
    }

    /// The same without a word, as replay does it.
    pub(super) fn replay_part(&mut self, address: Address, taken: Taken) -> Noted {
        let progress = &self.attempts.progress;
        if progress.is_full(taken.parts) && progress.get(&address).is_none() {
            let void_max = self.options.bounds.cancelled_max.saturating_sub(self.cancelled.len());
            let (forgotten, void) = self.attempts.make_room_for_parts(void_max);
            self.counters.parts_forgotten += forgotten as u64;
            // Final ones, which must be passed over if they still stand in a list.
            self.cancelled.extend(void.into_iter().map(|address| (address, super::CLOSED)));
        }
        let noted = self.attempts.part_accepted(address, taken);
        self.counters.parts_unnoted += u64::from(noted == Noted::NoRoom);
        noted
    }
}
