//! From the configuration to each room's options: names to numbers, the process's quantities to the share of one shard or core.
//!
//! Knows the configuration and every room that it configures, and is the only place that does. Decides no policy; where
//! a quantity is divided, the function says how. Reads files only through `tls`. A name that has no number
//! in control gets number 0 here, which belongs to nothing: [`names`] are numbered, and committed, before anything else.

#[path = "translate_carrier.rs"]
mod carrier;
#[path = "translate_expectations.rs"]
mod expectations;
#[path = "translate_limits.rs"]
mod limits;

use std::{collections::BTreeMap, rc::Rc, sync::Arc, thread};

use crate::{
    config::{self, Config, Place, Problem, Problems},
    http::{self, Door, Extra, StatusBoard, TenantSpec, Tenants, access::Told, head::Hosts, ingest::RequestLimits},
};
use stentor_core::{
    admission::{
        Defaults, NumberList, Recipients, TenantOptions,
        numbering::{NumberRange, Numbering},
    },
    control::{Entries, Names},
    mesh::ShardMap,
    model::{CarrierId, Class, Inboxes, NodeId, Prefix, Quoted, RouteId, SenderId, ShardId, TenantId},
    routing::{Condition, Route, RouteTable, Way},
    shard::{self, Catalog},
};

use super::tls;

pub use carrier::{account, links};
pub use expectations::failed_tests;

/// Receipts that may be awaited in memory, all shards together.
const RECEIPTS_OPEN_MAX: u64 = 1_000_000;

/// Requests and answers may hold one part in this many of `limits.memory`; the rest is for caches.
const REQUESTS_SHARE: u64 = 2;
/// Least memory that a core's requests and answers share, beside the one that is lent what it needs.
const SHARED_BYTES_MIN: u64 = 4 << 20;

/// Every name that needs a number.
pub fn names(config: &Config) -> Names {
    Names {
        routes: config.routes.iter().map(|route| route.name.clone()).collect(),
        carriers: config.carriers.iter().map(|carrier| carrier.name.clone()).collect(),
        groups: config.carriers.iter().map(|carrier| carrier.group.clone()).collect(),
        tenants: config.tenants.iter().map(|tenant| tenant.name.clone()).collect(),
        limits: config.sending_limits.iter().map(|limit| limit.name.clone()).collect(),
    }
}

/// Routes, carriers and limits as shards see them. The version is control's, which grows with every configuration that is applied.
pub fn catalog(config: &Config, control: &Entries, map: ShardMap) -> Catalog {
    let limits = limits::table(config, control);
    Catalog {
        version: control.version(),
        routes: RouteTable { routes: config.routes.iter().map(|route| self::route(route, control)).collect() },
        carriers: config.carriers.iter().map(|typed| carrier::in_catalog(typed, control, map)).collect(),
        shard_cores: (0..map.shards()).map(|shard| map.core_of(ShardId(shard)).0).collect(),
        numbering: limits::countries(config, &limits),
        limits: Arc::new(limits),
    }
}

fn route(meant: &config::Route, control: &Entries) -> Route {
    let when = &meant.when;
    // A carrier of weight 0 is never chosen, so it is left out here.
    let taken = meant.carriers.iter().filter(|share| share.weight > 0);
    Route {
        id: RouteId(control.route(&meant.name).unwrap_or_default()),
        name: meant.name.clone(),
        when: Condition {
            // What is no prefix was refused when the configuration was read.
            prefixes: when.prefix.iter().filter_map(|prefix| Prefix::new(prefix)).collect(),
            senders: when.sender.clone(),
            classes: when.class.clone(),
            tenants: when.tenant.iter().map(|name| tenant_id(name, control)).collect(),
            tags: when.tag.clone(),
        },
        ways: taken.map(|share| Way { carrier: carrier_id(&share.name, control), weight: share.weight }).collect(),
    }
}

fn carrier_id(name: &str, control: &Entries) -> CarrierId {
    CarrierId(control.carrier(name).unwrap_or_default())
}

fn tenant_id(name: &str, control: &Entries) -> TenantId {
    TenantId(control.tenant(name).unwrap_or_default())
}

/// One shard's options; the caller sets `hash_seed`. Quantities are divided evenly: a hash spreads the recipients, so the first
/// shard is full a little before all are.
pub fn shard_options(config: &Config, control: &Entries, shard: ShardId, shards: u8) -> shard::Options {
    let Config { limits, defaults, .. } = config;
    let own = share(limits.queue_messages_max, shards);
    shard::Options {
        shard,
        node: NodeId(config.node.id),
        shards,
        queue_messages_max: limits.queue_per_shard_messages_max.map_or(own, |most| most.min(own)),
        tenants: weights(config, control),
        weights: turns(config, control),
        inboxes: inboxes(config, control),
        keys_max: index(share(limits.keys_max, shards)),
        key_window_ms: limits.key_window_ms,
        receipts_max: index(share(RECEIPTS_OPEN_MAX, shards)),
        receipt_wait_ms: defaults.receipt_wait_ms,
        in_doubt_wait_ms: defaults.in_doubt_wait_ms,
        doubts_max: defaults.doubts_max,
        doubt: Class::ALL.map(|class| defaults.in_doubt.of(class)),
        class_wait_ms: Class::ALL.map(|class| limits.class_wait.of(class).unwrap_or(0)),
        retry: Class::ALL.map(|class| config.retry.of(class)),
        retention_ms: defaults.retention_ms,
        bounds: shard::Bounds::shared_by(shards),
        ..shard::Options::default()
    }
}

/// The weights by which tenants share places in the queue, keys, memory and connections.
pub fn weights(config: &Config, control: &Entries) -> Vec<(TenantId, u32)> {
    config.tenants.iter().map(|tenant| (tenant_id(&tenant.name, control), tenant.shares)).collect()
}

/// The weights by which tenants take turns to be sent, of those that have another one than 1.
fn turns(config: &Config, control: &Entries) -> BTreeMap<TenantId, u32> {
    let other = config.tenants.iter().filter(|tenant| tenant.weight != 1);
    other.map(|tenant| (tenant_id(&tenant.name, control), tenant.weight)).collect()
}

/// Which tenant each number belongs to that handsets write to.
fn inboxes(config: &Config, control: &Entries) -> Inboxes {
    let mut inboxes = Inboxes::default();
    for tenant in &config.tenants {
        for number in &tenant.numbers {
            inboxes.add(number, tenant_id(&tenant.name, control));
        }
    }
    inboxes
}

/// At least 1, so that a small limit closes no shard for good.
fn share(whole: u64, among: u8) -> u64 {
    (whole / u64::from(among.max(1))).max(1)
}

fn index(amount: u64) -> usize {
    usize::try_from(amount).unwrap_or(usize::MAX)
}

/// Number of executors: as configured, or one for each CPU that the process may use; 1 to 255.
pub fn cores(config: &Config) -> u8 {
    let allowed = || thread::available_parallelism().map_or(1, usize::from);
    let cores = config.node.cores.map_or_else(allowed, usize::from);
    u8::try_from(cores).unwrap_or(u8::MAX).max(1)
}

/// The HTTP limits of each core. Connections are divided evenly, because the kernel spreads them so. Each core has a part of half
/// of `limits.memory`: room for one of the largest bodies is lent to one request at a time, the rest is shared. With
/// many cores and little memory the loan is there all the same, and the shared part is small.
pub fn http_limits(config: &Config) -> http::Limits {
    let (typed, cores) = (&config.http, u64::from(cores(config)));
    let own = config.limits.memory_bytes / REQUESTS_SHARE / cores;
    let shared = own.saturating_sub(typed.body_bytes_max).max(SHARED_BYTES_MIN);
    http::Limits {
        connections_max: index(u64::from(typed.connections_max).div_ceil(cores)),
        header_bytes_max: index(typed.header_bytes_max),
        body_bytes_max: index(typed.body_bytes_max),
        decoded_bytes_max: index(typed.body_bytes_max),
        decoded_ratio_max: index(typed.inflate_ratio_max.into()),
        memory_bytes_max: index(shared),
        header_ms: typed.header_timeout_ms,
        body_ms: typed.body_timeout_ms,
        // `body_timeout` is for the whole body: bytes that arrive add no time.
        body_rate_min: u64::MAX,
        idle_ms: typed.idle_timeout_ms,
        write_ms: typed.write_timeout_ms,
        ..http::Limits::DEFAULT
    }
}

/// Tenants as the HTTP server knows them.
pub fn tenants(config: &Config, control: &Entries) -> Vec<TenantSpec> {
    config.tenants.iter().map(|tenant| tenant_spec(tenant, control)).collect()
}

fn tenant_spec(tenant: &config::Tenant, control: &Entries) -> TenantSpec {
    let keys = |secrets: &[config::Secret]| secrets.iter().map(|key| key.reveal().to_owned()).collect();
    let (tenant_keys, admin_keys) = (keys(&tenant.keys), keys(&tenant.admin_keys));
    TenantSpec { tenant: tenant_options(tenant, control), keys: tenant_keys, admin_keys }
}

fn tenant_options(tenant: &config::Tenant, control: &Entries) -> TenantOptions {
    TenantOptions {
        id: tenant_id(&tenant.name, control),
        name: tenant.name.clone(),
        from: sender(tenant.from.as_deref()),
        senders: tenant.senders.clone(),
        rate: tenant.rate_messages_per_s,
        quota: tenant.quota,
        countries: tenant.countries.clone(),
        classes: tenant.classes.clone(),
        recipients: vec![recipients(&tenant.recipients)],
    }
}

/// To which numbers messages may go.
pub fn recipients(meant: &config::Recipients) -> Arc<Recipients> {
    let list = |entries: &[String]| {
        let mut list = NumberList::default();
        for entry in entries {
            let is_number = list.add(entry);
            debug_assert!(is_number, "it was refused when the configuration was read");
        }
        list
    };
    Arc::new(Recipients { allow: list(&meant.allow), block: list(&meant.block) })
}

/// Checked when the configuration was read; empty means the carrier's own sender.
fn sender(typed: Option<&str>) -> SenderId {
    typed.and_then(|text| SenderId::parse(text).ok()).unwrap_or_default()
}

/// The options of an API, apart from its observer. Must be called on its executor.
///
/// # Panics
/// When there is no numbering plan for `defaults.country`, which [`check`] refuses.
#[allow(clippy::too_many_arguments, reason = "the seam between the configuration and the running parts")]
pub fn http_options(
    config: &Config,
    tenants: Arc<Tenants>,
    hash_seed: u64,
    catalog: Arc<Catalog>,
    shards: ShardMap,
    door: Rc<Door>,
    board: Arc<StatusBoard>,
    metrics: http::WriteMetrics,
    extra: Option<Extra>,
) -> http::Options {
    let settings = http_settings(config, tenants);
    http::Options {
        settings,
        shards,
        hash_seed,
        door,
        catalog,
        board,
        metrics,
        backup: None,
        control: None,
        observe: None,
        extra,
    }
}

/// The settings of an API that a reload may change.
///
/// # Panics
/// As [`http_options`].
pub fn http_settings(config: &Config, tenants: Arc<Tenants>) -> http::Settings {
    let numbering = match numbering(config) {
        Ok(numbering) => numbering,
        Err(why) => unreachable!("a configuration that was not checked: {why}"),
    };
    let hosts = Hosts::new(&config.http.hosts);
    let (defaults, limits, requests) = (defaults(config), request_limits(config), requests(config.log.requests));
    http::Settings { tenants, defaults, numbering, limits, hosts, requests }
}

const fn requests(told: config::LogRequests) -> Told {
    match told {
        config::LogRequests::Failed => Told::Failed,
        config::LogRequests::Refused => Told::Refused,
        config::LogRequests::All => Told::All,
    }
}

fn defaults(config: &Config) -> Defaults {
    let typed = &config.defaults;
    Defaults {
        class: typed.class,
        from: sender(typed.from.as_deref()),
        expires_in_ms: Class::ALL.map(|class| typed.class_expires_in.of(class).0),
        parts_max: typed.parts_max,
    }
}

fn numbering(config: &Config) -> Result<Numbering, String> {
    let ranges = config.defaults.number_ranges.iter();
    let ranges = ranges.filter_map(|range| NumberRange::new(&range.prefix, &range.digits)).collect();
    Numbering::new(config.defaults.country.as_deref())
        .map(|numbering| numbering.with_ranges(ranges))
        .map_err(|unknown| format!("there is no numbering plan for `{}`", unknown.0))
}

fn request_limits(config: &Config) -> RequestLimits {
    RequestLimits { line_bytes_max: index(config.http.line_bytes_max), messages_max: config.http.messages_max as usize }
}

/// Checks what `Config::load` cannot: files, values that the rooms do not support, and the configuration's own tests. `file`
/// is the configuration's name in problems.
///
/// # Errors
/// All that is wrong, for exit code 78.
pub fn check(config: &Config, file: &str) -> Result<(), Problems> {
    judged(config, file, files(config))
}

/// Like [`check`], without the files of certificates and keys.
///
/// # Errors
/// As [`check`].
pub fn check_without_secrets(config: &Config, file: &str) -> Result<(), Problems> {
    judged(config, file, Vec::new())
}

fn judged(config: &Config, file: &str, mut wrong: Vec<(String, String)>) -> Result<(), Problems> {
    wrong.extend(unnameable(config));
    wrong.extend(unfeasible(config));
    wrong.extend(numbering(config).err().map(|what| ("defaults.country".to_owned(), what)));
    wrong.extend(http_limits(config).check().err().map(|what| ("http".to_owned(), what.to_owned())));
    let place = || Place::Whole(file.to_owned());
    let problem = |(path, what)| Problem { place: place(), path, what };
    let mut problems: Vec<Problem> = wrong.into_iter().map(problem).collect();
    if let Err(Problems(failed)) = failed_tests(config) {
        problems.extend(failed);
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

/// Certificates and keys that cannot be used: the key of the configuration that names them, and the error with the file.
fn files(config: &Config) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    if let Some(files) = &config.http.tls {
        wrong.extend(tls::server(files).err().map(|what| ("http.tls".to_owned(), what)));
    }
    for carrier in &config.carriers {
        let Some(typed) = &carrier.tls else { continue };
        wrong.extend(tls::client(typed).err().map(|what| (format!("carrier.{}.tls", carrier.name), what)));
    }
    wrong
}

/// Hosts whose name cannot be in a certificate.
fn unnameable(config: &Config) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for carrier in &config.carriers {
        let Some(typed) = &carrier.tls else { continue };
        // If only a pin counts, the name is only sent in the handshake; but it must still be valid.
        let hosts = carrier.hosts.iter().filter(|_| typed.server_name.is_none());
        let unnameable = hosts.filter_map(|host| tls::server_name(&host.host).err());
        wrong.extend(
            unnameable.map(|what| (format!("carrier.{}.hosts", carrier.name), format!("{what}; set `server_name`"))),
        );
    }
    wrong
}

fn unfeasible(config: &Config) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let most = u16::from(u8::MAX);
    for (key, number) in [("node.shards", config.node.shards), ("node.cores", config.node.cores)] {
        if number.is_some_and(|number| number > most) {
            wrong.push((key.to_owned(), format!("at most {most} in this version")));
        }
    }
    for name in config.http.hosts.iter().filter(|name| !Hosts::understands(name)) {
        let what = "is not a name such as \"stentor.example\" or \"stentor.example:8080\"";
        wrong.push(("http.hosts".to_owned(), format!("{} {what}", Quoted(name))));
    }
    for route in config.routes.iter().filter(|route| route.from.is_some()) {
        let what = "not in this version; set `from` of the tenant or in [defaults]";
        wrong.push((format!("route.{}.from", route.name), what.to_owned()));
    }
    wrong
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
