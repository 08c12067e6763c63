//! The options of a link: plain values that the configuration is translated to; most defaults are set there.

use serde::{Deserialize, Serialize};

use crate::mesh::ShardMap;
use crate::model::{ErrorFamily, GroupId, LinkId, Mono};
use stentor_smpp::pdu::{Bind, INTERFACE_VERSION_3_4};
use stentor_smpp::receipt_id::Dialect;
use stentor_smpp::split::CarrierText;
use stentor_smpp::status::CommandStatus;

use super::queries::QueryOptions;
use super::smpp::spelling;

/// Type of number and numbering plan (SMPP 3.4 §5.2.5, §5.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TonNpi {
    /// Type of number.
    pub ton: u8,
    /// Numbering plan indicator.
    pub npi: u8,
}

/// TON and NPI for each form of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// Senders of 7 digits or more.
    pub international: TonNpi,
    /// Senders with letters.
    pub alphanumeric: TonNpi,
    /// Senders of up to 6 digits.
    pub short_code: TonNpi,
    /// All recipients.
    pub recipient: TonNpi,
    /// `address_range` in the bind.
    pub bind: TonNpi,
}

impl Default for Numbering {
    fn default() -> Self {
        Self {
            international: TonNpi { ton: 1, npi: 1 },
            alphanumeric: TonNpi { ton: 5, npi: 0 },
            short_code: TonNpi { ton: 3, npi: 0 },
            recipient: TonNpi { ton: 1, npi: 1 },
            bind: TonNpi::default(),
        }
    }
}

/// The kind of bind that a link uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindKind {
    /// One connection, for both directions.
    #[default]
    Transceiver,
    /// A transmitter and a receiver. It sends only while both are bound, so that receipts can always come in.
    Pair,
    /// One connection that only sends: a carrier that follows SMPP to the letter delivers nothing on it.
    Transmitter,
}

/// Our account at the carrier. A change needs new sessions.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// This and the three texts below have at most [`stentor_smpp::field::BIND_TEXT_BYTES_MAX`] bytes each.
    pub system_id: Vec<u8>,
    pub password: Vec<u8>,
    pub system_type: Vec<u8>,
    pub address_range: Vec<u8>,
}

impl Account {
    /// The bind request. `numbering` is the TON and NPI of the bind itself ([`Numbering::bind`]).
    pub fn request(&self, numbering: TonNpi) -> Bind<'_> {
        Bind {
            system_id: &self.system_id,
            password: &self.password,
            system_type: &self.system_type,
            interface_version: INTERFACE_VERSION_3_4,
            addr_ton: numbering.ton,
            addr_npi: numbering.npi,
            address_range: &self.address_range,
        }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Account")
            .field("system_id", &String::from_utf8_lossy(&self.system_id))
            .finish_non_exhaustive()
    }
}

/// How messages are encoded that do not choose an encoding themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarrierEncoding {
    /// The default alphabet if the text fits, else UCS-2.
    #[default]
    Auto,
    /// The default alphabet; a text that does not fit is unencodable.
    Gsm7,
    /// Latin-1 with `data_coding` 3 if the text fits, else UCS-2.
    Latin1,
    /// Always UCS-2.
    Ucs2,
}

impl CarrierEncoding {
    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gsm7 => "gsm7",
            Self::Latin1 => "latin1",
            Self::Ucs2 => "ucs2",
        }
    }
}

/// Everything a link knows about its carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The carrier's name, for status and alarms.
    pub name: String,
    /// The identity of this link.
    pub link: LinkId,
    /// The carrier's group: receipts are matched with messages of the same group.
    pub group: GroupId,
    /// The shards, and the mapping from a recipient to its shard.
    pub shards: ShardMap,
    /// Number of hosts of the carrier, which are tried in turn. 0 is taken as 1.
    pub hosts: u16,
    /// Names of the hosts, for status and alarms.
    pub host_names: Vec<String>,
    /// Binds of the same carrier on other links that are numbered before the binds of this link. Bind n of the carrier begins
    /// at host n.
    pub binds_before: u16,
    /// Our account at the carrier.
    pub account: Account,
    /// The kind of bind.
    pub bind: BindKind,
    /// Number of binds on this link; a pair counts as one. 0 is taken as 1.
    pub binds: u16,
    /// The window: how many submits may be unanswered, per bind. 0 is taken as 1.
    pub window: u32,
    /// Parts in any sliding second, all binds together; `None`: no limit.
    pub rate_parts_per_s: Option<u32>,
    /// Parts in any sliding second, per bind; `None`: no limit.
    pub bind_rate_parts_per_s: Option<u32>,
    /// How much of the parts a traffic class takes at most while a less urgent one waits, per cent
    /// ([`super::ceiling::CEILING_MIN`] to 100).
    pub class_ceiling: u32,
    /// TON and NPI by form of address.
    pub numbering: Numbering,
    /// `service_type` of each submit; at most 5 bytes.
    pub service_type: Vec<u8>,
    /// Alphabets and ways of splitting that the carrier supports.
    pub text: CarrierText,
    /// Encoding of messages that do not choose one themselves.
    pub encoding: CarrierEncoding,
    /// Replace characters that the alphabet lacks by similar ones instead of using UCS-2.
    pub transliterate: bool,
    /// Send the remaining time until the message expires as `validity_period`.
    pub validity: bool,
    /// Send a `user_message_reference` with each part, which the carrier may send back in its receipt.
    pub part_references: bool,
    /// `registered_delivery` of a message that wants a receipt; otherwise 0 is sent.
    pub registered_delivery: u8,
    /// Optional parameters (TLVs) for every submit, as bytes; a TLV of the message with the same tag takes precedence.
    pub tlvs: Vec<u8>,
    /// How to ask a carrier that sends no receipts; `None`: it sends receipts.
    pub query: Option<QueryOptions>,
    /// How the carrier writes message ids in receipts; only a hint for routing receipts to their shard.
    pub dialect: Dialect,
    /// Command statuses whose family differs from the default table at this carrier, in ascending order of status.
    pub errors: Vec<(u32, ErrorFamily)>,
    /// Time limit for resolving the name, TCP, TLS and the answer to the bind together, ms.
    pub connect_timeout_ms: u64,
    /// A submit that has no answer after this time is in doubt, ms.
    pub response_timeout_ms: u64,
    /// Silence after which an `enquire_link` is sent, ms. The answer, or any other PDU, must come within the same time again,
    /// or within `response_timeout_ms` if that is less.
    pub enquire_link_ms: u64,
    /// Pause before the second attempt to connect, ms.
    pub reconnect_min_ms: u64,
    /// Longest pause between attempts to connect, ms; also the pause after the carrier refused the account.
    pub reconnect_max_ms: u64,
    /// If there is a rate, nothing is submitted before this time: one second after the process locked the data directory, or
    /// after the reload that added the link. So parts that an earlier process sent never share a sliding second with ours.
    pub silent_until: Mono,
    /// log2 of the number of entries of the table that maps message ids to shards ([`super::id_table`]); 8 bytes each.
    pub receipt_table_bits: u32,
    /// How often the simulator triggers rare conditions, in parts per million ([`crate::model::buggify`]).
    pub buggify_ppm: u32,
}

impl Options {
    /// Default options for a carrier with this name and these identities: the start for tests and for the translation of the
    /// configuration.
    pub fn new(name: &str, link: LinkId, group: GroupId, shards: ShardMap) -> Self {
        Self {
            name: name.to_owned(),
            link,
            group,
            shards,
            hosts: 1,
            host_names: Vec::new(),
            binds_before: 0,
            account: Account::default(),
            bind: BindKind::Transceiver,
            binds: 1,
            window: 10,
            rate_parts_per_s: None,
            bind_rate_parts_per_s: None,
            class_ceiling: super::ceiling::CEILING,
            numbering: Numbering::default(),
            service_type: Vec::new(),
            text: CarrierText::default(),
            encoding: CarrierEncoding::Auto,
            transliterate: false,
            validity: true,
            part_references: false,
            registered_delivery: 1,
            tlvs: Vec::new(),
            query: None,
            dialect: Dialect::default(),
            errors: Vec::new(),
            connect_timeout_ms: 10_000,
            response_timeout_ms: 60_000,
            enquire_link_ms: 30_000,
            reconnect_min_ms: 1_000,
            reconnect_max_ms: 60_000,
            silent_until: Mono(0),
            receipt_table_bits: 18,
            buggify_ppm: 0,
        }
    }

    /// How long an `enquire_link` may be unanswered, ms.
    pub fn enquire_response_ms(&self) -> u64 {
        self.response_timeout_ms.min(self.enquire_link_ms)
    }

    /// The family of a command status at this carrier; `None` for success.
    pub fn family_of(&self, status: CommandStatus) -> Option<ErrorFamily> {
        match self.errors.binary_search_by_key(&status.0, |entry| entry.0) {
            Ok(at) => self.errors.get(at).map(|entry| entry.1),
            Err(_) => status.class().map(spelling::family),
        }
    }

    /// Number of connections of this link: one per transceiver or transmitter, two per pair.
    pub fn connections(&self) -> u16 {
        match self.bind {
            BindKind::Transceiver | BindKind::Transmitter => self.binds.max(1),
            BindKind::Pair => self.binds.max(1).saturating_mul(2),
        }
    }

    /// Whether a change from these options to `other` needs new sessions.
    pub fn binds_differently(&self, other: &Self) -> bool {
        self.account != other.account
            || self.bind != other.bind
            || self.hosts != other.hosts
            || self.window != other.window
            || self.numbering.bind != other.numbering.bind
    }
}
