//! The scanner over any bytes, and over bytes in which every batch's checksum was made right.
#![no_main]

use stentor_core::store::high_water;
use stentor_core::store::scanner::{Verdict, scan, written_end};
use xxhash_rust::xxh3::xxh3_64;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = high_water::decode(data);
    judge(data);
    judge(&batches(data));
});

fn judge(journal: &[u8]) {
    let found = scan(journal);
    assert!(found.end <= journal.len());
    assert_eq!(found.batches == 0, found.last_seqno.is_none());
    assert!(found.first_seqno <= found.last_seqno);
    match found.verdict {
        Verdict::Clean => assert_eq!(written_end(journal, found.end), found.end),
        Verdict::Torn => assert!(written_end(journal, found.end) > found.end),
        Verdict::Damaged { next_valid } => assert!(next_valid > found.end && next_valid < journal.len()),
    }
    // Cut where it says, what was trusted is all there, and nothing else.
    let cut = scan(&journal[..found.end]);
    assert_eq!((cut.verdict, cut.end, cut.batches), (Verdict::Clean, found.end, found.batches));
    assert_eq!((cut.first_seqno, cut.last_seqno), (found.first_seqno, found.last_seqno));
}

/// Batches out of the fuzzer's bytes: four of them say how long an item's key and value are and whether the batch ends.
fn batches(mut data: &[u8]) -> Vec<u8> {
    let mut journal = Vec::new();
    let mut seqno = 1_u64;
    while let Some((&[key, value, kind, more], rest)) = data.split_first_chunk() {
        let (key, value) = (usize::from(key), usize::from(value));
        let Some((bytes, rest)) = rest.split_at_checked(key + value) else { break };
        data = rest;
        let mut body = vec![2, kind & 3, 0];
        body.extend(u64::from(more).to_le_bytes());
        body.extend((key as u16).to_le_bytes());
        body.extend((value as u32).to_le_bytes());
        body.extend((value as u32).to_le_bytes());
        body.extend(bytes);
        journal.push(1);
        journal.extend(1_u32.to_le_bytes());
        journal.extend(seqno.to_le_bytes());
        journal.extend(&body);
        journal.push(3);
        journal.extend(xxh3_64(&body).to_le_bytes());
        journal.extend(b"FJL\x03");
        seqno += u64::from(more);
    }
    journal.extend(data);
    journal
}
