//! Bodies of requests, from bytes to frames and answers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::http::{
    problem::{AskedAt, ERRORS_BYTES_MAX},
    spelling::tests::NUMBERING,
};
use stentor_core::{
    admission::{
        Defaults, Quota, Tenant, TenantOptions,
        intake::{FRAME_BYTES_MAX, FRAME_MESSAGES_MAX},
    },
    model::{
        Address, Content, Head, Line, MessageId, Mono, Msisdn, NodeId, Period, Prefix, RouteId, ShardId, TenantId, Wall,
    },
    routing::{Condition, Route, RouteTable},
    shard::LineResult,
};

const NOW: Now = Now { mono: Mono(1), wall: Wall(1_782_907_200_000) };
const SHARDS: ShardMap = ShardMap::new(4, 2);
const PRINTER: Printer = Printer::new(7);

/// Germany by one route, tag "vip" by another, nothing else.
fn catalog() -> Catalog {
    let route = |id, when| Route { id: RouteId(id), name: id.to_string(), when, ways: Vec::new() };
    let routes = vec![
        route(5, Condition { tags: vec!["vip".to_owned()], ..Condition::default() }),
        route(6, Condition { prefixes: Prefix::new("49").into_iter().collect(), ..Condition::default() }),
    ];
    Catalog { routes: RouteTable { routes }, ..Catalog::default() }
}

struct Request<'b> {
    body: &'b [u8],
    form: Form,
    key: Option<KeyPrint>,
    quota: Option<Quota>,
    limits: RequestLimits,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { body: b"", form: Form::Lines, key: None, quota: None, limits: RequestLimits::default() }
    }
}

impl Request<'_> {
    fn plan(&self) -> Result<(Vec<Parcel>, Report), Problem> {
        let tenant = Tenant::new(TenantOptions { quota: self.quota, ..TenantOptions::default() });
        let (defaults, catalog, limits) = (Defaults::default(), catalog(), self.limits);
        let rules =
            Rules { now: NOW.wall, tenant: &tenant, is_admin: false, defaults: &defaults, numbering: &NUMBERING };
        let terms = Terms { rules, catalog: &catalog, shards: SHARDS, printer: PRINTER, limits, now: NOW };
        let mut ingest = Ingest::new(self.body, self.form, &terms, self.key);
        while ingest.advance(&terms, 3 * MESSAGE_WORK)? {}
        let sent = ingest.sent();
        let (parcels, report, charge) = ingest.finish(&terms);
        assert_eq!(sent, parcels.iter().map(|parcel| u64::from(parcel.frame.paid())).sum::<u64>());
        assert_eq!(tenant.meter.used(NOW.wall), if self.quota.is_some() { sent } else { 0 });
        drop(charge);
        Ok((parcels, report))
    }

    /// Makes the frames, lets every shard answer by `answer`, and returns the answer: status and document.
    fn run(&self, answer: impl Fn(&Head) -> LineResult) -> (u16, Value) {
        let (parcels, mut report) = match self.plan() {
            Ok(planned) => planned,
            Err(problem) => return shown(&problem),
        };
        report.settle(parcels.iter().map(|parcel| Ok(parcel.frame.heads.iter().map(&answer).collect())).collect());
        let tally = report.tally();
        assert_eq!(tally.accepted + tally.duplicates + tally.rejected, report.len() as u64);
        if tally.accepted + tally.duplicates == 0 {
            return shown(&report.problem());
        }
        (202, results(&report, 100))
    }
}

/// The answer, written in slices of `work` bytes.
fn results(report: &Report, work: usize) -> Value {
    let (mut out, mut from, mut told) = (Vec::new(), Some(0), 0);
    while let Some(index) = from {
        from = report.write_results(index, work, &mut told, &mut out);
    }
    serde_json::from_slice(&out).expect("JSON")
}

fn summary(report: &Report, work: usize) -> Value {
    let (mut out, mut from, mut told) = (Vec::new(), Some(0), 0);
    while let Some(index) = from {
        from = report.write_summary(index, work, &mut told, &mut out);
    }
    serde_json::from_slice(&out).expect("JSON")
}

fn shown(problem: &Problem) -> (u16, Value) {
    let mut out = Vec::new();
    problem.write("r", &AskedAt::default(), &mut out);
    (problem.status, serde_json::from_slice(&out).expect("JSON"))
}

/// An id that shows the recipient.
fn accepted(head: &Head) -> LineResult {
    LineResult::Accepted(id(head.to))
}

fn id(to: Msisdn) -> MessageId {
    MessageId::new(Wall(0), NodeId(0), ShardId(0), Address::from_packed(to.number()))
}

fn id_of(to: &str) -> Value {
    id(Msisdn::from_digits(to.as_bytes()).expect("number")).to_string().into()
}

#[test]
fn one_object_is_answered_by_one() {
    let request = |body| Request { body, form: Form::Json, ..Request::default() }.run(accepted);
    assert_eq!(request(br#"{"to":"+4915112345678","body":"hi"}"#), (202, json!({"id": id_of("4915112345678")})));
    let (status, problem) = request(br#"{"to":"+49151","body":"hi"}"#);
    assert_eq!((status, &problem["code"]), (422, &json!("invalid_recipient")));
    assert_eq!(problem["errors"][0]["field"], "to");
    let (status, problem) = request(br#"{"to":"+4366012345678","body":"hi"}"#);
    assert_eq!((status, &problem["code"], &problem["errors"][0]["field"]), (422, &json!("no_route"), &json!("to")));
}

#[test]
fn results_stand_in_the_order_of_the_request() {
    let numbers: Vec<String> = (0..50).map(|number| format!("49151123456{number:02}")).collect();
    let body: String = numbers.iter().map(|to| format!("{{\"to\":\"+{to}\",\"body\":\"{to}\"}}\n")).collect();
    let (status, results) = Request { body: body.as_bytes(), ..Request::default() }.run(accepted);
    let expected: Vec<Value> = numbers.iter().map(|to| json!({"id": id_of(to)})).collect();
    assert_eq!((status, results), (202, expected.into()));
}

#[test]
fn frames_hold_what_was_said() {
    let body = br#"{"to":"+4915112345678","body":"one","from":"ACME","tags":["vip"],"ref":"r"}
        {"to":"+4915112345678","body":"two","class":"otp","key":"k"}"#;
    let (parcels, _) = Request { body, ..Request::default() }.plan().expect("sound");
    let [Parcel { shard, frame }] = &parcels[..] else { panic!("one recipient, one shard") };
    assert!(frame.alone);
    assert_eq!(*shard, SHARDS.shard_of(4_915_112_345_678));
    let read = |head: &Head| {
        let from = head.content_at as usize;
        let content = Content::decode(&frame.arena[from..from + head.content_len as usize]).expect("content");
        (String::from_utf8_lossy(content.body).into_owned(), content.from.to_string(), content.tags, content.reference)
    };
    assert_eq!(read(&frame.heads[0]), ("one".to_owned(), "ACME".to_owned(), "vip", "r"));
    assert_eq!(read(&frame.heads[1]), ("two".to_owned(), String::new(), "", ""));
    assert_eq!([frame.heads[0].route, frame.heads[1].route], [RouteId(5), RouteId(6)]);
    let said = b"\x02\x03\0\0\0two\x05\x03\0\0\0otp";
    let print = PRINTER.message(TenantId(0), frame.heads[1].to, "k", said);
    assert_eq!(frame.keys, [Line { index: 1, print }]);
}

#[test]
fn lines_of_a_keyed_request_get_keys_by_their_number() {
    let body = br#"{"to":"+4915112345678","body":"a"}
        {"to":"bad","body":"b"}
        {"to":"+4915112345678","body":"c","key":"own"}
        {"to":"+4915112345678","body":"d"}"#;
    let request = {
        let mut print = PRINTER.request(TenantId(0), b"request");
        print.add(body);
        print.end()
    };
    let (parcels, _) = Request { body, key: Some(request), ..Request::default() }.plan().expect("sound");
    let frame = &parcels[0].frame;
    let own = PRINTER.message(TenantId(0), frame.heads[1].to, "own", b"\x02\x01\0\0\0c");
    let line = |number, body: u8| PRINTER.line(request, number, &[2, 1, 0, 0, 0, body]);
    let expected = [(0, line(0, b'a')), (1, own), (2, line(3, b'd'))].map(|(index, print)| Line { index, print });
    assert_eq!(frame.keys, expected);
}

#[test]
fn a_broken_line_costs_itself_alone() {
    let body = b"{\"to\":\"+4915112345678\",\"body\":\"hi\"}\n{\"to\":\"+49\",\"body\":\"hi\"}\nnot json\n\xFF\n\
        {\"to\":\"+4915112345678\",\"body\":\"hi\",\"colour\":\"red\"}\n{\"to\":\"+4915112345679\",\"body\":\"hi\"}";
    let (status, results) = Request { body, ..Request::default() }.run(accepted);
    assert_eq!(status, 202);
    assert_eq!(results[0], json!({"id": id_of("4915112345678")}));
    assert_eq!(results[5], json!({"id": id_of("4915112345679")}));
    let codes: Vec<&Value> = (1..5).map(|line| &results[line]["error"]["code"]).collect();
    assert_eq!(codes, ["invalid_recipient", "malformed_json", "invalid_utf8", "unknown_field"]);
    assert_eq!(results[4]["error"]["field"], "colour");
    assert_eq!(results[1]["error"]["retryable"], false);
}

#[test]
fn what_shards_refuse_is_told_line_by_line() {
    let body = br#"[{"to":"+4915112345670","body":"hi"},{"to":"+4915112345671","body":"hi"},{"to":"+4915112345672","body":"hi"}]"#;
    let request = Request { body, form: Form::Json, ..Request::default() };
    let (status, results) = request.run(|head| match head.to.number() % 10 {
        0 => accepted(head),
        1 => LineResult::Duplicate(id(head.to)),
        _ => LineResult::Refused(Refusal::QueueFull),
    });
    let duplicate = json!({"id": id_of("4915112345671"), "duplicate": true});
    let refused = json!({"error": {"code": "queue_full", "detail": "The queue is full", "retryable": true}});
    assert_eq!((status, results), (202, json!([{"id": id_of("4915112345670")}, duplicate, refused])));
}

#[test]
fn when_nothing_was_taken_the_status_is_the_lines_common_one() {
    let body = br#"[{"to":"+4915112345670","body":"hi"},{"to":"+4915112345671","body":"hi"}]"#;
    let run = |refusals: [Refusal; 2]| {
        let request = Request { body, form: Form::Json, ..Request::default() };
        let (status, problem) = request.run(|head| LineResult::Refused(refusals[(head.to.number() % 10) as usize]));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(2));
        (status, problem["code"].as_str().expect("code").to_owned(), problem["retryable"] == true)
    };
    use Refusal::{AlreadyExpired, Draining, KeyReused, NoRoute, OverQuota, QueueFull};
    assert_eq!(run([QueueFull, QueueFull]), (503, "queue_full".to_owned(), true));
    assert_eq!(run([KeyReused, KeyReused]), (409, "key_reused".to_owned(), false));
    assert_eq!(run([QueueFull, Draining]), (503, "nothing_accepted".to_owned(), true));
    assert_eq!(run([NoRoute, AlreadyExpired]), (422, "nothing_accepted".to_owned(), false));
    assert_eq!(run([KeyReused, QueueFull]), (503, "nothing_accepted".to_owned(), true));
    assert_eq!(run([OverQuota, NoRoute]), (429, "nothing_accepted".to_owned(), true));
    assert_eq!(run([KeyReused, NoRoute]), (422, "nothing_accepted".to_owned(), false));
}

#[test]
fn a_shard_that_fails_costs_its_own_lines() {
    let body = br#"[{"to":"+4915112345670","body":"hi"},{"to":"+4915112345671","body":"hi"}]"#;
    let (parcels, mut report) = Request { body, form: Form::Json, ..Request::default() }.plan().expect("sound");
    assert_eq!(parcels.len(), 2, "two recipients in two shards");
    report.settle(vec![Err(Code::Overloaded), Ok(parcels[1].frame.heads.iter().map(accepted).collect())]);
    let error = json!({"index": 0, "code": "overloaded", "detail": "The server is busy", "retryable": true});
    let counts = json!({"accepted": 1, "duplicates": 0, "rejected": 1, "errors": [error]});
    assert_eq!([summary(&report, 1), summary(&report, 1 << 20)], [counts.clone(), counts]);
    report.settle(Vec::new());
    assert_eq!((report.tally().rejected, report.problem().code), (2, Code::Internal));
}

#[test]
fn a_tenants_rate_lets_in_what_fits() {
    let body = br#"[{"to":"+4915112345670","body":"hi"},{"to":"x"},{"to":"+4915112345671","body":"hi"}]"#;
    let quota = |messages| Some(Quota { messages, period: Period::Hour });
    let (status, results) = Request { body, form: Form::Json, quota: quota(1), ..Request::default() }.run(accepted);
    assert_eq!((status, &results[2]["error"]["code"]), (202, &json!("over_quota")));
    let told = "the quota of 1 message an hour is used up until 2026-07-01T13:00:00.000Z";
    assert_eq!(results[2]["error"]["detail"], told);
    let one = br#"{"to":"+4915112345670","body":"hi"}"#;
    let request = Request { body: one, form: Form::Json, quota: quota(0), ..Request::default() };
    let (_, report) = request.plan().expect("sound");
    assert_eq!((report.problem().status, report.problem().retry_after_s), (429, 3_600));
}

/// Reported case: a request sent again under its key got 429 for messages that it had itself brought in.
#[test]
fn what_has_a_key_is_asked_for_although_the_quota_is_used_up() {
    let body = br#"[{"to":"+4915112345670","body":"hi"},{"to":"+4915112345671","body":"hi"}]"#;
    let (form, key) = (Form::Json, Some(KeyPrint { key: 1, content: 2 }));
    let quota = Some(Quota { messages: 1, period: Period::Hour });
    let request = Request { body, form, key, quota, ..Request::default() };
    let (parcels, _) = request.plan().expect("sound");
    let messages = parcels.iter().map(|parcel| parcel.frame.heads.len()).sum::<usize>();
    assert_eq!((messages, parcels.iter().map(|parcel| parcel.frame.unpaid).sum::<u32>()), (2, 1));
    let (status, results) = request.run(|head| LineResult::Duplicate(id(head.to)));
    let entry = |to: &str| json!({"id": id_of(to), "duplicate": true});
    assert_eq!((status, results), (202, json!([entry("4915112345670"), entry("4915112345671")])));
    let (mut report, over) = (request.plan().expect("sound").1, LineResult::Refused(Refusal::OverQuota));
    report.settle(parcels.iter().map(|parcel| Ok(vec![over; parcel.frame.heads.len()])).collect());
    assert_eq!((report.problem().status, report.problem().retry_after_s), (429, 3_600));
    let told = "the quota of 1 message an hour is used up until 2026-07-01T13:00:00.000Z";
    assert_eq!(report.problem().items[0].1.detail, told, "also where a shard has refused it");
}

/// What four cores accept that each bring 400 requests of a tenant, of 100 messages each, of which shards take `admitted`.
fn bring_on_four_cores(tenant: &Tenant, admitted: fn(u64) -> u64) -> u64 {
    let request = |number: u64| {
        let mut charge = tenant.meter.open();
        let taken = (0..100).take_while(|_| charge.take(NOW, || 1 + number % 50).is_ok()).count() as u64;
        charge.settle(admitted(taken));
        admitted(taken)
    };
    std::thread::scope(|scope| {
        let cores: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..400).map(request).sum::<u64>())).collect();
        cores.into_iter().map(|core| core.join().expect("no panic")).sum()
    })
}

#[test]
fn cores_that_ask_at_once_get_no_more_than_the_quota_and_are_charged_what_was_admitted() {
    let quota = Some(Quota { messages: 30_000, period: Period::Day });
    let tenant = Tenant::new(TenantOptions { quota, ..TenantOptions::default() });
    let admitted = bring_on_four_cores(&tenant, |taken| taken / 2);
    assert_eq!(tenant.meter.used(NOW.wall), admitted);
    assert!((10_000..=30_000).contains(&admitted), "{admitted}");
}

#[test]
fn cores_that_ask_at_once_get_no_more_than_the_rate() {
    let tenant = Tenant::new(TenantOptions { rate: Some(900), ..TenantOptions::default() });
    let taken = bring_on_four_cores(&tenant, |taken| taken);
    assert!((1..=900).contains(&taken), "{taken}");
}

#[test]
fn limits_hold_for_lines_and_requests() {
    let line = r#"{"to":"+4915112345678","body":"hi"}"#;
    let lines = [line; 5].join("\n");
    let limits = |line_bytes_max, messages_max| RequestLimits { line_bytes_max, messages_max };
    let run = |limits| Request { body: lines.as_bytes(), limits, ..Request::default() }.run(accepted);
    assert_eq!(run(limits(line.len(), 5)).0, 202);
    let (status, problem) = run(limits(line.len(), 4));
    assert_eq!((status, &problem["code"]), (413, &json!("too_many_messages")));
    let (status, problem) = run(limits(line.len() - 1, 5));
    assert_eq!((status, &problem["code"]), (413, &json!("line_too_large")));
}

#[test]
fn no_frame_is_larger_than_its_share_of_a_turn() {
    let body = r#"{"to":"+4915112345678","body":"hi"}"#.to_owned() + "\n";
    let body = body.repeat(FRAME_MESSAGES_MAX * 2 + 1);
    let (parcels, report) = Request { body: body.as_bytes(), ..Request::default() }.plan().expect("sound");
    let sizes: Vec<usize> = parcels.iter().map(|parcel| parcel.frame.heads.len()).collect();
    assert_eq!(sizes, [FRAME_MESSAGES_MAX, FRAME_MESSAGES_MAX, 1]);
    assert!(parcels.iter().all(|parcel| !parcel.frame.alone), "they stay in order");
    assert_eq!(report.len(), FRAME_MESSAGES_MAX * 2 + 1);
    let long =
        format!("{{\"to\":\"+4915112345678\",\"body\":\"{}\",\"parts_max\":255}}\n", "x".repeat(39_000)).repeat(250);
    let (parcels, _) = Request { body: long.as_bytes(), ..Request::default() }.plan().expect("sound");
    assert!(parcels.len() > 1 && parcels.iter().all(|parcel| parcel.frame.arena.len() < FRAME_BYTES_MAX + 40_000));
}

/// A request that is refused line by line, with the lines repeated `count` times.
fn refused(lines: &str, count: usize) -> Report {
    let body = lines.repeat(count);
    let (parcels, mut report) = Request { body: body.as_bytes(), ..Request::default() }.plan().expect("sound");
    report.settle(parcels.iter().map(|parcel| Ok(parcel.frame.heads.iter().map(accepted).collect())).collect());
    report
}

#[test]
fn an_answer_quotes_little_and_tells_of_few_in_full() {
    let tag = format!("{{\"to\":\"+4915112345678\",\"body\":\"x\",\"tags\":[\"{}\"]}}\n", "\u{80}".repeat(60_000));
    let mut out = Vec::new();
    refused(&tag, 64).problem().write("r", &AskedAt::default(), &mut out);
    assert!(out.len() < 64 * 1_000, "{} bytes of 64 lines", out.len());

    let report = refused("{\"to\":\"1\",\"body\":\"x\"}\n", 50_000);
    out.clear();
    let problem = report.problem();
    problem.write("r", &AskedAt::default(), &mut out);
    assert!(out.len() < 2 * ERRORS_BYTES_MAX, "{} bytes of a problem", out.len());
    let (_, shown) = shown(&problem);
    let told = shown["errors"].as_array().expect("errors").len() as u64;
    assert!(told > 1_000, "{told}");
    assert_eq!(shown["errors_omitted"].as_u64().expect("omitted") + told, 50_000);
    assert_eq!(
        (&shown["code"], &shown["detail"]),
        (&json!("invalid_recipient"), &json!("50000 messages, none accepted"))
    );

    let words = report.flaws_bytes();
    assert!(words < ERRORS_BYTES_MAX + 50_000 * 4, "{words} bytes of words are kept");
}

#[test]
fn each_message_that_was_not_taken_is_named_however_many_they_are() {
    let lines = "{\"to\":\"1\",\"body\":\"x\"}\n".repeat(20_000) + "{\"to\":\"+4915112345678\",\"body\":\"x\"}\n";
    let report = refused(&lines, 1);
    let shown = summary(&report, 32 << 10);
    let errors = shown["errors"].as_array().expect("errors");
    assert_eq!((&shown["accepted"], &shown["rejected"], errors.len()), (&json!(1), &json!(20_000), 20_000));
    assert_eq!(errors[0]["detail"], "0 digits after +1; numbers there have 10");
    let last = json!({"index": 19_999, "code": "invalid_recipient", "field": "to", "detail": "", "retryable": false});
    assert_eq!(errors[19_999], last);
    assert_eq!(summary(&report, 100), shown, "the same in whatever slices");
    let whole = results(&report, 32 << 10);
    assert_eq!(whole.as_array().map(Vec::len), Some(20_001));
    assert_eq!((&whole[0]["error"]["detail"], &whole[19_999]["error"]["detail"]), (&errors[0]["detail"], &json!("")));
    assert_eq!(results(&report, 1), whole, "the same in whatever slices");
}

#[test]
fn a_slice_of_work_is_as_long_as_it_is_said_to_be() {
    let (tenant, defaults, catalog) = (Tenant::default(), Defaults::default(), catalog());
    let rules = Rules { now: NOW.wall, tenant: &tenant, is_admin: false, defaults: &defaults, numbering: &NUMBERING };
    let limits = RequestLimits::default();
    let terms = Terms { rules, catalog: &catalog, shards: SHARDS, printer: PRINTER, limits, now: NOW };
    let long = format!("{{\"to\":\"+4915112345678\",\"body\":\"{}\",\"parts_max\":255}}\n", "x".repeat(30_000));
    for (lines, slices) in [
        ("{\"to\":\"+4915112345678\",\"body\":\"x\"}\n".repeat(6_400), 100),
        (long.repeat(100), 50),
        ("\n".repeat(32 << 20), 1_024),
        ("{}\n".repeat(64_000), 1_000),
    ] {
        let mut ingest = Ingest::new(lines.as_bytes(), Form::Lines, &terms, None);
        let mut count = 0;
        while let Ok(true) = ingest.advance(&terms, 32 << 10) {
            count += 1;
        }
        assert!(count >= slices, "{count} slices of {}", &lines[..40]);
    }
}

#[test]
fn a_tenants_messages_are_its_own() {
    let tenant = Tenant::new(TenantOptions { id: TenantId(9), ..TenantOptions::default() });
    let (defaults, catalog) = (Defaults::default(), catalog());
    let rules = Rules { now: NOW.wall, tenant: &tenant, is_admin: false, defaults: &defaults, numbering: &NUMBERING };
    let limits = RequestLimits::default();
    let terms = Terms { rules, catalog: &catalog, shards: SHARDS, printer: PRINTER, limits, now: NOW };
    let body = br#"{"to":"+4915112345678","body":"hi"}"#;
    let mut ingest = Ingest::new(body, Form::Json, &terms, None);
    while ingest.advance(&terms, 1).expect("sound") {}
    assert_eq!(ingest.finish(&terms).0[0].frame.heads[0].tenant, TenantId(9));
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let good = (0..1_000_u32).prop_map(|n| format!(r#"{{"to":"+49151123{n:05}","body":"{n}"}}"#).into_bytes());
    let odd = prop::sample::select(vec![
        r#"{"to":"+4915112345678","body":"hi","key":"k"}"#,
        r#"{"to":"0","body":"hi"}"#,
        r#"{"to":"+4915112345678","data":"AAE=","udh":"BgUEC4Qj8A=="}"#,
        r#"{"to":"+4915112345678","body":"\u00e9\ud83d\ude00","tags":["vip"],"expires_in":"1d"}"#,
        "[1]",
        "\u{c}",
        "{",
        "null",
        "",
        " ",
        "\"",
    ]);
    prop_oneof![good, odd.prop_map(|line| line.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 0..60)]
}

proptest! {
    #[test]
    fn every_line_has_exactly_one_result(lines in prop::collection::vec(any_line(), 0..20)) {
        let body = lines.join(&b'\n');
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        let expected = body.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(space)).count();
        match (Request { body: &body, ..Request::default() }).plan() {
            Ok((parcels, mut report)) => {
                prop_assert_eq!(report.len(), expected);
                report.settle(parcels.iter().map(|parcel| Ok(parcel.frame.heads.iter().map(accepted).collect())).collect());
                let results = results(&report, usize::MAX >> 1);
                let results = results.as_array().expect("a list");
                prop_assert_eq!(results.len(), expected);
                let sent = parcels.iter().map(|parcel| parcel.frame.heads.len()).sum::<usize>();
                prop_assert_eq!(results.iter().filter(|result| result.get("id").is_some()).count(), sent);
            }
            Err(problem) => prop_assert_eq!((problem.code, expected), (Code::NoMessages, 0)),
        }
    }

    #[test]
    fn no_body_is_too_odd(body in prop::collection::vec(any::<u8>(), 0..200), json in "[\\[{]\\PC{0,80}[\\]}]") {
        for form in [Form::Json, Form::Lines] {
            let _ = Request { body: &body, form, ..Request::default() }.run(accepted);
            let _ = Request { body: json.as_bytes(), form, ..Request::default() }.run(accepted);
        }
    }
}
