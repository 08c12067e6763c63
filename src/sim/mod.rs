//! The second world.
pub mod carrier;
