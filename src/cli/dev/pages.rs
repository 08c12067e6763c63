//! The pages that `dev` adds to the daemon's own: the inbox and the calls behind it.
//!
//! Knows paths, headers and the embedded assets; the [`Exchange`] supplies the contents. Nothing is loaded from elsewhere,
//! nothing is inline, and a page of another origin can change nothing, because it does not know the token.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::chaos::{Chaos, SWITCHES};
use super::exchange::Exchange;
use super::handset::{Refused, Text};
use super::preview;
use crate::runtime::daemon::Extra;
use stentor_core::model::Clipped;
use stentor_core::sim::carrier::Magic;

/// Messages of one answer; a page that gets this many asks again.
const SHOWN_MAX: usize = 500;
/// Largest posted document; the page's own have under 300 bytes, or a text.
const POSTED_BYTES_MAX: usize = 16 << 10;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JSON: &str = "application/json";

/// Headers beside those that every answer has.
const SECURITY: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
];

const TEXTS: [(&str, &str, &str); 5] = [
    ("/", HTML, include_str!("../assets/inbox.html")),
    ("/inbox", HTML, include_str!("../assets/inbox.html")),
    ("/dev/inbox.css", CSS, include_str!("../assets/inbox.css")),
    ("/dev/inbox.js", JAVASCRIPT, include_str!("../assets/inbox.js")),
    ("/dev/icon.svg", SVG, include_str!("../assets/icon.svg")),
];

/// The body of `POST /dev/behaviour`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switching {
    token: String,
    chaos: Chaos,
}

/// The body of `POST /dev/handset`: a phone writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Writing {
    token: String,
    from: String,
    to: String,
    text: String,
}

/// The body of `POST /dev/preview`: a text that is being typed. The call changes nothing, and so needs no token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Previewing {
    text: String,
}

/// The pages over this exchange, for the daemon to call.
///
/// # Errors
/// When the system has no random numbers.
pub(super) fn pages(exchange: Arc<Exchange>) -> Result<Extra, getrandom::Error> {
    let token = token()?;
    Ok(Arc::new(move |method, path, query, body| answer(&exchange, &token, method, path, (query, body))))
}

/// A random token that cannot be guessed.
fn token() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

fn answer(
    exchange: &Exchange,
    token: &str,
    method: &Method,
    path: &str,
    (query, body): (&str, &[u8]),
) -> Option<Response<Bytes>> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if let Some((_, kind, text)) = TEXTS.iter().find(|(known, ..)| *known == path) {
        return Some(if reads { ok(kind, Bytes::from_static(text.as_bytes())) } else { not_allowed("GET, HEAD") });
    }
    Some(match (path, method) {
        ("/dev/messages", _) if reads => match after(query) {
            Some(after) => ok(JSON, exchange.shown(after, SHOWN_MAX).into()),
            None => refused(StatusCode::UNPROCESSABLE_ENTITY, "the query must be after=NUMBER"),
        },
        ("/dev/sandbox", _) if reads => ok(JSON, sandbox(token).into()),
        ("/dev/messages" | "/dev/sandbox", _) => not_allowed("GET, HEAD"),
        ("/dev/behaviour", &Method::POST) => switch(exchange, token, body),
        ("/dev/handset", &Method::POST) => write(exchange, token, body),
        ("/dev/preview", &Method::POST) => measure(body),
        ("/dev/behaviour" | "/dev/handset" | "/dev/preview", _) => not_allowed("POST"),
        _ => return None,
    })
}

/// The only parameter of `/dev/messages`; 0 if absent.
fn after(query: &str) -> Option<u64> {
    if query.is_empty() { Some(0) } else { query.strip_prefix("after=")?.parse().ok() }
}

/// What the page needs and what does not change while the process lives.
fn sandbox(token: &str) -> String {
    let magic = Magic::ALL
        .iter()
        .enumerate()
        .map(|(number, magic)| json!({"digits": format!("{number:04}"), "explanation": magic.explanation()}));
    json!({"token": token, "switches": SWITCHES, "magic": magic.collect::<Vec<_>>()}).to_string()
}

fn switch(exchange: &Exchange, token: &str, body: &[u8]) -> Response<Bytes> {
    let Switching { token: told, chaos } = match posted(body) {
        Ok(posted) => posted,
        Err((status, detail)) => return refused(status, &detail),
    };
    if told != token {
        return foreign_token();
    }
    exchange.set_chaos(chaos);
    ok(JSON, json!(chaos).to_string().into())
}

fn measure(body: &[u8]) -> Response<Bytes> {
    match posted(body) {
        Ok(Previewing { text }) => ok(JSON, preview::of(&text).to_string().into()),
        Err((status, detail)) => refused(status, &detail),
    }
}

fn write(exchange: &Exchange, token: &str, body: &[u8]) -> Response<Bytes> {
    let Writing { token: told, from, to, text } = match posted(body) {
        Ok(posted) => posted,
        Err((status, detail)) => return refused(status, &detail),
    };
    if told != token {
        return foreign_token();
    }
    match exchange.write(&Text { from: &from, to: &to, text: &text }) {
        Ok(()) => ok(JSON, json!({"written": true}).to_string().into()),
        Err(Refused::Flaw(flaw)) => refused(StatusCode::UNPROCESSABLE_ENTITY, &flaw),
        Err(Refused::TooOften) => {
            let mut answer = refused(StatusCode::TOO_MANY_REQUESTS, "phones write too often; wait a second");
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            answer
        }
        Err(Refused::TooManyWait) => {
            let detail = "too many texts wait to be taken by the daemon; try again when it is connected";
            refused(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }
}

/// A posted document, or what is wrong with it.
fn posted<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, String)> {
    if body.len() > POSTED_BYTES_MAX {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("more than {POSTED_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(body).map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, Clipped(error).to_string()))
}

fn foreign_token() -> Response<Bytes> {
    refused(StatusCode::FORBIDDEN, "the token is from another process; reload the page")
}

fn ok(kind: &'static str, body: Bytes) -> Response<Bytes> {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in SECURITY {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn refused(status: StatusCode, detail: &str) -> Response<Bytes> {
    let title = status.canonical_reason().unwrap_or_default();
    let document = json!({"title": title, "status": status.as_u16(), "detail": detail});
    let mut answer = ok("application/problem+json", document.to_string().into());
    *answer.status_mut() = status;
    answer
}

fn not_allowed(allow: &'static str) -> Response<Bytes> {
    let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, &format!("this path takes {allow}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
