//! Reads a frame into borrowed fields, forgiving whatever leaves the meaning certain.
//!
//! Knows the layouts of SMPP 3.4 §4 and the ways in which real peers miss them. Refuses to judge values, and to lose
//! the header: whatever is wrong with a body, sequence number and command id survive, so that it can be answered.
//!
//! Forgiven, and noted in [`Quirks`]: a last string without its NUL, strings over their limit, bytes behind the last
//! field. Refused: a PDU that ends before its last mandatory field, and an `sm_length` that disagrees with the body, unless the
//! text up to there is a receipt that says how its message ended.
//! Optional parameters are not read here at all; each fails alone when it is asked for.

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

/// What was forgiven in one PDU, as a set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks(u8);

impl Quirks {
    /// To the letter.
    pub const NONE: Quirks = Quirks(0);
    /// The last string ended with the PDU, not with a NUL.
    pub const MISSING_NUL: Quirks = Quirks(1);
    /// A string or short_message is longer than the protocol allows.
    pub const OVERLONG: Quirks = Quirks(2);
    /// Bytes follow where nothing should.
    pub const TRAILING: Quirks = Quirks(4);

    /// True if all of `other` are in it.
    pub const fn contains(self, other: Quirks) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if nothing had to be forgiven.
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
    /// As it stood.
    pub header: Header,
    /// The fields.
    pub pdu: Pdu<'a>,
    /// What was forgiven.
    pub quirks: Quirks,
}

/// Why a body makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeReason {
    /// The PDU ends before or within this field.
    Truncated(Field),
    /// `sm_length` leaves bytes that are no optional parameters, or promises more than there are.
    ShortMessageLength {
        /// `sm_length`.
        promised: u8,
        /// Bytes from short_message to the end of the PDU.
        present: usize,
    },
}

/// A PDU that could not be read. The stream is sound: the next PDU can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// As it stood; its sequence number is what an answer needs.
    pub header: Header,
    /// What is wrong.
    pub reason: DecodeReason,
}

impl DecodeError {
    /// The status that a response should carry.
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
                write!(f, "sm_length {promised} disagrees with the {present} octets behind it")
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
        let esm_class = EsmClass(self.octet(Field::EsmClass)?);
        Ok(ShortMessage {
            service_type,
            source,
            destination,
            esm_class,
            protocol_id: self.octet(Field::ProtocolId)?,
            priority_flag: self.octet(Field::PriorityFlag)?,
            schedule_delivery_time: self.string(Field::ScheduleDeliveryTime)?,
            validity_period: self.string(Field::ValidityPeriod)?,
            registered_delivery: self.octet(Field::RegisteredDelivery)?,
            replace_if_present_flag: self.octet(Field::ReplaceIfPresentFlag)?,
            data_coding: self.octet(Field::DataCoding)?,
            sm_default_msg_id: self.octet(Field::SmDefaultMsgId)?,
            short_message: self.user_data(esm_class)?,
            tlvs: self.tlvs(),
        })
    }

    fn user_data(&mut self, esm_class: EsmClass) -> Result<&'a [u8], DecodeReason> {
        let promised = self.octet(Field::SmLength)?;
        let present = self.rest.len();
        let disagrees = DecodeReason::ShortMessageLength { promised, present };
        let (user_data, rest) = self.rest.split_at_checked(usize::from(promised)).ok_or(disagrees)?;
        if user_data.len() > Field::ShortMessage.octets_max() {
            self.quirks.add(Quirks::OVERLONG);
        }
        self.rest = rest;
        match Tlvs::new(rest).iter().next() {
            _ if !rest.is_empty() && rest.iter().all(|octet| *octet == 0) => {
                self.quirks.add(Quirks::TRAILING);
                self.rest = &[];
                Ok(user_data)
            }
            None | Some(Ok(_)) => Ok(user_data),
            Some(Err(error)) if is_broken_parameter(&error) => Ok(user_data),
            // A text that says how a message ended is whole, whatever stands behind it.
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
            esm_class: EsmClass(self.octet(Field::EsmClass)?),
            registered_delivery: self.octet(Field::RegisteredDelivery)?,
            data_coding: self.octet(Field::DataCoding)?,
            tlvs: self.tlvs(),
        })
    }

    fn bind(&mut self) -> Result<Bind<'a>, DecodeReason> {
        Ok(Bind {
            system_id: self.string(Field::SystemId)?,
            password: self.string(Field::Password)?,
            system_type: self.string(Field::SystemType)?,
            interface_version: self.octet(Field::InterfaceVersion)?,
            addr_ton: self.octet(Field::AddrTon)?,
            addr_npi: self.octet(Field::AddrNpi)?,
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
            message_state: self.octet(Field::MessageState)?,
            error_code: self.octet(Field::ErrorCode)?,
        })
    }

    fn address(&mut self, [ton, npi, digits]: [Field; 3]) -> Result<Address<'a>, DecodeReason> {
        Ok(Address { ton: self.octet(ton)?, npi: self.octet(npi)?, digits: self.string(digits)? })
    }

    fn octet(&mut self, field: Field) -> Result<u8, DecodeReason> {
        let (octet, rest) = self.rest.split_first().ok_or(DecodeReason::Truncated(field))?;
        self.rest = rest;
        Ok(*octet)
    }

    /// A string with something behind it. Without a NUL it runs to the end of the PDU, and the next field is missing.
    fn string(&mut self, field: Field) -> Result<&'a [u8], DecodeReason> {
        if self.rest.is_empty() {
            return Err(DecodeReason::Truncated(field));
        }
        Ok(self.last_string(field))
    }

    /// A string that may be the last field: the end of the PDU ends it too.
    fn last_string(&mut self, field: Field) -> &'a [u8] {
        let end = self.rest.iter().position(|octet| *octet == 0);
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        match rest.split_first() {
            Some((_, behind_nul)) => self.rest = behind_nul,
            None => {
                self.quirks.add(Quirks::MISSING_NUL);
                self.rest = rest;
            }
        }
        if text.len() > field.octets_max() {
            self.quirks.add(Quirks::OVERLONG);
        }
        text
    }

    /// The one string of a response. Refusals leave it out by right; deliver_sm_resp has no use for it.
    fn string_of_response(&mut self, field: Field, header: &Header) -> &'a [u8] {
        if self.rest.is_empty() && !header.command_status.is_ok() { &[] } else { self.last_string(field) }
    }

    fn tlvs(&mut self) -> Tlvs<'a> {
        Tlvs::new(std::mem::take(&mut self.rest))
    }
}

/// True if bytes behind short_message are an optional parameter gone wrong rather than text that `sm_length` left out:
/// a tag that we know with a length that it could have. message_payload cannot stand beside a short_message.
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
