//! Outgoing TCP and TLS connections to carriers: moves bytes between sockets and the owner of each link ([`LinkOwner`]).
//!
//! Knows no window and no retry, and reads PDUs only to log them ([`pdus`]). There is one task per connection; it ends by
//! itself and calls [`LinkOwner::disconnected`] exactly once.

pub mod connection;
pub mod dial;
pub mod pdus;
pub mod words;

pub use connection::{Connection, LinkOwner};
pub use dial::{Dial, Host};
pub use pdus::PduLog;
