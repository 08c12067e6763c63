//! How often a carrier may take a part: once, and once more for each time at which that very part was in doubt there
//! and was to be sent again. For a message that goes to another carrier, or is split anew, counting starts again.

use std::collections::BTreeMap;

use crate::delivery::{DoubtPolicy, Happened, Resolution, TimelineEntry};
use crate::traffic::NotWritten;

use super::contract::carrier_id;
use super::oracle::{Truth, doubts_in};

/// How a part came to a carrier more often than the ledger explains; `None` if it did not. `policy`: the doubt policy
/// of its class, if that never changed.
pub(super) fn twice(truth: &Truth, policy: Option<DoubtPolicy>) -> Option<String> {
    let is_dropped = policy == Some(DoubtPolicy::Drop) && !truth.may_repeat;
    let mut copies: BTreeMap<(usize, u8), usize> = BTreeMap::new();
    for taken in &truth.taken {
        *copies.entry((taken.carrier, taken.part)).or_default() += 1;
    }
    for ((carrier, part), copies) in copies {
        let permitted = permitted(&truth.timeline, carrier, part, is_dropped);
        if copies > permitted {
            return Some(format!("carrier {carrier} took part {part} {copies} times, and may {permitted} times"));
        }
    }
    let again = truth
        .taken
        .iter()
        .skip(truth.taken_before)
        .any(|taken| truth.elsewhere.iter().any(|before| (before.part, before.parts) == (taken.part, taken.parts)));
    let is_unexplained = truth.is_restored && again && doubts_in(&truth.timeline) == 0;
    is_unexplained.then(|| format!("taken before the restore {:?}", truth.elsewhere))
}

/// How often that carrier may take that part according to the timeline.
fn permitted(timeline: &[TimelineEntry], carrier: usize, part: u8, is_dropped: bool) -> usize {
    let (mut permitted, mut is_here, mut has_it) = (0, false, false);
    for entry in timeline {
        match entry.what {
            Happened::Attempt { carrier: to, .. } => {
                let was_here = std::mem::replace(&mut is_here, to == carrier_id(carrier));
                if is_here && !was_here {
                    (permitted, has_it) = (permitted + 1, false);
                }
            }
            Happened::Returned { why: NotWritten::CutChanged } => is_here = false,
            Happened::PartAccepted { part: taken, .. } if is_here && taken == part => has_it = true,
            Happened::Resent { by } if is_here && !has_it => {
                permitted += usize::from(!(is_dropped && by == Resolution::PolicyResend));
            }
            _ => {}
        }
    }
    permitted
}

#[cfg(test)]
mod tests {
    use crate::delivery::{Lost, LostBind};
    use crate::model::{CarrierId, Wall};
    use crate::traffic::Unanswered;

    use super::*;

    fn permitted_of(history: &[Happened], part: u8) -> usize {
        let timeline: Vec<_> = history.iter().map(|what| TimelineEntry { at: Wall(1), what: *what }).collect();
        permitted(&timeline, 0, part, false)
    }

    const fn attempt(carrier: u16) -> Happened {
        Happened::Attempt { carrier: CarrierId(carrier), attempt: 1 }
    }

    const FIRST: Happened = Happened::PartAccepted { part: 1, parts: 2 };
    const AGAIN: Happened = Happened::Resent { by: Resolution::PolicyResend };

    #[test]
    fn only_the_part_that_was_in_doubt_may_come_again() {
        let lost = Lost { reason: Unanswered::ConnectionLost, bind: None::<LostBind>, held: false, grouped: false };
        let history = [attempt(1), FIRST, Happened::InDoubt { lost }, AGAIN, attempt(1)];
        assert_eq!([1, 2].map(|part| permitted_of(&history, part)), [1, 2]);
        let unanswered = [attempt(1), Happened::InDoubt { lost }, AGAIN, attempt(1)];
        assert_eq!([1, 2].map(|part| permitted_of(&unanswered, part)), [2, 2]);
    }

    #[test]
    fn another_carrier_and_another_cut_begin_anew() {
        let history = [attempt(1), FIRST, attempt(2), attempt(2), attempt(1), attempt(1)];
        assert_eq!(permitted_of(&history, 1), 2);
        let returned = Happened::Returned { why: NotWritten::CutChanged };
        assert_eq!(permitted_of(&[attempt(1), FIRST, returned, attempt(1)], 1), 2);
        assert_eq!(permitted_of(&[attempt(2)], 1), 0);
    }
}
