//! What the end-to-end tests stand on: processes that end with their test, a plain SMPP client and an HTTP sink.
#![allow(dead_code)] // each test file uses its part

use std::thread;
use std::time::{Duration, Instant};

pub mod bench_daemon;
pub mod daemon;
pub mod process;
pub mod scenario;
pub mod sink;
pub mod smpp_client;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is_so`; a test never waits for a time.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Messages per test: `STENTOR_E2E_MESSAGES`, else `default`.
pub fn messages(default: u64) -> u64 {
    std::env::var("STENTOR_E2E_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
