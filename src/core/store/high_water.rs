//! The acknowledged high-water mark: the last commit that clients and carriers may have been told is kept.
//!
//! Knows: two slots of 512 bytes, which of them is newer, and whether the mark was set at a clean stop.
//! Refuses to know: files (`directory`), when to write, and what to do if less is found than was acknowledged.
//!
//! It is kept outside fjall, so that a journal that lost its last batch is noticed: a recovered commit number below the
//! mark means that acknowledged work is lost. A shard's mark is written at most once a second, after the commits that
//! it names were durable, and gates no answer; so it may lag, but never runs ahead. A slot is one disk sector and the
//! two are written in turn, so a torn write harms the older one at most.
//!
//! Slot, little endian: `SHWM`, version `u32` = 1, counter `u64`, commit `u64`, clean `u64` (0 or 1), zeroes, xxh3-64 of the
//! 504 bytes before it. To change it: a new version number beside the old one, both read, the new one written.

use xxhash_rust::xxh3::xxh3_64;

/// One slot, bytes: a disk sector, written whole or not at all.
pub const SLOT_BYTES: usize = 512;
/// The file: two slots.
pub const FILE_BYTES: usize = 2 * SLOT_BYTES;

const MAGIC: &[u8; 4] = b"SHWM";
const VERSION: u32 = 1;
const CHECKSUM_AT: usize = SLOT_BYTES - 8;

/// A high-water mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HighWater {
    /// Grows by one with every write; selects the slot, and tells which slot is newer.
    pub counter: u64,
    /// The last commit known to be durable when the mark was written.
    pub commit: u64,
    /// Set by a clean stop, after which nothing more was committed.
    pub is_clean: bool,
}

impl HighWater {
    /// The mark that follows this one.
    pub fn next(self, commit: u64, is_clean: bool) -> HighWater {
        HighWater { counter: self.counter + 1, commit, is_clean }
    }

    /// Where this mark goes in the file, bytes.
    pub fn offset(self) -> usize {
        if self.counter.is_multiple_of(2) { 0 } else { SLOT_BYTES }
    }
}

/// The bytes of one slot.
pub fn encode(mark: HighWater) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..4].copy_from_slice(MAGIC);
    slot[4..8].copy_from_slice(&VERSION.to_le_bytes());
    slot[8..16].copy_from_slice(&mark.counter.to_le_bytes());
    slot[16..24].copy_from_slice(&mark.commit.to_le_bytes());
    slot[24..32].copy_from_slice(&u64::from(mark.is_clean).to_le_bytes());
    let checksum = xxh3_64(&slot[..CHECKSUM_AT]);
    slot[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    slot
}

/// The newer of the two marks in the file; `None` when neither slot can be read.
pub fn decode(file: &[u8]) -> Option<HighWater> {
    file.chunks_exact(SLOT_BYTES).take(2).filter_map(decode_slot).max_by_key(|mark| mark.counter)
}

fn decode_slot(slot: &[u8]) -> Option<HighWater> {
    let number = |at: usize| -> Option<u64> { Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?)) };
    let is_whole = slot.get(..4)? == MAGIC
        && slot.get(4..8)? == VERSION.to_le_bytes()
        && number(CHECKSUM_AT)? == xxh3_64(slot.get(..CHECKSUM_AT)?);
    is_whole.then_some(())?;
    Some(HighWater { counter: number(8)?, commit: number(16)?, is_clean: number(24)? == 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(marks: &[HighWater]) -> Vec<u8> {
        let mut file = vec![0; FILE_BYTES];
        for mark in marks {
            file[mark.offset()..mark.offset() + SLOT_BYTES].copy_from_slice(&encode(*mark));
        }
        file
    }

    #[test]
    fn the_newer_slot_wins_whichever_it_is() {
        let mut mark = HighWater::default();
        let mut written = Vec::new();
        for commit in [10, 20, 20, 35] {
            mark = mark.next(commit, commit == 35);
            written.push(mark);
            assert_eq!(decode(&file_of(&written)), Some(mark));
        }
        assert!(mark.is_clean);
    }

    #[test]
    fn a_torn_slot_leaves_the_older_mark() {
        let older = HighWater::default().next(7, false);
        let newer = older.next(9, true);
        let file = file_of(&[older, newer]);
        for at in newer.offset()..newer.offset() + SLOT_BYTES {
            let mut torn = file.clone();
            torn[at] ^= 1;
            assert_eq!(decode(&torn), Some(older), "flip at {at}");
        }
    }

    #[test]
    fn nothing_readable_is_no_mark() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0; FILE_BYTES]), None);
        assert_eq!(decode(&[0xff; 100]), None);
    }

    #[test]
    fn golden_bytes_of_version_1() {
        let slot = encode(HighWater { counter: 2, commit: 0x0102, is_clean: true });
        assert_eq!(slot[..32], *b"SHWM\x01\0\0\0\x02\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0\x01\0\0\0\0\0\0\0");
        assert_eq!(slot[32..CHECKSUM_AT], [0; 472]);
        assert_eq!(decode(&slot), Some(HighWater { counter: 2, commit: 0x0102, is_clean: true }));
    }
}
