//! The PDUs of SMPP 3.4: header, command ids, and the body of each PDU as borrowed fields.
//!
//! Knows which fields a PDU has, and their order. The same structs serve both directions: the decoder fills them from a
//! frame, the encoder writes them. Refuses to know the encoding as bytes (`decode`, `encode`), which PDU may be sent when
//! (`session`), and what a text or a receipt means (`coding`, `receipt`).
//!
//! Text fields are raw bytes without their NUL. The specification demands ASCII, but real peers send any bytes.

use std::fmt;

use super::receipt::ReceiptSource;
use super::status::CommandStatus;
use super::tlv::Tlvs;

/// Length of a PDU header in bytes; the lowest valid `command_length`.
pub const HEADER_BYTES: usize = 16;

/// This bit, set in the id of a request, gives the id of its response.
const RESPONSE_BIT: u32 = 0x8000_0000;

/// The four 32-bit fields at the beginning of each PDU (SMPP 3.4 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole PDU, this field included.
    pub command_length: u32,
    /// The kind of the PDU.
    pub command_id: CommandId,
    /// Used only in responses; zero in requests.
    pub command_status: CommandStatus,
    /// A response repeats that of its request. Numbers assigned here are 1..=0x7FFFFFFF; a peer's may be any.
    pub sequence_number: u32,
}

/// `command_id`. Any u32 is representable; a request with an unknown id is answered with generic_nack.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u32);

macro_rules! command_ids {
    ($($name:ident = $id:literal, $text:literal;)*) => {
        impl CommandId {
            $(pub const $name: CommandId = CommandId($id);)*

            /// The name in the specification; `None` for an id outside 3.4.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($id => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

command_ids! {
    BIND_RECEIVER = 0x0000_0001, "bind_receiver";
    BIND_TRANSMITTER = 0x0000_0002, "bind_transmitter";
    QUERY_SM = 0x0000_0003, "query_sm";
    SUBMIT_SM = 0x0000_0004, "submit_sm";
    DELIVER_SM = 0x0000_0005, "deliver_sm";
    UNBIND = 0x0000_0006, "unbind";
    REPLACE_SM = 0x0000_0007, "replace_sm";
    CANCEL_SM = 0x0000_0008, "cancel_sm";
    BIND_TRANSCEIVER = 0x0000_0009, "bind_transceiver";
    OUTBIND = 0x0000_000B, "outbind";
    ENQUIRE_LINK = 0x0000_0015, "enquire_link";
    SUBMIT_MULTI = 0x0000_0021, "submit_multi";
    ALERT_NOTIFICATION = 0x0000_0102, "alert_notification";
    DATA_SM = 0x0000_0103, "data_sm";
    GENERIC_NACK = 0x8000_0000, "generic_nack";
    BIND_RECEIVER_RESP = 0x8000_0001, "bind_receiver_resp";
    BIND_TRANSMITTER_RESP = 0x8000_0002, "bind_transmitter_resp";
    QUERY_SM_RESP = 0x8000_0003, "query_sm_resp";
    SUBMIT_SM_RESP = 0x8000_0004, "submit_sm_resp";
    DELIVER_SM_RESP = 0x8000_0005, "deliver_sm_resp";
    UNBIND_RESP = 0x8000_0006, "unbind_resp";
    REPLACE_SM_RESP = 0x8000_0007, "replace_sm_resp";
    CANCEL_SM_RESP = 0x8000_0008, "cancel_sm_resp";
    BIND_TRANSCEIVER_RESP = 0x8000_0009, "bind_transceiver_resp";
    ENQUIRE_LINK_RESP = 0x8000_0015, "enquire_link_resp";
    SUBMIT_MULTI_RESP = 0x8000_0021, "submit_multi_resp";
    DATA_SM_RESP = 0x8000_0103, "data_sm_resp";
}

impl CommandId {
    /// True for responses, generic_nack included.
    pub const fn is_response(self) -> bool {
        self.0 & RESPONSE_BIT != 0
    }

    /// The id of the response to this request; the id of a response is returned unchanged.
    pub const fn response(self) -> CommandId {
        CommandId(self.0 | RESPONSE_BIT)
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

/// The directions in which a bind carries messages, from the client's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindMode {
    /// Only deliver_sm, to the client.
    Receiver,
    /// Only submit_sm, from the client.
    Transmitter,
    /// Both.
    Transceiver,
}

impl BindMode {
    /// The id of the bind request of this mode.
    pub const fn command_id(self) -> CommandId {
        match self {
            BindMode::Receiver => CommandId::BIND_RECEIVER,
            BindMode::Transmitter => CommandId::BIND_TRANSMITTER,
            BindMode::Transceiver => CommandId::BIND_TRANSCEIVER,
        }
    }

    /// True if the client may submit on it.
    pub const fn can_submit(self) -> bool {
        matches!(self, BindMode::Transmitter | BindMode::Transceiver)
    }

    /// True if the client receives deliveries on it.
    pub const fn can_deliver(self) -> bool {
        matches!(self, BindMode::Receiver | BindMode::Transceiver)
    }
}

/// An address with its type of number and numbering plan. [`ton`] and [`npi`] name the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address<'a> {
    /// Type of number.
    pub ton: u8,
    /// Numbering plan indicator.
    pub npi: u8,
    /// Digits or letters; at most 20 bytes are written.
    pub digits: &'a [u8],
}

/// Types of number (SMPP 3.4 §5.2.5).
pub mod ton {
    pub const UNKNOWN: u8 = 0;
    pub const INTERNATIONAL: u8 = 1;
    pub const NATIONAL: u8 = 2;
    pub const NETWORK_SPECIFIC: u8 = 3;
    pub const SUBSCRIBER: u8 = 4;
    pub const ALPHANUMERIC: u8 = 5;
    pub const ABBREVIATED: u8 = 6;
}

/// Numbering plans (SMPP 3.4 §5.2.6).
pub mod npi {
    pub const UNKNOWN: u8 = 0;
    pub const E164: u8 = 1;
    pub const DATA: u8 = 3;
    pub const TELEX: u8 = 4;
    pub const LAND_MOBILE: u8 = 6;
    pub const NATIONAL: u8 = 8;
    pub const PRIVATE: u8 = 9;
    pub const ERMES: u8 = 10;
    pub const INTERNET: u8 = 14;
    pub const WAP: u8 = 18;
}

/// `esm_class`: mode, type and features of a message in one byte (SMPP 3.4 §5.2.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EsmClass(pub u8);

impl EsmClass {
    /// Nothing special: the SMSC's default mode.
    pub const DEFAULT: EsmClass = EsmClass(0);
    /// The user data begins with a user data header.
    pub const UDHI: EsmClass = EsmClass(0x40);
    /// The message is a delivery receipt.
    pub const DELIVERY_RECEIPT: EsmClass = EsmClass(0x04);
    /// The message is an intermediate notification.
    pub const INTERMEDIATE: EsmClass = EsmClass(0x20);

    /// The four bits with the type of a delivered message (0x04 receipt, 0x08 SME delivery acknowledgement, 0x10 SME
    /// user acknowledgement, 0x20 intermediate notification).
    pub const fn message_type(self) -> u8 {
        self.0 & 0x3C
    }

    /// True if the message type is delivery receipt or intermediate notification.
    pub const fn is_receipt(self) -> bool {
        matches!(self.message_type(), 0x04 | 0x20)
    }

    /// True if the user data begins with a header.
    pub const fn has_udh(self) -> bool {
        self.0 & 0x40 != 0
    }
}

/// bind_receiver, bind_transmitter, bind_transceiver (SMPP 3.4 §4.1).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Account name, ≤ 15 bytes by the specification; of this and the other texts of a bind, up to 255 bytes are written.
    pub system_id: &'a [u8],
    /// Password, ≤ 8 bytes by the specification.
    pub password: &'a [u8],
    /// Type of client, ≤ 12 bytes by the specification, often empty.
    pub system_type: &'a [u8],
    /// 0x34 for SMPP 3.4.
    pub interface_version: u8,
    /// Type of number of the addresses that a receiver serves.
    pub addr_ton: u8,
    /// Numbering plan of the addresses that a receiver serves.
    pub addr_npi: u8,
    /// The addresses that a receiver serves, ≤ 40 bytes by the specification, usually empty.
    pub address_range: &'a [u8],
}

/// The interface version of SMPP 3.4.
pub const INTERFACE_VERSION_3_4: u8 = 0x34;

impl fmt::Debug for Bind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bind")
            .field("system_id", &String::from_utf8_lossy(self.system_id))
            .field("password", &"…")
            .field("system_type", &String::from_utf8_lossy(self.system_type))
            .field("interface_version", &self.interface_version)
            .finish_non_exhaustive()
    }
}

/// The body of the three bind responses. It is absent in some refusals: then `system_id` is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindResp<'a> {
    /// Name of the SMSC, ≤ 15 bytes.
    pub system_id: &'a [u8],
    /// Optional parameters: sc_interface_version, if the SMSC sends it.
    pub tlvs: Tlvs<'a>,
}

/// The body of submit_sm and deliver_sm, which have the same layout (SMPP 3.4 §4.4.1, §4.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShortMessage<'a> {
    /// ≤ 5 bytes, usually empty.
    pub service_type: &'a [u8],
    /// Sender.
    pub source: Address<'a>,
    /// Recipient.
    pub destination: Address<'a>,
    /// Messaging mode, message type and features such as the user data header.
    pub esm_class: EsmClass,
    /// GSM protocol id.
    pub protocol_id: u8,
    /// 0 (lowest) to 3 (highest).
    pub priority_flag: u8,
    /// Empty for delivery at once, or 16 bytes of SMPP time.
    pub schedule_delivery_time: &'a [u8],
    /// Empty for the SMSC's default, or 16 bytes of SMPP time.
    pub validity_period: &'a [u8],
    /// Bits 1-0: 0 no receipt, 1 receipt for success and failure, 2 for failure; bit 4: intermediate notifications.
    pub registered_delivery: u8,
    /// 1 to replace an earlier message with the same addresses.
    pub replace_if_present_flag: u8,
    /// Raw data_coding; see [`DataCoding`](crate::coding::DataCoding).
    pub data_coding: u8,
    /// Number of a predefined message of the SMSC; 0 for none.
    pub sm_default_msg_id: u8,
    /// User data including its user data header; at most 254 bytes are written. Empty if message_payload is used instead.
    pub short_message: &'a [u8],
    /// Optional parameters, read lazily.
    pub tlvs: Tlvs<'a>,
}

impl<'a> ShortMessage<'a> {
    /// The user data, wherever the peer put it: `short_message`, or message_payload if that is empty.
    pub fn user_data(&self) -> &'a [u8] {
        if self.short_message.is_empty() { self.tlvs.message_payload().unwrap_or_default() } else { self.short_message }
    }

    /// The fields that may hold a receipt, for [`Receipt::parse`](crate::receipt::Receipt::parse).
    pub fn receipt_source(&self) -> ReceiptSource<'a> {
        receipt_source(self.esm_class, self.user_data(), self.tlvs)
    }
}

/// The body of data_sm (SMPP 3.4 §4.7.1); its user data is in message_payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataSm<'a> {
    /// ≤ 5 bytes, usually empty.
    pub service_type: &'a [u8],
    /// Sender; up to 64 bytes in this PDU.
    pub source: Address<'a>,
    /// Recipient; up to 64 bytes in this PDU.
    pub destination: Address<'a>,
    /// Messaging mode, message type and features such as the user data header.
    pub esm_class: EsmClass,
    /// As in [`ShortMessage`].
    pub registered_delivery: u8,
    /// As in [`ShortMessage`].
    pub data_coding: u8,
    /// Optional parameters, message_payload among them.
    pub tlvs: Tlvs<'a>,
}

impl<'a> DataSm<'a> {
    /// message_payload; empty if there is none.
    pub fn user_data(&self) -> &'a [u8] {
        self.tlvs.message_payload().unwrap_or_default()
    }

    /// The fields that may hold a receipt, for [`Receipt::parse`](crate::receipt::Receipt::parse).
    pub fn receipt_source(&self) -> ReceiptSource<'a> {
        receipt_source(self.esm_class, self.user_data(), self.tlvs)
    }
}

fn receipt_source<'a>(esm_class: EsmClass, text: &'a [u8], tlvs: Tlvs<'a>) -> ReceiptSource<'a> {
    ReceiptSource {
        esm_class: esm_class.0,
        text,
        receipted_message_id: tlvs.receipted_message_id(),
        message_state: tlvs.message_state(),
        network_error_code: tlvs.network_error_code(),
    }
}

/// The body of submit_sm_resp, deliver_sm_resp and data_sm_resp. Refusals often have none: then `message_id` is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageResp<'a> {
    /// The SMSC's id of the message, raw; ≤ 64 bytes by the specification. Unused in deliver_sm_resp.
    pub message_id: &'a [u8],
    /// network_error_code and the like in data_sm_resp, and in submit_sm_resp of 5.0 peers.
    pub tlvs: Tlvs<'a>,
}

/// The body of query_sm (SMPP 3.4 §4.8.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuerySm<'a> {
    /// Id from the submit_sm_resp.
    pub message_id: &'a [u8],
    /// Sender of the message; must equal the one submitted.
    pub source: Address<'a>,
}

/// The body of query_sm_resp (SMPP 3.4 §4.8.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuerySmResp<'a> {
    /// The id from the request.
    pub message_id: &'a [u8],
    /// When the message reached its final state, as SMPP time; empty before that.
    pub final_date: &'a [u8],
    /// 1 ENROUTE … 8 REJECTED.
    pub message_state: u8,
    /// Error code of the network; 0 if none.
    pub error_code: u8,
}

/// The body of outbind (SMPP 3.4 §4.1.7), by which the SMSC asks a listening client to bind.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Outbind<'a> {
    /// Name of the SMSC.
    pub system_id: &'a [u8],
    /// Password of the SMSC.
    pub password: &'a [u8],
}

impl fmt::Debug for Outbind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbind").field("system_id", &String::from_utf8_lossy(self.system_id)).finish_non_exhaustive()
    }
}

/// The body of alert_notification (SMPP 3.4 §4.12): a subscriber can be reached again. It has no response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertNotification<'a> {
    /// The subscriber.
    pub source: Address<'a>,
    /// The client that asked to be notified.
    pub esme: Address<'a>,
    /// Optional parameters: ms_availability_status, if the SMSC sends it.
    pub tlvs: Tlvs<'a>,
}

/// The body of any PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pdu<'a> {
    Bind(BindMode, Bind<'a>),
    BindResp(BindMode, BindResp<'a>),
    Outbind(Outbind<'a>),
    SubmitSm(ShortMessage<'a>),
    SubmitSmResp(MessageResp<'a>),
    DeliverSm(ShortMessage<'a>),
    DeliverSmResp(MessageResp<'a>),
    DataSm(DataSm<'a>),
    DataSmResp(MessageResp<'a>),
    QuerySm(QuerySm<'a>),
    QuerySmResp(QuerySmResp<'a>),
    AlertNotification(AlertNotification<'a>),
    EnquireLink,
    EnquireLinkResp,
    Unbind,
    UnbindResp,
    GenericNack,
    /// A PDU that this library does not read: replace_sm, cancel_sm, submit_multi and all unknown command ids.
    Unknown {
        id: CommandId,
        body: &'a [u8],
    },
}

impl Pdu<'_> {
    /// The command id of this body.
    pub const fn command_id(&self) -> CommandId {
        match self {
            Pdu::Bind(mode, _) => mode.command_id(),
            Pdu::BindResp(mode, _) => mode.command_id().response(),
            Pdu::Outbind(_) => CommandId::OUTBIND,
            Pdu::SubmitSm(_) => CommandId::SUBMIT_SM,
            Pdu::SubmitSmResp(_) => CommandId::SUBMIT_SM_RESP,
            Pdu::DeliverSm(_) => CommandId::DELIVER_SM,
            Pdu::DeliverSmResp(_) => CommandId::DELIVER_SM_RESP,
            Pdu::DataSm(_) => CommandId::DATA_SM,
            Pdu::DataSmResp(_) => CommandId::DATA_SM_RESP,
            Pdu::QuerySm(_) => CommandId::QUERY_SM,
            Pdu::QuerySmResp(_) => CommandId::QUERY_SM_RESP,
            Pdu::AlertNotification(_) => CommandId::ALERT_NOTIFICATION,
            Pdu::EnquireLink => CommandId::ENQUIRE_LINK,
            Pdu::EnquireLinkResp => CommandId::ENQUIRE_LINK_RESP,
            Pdu::Unbind => CommandId::UNBIND,
            Pdu::UnbindResp => CommandId::UNBIND_RESP,
            Pdu::GenericNack => CommandId::GENERIC_NACK,
            Pdu::Unknown { id, .. } => *id,
        }
    }
}
