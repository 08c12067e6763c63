//! Reads a journal before fjall does, and decides whether fjall may open it.
//!
//! Knows: the bytes of a journal of fjall 3 (`journal/entry.rs`, `journal/writer.rs` of 3.1.13), nothing else.
//! Refuses to know: files, key spaces, what to do about the end of a journal (`fjall_journals`).
//!
//! Why it exists: fjall stops at the first entry that it cannot read, cuts the file there and opens. So damage in the
//! middle silently removes every later acknowledged batch; and a last batch that is complete except for a hole inside
//! makes fjall refuse to open every time. Both are recognised here, before anything is changed.
//!
//! Format, all numbers little endian. A batch is `Start Item* End`; batches follow each other without a gap; the rest of
//! the file, allocated ahead, is zero.
//! - `Start`: tag 1, entries `u32`, sequence number `u64`
//! - `Item`: tag 2, kind `u8` (0 value, 1 and 2 tombstones, 4 indirection), compression `u8` (0 none, 1 lz4), key space
//!   `u64`, key bytes `u16`, value bytes `u32`, stored value bytes `u32`, key, stored value
//! - `Clear`: tag 4, key space `u64` (counted as an entry)
//! - `End`: tag 3, xxh3-64 of all bytes between `Start` and `End`, then `FJL` and 3
//!
//! What it relies on: a batch is synced before the next one is written, so a crash harms only the last batch, in any
//! way (cut, holes, zeroes, reordered blocks). Hence bad bytes with a valid batch after them are damage.
//! What it cannot tell: damage that hits exactly the last batch looks like a torn write. The acknowledged high-water
//! mark (`high_water`) detects that case.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

const TAG_START: u8 = 1;
const TAG_ITEM: u8 = 2;
const TAG_END: u8 = 3;
const TAG_CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";

/// Sequence numbers grow from batch to batch, by at most this much: fjall takes some for itself, but a journal of 64
/// MiB has no room for more. The number is not covered by the batch's checksum; this limit detects a damaged one. It
/// also rejects other bytes that look like a batch after bad bytes (for example one inside a message's text).
const SEQNO_STEP_MAX: u64 = 1 << 24;

/// What follows the last batch that can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JournalEnd {
    /// Only zeroes, or nothing.
    Clean,
    /// Bytes of an incomplete batch, and no complete batch after them.
    Torn,
    /// Bytes that are not a batch, and a complete batch after them, at this offset.
    Damaged { next_valid: usize },
}

/// The eight-byte keys that were written to one key space, as numbers (big endian), in the order of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// The first place where a key is not the successor of the one before: that key, and the one before it.
    pub gap: Option<(u64, u64)>,
}

impl Numbers {
    /// These numbers, followed by those from the next journal.
    pub fn then(self, next: Numbers) -> Numbers {
        let between = (next.first != self.last.wrapping_add(1)).then_some((self.last, next.first));
        Numbers { first: self.first, last: next.last, gap: self.gap.or(between).or(next.gap) }
    }
}

/// The content of a journal. Offsets and lengths in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// Complete batches from the start without a gap.
    pub batches: u64,
    /// Sequence number of the first batch.
    pub first_seqno: Option<u64>,
    /// Sequence number of the last batch.
    pub last_seqno: Option<u64>,
    /// Where the last batch ends.
    pub end: usize,
    /// What follows `end`.
    pub after: JournalEnd,
    /// By key space. If a key space numbers its entries without a gap, a gap here is a missing batch: the only trace of
    /// an end that reads as zeroes, or was cut off between two batches, in a journal that is not the newest.
    pub numbers: BTreeMap<u64, Numbers>,
}

/// Reads a whole journal.
pub fn scan(journal: &[u8]) -> Scan {
    let mut found = Scan {
        batches: 0,
        first_seqno: None,
        last_seqno: None,
        end: 0,
        after: JournalEnd::Clean,
        numbers: BTreeMap::new(),
    };
    while let Some(batch) = parse_batch(journal, found.end).filter(|batch| is_next(found.last_seqno, batch.seqno)) {
        for (space, number) in batch.numbers {
            let one = Numbers { first: number, last: number, gap: None };
            found.numbers.entry(space).and_modify(|before| *before = before.then(one)).or_insert(one);
        }
        found.batches += 1;
        found.first_seqno = found.first_seqno.or(Some(batch.seqno));
        found.last_seqno = Some(batch.seqno);
        found.end = batch.end;
    }
    found.after = judge_rest(journal, found.end, found.last_seqno);
    found
}

/// Where the last byte that is not zero ends, at or after `from`.
pub fn written_end(journal: &[u8], from: usize) -> usize {
    const ZEROES: [u8; 4096] = [0; 4096];
    let mut rest = journal.get(from..).unwrap_or_default();
    while let Some((before, block)) = rest.split_last_chunk::<{ ZEROES.len() }>() {
        if *block != ZEROES {
            break;
        }
        rest = before;
    }
    from + rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn judge_rest(journal: &[u8], end: usize, last_seqno: Option<u64>) -> JournalEnd {
    let written = written_end(journal, end);
    if written == end {
        return JournalEnd::Clean;
    }
    let mut at = end + 1;
    while let Some(step) = journal.get(at..written).and_then(|rest| rest.iter().position(|byte| *byte == TAG_START)) {
        at += step;
        if parse_batch(journal, at).is_some_and(|batch| is_next(last_seqno, batch.seqno)) {
            return JournalEnd::Damaged { next_valid: at };
        }
        at += 1;
    }
    JournalEnd::Torn
}

fn is_next(last: Option<u64>, seqno: u64) -> bool {
    last.is_none_or(|last| seqno > last && seqno - last <= SEQNO_STEP_MAX)
}

struct Batch {
    seqno: u64,
    end: usize,
    /// Values with keys of eight bytes: key space and number.
    numbers: Vec<(u64, u64)>,
}

fn parse_batch(journal: &[u8], at: usize) -> Option<Batch> {
    let mut cursor = Cursor { bytes: journal, at };
    if cursor.u8()? != TAG_START {
        return None;
    }
    let entries = cursor.u32()?;
    let seqno = cursor.u64()?;
    let body_start = cursor.at;
    let mut numbers = Vec::new();
    for _ in 0..entries {
        numbers.extend(cursor.skip_entry()?);
    }
    let body = journal.get(body_start..cursor.at)?;
    if cursor.u8()? != TAG_END {
        return None;
    }
    let checksum = cursor.u64()?;
    if cursor.take(TRAILER.len())? != TRAILER {
        return None;
    }
    (xxh3_64(body) == checksum).then_some(Batch { seqno, end: cursor.at, numbers })
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Steps over an entry; gives key space and number of a value with a key of eight bytes.
    fn skip_entry(&mut self) -> Option<Option<(u64, u64)>> {
        match self.u8()? {
            TAG_CLEAR => self.take(8).map(|_| None),
            TAG_ITEM => {
                let kind = self.u8()?;
                let compression = self.u8()?;
                if !matches!(kind, 0 | 1 | 2 | 4) || compression > 1 {
                    return None;
                }
                let space = self.u64()?;
                let key_bytes = self.u16()?;
                let value_bytes = self.u32()?;
                let stored_bytes = self.u32()?;
                if compression == 0 && value_bytes != stored_bytes {
                    return None;
                }
                let key = self.take(usize::from(key_bytes))?;
                self.take(usize::try_from(stored_bytes).ok()?)?;
                let number = key.try_into().ok().map(u64::from_be_bytes);
                Some(number.filter(|_| kind == 0).map(|number| (space, number)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(seqno: u64, entries: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, value) in entries {
            body.extend_from_slice(&[TAG_ITEM, 0, 0]);
            body.extend_from_slice(&7_u64.to_le_bytes());
            body.extend_from_slice(&(key.len() as u16).to_le_bytes());
            body.extend_from_slice(&(value.len() as u32).to_le_bytes());
            body.extend_from_slice(&(value.len() as u32).to_le_bytes());
            body.extend_from_slice(key);
            body.extend_from_slice(value);
        }
        enclose(seqno, entries.len() as u32, &body)
    }

    fn enclose(seqno: u64, entries: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![TAG_START];
        bytes.extend_from_slice(&entries.to_le_bytes());
        bytes.extend_from_slice(&seqno.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes.push(TAG_END);
        bytes.extend_from_slice(&xxh3_64(body).to_le_bytes());
        bytes.extend_from_slice(TRAILER);
        bytes
    }

    fn three() -> (Vec<u8>, Vec<usize>) {
        let mut journal = Vec::new();
        let mut ends = vec![0];
        for seqno in [3, 4, 9] {
            journal.extend(batch(seqno, &[(b"key", &[seqno as u8; 700]), (b"other", b"")]));
            ends.push(journal.len());
        }
        (journal, ends)
    }

    fn expect(batches: u64, last: Option<u64>, end: usize, after: JournalEnd) -> Scan {
        Scan { batches, first_seqno: last.map(|_| 3), last_seqno: last, end, after, numbers: BTreeMap::new() }
    }

    #[test]
    fn numbers_without_a_gap_and_with_one() {
        let numbered = |number: u64| batch(3 + number, &[(&number.to_be_bytes(), b"value"), (b"other", b"")]);
        let scanned = |numbers: &[u64]| {
            let journal: Vec<u8> = numbers.iter().flat_map(|number| numbered(*number)).collect();
            scan(&journal).numbers[&7]
        };
        assert_eq!(scanned(&[4, 5, 6]), Numbers { first: 4, last: 6, gap: None });
        assert_eq!(scanned(&[4, 6]), Numbers { first: 4, last: 6, gap: Some((4, 6)) });
        assert_eq!(scanned(&[4, 5]).then(scanned(&[6])).gap, None);
        assert_eq!(scanned(&[4, 5]).then(scanned(&[7])).gap, Some((5, 7)));
    }

    #[test]
    fn whole_journals_are_clean_with_and_without_a_zero_tail() {
        let (mut journal, ends) = three();
        assert_eq!(scan(&journal), expect(3, Some(9), ends[3], JournalEnd::Clean));
        journal.resize(journal.len() + 4096, 0);
        assert_eq!(scan(&journal), expect(3, Some(9), ends[3], JournalEnd::Clean));
        assert_eq!(scan(&[]), expect(0, None, 0, JournalEnd::Clean));
        assert_eq!(scan(&[0; 64]), expect(0, None, 0, JournalEnd::Clean));
        let mut clear = vec![TAG_CLEAR];
        clear.extend_from_slice(&1_u64.to_le_bytes());
        let cleared = enclose(3, 1, &clear);
        assert_eq!(scan(&cleared), expect(1, Some(3), cleared.len(), JournalEnd::Clean));
    }

    #[test]
    fn a_cut_at_any_byte_is_torn_at_the_last_whole_batch() {
        let (journal, ends) = three();
        let seqnos = [None, Some(3), Some(4), Some(9)];
        for cut in 0..journal.len() {
            let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
            let after = if ends[whole] == cut { JournalEnd::Clean } else { JournalEnd::Torn };
            let wanted = expect(whole as u64, seqnos[whole], ends[whole], after);
            assert_eq!(scan(&journal[..cut]), wanted, "cut at {cut}");
            let mut padded = journal[..cut].to_vec();
            padded.resize(cut + 600, 0);
            assert_eq!(scan(&padded), wanted, "cut at {cut}, then zeroes");
        }
    }

    #[test]
    fn a_flip_in_the_last_batch_is_torn_and_before_it_damage() {
        let (journal, ends) = three();
        for at in 0..journal.len() {
            let batch = ends.iter().rposition(|end| *end <= at).unwrap();
            // The sequence number is not covered by the checksum: a change is noticed when it no longer fits its
            // neighbours.
            let is_seqno = (5..13).contains(&(at - ends[batch]));
            if is_seqno && (batch == 0 || at - ends[batch] < 9) {
                continue;
            }
            let mut flipped = journal.clone();
            flipped[at] ^= 0x40;
            let found = scan(&flipped);
            assert_eq!(found.end, ends[batch], "flip at {at}");
            let after = match ends.get(batch + 1) {
                Some(next) if *next < journal.len() => JournalEnd::Damaged { next_valid: *next },
                _ => JournalEnd::Torn,
            };
            assert_eq!(found.after, after, "flip at {at}");
        }
    }

    #[test]
    fn a_hole_in_the_last_batch_is_torn() {
        let (journal, ends) = three();
        for from in (ends[2]..journal.len() - 1).step_by(64) {
            let mut holed = journal.clone();
            let to = (from + 64).min(journal.len());
            holed[from..to].fill(0);
            assert_eq!(scan(&holed), expect(2, Some(4), ends[2], JournalEnd::Torn), "hole at {from}");
        }
    }

    #[test]
    fn a_batch_inside_a_torn_value_is_no_witness_unless_its_number_fits() {
        let inner = batch(1 << 60, &[(b"key", b"value")]);
        let mut journal = batch(3, &[(b"key", b"value")]);
        let end = journal.len();
        let outer = batch(4, &[(b"key", &inner)]);
        journal.extend_from_slice(&outer[..outer.len() - 1]);
        assert_eq!(scan(&journal), expect(1, Some(3), end, JournalEnd::Torn));
    }

    #[test]
    fn absurd_lengths_do_not_overrun() {
        for entries in [1, u32::MAX] {
            let mut journal = vec![TAG_START];
            journal.extend_from_slice(&entries.to_le_bytes());
            journal.extend_from_slice(&3_u64.to_le_bytes());
            journal.extend_from_slice(&[TAG_ITEM, 0, 1]);
            journal.extend_from_slice(&[0xff; 18]);
            assert_eq!(scan(&journal).after, JournalEnd::Torn);
        }
    }

    #[test]
    fn the_written_end_is_behind_the_last_byte_that_is_not_zero() {
        assert_eq!(written_end(&[1, 0, 2, 0], 0), 3);
        assert_eq!(written_end(&[1, 0, 0, 0], 1), 1);
        let mut long = vec![0; 20_000];
        assert_eq!(written_end(&long, 3), 3);
        for at in [0, 3617, 4095, 4096, 15_903, 15_904, 19_999] {
            long[at] = 9;
            assert_eq!(written_end(&long, 0), at + 1);
        }
        assert_eq!(written_end(&[], 5), 5);
    }
}
