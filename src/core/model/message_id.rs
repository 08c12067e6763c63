//! The public id of a message: a valid UUIDv7 (RFC 9562) whose 74 random bits hold the message's own address, so that a
//! lookup needs no index and ids sort by time.

use std::fmt;
use std::str::FromStr;

use super::ids::{Address, NodeId, ShardId};
use super::time::Wall;

/// UUIDv7: 48 bits of milliseconds, version, 12 bits, variant, 62 bits. The 74 free bits hold, from the top,
/// node (10), shard (8), segment (40), slot (16).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u128);

/// The text is not one of our message ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMessageId;

const VERSION: u128 = 0x7 << 76;
const VARIANT: u128 = 0b10 << 62;
const LOW_62: u128 = (1 << 62) - 1;
const LOW_12: u128 = (1 << 12) - 1;

impl MessageId {
    /// The id of the message that `node` accepted at `at` into `shard` under `address`.
    pub const fn new(at: Wall, node: NodeId, shard: ShardId, address: Address) -> Self {
        let free = ((node.0 as u128 & 0x3FF) << 64) | ((shard.0 as u128) << 56) | address.packed() as u128;
        let time = (at.0 as u128 & 0xFFFF_FFFF_FFFF) << 80;
        Self(time | VERSION | ((free >> 62) << 64) | VARIANT | (free & LOW_62))
    }

    const fn free(self) -> u128 {
        (((self.0 >> 64) & LOW_12) << 62) | (self.0 & LOW_62)
    }

    /// When it was accepted.
    pub const fn accepted_at(self) -> Wall {
        Wall((self.0 >> 80) as u64)
    }

    /// The installation that made it.
    pub const fn node(self) -> NodeId {
        NodeId((self.free() >> 64) as u16)
    }

    /// The shard that keeps the message.
    pub const fn shard(self) -> ShardId {
        ShardId((self.free() >> 56) as u8)
    }

    /// Its place in the shard.
    pub const fn address(self) -> Address {
        Address::from_packed(self.free() as u64)
    }

    /// The id as one number of 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Reads an id from 128 bits; version and variant must be those of an id.
    pub const fn from_u128(bits: u128) -> Result<Self, NotAMessageId> {
        if bits & (0xF << 76) == VERSION && bits & (0b11 << 62) == VARIANT {
            Ok(Self(bits))
        } else {
            Err(NotAMessageId)
        }
    }

    /// The 36 characters of the text form, without allocating.
    pub fn encode(self, out: &mut [u8; 36]) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut at = 0;
        for (index, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                out[at] = b'-';
                at += 1;
            }
            out[at] = HEX[usize::from(byte >> 4)];
            out[at + 1] = HEX[usize::from(byte & 0xF)];
            at += 2;
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 36];
        self.encode(&mut text);
        out.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for MessageId {
    type Err = NotAMessageId;

    fn from_str(text: &str) -> Result<Self, NotAMessageId> {
        if text.len() != 36 {
            return Err(NotAMessageId);
        }
        let mut bits = 0_u128;
        for (index, byte) in text.bytes().enumerate() {
            if matches!(index, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(NotAMessageId);
                }
                continue;
            }
            let digit = char::from(byte).to_digit(16).ok_or(NotAMessageId)?;
            bits = bits << 4 | u128::from(digit);
        }
        Self::from_u128(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_its_own_address() {
        let id = MessageId::new(
            Wall(0x0192_3456_789A),
            NodeId(1023),
            ShardId(255),
            Address::new(Address::SEGMENT_MAX, u16::MAX),
        );
        assert_eq!(id.to_string(), "01923456-789a-7fff-bfff-ffffffffffff");
        let id = MessageId::new(Wall(1_700_000_000_123), NodeId(5), ShardId(9), Address::new(77_000_000_001, 513));
        let back: MessageId = id.to_string().parse().expect("own text");
        assert_eq!(back, id);
        assert_eq!((back.node(), back.shard()), (NodeId(5), ShardId(9)));
        assert_eq!((back.address().segment(), back.address().slot()), (77_000_000_001, 513));
        assert_eq!(back.accepted_at(), Wall(1_700_000_000_123));
    }

    #[test]
    fn sorts_by_time_then_place() {
        let early = MessageId::new(Wall(1), NodeId(9), ShardId(9), Address::new(9, 9));
        let late = MessageId::new(Wall(2), NodeId(0), ShardId(0), Address::new(0, 0));
        assert!(early < late);
    }

    #[test]
    fn refuses_what_is_no_id() {
        for text in ["", "x", "01923456-789a-4fff-bfff-ffffffffffff", "01923456-789a-7fff-7fff-ffffffffffff"] {
            assert_eq!(text.parse::<MessageId>(), Err(NotAMessageId), "{text}");
        }
        assert!("01923456+789a-7fff-bfff-ffffffffffff".parse::<MessageId>().is_err());
        assert!("0192345é-789a-7fff-bfff-fffffffffff".parse::<MessageId>().is_err());
    }
}
