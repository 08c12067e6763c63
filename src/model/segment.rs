//! A segment in memory: messages admitted together, immutable from then on. Shared by reference between the queue that
//! waits on it, the storage thread that encodes it and the links that send from it.

use std::sync::Arc;

use super::ids::Address;
use super::message::Head;

/// Messages in the order of admission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its number in its shard, never used twice.
    pub number: u64,
    /// The fixed parts, by slot.
    pub heads: Vec<Head>,
    /// The encoded contents.
    pub arena: Arc<Vec<u8>>,
}

impl Segment {
    /// The message in that slot.
    pub fn head(&self, slot: u16) -> Option<&Head> {
        self.heads.get(usize::from(slot))
    }

    /// The encoded content of that message; empty if the head points outside, which the store's checksum excludes.
    pub fn content(&self, head: &Head) -> &[u8] {
        let at = head.content_at as usize;
        self.arena.get(at..at + head.content_len as usize).unwrap_or_default()
    }

    /// The address of that slot.
    pub const fn address(&self, slot: u16) -> Address {
        Address::new(self.number, slot)
    }

    /// Octets that it holds in memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.heads.len() * size_of::<Head>() + self.arena.len()
    }
}
