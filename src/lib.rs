//! Stentor: takes messages over HTTP, keeps every one that it acknowledged, and hands each to a carrier at exactly the
//! pace that the carrier permits. The floors and rooms are in `docs/ARCHITECTURE.md`; a room imports only lower floors.

pub mod admission;
pub mod cli;
pub mod config;
pub mod control;
pub mod delivery;
pub mod egress;
pub mod http;
pub mod limit;
pub mod link;
pub mod mesh;
pub mod metrics;
pub mod model;
pub mod node;
pub mod queue;
pub mod routing;
pub mod runtime;
pub mod shard;
pub mod sim;
pub mod smpp;
pub mod store;
#[cfg(test)]
mod tidy;
pub mod traffic;
