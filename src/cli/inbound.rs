//! `stentor inbound`: lists messages from handsets, and with `--follow` those that come in from now on.
//! Knows the call and how its lines are laid out; the server supplies the words.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{self, Client};
use super::exit::{Ended, Exit, Failure};
use super::problem::{Problem, unreachable};
use super::shown::{plain, scalar};
use crate::host::logging;
use stentor_core::model::Quoted;

/// Messages that one request asks for.
const PAGE: usize = 1_000;
/// Time between two looks for new messages.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time between two tries while the server does not answer: from [`LOOK`] on it doubles up to this.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);

/// The arguments of `stentor inbound`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Keep printing new messages until interrupted; a server that does not answer is asked again
    #[arg(long)]
    follow: bool,
    /// Start where an earlier run ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Messages to the numbers of this tenant; `*`: to the numbers of all tenants, and to numbers without a tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Print one JSON object per line for each message, and the cursor after them
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: client::Server,
}

/// Prints the messages, and the cursor to go on from last. With `--follow` the command may be stopped at any time, so the cursor is
/// printed after each page that had messages.
pub(super) fn run(typed: Arguments, out: &mut dyn Write) -> Ended {
    run_waiting(typed, out, &mut thread::sleep)
}

/// Like [`run`], with another way to wait.
pub(super) fn run_waiting(typed: Arguments, out: &mut dyn Write, wait: &mut dyn FnMut(Duration)) -> Ended {
    let Arguments { follow, mut cursor, tenant, json, server } = typed;
    let client = server.client()?;
    // A caller that is not a tenant has no numbers of its own.
    let tenant = tenant.or_else(|| client.is_no_tenant().then(|| "*".to_owned()));
    for (name, value) in [("cursor", &cursor), ("tenant", &tenant)] {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        if let Some(value) = value.as_ref().filter(|value| !value.bytes().all(fits)) {
            return Err(Failure::usage(format!("{} is not a valid {name}", Quoted(value))));
        }
    }
    // If the first request fails, the URL may be wrong: no retry.
    let mut patience = Patience::NONE;
    loop {
        let page = match page(&client, cursor.as_deref(), tenant.as_deref()) {
            Ok(page) => page,
            Err(failure) => {
                wait(patience.after(failure)?);
                continue;
            }
        };
        for message in &page.messages {
            let line = if json { message.to_string() } else { shown(message) };
            writeln!(out, "{line}")?;
        }
        let stands = page.cursor == cursor || page.cursor.is_none();
        cursor = page.cursor.or(cursor);
        if (follow && !page.messages.is_empty()) || (stands && !follow) {
            write_cursor(cursor.as_deref(), json, out)?;
        }
        out.flush()?;
        if stands && !follow {
            return Ok(Exit::DONE);
        }
        patience = if follow { Patience::FIRST } else { Patience::NONE };
        if stands {
            wait(LOOK);
        }
    }
}

fn write_cursor(cursor: Option<&str>, json: bool, out: &mut dyn Write) -> io::Result<()> {
    match (json, cursor) {
        (true, Some(cursor)) => writeln!(out, "{}", serde_json::json!({ "cursor": cursor })),
        (false, Some(cursor)) => writeln!(out, "cursor {}", plain(cursor)),
        (_, None) => Ok(()),
    }
}

/// How long to wait before the server is asked again; `None`: it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Patience(Option<Duration>);

impl Patience {
    const NONE: Self = Self(None);
    const FIRST: Self = Self(Some(LOOK));

    /// How long to wait now; twice as long the next time. An error that a retry does not help, or for which no retry is allowed, is
    /// returned.
    fn after(&mut self, failure: Failure) -> Result<Duration, Failure> {
        let Some(pause) = self.0.filter(|_| failure.exit == Exit::UNAVAILABLE) else { return Err(failure) };
        if pause == LOOK {
            // Only the first of several failures in a row is printed.
            logging::last_words(&format!("stentor: {}; trying again", failure.what));
        }
        self.0 = Some((pause * 2).min(LOOK_AGAIN_MAX));
        Ok(pause)
    }
}

/// One page.
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
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).ok()?;
        match line.get("cursor").and_then(Value::as_str) {
            Some(cursor) => page.cursor = Some(cursor.to_owned()),
            None => page.messages.push(line),
        }
    }
    Some(page)
}

/// Time, sender, recipient, text; the bytes if it is not text.
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
    fn a_server_that_is_lost_is_asked_again_ever_more_seldom() {
        let lost = || Failure::new(Exit::UNAVAILABLE, "lost");
        let mut patience = Patience::FIRST;
        let pauses = [(); 7].map(|()| patience.after(lost()).expect("again").as_secs());
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        let refused = Failure::new(Exit::FAILED, "forbidden");
        assert_eq!(patience.after(refused.clone()), Err(refused));
        let mut none = Patience::NONE;
        assert_eq!(none.after(lost()), Err(lost()), "nothing was read from it yet");
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
