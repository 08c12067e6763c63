//! The encoding of a message's free part, written once at the door and read at the wire.

use bincode::{BorrowDecode, Encode};

use crate::model::{Content, SenderId};

use super::record::{BINCODE, DecodeError};

#[derive(Encode, BorrowDecode)]
struct ContentV1<'a> {
    from: &'a str,
    body: &'a [u8],
    /// Everything that most messages do not have, behind one octet.
    rest: Option<RestV1<'a>>,
}

#[derive(Encode, BorrowDecode)]
struct RestV1<'a> {
    udh: &'a [u8],
    reference: &'a str,
    tags: &'a str,
    tlvs: &'a [u8],
    callback_url: &'a str,
}

/// Appends the encoded content to an arena.
pub fn encode(content: &Content<'_>, arena: &mut Vec<u8>) {
    let plain = content.udh.is_empty()
        && content.reference.is_empty()
        && content.tags.is_empty()
        && content.tlvs.is_empty()
        && content.callback_url.is_empty();
    let rest = (!plain).then_some(RestV1 {
        udh: content.udh,
        reference: content.reference,
        tags: content.tags,
        tlvs: content.tlvs,
        callback_url: content.callback_url,
    });
    let record = ContentV1 { from: content.from.as_str(), body: content.body, rest };
    let written = bincode::encode_into_std_write(record, arena, BINCODE);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
}

/// Reads a content back, borrowed from the arena.
pub fn decode(bytes: &[u8]) -> Result<Content<'_>, DecodeError> {
    let (record, _): (ContentV1<'_>, _) =
        bincode::borrow_decode_from_slice(bytes, BINCODE).map_err(|error| DecodeError(error.to_string()))?;
    let from = if record.from.is_empty() { Ok(SenderId::default()) } else { SenderId::parse(record.from) };
    let content = Content {
        from: from.map_err(|error| DecodeError(format!("sender: {error:?}")))?,
        body: record.body,
        ..Content::default()
    };
    Ok(match record.rest {
        None => content,
        Some(rest) => Content {
            udh: rest.udh,
            reference: rest.reference,
            tags: rest.tags,
            tlvs: rest.tlvs,
            callback_url: rest.callback_url,
            ..content
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_version_1() {
        let from = SenderId::parse("Bank").expect("sender");
        let mut arena = Vec::new();
        encode(&Content { from, body: b"hi", ..Content::default() }, &mut arena);
        assert_eq!(arena, b"\x04\0\0\0\0\0\0\0Bank\x02\0\0\0\0\0\0\0hi\0");
    }

    #[test]
    fn comes_back_whole() {
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
        encode(&content, &mut arena);
        assert_eq!(decode(&arena[3..]), Ok(content));
        assert!(decode(&arena[3..20]).is_err());
    }
}
