//! Describes a PDU in one line of text, for logs of a connection.
//!
//! Knows which fields are printed and which are hidden: passwords always; numbers and texts unless [`Detail::Whole`] is
//! chosen. The length of a line is limited whatever the peer sends: every field is truncated, and only the first [`TLVS_MAX`]
//! optional parameters are printed.

use std::fmt::{self, Display, Write};

use super::coding::{DataCoding, DefaultAlphabet};
use super::decode::{Decoded, decode};
use super::framer::Frame;
use super::pdu::{Address, Bind, DataSm, EsmClass, MessageResp, Pdu, ShortMessage, ton};
use super::receipt::{Receipt, ReceiptSource};
use super::tlv::{TlvTag, Tlvs};
use super::user_data::decode_user_data;

/// Most optional parameters that are printed.
pub const TLVS_MAX: usize = 16;
/// Most characters of a text that are printed.
const TEXT_MAX: usize = 200;
/// Most bytes of a field that are printed.
const FIELD_MAX: usize = 64;
/// Fewest digits of a phone number; shorter ones are short codes and are not masked.
const NUMBER_DIGITS_MIN: usize = 7;

/// How much of a PDU is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Of numbers the first five and last two digits, of texts only the length.
    Masked,
    /// Complete numbers and texts.
    Whole,
}

/// A PDU whose `Display` is its description.
#[derive(Clone, Copy, Debug)]
pub struct InWords<'a> {
    frame: &'a Frame<'a>,
    detail: Detail,
}

impl<'a> InWords<'a> {
    /// The description of that PDU with this much detail.
    pub const fn new(frame: &'a Frame<'a>, detail: Detail) -> Self {
        Self { frame, detail }
    }

    fn address(&self, of: Address<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number(of.digits, of.ton != ton::ALPHANUMERIC, out)?;
        write!(out, " ({}/{})", of.ton, of.npi)
    }

    /// Prints an address, masked if it may be a phone number. An address with the type of a name can still be a phone number.
    fn number(&self, written: &[u8], is_number: bool, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = written.iter().filter(|byte| byte.is_ascii_digit()).count();
        let (whole, long) = (self.detail == Detail::Whole, written.len() >= NUMBER_DIGITS_MIN);
        if whole || !long || (digits < NUMBER_DIGITS_MIN && !is_number) {
            return field(written, out);
        }
        let (first, rest) = written.split_at(5);
        let (hidden, last) = rest.split_at(rest.len() - 2);
        field(first, out)?;
        (0..hidden.len().min(FIELD_MAX)).try_for_each(|_| out.write_char('*'))?;
        field(last, out)
    }

    fn bind(&self, bind: &Bind<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        named("system_id", bind.system_id, out)?;
        let password = if bind.password.is_empty() { "none" } else { "(not shown)" };
        write!(out, ", password {password}")?;
        named(", system_type", bind.system_type, out)?;
        write!(out, ", version 0x{:02X}", bind.interface_version)?;
        named(", address_range", bind.address_range, out)
    }

    fn short_message(&self, message: &ShortMessage<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(": from ")?;
        self.address(message.source, out)?;
        out.write_str(" to ")?;
        self.address(message.destination, out)?;
        let ShortMessage { esm_class, data_coding, registered_delivery, protocol_id, priority_flag, .. } = *message;
        coded(esm_class, data_coding, registered_delivery, out)?;
        let numbers = [("protocol_id", protocol_id), ("priority_flag", priority_flag)];
        for (name, value) in numbers.into_iter().filter(|(_, value)| *value > 0) {
            write!(out, ", {name} {value}")?;
        }
        named(", service_type", message.service_type, out)?;
        named(", schedule_delivery_time", message.schedule_delivery_time, out)?;
        named(", validity_period", message.validity_period, out)?;
        self.user_data(esm_class, data_coding, message.user_data(), out)?;
        self.receipt(&message.receipt_source(), out)?;
        self.tlvs(message.tlvs, out)
    }

    fn data(&self, message: &DataSm<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(": from ")?;
        self.address(message.source, out)?;
        out.write_str(" to ")?;
        self.address(message.destination, out)?;
        coded(message.esm_class, message.data_coding, message.registered_delivery, out)?;
        named(", service_type", message.service_type, out)?;
        self.user_data(message.esm_class, message.data_coding, message.user_data(), out)?;
        self.receipt(&message.receipt_source(), out)?;
        self.tlvs(message.tlvs, out)
    }

    fn user_data(
        &self,
        esm_class: EsmClass,
        data_coding: u8,
        bytes: &[u8],
        out: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        write!(out, ", text of {} bytes", bytes.len())?;
        let read = decode_user_data(DataCoding(data_coding), DefaultAlphabet::Gsm7, esm_class.has_udh(), bytes);
        if let Some(part) = read.concatenation() {
            write!(out, ", part {} of {} under reference {}", part.number, part.total, part.reference)?;
        }
        match (self.detail, read.text) {
            (Detail::Masked, _) => Ok(()),
            (Detail::Whole, Some(text)) => {
                out.write_str(" \"")?;
                text.chars().take(TEXT_MAX).flat_map(char::escape_debug).try_for_each(|one| out.write_char(one))?;
                out.write_str(if text.chars().nth(TEXT_MAX).is_some() { "\"…" } else { "\"" })
            }
            (Detail::Whole, None) => {
                out.write_char(' ')?;
                hex(read.bytes, out)
            }
        }
    }

    /// Prints the fields of a receipt except for the message's text, whose length has already been printed.
    fn receipt(&self, source: &ReceiptSource<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !source.is_receipt() {
            return Ok(());
        }
        let mut scratch = Vec::new();
        let receipt = Receipt::parse(source, &mut scratch);
        out.write_str(", receipt")?;
        named(" id", receipt.id.unwrap_or_default(), out)?;
        if let Some(state) = receipt.state {
            write!(out, " state {state:?}")?;
        }
        named(" err", receipt.error.unwrap_or_default(), out)?;
        named(" done", receipt.done_date.unwrap_or_default(), out)
    }

    fn tlvs(&self, tlvs: Tlvs<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tlv in tlvs.iter().take(TLVS_MAX) {
            match tlv {
                Ok(tlv) if tlv.tag == TlvTag::MESSAGE_PAYLOAD => write!(out, ", {}", tlv.tag)?,
                Ok(tlv) if self.detail == Detail::Masked && tlv.value.len() >= NUMBER_DIGITS_MIN => {
                    write!(out, ", {} of {} bytes", tlv.tag, tlv.value.len())?;
                }
                Ok(tlv) => {
                    write!(out, ", {} ", tlv.tag)?;
                    hex(tlv.value, out)?;
                }
                Err(_) => out.write_str(", a parameter that is cut off")?,
            }
        }
        if tlvs.iter().nth(TLVS_MAX).is_some() { out.write_str(", more parameters") } else { Ok(()) }
    }

    fn pdu(&self, pdu: &Pdu<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match pdu {
            Pdu::Bind(_, bind) => {
                out.write_str(": ")?;
                self.bind(bind, out)
            }
            Pdu::BindResp(_, resp) => {
                named(": system_id", resp.system_id, out)?;
                self.tlvs(resp.tlvs, out)
            }
            Pdu::Outbind(outbind) => named(": system_id", outbind.system_id, out),
            Pdu::SubmitSm(message) | Pdu::DeliverSm(message) => self.short_message(message, out),
            Pdu::DataSm(message) => self.data(message, out),
            Pdu::SubmitSmResp(MessageResp { message_id, tlvs })
            | Pdu::DeliverSmResp(MessageResp { message_id, tlvs })
            | Pdu::DataSmResp(MessageResp { message_id, tlvs }) => {
                named(": message_id", message_id, out)?;
                self.tlvs(*tlvs, out)
            }
            Pdu::QuerySm(query) => {
                named(": message_id", query.message_id, out)?;
                out.write_str(" from ")?;
                self.address(query.source, out)
            }
            Pdu::QuerySmResp(found) => {
                named(": message_id", found.message_id, out)?;
                named(" final_date", found.final_date, out)?;
                write!(out, ", message_state {}, error_code {}", found.message_state, found.error_code)
            }
            Pdu::AlertNotification(alert) => {
                out.write_str(": of ")?;
                self.address(alert.source, out)
            }
            Pdu::Unknown { body, .. } => write!(out, ": {} bytes that are not read", body.len()),
            Pdu::EnquireLink | Pdu::EnquireLinkResp | Pdu::Unbind | Pdu::UnbindResp | Pdu::GenericNack => Ok(()),
        }
    }
}

impl Display for InWords<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.frame.header;
        write!(out, "{} {}", header.command_id, header.sequence_number)?;
        if header.command_id.is_response() || !header.command_status.is_ok() {
            write!(out, " {}", header.command_status)?;
        }
        match decode(self.frame) {
            Ok(Decoded { pdu, .. }) => self.pdu(&pdu, out),
            Err(error) => write!(out, ": cannot be read: {error}"),
        }
    }
}

fn coded(esm_class: EsmClass, data_coding: u8, registered: u8, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, ", esm_class 0x{:02X}, data_coding {data_coding}, registered_delivery {registered}", esm_class.0)
}

/// Prints the name and the value, or nothing if the value is empty.
fn named(name: &str, value: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value.is_empty() {
        return Ok(());
    }
    write!(out, "{name} ")?;
    field(value, out)
}

/// Prints bytes that should be ASCII; other bytes are printed as escapes.
fn field(bytes: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "{}", bytes[..bytes.len().min(FIELD_MAX)].escape_ascii())?;
    if bytes.len() > FIELD_MAX { out.write_char('…') } else { Ok(()) }
}

fn hex(bytes: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str("0x")?;
    bytes.iter().take(FIELD_MAX).try_for_each(|byte| write!(out, "{byte:02X}"))?;
    if bytes.len() > FIELD_MAX { out.write_char('…') } else { Ok(()) }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
