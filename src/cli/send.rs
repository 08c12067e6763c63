//! `stentor send`: one text to one or several recipients; on request waits for the outcome.
//! Knows the arguments and the waiting; the server says what a valid message is.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value, json};

use super::client::{self, Client};
use super::exit::{Ended, Exit, Failure};
use super::problem::{Flaw, Problem, unreachable};
use super::shown;
use crate::host::logging;
use stentor_core::model::{Class, MessageState};

/// Time between two looks at a message while waiting.
const LOOK: Duration = Duration::from_millis(250);
/// Most bytes of a body from stdin; far more than any message may have.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// The arguments of `stentor send`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Recipient, such as +4915112345678; may be repeated
    #[arg(long, value_name = "NUMBER", required = true)]
    to: Vec<String>,
    /// Sender; default: the configured one
    #[arg(long, value_name = "SENDER")]
    from: Option<String>,
    /// The text; `-` reads it from stdin
    #[arg(long, value_name = "TEXT")]
    body: String,
    /// Urgency
    #[arg(long, value_parser = PossibleValuesParser::new(Class::ALL.map(Class::name)))]
    class: Option<String>,
    /// Idempotency key: the same message with the same key is not sent again
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Follow each message to its final state; exit code 0 only if all were delivered, 75 if the time was up before
    #[arg(long)]
    wait: bool,
    /// How long --wait waits, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "wait")]
    timeout: u64,
    /// Print the server's document; with --wait, a list of the messages in their last states
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: client::Server,
}

/// Prints one id per line, or what was asked for.
pub(super) fn run(typed: Arguments, out: &mut dyn Write) -> Ended {
    let client = typed.server.clone().client()?;
    let body = if typed.body == "-" { body_from(io::stdin().lock())? } else { typed.body.clone() };
    let document = request(&typed, &body);
    let answer =
        client.post("/v1/messages", document.to_string().as_bytes()).map_err(|error| unreachable(&client, &error))?;
    if !(200..300).contains(&answer.status) {
        return Err(Problem::read(&answer).failure(&client));
    }
    let strange = || Failure::new(Exit::FAILED, format!("{}: the answer holds no results", client.url));
    let told: Value = serde_json::from_slice(&answer.body).map_err(|_| strange())?;
    let results = results(&told).ok_or_else(strange)?;
    if typed.json && !typed.wait {
        writeln!(out, "{told}")?;
    }
    let (mut ids, mut refused) = (Vec::new(), false);
    for (result, to) in results.iter().zip(&typed.to) {
        match result {
            Taken::As(id) => {
                if !typed.json {
                    writeln!(out, "{}", shown::plain(id))?;
                }
                ids.push(id.clone());
            }
            Taken::Refused(flaw) => {
                refused = true;
                // If stderr is closed, there is no one to tell.
                let _ = writeln!(io::stderr(), "stentor: {to}: {flaw}");
            }
        }
    }
    let arrived = if typed.wait { follow(&client, &ids, &typed, out)? } else { Exit::DONE };
    Ok(if refused { Exit::FAILED } else { arrived })
}

fn body_from(from: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(BODY_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::usage(format!("cannot read the body: {error}")))?;
    if bytes.len() as u64 > BODY_BYTES_MAX {
        return Err(Failure::usage("the body is over 1 MiB"));
    }
    let mut body = String::from_utf8(bytes).map_err(|_| Failure::usage("the body is not UTF-8"))?;
    // `echo text |` adds a line end that does not belong to the text.
    if body.ends_with('\n') {
        body.pop();
    }
    Ok(body)
}

/// One object for one recipient, a list for several.
fn request(typed: &Arguments, body: &str) -> Value {
    let message = |to: &String| {
        let mut message = Map::new();
        message.insert("to".to_owned(), json!(to));
        message.insert("body".to_owned(), json!(body));
        for (name, value) in [("from", &typed.from), ("class", &typed.class), ("key", &typed.key)] {
            if let Some(value) = value {
                message.insert(name.to_owned(), json!(value));
            }
        }
        Value::Object(message)
    };
    match typed.to.as_slice() {
        [to] => message(to),
        several => several.iter().map(message).collect(),
    }
}

enum Taken {
    As(String),
    Refused(Flaw),
}

/// The result of each message, in the order of the request: from an object, a list, or a document that holds a list.
fn results(told: &Value) -> Option<Vec<Taken>> {
    let list = told.get("results").unwrap_or(told);
    let list = list.as_array().map_or(std::slice::from_ref(list), Vec::as_slice);
    list.iter().map(result).collect()
}

fn result(told: &Value) -> Option<Taken> {
    match (told.get("id").and_then(Value::as_str), told.get("error")) {
        (Some(id), _) => Some(Taken::As(id.to_owned())),
        (None, Some(error)) => Flaw::read(error).map(Taken::Refused),
        (None, None) => None,
    }
}

/// Prints each change of state until all states are final or the time is up.
fn follow(client: &Client, ids: &[String], typed: &Arguments, out: &mut dyn Write) -> Ended {
    let deadline = Instant::now() + Duration::from_secs(typed.timeout);
    let mut seen: BTreeMap<&str, Value> = BTreeMap::new();
    loop {
        for id in ids {
            let known = seen.get(id.as_str()).map_or("", shown::state);
            if is_final(known) {
                continue;
            }
            let message = super::status::message(client, id)?;
            if !typed.json && shown::state(&message) != known {
                writeln!(out, "{id}  {}{}", shown::plain(shown::state(&message)), why(&message))?;
                out.flush()?;
            }
            seen.insert(id, message);
        }
        let ended = seen.values().all(|message| is_final(shown::state(message)));
        if !ended && Instant::now() < deadline {
            thread::sleep(LOOK);
            continue;
        }
        for (id, message) in seen.iter().filter(|(_, message)| !is_final(shown::state(message))) {
            logging::last_words(&format!("stentor: {}", unfinished(id, message, typed.timeout)));
        }
        if typed.json {
            let messages: Value = ids.iter().filter_map(|id| seen.remove(id.as_str())).collect();
            let all_delivered = messages.as_array().is_some_and(|list| list.iter().all(is_delivered));
            writeln!(out, "{messages}")?;
            return Ok(exit(ended, all_delivered));
        }
        return Ok(exit(ended, seen.values().all(is_delivered)));
    }
}

fn exit(ended: bool, delivered: bool) -> Exit {
    match (ended, delivered) {
        (true, true) => Exit::DONE,
        (true, false) => Exit::FAILED,
        (false, _) => Exit::STILL_OPEN,
    }
}

/// Text after a state: what the daemon or a carrier says about it, if anything.
fn why(message: &Value) -> String {
    let text = |name| message.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(shown::plain);
    if MessageState::from_name(shown::state(message)) == Some(MessageState::Delivered) {
        return String::new();
    }
    let error = text("error").map(|error| {
        let carrier = text("carrier").map(|carrier| format!(" by {carrier}")).unwrap_or_default();
        let receipt = if text("error_origin").as_deref() == Some("receipt") { ", in its receipt" } else { "" };
        format!("{error}{carrier}{receipt}")
    });
    let told: Vec<String> = [text("reason"), error].into_iter().flatten().collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join(": ")) }
}

/// The line for a message that was not final in time.
fn unfinished(id: &str, message: &Value, timeout_s: u64) -> String {
    let state = MessageState::from_name(shown::state(message));
    let missing = if state == Some(MessageState::Submitted) { " (no receipt yet)" } else { "" };
    let state = shown::plain(shown::state(message));
    format!("{id}: still {state} after {timeout_s} s{missing}; see: stentor status {id}")
}

fn is_delivered(message: &Value) -> bool {
    MessageState::from_name(shown::state(message)) == Some(MessageState::Delivered)
}

fn is_final(state: &str) -> bool {
    MessageState::from_name(state).is_some_and(MessageState::is_final)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(to: &[&str]) -> Arguments {
        let server = client::Server::at("http://127.0.0.1:1");
        Arguments {
            to: to.iter().map(|to| (*to).to_owned()).collect(),
            from: None,
            body: "Hi".to_owned(),
            class: Some("otp".to_owned()),
            key: None,
            wait: false,
            timeout: 1,
            json: false,
            server,
        }
    }

    #[test]
    fn one_is_an_object_and_several_are_a_list() {
        let one = json!({"to": "+491", "body": "Hi", "class": "otp"});
        assert_eq!(request(&typed(&["+491"]), "Hi"), one);
        assert_eq!(request(&typed(&["+491", "+491"]), "Hi"), json!([one, one]));
    }

    #[test]
    fn results_are_read_in_each_shape() {
        let ids = |told: &Value| -> Option<Vec<String>> {
            let told = results(told)?.into_iter().map(|taken| match taken {
                Taken::As(id) => id,
                Taken::Refused(flaw) => flaw.to_string(),
            });
            Some(told.collect())
        };
        let refused = json!({"error": {"code": "invalid_recipient", "field": "to", "detail": "short"}});
        let refused_text = "invalid_recipient, field `to`: short".to_owned();
        let list = json!([{"id": "a", "duplicate": true}, refused]);
        assert_eq!(ids(&json!({"id": "a"})), Some(vec!["a".to_owned()]));
        assert_eq!(ids(&list), Some(vec!["a".to_owned(), refused_text.clone()]));
        assert_eq!(ids(&json!({"results": list})), Some(vec!["a".to_owned(), refused_text]));
        assert_eq!(ids(&json!({"hello": 1})), None);
    }

    #[test]
    fn a_body_from_stdin_loses_its_last_line_end_only() {
        assert_eq!(body_from(&b"two\nlines\n"[..]), Ok("two\nlines".to_owned()));
        assert_eq!(body_from(&b"\xff"[..]).map_err(|failure| failure.exit), Err(Exit::USAGE));
        let endless = io::repeat(b'a');
        assert_eq!(body_from(endless).map_err(|failure| failure.exit), Err(Exit::USAGE));
    }

    #[test]
    fn only_delivered_is_done() {
        assert_eq!(
            [(true, true), (true, false), (false, true), (false, false)].map(|(ended, arrived)| exit(ended, arrived)),
            [Exit::DONE, Exit::FAILED, Exit::STILL_OPEN, Exit::STILL_OPEN]
        );
    }

    #[test]
    fn an_end_is_told_with_its_reason() {
        let rejected =
            json!({"state": "rejected", "error": "ESME_RINVDSTADR", "error_origin": "answer", "carrier": "sandbox"});
        assert_eq!(why(&rejected), " (ESME_RINVDSTADR by sandbox)");
        let undelivered = json!({"state": "undelivered", "error": "011", "error_origin": "receipt", "carrier": "mo"});
        assert_eq!(why(&undelivered), " (011 by mo, in its receipt)");
        let dead = json!({"state": "dead", "reason": "in_doubt_dropped", "error": null});
        assert_eq!(why(&dead), " (in_doubt_dropped)");
        assert_eq!(why(&json!({"state": "delivered", "error": "000", "error_origin": "receipt"})), "");
        assert_eq!(why(&json!({"state": "queued"})), "");
    }

    #[test]
    fn what_is_not_over_says_what_is_missing() {
        let still = |state: &str| unfinished("01a2", &json!({"state": state}), 2);
        assert_eq!(still("submitted"), "01a2: still submitted after 2 s (no receipt yet); see: stentor status 01a2");
        assert_eq!(still("queued"), "01a2: still queued after 2 s; see: stentor status 01a2");
    }
}
