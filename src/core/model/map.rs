//! The hash map of the pure floors: fast, with its seed as an argument. Nothing may depend on its iteration order; the
//! simulator runs the same seed under two hasher seeds to prove it.

#![allow(clippy::disallowed_types, reason = "this is where the map gets its seed")]

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// A map whose hasher has a given seed.
pub type Map<K, V> = HashMap<K, V, FixedState>;

/// An empty map with that hasher seed.
pub fn map<K, V>(hash_seed: u64) -> Map<K, V> {
    HashMap::with_hasher(FixedState::with_seed(hash_seed))
}
