//! Optional parameters (TLVs): tag, length, value.
//!
//! Knows the tags of SMPP 3.4 that have a name here, and the lengths of their values. Reads lazily: a parameter is read when
//! it is asked for, and a broken one affects only itself. Refuses to know what a value means for a message.

use std::fmt;

/// Tag of an optional parameter. Any u16 is representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TlvTag(pub u16);

/// The lengths that the value of a known tag may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Exactly(u16),
    UpTo(u16),
}

macro_rules! tags {
    ($($name:ident = $tag:literal, $text:literal, $shape:expr;)*) => {
        impl TlvTag {
            $(pub const $name: TlvTag = TlvTag($tag);)*

            /// The name in the specification; `None` for a tag that is reserved or a carrier's own.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($tag => Some($text),)*
                    _ => None,
                }
            }

            const fn shape(self) -> Option<Shape> {
                match self.0 {
                    $($tag => Some($shape),)*
                    _ => None,
                }
            }
        }
    };
}

tags! {
    DEST_ADDR_SUBUNIT = 0x0005, "dest_addr_subunit", Shape::Exactly(1);
    DEST_NETWORK_TYPE = 0x0006, "dest_network_type", Shape::Exactly(1);
    DEST_BEARER_TYPE = 0x0007, "dest_bearer_type", Shape::Exactly(1);
    DEST_TELEMATICS_ID = 0x0008, "dest_telematics_id", Shape::Exactly(2);
    SOURCE_ADDR_SUBUNIT = 0x000D, "source_addr_subunit", Shape::Exactly(1);
    SOURCE_NETWORK_TYPE = 0x000E, "source_network_type", Shape::Exactly(1);
    SOURCE_BEARER_TYPE = 0x000F, "source_bearer_type", Shape::Exactly(1);
    SOURCE_TELEMATICS_ID = 0x0010, "source_telematics_id", Shape::Exactly(1);
    QOS_TIME_TO_LIVE = 0x0017, "qos_time_to_live", Shape::Exactly(4);
    PAYLOAD_TYPE = 0x0019, "payload_type", Shape::Exactly(1);
    ADDITIONAL_STATUS_INFO_TEXT = 0x001D, "additional_status_info_text", Shape::UpTo(256);
    RECEIPTED_MESSAGE_ID = 0x001E, "receipted_message_id", Shape::UpTo(65);
    MS_MSG_WAIT_FACILITIES = 0x0030, "ms_msg_wait_facilities", Shape::Exactly(1);
    PRIVACY_INDICATOR = 0x0201, "privacy_indicator", Shape::Exactly(1);
    SOURCE_SUBADDRESS = 0x0202, "source_subaddress", Shape::UpTo(23);
    DEST_SUBADDRESS = 0x0203, "dest_subaddress", Shape::UpTo(23);
    USER_MESSAGE_REFERENCE = 0x0204, "user_message_reference", Shape::Exactly(2);
    USER_RESPONSE_CODE = 0x0205, "user_response_code", Shape::Exactly(1);
    SOURCE_PORT = 0x020A, "source_port", Shape::Exactly(2);
    DESTINATION_PORT = 0x020B, "destination_port", Shape::Exactly(2);
    SAR_MSG_REF_NUM = 0x020C, "sar_msg_ref_num", Shape::Exactly(2);
    LANGUAGE_INDICATOR = 0x020D, "language_indicator", Shape::Exactly(1);
    SAR_TOTAL_SEGMENTS = 0x020E, "sar_total_segments", Shape::Exactly(1);
    SAR_SEGMENT_SEQNUM = 0x020F, "sar_segment_seqnum", Shape::Exactly(1);
    SC_INTERFACE_VERSION = 0x0210, "sc_interface_version", Shape::Exactly(1);
    CALLBACK_NUM_PRES_IND = 0x0302, "callback_num_pres_ind", Shape::Exactly(1);
    CALLBACK_NUM_ATAG = 0x0303, "callback_num_atag", Shape::UpTo(65);
    NUMBER_OF_MESSAGES = 0x0304, "number_of_messages", Shape::Exactly(1);
    CALLBACK_NUM = 0x0381, "callback_num", Shape::UpTo(19);
    DPF_RESULT = 0x0420, "dpf_result", Shape::Exactly(1);
    SET_DPF = 0x0421, "set_dpf", Shape::Exactly(1);
    MS_AVAILABILITY_STATUS = 0x0422, "ms_availability_status", Shape::Exactly(1);
    NETWORK_ERROR_CODE = 0x0423, "network_error_code", Shape::Exactly(3);
    MESSAGE_PAYLOAD = 0x0424, "message_payload", Shape::UpTo(u16::MAX);
    DELIVERY_FAILURE_REASON = 0x0425, "delivery_failure_reason", Shape::Exactly(1);
    MORE_MESSAGES_TO_SEND = 0x0426, "more_messages_to_send", Shape::Exactly(1);
    MESSAGE_STATE = 0x0427, "message_state", Shape::Exactly(1);
    CONGESTION_STATE = 0x0428, "congestion_state", Shape::Exactly(1);
    USSD_SERVICE_OP = 0x0501, "ussd_service_op", Shape::Exactly(1);
    BILLING_IDENTIFICATION = 0x060B, "billing_identification", Shape::UpTo(1024);
    SOURCE_NETWORK_ID = 0x060D, "source_network_id", Shape::UpTo(65);
    DEST_NETWORK_ID = 0x060E, "dest_network_id", Shape::UpTo(65);
    DISPLAY_TIME = 0x1201, "display_time", Shape::Exactly(1);
    SMS_SIGNAL = 0x1203, "sms_signal", Shape::Exactly(2);
    MS_VALIDITY = 0x1204, "ms_validity", Shape::UpTo(4);
    ALERT_ON_MESSAGE_DELIVERY = 0x130C, "alert_on_message_delivery", Shape::UpTo(1);
    ITS_REPLY_TYPE = 0x1380, "its_reply_type", Shape::Exactly(1);
    ITS_SESSION_INFO = 0x1383, "its_session_info", Shape::Exactly(2);
}

impl TlvTag {
    /// True if the specification allows a value of this many bytes. For a tag without a name, every length is allowed.
    pub const fn fits(self, bytes: usize) -> bool {
        match self.shape() {
            Some(Shape::Exactly(wanted)) => bytes == wanted as usize,
            Some(Shape::UpTo(most)) => bytes <= most as usize,
            None => bytes <= u16::MAX as usize,
        }
    }
}

impl fmt::Debug for TlvTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TlvTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:04X}", self.0),
        }
    }
}

/// One optional parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Kind of the parameter.
    pub tag: TlvTag,
    /// The bytes of the value, including the NUL of a C string if the peer sent one.
    pub value: &'a [u8],
}

/// A parameter that extends past the end of its PDU. No other can follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlvError<'a> {
    /// Fewer than four bytes are left, too few for a tag and a length.
    Garbage(&'a [u8]),
    /// The length is larger than the rest of the PDU.
    Truncated {
        /// The parameter's tag.
        tag: TlvTag,
        /// The length given by the parameter.
        promised: u16,
        /// The bytes that are present.
        present: &'a [u8],
    },
}

/// The optional parameters of one PDU, as bytes. Each look-up searches them from the beginning; there are rarely more than
/// four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Tlvs<'a> {
    /// No parameters.
    pub const EMPTY: Tlvs<'static> = Tlvs(&[]);

    /// Parameters as raw bytes: the rest of a PDU, or the output of a [`TlvWriter`].
    pub const fn new(bytes: &'a [u8]) -> Self {
        Tlvs(bytes)
    }

    /// The bytes as in the PDU.
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Each parameter in order; a broken one is the last.
    pub const fn iter(self) -> TlvIter<'a> {
        TlvIter { rest: self.0 }
    }

    /// The value of the first complete parameter with this tag.
    pub fn find(self, tag: TlvTag) -> Option<&'a [u8]> {
        self.iter().flatten().find(|tlv| tlv.tag == tag).map(|tlv| tlv.value)
    }

    /// As [`Tlvs::find`], but also accepts a value that is shorter than its length says, at the end of the PDU: some peers count
    /// a NUL that they do not send.
    fn find_string(self, tag: TlvTag) -> Option<&'a [u8]> {
        self.iter().find_map(|tlv| match tlv {
            Ok(tlv) if tlv.tag == tag => Some(tlv.value),
            Err(TlvError::Truncated { tag: found, promised, present })
                if found == tag && present.len() + 1 == usize::from(promised) =>
            {
                Some(present)
            }
            Ok(_) | Err(_) => None,
        })
    }

    /// An unsigned number of one to four bytes, big endian. A length that the tag does not allow is tolerated.
    pub fn number(self, tag: TlvTag) -> Option<u32> {
        let value = self.find(tag)?;
        if value.is_empty() || value.len() > 4 {
            return None;
        }
        Some(value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// receipted_message_id up to its NUL, which may be missing; `None` if absent or empty.
    pub fn receipted_message_id(self) -> Option<&'a [u8]> {
        let value = self.find_string(TlvTag::RECEIPTED_MESSAGE_ID)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        value.get(..end).filter(|id| !id.is_empty())
    }

    /// user_message_reference; `None` if absent or of another length.
    pub fn user_message_reference(self) -> Option<u16> {
        self.number(TlvTag::USER_MESSAGE_REFERENCE).and_then(|number| u16::try_from(number).ok())
    }

    /// Reference, number of parts and number of this part, from the `sar_` parameters; `None` unless all three are present.
    pub fn segmentation(self) -> Option<(u16, u8, u8)> {
        let [reference, parts, part] =
            [TlvTag::SAR_MSG_REF_NUM, TlvTag::SAR_TOTAL_SEGMENTS, TlvTag::SAR_SEGMENT_SEQNUM]
                .map(|tag| self.number(tag));
        Some((u16::try_from(reference?).ok()?, u8::try_from(parts?).ok()?, u8::try_from(part?).ok()?))
    }

    /// message_payload.
    pub fn message_payload(self) -> Option<&'a [u8]> {
        self.find(TlvTag::MESSAGE_PAYLOAD)
    }

    /// message_state as sent: 1 ENROUTE … 8 REJECTED.
    pub fn message_state(self) -> Option<u8> {
        self.number(TlvTag::MESSAGE_STATE).and_then(|state| u8::try_from(state).ok())
    }

    /// The three bytes of network_error_code: either a network and its error code, or the three ASCII digits that some peers
    /// send (`receipt` distinguishes them). A NUL after them is tolerated; `None` for any other length.
    pub fn network_error_code(self) -> Option<[u8; 3]> {
        let value = self.find_string(TlvTag::NETWORK_ERROR_CODE)?;
        match value {
            [first, second, third] | [first, second, third, 0] => Some([*first, *second, *third]),
            _ => None,
        }
    }
}

impl<'a> IntoIterator for Tlvs<'a> {
    type Item = Result<Tlv<'a>, TlvError<'a>>;
    type IntoIter = TlvIter<'a>;

    fn into_iter(self) -> TlvIter<'a> {
        self.iter()
    }
}

/// Iterator over optional parameters. Each step consumes at least four bytes or is the last.
#[derive(Clone, Debug)]
pub struct TlvIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TlvIter<'a> {
    type Item = Result<Tlv<'a>, TlvError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let Some((&[tag_high, tag_low, length_high, length_low], after)) = rest.split_first_chunk::<4>() else {
            return Some(Err(TlvError::Garbage(rest)));
        };
        let tag = TlvTag(u16::from_be_bytes([tag_high, tag_low]));
        let promised = u16::from_be_bytes([length_high, length_low]);
        match after.split_at_checked(usize::from(promised)) {
            Some((value, rest)) => {
                self.rest = rest;
                Some(Ok(Tlv { tag, value }))
            }
            None => Some(Err(TlvError::Truncated { tag, promised, present: after })),
        }
    }
}

/// Error: the value has more than 65,535 bytes, the maximum of the length field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvTooLong(pub TlvTag);

/// Appends optional parameters to a buffer of the caller, which can be reused; pass [`Tlvs::new`] of that buffer in a PDU.
/// Whether the tag allows a length is checked when the PDU is encoded.
#[derive(Debug)]
pub struct TlvWriter<'v> {
    out: &'v mut Vec<u8>,
}

impl<'v> TlvWriter<'v> {
    /// A writer that appends to `out`.
    pub const fn new(out: &'v mut Vec<u8>) -> Self {
        TlvWriter { out }
    }

    /// Appends raw bytes. Writes nothing if there are too many.
    pub fn bytes(&mut self, tag: TlvTag, value: &[u8]) -> Result<&mut Self, TlvTooLong> {
        let length = u16::try_from(value.len()).map_err(|_| TlvTooLong(tag))?;
        self.out.extend_from_slice(&tag.0.to_be_bytes());
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(value);
        Ok(self)
    }

    /// Appends a C string; the NUL is added. Writes nothing if it is too long.
    pub fn c_string(&mut self, tag: TlvTag, value: &[u8]) -> Result<&mut Self, TlvTooLong> {
        let length = u16::try_from(value.len() + 1).map_err(|_| TlvTooLong(tag))?;
        self.out.extend_from_slice(&tag.0.to_be_bytes());
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(value);
        self.out.push(0);
        Ok(self)
    }

    /// Appends a value of one byte.
    pub fn u8(&mut self, tag: TlvTag, value: u8) -> &mut Self {
        let [high, low] = tag.0.to_be_bytes();
        self.out.extend_from_slice(&[high, low, 0, 1, value]);
        self
    }

    /// Appends a value of two bytes, big endian.
    pub fn u16(&mut self, tag: TlvTag, value: u16) -> &mut Self {
        let [high, low] = tag.0.to_be_bytes();
        let [first, second] = value.to_be_bytes();
        self.out.extend_from_slice(&[high, low, 0, 2, first, second]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_id(bytes: &[u8], wanted: Option<&[u8]>) {
        assert_eq!(Tlvs::new(bytes).receipted_message_id(), wanted);
    }

    #[test]
    fn a_receipted_message_id_is_read_with_and_without_its_nul() {
        check_id(b"\x00\x1E\x00\x04abc\x00", Some(b"abc"));
        check_id(b"\x00\x1E\x00\x03abc", Some(b"abc"));
        check_id(b"\x00\x1E\x00\x06abc\x00\x00\x00", Some(b"abc"));
        check_id(b"\x00\x1E\x00\x04abc", Some(b"abc"));
        check_id(b"\x00\x1E\x00\x09abc", None);
        check_id(b"\x00\x1E\x00\x01\x00", None);
        check_id(b"\x00\x1E\x00\x00", None);
        check_id(b"", None);
    }

    fn check_error(value: &[u8], wanted: Option<[u8; 3]>) {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes).bytes(TlvTag::NETWORK_ERROR_CODE, value).unwrap();
        assert_eq!(Tlvs::new(&bytes).network_error_code(), wanted);
    }

    #[test]
    fn network_error_code_in_bytes_or_digits() {
        check_error(&[3, 0x01, 0x02], Some([3, 1, 2]));
        check_error(b"034", Some(*b"034"));
        check_error(b"034\0", Some(*b"034"));
        check_error(&[3, 0], None);
        check_error(b"00034", None);
        check_error(&[], None);
    }

    #[test]
    fn a_broken_parameter_fails_alone_and_ends_the_walk() {
        let bytes = b"\x04\x27\x00\x01\x02\x14\x00\x00\x00\x00\x1E\x00\x20abc";
        let found: Vec<_> = Tlvs::new(bytes).iter().collect();
        assert_eq!(
            found,
            [
                Ok(Tlv { tag: TlvTag::MESSAGE_STATE, value: &[2] }),
                Ok(Tlv { tag: TlvTag(0x1400), value: &[] }),
                Err(TlvError::Truncated { tag: TlvTag::RECEIPTED_MESSAGE_ID, promised: 32, present: b"abc" }),
            ]
        );
        assert_eq!(Tlvs::new(bytes).message_state(), Some(2));
        assert_eq!(Tlvs::new(b"\x04\x27\x00").iter().collect::<Vec<_>>(), [Err(TlvError::Garbage(b"\x04\x27\x00"))]);
    }

    #[test]
    fn numbers_of_another_length_are_forgiven() {
        assert_eq!(Tlvs::new(b"\x02\x0C\x00\x01\x07").number(TlvTag::SAR_MSG_REF_NUM), Some(7));
        assert_eq!(Tlvs::new(b"\x02\x0C\x00\x02\x01\x07").number(TlvTag::SAR_MSG_REF_NUM), Some(0x107));
        assert_eq!(Tlvs::new(b"\x02\x0C\x00\x00").number(TlvTag::SAR_MSG_REF_NUM), None);
        assert_eq!(Tlvs::new(b"\x04\x27\x00\x02\x01\x00").message_state(), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        let mut writer = TlvWriter::new(&mut bytes);
        writer.u16(TlvTag::SAR_MSG_REF_NUM, 0x1234).u8(TlvTag::SAR_TOTAL_SEGMENTS, 3);
        writer.c_string(TlvTag::RECEIPTED_MESSAGE_ID, b"77").unwrap();
        assert_eq!(writer.bytes(TlvTag(1), &[0; 65_536]).err(), Some(TlvTooLong(TlvTag(1))));
        let tlvs = Tlvs::new(&bytes);
        assert_eq!(tlvs.number(TlvTag::SAR_MSG_REF_NUM), Some(0x1234));
        assert_eq!(tlvs.number(TlvTag::SAR_TOTAL_SEGMENTS), Some(3));
        assert_eq!(tlvs.segmentation(), None, "a number is missing");
        assert_eq!(tlvs.receipted_message_id(), Some(&b"77"[..]));
        assert_eq!(tlvs.iter().count(), 3);
    }
}
