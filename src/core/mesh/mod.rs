//! Carries between cores: bounded mailboxes that park and wake, and the map from a recipient to its shard and
//! from a shard to its core. Generic in what it carries; knows no shard, no link and no event. Everything but
//! [`waker`] is plain data structure; `waker` is the half that may wake a task or a thread.

pub mod mailbox;
pub mod shard_map;
pub mod waker;

pub use mailbox::{Full, Inbox, Reservation, Sender, mailbox};
pub use shard_map::{CoreId, ShardMap};
pub use waker::{ThreadInbox, thread_mailbox};

#[cfg(test)]
mod tests;
