//! Which shard a carrier's message id belongs to, as far as remembered: a hint that may be lost or, once in 2⁵⁶, wrong.
//!
//! A table of fixed size in which a newer id takes the place of an older one. Knows keys and shards; refuses to know ids,
//! records and how long a receipt may take: what is not found is asked for elsewhere.

use crate::model::ShardId;

/// Direct-mapped: the low bits of a key choose the entry, the high 56 bits are kept beside the shard.
#[derive(Clone)]
pub struct IdTable {
    entries: Box<[u64]>,
}

impl std::fmt::Debug for IdTable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("IdTable").field("entries", &self.entries.len()).finish()
    }
}

/// An entry nobody wrote. Its shard octet is one that no shard has.
const EMPTY: u64 = SHARD_NONE;
const SHARD_NONE: u64 = 0xFF;

impl IdTable {
    /// 2^`bits` entries of 8 octets; at most 2²⁴.
    pub fn new(bits: u32) -> Self {
        Self { entries: vec![EMPTY; 1 << bits.min(24)].into_boxed_slice() }
    }

    /// Remembers. Shard 255 cannot be remembered and is forgotten.
    pub fn insert(&mut self, key: u64, shard: ShardId) {
        let at = self.index(key);
        if let Some(entry) = self.entries.get_mut(at) {
            *entry = key & !0xFF | u64::from(shard.0);
        }
    }

    /// The shard, if the key is still there.
    pub fn find(&self, key: u64) -> Option<ShardId> {
        let entry = *self.entries.get(self.index(key))?;
        (entry & !0xFF == key & !0xFF && entry & 0xFF != SHARD_NONE).then_some(ShardId((entry & 0xFF) as u8))
    }

    /// The tag leaves out the low octet, so the index takes it in.
    fn index(&self, key: u64) -> usize {
        key as usize & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newer_of_two_in_one_place() {
        let mut table = IdTable::new(8);
        assert_eq!(table.find(0), None);
        table.insert(0xABCD_0001, ShardId(3));
        table.insert(0xABCD_0002, ShardId(4));
        assert_eq!((table.find(0xABCD_0001), table.find(0xABCD_0002)), (Some(ShardId(3)), Some(ShardId(4))));
        assert_eq!(table.find(0x00CD_0001), None, "another key in the same place");
        table.insert(0x00CD_0001, ShardId(5));
        assert_eq!((table.find(0xABCD_0001), table.find(0x00CD_0001)), (None, Some(ShardId(5))));
        table.insert(7, ShardId(255));
        assert_eq!(table.find(7), None);
    }
}
