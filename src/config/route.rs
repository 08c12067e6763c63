//! What is meant by `[[route]]`: which messages, to which carriers, in which shares.
//!
//! Routes are tried in the file's order; the first that matches takes the message. Refuses to know how they are
//! matched; whether the names in it exist is asked in `check`.

use serde::Serialize;
use toml::Spanned;

use super::choice::Class;
use super::gather::Gather;
use super::raw::{RawRoute, RawShare, RawWhen, Typed};
use super::units::{Int, OneOrMany};
use stentor_core::model::Quoted;

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Unique among routes; a lane's identity.
    pub name: String,
    /// What it takes.
    pub when: When,
    /// At least one, at least one of them with a weight.
    pub carriers: Vec<Share>,
    /// Sender of messages that name none; `None`: the tenant's, then the default's.
    pub from: Option<String>,
}

/// Conditions, all of which must hold; an empty list always does, else one entry of it must.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct When {
    /// First digits of the recipient, without `+`.
    pub prefix: Vec<String>,
    /// The sender, whole; ending in `*`: its beginning.
    pub sender: Vec<String>,
    /// The message's class.
    pub class: Vec<Class>,
    /// The tenant's name.
    pub tenant: Vec<String>,
    /// One of the message's tags.
    pub tag: Vec<String>,
}

impl When {
    /// It takes every message.
    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }

    fn meant(raw: &RawWhen, gather: &mut Gather<'_>) -> Self {
        let prefix = list(&raw.prefix, "prefix", gather);
        let sender = list(&raw.sender, "sender", gather);
        let span = raw.sender.as_ref().map(Spanned::span).unwrap_or_default();
        let sender = sender.iter().map(|pattern| gather.sender_pattern(pattern, &span)).collect();
        let tag = list(&raw.tag, "tag", gather);
        if let Some(typed) = &raw.prefix {
            for text in &prefix {
                let digits = text.strip_prefix('+').unwrap_or(text);
                if !(1..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    let what = "is no prefix: 1 to 15 digits such as \"49\"";
                    gather.refuse(&typed.span(), format!("{} {what}", Quoted(text)));
                }
            }
        }
        Self {
            prefix: prefix.iter().map(|text| text.trim_start_matches('+').to_owned()).collect(),
            sender,
            class: list(&raw.class, "class", gather),
            tenant: list(&raw.tenant, "tenant", gather),
            tag,
        }
    }
}

/// An absent list is a condition that always holds; a written empty one could never hold.
fn list<T: Clone>(typed: &Typed<OneOrMany<T>>, key: &str, gather: &mut Gather<'_>) -> Vec<T> {
    let Some(list) = typed else { return Vec::new() };
    if list.get_ref().0.is_empty() {
        gather.refuse(&list.span(), format!("an empty list matches nothing; leave `{key}` out to match everything"));
    }
    list.get_ref().0.clone()
}

/// A carrier's part in a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The carrier's name.
    pub name: String,
    /// 0: it takes none of the messages. Others share them evenly.
    pub weight: u32,
}

impl Route {
    pub(super) fn meant(typed: &Spanned<RawRoute>, gather: &mut Gather<'_>) -> Self {
        let (raw, table) = (typed.get_ref(), typed.span());
        if let Some(failover) = raw.failover.as_ref().filter(|failover| *failover.get_ref()) {
            gather.refuse(
                &failover.span(),
                "trying another carrier after a failure is not in this version; only `false` is taken",
            );
        }
        let name = gather.name(&raw.name, &table);
        let mut carriers: Vec<Share> = Vec::new();
        if let Some(list) = gather.required(&raw.carriers, &table, "carriers") {
            for typed in list.get_ref() {
                let share = share(typed, gather);
                if carriers.iter().any(|other| other.name == share.name && !share.name.is_empty()) {
                    gather.refuse(&typed.span(), format!("carrier `{}` stands there twice", share.name));
                }
                carriers.push(share);
            }
            if carriers.iter().all(|share| share.weight == 0) {
                gather.refuse(&list.span(), "no carrier with a weight above 0");
            }
            let mut taking = carriers.iter().map(|share| share.weight).filter(|weight| *weight > 0);
            let first = taking.next();
            if taking.any(|weight| Some(weight) != first) {
                let what = "carriers of a route share evenly in this version: weights above 0 must be equal";
                gather.refuse(&list.span(), what);
            }
        }
        Self { name, when: When::meant(&raw.when, gather), carriers, from: gather.sender(&raw.from) }
    }
}

fn share(typed: &Spanned<RawShare>, gather: &mut Gather<'_>) -> Share {
    let raw = typed.get_ref();
    let name = gather.required(&raw.name, &typed.span(), "name").map(|name| name.get_ref().clone()).unwrap_or_default();
    Share { name, weight: raw.weight.as_ref().map_or(Int(1), |weight| *weight.get_ref()).get() }
}
