//! Stentor: takes messages over HTTP, keeps every one that it acknowledged, and hands each to a carrier at exactly the
//! pace that the carrier permits. The floors and rooms are in `docs/ARCHITECTURE.md`; a room imports only lower floors.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))] // what may be missing is asked for

pub mod cli;
pub mod config;
pub mod disk;
pub mod egress;
pub mod host;
pub mod http;
pub mod runtime;
#[cfg(test)]
mod tidy;
