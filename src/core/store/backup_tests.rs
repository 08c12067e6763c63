//! Tests of the layout of a backup: complete ones are read back, everything else is refused.

use super::super::backend::RunFamily;
use super::*;

fn manifest() -> Manifest {
    Manifest { stentor: "0.1.0".to_owned(), node: 3, shards: 2, created: 1_700_000_000, mark: 5, commits: vec![7, 0] }
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn entry(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

fn tables() -> Vec<(u16, Table, Entries)> {
    let big = vec![7; BLOCK_BYTES / 2];
    let noise: Vec<u8> = (0..2_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let spread: Entries = (0..5_u8).map(|n| (vec![n, 1], big.clone())).collect();
    vec![
        (0, Table::Run((RunFamily::Receipt, 1)), vec![entry(b"k1", b"v1"), entry(b"k2", &noise)]),
        (0, Table::Space(Space::Segment), spread),
        (0, Table::Space(Space::Meta), vec![entry(b"checkpoint", b"")]),
        (1, Table::Space(Space::Segment), vec![entry(b"aa", b"b")]),
        (CONTROL, Table::Space(Space::Meta), vec![entry(b"names", b"x")]),
    ]
}

fn write(tables: &[(u16, Table, Entries)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = BackupWriter::begin(&mut bytes, &manifest()).expect("begun");
    for (store, table, entries) in tables {
        writer.table(*store, *table).expect("a table");
        entries.iter().for_each(|(key, value)| writer.entry(key, value).expect("an entry"));
    }
    writer.finish().expect("finished");
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<(u16, Table, Entries)>, String> {
    let mut found: Vec<(u16, Table, Entries)> = Vec::new();
    let mut reader = BackupReader::open(bytes).map_err(|broken| broken.to_string())?;
    while let Some(piece) = reader.next_piece().map_err(|broken| broken.to_string())? {
        let entries = piece.entries().map(|(key, value)| entry(key, value));
        match found.last_mut().filter(|(store, table, _)| (*store, *table) == (piece.store, piece.table)) {
            Some((.., known)) => known.extend(entries),
            None => found.push((piece.store, piece.table, entries.collect())),
        }
    }
    assert!(reader.next_piece().is_ok_and(|more| more.is_none()), "the end stays the end");
    Ok(found)
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = write(&tables());
    assert_eq!(BackupReader::open(&bytes[..]).expect("a backup").manifest(), &manifest());
    assert_eq!(read(&bytes), Ok(tables()));
    assert_eq!(read(&write(&[])), Ok(Vec::new()), "a backup of nothing is one");
}

#[test]
fn a_backup_that_is_cut_off_anywhere_is_refused() {
    let bytes = write(&tables());
    for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        let refused = read(&bytes[..length]).expect_err("refused");
        let expected = if length == 0 { "not a Stentor backup" } else { "cut off" };
        assert!(refused.contains(expected), "{length}: {refused}");
    }
}

#[test]
fn no_flipped_bit_goes_unseen() {
    let bytes = write(&tables());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(read(&flipped).is_err(), "byte {at}");
    }
}

#[test]
fn blocks_that_are_sound_but_do_not_follow_are_refused() {
    let refused = |tables: &[(u16, Table, Entries)]| read(&write(tables)).expect_err("refused");
    let one = |store, space| (store, Table::Space(space), vec![entry(b"aa", b"b")]);
    assert!(refused(&[one(1, Space::Segment), one(0, Space::Segment)]).contains("a store out of order"));
    assert!(refused(&[one(0, Space::Meta), one(0, Space::Segment)]).contains("a store out of order"));
    assert!(refused(&[one(2, Space::Meta)]).contains("a store that the manifest does not list"));
    let twice = [one(0, Space::Segment), one(0, Space::Event), one(0, Space::Segment)];
    assert!(refused(&twice).contains("a table in two pieces"));
    let unsorted = (0, Table::Space(Space::Event), vec![entry(b"bb", b""), entry(b"aa", b"")]);
    assert!(refused(&[unsorted]).contains("keys out of order"));
    let mut longer = write(&tables());
    longer.push(0);
    assert!(read(&longer).expect_err("refused").contains("there is data after its end"));
    let whole = write(&tables());
    let manifest_len = 12 + HEADER_BYTES + u32::from_le_bytes([whole[24], whole[25], whole[26], whole[27]]) as usize;
    let next_len = u32::from_le_bytes(whole[manifest_len + 12..manifest_len + 16].try_into().expect("four")) as usize;
    let without_one = [&whole[..manifest_len], &whole[manifest_len + HEADER_BYTES + next_len..]].concat();
    assert!(read(&without_one).expect_err("refused").contains("a block is missing"));
}

#[test]
fn strangers_and_other_versions_are_called_so() {
    assert_eq!(read(b"PK\x03\x04 something else"), Err("this is not a Stentor backup".to_owned()));
    let mut later = write(&[]);
    later[8] = 2;
    assert_eq!(read(&later), Err("the backup has format 2, and this program knows only format 1".to_owned()));
}

#[test]
fn golden_bytes_of_version_1() {
    let bytes = write(&[(0, Table::Space(Space::Event), vec![entry(b"kk", b"v")])]);
    assert_eq!(bytes[..12], *b"STENTORB\x01\0\0\0");
    let at = bytes.windows(4).position(|window| window == b"\x02\0\0\0").expect("a block of entries");
    let expected = b"\x02\0\0\0\x01\0\0\0\x0c\0\0\0\x0c\0\0\0";
    assert_eq!(bytes[at..at + 16], *expected);
    assert_eq!(bytes[at + 24..at + 36], *b"\x02ev\x02\0\x01\0\0\0kkv");
}
