//! A carrier's part of the translation: where its links run, what each is told, how its connections are opened.
//!
//! A carrier is either on one core alone (its *home*), or has a link on every core that runs shards:
//! - with a rate, or asked by query_sm, which has a rate: at home, because the limit has one owner;
//! - with fewer binds than such cores: at home, or some shards would have no link;
//! - otherwise on every one, with its share of the binds (`binds = 0`: one). A rate per bind goes with its bind.
//!
//! Homes are spread by the carrier's number, so they stay where they are when other carriers come and go.

use std::time::Duration;

use crate::{
    config::{self, Config},
    egress::{Dial, Host, PduLog},
};
use stentor_core::{
    control::Entries,
    link::{self, Account, QueryOptions},
    mesh::ShardMap,
    model::{CarrierId, GroupId, LinkId, Mono},
    shard::CatalogCarrier,
};
use stentor_smpp::{
    receipt_id::{Dialect, IdRelation},
    split::CarrierText,
    tlv::{TlvTag, TlvWriter},
    words::Detail,
};

use super::{carrier_id, tls};
use crate::host::resolver::Resolver;

/// Entries of a link's receipt table as a power of two: for a carrier without a rate ...
const RECEIPT_BITS_MAX: u32 = 20;
/// ... and the smallest table.
const RECEIPT_BITS_MIN: u32 = 12;
/// Receipts that come later than this are found by asking the shards: most come within seconds.
const RECEIPT_DELAY_S: u64 = 60;

/// Cores that run shards: messages come only from these.
fn busy_cores(map: ShardMap) -> u8 {
    map.cores().min(map.shards())
}

/// The core of a carrier's only link; `None`: it has a link on every busy core.
fn home(carrier: &config::Carrier, id: CarrierId, map: ShardMap) -> Option<u8> {
    let cores = u16::from(busy_cores(map));
    let has_rate = carrier.rate_parts_per_s.is_some() || carrier.receipts == config::Receipts::Query;
    let spread = !has_rate && (carrier.binds == 0 || carrier.binds >= cores) && cores > 1;
    if spread { None } else { u8::try_from(id.0 % cores).ok() }
}

/// Binds of the link on `core`; 0: it has no link there.
fn binds_on(carrier: &config::Carrier, id: CarrierId, core: u8, map: ShardMap) -> u16 {
    let cores = u16::from(busy_cores(map));
    match home(carrier, id, map) {
        Some(home) if home == core => carrier.binds.max(1),
        Some(_) => 0,
        None if u16::from(core) >= cores => 0,
        None if carrier.binds == 0 => 1,
        // The remaining binds go to the first cores, counted from the core that would be this carrier's home.
        None => {
            carrier.binds / cores + u16::from((u16::from(core) + cores - id.0 % cores) % cores < carrier.binds % cores)
        }
    }
}

pub(super) fn in_catalog(carrier: &config::Carrier, control: &Entries, map: ShardMap) -> CatalogCarrier {
    let id = carrier_id(&carrier.name, control);
    CatalogCarrier {
        id,
        name: carrier.name.clone(),
        group: group_id(carrier, control),
        dialect: dialect(carrier.dialect),
        is_number_ignored: carrier.dialect.number == config::NumberRule::Ignore,
        is_queried: carrier.receipts == config::Receipts::Query,
        home: home(carrier, id, map),
        default_alphabet: carrier.default_alphabet,
    }
}

fn group_id(carrier: &config::Carrier, control: &Entries) -> GroupId {
    GroupId(control.group(&carrier.group).unwrap_or_default())
}

/// The links of one core and how each opens its connections; exactly those that the catalog of the same map refers to.
/// Reads the files of authorities, so it blocks; the values may go to another thread.
///
/// # Errors
/// The configuration's key, the file and the reason, if TLS cannot use it.
pub fn links(
    config: &Config,
    control: &Entries,
    core: u8,
    silent_until: Mono,
    map: ShardMap,
    resolver: &Resolver,
) -> Result<Vec<(link::Options, Dial)>, String> {
    let mut links = Vec::new();
    for carrier in &config.carriers {
        let id = carrier_id(&carrier.name, control);
        let binds = binds_on(carrier, id, core, map);
        if binds > 0 {
            let whole = options(carrier, LinkId { carrier: id, core }, group_id(carrier, control), map);
            let binds_before = (0..core).map(|other| binds_on(carrier, id, other, map)).sum();
            let options = link::Options { silent_until, binds, binds_before, ..whole };
            links.push((options, dial(carrier, resolver)?));
        }
    }
    Ok(links)
}

/// Everything that does not depend on the core and the time: `binds` are those of the whole carrier.
pub(super) fn options(carrier: &config::Carrier, link: LinkId, group: GroupId, map: ShardMap) -> link::Options {
    link::Options {
        name: carrier.name.clone(),
        link,
        group,
        shards: map,
        hosts: u16::try_from(carrier.hosts.len()).unwrap_or(u16::MAX),
        host_names: carrier.hosts.iter().map(ToString::to_string).collect(),
        binds_before: 0,
        account: account(carrier),
        bind: carrier.bind,
        binds: carrier.binds,
        window: carrier.window,
        rate_parts_per_s: carrier.rate_parts_per_s,
        bind_rate_parts_per_s: carrier.bind_rate_parts_per_s,
        class_ceiling: carrier.class_ceiling_percent,
        numbering: carrier.numbering,
        service_type: carrier.service_type.clone().into_bytes(),
        text: text(carrier),
        encoding: carrier.encoding,
        transliterate: carrier.transliterate,
        query: (carrier.receipts == config::Receipts::Query)
            .then_some(QueryOptions { rate_per_s: carrier.query_rate_per_s, first_ms: carrier.query_after_ms }),
        validity: carrier.validity,
        part_references: carrier.user_message_reference,
        registered_delivery: carrier.registered_delivery,
        tlvs: tlvs(&carrier.tlvs),
        dialect: dialect(carrier.dialect),
        // A BTreeMap: sorted by status, as the link searches it.
        errors: carrier.errors.iter().map(|(status, family)| (*status, *family)).collect(),
        connect_timeout_ms: carrier.connect_timeout_ms,
        response_timeout_ms: carrier.response_timeout_ms,
        enquire_link_ms: carrier.enquire_link_ms,
        reconnect_min_ms: carrier.reconnect_min_ms,
        reconnect_max_ms: carrier.reconnect_max_ms,
        silent_until: Mono(0),
        receipt_table_bits: receipt_table_bits(carrier.rate_parts_per_s),
        buggify_ppm: 0,
    }
}

/// The account at the carrier.
pub fn account(carrier: &config::Carrier) -> Account {
    Account {
        system_id: carrier.system_id.clone().into_bytes(),
        password: carrier.password.reveal().as_bytes().to_vec(),
        system_type: carrier.system_type.clone().into_bytes(),
        address_range: carrier.address_range.clone().into_bytes(),
    }
}

fn text(carrier: &config::Carrier) -> CarrierText {
    CarrierText { default_alphabet: carrier.default_alphabet, splitting: carrier.splitting, ..CarrierText::default() }
}

/// Values are at most 1,000 bytes, as the configuration checked; a value too long for a TLV would be left out.
fn tlvs(meant: &[config::Tlv]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = TlvWriter::new(&mut bytes);
    for tlv in meant {
        let written = writer.bytes(TlvTag(tlv.tag), &tlv.value);
        debug_assert!(written.is_ok(), "{:#06X} is too long", tlv.tag);
    }
    bytes
}

/// Set only if the configuration gives both forms and they say how one becomes the other. A text is never a number.
fn dialect(told: config::Dialect) -> Dialect {
    use config::IdForm::{Auto, Decimal, Hex, Text};
    match (told.response_id, told.receipt_id) {
        (Auto, _) | (_, Auto) => Dialect::default(),
        (Hex, Decimal) => Dialect::told(IdRelation::DecimalToHex),
        (Decimal, Hex) => Dialect::told(IdRelation::HexToDecimal),
        (Text | Decimal | Hex, Text | Decimal | Hex) => Dialect::told(IdRelation::Same),
    }
}

/// Room for the ids of two minutes at the permitted rate: an id that falls on another's place replaces it.
fn receipt_table_bits(rate_parts_per_s: Option<u32>) -> u32 {
    rate_parts_per_s.map_or(RECEIPT_BITS_MAX, |rate| {
        let entries = (u64::from(rate) * RECEIPT_DELAY_S * 2).next_power_of_two();
        entries.trailing_zeros().clamp(RECEIPT_BITS_MIN, RECEIPT_BITS_MAX)
    })
}

const fn detail(told: config::LogPdus) -> Option<Detail> {
    match told {
        config::LogPdus::Off => None,
        config::LogPdus::Masked => Some(Detail::Masked),
        config::LogPdus::Whole => Some(Detail::Whole),
    }
}

/// The timeout for opening is a little shorter than the link's, because the code that opens knows how far it came and says so.
fn dial(carrier: &config::Carrier, resolver: &Resolver) -> Result<Dial, String> {
    let tls = match &carrier.tls {
        None => None,
        Some(typed) => Some(tls::client(typed).map_err(|what| format!("carrier.{}.tls: {what}", carrier.name))?),
    };
    let host = |config::Host { host, port }: &config::Host| Host { name: host.clone(), port: *port };
    Ok(Dial {
        hosts: carrier.hosts.iter().map(host).collect(),
        resolver: resolver.clone(),
        source_ip: carrier.source_ip,
        tls,
        timeout: Duration::from_millis(carrier.connect_timeout_ms * 19 / 20),
        pdus: detail(carrier.log_pdus).map(|detail| PduLog::new(&carrier.name, detail)),
    })
}

#[cfg(test)]
#[path = "translate_carrier_tests.rs"]
mod tests;
