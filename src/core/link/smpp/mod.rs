//! The part of a link that speaks SMPP: connections with their sessions, PDUs made and read, and what a carrier's answers,
//! receipts and texts mean.
//!
//! Knows `stentor-smpp`. Refuses to know which shard may hand over more, in which order messages leave and how fast: that is
//! the rest of the room, which a carrier of another kind needs as well and which knows neither PDUs nor sessions. What this
//! part tells it, it tells in the terms of `model` and `traffic`.

pub(super) mod answers;
pub(super) mod asking;
pub mod compose;
pub mod handsets;
pub mod leg;
pub(super) mod receipts;
pub(super) mod sending;
pub(super) mod sessions;
pub(super) mod spelling;
pub(super) mod unread;
mod writes;
