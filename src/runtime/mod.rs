//! Executors (on io_uring or epoll), placement, storage and reader threads, clock, phases of life. Wires the rooms; decides nothing of theirs.

mod address;
mod allocator;
pub mod backup;
pub mod certificates;
pub mod clock;
mod control;
pub mod core;
pub mod daemon;
pub mod descriptors;
pub mod disk;
pub mod doctor;
pub mod ending;
pub mod executor;
pub mod exposition;
pub mod feed;
pub mod figures;
pub mod logging;
pub mod names;
pub mod net;
mod pace;
pub mod pin;
pub mod poll;
pub mod probe;
mod readers;
pub mod resolver;
pub mod scribe;
pub mod signals;
mod starting;
pub mod storage;
mod systemd;
pub mod tls;
pub mod translate;
pub mod verdict;
pub mod warnings;
pub mod watchdog;

pub use daemon::{Daemon, Extra, StartError};
