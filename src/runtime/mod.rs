//! Executors (on io_uring or epoll), placement, storage and reader threads, clock, phases of life; connects the rooms, decides
//! nothing for them.

mod address;
mod admin_socket;
mod allocator;
pub mod backup;
pub mod certificates;
mod control;
pub mod core;
pub mod daemon;
pub mod descriptors;
pub mod disk;
pub mod doctor;
pub mod ending;
pub mod exposition;
pub mod feed;
pub mod figures;
mod pace;
pub mod pin;
mod readers;
pub mod reload_request;
pub mod scribe;
pub mod signals;
mod starting;
mod stopping;
pub mod storage;
pub mod tls;
pub mod translate;
pub mod warnings;

pub use daemon::{Daemon, Extra, StartError};
