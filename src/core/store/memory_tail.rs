//! The last batch of [`super::memory`] as bytes, and what a start reads when only some of its blocks reached the disk.
//! A model of a journal's tail, not a format of Stentor's: the real journal is read by `scanner`.
//!
//! Layout, little endian: length of the body `u32`, xxh3-64 of the body, the body. In the body each change is a tag (1 put,
//! 2 delete), its space, lengths of key and value `u32`, key, value.

use xxhash_rust::xxh3::xxh3_64;

use super::backend::{Op, Space};

/// Size that a disk writes whole or not at all, bytes.
const BLOCK: usize = 512;
const HEAD: usize = 12;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// Whole blocks of a write, in any order: block `i` is there if bit `i % 64` is set.
pub(super) type Blocks = u64;

/// The bytes of a batch as they are handed to the disk.
pub(super) fn write(ops: &[Op]) -> Vec<u8> {
    let mut body = Vec::new();
    for op in ops {
        let (tag, space, key, value) = match op {
            Op::Put { space, key, value } => (PUT, space, key, value.as_slice()),
            Op::Delete { space, key } => (DELETE, space, key, &[][..]),
        };
        body.extend_from_slice(&[tag, *space as u8]);
        body.extend_from_slice(&(key.len() as u32).to_le_bytes());
        body.extend_from_slice(&(value.len() as u32).to_le_bytes());
        body.extend_from_slice(key);
        body.extend_from_slice(value);
    }
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&xxh3_64(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Power is lost: blocks that did not reach the disk hold zeroes.
pub(super) fn tear(bytes: &mut [u8], there: Blocks) {
    for (at, block) in bytes.chunks_mut(BLOCK).enumerate() {
        if there & (1 << (at % 64)) == 0 {
            block.fill(0);
        }
    }
}

/// The batch, if all of it is there.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Op>> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let checksum = u64::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEAD..HEAD.checked_add(length)?)?;
    (length > 0 && xxh3_64(body) == checksum).then(|| changes(body))
}

/// As many changes as can be read, ignoring the checksum: a start must never use these as a batch.
pub(super) fn read_any(bytes: &[u8]) -> Vec<Op> {
    bytes.get(HEAD..).map(changes).unwrap_or_default()
}

fn changes(body: &[u8]) -> Vec<Op> {
    let mut rest = body;
    std::iter::from_fn(|| change(&mut rest)).collect()
}

fn change(rest: &mut &[u8]) -> Option<Op> {
    let [tag, space] = *rest.first_chunk()?;
    let space = Space::ALL.into_iter().find(|known| *known as u8 == space)?;
    let length = |at: usize| Some(u32::from_le_bytes(*rest.get(at..)?.first_chunk()?) as usize);
    let (key, value) = (length(2)?, length(6)?);
    let (bytes, behind) = rest.get(10..)?.split_at_checked(key.checked_add(value)?)?;
    *rest = behind;
    let (key, value) = bytes.split_at(key);
    match tag {
        PUT => Some(Op::Put { space, key: key.to_vec(), value: value.to_vec() }),
        DELETE => Some(Op::Delete { space, key: key.to_vec() }),
        0 | 3.. => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops() -> Vec<Op> {
        let put = |n: u8| Op::Put { space: Space::Event, key: vec![n, n], value: vec![n; 400] };
        vec![put(1), put(2), put(3), Op::Delete { space: Space::Meta, key: vec![9, 9] }]
    }

    #[test]
    fn a_batch_is_read_only_if_all_of_it_is_there() {
        let whole = write(&ops());
        assert_eq!(whole.len().div_ceil(BLOCK), 3);
        assert_eq!(read(&whole), Some(ops()));
        for there in 0..8 {
            let mut torn = whole.clone();
            tear(&mut torn, there);
            assert_eq!(read(&torn).is_some(), there == 7, "blocks {there:03b}");
        }
        let mut torn = whole;
        tear(&mut torn, 1);
        assert_eq!(read_any(&torn)[..1], ops()[..1], "the front of it could be taken for something");
    }
}
