//! Reads a frame into borrowed fields, and tolerates deviations that leave the meaning certain.
//!
//! Knows the layouts of SMPP 3.4 §4 and how real peers deviate from them. Refuses to judge values. Whatever is wrong with
//! a body, the header is returned with its sequence number and command id, so that the PDU can be answered.
//!
//! Tolerated, and noted in [`Quirks`]: a last string without its NUL, strings over their limit, bytes after the last
//! field. Refused: a PDU that ends before its last mandatory field, and an `sm_length` that contradicts the body, unless
//! the text up to `sm_length` is a receipt with a state.
//! Optional parameters are not read here; a broken one causes an error only when it is read.

use super::field::Field;
use super::framer::Frame;
use super::pdu::{
    Address, AlertNotification, Bind, BindMode, BindResp, CommandId, DataSm, EsmClass, Header, MessageResp, Outbind,
    Pdu, QuerySm, QuerySmResp, ShortMessage,
};
use super::receipt::Receipt;
use super::status::CommandStatus;
use super::tlv::{TlvError, TlvTag, Tlvs};
use std::fmt;

/// The deviations that were tolerated in one PDU, as a set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks(u8);

impl Quirks {
    /// The PDU follows the specification.
    pub const NONE: Quirks = Quirks(0);
    /// The last string ends with the PDU, without a NUL.
    pub const MISSING_NUL: Quirks = Quirks(1);
    /// A string or short_message is longer than the protocol allows.
    pub const OVERLONG: Quirks = Quirks(2);
    /// Bytes follow after the last field.
    pub const TRAILING: Quirks = Quirks(4);

    /// True if every deviation in `other` is also in `self`.
    pub const fn contains(self, other: Quirks) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if there was no deviation.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn add(&mut self, other: Quirks) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named =
            [(Quirks::MISSING_NUL, "MISSING_NUL"), (Quirks::OVERLONG, "OVERLONG"), (Quirks::TRAILING, "TRAILING")];
        f.debug_set().entries(named.iter().filter(|(quirk, _)| self.contains(*quirk)).map(|(_, name)| name)).finish()
    }
}

/// A PDU that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The header as received.
    pub header: Header,
    /// The fields of the body.
    pub pdu: Pdu<'a>,
    /// The deviations that were tolerated.
    pub quirks: Quirks,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeReason {
    /// The PDU ends before or within this field.
    Truncated(Field),
    /// `sm_length` is larger than the rest of the PDU, or the bytes after it are not optional parameters.
    ShortMessageLength {
        /// The value of `sm_length`.
        promised: u8,
        /// Bytes from short_message to the end of the PDU.
        present: usize,
    },
}

/// A PDU that could not be read. The stream is still usable: the next PDU can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The header as received; a response needs its sequence number.
    pub header: Header,
    /// What is wrong with the body.
    pub reason: DecodeReason,
}

impl DecodeError {
    /// The status for a response that refuses the PDU.
    pub const fn status(&self) -> CommandStatus {
        match self.reason {
            DecodeReason::Truncated(field) => field.refusal(),
            DecodeReason::ShortMessageLength { .. } => CommandStatus::RINVMSGLEN,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { command_id, sequence_number, .. } = self.header;
        write!(f, "{command_id} {sequence_number}: ")?;
        match self.reason {
            DecodeReason::Truncated(field) => write!(f, "ends within {field}"),
            DecodeReason::ShortMessageLength { promised, present } => {
                write!(f, "sm_length {promised} disagrees with the {present} bytes behind it")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads one frame.
pub fn decode<'a>(frame: &Frame<'a>) -> Result<Decoded<'a>, DecodeError> {
    let mut reader = Reader { rest: frame.body, quirks: Quirks::NONE };
    match reader.pdu(&frame.header) {
        Ok(pdu) => Ok(Decoded { header: frame.header, pdu, quirks: reader.quirks }),
        Err(reason) => Err(DecodeError { header: frame.header, reason }),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    quirks: Quirks,
}

impl<'a> Reader<'a> {
    fn pdu(&mut self, header: &Header) -> Result<Pdu<'a>, DecodeReason> {
        let pdu = match header.command_id {
            CommandId::SUBMIT_SM => return self.short_message().map(Pdu::SubmitSm),
            CommandId::DELIVER_SM => return self.short_message().map(Pdu::DeliverSm),
            CommandId::SUBMIT_SM_RESP => return Ok(Pdu::SubmitSmResp(self.message_resp(header))),
            CommandId::DELIVER_SM_RESP => return Ok(Pdu::DeliverSmResp(self.message_resp(header))),
            CommandId::DATA_SM_RESP => return Ok(Pdu::DataSmResp(self.message_resp(header))),
            CommandId::DATA_SM => return self.data_sm().map(Pdu::DataSm),
            CommandId::BIND_RECEIVER => Pdu::Bind(BindMode::Receiver, self.bind()?),
            CommandId::BIND_TRANSMITTER => Pdu::Bind(BindMode::Transmitter, self.bind()?),
            CommandId::BIND_TRANSCEIVER => Pdu::Bind(BindMode::Transceiver, self.bind()?),
            CommandId::BIND_RECEIVER_RESP => return Ok(Pdu::BindResp(BindMode::Receiver, self.bind_resp(header))),
            CommandId::BIND_TRANSMITTER_RESP => {
                return Ok(Pdu::BindResp(BindMode::Transmitter, self.bind_resp(header)));
            }
            CommandId::BIND_TRANSCEIVER_RESP => {
                return Ok(Pdu::BindResp(BindMode::Transceiver, self.bind_resp(header)));
            }
            CommandId::OUTBIND => Pdu::Outbind(Outbind {
                system_id: self.string(Field::SystemId)?,
                password: self.last_string(Field::Password),
            }),
            CommandId::QUERY_SM => Pdu::QuerySm(QuerySm {
                message_id: self.string(Field::MessageId)?,
                source: self.address([Field::SourceTon, Field::SourceNpi, Field::SourceAddr])?,
            }),
            CommandId::QUERY_SM_RESP => Pdu::QuerySmResp(self.query_resp(header)?),
            CommandId::ALERT_NOTIFICATION => {
                return Ok(Pdu::AlertNotification(AlertNotification {
                    source: self.address([Field::SourceTon, Field::SourceNpi, Field::SourceAddr])?,
                    esme: self.address([Field::EsmeTon, Field::EsmeNpi, Field::EsmeAddr])?,
                    tlvs: self.tlvs(),
                }));
            }
            CommandId::ENQUIRE_LINK => Pdu::EnquireLink,
            CommandId::ENQUIRE_LINK_RESP => Pdu::EnquireLinkResp,
            CommandId::UNBIND => Pdu::Unbind,
            CommandId::UNBIND_RESP => Pdu::UnbindResp,
            CommandId::GENERIC_NACK => Pdu::GenericNack,
            id => return Ok(Pdu::Unknown { id, body: self.rest }),
        };
        if !self.rest.is_empty() {
            self.quirks.add(Quirks::TRAILING);
        }
        Ok(pdu)
    }

    fn short_message(&mut self) -> Result<ShortMessage<'a>, DecodeReason> {
        let service_type = self.string(Field::ServiceType)?;
        let source = self.address([Field::SourceTon, Field::SourceNpi, Field::SourceAddr])?;
        let destination = self.address([Field::DestTon, Field::DestNpi, Field::DestinationAddr])?;
        let esm_class = EsmClass(self.byte(Field::EsmClass)?);
        Ok(ShortMessage {
            service_type,
            source,
            destination,
            esm_class,
            protocol_id: self.byte(Field::ProtocolId)?,
            priority_flag: self.byte(Field::PriorityFlag)?,
            schedule_delivery_time: self.string(Field::ScheduleDeliveryTime)?,
            validity_period: self.string(Field::ValidityPeriod)?,
            registered_delivery: self.byte(Field::RegisteredDelivery)?,
            replace_if_present_flag: self.byte(Field::ReplaceIfPresentFlag)?,
            data_coding: self.byte(Field::DataCoding)?,
            sm_default_msg_id: self.byte(Field::SmDefaultMsgId)?,
            short_message: self.user_data(esm_class)?,
            tlvs: self.tlvs(),
        })
    }

    fn user_data(&mut self, esm_class: EsmClass) -> Result<&'a [u8], DecodeReason> {
        let promised = self.byte(Field::SmLength)?;
        let present = self.rest.len();
        let disagrees = DecodeReason::ShortMessageLength { promised, present };
        let (user_data, rest) = self.rest.split_at_checked(usize::from(promised)).ok_or(disagrees)?;
        if user_data.len() > Field::ShortMessage.bytes_max() {
            self.quirks.add(Quirks::OVERLONG);
        }
        self.rest = rest;
        match Tlvs::new(rest).iter().next() {
            _ if !rest.is_empty() && rest.iter().all(|byte| *byte == 0) => {
                self.quirks.add(Quirks::TRAILING);
                self.rest = &[];
                Ok(user_data)
            }
            None | Some(Ok(_)) => Ok(user_data),
            Some(Err(error)) if is_broken_parameter(&error) => Ok(user_data),
            // A receipt's text that contains a state is complete, whatever follows it.
            Some(Err(_)) if esm_class.is_receipt() && Receipt::parse_text(user_data).state.is_some() => {
                self.quirks.add(Quirks::TRAILING);
                Ok(user_data)
            }
            Some(Err(_)) => Err(disagrees),
        }
    }

    fn data_sm(&mut self) -> Result<DataSm<'a>, DecodeReason> {
        Ok(DataSm {
            service_type: self.string(Field::ServiceType)?,
            source: self.address([Field::SourceTon, Field::SourceNpi, Field::SourceAddr])?,
            destination: self.address([Field::DestTon, Field::DestNpi, Field::DestinationAddr])?,
            esm_class: EsmClass(self.byte(Field::EsmClass)?),
            registered_delivery: self.byte(Field::RegisteredDelivery)?,
            data_coding: self.byte(Field::DataCoding)?,
            tlvs: self.tlvs(),
        })
    }

    fn bind(&mut self) -> Result<Bind<'a>, DecodeReason> {
        Ok(Bind {
            system_id: self.string(Field::SystemId)?,
            password: self.string(Field::Password)?,
            system_type: self.string(Field::SystemType)?,
            interface_version: self.byte(Field::InterfaceVersion)?,
            addr_ton: self.byte(Field::AddrTon)?,
            addr_npi: self.byte(Field::AddrNpi)?,
            address_range: self.last_string(Field::AddressRange),
        })
    }

    fn bind_resp(&mut self, header: &Header) -> BindResp<'a> {
        BindResp { system_id: self.string_of_response(Field::SystemId, header), tlvs: self.tlvs() }
    }

    fn message_resp(&mut self, header: &Header) -> MessageResp<'a> {
        MessageResp { message_id: self.string_of_response(Field::MessageId, header), tlvs: self.tlvs() }
    }

    fn query_resp(&mut self, header: &Header) -> Result<QuerySmResp<'a>, DecodeReason> {
        if self.rest.is_empty() && !header.command_status.is_ok() {
            return Ok(QuerySmResp::default());
        }
        Ok(QuerySmResp {
            message_id: self.string(Field::MessageId)?,
            final_date: self.string(Field::FinalDate)?,
            message_state: self.byte(Field::MessageState)?,
            error_code: self.byte(Field::ErrorCode)?,
        })
    }

    fn address(&mut self, [ton, npi, digits]: [Field; 3]) -> Result<Address<'a>, DecodeReason> {
        Ok(Address { ton: self.byte(ton)?, npi: self.byte(npi)?, digits: self.string(digits)? })
    }

    fn byte(&mut self, field: Field) -> Result<u8, DecodeReason> {
        let (byte, rest) = self.rest.split_first().ok_or(DecodeReason::Truncated(field))?;
        self.rest = rest;
        Ok(*byte)
    }

    /// A string that is not the last field. Without a NUL it extends to the end of the PDU, and the next field is missing.
    fn string(&mut self, field: Field) -> Result<&'a [u8], DecodeReason> {
        if self.rest.is_empty() {
            return Err(DecodeReason::Truncated(field));
        }
        Ok(self.last_string(field))
    }

    /// A string that may be the last field: it may end with the PDU instead of a NUL.
    fn last_string(&mut self, field: Field) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        match rest.split_first() {
            Some((_, behind_nul)) => self.rest = behind_nul,
            None => {
                self.quirks.add(Quirks::MISSING_NUL);
                self.rest = rest;
            }
        }
        if text.len() > field.bytes_max() {
            self.quirks.add(Quirks::OVERLONG);
        }
        text
    }

    /// The only string of a response. It may be absent in a refusal, and is unused in deliver_sm_resp.
    fn string_of_response(&mut self, field: Field, header: &Header) -> &'a [u8] {
        if self.rest.is_empty() && !header.command_status.is_ok() { &[] } else { self.last_string(field) }
    }

    fn tlvs(&mut self) -> Tlvs<'a> {
        Tlvs::new(std::mem::take(&mut self.rest))
    }
}

/// True if the bytes after short_message are a broken optional parameter rather than text beyond `sm_length`: they begin
/// with a known tag and a length that is valid for it. message_payload does not count, since a PDU with a short_message
/// cannot have one.
fn is_broken_parameter(error: &TlvError<'_>) -> bool {
    match error {
        TlvError::Garbage(_) => false,
        TlvError::Truncated { tag, promised, .. } => {
            tag.name().is_some() && *tag != TlvTag::MESSAGE_PAYLOAD && tag.fits(usize::from(*promised))
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
