//! Which shard a recipient belongs to, and on which core a shard runs.
//!
//! The first half goes to disk: a recipient's history lives in the shard that this map names, so the function is
//! frozen with the data format (the numbers in the tests are part of it) and the number of shards is fixed when a
//! data directory is formatted. The second half is only placement and may change at every start.
//! Does not know what a recipient is: it takes a number. It is not keyed, because two processes must agree on it.

use crate::model::ShardId;

/// A core of this process, 0-based in the order of the configured cores; not the CPU's own number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u8);

/// Recipient → shard → core. A copy lives on every core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardMap {
    shards: u8,
    cores: u8,
}

impl ShardMap {
    /// A map over `shards` shards, spread over `cores` cores. Counts of 0 are taken as 1.
    pub const fn new(shards: u8, cores: u8) -> Self {
        Self { shards: if shards == 0 { 1 } else { shards }, cores: if cores == 0 { 1 } else { cores } }
    }

    /// Number of shards.
    pub const fn shards(self) -> u8 {
        self.shards
    }

    /// Number of cores.
    pub const fn cores(self) -> u8 {
        self.cores
    }

    /// The owner of `recipient` (an MSISDN as a number, or any 64-bit identity).
    pub const fn shard_of(self, recipient: u64) -> ShardId {
        // Multiply-shift takes the high bits: even for every count, not only powers of two.
        ShardId(((mix(recipient) as u128 * self.shards as u128) >> 64) as u8)
    }

    /// Where `shard` runs.
    pub const fn core_of(self, shard: ShardId) -> CoreId {
        CoreId(shard.0 % self.cores)
    }

    /// The shards that run on `core`, in ascending order.
    pub fn shards_on(self, core: CoreId) -> impl Iterator<Item = ShardId> {
        (0..self.shards).map(ShardId).filter(move |shard| self.core_of(*shard) == core)
    }
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014; Stafford's variant 13): a bijection in which each input
/// bit changes each output bit with a chance near one half, so consecutive numbers of one carrier spread evenly.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// splitmix64 with seed 0 and seed 1234567, as published with the reference implementation.
    #[test]
    fn mix_is_the_published_function() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn placement_on_disk_does_not_move() {
        let shards: Vec<u8> = (0..12).map(|n| ShardMap::new(16, 2).shard_of(41_791_234_500 + n).0).collect();
        assert_eq!(shards, GOLDEN);
    }

    const GOLDEN: [u8; 12] = [8, 7, 11, 5, 3, 3, 12, 2, 15, 14, 9, 9];

    #[test]
    fn consecutive_numbers_spread_evenly() {
        for shards in [1_u8, 2, 3, 7, 16, 255] {
            let map = ShardMap::new(shards, 2);
            let mut counts = vec![0_u32; usize::from(shards)];
            let total = 100_000 * u32::from(shards).min(20);
            for n in 0..u64::from(total) {
                counts[usize::from(map.shard_of(919_800_000_000 + n).0)] += 1;
            }
            let mean = total / u32::from(shards);
            let worst = counts.iter().map(|count| count.abs_diff(mean)).max().unwrap_or(0);
            assert!(worst * 20 < mean, "{shards} shards: {worst} off a mean of {mean}");
        }
    }

    #[test]
    fn every_shard_runs_on_exactly_one_core() {
        let map = ShardMap::new(7, 3);
        let mut seen: Vec<u8> = (0..3).flat_map(|core| map.shards_on(CoreId(core))).map(|shard| shard.0).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    }
}
