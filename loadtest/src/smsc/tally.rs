//! What arrived, told apart by the serial numbers in the bodies: how often each message was taken, which are missing,
//! whether the messages to one recipient kept their order, how old each was. Uses a byte per message and, when order is
//! checked, sixteen bytes per recipient. Knows no PDUs and no sockets.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::stats::Quantiles;
use crate::mark::Mark;

/// Greater serials are counted as unmarked: 1 Gi messages, a byte for each that came.
const SERIAL_MAX: u64 = 1 << 30;

/// What is counted besides the messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// The order of messages per recipient; costs a hash lookup for each message.
    pub order: bool,
    /// The ages of messages to this recipient and higher ones, apart from all others.
    pub from: Option<u64>,
    /// When each part arrived.
    pub arrivals: bool,
}

/// The counts of one run.
#[derive(Debug)]
pub(super) struct Tally {
    taken: Vec<u8>,
    /// By recipient: the highest serial of a first submit so far. `None` if order is not checked.
    latest: Option<HashMap<u64, u64, foldhash::fast::FixedState>>,
    age_us: Histogram<u64>,
    /// The first recipient who is watched, and the ages of messages to those who are.
    watched: Option<(u64, Histogram<u64>)>,
    distinct: u64,
    repeats: u64,
    unmarked: u64,
    overtaken: u64,
}

impl Tally {
    /// Empty counts.
    pub(super) fn new(watch: Watch) -> Self {
        let ages = || Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap_or_else(|_| unreachable!("fixed bounds"));
        Self {
            taken: Vec::new(),
            latest: watch.order.then(HashMap::default),
            age_us: ages(),
            watched: watch.from.map(|from| (from, ages())),
            distinct: 0,
            repeats: 0,
            unmarked: 0,
            overtaken: 0,
        }
    }

    /// Counts one part that the carrier took. `text` is the part without user data header; only the first part of a
    /// message carries the mark, so the others count as unmarked.
    pub(super) fn record_taken(&mut self, recipient: u64, text: &[u8], wall_us: u64) {
        let Some(mark) = Mark::read(text).filter(|mark| mark.serial < SERIAL_MAX) else {
            self.unmarked += 1;
            return;
        };
        let index = mark.serial as usize;
        if self.taken.len() <= index {
            self.taken.resize((index + 1).next_power_of_two(), 0);
        }
        let times = &mut self.taken[index];
        if *times > 0 {
            self.repeats += 1;
        } else {
            self.distinct += 1;
            let age_us = wall_us.saturating_sub(mark.offered_us);
            match &mut self.watched {
                Some((from, ages)) if recipient >= *from => ages.saturating_record(age_us),
                Some(_) | None => self.age_us.saturating_record(age_us),
            }
            if let Some(latest) = &mut self.latest {
                let highest = latest.entry(recipient).or_insert(mark.serial);
                self.overtaken += u64::from(mark.serial < *highest);
                *highest = mark.serial.max(*highest);
            }
        }
        *times = times.saturating_add(1);
    }

    /// Messages taken at least once.
    pub(super) fn distinct(&self) -> u64 {
        self.distinct
    }

    /// How often a message was taken again after the first time.
    pub(super) fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Parts without a mark: later parts of long messages, and traffic from other clients.
    pub(super) fn unmarked(&self) -> u64 {
        self.unmarked
    }

    /// Messages whose first submit came after that of a later message to the same recipient; 0 if not checked.
    pub(super) fn overtaken(&self) -> u64 {
        self.overtaken
    }

    /// Microseconds from the offer to the first submit, at this quantile (0 to 1).
    pub(super) fn age_us(&self, quantile: f64) -> u64 {
        self.age_us.value_at_quantile(quantile)
    }

    /// How many messages to watched recipients were taken, and their ages as [`Self::age_us`].
    pub(super) fn watched(&self) -> (u64, Quantiles) {
        let (count, ages) = self.watched.as_ref().map_or((0, None), |(_, ages)| (ages.len(), Some(ages)));
        (count, ages.map(|ages| Quantiles::read(|quantile| ages.value_at_quantile(quantile))).unwrap_or_default())
    }

    /// How many of the serials `0..upto` were never taken.
    pub(super) fn missing(&self, upto: u64) -> u64 {
        upto - self.serials(upto, |times| times > 0).count() as u64
    }

    /// The first `limit` serials of `0..upto` that were never taken.
    pub(super) fn list_missing(&self, upto: u64, limit: usize) -> Vec<u64> {
        let beyond = self.taken.len() as u64..upto;
        self.serials(upto, |times| times == 0).chain(beyond).take(limit).collect()
    }

    /// The first `limit` serials that were taken more than once.
    pub(super) fn list_repeated(&self, limit: usize) -> Vec<u64> {
        self.serials(u64::MAX, |times| times > 1).take(limit).collect()
    }

    fn serials(&self, upto: u64, wanted: fn(u8) -> bool) -> impl Iterator<Item = u64> {
        let known = self.taken.len().min(usize::try_from(upto).unwrap_or(usize::MAX));
        (0..).zip(&self.taken[..known]).filter(move |(_, times)| wanted(**times)).map(|(serial, _)| serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::MARK_LEN;

    fn book(tally: &mut Tally, recipient: u64, serial: u64) {
        let mut text = [b'.'; MARK_LEN + 5];
        Mark { serial, offered_us: 1_000 }.write(&mut text);
        tally.record_taken(recipient, &text, 3_000);
    }

    #[test]
    fn tells_missing_repeated_and_overtaken_apart() {
        let mut tally = Tally::new(Watch { order: true, ..Watch::default() });
        for (recipient, serial) in [(1, 0), (1, 4), (1, 2), (2, 3), (1, 4), (1, 4)] {
            book(&mut tally, recipient, serial);
        }
        tally.record_taken(1, b"no mark", 0);
        assert_eq!((tally.distinct(), tally.repeats(), tally.unmarked(), tally.overtaken()), (4, 2, 1, 1));
        assert_eq!((tally.missing(3), tally.missing(20)), (1, 16));
        assert_eq!(tally.list_missing(10, 4), [1, 5, 6, 7]);
        assert_eq!(tally.list_missing(10, 99), [1, 5, 6, 7, 8, 9]);
        assert_eq!(tally.list_repeated(9), [4]);
        assert!((1_990..=2_010).contains(&tally.age_us(0.5)));
    }

    #[test]
    fn empty_books_miss_everything() {
        let tally = Tally::new(Watch::default());
        assert_eq!((tally.missing(7), tally.list_missing(2, 9)), (7, vec![0, 1]));
    }
}
