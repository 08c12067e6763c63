//! Resolves `[[tenant]]`: the clients, with their keys, senders and limits.
//!
//! Refuses to know how a key is compared and how a quota is counted. A tenant's internal number is not here: the operator
//! knows only the name, and the table of names on disk assigns the number.

use serde::Serialize;
use toml::Spanned;

use super::choice::Class;
use super::gather::Gather;
use super::raw::{Optional, RawTenant};
use super::recipients::Recipients;
use super::secret::{Secret, SecretRef};
use super::shown;
use stentor_core::admission::Quota;
use stentor_core::model::inboxes::bare;
use stentor_core::model::limits::ADDRESS_BYTES_MAX;
use stentor_core::model::{Quoted, SenderId};

/// The shortest key allowed, in bytes; shorter ones could be guessed.
const KEY_MIN: usize = 16;

/// The classes that a tenant may use unless it is told otherwise. Emergency goes ahead of all other tenants' messages.
const CLASSES: [Class; 3] = [Class::Otp, Class::Transactional, Class::Marketing];

/// One tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tenant {
    /// Unique among tenants.
    pub name: String,
    /// Keys that authenticate this tenant, sent as `Authorization: Bearer KEY`.
    pub keys: Vec<Secret>,
    /// As `keys`, but with scope `admin`.
    pub admin_keys: Vec<Secret>,
    /// Sender of messages that name none, unless their route has one.
    pub from: Option<String>,
    /// Senders it may use, whole or as a beginning followed by `*`; empty: any.
    pub senders: Vec<String>,
    /// Messages per calendar period; more are refused with 429. `None`: no limit.
    #[serde(serialize_with = "shown::quota")]
    pub quota: Option<Quota>,
    /// Messages in every sliding second; more are refused with 429. `None`: no limit.
    #[serde(rename = "rate")]
    pub rate_messages_per_s: Option<u32>,
    /// ISO 3166 codes of the countries it may send to; empty: any.
    pub countries: Vec<String>,
    /// Numbers to which its messages may go.
    pub recipients: Recipients,
    /// Phone numbers and short codes: messages that handsets send to them belong to this tenant.
    pub numbers: Vec<String>,
    /// Classes that its messages may have; an admin key may use all.
    pub classes: Vec<Class>,
    /// Its weight where tenants share a resource: the queue, the window of idempotency keys, memory, connections.
    pub shares: u32,
    /// Its weight where tenants take turns: when their messages of one class wait for the same carrier.
    pub weight: u32,
}

impl Tenant {
    pub(super) fn meant(typed: &Spanned<RawTenant>, gather: &mut Gather<'_>) -> Self {
        let (raw, table) = (typed.get_ref(), typed.span());
        let name = gather.name(&raw.name, &table);
        if raw.keys.is_none() && raw.admin_keys.is_none() && !gather.incomplete {
            let what = "no client could authenticate as this tenant: add `keys` or `admin_keys`";
            gather.refuse(&table, format!("`keys` is missing, so {what}"));
        }
        let tenant = Self {
            name,
            keys: keys(&raw.keys, gather),
            admin_keys: keys(&raw.admin_keys, gather),
            from: gather.sender(&raw.from),
            senders: senders(&raw.senders, gather),
            quota: raw.quota.as_ref().map(|quota| quota.get_ref().0),
            rate_messages_per_s: raw.rate.as_ref().map(|rate| rate.get_ref().0),
            countries: texts(&raw.countries),
            recipients: Recipients::meant(&raw.recipients, gather),
            numbers: texts(&raw.numbers),
            classes: classes(&raw.classes, gather),
            shares: raw.shares.as_ref().map_or(1, |shares| shares.get_ref().get()),
            weight: raw.weight.as_ref().map_or(1, |weight| weight.get_ref().get()),
        };
        check_numbers(&raw.numbers, gather);
        for country in raw.countries.iter().flat_map(|list| list.get_ref()) {
            gather.check_country(country.get_ref(), &country.span());
        }
        if let Some(typed) = &raw.from
            && let Some(Ok(from)) = tenant.from.as_deref().map(SenderId::parse)
            && !tenant.senders.is_empty()
            && !tenant.senders.iter().any(|pattern| from.fits(pattern))
        {
            let sender = Quoted(typed.get_ref());
            let what = format!("{sender} is not among this tenant's `senders`: add it to them, or use one of them");
            gather.refuse(&typed.span(), what);
        }
        tenant
    }
}

fn senders(typed: &Optional<Vec<Spanned<String>>>, gather: &mut Gather<'_>) -> Vec<String> {
    let listed = typed.iter().flat_map(|list| list.get_ref());
    listed.map(|pattern| gather.sender_pattern(pattern.get_ref(), &pattern.span())).collect()
}

/// The classes as listed; all but emergency if there is no list. An empty list would forbid every message.
fn classes(typed: &Optional<Vec<Spanned<Class>>>, gather: &mut Gather<'_>) -> Vec<Class> {
    let Some(list) = typed else { return CLASSES.to_vec() };
    if list.get_ref().is_empty() {
        gather.refuse(&list.span(), "the list is empty: write at least one class, or leave `classes` out");
    }
    let mut found = Vec::new();
    for class in list.get_ref() {
        if found.contains(class.get_ref()) {
            gather.refuse(&class.span(), format!("class `{}` is listed twice: remove one", class.get_ref().name()));
        }
        found.push(*class.get_ref());
    }
    found
}

fn check_numbers(typed: &Optional<Vec<Spanned<String>>>, gather: &mut Gather<'_>) {
    for number in typed.iter().flat_map(|list| list.get_ref()) {
        let written = number.get_ref();
        let digits = written.strip_prefix('+').unwrap_or(written);
        let fits = digits.len() <= ADDRESS_BYTES_MAX && digits.bytes().all(|digit| digit.is_ascii_digit());
        // `00` alone is an empty number: it would receive every message whose recipient is empty.
        if !fits || bare(written.as_bytes()).is_empty() {
            let what = "is not a number: write up to 20 digits such as \"+4915112345678\" or \"72345\"";
            gather.refuse(&number.span(), format!("{} {what}", Quoted(written)));
        }
    }
}

fn texts(typed: &Optional<Vec<Spanned<String>>>) -> Vec<String> {
    typed.iter().flat_map(|list| list.get_ref()).map(|text| text.get_ref().clone()).collect()
}

fn keys(typed: &Optional<Vec<Spanned<SecretRef>>>, gather: &mut Gather<'_>) -> Vec<Secret> {
    let mut found = Vec::new();
    for reference in typed.iter().flat_map(|list| list.get_ref()) {
        let key = gather.secret(reference);
        let bytes = key.reveal().len();
        if bytes > 0 && bytes < KEY_MIN {
            gather.refuse(&reference.span(), format!("a key of {bytes} bytes can be guessed: use at least {KEY_MIN}"));
        }
        if !key.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            let what = "contains a character that an HTTP header cannot carry: use printable ASCII without spaces";
            gather.refuse(&reference.span(), what);
        }
        found.push(key);
    }
    if let Some(list) = typed.as_ref().filter(|list| list.get_ref().is_empty()) {
        gather.refuse(&list.span(), "the list is empty: write at least one key");
    }
    found
}
