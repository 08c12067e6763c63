//! Tools of the end-to-end tests: processes that end with their test, a plain SMPP client and an HTTP sink.
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

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is_so`; tests never sleep for a fixed time.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The number in the environment variable `name`, else `default`.
///
/// # Panics
/// If the variable is not a number: otherwise a run of the default size would be taken for the one that was asked for.
pub(crate) fn budget<N: FromStr>(name: &str, default: N) -> N {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}"))
}

/// Messages per test: `STENTOR_E2E_MESSAGES`, else `default`.
pub(crate) fn messages(default: u64) -> u64 {
    budget("STENTOR_E2E_MESSAGES", default)
}
