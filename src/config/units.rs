//! How quantities are written in the file: durations, sizes, rates, quotas, limits, bounded numbers, "auto", one-or-many.
//!
//! Knows their text forms, and says what was expected when a value is wrong. Refuses to know which value is sensible for a
//! key: bounds are in `raw` (numbers) or where a key is resolved.

use std::fmt;
use std::marker::PhantomData;

use stentor_core::admission::Quota;
use stentor_core::limit::Span;
use stentor_core::model::{Period, Zone};

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Unexpected, Visitor};
use serde::{Serialize, Serializer};

/// A duration in milliseconds, written as `"250ms"`, `"10s"`, `"5m"`, `"72h"` or `"30d"`; no fractions, no sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// `ms` comes before `s`, which is a suffix of it: the first match wins.
const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Millis {
    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        scaled(text, &TIME_UNITS).map(Self)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) =
            TIME_UNITS.into_iter().rev().find(|(_, scale)| self.0.is_multiple_of(*scale)).unwrap_or(("ms", 1));
        write!(out, "{}{unit}", self.0 / scale)
    }
}

/// A size in bytes, written as `"512B"`, `"64KiB"`, `"16MiB"` or `"1GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const SIZE_UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

impl Bytes {
    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        scaled(text, &SIZE_UNITS).map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = SIZE_UNITS.into_iter().filter(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale));
        let (unit, scale) = fitting.max_by_key(|(_, scale)| *scale).unwrap_or(("B", 1));
        write!(out, "{}{unit}", self.0 / scale)
    }
}

/// Decimal digits, then one of the units (spaces between them are allowed), nothing else.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) =
        units.iter().find_map(|(unit, scale)| text.strip_suffix(unit).map(|digits| (digits.trim_end(), *scale)))?;
    number(digits)?.checked_mul(scale)
}

/// Decimal digits and nothing else.
fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// A rate per sliding second, written as `5000` or `"5000/s"`; from 1 to [`PerSecond::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerSecond(pub u32);

impl PerSecond {
    /// The highest rate; the limiter keeps one instant per permitted send in memory.
    pub const MAX: u32 = 1_000_000;

    fn from_number(number: i64) -> Option<Self> {
        u32::try_from(number).ok().filter(|rate| (1..=Self::MAX).contains(rate)).map(Self)
    }

    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix("/s").unwrap_or(text);
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { Self::from_number(digits.parse().ok()?) } else { None }
    }
}

/// A number of messages per calendar period, written as `"100000/day"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerPeriod(pub Quota);

impl PerPeriod {
    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, name) = text.split_once('/')?;
        let period = Period::ALL.into_iter().find(|period| period.name() == name)?;
        let messages = number.parse().ok().filter(|messages| *messages > 0)?;
        Some(Self(Quota { messages, period }))
    }
}

/// How much may be sent in which time, written as `"500/s"`, `"1 per 10s"`, `"1000 per day"` or `"10000 per month"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerSpan {
    /// Parts or messages.
    pub amount: u64,
    /// A month is one of the calendar, which the text does not name: UTC. Any other time is that long, whenever it begins.
    pub span: Span,
}

/// Times of a [`PerSpan`] that have a name, in ms.
const NAMED_SPANS: [(&str, u64); 8] = [
    ("s", 1_000),
    ("second", 1_000),
    ("m", 60_000),
    ("minute", 60_000),
    ("h", 3_600_000),
    ("hour", 3_600_000),
    ("d", 86_400_000),
    ("day", 86_400_000),
];

impl PerSpan {
    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (amount, span) = text.split_once('/').or_else(|| text.split_once(" per "))?;
        let (amount, span) = (number(amount.trim_end())?, span.trim());
        let named = || NAMED_SPANS.into_iter().find(|(name, _)| *name == span).map(|(_, ms)| ms);
        let span = match span {
            "month" => Span::Month(Zone::UTC),
            _ => Span::Sliding(named().or_else(|| Millis::parse(span).map(|millis| millis.0))?),
        };
        Some(Self { amount, span })
    }
}

impl fmt::Display for PerSpan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amount, span } = self;
        let ms = match span {
            Span::Month(_) => return write!(out, "{amount} per month"),
            Span::Sliding(ms) => *ms,
        };
        match NAMED_SPANS.into_iter().find(|(_, length)| *length == ms) {
            Some((name, _)) => write!(out, "{amount}/{name}"),
            None => write!(out, "{amount} per {}", Millis(ms)),
        }
    }
}

impl Serialize for PerSpan {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int<const MIN: i64, const MAX: i64>(pub i64);

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The number as the type of the field that it is for. `MIN..=MAX` must lie within `T`; if it does not, this returns `T`'s
    /// default, which the tests of the reference file would show.
    pub fn get<T: TryFrom<i64> + Default>(self) -> T {
        T::try_from(self.0).unwrap_or_default()
    }
}

/// A share from 0 to 1, kept in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permille(pub u16);

/// `"auto"`, or an explicit value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    /// Derived from the machine or from another key.
    Auto,
    /// The value as written.
    Is(T),
}

/// The name under which [`OneOrMany`] asks a deserializer for a newtype; serde's data model has no type for it, so
/// [`Shape`](super::shape::Shape) recognises it by this name.
pub(super) const ONE_OR_MANY: &str = "OneOrMany";

/// A single value or a list: `x` or `[x, y]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

/// A visitor for a value with a string form or a number form. The deserializer is asked for a string, so that
/// [`Shape`](super::shape::Shape) lists the key as text.
struct Quantity<T> {
    expecting: &'static str,
    from_text: fn(&str) -> Option<T>,
    from_number: fn(i64) -> Option<T>,
}

impl<T> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.from_text)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.from_number)(number).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

/// For a quantity that has no number form.
fn no_number<T>(_: i64) -> Option<T> {
    None
}

macro_rules! quantity {
    ($type:ty, $expecting:literal, $from_number:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let quantity = Quantity { expecting: $expecting, from_text: <$type>::parse, from_number: $from_number };
                from.deserialize_string(quantity)
            }
        }
    };
}

quantity!(Millis, "a duration such as \"250ms\", \"10s\", \"5m\", \"72h\" or \"30d\"", no_number);
quantity!(Bytes, "a size such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"", no_number);
quantity!(PerSecond, "a rate from 1 to 1000000 such as 5000 or \"5000/s\"", PerSecond::from_number);
quantity!(PerPeriod, "a quota such as \"5000/hour\", \"100000/day\" or \"1000000/month\"", no_number);
quantity!(PerSpan, "a rate such as \"500/s\", \"1 per 10s\", \"1000 per day\" or \"10000 per month\"", no_number);

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Int<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bounded<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> Visitor<'_> for Bounded<MIN, MAX> {
            type Value = i64;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
                if (MIN..=MAX).contains(&number) {
                    Ok(number)
                } else {
                    Err(E::invalid_value(Unexpected::Signed(number), &self))
                }
            }
        }
        from.deserialize_i64(Bounded::<MIN, MAX>).map(Self)
    }
}

/// A visitor for numbers with a fraction.
struct Fraction<T> {
    expecting: &'static str,
    from: fn(f64) -> Option<T>,
}

impl<T> Visitor<'_> for Fraction<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.expecting)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        (self.from)(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.from)(number as f64).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

impl<'de> Deserialize<'de> for Permille {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_f64(Fraction {
            expecting: "a number from 0 to 1 such as 0.2",
            from: |share| (0.0..=1.0).contains(&share).then(|| Self((share * 1e3).round() as u16)),
        })
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Auto<Int<MIN, MAX>> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AutoOr<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> Visitor<'_> for AutoOr<MIN, MAX> {
            type Value = Auto<Int<MIN, MAX>>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "\"auto\" or a whole number from {MIN} to {MAX}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "auto" { Ok(Auto::Auto) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                if (MIN..=MAX).contains(&number) {
                    Ok(Auto::Is(Int(number)))
                } else {
                    Err(E::invalid_value(Unexpected::Signed(number), &self))
                }
            }
        }
        from.deserialize_any(AutoOr::<MIN, MAX>)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Vec<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string or a list of strings")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Vec<T>, D::Error> {
                from.deserialize_any(self)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|one| vec![one])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = list.next_element()? {
                    many.push(one);
                }
                Ok(many)
            }
        }
        from.deserialize_newtype_struct(ONE_OR_MANY, Either(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let parse = |text| Millis::parse(text).map(|millis| (millis.0, millis.to_string()));
        assert_eq!(parse("250ms"), Some((250, "250ms".into())));
        assert_eq!(parse("10s"), Some((10_000, "10s".into())));
        assert_eq!(parse("90s"), Some((90_000, "90s".into())));
        assert_eq!(parse("5m"), Some((300_000, "5m".into())));
        assert_eq!(parse("72h"), Some((259_200_000, "3d".into())));
        assert_eq!(parse("30d"), Some((2_592_000_000, "30d".into())));
        for wrong in ["", "10", "s", "-1s", "+1s", "1.5s", "1h30m", "10 sec", "99999999999999999d"] {
            assert_eq!(Millis::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        let parse = |text| Bytes::parse(text).map(|bytes| (bytes.0, bytes.to_string()));
        assert_eq!(parse("512B"), Some((512, "512B".into())));
        assert_eq!(parse("64KiB"), Some((65_536, "64KiB".into())));
        assert_eq!(parse("16MiB"), Some((16_777_216, "16MiB".into())));
        assert_eq!(parse("1025B"), Some((1025, "1025B".into())));
        for wrong in ["", "16", "16M", "16MB", "1.5GiB", "-1B", "99999999999GiB"] {
            assert_eq!(Bytes::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rates_and_quotas() {
        assert_eq!(PerSecond::parse("5000/s"), Some(PerSecond(5000)));
        assert_eq!(PerSecond::parse("5000"), Some(PerSecond(5000)));
        for wrong in ["0", "0/s", "-1", "+1", "5000/m", "1000001", "/s", ""] {
            assert_eq!(PerSecond::parse(wrong), None, "{wrong}");
        }
        assert_eq!(PerPeriod::parse("7/day"), Some(PerPeriod(Quota { messages: 7, period: Period::Day })));
        for wrong in ["0/day", "7", "7/week", "/day", "-7/day"] {
            assert_eq!(PerPeriod::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rates_of_limits() {
        let parse = |text| PerSpan::parse(text).map(|rate| (rate.amount, rate.span, rate.to_string()));
        for text in ["500/s", "500 per second", "500 / 1s", "500 per s", "500/1000ms"] {
            assert_eq!(parse(text), Some((500, Span::Sliding(1_000), "500/s".into())), "{text}");
        }
        assert_eq!(parse("60/m"), Some((60, Span::Sliding(60_000), "60/m".into())));
        assert_eq!(parse("7 per 60m"), Some((7, Span::Sliding(3_600_000), "7/h".into())));
        assert_eq!(parse("1 per 10s"), Some((1, Span::Sliding(10_000), "1 per 10s".into())));
        assert_eq!(parse("1 per 30d"), Some((1, Span::Sliding(2_592_000_000), "1 per 30d".into())));
        assert_eq!(parse("9/day"), Some((9, Span::Sliding(86_400_000), "9/d".into())));
        for text in ["10000 per month", "10000/month"] {
            assert_eq!(parse(text), Some((10_000, Span::Month(Zone::UTC), "10000 per month".into())), "{text}");
        }
        for wrong in ["", "500", "/s", " per day", "-1/s", "+1/s", "1.5/s", "1/", "1/week", "1 per 2 month", "1/s/s"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
