//! Resolves `[[carrier]]`: the account, how the carrier is reached, at what rate, and how its SMPP differs.
//!
//! Knows the defaults, the field lengths of SMPP 3.4 §4.1 and which keys contradict each other. Refuses to know how to
//! speak SMPP, on which core a carrier's links run, and which route uses it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use toml::Spanned;

use super::carrier_tlv::{Tlv, tlvs};
use super::choice::{
    BindKind, CarrierEncoding, CarrierKind, DefaultAlphabet, ErrorFamily, IdForm, LogPdus, NumberRule, Receipts,
    Splitting,
};
use super::gather::{DAY, Gather, HOUR, MINUTE, SECOND, or};
use super::raw::{Byte, Optional, RawCarrier, RawCarrierTls, RawDialect, RawNumbering};
use super::secret::Secret;
use super::shown;
use super::source::Span;
use super::units::{Int, PerSecond};
use stentor_core::link::ceiling::CEILING;
use stentor_core::link::{Numbering, TonNpi};
use stentor_core::model::Quoted;
use stentor_smpp::field::{BIND_TEXT_BYTES_MAX, Field};

/// One carrier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Carrier {
    /// Unique among carriers, also with `-` read as `_`.
    pub name: String,
    /// Protocol.
    pub kind: CarrierKind,
    /// Carriers of one group share message ids: a receipt on one settles a submit on another. Default: the carrier's name.
    pub group: String,
    /// At least one; tried in turn.
    pub hosts: Vec<Host>,
    /// Local address of the connections; `None`: the kernel chooses.
    pub source_ip: Option<IpAddr>,
    /// `None`: plain TCP.
    pub tls: Option<CarrierTls>,
    /// At most 15 bytes in SMPP 3.4; longer ones, up to 255, are sent in full (see [`Self::beyond_smpp`]).
    pub system_id: String,
    /// Empty: none is sent.
    pub password: Secret,
    /// Most carriers ignore it.
    pub system_type: String,
    /// Most carriers ignore it.
    pub address_range: String,
    /// Type of number and numbering plan for each form of an address.
    #[serde(serialize_with = "shown::numbering")]
    pub numbering: Numbering,
    /// Transceivers, pairs or transmitters.
    pub bind: BindKind,
    /// Number of binds; 0: one per core, or one in all if the carrier has a rate or is queried, since it then runs on one core.
    pub binds: u16,
    /// Most submits without an answer, per bind.
    pub window: u32,
    /// Most parts in every sliding second, all binds together; `None`: no limit.
    #[serde(rename = "rate")]
    pub rate_parts_per_s: Option<u32>,
    /// As `rate`, for each bind.
    #[serde(rename = "bind_rate")]
    pub bind_rate_parts_per_s: Option<u32>,
    /// How much of the parts a traffic class takes at most while a less urgent one waits. 50..=100; 100: strict order.
    #[serde(rename = "class_ceiling")]
    pub class_ceiling_percent: u32,
    /// For messages whose encoding is `auto`.
    pub encoding: CarrierEncoding,
    /// Alphabet that the carrier uses for data_coding 0.
    pub default_alphabet: DefaultAlphabet,
    /// Replace characters that the alphabet lacks by similar ones instead of using UCS-2.
    pub transliterate: bool,
    /// How long messages are split.
    pub splitting: Splitting,
    /// At most 5 bytes.
    pub service_type: String,
    /// Sent with a message that wants a receipt; 0 is sent otherwise. 0..=31.
    pub registered_delivery: u8,
    /// How the outcome of messages is learned.
    pub receipts: Receipts,
    /// Most queries in every sliding second, in addition to the rate of parts.
    #[serde(rename = "query_rate")]
    pub query_rate_per_s: u32,
    /// How long after its submit a message is first queried.
    #[serde(rename = "query_after", serialize_with = "shown::duration")]
    pub query_after_ms: u64,
    /// Whether the message's expiry is sent as validity_period.
    pub validity: bool,
    /// Whether each part gets a user_message_reference of its own, which its receipt carries back.
    pub user_message_reference: bool,
    /// Added to every submit; a message's own TLV of the same tag takes precedence.
    pub tlvs: Vec<Tlv>,
    /// How the carrier writes message ids and numbers.
    pub dialect: Dialect,
    /// Command statuses whose class differs from that of the default table.
    #[serde(serialize_with = "shown::statuses")]
    pub errors: BTreeMap<u32, ErrorFamily>,
    /// Time for the name, TCP, TLS and the answer to the bind together.
    #[serde(rename = "connect_timeout", serialize_with = "shown::duration")]
    pub connect_timeout_ms: u64,
    /// A submit without an answer for this long is in doubt.
    #[serde(rename = "response_timeout", serialize_with = "shown::duration")]
    pub response_timeout_ms: u64,
    /// Silence after which an enquire_link is sent.
    #[serde(rename = "enquire_link", serialize_with = "shown::duration")]
    pub enquire_link_ms: u64,
    /// Pause before the second attempt to connect.
    #[serde(rename = "reconnect_min", serialize_with = "shown::duration")]
    pub reconnect_min_ms: u64,
    /// Longest pause between attempts to connect; the pause doubles up to this, with jitter.
    #[serde(rename = "reconnect_max", serialize_with = "shown::duration")]
    pub reconnect_max_ms: u64,
    /// What is logged of each PDU.
    pub log_pdus: LogPdus,
}

/// An address at which a carrier listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name to be resolved, or an IP address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Settings of SMPP over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CarrierTls {
    /// PEM file with the authorities that may have signed the carrier's certificate. `None`: no signature is checked, because
    /// the certificate is pinned or `insecure` is set.
    pub ca: Option<PathBuf>,
    /// Name that the certificate must contain; `None`: the host's name.
    pub server_name: Option<String>,
    /// Any certificate is accepted.
    pub insecure: bool,
    /// Only these certificates are accepted, each given as a SHA-256 or a file; empty: any that an authority in `ca` signed.
    pub pin: Vec<String>,
    /// PEM file with the client certificate and its chain; `None`: none is shown.
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of `cert`.
    pub key: Option<PathBuf>,
}

/// How a carrier writes message ids and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dialect {
    /// Form of message ids in `submit_sm_resp`.
    pub response_id: IdForm,
    /// Form of message ids in receipts.
    pub receipt_id: IdForm,
    /// Whether numbers in receipts are compared.
    pub number: NumberRule,
}

/// Default of `query_rate`: low enough for any carrier.
const QUERY_RATE_PER_S: u32 = 10;

/// Port of a host that is written without one.
const PORT: u16 = 2775;

/// Where many Linux distributions keep the system's authorities.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Carrier {
    /// Keys whose value is longer than SMPP 3.4 allows, each with a warning for the operator. Carriers assign such values, so
    /// they are sent in full; but a long value may also be a mistake.
    pub fn beyond_smpp(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("system_id", self.system_id.len(), Field::SystemId),
            ("password", self.password.reveal().len(), Field::Password),
            ("system_type", self.system_type.len(), Field::SystemType),
            ("address_range", self.address_range.len(), Field::AddressRange),
        ];
        let beyond = texts.into_iter().filter(|(_, bytes, field)| *bytes > field.bytes_max());
        let told = |bytes, most| format!("{bytes} bytes, more than the {most} that SMPP 3.4 allows; sent in full");
        beyond.map(|(key, bytes, field)| (key, told(bytes, field.bytes_max()))).collect()
    }

    pub(super) fn meant(typed: &Spanned<RawCarrier>, gather: &mut Gather<'_>) -> Self {
        let (raw, table) = (typed.get_ref(), typed.span());
        let name = gather.name(&raw.name, &table);
        gather.required(&raw.system_id, &table, "system_id");
        let group = if raw.group.is_some() { gather.name(&raw.group, &table) } else { name.clone() };
        let carrier = Self {
            name,
            kind: or(&raw.kind, CarrierKind::Smpp),
            group,
            hosts: hosts(raw, &table, gather),
            source_ip: gather.ip(&raw.source_ip),
            tls: raw.tls.as_ref().map(|tls| CarrierTls::meant(tls, gather)),
            system_id: gather.bind_text(&raw.system_id),
            password: password(raw, gather),
            system_type: gather.bind_text(&raw.system_type),
            address_range: gather.bind_text(&raw.address_range),
            numbering: numbering(&raw.numbering, gather),
            bind: or(&raw.bind, BindKind::Transceiver),
            binds: or(&raw.binds, Int(1)).get(),
            window: or(&raw.window, Int(10)).get(),
            rate_parts_per_s: per_second(&raw.rate),
            bind_rate_parts_per_s: per_second(&raw.bind_rate),
            class_ceiling_percent: or(&raw.class_ceiling, Int(CEILING.into())).get(),
            encoding: or(&raw.encoding, CarrierEncoding::Auto),
            default_alphabet: or(&raw.default_alphabet, DefaultAlphabet::Gsm7),
            transliterate: or(&raw.transliterate, false),
            splitting: or(&raw.splitting, Splitting::Udh8),
            service_type: gather.smpp_text(&raw.service_type, 5),
            registered_delivery: or(&raw.registered_delivery, Int(1)).get(),
            receipts: or(&raw.receipts, Receipts::Deliver),
            query_rate_per_s: per_second(&raw.query_rate).unwrap_or(QUERY_RATE_PER_S),
            query_after_ms: gather.millis(&raw.query_after, MINUTE, SECOND..=DAY),
            validity: or(&raw.validity, true),
            user_message_reference: or(&raw.user_message_reference, false),
            tlvs: tlvs(raw, gather),
            dialect: Dialect::meant(&raw.dialect),
            errors: errors(raw, gather),
            connect_timeout_ms: gather.millis(&raw.connect_timeout, 10 * SECOND, 100..=5 * MINUTE),
            response_timeout_ms: gather.millis(&raw.response_timeout, MINUTE, 100..=10 * MINUTE),
            enquire_link_ms: gather.millis(&raw.enquire_link, 30 * SECOND, SECOND..=HOUR),
            reconnect_min_ms: gather.millis(&raw.reconnect_min, SECOND, 10..=HOUR),
            reconnect_max_ms: gather.millis(&raw.reconnect_max, MINUTE, 10..=DAY),
            log_pdus: or(&raw.log_pdus, LogPdus::Off),
        };
        carrier.check(raw, gather);
        carrier
    }

    fn check(&self, raw: &RawCarrier, gather: &mut Gather<'_>) {
        gather.in_order(
            (&raw.reconnect_min, self.reconnect_min_ms, "reconnect_min"),
            (&raw.reconnect_max, self.reconnect_max_ms, "reconnect_max"),
        );
        if let (Some(rate), Some(bind_rate), Some(typed)) =
            (self.rate_parts_per_s, self.bind_rate_parts_per_s, &raw.rate)
            && self.binds > 0
            && u64::from(self.binds) * u64::from(bind_rate) < u64::from(rate)
        {
            let what = "lower `rate`, or raise `binds` or `bind_rate`";
            let binds = self.binds;
            gather.refuse(&typed.span(), format!("{binds} binds of {bind_rate}/s each cannot reach {rate}/s: {what}"));
        }
        if let (Some(ip), Some(typed)) = (self.source_ip, &raw.source_ip) {
            let literals = self.hosts.iter().filter_map(|host| host.host.parse::<IpAddr>().ok());
            for host in literals.filter(|host| host.is_ipv4() != ip.is_ipv4()) {
                let what = "use addresses that are all IPv4 or all IPv6";
                gather.refuse(&typed.span(), format!("{host} cannot be reached from {ip}: {what}"));
            }
        }
    }
}

fn per_second(typed: &Optional<PerSecond>) -> Option<u32> {
    typed.as_ref().map(|rate| rate.get_ref().0)
}

fn password(raw: &RawCarrier, gather: &mut Gather<'_>) -> Secret {
    let Some(typed) = &raw.password else { return Secret::default() };
    let secret = gather.secret(typed);
    let bytes = secret.reveal().len();
    if bytes > BIND_TEXT_BYTES_MAX {
        gather.refuse(&typed.span(), format!("is {bytes} bytes long; at most {BIND_TEXT_BYTES_MAX} can be sent"));
    }
    secret
}

fn hosts(raw: &RawCarrier, table: &Span, gather: &mut Gather<'_>) -> Vec<Host> {
    let Some(typed) = gather.required(&raw.hosts, table, "hosts") else { return Vec::new() };
    if typed.get_ref().is_empty() {
        gather.refuse(&typed.span(), "the list is empty: write at least one host such as \"smpp.example.com:2775\"");
    }
    let moved: Option<u16> = raw.port.as_ref().map(|port| port.get_ref().get());
    let mut found: Vec<Host> = Vec::new();
    for text in typed.get_ref() {
        match host(text.get_ref()) {
            Some((host, port)) => {
                let host = Host { host, port: moved.or(port).unwrap_or(PORT) };
                if found.contains(&host) {
                    gather.refuse(&text.span(), format!("{host} is listed twice: remove one"));
                }
                found.push(host);
            }
            None => {
                let what = "is not a host: write \"name:port\", \"192.0.2.1:2775\" or \"[2001:db8::1]:2775\"";
                gather.refuse(&text.span(), format!("{} {what}", Quoted(text.get_ref())));
            }
        }
    }
    found
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`.
fn host(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        inside.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
        (inside, port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
            return None;
        }
        (host, port)
    };
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|number| *number > 0)?),
    };
    Some((host.to_owned(), port))
}

impl CarrierTls {
    fn meant(typed: &Spanned<RawCarrierTls>, gather: &mut Gather<'_>) -> Self {
        let raw = typed.get_ref();
        let insecure = or(&raw.insecure, false);
        if insecure && (raw.ca.is_some() || raw.server_name.is_some() || raw.pin.is_some()) {
            let what = "`ca`, `server_name` and `pin` have no effect: remove it, or remove them";
            gather.refuse(&typed.span(), format!("`insecure` accepts any certificate, so {what}"));
        }
        if raw.cert.is_some() != raw.key.is_some() {
            gather.refuse(&typed.span(), "one of `cert` and `key` is missing: write both or neither");
        }
        let pin = raw.pin.as_ref().map_or_else(Vec::new, |typed| typed.get_ref().0.clone());
        if let Some(empty) = raw.pin.as_ref().filter(|_| pin.is_empty() || pin.iter().any(String::is_empty)) {
            gather.refuse(&empty.span(), "the pin is empty: write a SHA-256 or the path of a certificate file");
        }
        let system = || (!insecure && pin.is_empty()).then(|| PathBuf::from(SYSTEM_CA));
        if let Some(name) = raw.server_name.as_ref().filter(|name| name.get_ref().is_empty()) {
            gather.refuse(&name.span(), "the name is empty: write the name in the certificate, or leave it out");
        }
        Self {
            ca: gather.path(&raw.ca).or_else(system),
            server_name: raw.server_name.as_ref().map(|name| name.get_ref().clone()),
            insecure,
            cert: gather.path(&raw.cert),
            key: gather.path(&raw.key),
            pin,
        }
    }
}

fn numbering(raw: &RawNumbering, gather: &mut Gather<'_>) -> Numbering {
    Numbering {
        international: ton_npi(&raw.international, (1, 1), gather),
        alphanumeric: ton_npi(&raw.alphanumeric, (5, 0), gather),
        short_code: ton_npi(&raw.short_code, (3, 0), gather),
        recipient: ton_npi(&raw.recipient, (1, 1), gather),
        bind: ton_npi(&raw.bind, (0, 0), gather),
    }
}

fn ton_npi(typed: &Optional<Vec<Byte>>, default: (u8, u8), gather: &mut Gather<'_>) -> TonNpi {
    let Some(pair) = typed else { return TonNpi { ton: default.0, npi: default.1 } };
    if let [ton, npi] = pair.get_ref().as_slice() {
        return TonNpi { ton: ton.get(), npi: npi.get() };
    }
    gather.refuse(&pair.span(), "write exactly two numbers: [type of number, numbering plan]");
    TonNpi { ton: default.0, npi: default.1 }
}

impl Dialect {
    fn meant(raw: &RawDialect) -> Self {
        Self {
            response_id: or(&raw.response_id, IdForm::Auto),
            receipt_id: or(&raw.receipt_id, IdForm::Auto),
            number: or(&raw.number, NumberRule::Compare),
        }
    }
}

fn errors(raw: &RawCarrier, gather: &mut Gather<'_>) -> BTreeMap<u32, ErrorFamily> {
    let mut table = BTreeMap::new();
    for (key, class) in &raw.errors {
        let status = match key.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => key.parse(),
        };
        match status {
            Ok(status) if status > 0 => {
                if table.insert(status, *class.get_ref()).is_some() {
                    let what = format!("command status {key} (0x{status:02X}) is listed twice: remove one");
                    gather.refuse(&class.span(), what);
                }
            }
            Ok(_) => gather.refuse(&class.span(), "command status 0 means success: remove it"),
            Err(_) => {
                let what = "is not a command status: write a number such as \"0x58\" or \"88\"";
                gather.refuse(&class.span(), format!("`{key}` {what}"));
            }
        }
    }
    table
}
