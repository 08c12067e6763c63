//! `GET /metrics`: what the cores recorded, under the names of the catalog, in Prometheus's text format 0.0.4.
//!
//! Knows what a shard, a link and the HTTP server report and which metric each figure is. Measures nothing itself. The format
//! is written by `prometheus-client`; its own dialect, OpenMetrics, announces a counter without the `_total` that its samples
//! have, which Prometheus's older parsers and `promtool` take for two metrics; so a counter is announced here under its full
//! name.

use std::{cell::RefCell, cmp::Reverse, collections::BTreeMap, fmt, rc::Rc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode_registry},
    metrics::MetricType,
    registry::Registry,
};

use crate::http::{self, StatusBoard, auth::Tenants, memory, sweeper};
use stentor_core::{
    delivery::{EventKind, Resolution},
    link::{self, LinkState, smpp::leg::LegState},
    metrics::{Distribution, Family, Kind, Metric, Metrics, Snapshot, Value},
    model::{Class, Now, Refusal, ShardId, TenantId, Wall},
    shard::{self, Catalog},
    traffic::Unanswered,
};
use stentor_smpp::status::CommandStatus;

use super::{feed::CoreSnapshot, figures::Figures};
use crate::host::names::Counters;
use crate::host::{executor::Polls, logging};

/// Media type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Most tenants with a series of their own, so that a scrape has a bound.
const TENANTS_MAX: usize = 50;

/// Stands for the tenants without a series of their own. A tenant may have this name; its messages are among theirs.
const OTHER: &str = "other";

/// The text of all metrics: what each core last recorded, and the state of the process about a second ago.
pub fn render(
    cores: &[CoreSnapshot],
    board: &StatusBoard,
    catalog: &Catalog,
    tenants: &Tenants,
    figures: &Figures,
    certificate_ends: &[(String, i64)],
    now: Now,
) -> String {
    let mut snapshot = Snapshot::default();
    let ready = if board.unready().is_empty() { 1.0 } else { 0.0 };
    snapshot.gauge(Metric::Ready, &[], ready);
    snapshot.gauge(Metric::Build, &[env!("CARGO_PKG_VERSION")], 1.0);
    snapshot.gauge(Metric::CatalogVersion, &[], catalog.version as f64);
    let disk = board.disk();
    snapshot.gauge(Metric::DiskFree, &[], disk.free_bytes as f64);
    snapshot.gauge(Metric::DiskFloor, &[], disk.floor_bytes as f64);
    snapshot.gauge(Metric::DiskFull, &[], f64::from(u8::from(disk.is_full)));
    snapshot.gauge(Metric::DiskBallastGone, &[], f64::from(u8::from(disk.ballast_gone)));
    for core in cores {
        for (id, status) in &core.shards {
            shard(&mut snapshot, *id, status, now.wall);
            ledger(&mut snapshot, status, catalog);
        }
        for (_, name, status, counters) in &core.links {
            link(&mut snapshot, name, status, counters);
        }
        snapshot.count(Metric::Panics, &[], core.panics);
        snapshot.merge(&core.metrics);
    }
    waiting_by_tenant(&mut snapshot, cores, tenants);
    limits(&mut snapshot, cores, catalog);
    snapshot.count(Metric::LogDropped, &[], logging::lines_dropped());
    snapshot.gauge(Metric::Uptime, &[], now.mono.0 as f64 / 1e9);
    process(&mut snapshot, figures);
    for (of, end_s) in certificate_ends {
        snapshot.gauge(Metric::CertificateEnd, &[of], *end_s as f64);
    }
    text(snapshot)
}

/// Adds each answered request to a core's metrics.
pub fn observer(metrics: &Rc<RefCell<Metrics>>) -> Rc<dyn Fn(&http::Seen)> {
    let metrics = Rc::clone(metrics);
    Rc::new(move |seen| {
        let mut metrics = metrics.borrow_mut();
        metrics.request(seen.status, seen.took_us);
        metrics.messages([seen.tally.accepted, seen.tally.duplicates, seen.tally.rejected]);
    })
}

fn shard(snapshot: &mut Snapshot, id: ShardId, status: &shard::Status, now: Wall) {
    let shard::Status { counters, measures, .. } = status;
    let number = id.0.to_string();
    for class in Class::ALL {
        snapshot.count(Metric::Accepted, &[class.name()], counters.accepted[class.index()]);
        snapshot.gauge(Metric::QueueDepth, &[class.name(), &number], status.waiting[class.index()] as f64);
    }
    for (refusal, count) in Refusal::ALL.into_iter().zip(counters.refused) {
        snapshot.count(Metric::Refused, &[refusal.code()], count);
    }
    for (kind, count) in EventKind::FINALS.into_iter().zip(counters.finals) {
        snapshot.count(Metric::Final, &[kind.name()], count);
    }
    let counts = [
        (Metric::Duplicates, counters.duplicates),
        (Metric::Submitted, counters.submitted),
        (Metric::Attempts, counters.attempts),
        (Metric::Retried, counters.retried),
        (Metric::InDoubt, counters.in_doubt),
        (Metric::Receipts, counters.receipts),
        (Metric::ReceiptsLate, counters.receipts_late),
        (Metric::ReceiptsStrange, counters.receipts_strange),
        (Metric::Quarantined, counters.quarantined),
        (Metric::SegmentsRead, counters.segments_read),
        (Metric::ReceiptsParked, counters.receipts_parked),
        (Metric::QueriesFull, counters.queries_full),
        (Metric::ReceiptsRepeated, counters.receipts_repeated),
        (Metric::HandsetsRefused, counters.handsets_refused),
        (Metric::HandsetsJoined, counters.handsets_joined),
        (Metric::HandsetsGivenUp, counters.handsets_incomplete),
        (Metric::PartsForgotten, counters.parts_forgotten),
        (Metric::PartsUnnoted, counters.parts_unnoted),
        (Metric::AttemptsUncounted, counters.attempts_uncounted),
        (Metric::CancellationsRefused, counters.cancellations_refused),
        (Metric::CheckpointsTooLarge, counters.checkpoints_too_large),
        (Metric::Rerouted, counters.rerouted),
        (Metric::Unroutable, counters.unroutable),
        (Metric::RecordsUnread, counters.records_unread),
    ];
    counts.into_iter().for_each(|(metric, count)| snapshot.count(metric, &[], count));
    for (origin, count) in ["foreign", "possible"].into_iter().zip(counters.receipts_dropped) {
        snapshot.count(Metric::ReceiptsDropped, &[origin], count);
    }
    for (owner, count) in ["tenant", "none"].into_iter().zip(counters.handsets_kept) {
        snapshot.count(Metric::HandsetsKept, &[owner], count);
    }
    for hold in shard::Hold::ALL {
        let here = f64::from(u8::from(status.held_by == Some(hold)));
        snapshot.gauge(Metric::Held, &[&number, hold.name()], here);
    }
    let gauges = [
        (Metric::Scheduled, status.scheduled),
        (Metric::Open, status.open),
        (Metric::Keys, status.keys),
        (Metric::ReceiptsWaiting, status.receipts_waiting),
        (Metric::Orphans, status.orphans),
        (Metric::Handsets, status.handsets.0),
        (Metric::HandsetBytes, status.handsets.1),
        (Metric::HandsetsIncomplete, status.handsets_incomplete),
    ];
    gauges.into_iter().for_each(|(metric, value)| snapshot.gauge(metric, &[&number], value as f64));
    let oldest_ms = status.oldest.map_or(0, |at| now.since(at));
    snapshot.gauge_max(Metric::QueueOldest, &[], oldest_ms as f64 / 1_000.0);
    snapshot.distribution(Metric::CommitSeconds, &[], &measures.commit_us);
    snapshot.distribution(Metric::CommitMessages, &[], &measures.commit_messages);
    snapshot.distribution(Metric::AcceptToSubmit, &[], &measures.accept_to_submit_us);
}

/// Every carrier has every series, so that one without doubts reads 0.
fn ledger(snapshot: &mut Snapshot, status: &shard::Status, catalog: &Catalog) {
    for carrier in &catalog.carriers {
        for class in Class::ALL {
            for reason in Unanswered::ALL {
                let entries = status.ledger.get(&(carrier.id, class, reason)).copied().unwrap_or_default();
                snapshot.gauge(Metric::Doubts, &[&carrier.name, class.name(), reason.name()], entries as f64);
            }
        }
    }
    for how in Resolution::ALL {
        snapshot.count(Metric::DoubtsResolved, &[how.name()], status.counters.resolved[how.index()]);
    }
}

/// The tenants with the most waiting messages have a series each, also those that have none while there is a place. Tenants
/// that were removed from the configuration have no name any more and are among the others.
fn waiting_by_tenant(snapshot: &mut Snapshot, cores: &[CoreSnapshot], tenants: &Tenants) {
    let mut waiting: BTreeMap<TenantId, u64> = tenants.iter().map(|(tenant, _)| (tenant, 0)).collect();
    if waiting.is_empty() {
        return;
    }
    let shards = cores.iter().flat_map(|core| &core.shards);
    for (tenant, messages) in shards.flat_map(|(_, status)| &status.tenants) {
        *waiting.entry(*tenant).or_default() += messages;
    }
    let mut most_first: Vec<(TenantId, u64)> = waiting.into_iter().collect();
    most_first.sort_by_key(|(tenant, messages)| (Reverse(*messages), *tenant));
    let (known, removed): (Vec<_>, Vec<_>) =
        most_first.into_iter().partition(|(tenant, _)| !tenants.name_of(*tenant).is_empty());
    let (own, rest) = known.split_at(known.len().min(TENANTS_MAX));
    for (tenant, messages) in own {
        snapshot.gauge(Metric::TenantWaiting, &[tenants.name_of(*tenant)], *messages as f64);
    }
    let others: u64 = rest.iter().chain(&removed).map(|(_, messages)| messages).sum();
    snapshot.gauge(Metric::TenantWaiting, &[OTHER], others as f64);
}

/// Every limit has both series, so that one that counted nothing reads 0.
fn limits(snapshot: &mut Snapshot, cores: &[CoreSnapshot], catalog: &Catalog) {
    for rule in &catalog.limits.rules {
        snapshot.gauge_max(Metric::LimitUsed, &[&rule.name], 0.0);
        snapshot.gauge(Metric::LimitParked, &[&rule.name], 0.0);
    }
    let name = |id| catalog.limits.get(id).map(|rule| rule.name.as_str());
    for core in cores {
        for (name, used) in core.limits.iter().filter_map(|(id, used)| Some((name(*id)?, *used))) {
            snapshot.gauge_max(Metric::LimitUsed, &[name], used);
        }
        let parked = core.shards.iter().flat_map(|(_, status)| &status.parked);
        for (name, messages) in parked.filter_map(|(id, messages)| Some((name(*id)?, *messages))) {
            snapshot.gauge(Metric::LimitParked, &[name], messages as f64);
        }
    }
}

fn link(snapshot: &mut Snapshot, name: &str, status: &link::Status, counters: &link::Counters) {
    for state in LinkState::ALL {
        let here = if state == status.state { 1.0 } else { 0.0 };
        snapshot.gauge(Metric::LinkState, &[name, state.name()], here);
    }
    let bound = status.binds.iter().filter(|bind| bind.state == LegState::Bound).count();
    let gauges = [
        (Metric::LinkBinds, bound as f64),
        (Metric::LinkBindsWanted, status.binds.len() as f64),
        (Metric::LinkWindow, status.window.into()),
        (Metric::LinkWindowUsed, status.outstanding.into()),
        (Metric::LinkRate, status.rate_now.into()),
        (Metric::LinkPrepared, status.prepared.into()),
        (Metric::LinkQueriesWaiting, status.queries as f64),
    ];
    gauges.into_iter().for_each(|(metric, value)| snapshot.gauge(metric, &[name], value));
    if let Some(allowed) = status.rate_allowed {
        snapshot.gauge(Metric::LinkRateAllowed, &[name], allowed.into());
    }
    let counts = [
        (Metric::LinkSent, counters.sent),
        (Metric::LinkAccepted, counters.accepted),
        (Metric::LinkThrottled, counters.throttled),
        (Metric::LinkUnanswered, counters.unanswered),
        (Metric::LinkUnencodable, counters.unencodable),
        (Metric::LinkLate, counters.late_responses),
        (Metric::LinkUnknown, counters.unknown_responses),
        (Metric::LinkMalformed, counters.malformed),
        (Metric::LinkStrange, counters.strange_requests),
        (Metric::LinkNoisy, counters.noisy_sessions),
        (Metric::LinkSessions, counters.binds),
        (Metric::LinkLost, counters.sessions_lost),
        (Metric::LinkReceipts, counters.receipts),
        (Metric::LinkReceiptsAskedAll, counters.receipts_asked_all),
        (Metric::LinkQueries, counters.queries),
        (Metric::LinkQueriesSettled, counters.queries_settled),
        (Metric::LinkQueriesOpen, counters.queries_open),
        (Metric::LinkQueriesDropped, counters.queries_dropped),
        (Metric::LinkMobile, counters.from_handsets),
        (Metric::LinkDeferred, counters.deferred),
    ];
    counts.into_iter().for_each(|(metric, count)| snapshot.count(metric, &[name], count));
    for (status, count) in &counters.statuses {
        snapshot.count(Metric::LinkRefused, &[name, &status_name(*status)], *count);
    }
}

/// The status's name without its prefix, or its number; `u32::MAX` stands for those that were counted together.
fn status_name(status: u32) -> String {
    match CommandStatus(status).name() {
        Some(name) => name.trim_start_matches("ESME_").to_owned(),
        None if status == u32::MAX => "other".to_owned(),
        None => format!("0x{status:08X}"),
    }
}

/// Deadlines of connections, as labels.
const fn deadline(overdue: sweeper::Overdue) -> &'static str {
    match overdue {
        sweeper::Overdue::Header => "header",
        sweeper::Overdue::Body => "body",
        sweeper::Overdue::Idle => "idle",
        sweeper::Overdue::Write => "write",
        sweeper::Overdue::Linger => "linger",
        sweeper::Overdue::Drain => "drain",
        sweeper::Overdue::Evicted => "evicted",
    }
}

/// Adds the figures of a core's HTTP server: open connections, counters, and memory held.
pub fn door(snapshot: &mut Snapshot, open: usize, counters: &sweeper::Counters, memory: &memory::Measures) {
    snapshot.gauge(Metric::HttpConnections, &[], open as f64);
    let counts = [
        (Metric::HttpAccepted, counters.accepted),
        (Metric::HttpTurnedAway, counters.turned_away),
        (Metric::HttpEvicted, counters.evicted),
        (Metric::HttpOverShare, counters.over_share),
        (Metric::HttpPadded, counters.padded),
        (Metric::HttpHurried, counters.hurried),
        (Metric::HttpMemoryWaits, memory.waits),
        (Metric::HttpMemoryRefused, memory.refused),
        (Metric::HttpBackoffs, counters.accept_backoffs),
        (Metric::HttpHandshakes, counters.handshakes_failed),
        (Metric::HttpBroken, counters.broken),
    ];
    counts.into_iter().for_each(|(metric, count)| snapshot.count(metric, &[], count));
    for (of, bytes) in [("requests", memory.requests_bytes), ("answers", memory.answers_bytes)] {
        snapshot.gauge(Metric::HttpMemory, &[of], bytes as f64);
    }
    snapshot.gauge(Metric::HttpMemoryShared, &[], memory.shared_bytes as f64);
    snapshot.gauge(Metric::HttpMemoryWaiting, &[], memory.waiting as f64);
    for (overdue, count) in sweeper::Overdue::ALL.into_iter().zip(counters.overdue) {
        snapshot.count(Metric::HttpOverdue, &[deadline(overdue)], count);
    }
}

/// Adds the resolver's counters.
pub fn names(snapshot: &mut Snapshot, counters: Counters) {
    for (end, count) in [("found", counters.found), ("failed", counters.failed), ("refused", counters.refused)] {
        snapshot.count(Metric::NameLookups, &[end], count);
    }
    snapshot.count(Metric::NamesOutdated, &[], counters.outdated);
}

/// Adds an executor's measurements of its polls.
pub fn polls(snapshot: &mut Snapshot, core: u8, polls: &Polls) {
    let core = core.to_string();
    snapshot.distribution(Metric::Polls, &[&core], &polls.cpu_us);
    snapshot.gauge(Metric::PollLongest, &[&core], polls.longest_ns as f64 / 1e9);
    snapshot.gauge(Metric::PollTail, &[&core], polls.cpu_us.quantile(0.999) as f64 / 1e6);
}

/// Adds what the kernel last said about this process; what it does not say is left out.
fn process(snapshot: &mut Snapshot, figures: &Figures) {
    let gauges = [
        (Metric::ProcessResident, figures.resident_bytes),
        (Metric::ProcessThreads, figures.threads),
        (Metric::ProcessFds, figures.open_files),
        (Metric::ProcessFdsMax, figures.open_files_max),
    ];
    for (metric, value) in gauges {
        if let Some(value) = value {
            snapshot.gauge(metric, &[], value as f64);
        }
    }
    if let Some(cpu_s) = figures.cpu_s {
        snapshot.count(Metric::ProcessCpu, &[], cpu_s);
    }
    if let Some(start_s) = figures.start_s {
        snapshot.gauge(Metric::ProcessStart, &[], start_s);
    }
}

fn text(snapshot: Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition(snapshot)));
    let mut out = String::new();
    // Writing to a String cannot fail.
    let written = encode_registry(&mut out, &registry);
    debug_assert!(written.is_ok());
    out
}

#[derive(Debug)]
struct Exposition(Snapshot);

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut series = self.0.iter().peekable();
        while let Some((metric, ..)) = series.peek().copied() {
            let Family { name, kind, labels: names, help } = metric.family();
            let mut family = encoder.encode_descriptor(name, help, None, metric_type(kind))?;
            while let Some((_, labels, value)) = series.next_if(|(next, ..)| *next == metric) {
                let pairs: Vec<(&str, &str)> = names.iter().copied().zip(labels.iter().map(String::as_str)).collect();
                if pairs.is_empty() {
                    encode(&mut family, kind, value)?;
                } else {
                    encode(&mut family.encode_family(&pairs)?, kind, value)?;
                }
            }
        }
        Ok(())
    }
}

const fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram { .. } => MetricType::Histogram,
    }
}

/// A counter is encoded like a gauge, because its name has its `_total` already.
fn encode(series: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> Result<(), fmt::Error> {
    match (value, kind) {
        (Value::Counter(count), _) => series.encode_gauge(count),
        (Value::Gauge(value), _) => series.encode_gauge(value),
        (Value::Histogram(values), Kind::Histogram { bounds, scale }) => {
            encode_histogram(series, values, bounds, scale)
        }
        (Value::Histogram(_), Kind::Counter | Kind::Gauge) => Err(fmt::Error),
    }
}

fn encode_histogram(
    series: &mut MetricEncoder<'_>,
    values: &Distribution,
    bounds: &[u64],
    scale: f64,
) -> Result<(), fmt::Error> {
    let not_above = values.not_above(bounds);
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(bounds.len() + 1);
    for (bound, count) in bounds.iter().zip(not_above) {
        buckets.push((*bound as f64 / scale, count - below));
        below = count;
    }
    buckets.push((f64::INFINITY, values.count() - below));
    series.encode_histogram::<NoLabelSet>(values.sum() as f64 / scale, values.count(), &buckets, None)
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
