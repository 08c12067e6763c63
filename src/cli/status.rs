//! `stentor status`: the health of a running daemon, or the state of messages.
//! Knows which calls answer that and how the answers are laid out; the server supplies the words.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use super::client::{self, Client, Response};
use super::exit::{Ended, Exit, Failure};
use super::problem::{Problem, unreachable};
use super::shown::{self, scalar, table};
use crate::http::rfc3339;
use stentor_core::model::{Quoted, Wall};

/// A carrier that has all its binds still shows its last error for this long, in ms.
const RECENT_MS: u64 = 300_000;
/// Most counters of limits that are shown.
const LIMITS_MAX: usize = 50;
/// Most tenants that are shown.
const TENANTS_MAX: usize = 10;
/// Most messages to a number that are shown.
const TO_MAX: usize = 100;

/// The arguments of `stentor status`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Ids of messages; without any, show the daemon
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Instead, show the newest messages to this number, at most 100
    #[arg(long, value_name = "NUMBER", conflicts_with = "ids")]
    to: Option<String>,
    /// With --to: only messages that were accepted at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", requires = "to")]
    since: Option<String>,
    /// With --to: messages of this tenant; `*`: of all tenants. For admins
    #[arg(long, value_name = "NAME", requires = "to")]
    tenant: Option<String>,
    /// Print one JSON document: a list of messages, or {"ready", "reasons", "queues", "carriers", "limits", "restored"}
    #[arg(long)]
    json: bool,
    /// Only ask whether the daemon is ready; needs no key, for health checks
    #[arg(long, conflicts_with_all = ["ids", "to", "json"])]
    ready: bool,
    #[command(flatten)]
    server: client::Server,
}

/// Prints what was asked for. Exit code 69 if the daemon is not ready, 1 if a message is not found.
pub(super) fn run(typed: Arguments, out: &mut dyn Write) -> Ended {
    let client = typed.server.client()?;
    if typed.ready {
        let (told, ready) = asked_if_ready(&client)?;
        return tell_readiness(&client, &told, ready, out);
    }
    if let Some(to) = &typed.to {
        let whose = typed.tenant.as_deref().or(client.is_no_tenant().then_some("*"));
        return sent_to(&client, to, [("since", typed.since.as_deref()), ("tenant", whose)], typed.json, out);
    }
    if typed.ids.is_empty() { daemon(&client, typed.json, out) } else { messages(&client, &typed.ids, typed.json, out) }
}

/// One message's document.
pub(super) fn message(client: &Client, id: &str) -> Result<Value, Failure> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(Failure::usage(format!("{} is not a message id", Quoted(id))));
    }
    // A caller that is not a tenant has no messages of its own.
    let whose = if client.is_no_tenant() { "?tenant=*" } else { "" };
    asked(client, &format!("/v1/messages/{id}{whose}"))
}

/// The newest messages to a number.
fn sent_to(client: &Client, to: &str, filters: [(&str, Option<&str>); 2], json: bool, out: &mut dyn Write) -> Ended {
    let filters: String =
        filters.iter().filter_map(|(name, value)| Some(format!("&{name}={}", escaped((*value)?)))).collect();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    // An answer may have no messages but a cursor, because the server searches for a limited time.
    loop {
        let limit = TO_MAX - found.len();
        let page = asked(client, &format!("/v1/messages?to={}&limit={limit}{filters}{cursor}", escaped(to)))?;
        found.extend(list(&page, "messages").iter().cloned());
        match page.get("next").and_then(Value::as_str) {
            Some(next) if found.len() < TO_MAX => cursor = format!("&cursor={}", escaped(next)),
            Some(_) | None => break,
        }
    }
    if json {
        writeln!(out, "{}", Value::Array(found))?;
    } else if found.is_empty() {
        writeln!(
            out,
            "no message to {} was accepted, or its history was deleted after its retention time",
            Quoted(to)
        )?;
    } else {
        found.iter().try_for_each(|message| write!(out, "{}", shown::message(message)))?;
    }
    Ok(Exit::DONE)
}

/// Escapes a value for a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

fn asked(client: &Client, path: &str) -> Result<Value, Failure> {
    let answer = client.get(path).map_err(|error| unreachable(client, &error))?;
    if answer.status != 200 {
        return Err(Problem::read(&answer).failure(client));
    }
    read(client, &answer)
}

fn read(client: &Client, answer: &Response) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::new(Exit::FAILED, format!("{}: the answer is not JSON: {error}", client.url)))
}

fn messages(client: &Client, ids: &[String], json: bool, out: &mut dyn Write) -> Ended {
    let mut found = Vec::new();
    for id in ids {
        let message = message(client, id)?;
        if !json {
            write!(out, "{}", shown::message(&message))?;
        }
        found.push(message);
    }
    if json {
        writeln!(out, "{}", Value::Array(found))?;
    }
    Ok(Exit::DONE)
}

fn daemon(client: &Client, json: bool, out: &mut dyn Write) -> Ended {
    let (told, ready) = asked_if_ready(client)?;
    let [queues, carriers, limits, restored] =
        ["queues", "carriers", "limits", "restored"].map(|name| asked(client, &format!("/v1/{name}")));
    if json {
        let (queues, carriers, limits, restored) = (queues?, carriers?, limits?, restored?);
        let carriers = carriers.get("carriers").unwrap_or(&carriers);
        let limits = limits.get("limits").unwrap_or(&limits);
        let reasons = told.get("reasons");
        let all = json!({"ready": ready, "reasons": reasons, "queues": queues, "carriers": carriers, "limits": limits,
            "restored": restored});
        writeln!(out, "{all}")?;
    } else {
        tell_readiness(client, &told, ready, out)?;
        let queues = queues?;
        write!(out, "{}{}", queues_shown(&queues), tenants_shown(&queues))?;
        write!(out, "{}", carriers_shown(&carriers?, now()))?;
        write!(out, "{}", limits_shown(&limits?))?;
        write!(out, "{}", restored_shown(&restored?))?;
    }
    Ok(if ready { Exit::DONE } else { Exit::UNAVAILABLE })
}

/// The document of `/readyz`, and whether the daemon is ready. If it is not, it answers 503 with the same document.
fn asked_if_ready(client: &Client) -> Result<(Value, bool), Failure> {
    let answer = client.get("/readyz").map_err(|error| unreachable(client, &error))?;
    let told = serde_json::from_slice::<Value>(&answer.body).ok();
    told.and_then(|told| told.get("ready").and_then(Value::as_bool).map(|is| (told, is)))
        .ok_or_else(|| Problem::read(&answer).failure(client))
}

fn tell_readiness(client: &Client, told: &Value, ready: bool, out: &mut dyn Write) -> Ended {
    writeln!(out, "{} is {}", client.url, readiness(ready, told))?;
    Ok(if ready { Exit::DONE } else { Exit::UNAVAILABLE })
}

fn readiness(ready: bool, told: &Value) -> String {
    if ready {
        return "ready".to_owned();
    }
    let reasons: Vec<_> = list(told, "reasons").iter().map(|reason| scalar(Some(reason))).collect();
    format!("not ready: {}", reasons.join("; "))
}

fn queues_shown(queues: &Value) -> String {
    let number = |name| scalar(queues.get(name));
    let mut text = format!(
        "\nqueues: {} ready, {} scheduled, {} in flight, {} in doubt, {} without a receipt yet\n",
        number("depth"),
        number("scheduled"),
        number("in_flight"),
        number("in_doubt"),
        number("awaiting_receipt"),
    );
    let rows: Vec<_> = list(queues, "lanes")
        .iter()
        .map(|lane| {
            let span = |name, ms| lane.get(name).and_then(Value::as_u64).map(|value| shown::duration(value * ms));
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            vec![
                scalar(lane.get("class")),
                scalar(lane.get("route")),
                scalar(lane.get("depth")),
                or_dash(span("oldest_age_ms", 1)),
                or_dash(span("drain_s", 1_000)),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&table(&["CLASS", "ROUTE", "DEPTH", "OLDEST", "EMPTY IN"], &rows));
    }
    text
}

/// The tenants with the most ready messages, of all classes and routes together. The server names at most 50 for each of
/// these, so how many others there are is not known.
fn tenants_shown(queues: &Value) -> String {
    let mut tenants: BTreeMap<&str, (u64, Option<u64>)> = BTreeMap::new();
    for own in list(queues, "lanes").iter().flat_map(|lane| list(lane, "tenants")) {
        let number = |name| own.get(name).and_then(Value::as_u64);
        let Some(name) = own.get("tenant").and_then(Value::as_str) else { continue };
        let (depth, oldest_ms) = tenants.entry(name).or_default();
        *depth += number("depth").unwrap_or_default();
        *oldest_ms = (*oldest_ms).max(number("oldest_age_ms"));
    }
    let mut most_first: Vec<_> = tenants.into_iter().filter(|(_, (depth, _))| *depth > 0).collect();
    most_first.sort_by_key(|(name, (depth, _))| (Reverse(*depth), *name));
    let rest = if most_first.len() > TENANTS_MAX { "  and others: GET /v1/queues\n" } else { "" };
    let row = |(name, (depth, oldest_ms)): (&str, (u64, Option<u64>))| {
        vec![shown::plain(name), depth.to_string(), oldest_ms.map_or_else(|| "-".to_owned(), shown::duration)]
    };
    let rows: Vec<_> = most_first.into_iter().take(TENANTS_MAX).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\ntenants:\n{}{rest}", table(&["NAME", "DEPTH", "OLDEST"], &rows))
}

fn carriers_shown(carriers: &Value, now: Wall) -> String {
    let of = |carrier: &Value, used, all| format!("{}/{}", scalar(carrier.get(used)), scalar(carrier.get(all)));
    let rows: Vec<_> = list(carriers, "carriers")
        .iter()
        .map(|carrier| {
            vec![
                scalar(carrier.get("name")),
                of(carrier, "binds", "binds_wanted"),
                of(carrier, "window_used", "window"),
                of(carrier, "rate", "rate_allowed"),
                scalar(carrier.get("accepted")),
                scalar(carrier.get("receipts")),
                refusals(carrier),
                held(carrier),
            ]
        })
        .collect();
    let headings = ["NAME", "BINDS", "WINDOW", "RATE/S", "TAKEN", "RECEIPTS", "REFUSED", "HELD BY"];
    let errors: String = list(carriers, "carriers").iter().filter_map(|carrier| last_error(carrier, now)).collect();
    format!("\ncarriers:\n{}{errors}", table(&headings, &rows))
}

fn now() -> Wall {
    Wall(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

/// The last error of a carrier that lacks a bind, or lacked one a moment ago, so that one whose binds come and go is noticed.
fn last_error(carrier: &Value, now: Wall) -> Option<String> {
    let binds = |name| carrier.get(name).and_then(Value::as_u64);
    let is_recent = |error: &Value| {
        let at = error.get("at").and_then(Value::as_str).and_then(|at| rfc3339::parse(at).ok());
        at.is_some_and(|at| at.after_ms(RECENT_MS) > now)
    };
    let is_told = |error: &&Value| error.is_object() && (binds("binds") < binds("binds_wanted") || is_recent(error));
    let error = carrier.get("last_error").filter(is_told)?;
    let [at, host, what] = ["at", "host", "what"].map(|name| scalar(error.get(name)));
    let next = carrier.get("next_try_at").filter(|at| at.is_string());
    let next = next.map(|at| format!("; next attempt at {}", scalar(Some(at)))).unwrap_or_default();
    Some(format!("  {}: last error at {at}, {host}: {what}{next}\n", scalar(carrier.get("name"))))
}

/// The counters of limits. Of very many, those for which most messages wait, and of these the fullest.
fn limits_shown(limits: &Value) -> String {
    let mut counters: Vec<&Value> = list(limits, "limits").iter().collect();
    let number = |counter: &Value, name| counter.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut rest = String::new();
    if counters.len() > LIMITS_MAX {
        let part = |counter: &Value| number(counter, "used") * 1_000 / number(counter, "allowed").max(1);
        counters.sort_by_key(|counter| Reverse((number(counter, "parked"), part(counter))));
        rest = format!("  and {} more: GET /v1/limits\n", counters.len() - LIMITS_MAX);
        counters.truncate(LIMITS_MAX);
    }
    let rows: Vec<_> = counters
        .into_iter()
        .map(|counter| {
            vec![
                scalar(counter.get("name")),
                scalar(counter.get("value")),
                format!("{}/{}", scalar(counter.get("used")), scalar(counter.get("allowed"))),
                scalar(counter.get("parked")),
                scalar(counter.get("wakes_at")),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\nlimits:\n{}{rest}", table(&["NAME", "VALUE", "USED", "PARKED", "WAKES"], &rows))
}

/// The messages that were unsent in the backup that this installation was restored from, as long as some are left.
fn restored_shown(restored: &Value) -> String {
    let is_left = |class: &&Value| class.get("messages").and_then(Value::as_u64) != Some(0);
    let rows: Vec<_> = list(restored, "classes")
        .iter()
        .filter(is_left)
        .map(|class| ["class", "messages", "unsent"].map(|cell| scalar(class.get(cell))).to_vec())
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let (mark, at) = (scalar(restored.get("mark")), scalar(restored.get("at")));
    let rows = table(&["CLASS", "MESSAGES", "DECISION"], &rows);
    format!("\nrestored at {at}; unsent in the backup of {mark}; `stentor restored` decides:\n{rows}")
}

fn refusals(carrier: &Value) -> String {
    let named = |refusal: &Value| {
        let name = refusal.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.map_or_else(|| scalar(refusal.get("status")), shown::plain);
        format!("{name}={}", scalar(refusal.get("count")))
    };
    or_dash(list(carrier, "refused").iter().map(named).collect())
}

fn held(carrier: &Value) -> String {
    or_dash(list(carrier, "held_by").iter().map(|reason| scalar(Some(reason))).collect())
}

fn or_dash(words: Vec<String>) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

fn list<'v>(document: &'v Value, name: &str) -> &'v [Value] {
    document.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_and_carriers_are_laid_out() {
        let lane = json!({"class": "otp", "route": "all", "depth": 50, "oldest_age_ms": 100, "drain_s": null});
        let queues = json!({"depth": 50, "scheduled": 1, "in_flight": 2, "in_doubt": 0, "awaiting_receipt": 9,
                            "lanes": [lane]});
        let text = "\nqueues: 50 ready, 1 scheduled, 2 in flight, 0 in doubt, 9 without a receipt yet\n  \
                    CLASS  ROUTE  DEPTH  OLDEST  EMPTY IN\n  otp    all    50     100 ms  -\n";
        assert_eq!(queues_shown(&queues), text);
        let carrier = json!({"name": "north", "binds": 1, "binds_wanted": 2, "window_used": 3, "window": 10, "rate": 5,
                             "rate_allowed": null, "accepted": 7, "receipts": 6, "held_by": ["down"],
                             "refused": [{"status": "0x00000058", "name": "ESME_RTHROTTLED", "count": 4}],
                             "last_error": {"at": "T", "host": "h:1", "what": "bind not answered within 10 s"}});
        let text = "\ncarriers:\n  \
            NAME   BINDS  WINDOW  RATE/S  TAKEN  RECEIPTS  REFUSED            HELD BY\n  \
            north  1/2    3/10    5/-     7      6         ESME_RTHROTTLED=4  down\n  \
            north: last error at T, h:1: bind not answered within 10 s\n";
        assert_eq!(carriers_shown(&json!({"carriers": [carrier]}), Wall(0)), text);
    }

    #[test]
    fn tenants_are_added_up_and_those_with_the_most_are_shown() {
        let own = |name: &str, depth: u64, age: Value| json!({"tenant": name, "depth": depth, "oldest_age_ms": age});
        let otp = json!({"tenants": [own("shop", 50, json!(100)), own("idle", 0, Value::Null)]});
        let marketing = json!({"tenants": [own("bank", 60, Value::Null), own("shop", 40, json!(2_000))]});
        let text = "\ntenants:\n  \
                    NAME  DEPTH  OLDEST\n  \
                    shop  90     2 s\n  \
                    bank  60     -\n";
        assert_eq!(tenants_shown(&json!({"lanes": [otp, marketing]})), text);
        let many: Vec<Value> = (1..=30).map(|at| own(&format!("t{at}"), at, Value::Null)).collect();
        let told = tenants_shown(&json!({"lanes": [{"tenants": many}]}));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((lines.len(), lines[lines.len() - 1]), (4 + TENANTS_MAX, "  and others: GET /v1/queues"), "{told}");
        assert!(lines[3].starts_with("  t30 ") && lines[12].starts_with("  t21 "), "{told}");
        assert_eq!(tenants_shown(&json!({"lanes": [{"class": "otp"}]})), "", "without tenants");
    }

    #[test]
    fn limits_are_laid_out_and_of_many_those_that_hold_something_up() {
        let counter = |name: &str, value: Value, used: u64, parked: u64, wakes: Value| {
            let allowed = 10;
            json!({"name": name, "value": value, "used": used, "allowed": allowed, "parked": parked, "wakes_at": wakes})
        };
        let two = [counter("all", Value::Null, 3, 0, Value::Null), counter("each", json!("shop"), 10, 7, json!("T"))];
        let text = "\nlimits:\n  \
                    NAME  VALUE  USED   PARKED  WAKES\n  \
                    all   -      3/10   0       -\n  \
                    each  shop   10/10  7       T\n";
        assert_eq!(limits_shown(&json!({"limits": two})), text);
        let many: Vec<Value> =
            (0..60).map(|at| counter("l", json!(at.to_string()), at % 10, at / 58, Value::Null)).collect();
        let told = limits_shown(&json!({"limits": many}));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!((lines.len(), lines[lines.len() - 1]), (54, "  and 10 more: GET /v1/limits"));
        assert!(lines[3].starts_with("  l     59     9/10") && lines[4].starts_with("  l     58     8/10"), "{told}");
        assert_eq!(limits_shown(&json!({"limits": []})), "");
    }

    #[test]
    fn what_a_restore_holds_is_told_while_there_is_some() {
        let class = |name: &str, messages: u64| json!({"class": name, "messages": messages, "unsent": "hold"});
        let restored = |otp: u64| json!({"restored": true, "mark": "M", "at": "A", "classes": [class("otp", otp), class("marketing", 0)]});
        let text = "\nrestored at A; unsent in the backup of M; `stentor restored` decides:\n  \
                    CLASS  MESSAGES  DECISION\n  otp    7         hold\n";
        assert_eq!(restored_shown(&restored(7)), text);
        assert_eq!([restored_shown(&restored(0)), restored_shown(&json!({"restored": false}))], ["", ""]);
    }

    #[test]
    fn readiness_says_why_not() {
        assert_eq!(readiness(true, &json!({})), "ready");
        assert_eq!(readiness(false, &json!({"reasons": ["starting", "disk"]})), "not ready: starting; disk");
    }

    /// A carrier that accepts a bind and drops it a second later has all its binds most of the time.
    #[test]
    fn an_error_is_shown_for_a_while_after_the_bind_is_back() {
        let carrier = json!({"name": "north", "binds": 1, "binds_wanted": 1,
                             "last_error": {"at": "1970-01-01T00:10:00Z", "host": "h:1", "what": "it unbound"}});
        assert!(last_error(&carrier, Wall(899_999)).is_some_and(|told| told.contains("it unbound")));
        assert_eq!(last_error(&carrier, Wall(900_000)), None);
    }

    #[test]
    fn what_is_typed_stays_within_its_value() {
        assert_eq!(escaped("+49 151&state=x"), "%2B49%20151%26state%3Dx");
        assert_eq!(escaped("2026-07-01T12:00:00Z"), "2026-07-01T12%3A00%3A00Z");
    }

    #[test]
    fn an_id_stays_within_its_path() {
        let client = client::Server::at("http://127.0.0.1:1").client().expect("client");
        for id in ["", "../queues", "a?b", "a b"] {
            assert_eq!(message(&client, id).expect_err("refused").exit, Exit::USAGE, "{id}");
        }
    }
}
