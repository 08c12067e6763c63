//! The door in: HTTP/1.1, the calls of `docs/API.md`, and nothing that decides about a message. Connections, deadlines
//! and bodies on one side (`server`, `transport`, `sweeper`, `body`, `limits`); what is asked and answered on the other.
//!
//! Pure, and tested as such: `line` (one message as typed → as meant), `ingest` (a body → frames, results → an answer),
//! `keys`, `problem`, `lookup`, `records`, `board`, `openapi`. Async: [`Api`], which routes, and [`Door`], which asks
//! shards. Knows no socket option, no disk, no carrier.

pub mod api;
pub mod auth;
mod base64;
pub mod board;
pub mod body;
pub mod door;
pub mod ingest;
pub mod items;
pub mod json;
pub mod keys;
pub mod limits;
pub mod line;
pub mod lookup;
pub mod meter;
pub mod openapi;
pub mod problem;
pub mod records;
pub mod rfc3339;
pub mod server;
pub mod sweeper;
pub mod transport;
pub mod typed;

pub use api::{Api, Options};
pub use auth::{TenantSpec, Tenants};
pub use board::{LaneStatus, LinkStatus, ShardStatus, StatusBoard};
pub use door::Door;
pub use limits::Limits;
pub use server::{Handler, Server};
