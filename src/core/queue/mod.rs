//! *When*: scheduled → ready → in flight, by lane. Knows positions and order; refuses to know carriers' limits, records
//! and threads. Ready messages are on disk; memory holds only the window that will be taken next.

pub mod delay;
pub mod fifo;
pub mod gates;
pub mod groups;
pub mod lanes;
pub mod list;
pub mod paces;
pub mod runs;
pub mod scheduled;
pub mod turns;

pub use delay::{DelayQueue, ERAS_MAX, Era};
pub use fifo::{Chunk, Fifo, Position, Taken};
pub use gates::Gate;
pub use groups::{GroupNumber, Taker};
pub use lanes::{Lanes, Part, Unsent};
pub use list::{FifoName, Generation, LISTS_MAX, ListKind, ListNumber, OWN_LISTS_MAX};
pub use paces::Paces;
pub use runs::SlotRuns;
pub use scheduled::{DueEntry, DuePosition, InsertReason, ScheduledQueue, Tick};
pub use turns::{Turns, WEIGHT_MAX};
