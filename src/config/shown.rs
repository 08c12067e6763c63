//! How resolved values are serialized: with the keys and units of the file, so that `check --json` and the changes listed
//! at a reload match what the operator wrote.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::carrier_tlv::Tlv;
use super::choice::ErrorFamily;
use super::units::{Bytes, Millis};
use stentor_core::admission::Quota;
use stentor_core::delivery::{Backoff, RetryPolicy};
use stentor_core::limit::{Of, Over, Per};
use stentor_core::link::{Numbering, TonNpi};
use stentor_core::model::Zone;

pub(super) fn duration<S: Serializer>(millis: &u64, to: S) -> Result<S::Ok, S::Error> {
    Millis(*millis).serialize(to)
}

pub(super) fn size<S: Serializer>(bytes: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&Bytes(*bytes))
}

pub(super) fn size_if_any<S: Serializer>(bytes: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => size(bytes, to),
        None => to.serialize_none(),
    }
}

pub(super) fn auto<S: Serializer>(number: &Option<u16>, to: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => to.serialize_u16(*number),
        None => to.serialize_str("auto"),
    }
}

pub(super) fn duration_if_any<S: Serializer>(millis: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    millis.map(Millis).serialize(to)
}

pub(super) fn share_if_any<S: Serializer>(permille: &Option<u16>, to: S) -> Result<S::Ok, S::Error> {
    permille.map(|permille| f64::from(permille) / 1e3).serialize(to)
}

pub(super) fn share<S: Serializer>(permille: &u16, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(f64::from(*permille) / 1e3)
}

pub(super) fn statuses<S: Serializer>(table: &BTreeMap<u32, ErrorFamily>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(table.iter().map(|(status, class)| (format!("0x{status:02X}"), class)))
}

pub(super) fn quota<S: Serializer>(quota: &Option<Quota>, to: S) -> Result<S::Ok, S::Error> {
    match quota {
        Some(Quota { messages, period }) => to.collect_str(&format_args!("{messages}/{}", period.name())),
        None => to.serialize_none(),
    }
}

pub(super) fn limit_per<S: Serializer>(per: &Per, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match per {
        Per::All => "all",
        Per::Tenant => "tenant",
        Per::Carrier => "carrier",
        Per::Sender => "sender",
        Per::Country => "country",
        Per::Tag => "tag",
    })
}

pub(super) fn limit_of<S: Serializer>(of: &Of, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match of {
        Of::Parts => "parts",
        Of::Messages => "messages",
    })
}

pub(super) fn limit_over<S: Serializer>(over: &Over, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match over {
        Over::Wait => "wait",
        Over::Refuse => "refuse",
    })
}

pub(super) fn zone<S: Serializer>(zone: &Zone, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(zone.name())
}

pub(super) fn numbering<S: Serializer>(numbering: &Numbering, to: S) -> Result<S::Ok, S::Error> {
    let Numbering { international, alphanumeric, short_code, recipient, bind } = *numbering;
    let pairs = [
        ("international", international),
        ("alphanumeric", alphanumeric),
        ("short_code", short_code),
        ("recipient", recipient),
        ("bind", bind),
    ];
    to.collect_map(pairs.map(|(key, TonNpi { ton, npi })| (key, [ton, npi])))
}

/// A [`Backoff`] with the keys of the file.
#[derive(Serialize)]
struct ShownBackoff {
    attempts_max: u8,
    #[serde(serialize_with = "duration")]
    backoff_min: u64,
    #[serde(serialize_with = "duration")]
    backoff_max: u64,
    #[serde(serialize_with = "share")]
    jitter: u16,
}

pub(super) fn retry<S: Serializer>(policy: &RetryPolicy, to: S) -> Result<S::Ok, S::Error> {
    let RetryPolicy { transient, session, credential, our_bug, unknown } = *policy;
    let families = [
        ("transient", transient),
        ("session", session),
        ("credential", credential),
        ("our_bug", our_bug),
        ("unknown", unknown),
    ];
    let shown = |Backoff { attempts_max, backoff_min_ms, backoff_max_ms, jitter_permille }| ShownBackoff {
        attempts_max,
        backoff_min: backoff_min_ms,
        backoff_max: backoff_max_ms,
        jitter: jitter_permille,
    };
    to.collect_map(families.map(|(key, backoff)| (key, shown(backoff))))
}

impl Serialize for Tlv {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let hex = data_encoding::HEXLOWER.encode(&self.value);
        to.collect_map([("tag", format!("0x{:04X}", self.tag)), ("hex", hex)])
    }
}
