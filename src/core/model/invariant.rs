//! What the head of a file says always holds, and how its breach is told: by file and number. A room checks itself with [`holds`];
//! debug builds ask at the end of every turn of a node, so the simulator asks after every event. A release build never asks.

/// A numbered invariant of some file's head that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The file, as a module's path.
    pub file: &'static str,
    /// The number in its head.
    pub number: u8,
    /// What was found instead.
    pub what: String,
}

/// Whether all that was looked at holds.
pub type Sound = Result<(), Broken>;

/// A check walks through no more than so many entries of one set, so that a debug build stays usable with a backlog. The worlds of
/// the simulator are smaller than that.
pub const WALKED_MAX: usize = 4_096;

/// Returns with [`Broken`] from a check unless that invariant of this file holds: its number, the condition, what to tell.
#[macro_export]
macro_rules! holds {
    ($number:literal, $condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::model::Broken { file: module_path!(), number: $number, what: format!($($what)+) });
        }
    };
}

pub use holds;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(length: usize) -> Sound {
        holds!(3, length < 2, "it is {length} long");
        Ok(())
    }

    #[test]
    fn a_breach_names_file_number_and_what_was_found() {
        assert_eq!(check(1), Ok(()));
        let broken = Broken { file: module_path!(), number: 3, what: "it is 2 long".to_owned() };
        assert_eq!(check(2), Err(broken));
    }
}
