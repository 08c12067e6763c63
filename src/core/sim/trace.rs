//! The record of everything observable in one run: always a hash, and lines if they are asked for. Knows text and
//! times; refuses to know what they mean. Two runs are equal if their traces are.

use std::collections::VecDeque;
use std::fmt::{self, Write};

const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0100_0000_01B3;

/// A running FNV-1a over notes, and the last of them if asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    notes: u64,
    lines: VecDeque<String>,
    lines_max: usize,
}

/// The summary of a trace; equal for equal runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceMark {
    /// Hash of all notes.
    pub hash: u64,
    /// Number of notes.
    pub notes: u64,
}

impl Trace {
    /// An empty trace that keeps the last `lines_max` lines; 0 keeps none, and costs no allocation.
    pub fn new(lines_max: usize) -> Self {
        Self { hash: OFFSET, notes: 0, lines: VecDeque::new(), lines_max }
    }

    /// Notes that something happened at `at_ns`.
    pub fn note(&mut self, at_ns: u64, what: fmt::Arguments<'_>) {
        self.notes += 1;
        self.bytes(&at_ns.to_le_bytes());
        // Hashing cannot fail.
        let _ = Hashing(self).write_fmt(what);
        if self.lines_max > 0 {
            if self.lines.len() >= self.lines_max {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{:>14.6} {what}", at_ns as f64 / 1e9));
        }
    }

    /// Notes bytes, of which only the hash is kept.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// The summary of the trace.
    pub const fn mark(&self) -> TraceMark {
        TraceMark { hash: self.hash, notes: self.notes }
    }

    /// The lines kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

/// If the code under test panics, its world ends; the lines that were asked for are printed all the same.
impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lines.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

struct Hashing<'a>(&'a mut Trace);

impl Write for Hashing<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notes_are_equal_marks_whether_lines_are_kept_or_not() {
        let trace = |lines, what| {
            let mut trace = Trace::new(lines);
            trace.note(5, format_args!("{what}"));
            trace
        };
        assert_eq!(trace(0, "a").mark(), trace(9, "a").mark());
        assert_ne!(trace(0, "a").mark(), trace(0, "b").mark());
        assert_eq!(trace(1, "a").lines().collect::<Vec<_>>(), ["      0.000000 a"]);
    }
}
