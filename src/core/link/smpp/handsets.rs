//! Reads messages from handsets: which bytes are header and which are text, and which part of a longer message it is.
//!
//! Knows the two elements of a user data header that number parts, and the `sar_` parameters. Refuses to know what the text
//! means, and when the other parts come (`shard/joining.rs`).
//!
//! An impossible numbering (no parts, part 0, part 3 of 2, more than [`HANDSET_PARTS_MAX`] parts) is ignored: the message counts
//! as complete, and its header is kept unchanged.

use crate::model::Now;
use crate::model::limits::{ADDRESS_BYTES_MAX, HANDSET_PARTS_MAX};
use crate::traffic::{HandsetIn, PartIn};
use stentor_smpp::pdu::EsmClass;
use stentor_smpp::tlv::Tlvs;
use stentor_smpp::udh::Header;

use super::super::Link;
use super::super::event::BindId;
use super::compose::recipient_of;
use super::receipts::Delivered;

/// The byte strings of a message from a handset; they go into the arena of the batch to a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandsetSeen<'a> {
    /// The sender, if it is not a phone number; else empty.
    pub name: &'a [u8],
    /// The address that it was sent to.
    pub to: &'a [u8],
    /// Elements of the user data header, without those that number parts.
    pub header: Vec<u8>,
    /// The text after the header.
    pub text: &'a [u8],
}

impl Link {
    /// Handles a message from a handset, or a part of one.
    pub(in crate::link) fn handle_handset(&mut self, bind: BindId, delivered: &Delivered<'_>, now: Now) {
        self.counters.from_handsets += 1;
        let from = recipient_of(delivered.from);
        let home = self.home_of(from, delivered.from);
        let cut = |address: &'_ [u8]| address.len().min(ADDRESS_BYTES_MAX);
        let name = if from == 0 { &delivered.from[..cut(delivered.from)] } else { &[] };
        let (header, text, part) = read(delivered.esm_class, delivered.text, delivered.tlvs);
        let seen = HandsetSeen { name, to: &delivered.to[..cut(delivered.to)], header, text };
        let bytes = seen.name.len() + seen.to.len() + delivered.text.len();
        let Some(reply) = self.owe_answer(bind, delivered, bytes) else { return };
        let token = self.inquiries.open_for_handset(reply, home);
        let (data_coding, at) = (delivered.data_coding, now.wall);
        let message = HandsetIn { token, from, data_coding, part, at, ..HandsetIn::default() };
        self.outbox.push_handset(home, message, &seen);
    }
}

/// Splits the user data: the elements of its header, the text, and the part number (`None`: the message is complete).
fn read<'a>(esm_class: EsmClass, user_data: &'a [u8], tlvs: Tlvs<'_>) -> (Vec<u8>, &'a [u8], Option<PartIn>) {
    // If the header claims to be longer than the user data, all of it is taken as text, so that no text is lost.
    let is_whole = user_data.first().is_some_and(|length| usize::from(*length) < user_data.len());
    let (header, text) = match esm_class.has_udh() && is_whole {
        true => Header::cut(user_data),
        false => (Header::NONE, user_data),
    };
    let numbered = header.concatenation().map(|part| (part.reference, part.total, part.number));
    if let Some(part) = numbered.and_then(sensible) {
        return (header.without_concatenation(), text, Some(part));
    }
    (header.elements().to_vec(), text, tlvs.segmentation().and_then(sensible))
}

fn sensible((reference, parts, part): (u16, u8, u8)) -> Option<PartIn> {
    let makes_sense = (2..=HANDSET_PARTS_MAX).contains(&parts) && (1..=parts).contains(&part);
    makes_sense.then_some(PartIn { reference, parts, part })
}

#[cfg(test)]
mod tests {
    use stentor_smpp::tlv::{TlvTag, TlvWriter};

    use super::*;

    const PORTS: [u8; 6] = [5, 4, 0x0B, 0x84, 0x23, 0xF0];

    fn part(reference: u16, parts: u8, part: u8) -> Option<PartIn> {
        Some(PartIn { reference, parts, part })
    }

    fn by_header(user_data: &[u8]) -> (Vec<u8>, &[u8], Option<PartIn>) {
        read(EsmClass::UDHI, user_data, Tlvs::default())
    }

    fn sar(reference: u16, parts: u8, number: u8) -> Option<PartIn> {
        let mut tlvs = Vec::new();
        let mut writer = TlvWriter::new(&mut tlvs);
        writer.u16(TlvTag::SAR_MSG_REF_NUM, reference).u8(TlvTag::SAR_TOTAL_SEGMENTS, parts);
        writer.u8(TlvTag::SAR_SEGMENT_SEQNUM, number);
        let (header, text, part) = read(EsmClass::DEFAULT, b"\x05\x00\x03", Tlvs::new(&tlvs));
        assert_eq!((header.as_slice(), text), (&[][..], &b"\x05\x00\x03"[..]), "no header is announced");
        part
    }

    #[test]
    fn parts_are_numbered_by_8_or_16_bits_or_by_parameters() {
        assert_eq!(by_header(b"\x05\x00\x03\x07\x02\x01hi"), (vec![], &b"hi"[..], part(7, 2, 1)));
        assert_eq!(by_header(b"\x06\x08\x04\x01\x02\x03\x03hi"), (vec![], &b"hi"[..], part(0x102, 3, 3)));
        let with_ports = [&[11, 0, 3, 7, 2, 2], &PORTS[..], b"hi"].concat();
        assert_eq!(by_header(&with_ports), (PORTS.to_vec(), &b"hi"[..], part(7, 2, 2)), "others stay");
        assert_eq!(
            [sar(0x102, 2, 2), sar(1, HANDSET_PARTS_MAX, 1)],
            [part(0x102, 2, 2), part(1, HANDSET_PARTS_MAX, 1)]
        );
    }

    #[test]
    fn a_numbering_that_makes_no_sense_is_none() {
        for (parts, number) in [(0, 0), (0, 1), (2, 0), (2, 3), (1, 1), (255, 1), (HANDSET_PARTS_MAX + 1, 1)] {
            let user_data = [5, 0, 3, 7, parts, number, b'h', b'i'];
            let expected = (vec![0, 3, 7, parts, number], &b"hi"[..], None);
            assert_eq!(by_header(&user_data), expected, "part {number} of {parts}");
            assert_eq!(sar(7, parts, number), None, "part {number} of {parts}");
        }
        let some_are_missing = [2, 0x0E, 0, 1, 2, 2, 0x0F, 0, 1, 1];
        assert_eq!(read(EsmClass::DEFAULT, b"hi", Tlvs::new(&some_are_missing)).2, None);
    }

    #[test]
    fn a_header_that_is_not_whole_is_text() {
        assert_eq!(by_header(b"\x09\x00\x03\x07\x02\x01hi"), (vec![], &b"\x09\x00\x03\x07\x02\x01hi"[..], None));
        assert_eq!(by_header(b""), (vec![], &b""[..], None));
        assert_eq!(by_header(b"\x05\x00\x03\x07\x02\x01"), (vec![], &b""[..], part(7, 2, 1)), "without any text");
        let not_announced = read(EsmClass::DEFAULT, b"\x05\x00\x03\x07\x02\x01hi", Tlvs::default());
        assert_eq!(not_announced, (vec![], &b"\x05\x00\x03\x07\x02\x01hi"[..], None));
    }
}
