//! What one look found: how it is judged, in the words that an operator reads. Pure.

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// It runs, and not as well as it could, or not as safely as one would think.
    Warn,
    /// The daemon would not start, or not do its work.
    Fail,
}

impl State {
    /// As it is written out.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub what: String,
    /// What to do about it; empty where all is well.
    pub advice: String,
}

impl Finding {
    /// All is well.
    pub fn ok(check: impl Into<String>, what: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, what: what.into(), advice: String::new() }
    }

    /// It could be better.
    pub fn warn(check: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Warn, what: what.into(), advice: advice.into() }
    }

    /// It has to be otherwise.
    pub fn fail(check: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Fail, what: what.into(), advice: advice.into() }
    }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!([64 << 10, 5 << 20, 3 << 29].map(size), ["64 KiB", "5 MiB", "1.5 GiB"]);
    }

    #[test]
    fn the_worst_comes_last_in_their_order() {
        assert!(State::Ok < State::Warn && State::Warn < State::Fail);
    }
}
