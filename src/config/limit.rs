//! Resolves `[[limit]]`: how much may be sent of which messages in which time.
//!
//! Refuses to know how it is counted; `check` finds out whether the carriers and tenants named here exist.

use std::ops::RangeInclusive;

use serde::Serialize;
use toml::Spanned;

use super::choice::{Class, LimitOf, LimitOver, LimitPer};
use super::gather::{DAY, Gather, SECOND};
use super::raw::{Optional, RawLimit, RawLimitWhen};
use super::shown;
use super::units::{Millis, OneOrMany, PerSpan};
use stentor_core::limit::{Of, Over, Per, Span};
use stentor_core::model::{Country, Quoted, Zone, nearest};

/// Times in which a limit may count, ms. Each use is remembered for as long.
const SPANS: RangeInclusive<u64> = SECOND..=31 * DAY;
/// The largest amount: more than any machine could send in a month.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// One limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// Unique among limits. Its number on disk belongs to the name.
    pub name: String,
    /// Which messages count.
    pub when: LimitWhen,
    /// By what they are counted apart: one counter for each value.
    #[serde(serialize_with = "shown::limit_per")]
    pub per: Per,
    /// What is counted.
    #[serde(serialize_with = "shown::limit_of")]
    pub of: Of,
    /// How much in which time, for each value of `per`.
    pub rate: PerSpan,
    /// The zone of the calendar by which months are counted; also in `rate`, if it is by the month.
    #[serde(serialize_with = "shown::zone")]
    pub zone: Zone,
    /// What happens to a message for which there is no room.
    #[serde(serialize_with = "shown::limit_over")]
    pub over: Over,
}

/// Conditions, all of which must hold. An empty list always holds; any other holds if one of its entries does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LimitWhen {
    /// ISO 3166 codes of the recipient's country.
    pub country: Vec<String>,
    /// The message's class.
    pub class: Vec<Class>,
    /// The tenant's name.
    pub tenant: Vec<String>,
    /// Name of the carrier that sends the message.
    pub carrier: Vec<String>,
    /// Compared with each of the message's tags.
    pub tag: Vec<String>,
    /// The whole sender, or its beginning followed by `*`.
    pub sender: Vec<String>,
}

impl Limit {
    pub(super) fn meant(typed: &Spanned<RawLimit>, gather: &mut Gather<'_>) -> Self {
        let (raw, table) = (typed.get_ref(), typed.span());
        let name = gather.name(&raw.name, &table);
        // In the place of a rate that is missing, which was reported.
        let rate = PerSpan { amount: 1, span: Span::Month(Zone::UTC) };
        let mut rate = gather.required(&raw.rate, &table, "rate").map_or(rate, |typed| *typed.get_ref());
        check_rate(&raw.rate, gather);
        let zone = zone(&raw.zone, rate.span, gather);
        if let Span::Month(of) = &mut rate.span {
            *of = zone;
        }
        Self {
            name,
            when: LimitWhen::meant(&raw.when, gather),
            per: per(&raw.per, gather),
            of: of(&raw.of, gather),
            rate,
            zone,
            over: match raw.over.as_ref().map(Spanned::get_ref) {
                Some(LimitOver::Wait) | None => Over::Wait,
                Some(LimitOver::Refuse) => Over::Refuse,
            },
        }
    }
}

impl LimitWhen {
    fn meant(raw: &RawLimitWhen, gather: &mut Gather<'_>) -> Self {
        let country = gather.list(&raw.country, "country");
        if let Some(typed) = &raw.country {
            country.iter().for_each(|code| check_country(code, typed, gather));
        }
        Self {
            country,
            class: gather.list(&raw.class, "class"),
            tenant: gather.list(&raw.tenant, "tenant"),
            carrier: gather.list(&raw.carrier, "carrier"),
            tag: gather.list(&raw.tag, "tag"),
            sender: gather.sender_patterns(&raw.sender, "sender"),
        }
    }
}

fn check_country(code: &str, typed: &Spanned<OneOrMany<String>>, gather: &mut Gather<'_>) {
    gather.check_country(code, &typed.span());
    // What is not a code was reported by the line above.
    if Country::new(code).is_some_and(|country| !gather.numbers.has_plan(country)) {
        let what = "is not a country with phone numbers: write an ISO 3166 code such as \"DE\"";
        gather.refuse(&typed.span(), format!("{} {what}", Quoted(code)));
    }
}

/// Values that are known but not supported are refused with what to do instead.
fn per(typed: &Optional<LimitPer>, gather: &mut Gather<'_>) -> Per {
    let Some(typed) = typed else { return Per::All };
    let what = match typed.get_ref() {
        LimitPer::All => return Per::All,
        LimitPer::Tenant => return Per::Tenant,
        LimitPer::Carrier => return Per::Carrier,
        LimitPer::Sender => return Per::Sender,
        LimitPer::Country => return Per::Country,
        LimitPer::Tag => return Per::Tag,
        LimitPer::Bind => "is not supported: use `bind_rate` of the carrier",
        LimitPer::Recipient => "is not supported in this version: count by another value, such as \"sender\"",
    };
    gather.refuse(&typed.span(), format!("{} {what}", Quoted(typed.get_ref().name())));
    Per::All
}

fn of(typed: &Optional<LimitOf>, gather: &mut Gather<'_>) -> Of {
    match typed.as_ref().map(Spanned::get_ref) {
        Some(LimitOf::Parts) | None => Of::Parts,
        Some(LimitOf::Messages) => Of::Messages,
        Some(LimitOf::Recipients) => {
            let what = "\"recipients\" is not supported in this version: count \"messages\" or \"parts\"";
            gather.refuse(&typed.as_ref().map(Spanned::span).unwrap_or_default(), what);
            Of::Messages
        }
    }
}

fn check_rate(typed: &Optional<PerSpan>, gather: &mut Gather<'_>) {
    let Some(typed) = typed else { return };
    let PerSpan { amount, span } = *typed.get_ref();
    if !(1..=AMOUNT_MAX).contains(&amount) {
        let what = format!("{amount} is out of range: write a number from 1 to {AMOUNT_MAX}");
        gather.refuse(&typed.span(), what);
    }
    match span {
        Span::Sliding(ms) if !SPANS.contains(&ms) => {
            let (least, most) = (Millis(*SPANS.start()), Millis(*SPANS.end()));
            let what = format!("{} is out of range: write a time from {least} to {most}, or \"month\"", Millis(ms));
            gather.refuse(&typed.span(), what);
        }
        Span::Sliding(_) | Span::Month(_) => {}
    }
}

/// A zone that would change nothing is refused: a configuration that names one means days of the calendar.
fn zone(typed: &Optional<String>, span: Span, gather: &mut Gather<'_>) -> Zone {
    let Some(typed) = typed else { return Zone::UTC };
    let (name, at) = (typed.get_ref(), typed.span());
    let Some(zone) = Zone::parse(name) else {
        let mut what = format!("{} is not a time zone: write an IANA name such as \"Europe/Berlin\"", Quoted(name));
        if let Some(meant) = nearest(name, Zone::names()) {
            what.push_str(&format!("; did you mean {}?", Quoted(meant)));
        }
        gather.refuse(&at, what);
        return Zone::UTC;
    };
    if zone != Zone::UTC && matches!(span, Span::Sliding(_)) {
        let what = "is for a rate \"per month\" only: in any other time, a day too, the limit holds whenever it begins";
        gather.refuse(&at, format!("{} {what}", Quoted(name)));
    }
    zone
}
