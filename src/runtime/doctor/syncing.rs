//! How long the disk takes to sync: bytes are appended to a file and synced, again and again, as for a batch. Writes a
//! file of its own and removes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::finding::Finding;
use crate::disk::{directory, private};

/// How often bytes are appended and synced.
const ROUNDS: usize = 200;
/// Bytes of each round.
const BYTES: usize = 4 << 10;
/// On a slow disk no further round begins after this.
const TIME_MAX: Duration = Duration::from_secs(10);
/// With less free space than this nothing is written: a daemon may need the rest.
const FREE_MIN: u64 = 64 << 20;
/// A shorter sync is only plausible for a disk whose cache survives a loss of power.
const PLAUSIBLE_US: u64 = 20;
/// A batch, and the 202 of its messages, would wait this long for the disk.
const SLOW_US: u64 = 50_000;

const CHECK: &str = "sync";

/// Measures in this existing directory, which has `free` bytes free.
pub(super) fn look(directory: &Path, free: u64) -> Finding {
    if free < FREE_MIN {
        return Finding::warn(CHECK, "not measured: too little space is free", "free some space, and try again");
    }
    judge(measure(&directory.join(directory::TRIAL_FILE)))
}

/// The time of each round in µs.
fn measure(path: &Path) -> io::Result<Vec<u64>> {
    let mut trial = Trial::begin(path)?;
    let (bytes, begun) = ([0x5A; BYTES], Instant::now());
    let mut rounds_us = Vec::with_capacity(ROUNDS);
    while rounds_us.len() < ROUNDS && begun.elapsed() < TIME_MAX {
        let round = Instant::now();
        trial.file.write_all(&bytes)?;
        trial.file.sync_data()?;
        rounds_us.push(u64::try_from(round.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(rounds_us)
}

/// The test file, removed when this is dropped. It has a name, because some file systems do not sync files without one.
struct Trial {
    file: File,
    path: PathBuf,
}

impl Trial {
    fn begin(path: &Path) -> io::Result<Self> {
        // A killed run may have left one.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = private::file(path, OpenOptions::new().write(true).create_new(true))?;
        Ok(Self { file, path: path.to_owned() })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn judge(found: io::Result<Vec<u64>>) -> Finding {
    let mut rounds_us = match found {
        Ok(rounds_us) => rounds_us,
        Err(error) => {
            let advice = "see the data directory above: nothing can be kept where nothing can be written";
            return Finding::warn(CHECK, format!("not measured: {error}"), advice);
        }
    };
    rounds_us.sort_unstable();
    let (Some(p50), Some(p99)) = (part(&rounds_us, 50), part(&rounds_us, 99)) else {
        return Finding::warn(CHECK, "not measured: the first round took too long", "check the disk");
    };
    let ms = |us: u64| us as f64 / 1_000.0;
    let rounds = rounds_us.len();
    let what = format!("p50 {:.2} ms, p99 {:.2} ms ({rounds} × 4 KiB appended and synced)", ms(p50), ms(p99));
    if p50 < PLAUSIBLE_US {
        let what = format!("{what}: this disk may not keep what it acknowledges");
        return Finding::warn(
            CHECK,
            what,
            "use a disk that syncs when it is told to, or know that its cache survives a loss of power",
        );
    }
    if p99 > SLOW_US {
        return Finding::warn(
            CHECK,
            what,
            "each answer waits for a sync: use a quicker disk, or one with less other work",
        );
    }
    Finding::ok(CHECK, what)
}

/// The value that `percent` percent of a sorted list do not exceed.
fn part(sorted: &[u64], percent: usize) -> Option<u64> {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_disk_is_judged_by_its_median_and_its_tail() {
        let mut rounds = vec![1_000; 200];
        let usual = judge(Ok(rounds.clone()));
        assert_eq!(usual, Finding::ok("sync", "p50 1.00 ms, p99 1.00 ms (200 × 4 KiB appended and synced)"));
        rounds[..2].fill(80_000);
        assert_eq!(judge(Ok(rounds.clone())).state, State::Ok, "two of 200 are within what p99 leaves out");
        rounds[..3].fill(80_000);
        let slow = judge(Ok(rounds));
        assert!(slow.state == State::Warn && slow.what.contains("p99 80.00 ms"), "{slow:?}");
        let quick = judge(Ok(vec![19; 200]));
        assert!(quick.state == State::Warn && quick.what.ends_with("may not keep what it acknowledges"), "{quick:?}");
        assert_eq!(judge(Ok(vec![20; 200])).state, State::Ok);
        assert_eq!(judge(Ok(vec![20])).state, State::Ok, "a slow disk has fewer rounds");
    }

    #[test]
    fn what_was_not_measured_is_told() {
        for found in [Ok(Vec::new()), Err(io::ErrorKind::PermissionDenied.into())] {
            let told = judge(found);
            assert!(told.state == State::Warn && told.what.starts_with("not measured: "), "{told:?}");
        }
        let told = look(Path::new("/nowhere/at/all"), FREE_MIN - 1);
        assert_eq!(told.what, "not measured: too little space is free");
    }

    #[test]
    fn nothing_of_it_stays_and_what_a_killed_one_left_is_no_hindrance() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(directory::TRIAL_FILE);
        fs::write(&path, "left").expect("written");
        assert_eq!(measure(&path).expect("measured").len(), ROUNDS);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
        let nowhere = look(&directory.path().join("none"), u64::MAX);
        assert!(nowhere.what.starts_with("not measured: "), "{nowhere:?}");
    }
}
