//! Writes PDUs strictly as SMPP 3.4 specifies them.
//!
//! Knows the layouts and the limit of every field; a PDU that breaks a limit is not written at all. Refuses to repair
//! fields: the caller should check for numbers that are too long or a NUL within a name before it accepts a message.
//!
//! Appends to the caller's buffer and allocates nothing else. After an error the buffer is unchanged.

use super::field::{BIND_TEXT_BYTES_MAX, Field};
use super::framer::PDU_BYTES_MAX;
use super::pdu::{Address, Bind, CommandId, DataSm, HEADER_BYTES, MessageResp, Pdu, QuerySmResp, ShortMessage};
use super::status::CommandStatus;
use super::time_format::SmppTime;
use super::tlv::{TlvTag, Tlvs};
use std::fmt;

/// Longest address in data_sm, in bytes; in all other PDUs it is 20.
const DATA_ADDRESS_BYTES_MAX: usize = 64;

/// Why a PDU was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The value is longer than its field allows.
    TooLong {
        /// The field.
        field: Field,
        /// Length of the value in bytes.
        bytes: usize,
        /// Longest value in bytes.
        limit: usize,
    },
    /// A string contains a NUL, which would end it early.
    NulWithin(Field),
    /// A time is neither empty nor sixteen bytes of SMPP time.
    NotATime(Field),
    /// The PDU has both a short_message and a message_payload.
    ShortMessageAndPayload,
    /// The length of an optional parameter is not valid for its tag.
    TlvLength {
        /// The parameter's tag.
        tag: TlvTag,
        /// Length of its value in bytes.
        bytes: usize,
    },
    /// The bytes given as optional parameters are cut off within a parameter.
    TlvsBroken,
    /// The PDU is longer than [`PDU_BYTES_MAX`]; this is its length in bytes.
    PduTooLong(usize),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::TooLong { field, bytes, limit } => {
                write!(f, "{field} has {bytes} bytes, at most {limit} fit")
            }
            EncodeError::NulWithin(field) => write!(f, "{field} contains a NUL"),
            EncodeError::NotATime(field) => write!(f, "{field} is not an SMPP time"),
            EncodeError::ShortMessageAndPayload => f.write_str("short_message and message_payload exclude each other"),
            EncodeError::TlvLength { tag, bytes } => write!(f, "{tag} cannot have {bytes} bytes"),
            EncodeError::TlvsBroken => f.write_str("optional parameters are cut off"),
            EncodeError::PduTooLong(bytes) => write!(f, "a PDU of {bytes} bytes is over the limit"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Appends one PDU to `out`.
///
/// A response that refuses (`status` is not zero) and whose fields are empty is written without a body, as SMPP 3.4
/// §4.4.2 requires. For requests, `status` is [`CommandStatus::ROK`].
pub fn encode(out: &mut Vec<u8>, sequence: u32, status: CommandStatus, pdu: &Pdu<'_>) -> Result<(), EncodeError> {
    let start = out.len();
    begin(out, pdu.command_id(), status, sequence);
    let written = Writer { out }.body(pdu, status).and_then(|()| finish(out, start));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends a PDU without a body; cannot fail.
pub fn encode_header(out: &mut Vec<u8>, id: CommandId, status: CommandStatus, sequence: u32) {
    begin(out, id, status, sequence);
}

fn begin(out: &mut Vec<u8>, id: CommandId, status: CommandStatus, sequence: u32) {
    let mut head = [0; HEADER_BYTES];
    head[0..4].copy_from_slice(&(HEADER_BYTES as u32).to_be_bytes());
    head[4..8].copy_from_slice(&id.0.to_be_bytes());
    head[8..12].copy_from_slice(&status.0.to_be_bytes());
    head[12..16].copy_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&head);
}

fn finish(out: &mut [u8], start: usize) -> Result<(), EncodeError> {
    let bytes = out.len() - start;
    match u32::try_from(bytes) {
        Ok(length) if length <= PDU_BYTES_MAX => {
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        Ok(_) | Err(_) => Err(EncodeError::PduTooLong(bytes)),
    }
}

struct Writer<'v> {
    out: &'v mut Vec<u8>,
}

impl Writer<'_> {
    fn body(&mut self, pdu: &Pdu<'_>, status: CommandStatus) -> Result<(), EncodeError> {
        match pdu {
            Pdu::SubmitSm(message) | Pdu::DeliverSm(message) => self.short_message(message),
            Pdu::SubmitSmResp(resp) | Pdu::DeliverSmResp(resp) | Pdu::DataSmResp(resp) => {
                self.message_resp(resp, status)
            }
            Pdu::DataSm(message) => self.data_sm(message),
            Pdu::Bind(_, bind) => self.bind(bind),
            Pdu::BindResp(_, resp) => {
                if status.is_ok() || !resp.system_id.is_empty() || !resp.tlvs.bytes().is_empty() {
                    self.string(Field::SystemId, resp.system_id)?;
                }
                self.tlvs(resp.tlvs)
            }
            Pdu::Outbind(outbind) => {
                self.string(Field::SystemId, outbind.system_id)?;
                self.string(Field::Password, outbind.password)
            }
            Pdu::QuerySm(query) => {
                self.string(Field::MessageId, query.message_id)?;
                self.address(Field::SourceAddr, query.source, Field::SourceAddr.bytes_max())
            }
            Pdu::QuerySmResp(resp) => {
                if !status.is_ok() && *resp == QuerySmResp::default() {
                    return Ok(());
                }
                self.string(Field::MessageId, resp.message_id)?;
                self.time(Field::FinalDate, resp.final_date)?;
                self.out.extend_from_slice(&[resp.message_state, resp.error_code]);
                Ok(())
            }
            Pdu::AlertNotification(alert) => {
                self.address(Field::SourceAddr, alert.source, DATA_ADDRESS_BYTES_MAX)?;
                self.address(Field::EsmeAddr, alert.esme, DATA_ADDRESS_BYTES_MAX)?;
                self.tlvs(alert.tlvs)
            }
            Pdu::Unknown { body, .. } => {
                self.out.extend_from_slice(body);
                Ok(())
            }
            Pdu::EnquireLink | Pdu::EnquireLinkResp | Pdu::Unbind | Pdu::UnbindResp | Pdu::GenericNack => Ok(()),
        }
    }

    fn short_message(&mut self, message: &ShortMessage<'_>) -> Result<(), EncodeError> {
        let bytes = message.short_message.len();
        let limit = Field::ShortMessage.bytes_max();
        let sm_length = u8::try_from(bytes).ok().filter(|length| usize::from(*length) <= limit);
        let sm_length = sm_length.ok_or(EncodeError::TooLong { field: Field::ShortMessage, bytes, limit })?;
        if sm_length > 0 && message.tlvs.message_payload().is_some() {
            return Err(EncodeError::ShortMessageAndPayload);
        }
        self.string(Field::ServiceType, message.service_type)?;
        self.address(Field::SourceAddr, message.source, Field::SourceAddr.bytes_max())?;
        self.address(Field::DestinationAddr, message.destination, Field::DestinationAddr.bytes_max())?;
        self.out.extend_from_slice(&[message.esm_class.0, message.protocol_id, message.priority_flag]);
        self.time(Field::ScheduleDeliveryTime, message.schedule_delivery_time)?;
        self.time(Field::ValidityPeriod, message.validity_period)?;
        self.out.extend_from_slice(&[
            message.registered_delivery,
            message.replace_if_present_flag,
            message.data_coding,
            message.sm_default_msg_id,
            sm_length,
        ]);
        self.out.extend_from_slice(message.short_message);
        self.tlvs(message.tlvs)
    }

    fn data_sm(&mut self, message: &DataSm<'_>) -> Result<(), EncodeError> {
        self.string(Field::ServiceType, message.service_type)?;
        self.address(Field::SourceAddr, message.source, DATA_ADDRESS_BYTES_MAX)?;
        self.address(Field::DestinationAddr, message.destination, DATA_ADDRESS_BYTES_MAX)?;
        self.out.extend_from_slice(&[message.esm_class.0, message.registered_delivery, message.data_coding]);
        self.tlvs(message.tlvs)
    }

    fn message_resp(&mut self, resp: &MessageResp<'_>, status: CommandStatus) -> Result<(), EncodeError> {
        if status.is_ok() || !resp.message_id.is_empty() || !resp.tlvs.bytes().is_empty() {
            self.string(Field::MessageId, resp.message_id)?;
        }
        self.tlvs(resp.tlvs)
    }

    fn bind(&mut self, bind: &Bind<'_>) -> Result<(), EncodeError> {
        self.string_up_to(Field::SystemId, bind.system_id, BIND_TEXT_BYTES_MAX)?;
        self.string_up_to(Field::Password, bind.password, BIND_TEXT_BYTES_MAX)?;
        self.string_up_to(Field::SystemType, bind.system_type, BIND_TEXT_BYTES_MAX)?;
        self.out.extend_from_slice(&[bind.interface_version, bind.addr_ton, bind.addr_npi]);
        self.string_up_to(Field::AddressRange, bind.address_range, BIND_TEXT_BYTES_MAX)
    }

    fn address(&mut self, field: Field, address: Address<'_>, limit: usize) -> Result<(), EncodeError> {
        self.out.extend_from_slice(&[address.ton, address.npi]);
        self.string_up_to(field, address.digits, limit)
    }

    fn string(&mut self, field: Field, text: &[u8]) -> Result<(), EncodeError> {
        self.string_up_to(field, text, field.bytes_max())
    }

    fn string_up_to(&mut self, field: Field, text: &[u8], limit: usize) -> Result<(), EncodeError> {
        if text.len() > limit {
            return Err(EncodeError::TooLong { field, bytes: text.len(), limit });
        }
        if text.contains(&0) {
            return Err(EncodeError::NulWithin(field));
        }
        self.out.extend_from_slice(text);
        self.out.push(0);
        Ok(())
    }

    fn time(&mut self, field: Field, text: &[u8]) -> Result<(), EncodeError> {
        if !text.is_empty() && SmppTime::parse(text).is_none() {
            return Err(EncodeError::NotATime(field));
        }
        self.string(field, text)
    }

    fn tlvs(&mut self, tlvs: Tlvs<'_>) -> Result<(), EncodeError> {
        for tlv in tlvs {
            let tlv = tlv.map_err(|_| EncodeError::TlvsBroken)?;
            if !tlv.tag.fits(tlv.value.len()) {
                return Err(EncodeError::TlvLength { tag: tlv.tag, bytes: tlv.value.len() });
            }
        }
        self.out.extend_from_slice(tlvs.bytes());
        Ok(())
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
