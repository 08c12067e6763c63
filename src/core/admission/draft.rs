//! A message as a client wants it sent, in the words of the domain: every door (HTTP, command line …) fills one in from
//! its own input, and [`judge`](super::judge()) reads it. Knows no door's syntax.

use super::objection::Objection;
use crate::model::{Class, Encoding, Wall, limits::REFERENCE_BYTES_MAX};

/// Most SMPP parameters that one message may bring.
pub const TLVS_MAX: usize = 16;
/// Longest value of one TLV, bytes.
pub const TLV_BYTES_MAX: usize = 1_000;
/// Tags that a client may not set, because the message's own fields say the same (SMPP 3.4 §5.3.2): `sar_*` and
/// `message_payload`; and `user_message_reference`, by which a receipt finds its part: a value chosen by the client
/// would lead to another message's part.
const TLVS_OURS: [u16; 5] = [0x0204, 0x020C, 0x020E, 0x020F, 0x0424];

/// A message as a client wants it sent. A field that is `None` was not given: the tenant's or the installation's
/// default applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draft<'m> {
    /// Recipient, as typed.
    pub to: Option<&'m str>,
    /// Sender, as typed.
    pub from: Option<&'m str>,
    /// Text or data; a message without one is refused.
    pub body: Option<Body<'m>>,
    /// Traffic class.
    pub class: Option<Class>,
    /// The message's own idempotency key.
    pub key: Option<&'m str>,
    /// Do not send before this time.
    pub send_at: Option<Wall>,
    /// Do not send after this time.
    pub expiry: Option<Expiry>,
    /// Coding that the client asks for.
    pub encoding: Option<Encoding>,
    /// Show the message at once; the handset does not keep it (message class 0).
    pub flash: Option<bool>,
    /// Whether a receipt is asked for.
    pub receipt: Option<bool>,
    /// Refuse the message if it needs more parts than this.
    pub parts_max: Option<u64>,
    /// The client's own reference.
    pub reference: Option<&'m str>,
    /// Comma-separated tags, made with a [`TagList`].
    pub tags: &'m str,
    /// SMPP parameters, made with a [`TlvList`].
    pub tlvs: &'m [u8],
}

/// What a message carries: text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'m> {
    /// Text for people to read, UTF-8.
    Text(&'m str),
    /// Bytes for machines, with a user data header (empty: none).
    Data { bytes: &'m [u8], udh: &'m [u8] },
}

/// When a message is no longer worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// This many ms after it is due.
    In(u64),
    /// At this time.
    At(Wall),
}

/// Tags as a message keeps them: one text, with commas between the tags. The buffer is reused from message to message.
#[derive(Debug, Default)]
pub struct TagList(String);

impl TagList {
    /// Removes all tags.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a tag.
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

    /// All tags, comma separated.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// SMPP parameters as a message keeps them: tag, length, value, one after the other. The buffer is reused from message
/// to message.
#[derive(Debug, Default)]
pub struct TlvList {
    bytes: Vec<u8>,
    count: usize,
}

impl TlvList {
    /// Removes all parameters.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Adds a parameter.
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
        self.bytes.extend_from_slice(&tag.to_be_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// All parameters, encoded.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
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
        assert_eq!(tlvs.bytes(), b"\x14\0\0\x0211\0\x09\0\0");
        assert_eq!(tlvs.add(0x0424, b""), Err(Objection::TlvReserved(0x0424)));
        assert_eq!(tlvs.add(0x0204, b"\0\x01"), Err(Objection::TlvReserved(0x0204)));
        assert_eq!(tlvs.add(9, &[0; 1_001]), Err(Objection::TlvTooLong(1_001)));
        assert_eq!((2..TLVS_MAX).map(|_| tlvs.add(9, &[0; 1_000])).filter(Result::is_ok).count(), TLVS_MAX - 2);
        assert_eq!(tlvs.add(9, b""), Err(Objection::TooManyTlvs));
        tlvs.clear();
        assert_eq!((tlvs.add(9, b""), tlvs.bytes().len()), (Ok(()), 4));
    }
}
