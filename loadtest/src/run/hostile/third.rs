//! The innocent third tenant's own client, beside its generator: one message after the other, each with a key and a
//! connection of its own, some of them cancelled at once; and the final state of each, as the daemon reports it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;

use super::super::ground::Ground;
use super::super::result::ScenarioResult;
use super::attack::Front;
use super::stage::{KEY_THIRD, TO_ABSENT};
use crate::http;
use crate::smsc::stats::Quantiles;

/// Prefix of these recipients; neither the generator nor the attackers use it.
const RECIPIENTS: &str = "+49155";
const TICK: Duration = Duration::from_millis(100);
/// One message in so many is cancelled.
const CANCELLED: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// Ids of one lookup (the API's limit).
const LOOKUP: usize = 1_000;

/// Prefix of its keys before the attacks: the keys during the attacks differ, so their messages are new ones.
const IDLE: &str = "idle";
const THIRD: &str = "third";

/// The client, running.
#[derive(Debug)]
pub(super) struct Hand(JoinHandle<Told>);

/// What the daemon answered it.
#[derive(Debug)]
pub(super) struct Told {
    latency_us: Histogram<u64>,
    /// Requests that did not get the expected answer: call and answer, how often.
    refused: BTreeMap<String, u64>,
    sent: Vec<String>,
    cancelled: Vec<String>,
}

#[derive(Deserialize)]
struct Taken {
    id: String,
}

#[derive(Deserialize)]
struct Found {
    messages: Vec<Shown>,
}

#[derive(Deserialize)]
struct Shown {
    id: String,
    #[serde(default)]
    state: String,
}

impl Hand {
    /// Runs until the phase is over.
    pub(super) fn start(front: &Arc<Front>) -> Self {
        Self::work(front, THIRD)
    }

    /// As [`Self::start`], in the time before the attacks.
    pub(super) fn start_idle(front: &Arc<Front>) -> Self {
        Self::work(front, IDLE)
    }

    fn work(front: &Arc<Front>, keys: &'static str) -> Self {
        let front = Arc::clone(front);
        Self(thread::spawn(move || Told::take(&front, keys)))
    }

    /// Waits for its end.
    pub(super) fn finish(self) -> Result<Told, String> {
        self.0.join().map_err(|_| "the third tenant's client panicked".to_owned())
    }
}

impl Told {
    fn take(front: &Front, keys: &str) -> Self {
        let latency_us =
            Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap_or_else(|_| unreachable!("fixed bounds"));
        let mut told = Self { latency_us, refused: BTreeMap::new(), sent: Vec::new(), cancelled: Vec::new() };
        for number in 0_u32.. {
            let due = TICK * number;
            front.wait(due.saturating_sub(front.elapsed()));
            if front.is_over() || due >= front.time {
                break;
            }
            told.step(front, keys, u64::from(number));
        }
        told
    }

    fn step(&mut self, front: &Front, keys: &str, number: u64) {
        let is_cancelled = number % CANCELLED == CANCELLED - 1;
        // Cancelled messages go to a carrier that is away.
        let (to, class) = if is_cancelled { (TO_ABSENT, "transactional") } else { (RECIPIENTS, "otp") };
        let body = format!(r#"{{"to":"{to}{number:08}","body":"one","key":"{keys}-{number}","class":"{class}"}}"#);
        let Some(answer) = self.ask(front.http, "POST /v1/messages", &body, 202) else { return };
        let Ok(Taken { id }) = serde_json::from_slice(&answer) else { return self.refuse("POST: no id") };
        front.publish(&id);
        if !is_cancelled {
            return self.sent.push(id);
        }
        if self.ask(front.http, &format!("DELETE /v1/messages/{id}"), "", 200).is_some() {
            self.cancelled.push(id);
        }
    }

    /// The answer's body, if it has the expected status.
    fn ask(&mut self, http: SocketAddr, call: &str, body: &str, wanted: u16) -> Option<Vec<u8>> {
        let headers = format!("Authorization: Bearer {KEY_THIRD}\r\nContent-Type: application/json\r\n");
        let method = call.split(' ').next().unwrap_or_default();
        let begun = Instant::now();
        let answer = http::ask(http, call, &headers, body, PATIENCE);
        self.latency_us.saturating_record(begun.elapsed().as_micros() as u64);
        match answer {
            Ok((status, body)) if status == wanted => return Some(body),
            Ok((status, body)) => self.refuse(&format!("{method}: {status} {}", code(&body))),
            Err(error) => self.refuse(&format!("{method}: {error}")),
        }
        None
    }

    fn refuse(&mut self, what: &str) {
        *self.refused.entry(what.to_owned()).or_default() += 1;
    }

    /// How long its requests took, in microseconds.
    pub(super) fn latency(&self) -> Quantiles {
        Quantiles::read(|quantile| self.latency_us.value_at_quantile(quantile))
    }

    /// Queries every message that was accepted, and adds the results to the verdict.
    pub(super) fn tell(&self, ground: &Ground, result: &mut ScenarioResult) -> Result<(), String> {
        result.figure("single messages with keys, each on a connection of its own", self.sent.len());
        result.figure("cancelled of them, beside these", self.cancelled.len());
        for (what, times) in &self.refused {
            result.figure("not taken", format!("{what} × {times}"));
        }
        result.claim("every single message was taken, and every cancellation", self.refused.is_empty());
        let (sent, cancelled) = (states(ground, &self.sent)?, states(ground, &self.cancelled)?);
        for (what, states) in [("states of single messages", &sent), ("states of cancelled ones", &cancelled)] {
            result.figure(what, format!("{states:?}"));
        }
        let is_all = |states: &BTreeMap<String, usize>, state: &str, ids: &[String]| {
            ids.is_empty() || states.get(state) == Some(&ids.len())
        };
        result.claim("every single message was delivered", is_all(&sent, "delivered", &self.sent));
        result.claim("every cancelled one is cancelled", is_all(&cancelled, "cancelled", &self.cancelled));
        Ok(())
    }
}

/// How many of these messages are in each state.
fn states(ground: &Ground, ids: &[String]) -> Result<BTreeMap<String, usize>, String> {
    let mut states = BTreeMap::new();
    for ids in ids.chunks(LOOKUP) {
        let body = serde_json::json!({ "ids": ids }).to_string();
        let (status, answer) = ground.post("/v1/messages/lookup", &body, PATIENCE)?;
        let found: Found = serde_json::from_slice(&answer).map_err(|error| format!("lookup: {status}: {error}"))?;
        for shown in found.messages.into_iter().filter(|shown| ids.contains(&shown.id)) {
            *states.entry(shown.state).or_default() += 1;
        }
    }
    Ok(states)
}

/// The code of a problem document; empty if there is none.
fn code(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    problem.and_then(|problem| problem["code"].as_str().map(str::to_owned)).unwrap_or_default()
}
