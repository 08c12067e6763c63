//! What the end-to-end tests stand on: processes that end with their test, a plain SMPP client and an HTTP sink.
#![allow(dead_code, reason = "each test file uses its part")]

use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) mod bench_daemon;
pub(crate) mod daemon;
pub(crate) mod process;
pub(crate) mod scenario;
pub(crate) mod sink;
pub(crate) mod smpp_client;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is_so`; a test never waits for a time.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The budget of a test that the environment names, else `default`.
///
/// # Panics
/// When what it names is no number: a run of another size would look like the one that was meant.
pub(crate) fn budget<N: FromStr>(name: &str, default: N) -> N {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}"))
}

/// Messages per test: `STENTOR_E2E_MESSAGES`, else `default`.
pub(crate) fn messages(default: u64) -> u64 {
    budget("STENTOR_E2E_MESSAGES", default)
}
