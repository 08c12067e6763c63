//! Exact limiters: never more than a number of parts in any sliding second, evenly paced. Knows instants and counts;
//! refuses to know what a part is, who sends it, and any clock but the one it is told.

pub mod sliding;

pub use sliding::SlidingLimit;

#[cfg(test)]
mod tests;
