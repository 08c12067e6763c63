//! Stentor: accepts messages over HTTP, keeps every message that it acknowledged, and sends each to a carrier at exactly the
//! rate that the carrier allows. `docs/ARCHITECTURE.md` describes the floors and rooms; a room imports only lower floors.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))] // outside tests, code handles what may be missing

pub mod cli;
pub mod config;
pub mod disk;
pub mod egress;
pub mod host;
pub mod http;
pub mod runtime;
#[cfg(test)]
mod tidy;
