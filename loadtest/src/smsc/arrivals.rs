//! When each part arrived: kept on request, for scenarios that judge spans of time themselves. An arrival is only known
//! to lie between two instants: its socket was certainly empty at the first, and was read at the second.

use serde::{Deserialize, Serialize};

/// Most arrivals in one answer.
const PAGE: usize = 50_000;

/// One part that the carrier took. The instants are in microseconds since the Unix epoch; the clock is read once, when
/// the simulator starts, so it makes no jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub(crate) struct Arrived {
    /// The recipient.
    pub to: u64,
    /// It arrived after this instant …
    pub after_us: u64,
    /// … and not later than at this one.
    pub until_us: u64,
}

/// All arrivals of a run, in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    is_kept: bool,
    after_us: u64,
    parts: Vec<Arrived>,
}

impl From<(u64, u64, u64)> for Arrived {
    fn from((to, after_us, until_us): (u64, u64, u64)) -> Self {
        Self { to, after_us, until_us }
    }
}

impl From<Arrived> for (u64, u64, u64) {
    fn from(arrived: Arrived) -> Self {
        (arrived.to, arrived.after_us, arrived.until_us)
    }
}

impl Arrivals {
    /// None yet; they are only kept if `is_kept`.
    pub(super) fn new(is_kept: bool) -> Self {
        Self { is_kept, ..Self::default() }
    }

    /// What is noted from now on arrived after this instant.
    pub(super) fn begin(&mut self, after_us: u64) {
        self.after_us = after_us;
    }

    /// A part for this recipient was read.
    pub(super) fn note(&mut self, to: u64, until_us: u64) {
        if self.is_kept {
            self.parts.push(Arrived { to, after_us: self.after_us, until_us });
        }
    }

    /// The arrivals from the number `from` on, at most a page of them.
    pub(super) fn page(&self, from: usize) -> &[Arrived] {
        let rest = self.parts.get(from..).unwrap_or_default();
        &rest[..rest.len().min(PAGE)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_kept_only_on_request_and_given_in_pages() {
        let noted = |is_kept| {
            let mut arrivals = Arrivals::new(is_kept);
            for number in 0..PAGE as u64 + 2 {
                arrivals.begin(number);
                arrivals.note(number, number + 1);
            }
            arrivals
        };
        assert_eq!(noted(false).page(0), []);
        let arrivals = noted(true);
        assert_eq!((arrivals.page(0).len(), arrivals.page(PAGE).len(), arrivals.page(PAGE + 9).len()), (PAGE, 2, 0));
        let json = serde_json::to_string(&arrivals.page(PAGE + 1)).unwrap();
        assert_eq!(json, "[[50001,50001,50002]]");
        assert_eq!(serde_json::from_str::<Vec<Arrived>>(&json).unwrap(), arrivals.page(PAGE + 1));
    }
}
