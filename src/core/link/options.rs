//! What a link is told about its carrier. Plain values, as meant by the configuration; their defaults live there.

use crate::mesh::ShardMap;
use crate::model::{ErrorFamily, GroupId, LinkId, Mono};
use stentor_smpp::pdu::{Bind, INTERFACE_VERSION_3_4};
use stentor_smpp::receipt_id::Dialect;
use stentor_smpp::split::CarrierText;
use stentor_smpp::status::CommandStatus;

use super::queries::QueryOptions;
use super::spelling;

/// Type of number and numbering plan (SMPP 3.4 §5.2.5, §5.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TonNpi {
    /// Type of number.
    pub ton: u8,
    /// Numbering plan indicator.
    pub npi: u8,
}

/// One pair for each form of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// Senders of 7 digits or more.
    pub international: TonNpi,
    /// Senders with letters.
    pub alphanumeric: TonNpi,
    /// Senders of up to 6 digits.
    pub short_code: TonNpi,
    /// Every recipient.
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

/// How sessions are bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindKind {
    /// One connection for both directions.
    #[default]
    Transceiver,
    /// A transmitter and a receiver; it sends only while both are bound, so that no receipt is left without a way.
    Pair,
    /// One connection that only sends: nothing comes in on it that the carrier keeps to the letter of SMPP.
    Transmitter,
}

/// Who we are at the carrier. Changing it binds anew.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Each of these texts at most [`stentor_smpp::field::BIND_TEXT_OCTETS_MAX`] bytes.
    pub system_id: Vec<u8>,
    pub password: Vec<u8>,
    pub system_type: Vec<u8>,
    pub address_range: Vec<u8>,
}

impl Account {
    /// What a bind says. `numbering`: of the bind itself.
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

/// How the link's messages are coded when they do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CarrierEncoding {
    /// The default alphabet where the text fits, UCS-2 otherwise.
    #[default]
    Auto,
    /// The default alphabet or unencodable.
    Gsm7,
    /// Latin-1 under data_coding 3 where the text fits, UCS-2 otherwise.
    Latin1,
    /// UCS-2 always.
    Ucs2,
}

/// Everything about one carrier and this link's part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The carrier's name, for status and alarms.
    pub name: String,
    /// Which link this is.
    pub link: LinkId,
    /// Receipts are matched within this group.
    pub group: GroupId,
    /// Which shards there are, and whose a recipient is.
    pub shards: ShardMap,
    /// How many hosts the owner knows; tried in turn. 0 is taken as 1.
    pub hosts: u16,
    /// What they are called, for status and alarms.
    pub host_names: Vec<String>,
    /// Binds of the carrier on other links that are counted before these: bind n of all begins at host n.
    pub binds_before: u16,
    /// Who we are.
    pub account: Account,
    /// Transceivers, pairs or transmitters.
    pub bind: BindKind,
    /// How many of them on this link; 0 is taken as 1.
    pub binds: u16,
    /// Submits without an answer at most, per bind; 0 is taken as 1.
    pub window: u32,
    /// Parts in every sliding second, all binds together; `None`: no limit.
    pub rate_parts_per_s: Option<u32>,
    /// The same per bind.
    pub bind_rate_parts_per_s: Option<u32>,
    /// Ton and npi by form of address.
    pub numbering: Numbering,
    /// At most 5 bytes.
    pub service_type: Vec<u8>,
    /// What the carrier understands of text.
    pub text: CarrierText,
    /// For messages that leave the coding open.
    pub encoding: CarrierEncoding,
    /// Replace characters that the alphabet lacks by near ones rather than use UCS-2.
    pub transliterate: bool,
    /// Send the message's expiry as validity_period.
    pub validity: bool,
    /// Give each part a user_message_reference, which receipts carry back.
    pub part_references: bool,
    /// Sent when a message wants a receipt; 0 otherwise.
    pub registered_delivery: u8,
    /// Optional parameters for every submit, as bytes; a message's own of the same tag wins.
    pub tlvs: Vec<u8>,
    /// The carrier sends no receipts and is asked instead; `None`: it sends them.
    pub query: Option<QueryOptions>,
    /// How the carrier writes ids; only a hint for routing receipts.
    pub dialect: Dialect,
    /// Command statuses that are of another family here than in the default table, by ascending status.
    pub errors: Vec<(u32, ErrorFamily)>,
    /// For the name, TCP, TLS and the bind's answer together, ms.
    pub connect_timeout_ms: u64,
    /// A submit without an answer for so long is in doubt, ms.
    pub response_timeout_ms: u64,
    /// Silence after which a session is asked whether it lives, ms. The answer, or anything else, must come within as long
    /// again, or within `response_timeout_ms` if that is less.
    pub enquire_link_ms: u64,
    /// Pause before the second attempt to connect, ms.
    pub reconnect_min_ms: u64,
    /// Longest pause between attempts, ms; also the pause after the account was refused.
    pub reconnect_max_ms: u64,
    /// Nothing is submitted before, if there is a rate: the second after the start of the process.
    pub silent_until: Mono,
    /// Entries of the table that sends receipts straight to their shard, as a power of two; 8 bytes each.
    pub receipt_table_bits: u32,
    /// How often what seldom happens happens, in a million; for the simulator ([`crate::model::buggify`]).
    pub buggify_ppm: u32,
}

impl Options {
    /// A carrier of which only the names are known; a start for tests and for the configuration's translation.
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

    /// How long an enquire_link may be unanswered, ms.
    pub fn enquire_response_ms(&self) -> u64 {
        self.response_timeout_ms.min(self.enquire_link_ms)
    }

    /// What a command status means at this carrier; `None` for success.
    pub fn family_of(&self, status: CommandStatus) -> Option<ErrorFamily> {
        match self.errors.binary_search_by_key(&status.0, |entry| entry.0) {
            Ok(at) => self.errors.get(at).map(|entry| entry.1),
            Err(_) => status.class().map(spelling::family),
        }
    }

    /// Connections that this link keeps: one per transceiver or transmitter, two per pair.
    pub fn connections(&self) -> u16 {
        match self.bind {
            BindKind::Transceiver | BindKind::Transmitter => self.binds.max(1),
            BindKind::Pair => self.binds.max(1).saturating_mul(2),
        }
    }

    /// Whether going over to `other` needs new sessions.
    pub fn binds_differently(&self, other: &Self) -> bool {
        self.account != other.account
            || self.bind != other.bind
            || self.hosts != other.hosts
            || self.window != other.window
            || self.numbering.bind != other.numbering.bind
    }
}
