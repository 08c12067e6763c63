//! Undoes a body's `Content-Encoding`, step by step. Knows encodings and the memory they need; does not know where the body comes
//! from.
//!
//! A step is bounded on both sides: it takes in at most [`STEP_IN`] bytes and gives out at most [`STEP_OUT`], so that
//! neither a body that grows a thousandfold nor one of members without content is decoded in one go. Between two steps
//! other tasks get their turn and the limits are checked.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use hyper::{HeaderMap, header::CONTENT_ENCODING};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{body::BodyError, limits::Limits, memory::Room};
use crate::host::executor;

/// Bytes that one step takes in at most.
const STEP_IN: usize = 16 << 10;
/// Bytes that one step gives out at most.
const STEP_OUT: usize = 64 << 10;
/// Gzip members, or zstd frames, that a body may consist of: tools that compress by block begin a new one every 64 KiB.
const MEMBERS_MAX: usize = 10_000;
/// Small bodies may grow by more than the ratio.
const RATIO_SLACK: usize = 64 << 10;
/// Memory of a gzip decoder: its window of 32 KiB and its tables.
const GZIP_BYTES: usize = 64 << 10;
/// Largest window that a zstd frame may need memory for: 8 MiB, which RFC 8878 tells decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bodies up to this size begin with an empty buffer; for larger ones address space is reserved for all that they may become,
/// so that a buffer of many megabytes is never copied in one go when it grows.
const GROWING_MAX: usize = 64 << 10;

/// A body's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not encoded.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Any other encoding, or more than one.
    Unsupported,
}

impl Encoding {
    /// The encoding that the headers name. Two encodings on top of each other are not undone.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        match (values.next().map(|value| value.as_bytes()), values.next()) {
            (None, _) => Self::Identity,
            (Some(name), None) if name.eq_ignore_ascii_case(b"identity") => Self::Identity,
            (Some(name), None) if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                Self::Gzip
            }
            (Some(name), None) if name.eq_ignore_ascii_case(b"zstd") => Self::Zstd,
            (Some(_), _) => Self::Unsupported,
        }
    }
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// This many bytes were given out; there may be more.
    More(usize),
    /// This many bytes were given out, and they were the last.
    Last(usize),
}

/// The decoder of a body.
enum Decoder<'w> {
    Gzip(Box<Gzip<'w>>),
    Zstd(Zstd<'w>),
}

impl<'w> Decoder<'w> {
    /// A decoder of all of `wire`; `None` if it is not encoded.
    fn new(encoding: Encoding, wire: &'w [u8]) -> Result<Option<Self>, BodyError> {
        match encoding {
            Encoding::Identity => Ok(None),
            Encoding::Gzip => Ok(Some(Self::Gzip(Box::new(Gzip::new(wire))))),
            Encoding::Zstd => Ok(Some(Self::Zstd(Zstd::new(wire)?))),
            Encoding::Unsupported => Err(BodyError::UnsupportedEncoding),
        }
    }

    /// Decodes into `out`, which must have room for [`STEP_OUT`] bytes.
    fn step(&mut self, out: &mut [u8]) -> Result<Step, BodyError> {
        match self {
            Self::Gzip(gzip) => gzip.step(out),
            Self::Zstd(zstd) => zstd.step(out),
        }
    }

    /// Memory that the decoder itself holds, in bytes.
    fn held_bytes(&self) -> usize {
        match self {
            Self::Gzip(_) => GZIP_BYTES,
            Self::Zstd(zstd) => zstd.context.sizeof(),
        }
    }
}

/// The encoded bytes that are left; reading more than `left` of them reports `WouldBlock`, which ends the step.
#[derive(Clone, Copy, Debug)]
struct Wire<'w> {
    rest: &'w [u8],
    left: usize,
}

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Wire<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.rest.get(..self.left.min(self.rest.len())) {
            Some([]) if !self.rest.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            Some(now) => Ok(now),
            None => Ok(&[]),
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.left = self.left.saturating_sub(bytes);
    }
}

/// Gzip members, one after the other.
struct Gzip<'w> {
    member: GzDecoder<Wire<'w>>,
    members: usize,
}

impl<'w> Gzip<'w> {
    fn new(wire: &'w [u8]) -> Self {
        Self { member: GzDecoder::new(Wire { rest: wire, left: STEP_IN }), members: 1 }
    }

    fn step(&mut self, out: &mut [u8]) -> Result<Step, BodyError> {
        self.member.get_mut().left = STEP_IN;
        loop {
            match self.member.read(out) {
                Ok(0) => {
                    let wire = *self.member.get_ref();
                    if wire.rest.is_empty() {
                        return Ok(Step::Last(0));
                    }
                    self.members = one_more(self.members)?;
                    self.member.reset(wire);
                }
                Ok(bytes) => return Ok(Step::More(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::More(0)),
                Err(_) => return Err(BodyError::BadEncoding),
            }
        }
    }
}

/// Zstd frames, one after the other; skippable frames count too.
struct Zstd<'w> {
    context: DCtx<'static>,
    rest: &'w [u8],
    /// The last frame that began has not ended yet.
    inside: bool,
    frames: usize,
}

impl<'w> Zstd<'w> {
    fn new(wire: &'w [u8]) -> Result<Self, BodyError> {
        let mut context = DCtx::try_create().ok_or(BodyError::NoRoom)?;
        let limited = context.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX));
        limited.map_err(|_| BodyError::BadEncoding)?;
        Ok(Self { context, rest: wire, inside: false, frames: 0 })
    }

    fn step(&mut self, out: &mut [u8]) -> Result<Step, BodyError> {
        let now = &self.rest[..self.rest.len().min(STEP_IN)];
        let (mut from, mut into) = (InBuffer::around(now), OutBuffer::around(out));
        while (from.pos() < now.len() || self.inside) && into.pos() < into.capacity() {
            let before = (from.pos(), into.pos());
            if !self.inside {
                self.frames = one_more(self.frames)?;
            }
            let wanted = self.context.decompress_stream(&mut into, &mut from).map_err(|_| BodyError::BadEncoding)?;
            self.inside = wanted != 0;
            if before == (from.pos(), into.pos()) {
                break;
            }
        }
        let (taken, given) = (from.pos(), into.pos());
        self.rest = self.rest.get(taken..).unwrap_or_default();
        match (self.rest.is_empty(), self.inside) {
            (true, false) => Ok(Step::Last(given)),
            (true, true) if taken == 0 && given == 0 => Err(BodyError::BadEncoding),
            (true, true) | (false, _) => Ok(Step::More(given)),
        }
    }
}

fn one_more(members: usize) -> Result<usize, BodyError> {
    if members < MEMBERS_MAX { Ok(members + 1) } else { Err(BodyError::TooManyMembers { members_max: MEMBERS_MAX }) }
}

/// Undoes `encoding`; `None` if `wire` is not encoded. The encoded bytes, the decoded bytes and the decoder's memory are all
/// claimed in `room` as long as they exist together; `limit_bytes` and the ratio of `limits` bound the decoded bytes.
///
/// # Errors
/// See [`BodyError`].
pub(super) async fn decoded(
    encoding: Encoding,
    wire: &[u8],
    room: &Room,
    limit_bytes: usize,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, BodyError> {
    let Some(mut decoder) = Decoder::new(encoding, wire)? else { return Ok(None) };
    let limit_bytes = limit_bytes.min(wire.len().saturating_mul(limits.decoded_ratio_max) + RATIO_SLACK);
    let mut decoded = Vec::new();
    if wire.len() > GROWING_MAX {
        decoded.reserve_exact(limit_bytes + STEP_OUT);
    }
    loop {
        let length = decoded.len();
        room.grow(wire.len() + length + STEP_OUT + decoder.held_bytes()).await?;
        decoded.resize(length + STEP_OUT, 0);
        let step = decoder.step(&mut decoded[length..])?;
        let (Step::More(bytes) | Step::Last(bytes)) = step;
        decoded.truncate(length + bytes);
        if decoded.len() > limit_bytes {
            return Err(BodyError::TooLarge { limit_bytes });
        }
        match step {
            Step::Last(_) => return Ok(Some(decoded)),
            Step::More(_) => executor::breathe().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// RFC 1952: a header without a name, an empty block, and checksum and length of no content.
    const EMPTY_MEMBER: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0";
    /// RFC 8878: a single segment of no bytes; its last block is raw and empty.
    const EMPTY_FRAME: &[u8] = b"\x28\xb5\x2f\xfd\x20\0\x01\0\0";
    /// RFC 8878: a skippable frame with four bytes in it.
    const SKIPPED_FRAME: &[u8] = b"\x50\x2a\x4d\x18\x04\0\0\0skip";

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).expect("gzip");
        encoder.finish().expect("gzip")
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 19).expect("zstd")
    }

    fn rest(decoder: &Decoder<'_>) -> usize {
        match decoder {
            Decoder::Gzip(gzip) => gzip.member.get_ref().rest.len(),
            Decoder::Zstd(zstd) => zstd.rest.len(),
        }
    }

    /// The decoded bytes and the number of steps, with the bounds of each step checked.
    fn undo(encoding: Encoding, wire: &[u8]) -> Result<(Vec<u8>, usize), BodyError> {
        let mut decoder = Decoder::new(encoding, wire)?.expect("an encoding");
        let (mut whole, mut steps) = (Vec::new(), 0);
        loop {
            let (before, mut out) = (rest(&decoder), vec![0; STEP_OUT]);
            let step = decoder.step(&mut out)?;
            steps += 1;
            let taken = before - rest(&decoder);
            let (Step::More(bytes) | Step::Last(bytes)) = step;
            assert!(taken <= STEP_IN && bytes <= STEP_OUT, "{taken} in, {bytes} out");
            whole.extend_from_slice(&out[..bytes]);
            if matches!(step, Step::Last(_)) {
                return Ok((whole, steps));
            }
            assert!(steps < 1_000_000, "no end");
        }
    }

    #[test]
    fn whatever_is_sent_a_step_is_small() {
        let text = "long enough to be worth it. ".repeat(20_000).into_bytes();
        let noise: Vec<u8> = (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let zeros = vec![0; 3 << 20];
        for plain in [&b""[..], b"x", &text, &noise, &zeros] {
            for (encoding, wire) in [(Encoding::Gzip, gzip(plain)), (Encoding::Zstd, zstd(plain))] {
                let (whole, steps) = undo(encoding, &wire).expect("decodes");
                assert!(whole == plain, "{encoding:?}: {} bytes", plain.len());
                let least = (wire.len() / STEP_IN).max(plain.len() / STEP_OUT);
                assert!(steps >= least, "{encoding:?}: {} bytes in {steps} steps", plain.len());
            }
        }
    }

    #[test]
    fn members_without_content_are_decoded_by_input_and_counted() {
        for (encoding, member, plain) in [
            (Encoding::Gzip, EMPTY_MEMBER, gzip(b"end")),
            (Encoding::Zstd, EMPTY_FRAME, zstd(b"end")),
            (Encoding::Zstd, SKIPPED_FRAME, zstd(b"end")),
        ] {
            let mut wire = member.repeat(MEMBERS_MAX - 1);
            wire.extend_from_slice(&plain);
            let (whole, steps) = undo(encoding, &wire).expect("decodes");
            assert_eq!(whole, b"end", "{encoding:?}");
            assert!(steps >= wire.len() / STEP_IN, "{encoding:?}: {steps} steps");
            let mut over = member.to_vec();
            over.extend_from_slice(&wire);
            let too_many = BodyError::TooManyMembers { members_max: MEMBERS_MAX };
            assert_eq!(undo(encoding, &over), Err(too_many), "{encoding:?}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for (encoding, wire) in [(Encoding::Gzip, gzip(b"some text")), (Encoding::Zstd, zstd(b"some text"))] {
            for cut in 1..wire.len() {
                assert_eq!(undo(encoding, &wire[..cut]), Err(BodyError::BadEncoding), "{encoding:?} {cut}");
            }
            for garbage in [&b"\0"[..], b"garbage", &wire[..4]] {
                let more = [&wire, garbage].concat();
                assert_eq!(undo(encoding, &more), Err(BodyError::BadEncoding), "{encoding:?} {garbage:?}");
            }
            let twice = [&wire[..], &wire].concat();
            assert_eq!(undo(encoding, &twice).expect("decodes").0, b"some textsome text", "{encoding:?}");
        }
        let endless_name = [b"\x1f\x8b\x08\x08\0\0\0\0\0\xff".as_slice(), &[b'A'; 1 << 20]].concat();
        assert_eq!(undo(Encoding::Gzip, &endless_name), Err(BodyError::BadEncoding));
    }

    #[test]
    fn a_window_counts_and_has_a_limit() {
        let frame = |window_log| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("zstd");
            encoder.window_log(window_log).expect("a window");
            encoder.write_all(&[7; 1 << 10]).expect("zstd");
            encoder.flush().expect("zstd");
            encoder.finish().expect("zstd")
        };
        let wire = frame(ZSTD_WINDOW_LOG_MAX);
        let mut decoder = Decoder::new(Encoding::Zstd, &wire).expect("known").expect("an encoding");
        assert!(decoder.held_bytes() < 1 << 20);
        decoder.step(&mut [0; STEP_OUT]).expect("decodes");
        assert!(decoder.held_bytes() > 1 << ZSTD_WINDOW_LOG_MAX, "{}", decoder.held_bytes());
        assert_eq!(undo(Encoding::Zstd, &frame(ZSTD_WINDOW_LOG_MAX + 1)), Err(BodyError::BadEncoding));
    }
}
