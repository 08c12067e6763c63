//! The door out: TCP and TLS connections to carriers. Moves bytes between sockets and whoever owns the link; knows no
//! window, no retry, and PDUs only to tell them to the log ([`pdus`]). One task per connection; it ends by itself and answers
//! with exactly one `disconnected`.

pub mod connection;
pub mod dial;
pub mod pdus;
pub mod words;

pub use connection::{Connection, LinkOwner};
pub use dial::{Dial, Host};
pub use pdus::PduLog;
