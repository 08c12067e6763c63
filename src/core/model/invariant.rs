//! How the numbered invariants at the top of a file are checked, and how a breach is reported: by file and number. A
//! room checks itself with [`holds`]; debug builds check at the end of every turn of a node, so the simulator checks
//! after every event. A release build never checks.

/// A breach of a numbered invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The module path of the file that states the invariant.
    pub file: &'static str,
    /// The invariant's number in that file.
    pub number: u8,
    /// What was found instead, for people.
    pub what: String,
}

/// The result of a check: `Ok` if every invariant that was checked holds.
pub type Sound = Result<(), Broken>;

/// Most entries of one set that a check walks through, so that a debug build stays usable with a backlog. The worlds of
/// the simulator are smaller than that.
pub const WALKED_MAX: usize = 4_096;

/// Returns from a check with [`Broken`] unless the invariant holds: its number, the condition, and the message if it
/// does not.
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
