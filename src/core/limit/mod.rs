//! Limits: never more than a number of parts or messages within a time. `sliding.rs` is a carrier's own limit, evenly paced, used
//! by the link that owns it. `rule.rs` says what `[[limit]]` limits, and `home.rs` keeps those counters, for all shards. Knows
//! instants and counts; refuses to know who sends, and any clock but the one it is told.

pub mod home;
pub mod rule;
pub mod sliding;
pub mod window;

pub use home::{Asked, Given, Home, Seen, Settled, ToHome};
pub use rule::{Counter, CounterSet, LimitTable, Of, Over, Per, RULES_MAX, Rule, Span, Subject, Units, Value, When};
pub use sliding::SlidingLimit;
pub use window::Window;

#[cfg(test)]
mod tests;
