//! The platform: executors and sockets on io_uring or epoll, clocks, name resolution, the watchdog, systemd, and a log that
//! never blocks.
//!
//! Knows the kernel; nothing of messages, carriers or requests.

pub mod clock;
pub mod executor;
pub mod logging;
pub mod names;
pub mod net;
pub mod poll;
pub mod probe;
pub mod resolver;
pub mod systemd;
pub mod watchdog;
