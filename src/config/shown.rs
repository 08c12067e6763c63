//! How resolved values are serialized: with the keys and units of the file, so that `check --json` and the changes listed
//! at a reload match what the operator wrote.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::carrier::TonNpi;
use super::carrier_tlv::Tlv;
use super::choice::ErrorClass;
use super::units::{Bytes, Millis, Period, Quota};

pub(super) fn duration<S: Serializer>(millis: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&Millis(*millis))
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

pub(super) fn share<S: Serializer>(permille: &u16, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(f64::from(*permille) / 1e3)
}

pub(super) fn statuses<S: Serializer>(table: &BTreeMap<u32, ErrorClass>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(table.iter().map(|(status, class)| (format!("0x{status:02X}"), class)))
}

impl Serialize for Quota {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let period = match self.period {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Month => "month",
        };
        to.collect_str(&format_args!("{}/{period}", self.messages))
    }
}

impl Serialize for TonNpi {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        [self.ton, self.npi].serialize(to)
    }
}

impl Serialize for Tlv {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let hex: String = self.value.iter().map(|byte| format!("{byte:02x}")).collect();
        to.collect_map([("tag", format!("0x{:04X}", self.tag)), ("hex", hex)])
    }
}
