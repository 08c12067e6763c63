//! `stentor inbound`: messages from handsets, and with `--follow` those that come in from now on.
//! Knows the call and how its lines are laid out; the words are the server's.

use std::io::Write;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{self, Client};
use super::exit::{Ended, Exit, Failure};
use super::problem::{Problem, unreachable};
use super::shown::{plain, scalar};
use crate::model::Quoted;

/// Messages of one question.
const PAGE: usize = 1_000;
/// Between two looks at what came in.
const LOOK: Duration = Duration::from_secs(1);

/// What was typed.
#[derive(Debug, Args)]
pub(super) struct Typed {
    /// Go on with what comes in, until interrupted
    #[arg(long)]
    follow: bool,
    /// From where an earlier run ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Messages to numbers of this tenant; `*`: of all, and those that are nobody's
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Print each message as a JSON object a line, and the last cursor behind them
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: client::Server,
}

/// Prints what came in, the cursor to go on from last.
pub(super) fn run(typed: Typed, out: &mut dyn Write) -> Ended {
    let client = typed.server.client()?;
    for (name, value) in [("cursor", &typed.cursor), ("tenant", &typed.tenant)] {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        if let Some(value) = value.as_ref().filter(|value| !value.bytes().all(fits)) {
            return Err(Failure::usage(format!("{} is no {name}", Quoted(value))));
        }
    }
    let mut cursor = typed.cursor;
    loop {
        let page = page(&client, cursor.as_deref(), typed.tenant.as_deref())?;
        for message in &page.messages {
            let line = if typed.json { message.to_string() } else { shown(message) };
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        let stands = page.cursor == cursor || page.cursor.is_none();
        cursor = page.cursor.or(cursor);
        if stands && !typed.follow {
            break;
        }
        if stands {
            thread::sleep(LOOK);
        }
    }
    match (typed.json, cursor) {
        (true, Some(cursor)) => writeln!(out, "{}", serde_json::json!({ "cursor": cursor }))?,
        (false, Some(cursor)) => writeln!(out, "cursor {}", plain(&cursor))?,
        (_, None) => {}
    }
    Ok(Exit::DONE)
}

/// An answer.
#[derive(Debug, Default, PartialEq)]
struct Page {
    messages: Vec<Value>,
    cursor: Option<String>,
}

fn page(client: &Client, cursor: Option<&str>, tenant: Option<&str>) -> Result<Page, Failure> {
    let mut query = format!("limit={PAGE}");
    for (name, value) in [("cursor", cursor), ("tenant", tenant)] {
        query.extend(value.map(|value| format!("&{name}={value}")));
    }
    let answer = client.get(&format!("/v1/inbound?{query}")).map_err(|error| unreachable(client, &error))?;
    if answer.status != 200 {
        return Err(Problem::read(&answer).failure(client));
    }
    read(&answer.body)
        .ok_or_else(|| Failure::new(Exit::FAILED, format!("{}: the answer is not lines of JSON", client.url)))
}

fn read(body: &[u8]) -> Option<Page> {
    let mut page = Page::default();
    for line in body.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).ok()?;
        match line.get("cursor").and_then(Value::as_str) {
            Some(cursor) => page.cursor = Some(cursor.to_owned()),
            None => page.messages.push(line),
        }
    }
    Some(page)
}

/// When, from whom, to whom, what; of what is no text the octets.
fn shown(message: &Value) -> String {
    let text = message.get("text").and_then(Value::as_str).map(plain);
    let text = text.unwrap_or_else(|| format!("(data) {}", scalar(message.get("hex"))));
    let missing = message.get("missing").map_or_else(String::new, |parts| format!("  [without parts {parts}]"));
    let member = |name| scalar(message.get(name));
    format!("{}  {} \u{2192} {}  {text}{missing}", member("at"), member("from"), member("to"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_messages_and_the_last_cursor() {
        let page = read(b"{\"id\":\"0-1-0\"}\n{\"cursor\":\"i01\"}\n{\"id\":\"0-2-0\"}\n{\"cursor\":\"i02\"}\n")
            .expect("lines");
        assert_eq!(page.messages, [json!({"id": "0-1-0"}), json!({"id": "0-2-0"})]);
        assert_eq!(page.cursor.as_deref(), Some("i02"));
        assert_eq!(read(b""), Some(Page::default()));
        assert_eq!(read(b"<html>"), None);
    }

    #[test]
    fn a_message_is_a_line_that_no_terminal_obeys() {
        let message = json!({"at": "2026-07-01T12:00:00.000Z", "from": "+4915112345678", "to": "72345", "text": "STOP\u{1b}[31m\nx"});
        let line = shown(&message);
        assert!(line.starts_with("2026-07-01T12:00:00.000Z  +4915112345678 \u{2192} 72345  STOP"), "{line}");
        assert!(!line.contains(['\u{1b}', '\n']), "{line:?}");
        let data = json!({"at": "t", "from": "+1", "to": "2", "hex": "00ff", "missing": [2, 3]});
        assert_eq!(shown(&data), "t  +1 \u{2192} 2  (data) 00ff  [without parts [2,3]]");
    }
}
