//! The fields of PDUs: name, maximum length, and the status that refuses a PDU because of the field.
//!
//! Refuses to know values.

use super::status::CommandStatus;
use std::fmt;

/// A field of a PDU body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    SystemId,
    Password,
    SystemType,
    InterfaceVersion,
    AddrTon,
    AddrNpi,
    AddressRange,
    ServiceType,
    SourceTon,
    SourceNpi,
    SourceAddr,
    DestTon,
    DestNpi,
    DestinationAddr,
    EsmeTon,
    EsmeNpi,
    EsmeAddr,
    EsmClass,
    ProtocolId,
    PriorityFlag,
    ScheduleDeliveryTime,
    ValidityPeriod,
    RegisteredDelivery,
    ReplaceIfPresentFlag,
    DataCoding,
    SmDefaultMsgId,
    SmLength,
    ShortMessage,
    MessageId,
    FinalDate,
    MessageState,
    ErrorCode,
}

/// Longest text field of a bind that is written, in bytes. SMPP 3.4 allows less, but carriers that assign longer names and
/// passwords accept them.
pub const BIND_TEXT_BYTES_MAX: usize = 255;

impl Field {
    /// The name in the specification.
    pub const fn name(self) -> &'static str {
        match self {
            Field::SystemId => "system_id",
            Field::Password => "password",
            Field::SystemType => "system_type",
            Field::InterfaceVersion => "interface_version",
            Field::AddrTon => "addr_ton",
            Field::AddrNpi => "addr_npi",
            Field::AddressRange => "address_range",
            Field::ServiceType => "service_type",
            Field::SourceTon => "source_addr_ton",
            Field::SourceNpi => "source_addr_npi",
            Field::SourceAddr => "source_addr",
            Field::DestTon => "dest_addr_ton",
            Field::DestNpi => "dest_addr_npi",
            Field::DestinationAddr => "destination_addr",
            Field::EsmeTon => "esme_addr_ton",
            Field::EsmeNpi => "esme_addr_npi",
            Field::EsmeAddr => "esme_addr",
            Field::EsmClass => "esm_class",
            Field::ProtocolId => "protocol_id",
            Field::PriorityFlag => "priority_flag",
            Field::ScheduleDeliveryTime => "schedule_delivery_time",
            Field::ValidityPeriod => "validity_period",
            Field::RegisteredDelivery => "registered_delivery",
            Field::ReplaceIfPresentFlag => "replace_if_present_flag",
            Field::DataCoding => "data_coding",
            Field::SmDefaultMsgId => "sm_default_msg_id",
            Field::SmLength => "sm_length",
            Field::ShortMessage => "short_message",
            Field::MessageId => "message_id",
            Field::FinalDate => "final_date",
            Field::MessageState => "message_state",
            Field::ErrorCode => "error_code",
        }
    }

    /// Longest value of a text field in bytes, without its NUL (SMPP 3.4 §4). For fields of one byte: 1.
    pub const fn bytes_max(self) -> usize {
        match self {
            Field::ServiceType => 5,
            Field::Password => 8,
            Field::SystemType => 12,
            Field::SystemId => 15,
            Field::ScheduleDeliveryTime | Field::ValidityPeriod | Field::FinalDate => 16,
            Field::SourceAddr | Field::DestinationAddr => 20,
            Field::AddressRange => 40,
            Field::EsmeAddr | Field::MessageId => 64,
            Field::ShortMessage => 254,
            Field::InterfaceVersion
            | Field::AddrTon
            | Field::AddrNpi
            | Field::SourceTon
            | Field::SourceNpi
            | Field::DestTon
            | Field::DestNpi
            | Field::EsmeTon
            | Field::EsmeNpi
            | Field::EsmClass
            | Field::ProtocolId
            | Field::PriorityFlag
            | Field::RegisteredDelivery
            | Field::ReplaceIfPresentFlag
            | Field::DataCoding
            | Field::SmDefaultMsgId
            | Field::SmLength
            | Field::MessageState
            | Field::ErrorCode => 1,
        }
    }

    /// The status that refuses a PDU because it ends within this field.
    pub const fn refusal(self) -> CommandStatus {
        match self {
            Field::SourceAddr => CommandStatus::RINVSRCADR,
            Field::DestinationAddr => CommandStatus::RINVDSTADR,
            Field::ScheduleDeliveryTime => CommandStatus::RINVSCHED,
            Field::ValidityPeriod => CommandStatus::RINVEXPIRY,
            Field::SmLength | Field::ShortMessage => CommandStatus::RINVMSGLEN,
            Field::MessageId => CommandStatus::RINVMSGID,
            Field::ServiceType
            | Field::SystemId
            | Field::Password
            | Field::SystemType
            | Field::InterfaceVersion
            | Field::AddrTon
            | Field::AddrNpi
            | Field::AddressRange
            | Field::SourceTon
            | Field::SourceNpi
            | Field::DestTon
            | Field::DestNpi
            | Field::EsmeTon
            | Field::EsmeNpi
            | Field::EsmeAddr
            | Field::EsmClass
            | Field::ProtocolId
            | Field::PriorityFlag
            | Field::RegisteredDelivery
            | Field::ReplaceIfPresentFlag
            | Field::DataCoding
            | Field::SmDefaultMsgId
            | Field::FinalDate
            | Field::MessageState
            | Field::ErrorCode => CommandStatus::RINVCMDLEN,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
