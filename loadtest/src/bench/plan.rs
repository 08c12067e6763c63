//! How much is measured: sizes for a few minutes, for a serious run, and for a test. The size of a pass is a duration,
//! not a count, so that a fast machine is measured as long as a slow one.

use std::time::Duration;

/// How thorough the bench is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Size {
    /// Some seconds, to see that everything works; its figures mean nothing
    Tiny,
    /// Less than five minutes
    Quick,
    /// Half an hour and more
    Full,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Subject {
    /// What the machine can do without Stentor
    Limits,
    /// All messages once, as fast as answers come
    Million,
    /// One message in each request
    Single,
    /// Rising rates, until Stentor cannot keep one
    Sweep,
    /// `million` with 1, 2, 4 … cores
    Ladder,
    /// A burst far above the carrier's rate
    Peak,
    /// Messages pile up, kill -9, the carrier returns
    Backlog,
    /// SIGTERM and kill -9 in the middle
    Restart,
}

/// The sizes of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sizes {
    pub name: &'static str,
    /// Repeats of the measurements that are quick.
    pub repeats: usize,
    /// Repeats of peak, backlog and restart.
    pub rounds: usize,
    /// How long a pass is to last, seconds.
    pub pass_s: f64,
    /// The fewest messages of `million`.
    pub million_min: u64,
    /// How long each probe of the machine lasts.
    pub probe: Duration,
    /// Messages of the first try, from which the size of the others follows.
    pub warm_up: u64,
    /// Offered rates of the sweep, as shares of the rate that `million` reached.
    pub shares: &'static [f64],
    /// Messages of the burst, and the parts per second that its carrier takes.
    pub peak: (u64, u32),
    /// Messages that pile up.
    pub backlog: u64,
    /// How often the processes are sampled.
    pub interval: Duration,
    /// No pass begins that would end after this time.
    pub limit: Option<Duration>,
    /// Seconds without progress after which a pass is given up.
    pub stall_max: u64,
}

/// A pass that lasted less than this is not meaningful.
pub(super) const PASS_S_MIN: f64 = 2.0;

impl Size {
    /// The sizes of this level.
    pub(super) const fn sizes(self) -> Sizes {
        match self {
            Self::Tiny => Sizes {
                name: "tiny",
                repeats: 2,
                rounds: 1,
                pass_s: 0.2,
                million_min: 0,
                probe: Duration::from_millis(20),
                warm_up: 2_000,
                shares: &[0.2, 0.5],
                peak: (1_000, 1_000),
                backlog: 2_000,
                interval: Duration::from_millis(100),
                limit: Some(Duration::from_secs(240)),
                stall_max: 30,
            },
            Self::Quick => Sizes {
                name: "quick",
                repeats: 3,
                rounds: 1,
                pass_s: 3.5,
                million_min: 0,
                probe: Duration::from_millis(1_500),
                warm_up: 50_000,
                shares: &[0.25, 0.5, 0.75, 0.9, 1.0, 1.1],
                peak: (50_000, 10_000),
                backlog: 300_000,
                interval: Duration::from_millis(500),
                // The rest of the five minutes is for the last pass that began.
                limit: Some(Duration::from_secs(270)),
                stall_max: 20,
            },
            Self::Full => Sizes {
                name: "full",
                repeats: 5,
                rounds: 3,
                pass_s: 20.0,
                million_min: 1_000_000,
                probe: Duration::from_secs(5),
                warm_up: 200_000,
                shares: &[0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25],
                peak: (500_000, 5_000),
                backlog: 5_000_000,
                interval: Duration::from_secs(1),
                limit: None,
                stall_max: u64::MAX,
            },
        }
    }
}

impl Sizes {
    /// Number of messages for a pass at this rate: whole requests, at least one.
    pub(super) fn count(&self, rate: f64, batch: u64, least: u64) -> u64 {
        let wanted = (rate * self.pass_s).clamp(0.0, 1e9) as u64;
        let batch = batch.max(1);
        wanted.max(least).div_ceil(batch).max(1) * batch
    }
}

/// Numbers of cores to try: 1, 2, 4 … and all.
pub(super) fn ladder(cores: usize) -> Vec<usize> {
    let mut steps: Vec<_> = (0..16).map(|power| 1 << power).take_while(|step| *step < cores).collect();
    steps.push(cores.max(1));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_whole_requests() {
        let sizes = Size::Quick.sizes();
        assert_eq!(sizes.count(100_000.0, 1_000, 0), 350_000);
        assert_eq!(sizes.count(1.0, 1_000, 0), 1_000);
        assert_eq!(sizes.count(0.0, 1, 0), 1);
        assert_eq!(sizes.count(1.0, 1_000, 1_500), 2_000);
        assert_eq!(sizes.count(f64::INFINITY, 1_000, 0), 1_000_000_000);
    }

    #[test]
    fn the_ladder_ends_with_all_cores() {
        assert_eq!((ladder(1), ladder(2), ladder(6)), (vec![1], vec![1, 2], vec![1, 2, 4, 6]));
        assert_eq!(ladder(0), [1]);
    }
}
