//! Resolves `[recipients]`, and `recipients` of a tenant: the numbers to which messages may go.

use serde::Serialize;
use toml::Spanned;

use super::gather::Gather;
use super::raw::{Optional, RawRecipients};
use stentor_core::admission::recipients::{LISTED_MAX, NumberList};
use stentor_core::model::Quoted;

/// Lists of numbers, whole or by their first digits followed by `*`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recipients {
    /// Only these; empty: any.
    pub allow: Vec<String>,
    /// Not these, even if they are allowed.
    pub block: Vec<String>,
}

impl Recipients {
    pub(super) fn meant(raw: &RawRecipients, gather: &mut Gather<'_>) -> Self {
        if let Some(typed) = raw.allow.as_ref().filter(|typed| typed.get_ref().is_empty()) {
            gather.refuse(&typed.span(), "an empty list allows no number; leave `allow` out to allow every number");
        }
        Self { allow: list(&raw.allow, gather), block: list(&raw.block, gather) }
    }
}

fn list(typed: &Optional<Vec<Spanned<String>>>, gather: &mut Gather<'_>) -> Vec<String> {
    let Some(typed) = typed else { return Vec::new() };
    let mut known = NumberList::default();
    for entry in typed.get_ref() {
        if !known.add(entry.get_ref()) {
            let what = "is not a number: write it with its country code, such as \"+4915112345678\", or its beginning and *, such as \
                        \"+4990*\"";
            gather.refuse(&entry.span(), format!("{} {what}", Quoted(entry.get_ref())));
        }
    }
    if let Some(first_over) = typed.get_ref().get(LISTED_MAX) {
        let what = format!("a list has at most {LISTED_MAX} entries: remove this one and those after it");
        gather.refuse(&first_over.span(), what);
    }
    typed.get_ref().iter().map(|entry| entry.get_ref().clone()).collect()
}
