//! A segment from any bytes; once as they are, once with a checksum that fits, as only a writer would make it.
#![no_main]

use stentor_core::model::Content;
use stentor_core::store::segment;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const FIELDS_BYTES: usize = 26;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Content::decode(data);
    read(data);
    let Some((fields, block)) = data.split_at_checked(FIELDS_BYTES) else { return };
    let mut fields = fields.to_vec();
    fields[..2].copy_from_slice(&[1, 1]);
    let checksum = xxh3_64_with_seed(block, xxh3_64(&fields)).to_le_bytes();
    read(&[&fields[..], &checksum, block].concat());
});

fn read(bytes: &[u8]) {
    let Ok(found) = segment::decode(bytes) else { return };
    for head in &found.heads {
        let (from, length) = (head.content_at as usize, head.content_len as usize);
        let _ = found.arena.get(from..from.saturating_add(length)).map(Content::decode);
    }
    let again = segment::decode(&segment::encode(&found));
    assert_eq!(again.map(|again| (again.number, again.heads, again.arena)).ok(), Some((found.number, found.heads, found.arena)));
}
