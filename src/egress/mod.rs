//! The door out: TCP and TLS connections to carriers. Moves octets between sockets and whoever owns the link; knows no
//! PDU, no window, no retry. One task per connection; it ends by itself and answers with exactly one `disconnected`.

pub mod connection;
pub mod dial;
pub mod words;

pub use connection::{Connection, LinkOwner};
pub use dial::{Dial, Host};
