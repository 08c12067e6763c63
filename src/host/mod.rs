//! The machine below: what runs tasks and reads sockets, on io_uring or epoll, clocks, name servers, the watchdog, systemd, and the
//! log that nobody waits for. Knows the kernel; nothing of messages, carriers or requests.

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
