//! The content of a message: sender, body and other fields that no decision reads. Doors encode it as bytes, links
//! decode it; everything in between keeps the bytes without looking inside.
//!
//! The bytes: sender and body, then 0; or 1 and the fields that most messages do not have: header, reference, tags,
//! TLVs, address for notices. Each field is its length (`u64`, little endian) and that many bytes.

use super::sender::SenderId;

/// How the text is to be coded: the client's request at ingest, resolved to a carrier's coding when the message is
/// sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// GSM 7-bit where every character fits, else UCS-2.
    #[default]
    Auto = 0,
    /// GSM 7-bit; a text that does not fit is refused.
    Gsm7 = 1,
    /// UCS-2 (UTF-16BE on the air).
    Ucs2 = 2,
    /// Bytes, as given.
    Binary = 3,
}

impl Encoding {
    /// The name used in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gsm7 => "gsm7",
            Self::Ucs2 => "ucs2",
            Self::Binary => "binary",
        }
    }

    /// As read back from disk.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            0 => Some(Self::Auto),
            1 => Some(Self::Gsm7),
            2 => Some(Self::Ucs2),
            3 => Some(Self::Binary),
            4.. => None,
        }
    }
}

/// The coding in which a carrier took a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Coding {
    /// GSM 7-bit, with or without national tables. Number 0, because most messages have it and a 0 takes no room in a
    /// history.
    Gsm7 = 0,
    /// Unknown: only a receipt showed that the carrier has the message.
    #[default]
    Unknown = 1,
    /// ISO 8859-1.
    Latin1 = 2,
    /// ASCII.
    Ascii = 3,
    /// UCS-2.
    Ucs2 = 4,
    /// Bytes, as given.
    Binary = 5,
}

impl Coding {
    /// All codings, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Gsm7, Self::Unknown, Self::Latin1, Self::Ascii, Self::Ucs2, Self::Binary];

    /// The name used in the API; `None` for [`Self::Unknown`].
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Gsm7 => Some("gsm7"),
            Self::Latin1 => Some("latin1"),
            Self::Ascii => Some("ascii"),
            Self::Ucs2 => Some("ucs2"),
            Self::Binary => Some("binary"),
        }
    }

    /// As read back from disk.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }
}

/// The content of a message, borrowed from a request or from a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Sender; empty = the carrier's default.
    pub from: SenderId,
    /// UTF-8 text, or bytes for [`Encoding::Binary`].
    pub body: &'a [u8],
    /// User data header with its length byte, for binary messages; empty = none.
    pub udh: &'a [u8],
    /// The client's own reference, returned unchanged.
    pub reference: &'a str,
    /// Tags, comma separated.
    pub tags: &'a str,
    /// Extra SMPP TLVs, already as tag, length, value bytes.
    pub tlvs: &'a [u8],
    /// URL for notices about this message; empty = none of its own.
    pub callback_url: &'a str,
}

/// The bytes are not the encoding of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotContent;

impl<'a> Content<'a> {
    /// Appends the bytes to an arena.
    pub fn encode(&self, arena: &mut Vec<u8>) {
        put(self.from.as_bytes(), arena);
        put(self.body, arena);
        let rest = [self.udh, self.reference.as_bytes(), self.tags.as_bytes(), self.tlvs, self.callback_url.as_bytes()];
        let has_rest = rest.iter().any(|field| !field.is_empty());
        arena.push(u8::from(has_rest));
        if has_rest {
            rest.iter().for_each(|field| put(field, arena));
        }
    }

    /// Reads a content back, borrowed from the arena.
    ///
    /// # Errors
    /// [`NotContent`]: the bytes end too early, a text is not UTF-8, or the sender is not valid.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NotContent> {
        let mut rest = bytes;
        let from = text(&mut rest)?;
        let from = if from.is_empty() { SenderId::default() } else { SenderId::parse(from).map_err(|_| NotContent)? };
        let content = Self { from, body: take(&mut rest)?, ..Self::default() };
        match rest.split_off_first() {
            Some(0) => Ok(content),
            Some(1) => Ok(Self {
                udh: take(&mut rest)?,
                reference: text(&mut rest)?,
                tags: text(&mut rest)?,
                tlvs: take(&mut rest)?,
                callback_url: text(&mut rest)?,
                ..content
            }),
            Some(2..) | None => Err(NotContent),
        }
    }
}

fn put(field: &[u8], arena: &mut Vec<u8>) {
    arena.extend_from_slice(&(field.len() as u64).to_le_bytes());
    arena.extend_from_slice(field);
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], NotContent> {
    let (length, after) = rest.split_first_chunk().ok_or(NotContent)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| NotContent)?;
    let (field, after) = after.split_at_checked(length).ok_or(NotContent)?;
    *rest = after;
    Ok(field)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, NotContent> {
    std::str::from_utf8(take(rest)?).map_err(|_| NotContent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_version_1() {
        let from = SenderId::parse("Bank").expect("sender");
        let mut arena = Vec::new();
        Content { from, body: b"hi", ..Content::default() }.encode(&mut arena);
        assert_eq!(arena, b"\x04\0\0\0\0\0\0\0Bank\x02\0\0\0\0\0\0\0hi\0");
        arena.clear();
        Content { udh: &[9], reference: "r", tags: "t", tlvs: &[8], callback_url: "u", ..Content::default() }
            .encode(&mut arena);
        let expected: Vec<u8> = [&[0; 16][..], &[1]].concat();
        let field = |byte: u8| [1, 0, 0, 0, 0, 0, 0, 0, byte];
        let fields = [9, b'r', b't', 8, b'u'].map(field).concat();
        assert_eq!(arena, [expected, fields].concat());
    }

    #[test]
    fn comes_back_whole_and_not_in_part() {
        let content = Content {
            from: SenderId::parse("12345").expect("sender"),
            body: "Grüße".as_bytes(),
            udh: &[5, 0, 3, 1, 2, 1],
            reference: "r-1",
            tags: "a,b",
            tlvs: &[1, 2, 0, 1, 9],
            callback_url: "https://example.com/",
        };
        let mut arena = vec![9; 3];
        content.encode(&mut arena);
        assert_eq!(Content::decode(&arena[3..]), Ok(content));
        for end in 3..arena.len() {
            assert_eq!(Content::decode(&arena[3..end]), Err(NotContent), "{end} bytes");
        }
    }

    #[test]
    fn what_is_no_content() {
        let mut arena = Vec::new();
        Content { body: b"hi", ..Content::default() }.encode(&mut arena);
        let with = |at: usize, byte: u8| {
            let mut bytes = arena.clone();
            bytes[at] = byte;
            Content::decode(&bytes).map(|content| content.body.to_vec())
        };
        assert_eq!(with(0, 0), Ok(b"hi".to_vec()));
        assert_eq!([with(7, 255), with(8, 3), with(arena.len() - 1, 2)], [const { Err(NotContent) }; 3]);
        let reference = [&[0; 16][..], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xFF]].concat();
        assert_eq!(Content::decode(&reference), Err(NotContent), "no UTF-8");
    }
}
