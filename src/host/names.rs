//! What is known of names: the addresses last found, what is being looked up, what waits to be. Knows rules and times;
//! no thread, no clock and no way to look anything up.
//!
//! A name server that does not answer holds whoever asks it for 10 s and longer, and nothing can call him back. So:
//! - One lookup per name at a time, whoever asks; what it finds is everybody's.
//! - A name whose last lookup failed is a suspect: suspects never hold the last free thread.
//! - What was last found stays, and is used when a lookup fails or takes long.
//! - At most [`NAMES_MAX`] names are remembered, of each [`ADDRESSES_MAX`] addresses. A name asked for beyond that takes
//!   the place of the one that was asked for longest ago; if all are being looked up it is refused, and counted.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use stentor_core::model::Mono;

/// Names remembered.
pub const NAMES_MAX: usize = 1_024;
/// Addresses of a name that are looked at: each gets its part of the time for a connection.
pub const ADDRESSES_MAX: usize = 16;

/// An answer serves everybody who asks so soon after it: connections that are opened together share one.
const FRESH_NS: u64 = 5_000_000_000;
/// The same of a failure.
const FAILED_FRESH_NS: u64 = 1_000_000_000;
/// A lookup may take so long before addresses known from earlier are used.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Where a name's lookup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Waiting,
    Running { suspect: bool },
}

#[derive(Clone, Debug)]
struct Entry {
    /// As last found.
    addresses: Vec<IpAddr>,
    /// Lookups that have ended.
    ended: u64,
    ended_at: Mono,
    failed: bool,
    stage: Stage,
    /// When the lookup that waits or runs was asked for.
    wanted_at: Mono,
    /// Which of all questions was the last for it.
    asked: u64,
}

/// Why there are no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    /// The lookup failed, and nothing is known from earlier.
    NotFound,
    /// The lookup takes longer than may be waited, and nothing is known from earlier.
    Slow,
    /// [`NAMES_MAX`] names are being looked up.
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

/// How it stands with what somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These.
    Addresses(Vec<IpAddr>),
    /// None.
    None(NoAddress),
    /// Ask again.
    NotYet,
}

/// What the end of a lookup changes; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is as it was.
    Same,
    /// It failed, and had not before; true: earlier addresses are used.
    Failed(bool),
    /// It failed before, and does not any more.
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
    /// Questions answered by what an earlier lookup had found.
    pub outdated: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Names {
    threads: usize,
    known: BTreeMap<String, Entry>,
    waiting: VecDeque<String>,
    /// Lookups of suspects that run.
    suspects: usize,
    asked: u64,
    counters: Counters,
}

impl Names {
    /// Nothing is known; so many lookups may run at once.
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

    /// What was counted.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Somebody wants the addresses of a name: the number of the lookup that will tell him, for [`Self::look`].
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

    /// How it stands with lookup `number` of a name, for one who waits until `deadline` at most.
    pub fn look(&mut self, name: &str, number: u64, now: Mono, deadline: Mono) -> Answer {
        let Some(entry) = self.known.get(name) else { return Answer::None(NoAddress::NotFound) };
        let has_ended = entry.ended >= number;
        let is_known = !entry.addresses.is_empty();
        let is_patient = now < deadline && !(is_known && now.since(entry.wanted_at) >= PATIENCE_NS);
        match (has_ended, is_known) {
            (false, _) if is_patient => Answer::NotYet,
            (true, false) => Answer::None(NoAddress::NotFound),
            (false, false) => Answer::None(NoAddress::Slow),
            (_, true) => {
                let addresses = entry.addresses.clone();
                self.counters.outdated += u64::from(!has_ended || entry.failed);
                Answer::Addresses(addresses)
            }
        }
    }

    /// The next name to be looked up, if one may be now; [`Self::end`] must follow.
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

    /// A lookup has ended: with addresses, or without.
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

    /// Forgets the name that was asked for longest ago, if there is no place for another.
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
