//! A cache of DNS names: the addresses last found, the lookups in progress, and those waiting. Knows rules and times;
//! no thread, no clock and no way to look a name up.
//!
//! A name server that does not answer blocks a lookup for 10 s or longer, and the lookup cannot be cancelled. So:
//! - There is one lookup per name at a time; all tasks that ask for the name share its result.
//! - A name whose last lookup failed is a suspect; suspects never occupy the last free thread.
//! - The addresses last found are kept, and used when a lookup fails or takes long.
//! - At most [`NAMES_MAX`] names are remembered, with [`ADDRESSES_MAX`] addresses each. A further name replaces the one that
//!   was asked for longest ago; if all are being looked up, it is refused and counted.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use stentor_core::model::Mono;

/// Most names that are remembered.
pub const NAMES_MAX: usize = 1_024;
/// Most addresses of a name that are used: each gets a share of the time for a connection.
pub const ADDRESSES_MAX: usize = 16;

/// How long the result of a lookup is used without another lookup, so that connections opened together share one.
const FRESH_NS: u64 = 5_000_000_000;
/// As [`FRESH_NS`], for a lookup that failed.
const FAILED_FRESH_NS: u64 = 1_000_000_000;
/// How long to wait for a lookup before addresses from an earlier one are used.
const PATIENCE_NS: u64 = 1_000_000_000;

/// The state of a name's lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Waiting,
    Running { suspect: bool },
}

#[derive(Clone, Debug)]
struct Entry {
    /// The addresses last found.
    addresses: Vec<IpAddr>,
    /// Number of lookups that have ended.
    ended: u64,
    ended_at: Mono,
    failed: bool,
    stage: Stage,
    /// When the lookup that waits or runs was requested.
    wanted_at: Mono,
    /// Number of the last question for this name, counted over all names.
    asked: u64,
}

/// Why there are no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    /// The lookup failed, and no addresses are known from an earlier one.
    NotFound,
    /// The lookup did not end before the deadline, and no addresses are known from an earlier one.
    Slow,
    /// [`NAMES_MAX`] names are being looked up already.
    Full,
}

impl std::fmt::Display for NoAddress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::NotFound => "name not found",
            Self::Slow => "the name server does not answer in time",
            Self::Full => "too many names are being looked up",
        })
    }
}

impl std::error::Error for NoAddress {}

/// The state of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameState {
    /// The addresses, at least one.
    Addresses(Vec<IpAddr>),
    /// There are no addresses, for this reason.
    None(NoAddress),
    /// Not known yet: ask again.
    NotYet,
}

/// The change that the end of a lookup brought, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// No change: it failed again or succeeded again.
    Same,
    /// It failed for the first time after a success; true if addresses from an earlier lookup are used.
    Failed(bool),
    /// It succeeded after a failure.
    Mended,
}

/// Counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lookups that found addresses.
    pub found: u64,
    /// Lookups that found none.
    pub failed: u64,
    /// Questions refused because too many names were being looked up.
    pub refused: u64,
    /// Questions answered with the addresses of an earlier lookup.
    pub outdated: u64,
}

/// The cache; its rules are in the documentation of this module.
#[derive(Debug)]
pub struct Names {
    threads: usize,
    known: BTreeMap<String, Entry>,
    waiting: VecDeque<String>,
    /// Number of running lookups of suspects.
    suspects: usize,
    asked: u64,
    counters: Counters,
}

impl Names {
    /// An empty cache, for at most `threads` lookups at once.
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
            suspects: 0,
            asked: 0,
            counters: Counters::default(),
        }
    }

    /// The counters since the start.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Asks for the addresses of a name. Returns the number of the lookup whose result answers this, for [`Self::look`].
    ///
    /// # Errors
    /// [`NoAddress::Full`].
    pub fn ask(&mut self, name: &str, now: Mono) -> Result<u64, NoAddress> {
        self.asked += 1;
        if !self.known.contains_key(name) {
            self.make_room()?;
        }
        let entry = self.known.entry(name.to_owned()).or_insert_with(Entry::unknown);
        entry.asked = self.asked;
        let fresh_ns = if entry.failed { FAILED_FRESH_NS } else { FRESH_NS };
        if entry.ended > 0 && entry.stage == Stage::Idle && now.since(entry.ended_at) < fresh_ns {
            return Ok(entry.ended);
        }
        if entry.stage == Stage::Idle {
            (entry.stage, entry.wanted_at) = (Stage::Waiting, now);
            self.waiting.push_back(name.to_owned());
        }
        Ok(entry.ended + 1)
    }

    /// The result of lookup `number` of a name, for a task that waits until `deadline` at most.
    pub fn look(&mut self, name: &str, number: u64, now: Mono, deadline: Mono) -> NameState {
        let Some(entry) = self.known.get(name) else { return NameState::None(NoAddress::NotFound) };
        let has_ended = entry.ended >= number;
        let is_known = !entry.addresses.is_empty();
        let is_patient = now < deadline && !(is_known && now.since(entry.wanted_at) >= PATIENCE_NS);
        match (has_ended, is_known) {
            (false, _) if is_patient => NameState::NotYet,
            (true, false) => NameState::None(NoAddress::NotFound),
            (false, false) => NameState::None(NoAddress::Slow),
            (_, true) => {
                let addresses = entry.addresses.clone();
                self.counters.outdated += u64::from(!has_ended || entry.failed);
                NameState::Addresses(addresses)
            }
        }
    }

    /// The next name to look up, if one waits and may be looked up now. The caller must call [`Self::end`] afterwards.
    pub fn begin(&mut self) -> Option<String> {
        let suspects_may = self.suspects + 1 < self.threads.max(2);
        let failed = |name: &String| self.known.get(name).is_some_and(|entry| entry.failed);
        let at = self.waiting.iter().position(|name| suspects_may || !failed(name))?;
        let name = self.waiting.remove(at)?;
        let entry = self.known.get_mut(&name)?;
        entry.stage = Stage::Running { suspect: entry.failed };
        self.suspects += usize::from(entry.failed);
        Some(name)
    }

    /// A lookup has ended; `found` is empty if it failed.
    pub fn end(&mut self, name: &str, found: Vec<IpAddr>, now: Mono) -> Turn {
        let Some(entry) = self.known.get_mut(name) else { return Turn::Same };
        self.suspects -= usize::from(entry.stage == Stage::Running { suspect: true });
        let had_failed = std::mem::replace(&mut entry.failed, found.is_empty());
        (entry.stage, entry.ended_at) = (Stage::Idle, now);
        entry.ended += 1;
        if found.is_empty() {
            self.counters.failed += 1;
            return if had_failed { Turn::Same } else { Turn::Failed(!entry.addresses.is_empty()) };
        }
        self.counters.found += 1;
        entry.addresses.clear();
        for address in found {
            if entry.addresses.len() < ADDRESSES_MAX && !entry.addresses.contains(&address) {
                entry.addresses.push(address);
            }
        }
        if had_failed { Turn::Mended } else { Turn::Same }
    }

    /// If the cache is full, forgets the name that was asked for longest ago.
    fn make_room(&mut self) -> Result<(), NoAddress> {
        if self.known.len() < NAMES_MAX {
            return Ok(());
        }
        let idle = self.known.iter().filter(|(_, entry)| entry.stage == Stage::Idle);
        match idle.min_by_key(|(_, entry)| entry.asked).map(|(name, _)| name.clone()) {
            Some(oldest) => {
                self.known.remove(&oldest);
                Ok(())
            }
            None => {
                self.counters.refused += 1;
                Err(NoAddress::Full)
            }
        }
    }
}

impl Entry {
    const fn unknown() -> Self {
        Self {
            addresses: Vec::new(),
            ended: 0,
            ended_at: Mono(0),
            failed: false,
            stage: Stage::Idle,
            wanted_at: Mono(0),
            asked: 0,
        }
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
