//! Checks across tables: names that must exist, names and keys that must be unique, routes that can never be reached, an
//! HTTP address that would be open without authentication.
//!
//! Reads the resolved [`Config`] for values and the raw tables for their places in the file; both hold the same elements
//! in the same order. Changes nothing.

use std::collections::BTreeMap;

use toml::Spanned;

use stentor_core::limit::RULES_MAX;
use stentor_core::model::inboxes::bare;
use stentor_core::model::nearest;

use super::Config;
use super::gather::Gather;
use super::raw::RawConfig;
use super::server::listen_span;
use super::source::{Span, WHOLE};

/// Limit of `numbers` for all tenants together: every shard holds them in memory.
const NUMBERS_MAX: usize = 10_000;

pub(super) fn check(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    check_names("carrier", config.carriers.iter().map(|carrier| carrier.name.as_str()), spans(&raw.carrier), gather);
    check_names("route", config.routes.iter().map(|route| route.name.as_str()), spans(&raw.route), gather);
    check_names("tenant", config.tenants.iter().map(|tenant| tenant.name.as_str()), spans(&raw.tenant), gather);
    check_names("limit", config.sending_limits.iter().map(|limit| limit.name.as_str()), spans(&raw.limit), gather);
    check_presence(config, gather);
    check_door(config, raw, gather);
    check_routes(config, raw, gather);
    check_order(config, raw, gather);
    check_keys(config, raw, gather);
    check_numbers(config, raw, gather);
    check_limits(config, raw, gather);
    check_tests(config, raw, gather);
}

fn spans<T>(tables: &[Spanned<T>]) -> Vec<Span> {
    tables.iter().map(Spanned::span).collect()
}

/// Names must stay unique when `-` is replaced by `_`, because environment variables write both as `_`.
fn check_names<'n>(kind: &str, names: impl Iterator<Item = &'n str>, spans: Vec<Span>, gather: &mut Gather<'_>) {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for (name, span) in names.zip(spans).filter(|(name, _)| !name.is_empty()) {
        let folded = name.replace('-', "_");
        match seen.iter().find(|(other, _)| *other == folded) {
            Some((_, other)) if *other == name => {
                gather.refuse(&span, format!("another {kind} already has this name: rename one of them"));
            }
            Some((_, other)) => {
                let what = "only in - and _, which environment variables cannot tell apart: rename one of them";
                gather.refuse(&span, format!("differs from {kind} `{other}` {what}"));
            }
            None => seen.push((folded, name)),
        }
    }
}

fn check_presence(config: &Config, gather: &mut Gather<'_>) {
    if config.carriers.is_empty() {
        let what = "no [[carrier]] is configured, so nothing can be sent: add one with `name`, `hosts` and `system_id`";
        gather.refuse(&WHOLE, what);
    }
    if config.routes.is_empty() {
        let what = "no [[route]] is configured, so no message can be sent: add one with `name` and `carriers`";
        gather.refuse(&WHOLE, what);
    }
}

/// Without tenants there is no authentication: every client that can connect acts as tenant 0.
fn check_door(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    if config.tenants.is_empty() && !config.http.is_loopback() {
        gather.refuse(
            &listen_span(&raw.http),
            "without a [[tenant]] there is no authentication, so only loopback addresses are allowed: listen on \
             127.0.0.1 or [::1], or add a [[tenant]]",
        );
    }
}

fn check_routes(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    let carriers: Vec<&str> = config.carriers.iter().map(|carrier| carrier.name.as_str()).collect();
    let tenants: Vec<&str> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    for (route, raw) in config.routes.iter().zip(&raw.route) {
        let shares = raw.get_ref().carriers.iter().flat_map(|list| list.get_ref());
        for (share, raw) in route.carriers.iter().zip(shares) {
            let span = raw.get_ref().name.as_ref().map_or_else(|| raw.span(), Spanned::span);
            check_exists("carrier", &share.name, &carriers, &span, gather);
        }
        if let Some(typed) = &raw.get_ref().when.tenant {
            for tenant in &route.when.tenant {
                check_exists("tenant", tenant, &tenants, &typed.span(), gather);
            }
        }
    }
}

/// Refuses a name that is not in `known`. If an element of `known` has no name (which is reported elsewhere), that element
/// may be the one that is meant, so nothing is reported here.
fn check_exists(kind: &str, name: &str, known: &[&str], at: &Span, gather: &mut Gather<'_>) {
    let named_or_nameless = known.contains(&name) || known.contains(&"");
    if name.is_empty() || named_or_nameless {
        return;
    }
    let mut what = format!("there is no {kind} `{name}`");
    match nearest(name, known.iter().copied()) {
        Some(meant) => what.push_str(&format!("; did you mean `{meant}`?")),
        None if known.is_empty() => what.push_str(&format!(": no [[{kind}]] is configured")),
        None => {}
    }
    gather.refuse(at, what);
}

/// The first route that matches takes the message, so a later route with the same or a narrower condition may never match.
fn check_order(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    for (index, (route, raw)) in config.routes.iter().zip(&raw.route).enumerate() {
        let before = config.routes.iter().take(index);
        if let Some(other) = before.into_iter().find(|other| other.when.is_always() || other.when == route.when) {
            let what = "already takes every message that this one matches: move the narrower route up, or remove one";
            gather.refuse(&raw.span(), format!("never reached: route `{}` above {what}", other.name));
        }
    }
}

fn check_keys(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (tenant, raw) in config.tenants.iter().zip(&raw.tenant) {
        let places = raw.get_ref().keys.iter().chain(&raw.get_ref().admin_keys).flat_map(|list| list.get_ref());
        // A key that could not be fetched is empty; it is reported elsewhere and is not compared.
        let keys = tenant.keys.iter().chain(&tenant.admin_keys).zip(places);
        for (key, place) in keys.filter(|(key, _)| !key.reveal().is_empty()) {
            match seen.iter().find(|(other, _)| *other == key.reveal()) {
                Some((_, owner)) => {
                    let what = format!("this key is already in use at tenant `{owner}`: generate another one");
                    gather.refuse(&place.span(), what);
                }
                None => seen.push((key.reveal(), &tenant.name)),
            }
        }
    }
}

/// Each number belongs to one tenant, and all tenants together have at most [`NUMBERS_MAX`].
fn check_numbers(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    let mut seen: BTreeMap<&[u8], &str> = BTreeMap::new();
    for (tenant, raw) in config.tenants.iter().zip(&raw.tenant) {
        let places = raw.get_ref().numbers.iter().flat_map(|list| list.get_ref());
        for (number, place) in tenant.numbers.iter().zip(places) {
            let number = bare(number.as_bytes());
            if let Some(owner) = seen.get(number) {
                let what = format!("this number already belongs to tenant `{owner}`: list it once");
                gather.refuse(&place.span(), what);
            } else if seen.len() < NUMBERS_MAX {
                seen.insert(number, &tenant.name);
            } else {
                let what = "numbers: remove this one and those after it";
                gather.refuse(&place.span(), format!("all tenants together may have {NUMBERS_MAX} {what}"));
                return;
            }
        }
    }
}

fn check_limits(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    if let Some(first_over) = raw.limit.get(RULES_MAX) {
        let what = format!("there may be {RULES_MAX} limits: remove this one and those after it");
        gather.refuse(&first_over.span(), what);
    }
    let carriers: Vec<&str> = config.carriers.iter().map(|carrier| carrier.name.as_str()).collect();
    let tenants: Vec<&str> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    for (limit, raw) in config.sending_limits.iter().zip(&raw.limit) {
        let raw = raw.get_ref();
        if let Some(typed) = &raw.when.carrier {
            limit.when.carrier.iter().for_each(|name| check_exists("carrier", name, &carriers, &typed.span(), gather));
        }
        if let Some(typed) = &raw.when.tenant {
            limit.when.tenant.iter().for_each(|name| check_exists("tenant", name, &tenants, &typed.span(), gather));
        }
    }
}

fn check_tests(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    let routes: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
    let tenants: Vec<&str> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    for raw in &raw.test {
        let raw = raw.get_ref();
        if let Some(typed) = raw.expect.as_ref().and_then(|expect| expect.get_ref().route.as_ref()) {
            check_exists("route", typed.get_ref(), &routes, &typed.span(), gather);
        }
        if let Some(typed) = raw.given.as_ref().and_then(|given| given.get_ref().tenant.as_ref()) {
            check_exists("tenant", typed.get_ref(), &tenants, &typed.span(), gather);
        }
    }
}
