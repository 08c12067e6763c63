//! Records of limits: the sets of counters on which messages count, and what was used of each counter.

use std::collections::VecDeque;

use bincode::{Decode, Encode};

use crate::limit::{Counter, CounterSet, Units, Value};
use crate::model::{CarrierId, Country, LimitId, SenderId, SetNumber, TenantId, Wall};

use super::record::Record;

impl Record for SetRecord {}

/// A counter: number of its rule, kind of its value, and the value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CounterCode(pub u16, pub u8, pub Vec<u8>);

/// `meta`: a set of counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SetRecord {
    /// Print of the rules under which its messages were judged.
    pub print: u64,
    /// Ascending.
    pub counters: Vec<CounterCode>,
    /// The number of the set on which a message counts, by the carrier that sends it.
    pub each: Vec<(u16, u32)>,
}

/// What was used of a counter, as a checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct UsesNote {
    /// The counter.
    pub counter: CounterCode,
    /// When (ms), how many messages, how many parts; ascending by time.
    pub uses: Vec<(u64, u64, u64)>,
}

impl CounterCode {
    /// The counter in the form that records use.
    pub fn of(counter: &Counter) -> Self {
        let (kind, bytes) = match &counter.value {
            Value::All => (0, Vec::new()),
            Value::Tenant(tenant) => (1, tenant.0.to_be_bytes().to_vec()),
            Value::Carrier(carrier) => (2, carrier.0.to_be_bytes().to_vec()),
            Value::Sender(sender) => (3, sender.as_bytes().to_vec()),
            Value::Country(country) => (4, country.code().as_bytes().to_vec()),
            Value::Tag(tag) => (5, tag.as_bytes().to_vec()),
        };
        Self(counter.rule.0, kind, bytes)
    }

    /// The counter as read back; `None` if the record makes no sense.
    pub fn counter(&self) -> Option<Counter> {
        let Self(rule, kind, bytes) = self;
        let text = || std::str::from_utf8(bytes).ok();
        let value = match kind {
            0 if bytes.is_empty() => Value::All,
            1 => Value::Tenant(TenantId(u32::from_be_bytes(bytes.as_slice().try_into().ok()?))),
            2 => Value::Carrier(CarrierId(u16::from_be_bytes(bytes.as_slice().try_into().ok()?))),
            3 if bytes.is_empty() => Value::Sender(SenderId::default()),
            3 => Value::Sender(SenderId::parse(text()?).ok()?),
            4 => Value::Country(Country::new(text()?)?),
            5 => Value::Tag(text()?.to_owned()),
            _ => return None,
        };
        Some(Counter { rule: LimitId(*rule), value })
    }
}

impl SetRecord {
    /// The record of a set.
    pub fn of(set: &CounterSet) -> Self {
        let each = set.each.iter().map(|(carrier, set)| (carrier.0, set.0)).collect();
        Self { print: set.print, counters: set.counters.iter().map(CounterCode::of).collect(), each }
    }

    /// The set as read back; `None` if the record makes no sense.
    pub fn set(&self) -> Option<CounterSet> {
        let counters: Option<Vec<Counter>> = self.counters.iter().map(CounterCode::counter).collect();
        let each = self.each.iter().map(|&(carrier, set)| (CarrierId(carrier), SetNumber(set))).collect();
        Some(CounterSet { print: self.print, counters: counters?.into(), each })
    }
}

impl UsesNote {
    /// Bytes of a note without uses and value.
    const BYTES: usize = 2 + 1 + 8 + 8;
    /// Bytes of a use.
    const USE_BYTES: usize = 24;

    /// The note of a counter's uses.
    pub fn of(counter: &Counter, uses: &VecDeque<(Wall, Units)>) -> Self {
        let uses = uses.iter().map(|(at, units)| (at.0, units.messages, units.parts)).collect();
        Self { counter: CounterCode::of(counter), uses }
    }

    /// The uses as read back.
    pub fn uses(&self) -> impl Iterator<Item = (Wall, Units)> {
        self.uses.iter().map(|&(at, messages, parts)| (Wall(at), Units { messages, parts }))
    }

    /// Bytes on disk.
    pub const fn bytes(&self) -> usize {
        Self::BYTES + self.counter.2.len() + self.uses.len() * Self::USE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use crate::store::record::{decode, encode};

    use super::*;

    #[test]
    fn golden_bytes_of_sets() {
        let values = [
            (Value::All, "0000000000000000"),
            (Value::Tenant(TenantId(5)), "04000000000000000000 0005"),
            (Value::Carrier(CarrierId(6)), "02000000000000000006"),
            (Value::Sender(SenderId::parse("ACME").expect("a sender")), "040000000000000041434d45"),
            (Value::Sender(SenderId::default()), "0000000000000000"),
            (Value::Country(Country::new("DE").expect("a country")), "02000000000000004445"),
            (Value::Tag("a".into()), "010000000000000061"),
        ];
        let kinds = [0, 1, 2, 3, 3, 4, 5];
        for ((value, bytes), kind) in values.into_iter().zip(kinds) {
            let counters = [Counter { rule: LimitId(7), value }];
            let each = [(CarrierId(8), SetNumber(9))];
            let set = CounterSet { print: 3, counters: counters.into(), each: each.into() };
            let record = SetRecord::of(&set);
            let each = "0100000000000000 0800 09000000";
            let expected = format!("0103000000000000000100000000000000 0700{kind:02x}{bytes}{each}").replace(' ', "");
            assert_eq!(data_encoding::HEXLOWER.encode(&encode(&record)), expected);
            assert_eq!(decode::<SetRecord>(&encode(&record)).map(|record| record.set()), Ok(Some(set)));
        }
        assert_eq!(CounterCode(1, 6, Vec::new()).counter(), None);
        assert_eq!(CounterCode(1, 1, vec![1]).counter(), None);
        assert_eq!(CounterCode(1, 4, b"de".to_vec()).counter(), None);
    }
}
