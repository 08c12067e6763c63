//! The problem documents (RFC 9457) that a server answers instead of a result, shown to a person.
//! Reads them leniently: an answer of a proxy in between is shown as what it is.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, ClientError, Response};
use super::exit::{Exit, Failure};

/// A server's refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    status: u16,
    code: String,
    title: String,
    detail: String,
    doc_url: String,
    request_id: String,
    retryable: bool,
    errors: Vec<Flaw>,
    errors_omitted: u64,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// What is wrong with one of several messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Flaw {
    /// Position of the message in the request, from 0.
    pub(super) index: usize,
    /// The field that is to blame, if one is.
    pub(super) field: Option<String>,
    /// The error code, which is stable.
    pub(super) code: String,
    /// The explanation, for people.
    pub(super) detail: String,
    /// What else is wrong with the same message.
    pub(super) also: Vec<Flaw>,
}

impl Flaw {
    /// The `error` of a result; `None` if it has no code.
    pub(super) fn read(error: &Value) -> Option<Self> {
        Self::deserialize(error).ok().filter(|flaw| !flaw.code.is_empty())
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.code)?;
        if let Some(field) = &self.field {
            write!(out, ", field `{field}`")?;
        }
        if !self.detail.is_empty() {
            write!(out, ": {}", self.detail)?;
        }
        self.also.iter().try_for_each(|flaw| write!(out, "; {flaw}"))
    }
}

impl Problem {
    /// From an answer whose status is not a success.
    pub(super) fn read(answer: &Response) -> Self {
        let read = serde_json::from_slice::<Self>(&answer.body).ok().filter(|problem| !problem.code.is_empty());
        let told = read.unwrap_or_else(|| Self {
            title: "not an answer from Stentor".to_owned(),
            detail: String::from_utf8_lossy(&answer.body).chars().filter(|c| !c.is_control()).take(200).collect(),
            ..Self::default()
        });
        let retryable = told.retryable || matches!(answer.status, 429 | 503);
        Self { status: answer.status, retry_after_s: answer.retry_after_s, retryable, ..told }
    }

    /// The command's failure. If `doc_url` is only a path on the server, it is shown with the server's address.
    pub(super) fn failure(&self, client: &Client) -> Failure {
        let exit = if self.retryable { Exit::UNAVAILABLE } else { Exit::FAILED };
        let mut what = if self.code.is_empty() {
            format!("HTTP {}, {}", self.status, self.title)
        } else {
            format!("{} (HTTP {})", self.code, self.status)
        };
        if !self.detail.is_empty() {
            what.push_str(&format!(": {}", self.detail));
        }
        // For a single message the detail already says what is wrong.
        let is_told = |flaw: &Flaw| !flaw.detail.is_empty() && self.detail.contains(&flaw.detail);
        let are_told = self.errors.iter().all(|flaw| flaw.index == 0 && is_told(flaw));
        for flaw in self.errors.iter().filter(|_| !are_told) {
            what.push_str(&format!("\n  message {}: {flaw}", flaw.index));
        }
        if self.errors_omitted > 0 {
            what.push_str(&format!("\n  and {} more messages", self.errors_omitted));
        }
        if let Some(seconds) = self.retry_after_s {
            what.push_str(&format!("\n  try again in {seconds} s"));
        }
        match self.doc_url.as_str() {
            // A browser cannot open pages over a Unix socket, so no link is shown.
            _ if client.url.is_unix() => {}
            page if page.starts_with('/') => what.push_str(&format!("\n  see {}{page}", client.url)),
            url if url.starts_with("http://") || url.starts_with("https://") => {
                what.push_str(&format!("\n  see {url}"))
            }
            _ => {}
        }
        if !self.request_id.is_empty() {
            what.push_str(&format!("\n  request {}", self.request_id));
        }
        if matches!(self.status, 401 | 403) {
            what.push_str(&client.hint());
        }
        Failure::new(exit, what)
    }
}

/// The server gave no answer.
pub(super) fn unreachable(client: &Client, error: &ClientError) -> Failure {
    Failure::new(Exit::UNAVAILABLE, format!("{}: {error}{}", client.url, client.hint()))
}

#[cfg(test)]
mod tests {
    use super::super::url::Url;
    use super::*;

    fn told(status: u16, retry_after_s: Option<u64>, body: &str) -> (u8, String) {
        let client = Client::new(Url::parse("http://h:1").expect("url"), None).expect("client");
        let answer = Response { status, retry_after_s, body: body.as_bytes().to_vec() };
        let Failure { exit, what } = Problem::read(&answer).failure(&client);
        (exit.0, what)
    }

    #[test]
    fn a_problem_is_told_whole() {
        let flaw = r#"{"index":0,"code":"invalid_recipient","field":"to","detail":"too short","retryable":false}"#;
        let body = format!(
            r#"{{"status":422,"code":"invalid_recipient","detail":"too short","doc_url":"/docs/errors/invalid_recipient",
            "request_id":"r-1","retryable":false,"errors":[{flaw}],"new_one":1}}"#
        );
        let text =
            "invalid_recipient (HTTP 422): too short\n  see http://h:1/docs/errors/invalid_recipient\n  request r-1";
        assert_eq!(told(422, None, &body), (1, text.to_owned()));
        let whole = body.replace("\"/docs", "\"https://x/docs");
        assert!(told(422, None, &whole).1.contains("\n  see https://x/docs/errors/invalid_recipient\n"));
        let both = body.replace(flaw, &format!("{flaw},{}", flaw.replace("short", "sho")));
        assert_eq!(told(422, None, &both), (1, text.to_owned()), "of one message, in one sentence");
        let two = body.replace(flaw, &format!("{flaw},{}", flaw.replace(":0", ":4")));
        assert!(told(422, None, &two).1.contains("message 4: invalid_recipient, field `to`: too short"));
    }

    #[test]
    fn what_may_be_tried_again_has_its_own_exit_code() {
        let body = r#"{"code":"queue_full","detail":"full","retryable":true}"#;
        assert_eq!(told(503, Some(3), body), (69, "queue_full (HTTP 503): full\n  try again in 3 s".to_owned()));
        assert_eq!(told(503, None, "").0, 69);
    }

    #[test]
    fn a_stranger_is_told_as_one() {
        let text = "HTTP 502, not an answer from Stentor: <h1>Bad[31m</h1>";
        assert_eq!(told(502, None, "<h1>Bad\u{1b}[31m</h1>"), (1, text.to_owned()));
    }
}
