//! The result of one check: how it is judged, in the operator's words. Pure.

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, but not as well or not as safely as it could.
    Warn,
    /// The daemon would not start, or could not do its work.
    Fail,
}

impl State {
    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    pub state: State,
    /// What was found.
    pub what: String,
    /// What to do about it; empty if all is well.
    pub advice: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: impl Into<String>, what: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, what: what.into(), advice: String::new() }
    }

    /// It could be better.
    pub fn warn(check: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Warn, what: what.into(), advice: advice.into() }
    }

    /// It must be changed.
    pub fn fail(check: impl Into<String>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Fail, what: what.into(), advice: advice.into() }
    }
}

/// Formats bytes for people.
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
