//! The logic of Stentor as pure values: they are given time and events and answer with effects. No file, no socket, no
//! clock, no thread.
//!
//! A shard ([`shard`]) keeps a part of the recipients, a link ([`link`]) speaks to a carrier, a node ([`node`]) drives
//! the shards and links of one core; [`store`] is the contract that a store on disk keeps, [`sim`] runs all of it in
//! simulated worlds, against carriers, disks and networks that fail. `docs/ARCHITECTURE.md` says which floor each room
//! is on; a room imports only lower floors.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))] // missing values must be handled

pub mod admission;
pub mod control;
pub mod delivery;
pub mod limit;
pub mod link;
pub mod mesh;
pub mod metrics;
pub mod model;
pub mod node;
pub mod queue;
pub mod routing;
pub mod shard;
pub mod sim;
pub mod store;
pub mod traffic;
