//! Finds the message to which a part on the wire belongs, with code that is independent of the code that wrote it: the
//! body of every simulated message repeats its number, so that each part names its message.

use stentor_smpp::decode::decode;
use stentor_smpp::framer::Framer;
use stentor_smpp::pdu::{Pdu, ShortMessage};
use stentor_smpp::tlv::TlvTag;

/// Length of `m000123 `, which is repeated to fill the body.
const TOKEN_BYTES: usize = 8;

const PDU_BYTES_MAX: u32 = 65_536;

/// A part as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartSeen {
    /// The message's number in this world; `None` if the text contains none.
    pub message: Option<u32>,
    /// Which part, from 1.
    pub part: u8,
    /// How many parts the message has.
    pub parts: u8,
}

/// The text of a message: its number, repeated to about `characters` characters, so that its last part contains a whole
/// token too. A letter outside the default alphabet makes it UCS-2.
pub fn body(message: u32, characters: usize, ucs2: bool) -> String {
    let token = format!("m{message:06} ");
    let (single, each) = if ucs2 { (70, [66, 67]) } else { (160, [152, 153]) };
    let mut tokens = (characters / TOKEN_BYTES).max(1);
    let length = |tokens: usize| tokens * TOKEN_BYTES + usize::from(ucs2);
    let short_end = |tokens| each.iter().any(|each| (1..=2 * TOKEN_BYTES).contains(&(length(tokens) % each)));
    while length(tokens) > single && short_end(tokens) {
        tokens += 1;
    }
    let mut text = token.repeat(tokens);
    if ucs2 {
        text.push('ж');
    }
    text
}

impl PartSeen {
    /// Reads one from a PDU.
    pub fn of(message: &ShortMessage<'_>) -> Self {
        let user_data = message.user_data();
        let has_header = message.esm_class.0 & 0x40 != 0;
        let header_bytes = if has_header { user_data.first().map_or(0, |length| usize::from(*length) + 1) } else { 0 };
        let (header, text) = user_data.split_at(header_bytes.min(user_data.len()));
        let (part, parts) = by_header(header).or_else(|| by_parameters(message)).unwrap_or((1, 1));
        let wide = message.data_coding & 0x0C == 0x08;
        let text: Vec<u8> =
            if wide { text.chunks(2).filter_map(|pair| pair.get(1).copied()).collect() } else { text.to_vec() };
        Self { message: Self::number_in(&text), part, parts }
    }

    /// Takes all whole PDUs out of a stream; gives the parts among them.
    pub fn take_from(stream: &mut Vec<u8>) -> Vec<Self> {
        let mut parts = Vec::new();
        while let Some(length) = stream.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize) {
            if !(16..=stream.len()).contains(&length) {
                break;
            }
            let pdu: Vec<u8> = stream.drain(..length).collect();
            let mut framer = Framer::new(PDU_BYTES_MAX);
            let mut input = &pdu[..];
            let Some(Ok(frame)) = framer.next_frame(&mut input) else { continue };
            if let Ok(Pdu::SubmitSm(message)) = decode(&frame).map(|decoded| decoded.pdu) {
                parts.push(Self::of(&message));
            }
        }
        parts
    }

    /// The number of the first whole token.
    pub fn number_in(text: &[u8]) -> Option<u32> {
        text.windows(TOKEN_BYTES).find_map(|window| match window {
            [b'm', digits @ .., b' '] => std::str::from_utf8(digits).ok()?.parse().ok(),
            [..] => None,
        })
    }
}

/// Part number and count from the information elements 0x00 and 0x08 (3GPP TS 23.040 §9.2.3.24).
fn by_header(header: &[u8]) -> Option<(u8, u8)> {
    let mut rest = header.get(1..)?;
    while let [element, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length))?;
        match (element, value) {
            (0x00, [_, parts, part]) | (0x08, [_, _, parts, part]) => return Some((*part, *parts)),
            (_, _) => rest = &tail[usize::from(*length)..],
        }
    }
    None
}

fn by_parameters(message: &ShortMessage<'_>) -> Option<(u8, u8)> {
    let number = |tag| message.tlvs.number(tag).and_then(|number| u8::try_from(number).ok());
    Some((number(TlvTag::SAR_SEGMENT_SEQNUM)?, number(TlvTag::SAR_TOTAL_SEGMENTS)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_text_from_any_part() {
        let text = body(123, 300, false);
        let middle = &text.as_bytes()[157..240];
        let header = [5, 0, 3, 9, 2, 2];
        let user_data = [&header[..], middle].concat();
        let message = ShortMessage {
            esm_class: stentor_smpp::pdu::EsmClass::UDHI,
            short_message: &user_data,
            ..ShortMessage::default()
        };
        assert_eq!(PartSeen::of(&message), PartSeen { message: Some(123), part: 2, parts: 2 });
        let wide: Vec<u8> = body(7, 8, true).encode_utf16().flat_map(u16::to_be_bytes).collect();
        let message = ShortMessage { data_coding: 8, short_message: &wide, ..ShortMessage::default() };
        assert_eq!(PartSeen::of(&message), PartSeen { message: Some(7), part: 1, parts: 1 });
    }
}
