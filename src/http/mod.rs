//! The HTTP API: HTTP/1.1 and the calls of `docs/API.md`; decides nothing about a message. One half handles connections, deadlines
//! and bodies (`server`, `transport`, `sweeper`, `watch`, `places`, `memory`, `body`, `decode`, `response`, `limits`), the other
//! requests and answers.
//!
//! Pure, and tested as such: `head` (which request heads are refused), `items` and `typed` (a body → messages as typed;
//! `unread`: why they cannot be read), `spelling` (as typed → as meant), `ingest` (which asks `admission`, and packs frames),
//! `query`, `document`, `wording` and `report` (objections and results → an answer), `problem`, `lookup`, `records`, `board`,
//! `openapi`. Async: [`Api`], which routes, with `submit`, `inquiry`, `search`, `inbound`, `readers`, `backup`, `restored` and
//! `limited`, and [`Door`], which asks shards. Knows no disk and no carrier.

pub mod access;
pub mod api;
pub mod auth;
pub mod backup;
pub mod base64;
pub mod board;
pub mod body;
pub mod calls;
mod decode;
mod document;
pub mod door;
pub mod head;
mod in_doubt;
mod inbound;
pub mod ingest;
mod inquiry;
pub mod items;
pub mod json;
mod limited;
pub mod limits;
pub mod lookup;
pub mod memory;
pub mod openapi;
pub mod places;
pub mod problem;
mod query;
mod ratelimit;
pub mod readers;
pub mod records;
pub mod report;
pub mod response;
mod restored;
pub mod rfc3339;
mod search;
pub mod server;
pub mod spelling;
mod submit;
pub mod sweeper;
pub mod transport;
mod turns;
pub mod typed;
mod unread;
pub mod watch;
pub mod wording;

pub use api::{Api, Extra, Options, Seen, Settings, WriteMetrics};
pub use auth::{TenantSpec, Tenants};
pub use board::{DiskStatus, LinkError, LinkStatus, ShardStatus, StatusBoard, lane_statuses};
pub use door::Door;
pub use limits::Limits;
pub use server::{Handler, Server};
