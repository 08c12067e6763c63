//! What the end-to-end tests stand on: processes that end with their test, a plain SMPP client and an HTTP sink.
#![allow(dead_code)] // each test file uses its part

pub mod bench_daemon;
pub mod daemon;
pub mod process;
pub mod scenario;
pub mod sink;
pub mod smpp_client;

/// Messages per test: `STENTOR_E2E_MESSAGES`, else `default`.
pub fn messages(default: u64) -> u64 {
    std::env::var("STENTOR_E2E_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
