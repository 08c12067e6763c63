//! What each table cannot know alone: names that must exist, names and keys that must differ, routes that can never be
//! reached, a door that would stand open.
//!
//! Reads the meaning, and the raw tables beside it for their places; both have the same elements in the same order.
//! Changes nothing.

use std::collections::BTreeMap;

use toml::Spanned;

use stentor_core::model::inboxes::bare;
use stentor_core::model::nearest;

use super::Config;
use super::gather::Gather;
use super::raw::RawConfig;
use super::server::listen_span;
use super::source::{Span, WHOLE};

/// Numbers of all tenants; every shard holds them in memory.
const NUMBERS_MAX: usize = 10_000;

pub(super) fn check(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    check_names("carrier", config.carriers.iter().map(|carrier| carrier.name.as_str()), spans(&raw.carrier), gather);
    check_names("route", config.routes.iter().map(|route| route.name.as_str()), spans(&raw.route), gather);
    check_names("tenant", config.tenants.iter().map(|tenant| tenant.name.as_str()), spans(&raw.tenant), gather);
    check_presence(config, gather);
    check_door(config, raw, gather);
    check_routes(config, raw, gather);
    check_order(config, raw, gather);
    check_keys(config, raw, gather);
    check_numbers(config, raw, gather);
    check_tests(config, raw, gather);
}

fn spans<T>(tables: &[Spanned<T>]) -> Vec<Span> {
    tables.iter().map(Spanned::span).collect()
}

/// Names differ also when `-` is read as `_`, for so the environment names them.
fn check_names<'n>(kind: &str, names: impl Iterator<Item = &'n str>, spans: Vec<Span>, gather: &mut Gather<'_>) {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for (name, span) in names.zip(spans).filter(|(name, _)| !name.is_empty()) {
        let folded = name.replace('-', "_");
        match seen.iter().find(|(other, _)| *other == folded) {
            Some((_, other)) if *other == name => gather.refuse(&span, format!("there are two {kind}s of this name")),
            Some((_, other)) => {
                gather.refuse(&span, format!("the environment could not tell it from {kind} `{other}`"));
            }
            None => seen.push((folded, name)),
        }
    }
}

fn check_presence(config: &Config, gather: &mut Gather<'_>) {
    if config.carriers.is_empty() {
        gather.refuse(&WHOLE, "there is no [[carrier]]: nothing could be sent");
    }
    if config.routes.is_empty() {
        gather.refuse(&WHOLE, "there is no [[route]]: no message would find its way");
    }
}

/// Without tenants everybody who can connect is tenant 0.
fn check_door(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    if config.tenants.is_empty() && !config.http.is_loopback() {
        gather.refuse(
            &listen_span(&raw.http),
            "without a [[tenant]] there is no authentication, so only loopback addresses may be listened on",
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

/// Where one of the known has no name (told elsewhere), it may be the one that is meant.
fn check_exists(kind: &str, name: &str, known: &[&str], at: &Span, gather: &mut Gather<'_>) {
    let named_or_nameless = known.contains(&name) || known.contains(&"");
    if name.is_empty() || named_or_nameless {
        return;
    }
    let mut what = format!("there is no {kind} `{name}`");
    if let Some(meant) = nearest(name, known.iter().copied()) {
        what.push_str(&format!("; did you mean `{meant}`?"));
    }
    gather.refuse(at, what);
}

/// The first route that matches takes the message.
fn check_order(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    for (index, (route, raw)) in config.routes.iter().zip(&raw.route).enumerate() {
        let before = config.routes.iter().take(index);
        if let Some(other) = before.into_iter().find(|other| other.when.is_always() || other.when == route.when) {
            let what = format!("never reached: route `{}` before it takes every message that it would", other.name);
            gather.refuse(&raw.span(), what);
        }
    }
}

fn check_keys(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (tenant, raw) in config.tenants.iter().zip(&raw.tenant) {
        let places = raw.get_ref().keys.iter().chain(&raw.get_ref().admin_keys).flat_map(|list| list.get_ref());
        // One that could not be had is empty, and like no other.
        let keys = tenant.keys.iter().chain(&tenant.admin_keys).zip(places);
        for (key, place) in keys.filter(|(key, _)| !key.reveal().is_empty()) {
            match seen.iter().find(|(other, _)| *other == key.reveal()) {
                Some((_, owner)) => {
                    gather
                        .refuse(&place.span(), format!("the same key stands a second time, first at tenant `{owner}`"));
                }
                None => seen.push((key.reveal(), &tenant.name)),
            }
        }
    }
}

/// A number has one owner, and there are not so many that they fill memory.
fn check_numbers(config: &Config, raw: &RawConfig, gather: &mut Gather<'_>) {
    let mut seen: BTreeMap<&[u8], &str> = BTreeMap::new();
    for (tenant, raw) in config.tenants.iter().zip(&raw.tenant) {
        let places = raw.get_ref().numbers.iter().flat_map(|list| list.get_ref());
        for (number, place) in tenant.numbers.iter().zip(places) {
            let number = bare(number.as_bytes());
            if let Some(owner) = seen.get(number) {
                let what = format!("the same number stands a second time, first at tenant `{owner}`");
                gather.refuse(&place.span(), what);
            } else if seen.len() < NUMBERS_MAX {
                seen.insert(number, &tenant.name);
            } else {
                gather.refuse(&place.span(), format!("tenants may have {NUMBERS_MAX} numbers in all; here are more"));
                return;
            }
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
