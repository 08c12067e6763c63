//! Resolves `[defaults]` and `[retry]`: values for fields that a message leaves out, and how often it is tried.
//!
//! Knows values only. Refuses to know what a class or an error class leads to.

use std::ops::RangeInclusive;

use serde::Serialize;
use stentor_core::delivery::{Backoff, RetryPolicy};
use toml::Spanned;

use super::choice::{Class, DoubtPolicy};
use super::gather::{DAY, Gather, HOUR, MINUTE, SECOND, or};
use super::raw::{RawClassExpiry, RawDefaults, RawInDoubt, RawNumberRange, RawRetry, RawRetryPolicy};
use super::shown;
use super::units::{Int, Millis, Permille};
use stentor_core::admission::numbering;

/// How long a message may be worth sending, ms.
const EXPIRES_IN: RangeInclusive<u64> = SECOND..=14 * DAY;

/// Values that apply when neither the message, nor its route, nor its tenant has one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Defaults {
    /// ISO 3166; numbers without `+` are read as dialled there. `None`: every number must be international.
    pub country: Option<String>,
    /// Lengths of numbers beyond those in the built-in table of countries.
    pub number_ranges: Vec<NumberRange>,
    /// Urgency of a message that names no class.
    pub class: Class,
    /// Sender; `None`: the carrier chooses one.
    pub from: Option<String>,
    /// A text that needs more parts is refused with `too_many_parts`, unless its message allows more.
    pub parts_max: u8,
    /// How long a message is worth sending; afterwards it is `expired`.
    #[serde(rename = "expires_in", serialize_with = "shown::duration")]
    pub expires_in_ms: u64,
    /// The same by class of message.
    pub class_expires_in: ByClass<Millis>,
    /// How long a message's history is kept after it reaches its final state.
    #[serde(rename = "retention", serialize_with = "shown::duration")]
    pub retention_ms: u64,
    /// How long a message that a carrier has accepted waits for its receipt.
    #[serde(rename = "receipt_wait", serialize_with = "shown::duration")]
    pub receipt_wait_ms: u64,
    /// How long an attempt in doubt waits for its receipt before its policy acts.
    #[serde(rename = "in_doubt_wait", serialize_with = "shown::duration")]
    pub in_doubt_wait_ms: u64,
    /// How often a session may be lost while a message was alone on it, before the message is given up instead of sent again.
    pub doubts_max: u8,
    /// What happens to an attempt in doubt, by class of message.
    pub in_doubt: ByClass<DoubtPolicy>,
}

/// Numbers with this prefix may have these lengths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NumberRange {
    /// First digits, country code included, without `+`.
    pub prefix: String,
    /// Possible numbers of digits, country code included.
    pub digits: Vec<u8>,
}

impl NumberRange {
    fn as_read(&self) -> Option<numbering::NumberRange> {
        numbering::NumberRange::new(&self.prefix, &self.digits)
    }
}

/// The ranges by which senders in the file are parsed. A wrong range is left out here and reported by `checked_range`.
pub(super) fn ranges(raw: &RawDefaults) -> Vec<numbering::NumberRange> {
    let listed = raw.number_ranges.iter().flat_map(|list| list.get_ref());
    listed.filter_map(|typed| range(typed.get_ref()).as_read()).collect()
}

fn range(raw: &RawNumberRange) -> NumberRange {
    let prefix = raw.prefix.as_ref().map(|prefix| prefix.get_ref().as_str()).unwrap_or_default();
    let digits = raw.digits.iter().flat_map(|digits| digits.get_ref()).map(|length| length.get());
    NumberRange { prefix: prefix.strip_prefix('+').unwrap_or(prefix).to_owned(), digits: digits.collect() }
}

fn checked_range(typed: &Spanned<RawNumberRange>, gather: &mut Gather<'_>) -> NumberRange {
    let (raw, table) = (typed.get_ref(), typed.span());
    let found = range(raw);
    let is_whole = gather.required(&raw.prefix, &table, "prefix").is_some()
        & gather.required(&raw.digits, &table, "digits").is_some();
    if is_whole && found.as_read().is_none() {
        let what = "no number can match: write a `prefix` of 1 to 15 digits without a leading 0, such as \"4758\", and in \
             `digits` total lengths from 7 to 15, none shorter than the prefix";
        gather.refuse(&table, what);
    }
    found
}

/// A value for each class of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ByClass<T> {
    pub emergency: T,
    pub otp: T,
    pub transactional: T,
    pub marketing: T,
}

impl<T: Copy> ByClass<T> {
    /// That of one class.
    pub const fn of(&self, class: Class) -> T {
        match class {
            Class::Emergency => self.emergency,
            Class::Otp => self.otp,
            Class::Transactional => self.transactional,
            Class::Marketing => self.marketing,
        }
    }
}

/// `all`: the expiry of a class for which nothing is written. A one-time password is worth nothing after some minutes.
fn class_expires_in(raw: &RawClassExpiry, all: u64, gather: &mut Gather<'_>) -> ByClass<Millis> {
    let mut of = |typed, default| Millis(gather.millis(typed, default, EXPIRES_IN));
    ByClass {
        emergency: of(&raw.emergency, all),
        otp: of(&raw.otp, all.min(10 * MINUTE)),
        transactional: of(&raw.transactional, all),
        marketing: of(&raw.marketing, all),
    }
}

fn in_doubt(raw: &RawInDoubt) -> ByClass<DoubtPolicy> {
    ByClass {
        emergency: or(&raw.emergency, DoubtPolicy::Resend),
        otp: or(&raw.otp, DoubtPolicy::Drop),
        transactional: or(&raw.transactional, DoubtPolicy::Resend),
        marketing: or(&raw.marketing, DoubtPolicy::Resend),
    }
}

impl Defaults {
    pub(super) fn meant(raw: &RawDefaults, gather: &mut Gather<'_>) -> Self {
        if let Some(country) = &raw.country {
            gather.check_country(country.get_ref(), &country.span());
        }
        let expires_in_ms = gather.millis(&raw.expires_in, 48 * HOUR, EXPIRES_IN);
        Self {
            country: raw.country.as_ref().map(|country| country.get_ref().clone()),
            number_ranges: raw
                .number_ranges
                .iter()
                .flat_map(|list| list.get_ref())
                .map(|typed| checked_range(typed, gather))
                .collect(),
            class: or(&raw.class, Class::Transactional),
            from: gather.sender(&raw.from),
            parts_max: or(&raw.parts_max, Int(16)).get(),
            expires_in_ms,
            class_expires_in: class_expires_in(&raw.class_expires_in, expires_in_ms, gather),
            retention_ms: gather.millis(&raw.retention, 72 * HOUR, HOUR..=3_650 * DAY),
            receipt_wait_ms: gather.millis(&raw.receipt_wait, 72 * HOUR, MINUTE..=30 * DAY),
            in_doubt_wait_ms: gather.millis(&raw.in_doubt_wait, 10 * SECOND, SECOND..=DAY),
            doubts_max: or(&raw.doubts_max, Int(3)).get(),
            in_doubt: in_doubt(&raw.in_doubt),
        }
    }
}

/// How often and how soon a refused part is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// By error class.
    #[serde(flatten, serialize_with = "shown::retry")]
    pub by_error: RetryPolicy,
    /// After temporary and unknown errors, by class of message.
    #[serde(flatten)]
    pub by_class: ByClass<ClassRetry>,
}

/// What differs for a class of messages; `None`: as for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassRetry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u8>,
    #[serde(
        rename = "backoff_min",
        serialize_with = "shown::duration_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub backoff_min_ms: Option<u64>,
    #[serde(
        rename = "backoff_max",
        serialize_with = "shown::duration_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub backoff_max_ms: Option<u64>,
    #[serde(rename = "jitter", serialize_with = "shown::share_if_any", skip_serializing_if = "Option::is_none")]
    pub jitter_permille: Option<u16>,
}

impl Retry {
    pub(super) fn meant(raw: &RawRetry, gather: &mut Gather<'_>) -> Self {
        let default = RetryPolicy::default();
        let by_error = RetryPolicy {
            transient: backoff(&raw.transient, default.transient, gather),
            session: backoff(&raw.session, default.session, gather),
            credential: backoff(&raw.credential, default.credential, gather),
            our_bug: backoff(&raw.our_bug, default.our_bug, gather),
            unknown: backoff(&raw.unknown, default.unknown, gather),
        };
        // A password is of no use any more when the usual pauses are over.
        let soon = (Some(2 * SECOND), Some(30 * SECOND));
        let by_class = ByClass {
            emergency: ClassRetry::meant(&raw.emergency, (None, None), &by_error, gather),
            otp: ClassRetry::meant(&raw.otp, soon, &by_error, gather),
            transactional: ClassRetry::meant(&raw.transactional, (None, None), &by_error, gather),
            marketing: ClassRetry::meant(&raw.marketing, (None, None), &by_error, gather),
        };
        Self { by_error, by_class }
    }

    /// What holds for a class of messages.
    pub fn of(&self, class: Class) -> RetryPolicy {
        let own = self.by_class.of(class);
        let RetryPolicy { transient, unknown, .. } = self.by_error;
        RetryPolicy { transient: own.over(transient), unknown: own.over(unknown), ..self.by_error }
    }
}

impl ClassRetry {
    fn meant(
        raw: &RawRetryPolicy,
        (backoff_min, backoff_max): (Option<u64>, Option<u64>),
        all: &RetryPolicy,
        gather: &mut Gather<'_>,
    ) -> Self {
        let written = raw.backoff_min.is_some() || raw.backoff_max.is_some();
        let own = Self {
            attempts_max: raw.attempts_max.as_ref().map(|most| most.get_ref().get()),
            backoff_min_ms: gather.millis_if_any(&raw.backoff_min, 100..=DAY).or(backoff_min),
            backoff_max_ms: gather.millis_if_any(&raw.backoff_max, 100..=7 * DAY).or(backoff_max),
            jitter_permille: raw.jitter.as_ref().map(|share| share.get_ref().0),
        };
        let wrong = [all.transient, all.unknown].map(|of_all| own.over(of_all));
        let wrong = wrong.into_iter().find(|policy| policy.backoff_min_ms > policy.backoff_max_ms);
        if let Some(policy) = wrong.filter(|_| written) {
            in_order(raw, policy, gather);
        }
        own
    }

    fn over(self, all: Backoff) -> Backoff {
        Backoff {
            attempts_max: self.attempts_max.unwrap_or(all.attempts_max),
            backoff_min_ms: self.backoff_min_ms.unwrap_or(all.backoff_min_ms),
            backoff_max_ms: self.backoff_max_ms.unwrap_or(all.backoff_max_ms),
            jitter_permille: self.jitter_permille.unwrap_or(all.jitter_permille),
        }
    }
}

fn in_order(raw: &RawRetryPolicy, policy: Backoff, gather: &mut Gather<'_>) {
    gather.in_order(
        (&raw.backoff_min, policy.backoff_min_ms, "backoff_min"),
        (&raw.backoff_max, policy.backoff_max_ms, "backoff_max"),
    );
}

/// `default`: for what is not written.
fn backoff(raw: &RawRetryPolicy, default: Backoff, gather: &mut Gather<'_>) -> Backoff {
    let policy = Backoff {
        attempts_max: or(&raw.attempts_max, Int(i64::from(default.attempts_max))).get(),
        backoff_min_ms: gather.millis(&raw.backoff_min, default.backoff_min_ms, 100..=DAY),
        backoff_max_ms: gather.millis(&raw.backoff_max, default.backoff_max_ms, 100..=7 * DAY),
        jitter_permille: raw.jitter.as_ref().map_or(Permille(default.jitter_permille), |share| *share.get_ref()).0,
    };
    in_order(raw, policy, gather);
    policy
}
