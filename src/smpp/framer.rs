//! Cuts a byte stream into PDUs by `command_length`.
//!
//! Knows only lengths, and the first bytes of other protocols whose clients connect to the wrong port. Refuses to look into
//! a body. An impossible length is fatal, because the start of the next PDU is then unknown.
//!
//! Invariants:
//! - Each call consumes input or returns `None`, so a loop over it ends.
//! - A byte is copied at most once, and only if its PDU did not arrive in one piece: PDUs in one piece are returned as
//!   slices of the caller's own buffer.
//! - The carry never holds more than one PDU, hence never more than `pdu_bytes_max`; it grows with the bytes that arrive,
//!   not with the length that a PDU claims.

use super::pdu::{CommandId, HEADER_BYTES, Header};
use super::status::CommandStatus;
use std::fmt;

/// Highest `command_length` that `encode` writes, and a sensible limit for a [`Framer`]. The length field of message_payload
/// alone allows 64 KiB, but no carrier accepts more than a few KiB.
pub const PDU_BYTES_MAX: u32 = 64 * 1024;

/// Bytes kept of a stream that could not be cut, for diagnosis.
pub const BROKEN_BYTES_MAX: usize = 64;

/// One PDU as received: a header and an undecoded body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The first sixteen bytes, decoded.
    pub header: Header,
    /// The bytes after the header.
    pub body: &'a [u8],
}

/// A protocol other than SMPP, recognised by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// An HTTP client or server.
    Http,
    /// An AMQP client.
    Amqp,
    /// A TLS handshake or alert: the peer uses TLS on a connection that this side uses without it.
    Tls,
    /// An SSH banner.
    Ssh,
}

/// Why no more PDUs can be read from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// `command_length` is under sixteen.
    TooShort(u32),
    /// `command_length` is over the limit.
    TooLong {
        /// The value received.
        command_length: u32,
        /// The largest value allowed.
        limit: u32,
    },
    /// The bytes belong to another protocol.
    Stranger(Stranger),
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FramingError::TooShort(length) => write!(f, "command_length {length} is less than a header"),
            FramingError::TooLong { command_length, limit } => {
                write!(f, "command_length {command_length} is over the limit of {limit}")
            }
            FramingError::Stranger(Stranger::Http) => f.write_str("the peer speaks HTTP, not SMPP"),
            FramingError::Stranger(Stranger::Amqp) => f.write_str("the peer speaks AMQP, not SMPP"),
            FramingError::Stranger(Stranger::Tls) => f.write_str("the peer speaks TLS where plain SMPP was expected"),
            FramingError::Stranger(Stranger::Ssh) => f.write_str("the peer speaks SSH, not SMPP"),
        }
    }
}

impl std::error::Error for FramingError {}

/// Cuts a stream into frames. Keeps the beginning of a PDU until the rest of it arrives.
#[derive(Debug)]
pub struct Framer {
    pdu_bytes_max: u32,
    carry: Vec<u8>,
    carry_given: bool,
    failed: bool,
}

impl Framer {
    /// A framer for PDUs of at most `pdu_bytes_max` bytes; values below the length of a header count as that length.
    pub fn new(pdu_bytes_max: u32) -> Self {
        Framer { pdu_bytes_max: pdu_bytes_max.max(16), carry: Vec::new(), carry_given: false, failed: false }
    }

    /// The next PDU, taken off the front of `input`. `None` when all of `input` is consumed; an incomplete PDU at its end is
    /// kept until the rest arrives. After an error all further input is consumed and ignored.
    pub fn next_frame<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Result<Frame<'s>, FramingError>> {
        if self.carry_given {
            self.carry.clear();
            self.carry_given = false;
        }
        if self.failed {
            *input = &[];
        }
        if input.is_empty() {
            return None;
        }
        if self.carry.is_empty() {
            match self.cut(input) {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => self.carry.extend_from_slice(std::mem::take(input)),
                Err(error) => return Some(Err(self.fail(error, input))),
            }
            return None;
        }
        match self.fill(input) {
            Ok(true) => {
                self.carry_given = true;
                Header::read(&self.carry).map(|(header, body)| Ok(Frame { header, body }))
            }
            Ok(false) => None,
            Err(error) => Some(Err(self.fail(error, input))),
        }
    }

    /// After an error: the first bytes of the PDU that could not be cut, at most [`BROKEN_BYTES_MAX`].
    pub fn broken_bytes(&self) -> &[u8] {
        if self.failed { &self.carry } else { &[] }
    }

    /// The bytes received so far of a PDU that is not complete.
    pub fn begun(&self) -> &[u8] {
        if self.carry_given || self.failed { &[] } else { &self.carry }
    }

    fn cut<'i>(&self, input: &mut &'i [u8]) -> Result<Option<Frame<'i>>, FramingError> {
        let Some(length) = self.length(input)? else {
            return Ok(None);
        };
        let Some((pdu, rest)) = input.split_at_checked(length) else {
            return Ok(None);
        };
        let frame = Header::read(pdu).map(|(header, body)| Frame { header, body });
        *input = rest;
        Ok(frame)
    }

    fn fill(&mut self, input: &mut &[u8]) -> Result<bool, FramingError> {
        if self.carry.len() < 4 {
            self.carry_up_to(4, input);
        }
        let Some(length) = self.length(&self.carry)? else {
            return Ok(false);
        };
        self.carry_up_to(length, input);
        Ok(self.carry.len() == length)
    }

    fn carry_up_to(&mut self, bytes: usize, input: &mut &[u8]) {
        let missing = bytes.saturating_sub(self.carry.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.carry.extend_from_slice(taken);
        *input = rest;
    }

    fn length(&self, bytes: &[u8]) -> Result<Option<usize>, FramingError> {
        let Some(first) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let command_length = u32::from_be_bytes(*first);
        if (HEADER_BYTES as u32..=self.pdu_bytes_max).contains(&command_length) {
            return Ok(Some(command_length as usize));
        }
        Err(match stranger(*first) {
            Some(stranger) => FramingError::Stranger(stranger),
            None if command_length < HEADER_BYTES as u32 => FramingError::TooShort(command_length),
            None => FramingError::TooLong { command_length, limit: self.pdu_bytes_max },
        })
    }

    fn fail(&mut self, error: FramingError, input: &mut &[u8]) -> FramingError {
        self.failed = true;
        let bytes = std::mem::take(&mut self.carry);
        // The carry comes first. It is four bytes long if the length in it is found to be impossible.
        self.carry = bytes.iter().chain(input.iter()).take(BROKEN_BYTES_MAX).copied().collect();
        *input = &[];
        error
    }
}

impl Header {
    /// Reads the first sixteen bytes, and returns the bytes after them as well. `None` if there are fewer.
    pub fn read(bytes: &[u8]) -> Option<(Header, &[u8])> {
        let (head, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let header = Header {
            command_length: word(0),
            command_id: CommandId(word(4)),
            command_status: CommandStatus(word(8)),
            sequence_number: word(12),
        };
        Some((header, body))
    }
}

fn stranger(first: [u8; 4]) -> Option<Stranger> {
    match &first {
        b"HTTP" | b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"CONN" | b"PRI " => Some(Stranger::Http),
        b"AMQP" => Some(Stranger::Amqp),
        [0x15 | 0x16, 0x03, 0x00..=0x04, _] => Some(Stranger::Tls),
        b"SSH-" => Some(Stranger::Ssh),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pdu(sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = (16 + body.len() as u32).to_be_bytes().to_vec();
        bytes.extend(4u32.to_be_bytes());
        bytes.extend(0u32.to_be_bytes());
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn drain(framer: &mut Framer, mut input: &[u8], into: &mut Vec<(u32, Vec<u8>)>) -> Result<(), FramingError> {
        while let Some(frame) = framer.next_frame(&mut input) {
            let frame = frame?;
            into.push((frame.header.sequence_number, frame.body.to_vec()));
        }
        assert!(input.is_empty());
        Ok(())
    }

    #[test]
    fn frames_are_the_same_wherever_the_stream_is_cut() {
        let wanted: Vec<_> = (1..=4u32).map(|n| (n, vec![n as u8; n as usize * 7 - 7])).collect();
        let stream: Vec<u8> = wanted.iter().flat_map(|(sequence, body)| pdu(*sequence, body)).collect();
        for piece in 1..=stream.len() {
            let mut framer = Framer::new(PDU_BYTES_MAX);
            let mut found = Vec::new();
            for chunk in stream.chunks(piece) {
                drain(&mut framer, chunk, &mut found).unwrap();
                assert!(framer.begun().len() < 16 + 21);
            }
            assert_eq!(found, wanted, "pieces of {piece}");
            assert_eq!(framer.begun().len(), 0);
        }
    }

    fn check_fatal(stream: &[u8], wanted: FramingError) {
        for piece in [1, 3, stream.len()] {
            let mut framer = Framer::new(PDU_BYTES_MAX);
            let mut found = Vec::new();
            let error = stream.chunks(piece).find_map(|chunk| drain(&mut framer, chunk, &mut found).err());
            assert_eq!(error, Some(wanted));
            assert!(found.is_empty());
            let broken = framer.broken_bytes();
            assert!(stream.starts_with(broken) && broken.len() >= 4.min(stream.len()), "{broken:?}");
            assert_eq!(framer.begun().len(), 0);
            assert_eq!(drain(&mut framer, &pdu(1, b""), &mut found), Ok(()));
            assert!(found.is_empty(), "nothing is read after a framing error");
        }
    }

    #[test]
    fn lengths_that_cannot_be_true_are_fatal_with_their_reason() {
        check_fatal(&[0; 16], FramingError::TooShort(0));
        check_fatal(&[0, 0, 0, 2, 0, 0, 0, 0], FramingError::TooShort(2));
        check_fatal(&[0, 0, 0, 15, 0], FramingError::TooShort(15));
        check_fatal(&[0, 1, 0, 1], FramingError::TooLong { command_length: 65_537, limit: 65_536 });
        check_fatal(&[0; 200], FramingError::TooShort(0));
        check_fatal(&[0xFF; 32], FramingError::TooLong { command_length: u32::MAX, limit: 65_536 });
        check_fatal(b"HTTP/1.1 400 Bad Request", FramingError::Stranger(Stranger::Http));
        check_fatal(b"GET / HTTP/1.1\r\n", FramingError::Stranger(Stranger::Http));
        check_fatal(b"AMQP\x00\x00\x09\x01", FramingError::Stranger(Stranger::Amqp));
        check_fatal(b"\x16\x03\x01\x02\x00\x01", FramingError::Stranger(Stranger::Tls));
        check_fatal(b"\x15\x03\x03\x00\x02\x02\x28", FramingError::Stranger(Stranger::Tls));
    }

    #[test]
    fn a_promised_length_reserves_nothing() {
        let mut framer = Framer::new(PDU_BYTES_MAX);
        assert!(framer.next_frame(&mut &[0, 1, 0, 0, 0][..]).is_none());
        assert!(framer.carry.capacity() < 64);
    }

    #[test]
    fn a_whole_pdu_is_not_copied() {
        let stream = pdu(1, b"body");
        let mut input = &stream[..];
        let mut framer = Framer::new(PDU_BYTES_MAX);
        let frame = framer.next_frame(&mut input).unwrap().unwrap();
        assert_eq!(frame.body.as_ptr(), stream[16..].as_ptr());
    }
}
