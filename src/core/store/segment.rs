//! A segment on disk: a header, then lz4 of the heads and the arena. The header alone shows whether the rest is
//! complete, and when the first of its messages expires.

use std::sync::Arc;

use bincode::{Decode, Encode};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::model::{Class, Encoding, Head, Msisdn, RouteId, Segment, SetNumber, TenantId, Wall};

use super::record::{BINCODE, DecodeError};

const VERSION: u8 = 3;
const CODEC_LZ4: u8 = 1;
/// No encryption: every block of format 1 has this key id.
const KEY_ID_NONE: u32 = 0;
const FIELDS_BYTES: usize = 1 + 1 + 4 + 8 + 8 + 1 + 4 + 4 + 4;
const HEADER_BYTES: usize = FIELDS_BYTES + 8;

#[derive(Encode, Decode)]
struct HeadV1 {
    to: u64,
    accepted_at: u64,
    send_at: u64,
    expires_at: u64,
    tenant: u32,
    content_at: u32,
    content_len: u32,
    set: u32,
    route: u16,
    class: u8,
    encoding: u8,
    flags: u8,
    parts: u8,
}

/// Bytes of a [`HeadV1`]; all its integers have a fixed size.
const HEAD_BYTES: usize = 4 * 8 + 4 * 4 + 2 + 4;
/// lz4 expands one byte to at most this many (each further byte of a length adds up to 255).
const LZ4_RATIO_MAX: u64 = 255;

const FLAG_RECEIPT: u8 = 1;
const FLAG_FLASH: u8 = 2;

impl From<&Head> for HeadV1 {
    fn from(head: &Head) -> Self {
        Self {
            to: head.to.number(),
            accepted_at: head.accepted_at.0,
            send_at: head.send_at.0,
            expires_at: head.expires_at.0,
            tenant: head.tenant.0,
            content_at: head.content_at,
            content_len: head.content_len,
            set: head.set.0,
            route: head.route.0,
            class: head.class as u8,
            encoding: head.encoding as u8,
            flags: u8::from(head.receipt) * FLAG_RECEIPT + u8::from(head.flash) * FLAG_FLASH,
            parts: head.parts,
        }
    }
}

impl HeadV1 {
    fn head(&self) -> Option<Head> {
        Some(Head {
            to: Msisdn::from_number(self.to)?,
            tenant: TenantId(self.tenant),
            class: Class::from_index(self.class)?,
            encoding: Encoding::from_index(self.encoding)?,
            receipt: self.flags & FLAG_RECEIPT != 0,
            flash: self.flags & FLAG_FLASH != 0,
            parts: self.parts,
            route: RouteId(self.route),
            set: SetNumber(self.set),
            accepted_at: Wall(self.accepted_at),
            send_at: Wall(self.send_at),
            expires_at: Wall(self.expires_at),
            content_at: self.content_at,
            content_len: self.content_len,
        })
    }
}

/// What a segment's header says about when the segment must be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urgency {
    /// The earliest expiry in it.
    pub expires_at: Wall,
    /// The most urgent class in it.
    pub class: Class,
}

impl Urgency {
    /// The urgency of these messages; if there are none, they never expire.
    pub fn of(heads: &[Head]) -> Self {
        let expires_at = heads.iter().map(|head| head.expires_at).min().unwrap_or(Wall(u64::MAX));
        let class = heads.iter().map(|head| head.class).min().unwrap_or(Class::Marketing);
        Self { expires_at, class }
    }
}

/// The bytes of a segment: version, codec, key id, number, earliest expiry, most urgent class, number of messages,
/// bytes of the heads, bytes of heads and arena, checksum over all of these and the block; then the compressed block.
pub fn encode(segment: &Segment) -> Vec<u8> {
    let mut raw = Vec::with_capacity(segment.heads.len() * HEAD_BYTES + segment.arena.len());
    for head in &segment.heads {
        let written = bincode::encode_into_std_write(HeadV1::from(head), &mut raw, BINCODE);
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }
    let heads_len = raw.len() as u32;
    raw.extend_from_slice(&segment.arena);
    let mut out = vec![0; HEADER_BYTES + lz4_flex::block::get_maximum_output_size(raw.len())];
    let block = match lz4_flex::block::compress_into(&raw, &mut out[HEADER_BYTES..]) {
        Ok(length) => length,
        Err(error) => unreachable!("the output has the size that lz4 asks for: {error}"),
    };
    out.truncate(HEADER_BYTES + block);
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.push(VERSION);
    header.push(CODEC_LZ4);
    header.extend_from_slice(&KEY_ID_NONE.to_le_bytes());
    header.extend_from_slice(&segment.number.to_le_bytes());
    let urgency = Urgency::of(&segment.heads);
    header.extend_from_slice(&urgency.expires_at.0.to_le_bytes());
    header.push(urgency.class as u8);
    header.extend_from_slice(&(segment.heads.len() as u32).to_le_bytes());
    header.extend_from_slice(&heads_len.to_le_bytes());
    header.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    let checksum = checksum(&header, &out[HEADER_BYTES..]);
    header.extend_from_slice(&checksum.to_le_bytes());
    out[..HEADER_BYTES].copy_from_slice(&header);
    out
}

/// Reads a segment back; any damage is detected.
pub fn decode(bytes: &[u8]) -> Result<Segment, DecodeError> {
    let damaged = |what: &str| DecodeError(format!("segment: {what}"));
    let (header, block) = opened(bytes)?;
    let Header { number, urgency, messages: count, heads_len, raw_len } = header;
    // Checked before memory is reserved: a checksum shows that these lengths were written, not that they are sane.
    if u64::from(raw_len) > LZ4_RATIO_MAX * block.len() as u64
        || u64::from(count) * HEAD_BYTES as u64 != u64::from(heads_len)
    {
        return Err(damaged("lengths"));
    }
    let raw = lz4_flex::block::decompress(block, raw_len as usize).map_err(|error| damaged(&error.to_string()))?;
    let (mut heads_raw, arena) = raw.split_at_checked(heads_len as usize).ok_or_else(|| damaged("lengths"))?;
    let mut heads = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (head, used): (HeadV1, usize) =
            bincode::decode_from_slice(heads_raw, BINCODE).map_err(|error| damaged(&error.to_string()))?;
        heads.push(head.head().ok_or_else(|| damaged("a head's fields"))?);
        heads_raw = heads_raw.get(used..).unwrap_or_default();
    }
    if urgency != Some(Urgency::of(&heads)) {
        return Err(damaged("its header's urgency"));
    }
    Ok(Segment { number, heads, arena: Arc::new(arena.to_vec()), slots: Vec::new() })
}

/// Number, urgency and how many messages, without unpacking the segment.
///
/// # Errors
/// Those of [`decode`], except what is found only by unpacking.
pub fn urgency(bytes: &[u8]) -> Result<(u64, Urgency, u32), DecodeError> {
    let (Header { number, urgency, messages, .. }, _) = opened(bytes)?;
    let urgency = urgency.ok_or_else(|| DecodeError("segment: its header's urgency".into()))?;
    Ok((number, urgency, messages))
}

struct Header {
    number: u64,
    urgency: Option<Urgency>,
    messages: u32,
    heads_len: u32,
    raw_len: u32,
}

/// A segment's header and block, after a check of the checksum over both.
fn opened(bytes: &[u8]) -> Result<(Header, &[u8]), DecodeError> {
    let damaged = |what: &str| DecodeError(format!("segment: {what}"));
    let (header, block) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| damaged("shorter than its header"))?;
    let (fields, sum) = header.split_at(FIELDS_BYTES);
    if sum != checksum(fields, block).to_le_bytes() {
        return Err(damaged("checksum"));
    }
    let mut fields = Fields(fields);
    let (version, codec) = (fields.u8(), fields.u8());
    if version != VERSION || codec != CODEC_LZ4 {
        return Err(damaged(&format!("version {version}, codec {codec}")));
    }
    let _key_id = fields.u32();
    let (number, expires_at, class) = (fields.u64(), Wall(fields.u64()), fields.u8());
    let urgency = Class::from_index(class).map(|class| Urgency { expires_at, class });
    let (messages, heads_len, raw_len) = (fields.u32(), fields.u32(), fields.u32());
    Ok((Header { number, urgency, messages, heads_len, raw_len }, block))
}

/// The checksum over the header's fields and the block after it.
fn checksum(fields: &[u8], block: &[u8]) -> u64 {
    xxh3_64_with_seed(block, xxh3_64(fields))
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((first, rest)) = self.0.split_first_chunk::<N>() else { return [0; N] };
        self.0 = rest;
        *first
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Segment {
        let mut arena = Vec::new();
        let heads = (0..3_u32)
            .map(|n| {
                let at = arena.len() as u32;
                arena.extend_from_slice(b"some content");
                Head {
                    to: Msisdn::from_number(4_915_112_345_678 + u64::from(n)).expect("number"),
                    class: Class::Otp,
                    receipt: n % 2 == 0,
                    parts: 1,
                    expires_at: Wall(99),
                    content_at: at,
                    content_len: 12,
                    ..Head::default()
                }
            })
            .collect();
        Segment { number: 77, heads, arena: Arc::new(arena), slots: Vec::new() }
    }

    #[test]
    fn comes_back_whole() {
        assert_eq!(decode(&encode(&sample())), Ok(sample()));
    }

    #[test]
    fn golden_bytes_of_version_3() {
        let bytes = encode(&Segment { number: 5, arena: Arc::new(b"abc".to_vec()), ..Segment::default() });
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        assert_eq!(
            hex,
            concat!(
                "0301000000000500000000000000",
                "ffffffffffffffff03",
                "000000000000000003000000",
                "2208e11189b0239b",
                "30616263"
            )
        );
    }

    /// Found by fuzzing (`store_segment`): 29 bytes that claimed 1.6 billion heads, and memory was reserved for them.
    #[test]
    fn a_right_checksum_does_not_make_lengths_true() {
        let whole = encode(&sample());
        for (at, lie) in [(23, u32::MAX), (23, 4), (27, u32::MAX), (27, 151), (31, u32::MAX)] {
            let mut broken = whole.clone();
            broken[at..at + 4].copy_from_slice(&lie.to_le_bytes());
            let sum = checksum(&broken[..FIELDS_BYTES], &broken[HEADER_BYTES..]);
            broken[FIELDS_BYTES..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
            assert!(matches!(decode(&broken), Err(DecodeError(what)) if what == "segment: lengths"), "{lie} at {at}");
        }
    }

    #[test]
    fn its_header_says_when_it_is_to_be_looked_at() {
        let mut segment = sample();
        segment.heads[1].expires_at = Wall(98);
        segment.heads[2].class = Class::Emergency;
        let bytes = encode(&segment);
        let said = Urgency { expires_at: Wall(98), class: Class::Emergency };
        assert_eq!(urgency(&bytes), Ok((77, said, 3)));
        let mut broken = bytes;
        broken[14] ^= 1;
        let sum = checksum(&broken[..FIELDS_BYTES], &broken[HEADER_BYTES..]);
        broken[FIELDS_BYTES..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
        assert!(matches!(decode(&broken), Err(DecodeError(what)) if what == "segment: its header's urgency"));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = encode(&sample());
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&broken).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
