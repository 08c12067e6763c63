//! Figures with units: shown to people, written as JSON, with the direction in which each is better. Knows no scenario
//! and no file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::smsc::stats::Quantiles;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    /// A count without a unit.
    #[serde(rename = "")]
    Count,
    #[serde(rename = "msg/s")]
    PerSecond,
    /// CPU time or another cost of one message.
    #[serde(rename = "µs/msg")]
    MicrosPerMessage,
    #[serde(rename = "bytes/msg")]
    BytesPerMessage,
    #[serde(rename = "ms")]
    Millis,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "bytes")]
    Bytes,
    /// Numbers of CPUs: 1 is one CPU, busy all the time.
    #[serde(rename = "CPUs")]
    Cpus,
}

/// The direction in which a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
    /// The figure is shown but not judged.
    Neither,
}

impl Unit {
    /// The symbol after a number.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::PerSecond => "msg/s",
            Self::MicrosPerMessage => "µs/msg",
            Self::BytesPerMessage => "bytes/msg",
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Cpus => "CPUs",
        }
    }

    /// The direction in which a number of this unit is better.
    pub(crate) const fn better(self) -> Better {
        match self {
            Self::PerSecond => Better::Higher,
            Self::MicrosPerMessage | Self::BytesPerMessage | Self::Millis | Self::Seconds | Self::Bytes => {
                Better::Lower
            }
            Self::Count | Self::Cpus => Better::Neither,
        }
    }

    /// A number with this unit, for people.
    pub(crate) fn show(self, value: f64) -> String {
        let unit = self.symbol();
        match self {
            Self::Count if value.fract() == 0.0 || value.abs() >= 1e4 => grouped(value),
            Self::Count => format!("{value:.1}"),
            Self::PerSecond if value < 100.0 => format!("{value:.1} {unit}"),
            Self::PerSecond | Self::BytesPerMessage => format!("{} {unit}", grouped(value)),
            Self::MicrosPerMessage | Self::Millis | Self::Seconds | Self::Cpus => format!("{value:.2} {unit}"),
            Self::Bytes if value.abs() < 1e4 => format!("{value:.0} bytes"),
            Self::Bytes if value.abs() < 1e6 => format!("{:.1} KiB", value / 1_024.0),
            Self::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
        }
    }
}

/// A whole number with a comma before each three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let count = digits.trim_start_matches('-').len();
    let mut shown = String::with_capacity(digits.len() + count / 3);
    for (at, digit) in digits.chars().enumerate() {
        let left = digits.len() - at;
        if digit.is_ascii_digit() && left % 3 == 0 && left < count {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// One value that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Number {
        value: f64,
        unit: Unit,
    },
    /// Quantiles of a distribution.
    Quantiles {
        p50: f64,
        p99: f64,
        p999: f64,
        max: f64,
        unit: Unit,
    },
    Text {
        text: String,
    },
}

impl Value {
    /// A number with its unit.
    pub(crate) const fn number(value: f64, unit: Unit) -> Self {
        Self::Number { value, unit }
    }

    /// Messages (or parts) per second.
    pub(crate) const fn per_second(value: f64) -> Self {
        Self::number(value, Unit::PerSecond)
    }

    /// Seconds.
    pub(crate) const fn seconds(value: f64) -> Self {
        Self::number(value, Unit::Seconds)
    }

    /// CPU time of one message.
    pub(crate) fn micros_per_message(seconds: f64, messages: u64) -> Self {
        Self::number(seconds * 1e6 / messages.max(1) as f64, Unit::MicrosPerMessage)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { value, unit } => f.write_str(&unit.show(*value)),
            Self::Quantiles { p50, p99, p999, max, unit } => {
                write!(f, "{p50:.2} / {p99:.2} / {p999:.2} / {max:.2} {}", unit.symbol())
            }
            Self::Text { text } => f.write_str(text),
        }
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::number(count as f64, Unit::Count)
    }
}

impl From<u32> for Value {
    fn from(count: u32) -> Self {
        Self::from(u64::from(count))
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::from(count as u64)
    }
}

impl From<f64> for Value {
    fn from(count: f64) -> Self {
        Self::number(count, Unit::Count)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text { text }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text { text: text.to_owned() }
    }
}

/// Quantiles in microseconds, shown in milliseconds.
pub(crate) fn quantiles_ms(quantiles: &Quantiles) -> Value {
    let ms = |us: u64| us as f64 / 1_000.0;
    Value::Quantiles {
        p50: ms(quantiles.p50),
        p99: ms(quantiles.p99),
        p999: ms(quantiles.p999),
        max: ms(quantiles.max),
        unit: Unit::Millis,
    }
}

/// Bytes, shown in MiB.
pub(crate) fn mib(bytes: u64) -> Value {
    Value::number(bytes as f64, Unit::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_their_units() {
        for (value, shown) in [
            (Value::from(7_u64), "7"),
            (Value::from(7.25), "7.2"),
            (Value::from(1_234_567_u32), "1,234,567"),
            (Value::from(-1_234.0), "-1,234"),
            (Value::from(123_u64), "123"),
            (Value::per_second(44_332.4), "44,332 msg/s"),
            (Value::seconds(0.5), "0.50 s"),
            (Value::micros_per_message(2.0, 1_000_000), "2.00 µs/msg"),
            (mib(3 << 20), "3.0 MiB"),
            (mib(194), "194 bytes"),
            (mib(32_656), "31.9 KiB"),
            (Value::from("yes"), "yes"),
            (
                quantiles_ms(&Quantiles { p50: 1_000, p99: 2_500, p999: 3_000, max: 4_000 }),
                "1.00 / 2.50 / 3.00 / 4.00 ms",
            ),
        ] {
            assert_eq!(value.to_string(), shown);
        }
    }

    #[test]
    fn json_holds_numbers_and_units_apart() {
        let json = |value: Value| serde_json::to_value(value).unwrap();
        assert_eq!(json(Value::per_second(5.0)), serde_json::json!({ "value": 5.0, "unit": "msg/s" }));
        assert_eq!(json(Value::from("x")), serde_json::json!({ "text": "x" }));
        let unit: Unit = serde_json::from_str("\"µs/msg\"").unwrap();
        assert_eq!(unit, Unit::MicrosPerMessage);
    }
}
