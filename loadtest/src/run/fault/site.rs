//! One call of the C library on the data directory fails with EIO, once or permanently: in turn each kind of call on
//! each kind of file. The daemon is stopped cleanly, started with the shim preloaded, and must end by the failure; it
//! may survive a read or an open that fails once.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::strike::EXIT_IO;
use super::{TERM_MAX, TICK, World};
use crate::images::shim::Shim;

/// Call, part of the path, and how many such calls a daemon under load soon makes.
const SITES: [(&str, &str, u64); 13] = [
    ("write", ".jnl", 200),
    ("sync", ".jnl", 200),
    ("write", "high-water", 2),
    ("write", "/tables/", 4),
    ("sync", "/tables/", 4),
    ("create", "/tables/", 4),
    ("create", "/v", 4),
    ("write", "/v", 4),
    ("rename", "current", 4),
    ("sync", "keyspaces/", 12),
    ("any", "*", 300),
    ("read", "/tables/", 400),
    ("open", "/tables/", 40),
];
/// A call that has not been reached after this time counts as not reached.
const REACH: Duration = Duration::from_secs(12);
/// After this time every retry of a failed read has been made.
const BORNE: Duration = Duration::from_secs(2);
/// The daemon must end within this time after the failure.
const END_MAX_S: f64 = 1.0;

impl World {
    pub(super) fn fail_site(&mut self) -> Result<(), String> {
        let round = self.books.sites;
        self.books.sites += 1;
        let (call, pattern, among) = SITES[round as usize % SITES.len()];
        let how = if (round as usize / SITES.len()).is_multiple_of(2) { "once" } else { "sticky" };
        let fault = format!("{call} {pattern} {} {how}", 1 + self.chance.below(among));
        self.stentor.signal(Signal::TERM);
        self.stentor.wait(TERM_MAX + self.ground.stall())?;

        let told = self.ground.path().join("failed-calls");
        // The file of the round before.
        let _ = fs::remove_file(&told);
        let shim = Shim::build(self.ground.path())?;
        let (library, root) = (shim.library().display().to_string(), self.ground.data().display().to_string());
        let variables = [
            ("LD_PRELOAD", library.as_str()),
            ("DISK_ROOT", root.as_str()),
            ("DISK_FAULT", fault.as_str()),
            ("DISK_FAULTS", &told.display().to_string()),
        ];
        variables.iter().for_each(|(name, value)| self.ground.set_variable(name, value));
        self.stentor = self.ground.launch_stentor()?;
        variables.iter().for_each(|(name, _)| self.ground.unset_variable(name));

        let begun = Instant::now();
        let has_failed = || fs::metadata(&told).is_ok_and(|file| file.len() > 0);
        while !has_failed() && begun.elapsed() < REACH {
            thread::sleep(TICK / 5);
        }
        if !has_failed() {
            self.books.sites_missed += 1;
            self.stentor.signal(Signal::KILL);
            self.stentor.wait(TERM_MAX)?;
            return self.start_again();
        }
        let failed = Instant::now();
        let is_read = matches!(call, "read" | "open");
        if is_read && how == "once" {
            thread::sleep(BORNE);
            // Readers retry; fjall's worker does not, and poisons the store.
            if self.stentor.is_alive() {
                self.stentor.signal(Signal::KILL);
                self.stentor.wait(TERM_MAX)?;
                return self.start_again();
            }
        }
        let ended = self.stentor.wait(self.ground.stall()).map_err(|error| format!("{fault}: {error}"))?;
        let ended_s = failed.elapsed().as_secs_f64();
        if !is_read {
            self.books.ended_s_max = self.books.ended_s_max.max(ended_s);
        }
        let output = self.stentor.output();
        let lines = output.lines().filter(|line| line.starts_with("stentor: ")).count();
        if ended.code() != Some(EXIT_IO) || lines != 1 {
            return Err(self.stentor.failure(&format!("{fault}: {ended}, {lines} lines")));
        }
        self.books.claim("each failed call ended it with 74 and one line", true);
        self.books.claim(&format!("within {END_MAX_S} s"), is_read || ended_s <= END_MAX_S);
        self.start_again()
    }
}
