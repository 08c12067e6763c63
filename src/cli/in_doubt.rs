//! `stentor in-doubt`: lists messages in doubt, for which it is not known whether a carrier has them, or resolves them.
//! Knows the two calls and how their answers are laid out; the server supplies the words.

use std::collections::BTreeSet;
use std::io::Write;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::{self, Client};
use super::consent::{self, Person, counted};
use super::exit::{Ended, Exit, Failure};
use super::problem::{Problem, unreachable};
use super::shown::{scalar, table};
use stentor_core::model::Quoted;

/// Printed when no message is in doubt.
const NOTHING: &str = "nothing is in doubt";

/// The arguments of `stentor in-doubt`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Messages to resolve; without any, those that match the filters below, after a question at a terminal
    #[arg(value_name = "ID", requires = "resolve")]
    ids: Vec<String>,
    /// Resolve instead of listing: send again, give up, or mark as sent
    #[arg(long, value_name = "ACTION")]
    resolve: Option<Action>,
    /// Do not ask before resolving everything that matches the filters, or everything in doubt if there is none
    #[arg(long, requires = "resolve", conflicts_with = "ids")]
    all: bool,
    /// Only show what would be resolved
    #[arg(long, requires = "resolve")]
    dry_run: bool,
    /// Only messages of this tenant
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    tenant: Option<String>,
    /// Only attempts at this carrier
    #[arg(long, value_name = "NAME", conflicts_with = "ids")]
    carrier: Option<String>,
    /// Only messages of this class
    #[arg(long, value_name = "CLASS", conflicts_with = "ids")]
    class: Option<String>,
    /// Only attempts in doubt for this reason: connection_lost, response_timeout, stopped, crashed
    #[arg(long, value_name = "REASON", conflicts_with = "ids")]
    reason: Option<String>,
    /// Only attempts in doubt since this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", conflicts_with = "ids")]
    since: Option<String>,
    /// Print one JSON document: a list of entries, or of results
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: client::Server,
}

/// The decision on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Send it again; the recipient may get it twice
    Resend,
    /// Give it up; the recipient may never get it
    Drop,
    /// The carrier has it: mark it as sent
    Sent,
}

impl Action {
    /// The name in the API.
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The question that is asked before the decision.
    fn question(self, what: &str) -> String {
        match self {
            Self::Resend => format!("Send {what} again?"),
            Self::Drop => format!("Give up {what}?"),
            Self::Sent => format!("Mark {what} as sent?"),
        }
    }

    /// The outcome as a dry run words it.
    const fn foretold(self) -> &'static str {
        match self {
            Self::Resend => "would be sent again",
            Self::Drop => "would be given up",
            Self::Sent => "would be marked as sent",
        }
    }
}

/// Lists or resolves. Exit code 1 if a message could not be resolved.
pub(super) fn run(typed: &Arguments, out: &mut dyn Write) -> Ended {
    consent::at_a_terminal(|person| run_before(typed, out, person))
}

/// Like [`run`], with the person at the terminal, if there is one.
pub(super) fn run_before(typed: &Arguments, out: &mut dyn Write, person: Option<Person<'_>>) -> Ended {
    let client = typed.server.clone().client()?;
    let filter = filter(typed)?;
    let Some(action) = typed.resolve else { return show(&client, &filter, typed.json, out) };
    if typed.dry_run {
        return foretell(&client, action, &typed.ids, &filter, typed.json, out);
    }
    if !typed.ids.is_empty() || typed.all {
        return decide(&client, action, &typed.ids, &filter, typed.json, out);
    }
    match person {
        Some(ask) => {
            let entries = ledger(&client, &filter)?;
            if entries.is_empty() {
                return tell(&[], typed.json, out);
            }
            if !ask(&action.question(&amount(&entries))) {
                return Err(Failure::new(Exit::FAILED, "nothing was decided"));
            }
            // Only those that the question was about, none that came since.
            let ids: Vec<String> = entries.iter().map(|entry| scalar(entry.get("id"))).collect();
            decide(&client, action, &ids, &filter, typed.json, out)
        }
        None if filter.is_empty() => {
            let what = "this would resolve everything in doubt, of every tenant: confirm with --all, or name messages or a filter";
            Err(Failure::usage(what))
        }
        None => decide(&client, action, &[], &filter, typed.json, out),
    }
}

/// The number of messages, and of their tenants if these have names.
fn amount(entries: &[Value]) -> String {
    let tenants: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.get("tenant")?.as_str()).collect();
    let messages = counted(entries.len(), "message");
    if tenants.is_empty() { messages } else { format!("{messages} of {}", counted(tenants.len(), "tenant")) }
}

/// Filters as members of a JSON object. They also go into a query unescaped, so characters with a meaning there are refused.
fn filter(typed: &Arguments) -> Result<Map<String, Value>, Failure> {
    let mut filter = Map::new();
    let typed = [
        ("tenant", &typed.tenant),
        ("carrier", &typed.carrier),
        ("class", &typed.class),
        ("reason", &typed.reason),
        ("since", &typed.since),
    ];
    for (name, value) in typed {
        let Some(value) = value else { continue };
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte)) {
            let what = format!("{} is not a valid {name}; write times in UTC, with Z", Quoted(value));
            return Err(Failure::usage(what));
        }
        filter.insert(name.to_owned(), value.as_str().into());
    }
    Ok(filter)
}

/// All entries that match the filter.
fn ledger(client: &Client, filter: &Map<String, Value>) -> Result<Vec<Value>, Failure> {
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        let mut query = vec!["limit=1000".to_owned()];
        query.extend(filter.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())));
        query.extend(cursor.map(|cursor: String| format!("cursor={cursor}")));
        let answer = client.get(&format!("/v1/in-doubt?{}", query.join("&")));
        let page = read(client, answer)?;
        entries.extend(page.get("in_doubt").and_then(Value::as_array).into_iter().flatten().cloned());
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            return Ok(entries);
        }
    }
}

fn show(client: &Client, filter: &Map<String, Value>, json: bool, out: &mut dyn Write) -> Ended {
    let entries = ledger(client, filter)?;
    match json {
        true => writeln!(out, "{}", Value::Array(entries))?,
        false => write!(out, "{}", shown(&entries))?,
    }
    Ok(Exit::DONE)
}

fn shown(entries: &[Value]) -> String {
    if entries.is_empty() {
        return format!("{NOTHING}\n");
    }
    let cells = ["id", "to", "class", "carrier", "reason", "since", "attempt", "policy", "resend_at", "drop_at"];
    let rows: Vec<_> = entries.iter().map(|entry| cells.map(|cell| scalar(entry.get(cell))).to_vec()).collect();
    table(
        &["ID", "TO", "CLASS", "CARRIER", "REASON", "SINCE", "ATTEMPT", "POLICY", "SENT AGAIN AT", "GIVEN UP AT"],
        &rows,
    )
}

fn decide(
    client: &Client,
    action: Action,
    ids: &[String],
    filter: &Map<String, Value>,
    json: bool,
    out: &mut dyn Write,
) -> Ended {
    let action = action.name();
    let mut results: Vec<Value> = Vec::new();
    let mut exit = Exit::DONE;
    let mut chunks: Vec<Value> = ids.chunks(1_000).map(|ids| json!({"action": action, "ids": ids})).collect();
    if ids.is_empty() {
        chunks.push(json!({"action": action, "filter": filter}));
    }
    for chunk in chunks {
        loop {
            let answer = read(client, client.post("/v1/in-doubt/resolve", chunk.to_string().as_bytes()))?;
            let page = answer.get("results").and_then(Value::as_array).cloned().unwrap_or_default();
            let done = page.iter().filter(|result| result.get("result").is_some()).count();
            if done < page.len() {
                exit = Exit::FAILED;
            }
            results.extend(page);
            // The server resolves a part of the messages per call: repeat as long as that makes progress.
            if answer.get("more").and_then(Value::as_bool) != Some(true) || done == 0 {
                break;
            }
        }
    }
    tell(&results, json, out)?;
    Ok(exit)
}

/// What would be resolved, judged by what is in doubt now.
fn foretell(
    client: &Client,
    action: Action,
    ids: &[String],
    filter: &Map<String, Value>,
    json: bool,
    out: &mut dyn Write,
) -> Ended {
    let listed: Vec<String> = ledger(client, filter)?.iter().map(|entry| scalar(entry.get("id"))).collect();
    let known: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    let wanted = if ids.is_empty() { &listed[..] } else { ids };
    let foretold = wanted.iter().map(|id| match known.contains(id.as_str()) {
        true if json => json!({"id": id, "would": action.name()}),
        true => json!({"id": id, "result": action.foretold()}),
        false => json!({"id": id, "error": {"code": "not_in_doubt", "detail": "it is not in doubt"}}),
    });
    let foretold: Vec<Value> = foretold.collect();
    tell(&foretold, json, out)?;
    if !json && !foretold.is_empty() {
        writeln!(out, "nothing was decided: a dry run")?;
    }
    let all_known = wanted.iter().all(|id| known.contains(id.as_str()));
    Ok(if all_known { Exit::DONE } else { Exit::FAILED })
}

/// Results, one per line.
fn tell(results: &[Value], json: bool, out: &mut dyn Write) -> Ended {
    if json {
        writeln!(out, "{}", Value::Array(results.to_vec()))?;
        return Ok(Exit::DONE);
    }
    if results.is_empty() {
        writeln!(out, "{NOTHING}")?;
    }
    for result in results {
        let error = result.get("error").map(|error| format!("not decided: {}", scalar(error.get("detail"))));
        writeln!(out, "{} {}", scalar(result.get("id")), error.unwrap_or_else(|| scalar(result.get("result"))))?;
    }
    Ok(Exit::DONE)
}

fn read(client: &Client, answer: Result<client::Response, client::ClientError>) -> Result<Value, Failure> {
    let answer = answer.map_err(|error| unreachable(client, &error))?;
    if answer.status != 200 {
        return Err(Problem::read(&answer).failure(client));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::new(Exit::FAILED, format!("{}: the answer is not JSON: {error}", client.url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_is_laid_out() {
        assert_eq!(shown(&[]), "nothing is in doubt\n");
        let entry = json!({"id": "x", "to": "+49", "class": "otp", "carrier": "north", "reason": "crashed",
                           "since": "t", "attempt": 1, "policy": "hold"});
        let text = shown(&[entry]);
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(lines[1]), ["x", "+49", "otp", "north", "crashed", "t", "1", "hold", "-", "-"]);
    }

    #[test]
    fn filters_stay_within_their_place() {
        let server = client::Server::at("http://127.0.0.1:1");
        let typed = |carrier: &str| Arguments {
            ids: Vec::new(),
            resolve: None,
            all: false,
            dry_run: false,
            tenant: None,
            carrier: Some(carrier.to_owned()),
            class: None,
            reason: None,
            since: None,
            json: false,
            server: server.clone(),
        };
        assert_eq!(filter(&typed("north")).map(Value::Object), Ok(json!({"carrier": "north"})));
        for wrong in ["", "a&limit=1", "a b", "ä"] {
            assert_eq!(filter(&typed(wrong)).map_err(|failure| failure.exit), Err(Exit::USAGE), "{wrong}");
        }
    }
}
