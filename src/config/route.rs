//! Resolves `[[route]]`: which messages go to which carriers, in which shares.
//!
//! Routes are tried in the order of the file; the first that matches takes the message. Refuses to know how messages are
//! matched; `check` finds out whether the carriers and tenants named here exist.

use serde::Serialize;
use toml::Spanned;

use super::choice::Class;
use super::gather::Gather;
use super::raw::{RawRoute, RawShare, RawWhen};
use super::units::Int;
use stentor_core::model::{Prefix, Quoted};

/// One route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Unique among routes. Waiting messages are stored under it: if it changes, they are routed anew.
    pub name: String,
    /// Which messages it takes.
    pub when: When,
    /// At least one has a weight above 0.
    pub carriers: Vec<Share>,
    /// Sender of messages that name none; `None`: the tenant's `from`, then that of `[defaults]`.
    pub from: Option<String>,
}

/// Conditions, all of which must hold. An empty list always holds; any other holds if one of its entries does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct When {
    /// First digits of the recipient, without `+`.
    pub prefix: Vec<String>,
    /// The whole sender, or its beginning followed by `*`.
    pub sender: Vec<String>,
    /// The message's class.
    pub class: Vec<Class>,
    /// The tenant's name.
    pub tenant: Vec<String>,
    /// Compared with each of the message's tags.
    pub tag: Vec<String>,
}

impl When {
    /// Whether there is no condition: every message matches.
    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }

    fn meant(raw: &RawWhen, gather: &mut Gather<'_>) -> Self {
        let prefix = gather.list(&raw.prefix, "prefix");
        let sender = gather.sender_patterns(&raw.sender, "sender");
        let tag = gather.list(&raw.tag, "tag");
        if let Some(typed) = &raw.prefix {
            for text in &prefix {
                let digits = text.strip_prefix('+').unwrap_or(text);
                if Prefix::new(digits).is_none() {
                    let what = "is not a prefix: write 1 to 15 digits such as \"49\"";
                    gather.refuse(&typed.span(), format!("{} {what}", Quoted(text)));
                }
            }
        }
        Self {
            prefix: prefix.iter().map(|text| text.trim_start_matches('+').to_owned()).collect(),
            sender,
            class: gather.list(&raw.class, "class"),
            tenant: gather.list(&raw.tenant, "tenant"),
            tag,
        }
    }
}

/// A carrier's part in a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The carrier's name.
    pub name: String,
    /// 0: the carrier gets none of the route's messages. All other carriers share them evenly.
    pub weight: u32,
}

impl Route {
    pub(super) fn meant(typed: &Spanned<RawRoute>, gather: &mut Gather<'_>) -> Self {
        let (raw, table) = (typed.get_ref(), typed.span());
        if let Some(failover) = raw.failover.as_ref().filter(|failover| *failover.get_ref()) {
            gather.refuse(
                &failover.span(),
                "trying another carrier after a failure is not supported in this version: write `false` or omit it",
            );
        }
        let name = gather.name(&raw.name, &table);
        let mut carriers: Vec<Share> = Vec::new();
        if let Some(list) = gather.required(&raw.carriers, &table, "carriers") {
            for typed in list.get_ref() {
                let share = share(typed, gather);
                if carriers.iter().any(|other| other.name == share.name && !share.name.is_empty()) {
                    gather.refuse(&typed.span(), format!("carrier `{}` is listed twice: remove one", share.name));
                }
                carriers.push(share);
            }
            if carriers.iter().all(|share| share.weight == 0) {
                gather.refuse(&list.span(), "no carrier has a weight above 0: give at least one of them such a weight");
            }
            let mut taking = carriers.iter().map(|share| share.weight).filter(|weight| *weight > 0);
            let first = taking.next();
            if taking.any(|weight| Some(weight) != first) {
                let what = "in this version the carriers of a route share evenly: make all weights above 0 equal";
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
