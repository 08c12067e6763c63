//! A table from carriers' message ids to shards: a hint that may be missing or, once in 2⁵⁶ look-ups, wrong.
//!
//! The table has a fixed size, and a newer id replaces an older one. Knows keys and shards; refuses to know ids, records and
//! how long a receipt may take: if an id is not found, the link asks the shards ([`super::inquiry`]).

use crate::model::ShardId;

/// Buckets of two entries: the low bits of a key choose the bucket, the high 56 bits are stored together with the shard. Two
/// entries, so that both shards are found if a carrier uses an id twice, for messages of two shards.
#[derive(Clone)]
pub struct IdTable {
    /// In each bucket the newer entry comes first.
    buckets: Box<[[u64; 2]]>,
    /// Entries that are not in the table yet. The table is larger than any cache: entries written one at a time would each wait for
    /// memory, while a batch waits only once.
    recent: Vec<(u64, ShardId)>,
}

/// Number of entries that are written to the table at once.
const RECENT: usize = 64;

impl std::fmt::Debug for IdTable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("IdTable").field("buckets", &self.buckets.len()).finish()
    }
}

/// A free entry. No shard has this number.
const EMPTY: u64 = SHARD_NONE;
const SHARD_NONE: u64 = 0xFF;
const TAG: u64 = !0xFF;

impl IdTable {
    /// 2^`bits` entries of 8 bytes; at least 2⁹, at most 2²⁴.
    pub fn new(bits: u32) -> Self {
        let buckets = vec![[EMPTY; 2]; 1 << (bits.clamp(9, 24) - 1)].into_boxed_slice();
        Self { buckets, recent: Vec::with_capacity(RECENT) }
    }

    /// Adds an entry. There is no shard 255.
    pub fn insert(&mut self, key: u64, shard: ShardId) {
        self.recent.push((key, shard));
        if self.recent.len() >= RECENT {
            self.place_recent();
        }
    }

    fn place_recent(&mut self) {
        for (key, shard) in self.recent.drain(..) {
            let entry = key & TAG | u64::from(shard.0);
            let [newer, older] = &mut self.buckets[index(key, self.buckets.len())];
            // Without a branch, because a branch would have to wait for the memory.
            *older = if *newer == entry { *older } else { *newer };
            *newer = entry;
        }
    }

    /// The shard of a key, if the table still has it. If two shards have the same id: `home` if it is one of them, else the one
    /// that was added later.
    pub fn find(&mut self, key: u64, home: Option<ShardId>) -> Option<ShardId> {
        self.place_recent();
        let is_known = |entry: &&u64| *entry & TAG == key & TAG && *entry & !TAG != SHARD_NONE;
        let shard = |entry: &u64| ShardId((entry & !TAG) as u8);
        let mut known = self.buckets[index(key, self.buckets.len())].iter().filter(is_known).map(shard);
        let newer = known.next()?;
        Some(known.find(|older| home == Some(*older)).unwrap_or(newer))
    }
}

/// The index of a key's bucket. The tag omits the lowest byte of the key, so the index must contain it.
const fn index(key: u64, buckets: usize) -> usize {
    key as usize & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_newer_two_in_one_place() {
        let mut table = IdTable::new(9);
        assert_eq!(table.find(0, None), None);
        table.insert(0xABCD_0001, ShardId(3));
        table.insert(0xABCD_0002, ShardId(4));
        let find = |table: &mut IdTable, key| table.find(key, None);
        assert_eq!([0xABCD_0001, 0xABCD_0002].map(|key| find(&mut table, key)), [Some(ShardId(3)), Some(ShardId(4))]);
        assert_eq!(find(&mut table, 0x00CD_0001), None, "another key in the same place");
        table.insert(0x00CD_0001, ShardId(5));
        assert_eq!([0xABCD_0001, 0x00CD_0001].map(|key| find(&mut table, key)), [Some(ShardId(3)), Some(ShardId(5))]);
        table.insert(0x00CE_0001, ShardId(6));
        assert_eq!(
            [0xABCD_0001, 0x00CD_0001, 0x00CE_0001].map(|key| find(&mut table, key)),
            [None, Some(ShardId(5)), Some(ShardId(6))]
        );
        assert_eq!(find(&mut table, 0xABCD_0002), Some(ShardId(4)));
        table.insert(7, ShardId(255));
        assert_eq!(find(&mut table, 7), None);
    }

    #[test]
    fn an_id_given_again_leads_to_the_home_of_the_number() {
        let mut table = IdTable::new(9);
        let found = |table: &mut IdTable| {
            [None, Some(3), Some(4), Some(9)].map(|home| table.find(1, home.map(ShardId)).map(|found| found.0))
        };
        table.insert(1, ShardId(3));
        assert_eq!(found(&mut table), [Some(3); 4]);
        table.insert(1, ShardId(4));
        table.insert(1, ShardId(4));
        assert_eq!(found(&mut table), [4, 3, 4, 4].map(Some));
        table.insert(1, ShardId(3));
        assert_eq!(found(&mut table), [3, 3, 4, 3].map(Some));
        table.insert(1, ShardId(9));
        assert_eq!(found(&mut table), [9, 3, 9, 9].map(Some));
    }

    #[test]
    fn takes_as_much_room_as_told() {
        let bytes = |bits| size_of_val(&*IdTable::new(bits).buckets);
        assert_eq!([0, 9, 12].map(bytes), [8 << 9, 8 << 9, 8 << 12]);
    }
}
