//! The course of a delivery: what a message's events mean, which attempts are open, what follows from an outcome. Knows
//! neither records nor links; makes decisions and returns them as values.

pub mod attempt;
pub mod doubt;
pub mod event;
pub mod once;
pub mod policy;
pub mod progress;
pub mod retention;
pub mod samples;
pub mod view;

pub use attempt::{Attempts, EndedPermit, OpenAttempt, Permit};
pub use doubt::{DoubtFilter, Doubts, InDoubt, Lost, LostBind, Resolution};
pub use event::{Event, EventKind, Happened};
pub use once::OnceInDoubt;
pub use policy::{Backoff, Disposition, DoubtPolicy, Refused, RetryPolicy};
pub use progress::{Noted, Progress, ProgressTable, Taken};
pub use retention::Retention;
pub use view::{Fact, MessageView, TimelineEntry, view};
