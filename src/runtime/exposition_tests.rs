//! The text as a scraper reads it.

use std::{io::Write, process, sync::Arc};

use super::super::feed::{Snapshots, renderer};
use super::*;
use crate::{host::clock::Clock, http::auth::TenantSpec};
use stentor_core::{
    admission::TenantOptions,
    limit::{LimitTable, Of, Over, Per, Rule, Span, When},
    model::{CarrierId, GroupId, LimitId, LinkId, Mono, Zone},
    shard::CatalogCarrier,
};

fn shard_status() -> shard::Status {
    let mut status =
        shard::Status { waiting: [0, 7, 0, 90], scheduled: 3, oldest: Some(Wall(1)), ..Default::default() };
    status.counters.accepted = [0, 11, 12, 13];
    status.counters.refused[0] = 4;
    status.counters.finals = [31, 32, 33, 34, 35, 36, 37];
    status.counters.in_doubt = 2;
    status.counters.resolved[Resolution::LateAnswer.index()] = 5;
    status.ledger.insert((CarrierId(1), Class::Otp, Unanswered::Crashed), 3);
    status.tenants = vec![(TenantId(1), 5), (TenantId(7), 3)];
    status.parked = vec![(LimitId(2), 21), (LimitId(9), 22)];
    for us in [900, 1_000, 250_000] {
        status.measures.accept_to_submit_us.record(us);
    }
    status
}

fn link_status() -> (link::Status, link::Counters) {
    let status = link::Status {
        state: LinkState::BreakerOpen,
        binds: Vec::new(),
        window: 10,
        outstanding: 4,
        prepared: 5,
        granted: (0, 0, 0),
        waiting: 0,
        rate_now: 99,
        rate_allowed: Some(100),
        queries: 3,
        breaker: link::breaker::BreakerState::Closed,
        last_trouble: None,
        since: Wall(0),
        next_try_ms: None,
    };
    let mut counters = link::Counters { sent: 70, ..link::Counters::default() };
    [0x58, 0x58, 0x0400, u32::MAX].into_iter().for_each(|status| counters.count_status(status));
    (status, counters)
}

fn cores() -> Vec<CoreSnapshot> {
    let (status, counters) = link_status();
    let link = |core| (LinkId { carrier: CarrierId(1), core }, "no\"rth".to_owned(), status.clone(), counters.clone());
    let mut metrics = Metrics::default();
    metrics.request(202, 1_500);
    let mut measured = Snapshot::default();
    metrics.fill(&mut measured);
    let counters = sweeper::Counters { accepted: 6, ..sweeper::Counters::default() };
    door(&mut measured, 5, &counters, &memory::Measures::default());
    names(&mut measured, Counters { found: 7, ..Counters::default() });
    polls(&mut measured, 0, &Polls::default());
    let core = |number: u8| CoreSnapshot {
        shards: vec![(ShardId(number), shard_status())],
        links: vec![link(number)],
        limits: if number == 0 { vec![(LimitId(2), 0.25), (LimitId(9), 1.0)] } else { Vec::new() },
        metrics: measured.clone(),
        ..CoreSnapshot::default()
    };
    vec![core(0), core(1)]
}

const NOW: Now = Now { mono: Mono(90_500_000_000), wall: Wall(1_800_000_000_000) };

fn rule(id: u16, name: &str) -> Rule {
    let (when, span, over) = (When::default(), Span::Month(Zone::UTC), Over::Wait);
    Rule { id: LimitId(id), name: name.to_owned(), when, per: Per::All, of: Of::Parts, amount: 1, span, over }
}

/// Tenants 1, 2, … of these names.
fn tenants(names: &[String]) -> Tenants {
    let spec = |(id, name): (u32, &String)| {
        let tenant = TenantOptions { id: TenantId(id), name: name.clone(), ..TenantOptions::default() };
        TenantSpec { tenant, ..TenantSpec::default() }
    };
    Tenants::new((1..).zip(names).map(spec).collect(), &Arc::default())
}

fn text() -> String {
    let board = StatusBoard::new(2);
    board.set_unready(Vec::new());
    let carrier = CatalogCarrier {
        id: CarrierId(1),
        name: "north".to_owned(),
        group: GroupId(0),
        home: None,
        ..CatalogCarrier::default()
    };
    let limits = Arc::new(LimitTable { rules: vec![rule(1, "idle"), rule(2, "spring")] });
    let catalog = Catalog { version: 3, carriers: vec![carrier], limits, ..Catalog::default() };
    let ends = [("http.tls".to_owned(), 1_924_992_000)];
    let tenants = tenants(&["shop".to_owned(), "bank".to_owned()]);
    render(&cores(), &board, &catalog, &tenants, &Figures::look(), &ends, NOW)
}

#[test]
fn cores_are_added_up_under_their_names() {
    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    let has = |line: &str| assert!(lines.contains(&line), "{line} is not in\n{text}");
    has("stentor_ready 1.0");
    has("stentor_catalog_version 3.0");
    has("# TYPE stentor_messages_accepted_total counter");
    has("stentor_messages_accepted_total{class=\"otp\"} 22");
    has("stentor_messages_accepted_total{class=\"emergency\"} 0");
    has("stentor_messages_refused_total{code=\"queue_full\"} 8");
    has("stentor_messages_final_total{state=\"delivered\"} 62");
    has("stentor_messages_final_total{state=\"dead\"} 72");
    has("stentor_in_doubt_total 4");
    has("stentor_in_doubt_messages{carrier=\"north\",class=\"otp\",reason=\"crashed\"} 6.0");
    has("stentor_in_doubt_messages{carrier=\"north\",class=\"otp\",reason=\"stopped\"} 0.0");
    has("stentor_in_doubt_resolved_total{by=\"late_answer\"} 10");
    has("stentor_queue_depth_messages{class=\"otp\",shard=\"1\"} 7.0");
    has("stentor_scheduled_messages{shard=\"0\"} 3.0");
    has("stentor_link_state{carrier=\"no\\\"rth\",state=\"breaker_open\"} 2.0");
    has("stentor_link_state{carrier=\"no\\\"rth\",state=\"up\"} 0.0");
    has("stentor_link_rate_allowed_parts{carrier=\"no\\\"rth\"} 200.0");
    has("stentor_link_refused_parts_total{carrier=\"no\\\"rth\",status=\"RTHROTTLED\"} 4");
    has("stentor_link_refused_parts_total{carrier=\"no\\\"rth\",status=\"0x00000400\"} 2");
    has("stentor_link_refused_parts_total{carrier=\"no\\\"rth\",status=\"other\"} 2");
    has("stentor_http_requests_total{status=\"2xx\"} 2");
    has("stentor_tenant_waiting_messages{tenant=\"shop\"} 10.0");
    has("stentor_tenant_waiting_messages{tenant=\"bank\"} 0.0");
    has("stentor_tenant_waiting_messages{tenant=\"other\"} 6.0");
    has("stentor_limit_used_ratio{limit=\"spring\"} 0.25");
    has("stentor_limit_used_ratio{limit=\"idle\"} 0.0");
    has("stentor_limit_parked_messages{limit=\"spring\"} 42.0");
    has("stentor_limit_parked_messages{limit=\"idle\"} 0.0");
    has("stentor_http_connections 10.0");
    has("stentor_http_deadlines_total{deadline=\"idle\"} 0");
}

/// What waits by tenant, as in the text, where these many messages of tenants 1, 2, … wait.
fn told_of(tenants: &Tenants, messages: &[u64]) -> Vec<(String, Value)> {
    let waiting = (1..).map(TenantId).zip(messages.iter().copied()).collect();
    let status = shard::Status { tenants: waiting, ..shard::Status::default() };
    let core = CoreSnapshot { shards: vec![(ShardId(0), status)], ..CoreSnapshot::default() };
    let mut snapshot = Snapshot::default();
    waiting_by_tenant(&mut snapshot, &[core], tenants);
    snapshot.iter().map(|(_, labels, value)| (labels[0].clone(), value.clone())).collect()
}

#[test]
fn of_many_tenants_those_with_the_most_messages_have_a_series_each() {
    let names: Vec<String> = (1..=1_000).map(|number| format!("t{number}")).collect();
    let messages: Vec<u64> = (1..=1_000).collect();
    let told = told_of(&tenants(&names), &messages);
    assert_eq!(told.len(), TENANTS_MAX + 1);
    let value = |name: &str| told.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone());
    assert_eq!([value("t1000"), value("t951")], [1_000.0, 951.0].map(|messages| Some(Value::Gauge(messages))));
    assert_eq!([value("t950"), value("other")], [None, Some(Value::Gauge((1..=950).sum::<u32>().into()))]);
}

#[test]
fn without_tenants_nothing_is_told_by_tenant() {
    assert_eq!(told_of(&tenants(&[]), &[4]), []);
}

#[test]
fn a_tenant_named_other_is_among_the_others() {
    assert_eq!(told_of(&tenants(&["other".to_owned()]), &[4, 5]), [("other".to_owned(), Value::Gauge(9.0))]);
}

#[test]
fn a_scrape_names_the_tenants_of_the_last_reload() {
    let named = |name: &str| Arc::new(tenants(&[name.to_owned()]));
    let snapshots = Arc::new(Snapshots::new(1, Arc::default(), named("before")));
    let write = renderer(Arc::new(StatusBoard::new(1)), Arc::clone(&snapshots), Clock::start());
    let names = || ["before", "after"].map(|name| write().contains(&format!("{{tenant=\"{name}\"}}")));
    assert_eq!(names(), [true, false]);
    snapshots.publish_tenants(named("after"));
    assert_eq!(names(), [false, true]);
}

#[test]
fn a_histogram_has_bounds_in_seconds() {
    let text = text();
    let value = |line: &str| text.lines().find_map(|known| known.strip_prefix(line)).map(str::to_owned);
    let bucket = |bound: &str| value(&format!("stentor_accept_to_submit_seconds_bucket{{le=\"{bound}\"}} "));
    assert_eq!(
        [bucket("0.0005"), bucket("0.001"), bucket("0.2"), bucket("0.3"), bucket("+Inf")],
        [0, 4, 4, 6, 6].map(|count: u8| Some(count.to_string()))
    );
    assert_eq!(value("stentor_accept_to_submit_seconds_sum "), Some("0.5038".to_owned()));
    assert_eq!(value("stentor_accept_to_submit_seconds_count "), Some("6".to_owned()));
}

#[test]
fn the_process_tells_of_itself() {
    let text = text();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    assert!(value("process_resident_memory_bytes ").is_some_and(|bytes| bytes > 100_000.0));
    assert!(value("process_open_fds ").is_some_and(|open| open >= 3.0));
    assert!(value("process_max_fds ").is_some_and(|most| most >= 3.0));
    assert!(value("process_start_time_seconds ").is_some_and(|start| start > 1_600_000_000.0));
    assert!(value("stentor_uptime_seconds ").is_some_and(|age| age == 90.5));
}

/// Every metric of the catalog has a value.
#[test]
fn nothing_of_the_catalog_is_forgotten() {
    let text = text();
    for metric in Metric::ALL {
        let name = metric.family().name;
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

/// Skipped where Prometheus is not installed: the catalog's own tests check the rules for names as well.
#[test]
fn promtool_finds_nothing() {
    let started = process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(process::Stdio::piped())
        .stdout(process::Stdio::piped())
        .stderr(process::Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else { return };
    promtool.stdin.take().expect("stdin").write_all(text().as_bytes()).expect("write");
    let ended = promtool.wait_with_output().expect("promtool");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && told.trim().is_empty(), "{told}");
}
