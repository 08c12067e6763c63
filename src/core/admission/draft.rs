//! A message as somebody wants it sent, in the words of the domain: what every door makes of what was typed, and what
//! [`judge`](super::judge()) reads. Knows no spelling of any door.

use super::objection::Objection;
use crate::model::{Class, Encoding, Wall, limits::REFERENCE_BYTES_MAX};

/// SMPP parameters that a message may bring.
pub const TLVS_MAX: usize = 16;
/// Bytes of one TLV's value.
pub const TLV_BYTES_MAX: usize = 1_000;
/// TLVs that carry what the message itself says (SMPP 3.4 §5.3.2), `sar_*` and `message_payload`; and
/// `user_message_reference`, by which a receipt finds its part: one from outside would lead to another's.
const TLVS_OURS: [u16; 5] = [0x0204, 0x020C, 0x020E, 0x020F, 0x0424];

/// See the head of this file. What is not said stays open: then the tenant's or the installation's defaults hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draft<'m> {
    /// Recipient, as people type it.
    pub to: Option<&'m str>,
    /// Sender, as people type it.
    pub from: Option<&'m str>,
    /// What is to be sent.
    pub body: Option<Body<'m>>,
    /// Urgency.
    pub class: Option<Class>,
    /// Its idempotency key.
    pub key: Option<&'m str>,
    /// Not before.
    pub send_at: Option<Wall>,
    /// Not after.
    pub expiry: Option<Expiry>,
    /// Coding asked for.
    pub encoding: Option<Encoding>,
    /// Shown at once, not kept by the handset.
    pub flash: Option<bool>,
    /// A receipt is asked for.
    pub receipt: Option<bool>,
    /// More parts are too many.
    pub parts_max: Option<u64>,
    /// The client's own reference.
    pub reference: Option<&'m str>,
    /// Of a [`TagList`].
    pub tags: &'m str,
    /// Of a [`TlvList`].
    pub tlvs: &'m [u8],
}

/// Text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'m> {
    /// For people.
    Text(&'m str),
    /// For machines, with a user data header, or an empty one.
    Data { octets: &'m [u8], udh: &'m [u8] },
}

/// When a message is worth nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// So many ms after it is due.
    In(u64),
    /// Then.
    At(Wall),
}

/// Tags as a message keeps them: one text, with commas between them. Kept from message to message.
#[derive(Debug, Default)]
pub struct TagList(String);

impl TagList {
    /// No tags.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// One more.
    ///
    /// # Errors
    /// [`Objection::Tag`], [`Objection::TagsTooLong`].
    pub fn add(&mut self, tag: &str) -> Result<(), Objection> {
        if tag.is_empty() || tag.contains(',') || tag.chars().any(char::is_control) {
            return Err(Objection::Tag);
        }
        if !self.0.is_empty() {
            self.0.push(',');
        }
        if self.0.len() + tag.len() > REFERENCE_BYTES_MAX {
            return Err(Objection::TagsTooLong);
        }
        self.0.push_str(tag);
        Ok(())
    }

    /// All of them.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// SMPP parameters as a message keeps them: tag, length, value, one after the other. Kept from message to message.
#[derive(Debug, Default)]
pub struct TlvList {
    octets: Vec<u8>,
    count: usize,
}

impl TlvList {
    /// None.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.count = 0;
    }

    /// One more.
    ///
    /// # Errors
    /// [`Objection::TooManyTlvs`], [`Objection::TlvReserved`], [`Objection::TlvTooLong`].
    pub fn add(&mut self, tag: u16, value: &[u8]) -> Result<(), Objection> {
        if self.count == TLVS_MAX {
            return Err(Objection::TooManyTlvs);
        }
        if TLVS_OURS.contains(&tag) {
            return Err(Objection::TlvReserved(tag));
        }
        if value.len() > TLV_BYTES_MAX {
            return Err(Objection::TlvTooLong(value.len()));
        }
        self.count += 1;
        self.octets.extend_from_slice(&tag.to_be_bytes());
        self.octets.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.octets.extend_from_slice(value);
        Ok(())
    }

    /// All of them.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_in_one_text() {
        let mut tags = TagList::default();
        assert_eq!(["vip", "é"].map(|tag| tags.add(tag)), [Ok(()); 2]);
        assert_eq!(["", "a,b", "a\n"].map(|tag| tags.add(tag)), [Err(Objection::Tag); 3]);
        assert_eq!(tags.text(), "vip,é");
        tags.clear();
        assert_eq!(tags.add(&"x".repeat(REFERENCE_BYTES_MAX)), Ok(()));
        assert_eq!(tags.add("y"), Err(Objection::TagsTooLong));
    }

    #[test]
    fn tlvs_stand_one_after_the_other() {
        let mut tlvs = TlvList::default();
        assert_eq!([tlvs.add(0x1400, b"11"), tlvs.add(9, b"")], [Ok(()); 2]);
        assert_eq!(tlvs.octets(), b"\x14\0\0\x0211\0\x09\0\0");
        assert_eq!(tlvs.add(0x0424, b""), Err(Objection::TlvReserved(0x0424)));
        assert_eq!(tlvs.add(0x0204, b"\0\x01"), Err(Objection::TlvReserved(0x0204)));
        assert_eq!(tlvs.add(9, &[0; 1_001]), Err(Objection::TlvTooLong(1_001)));
        assert_eq!((2..TLVS_MAX).map(|_| tlvs.add(9, &[0; 1_000])).filter(Result::is_ok).count(), TLVS_MAX - 2);
        assert_eq!(tlvs.add(9, b""), Err(Objection::TooManyTlvs));
        tlvs.clear();
        assert_eq!((tlvs.add(9, b""), tlvs.octets().len()), (Ok(()), 4));
    }
}
