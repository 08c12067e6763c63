//! Reads from fjall, and what a failed read means. Knows: it is damage if a checksum or the form of what was read is
//! wrong, or if a file is gone. Any other error (disk, descriptors, memory) may pass: the read is tried again a few
//! times, and then it is a failure, which ends the process as a failed write does. Refuses to know what is read.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use fjall::{Iter, LsmError};

use super::fjall::MARKER;
use stentor_core::store::backend::{StoreError, Visit};

/// How many times a read is tried.
const TRIES: u32 = 5;
/// The pause before the second try; each further pause is twice as long. Half a second in all.
const PAUSE: Duration = Duration::from_millis(32);

/// Reads, and tries again after an error that may pass.
///
/// # Errors
/// [`StoreError::Damaged`], and [`StoreError::Failed`] if the error did not pass.
pub(super) fn read<T>(mut once: impl FnMut() -> Result<T, fjall::Error>) -> Result<T, StoreError> {
    let mut patience = Patience::default();
    loop {
        match once() {
            Ok(read) => return Ok(read),
            Err(error) => patience.bear(error)?,
        }
    }
}

/// Visits at most `limit` entries, without markers, until `visit` breaks; returns how many. `entries` gives the entries
/// from a key on, from a state of the store that does not change.
///
/// # Errors
/// As [`read`].
pub(super) fn walk(
    from: &[u8],
    entries: impl Fn(&[u8]) -> Iter,
    limit: usize,
    visit: Visit<'_>,
) -> Result<usize, StoreError> {
    let (mut visited, mut patience, mut from) = (0, Patience::default(), from.to_vec());
    'again: loop {
        for guard in entries(&from) {
            if visited >= limit {
                return Ok(visited);
            }
            let (key, value) = match guard.into_inner() {
                Ok(entry) => entry,
                Err(error) => {
                    patience.bear(error)?;
                    continue 'again;
                }
            };
            if *key != MARKER {
                visited += 1;
                if visit(&key, &value).is_break() {
                    return Ok(visited);
                }
            }
            // The first key after the last one visited.
            from.clear();
            from.extend_from_slice(&key);
            from.push(0);
        }
        return Ok(visited);
    }
}

/// How many failures of one read were tolerated so far.
#[derive(Debug, Default)]
struct Patience(u32);

impl Patience {
    /// Waits a little before the next try; gives the error if trying again would not help.
    fn bear(&mut self, error: fjall::Error) -> Result<(), StoreError> {
        self.0 += 1;
        if self.0 >= TRIES || !may_pass(&error) {
            return Err(unreadable(&error));
        }
        tracing::warn!(%error, tried = self.0, "cannot read the store: trying again");
        thread::sleep(PAUSE * (1 << (self.0 - 1)));
        Ok(())
    }
}

/// What a failed read says about the store.
pub(super) fn unreadable(error: &fjall::Error) -> StoreError {
    match may_pass(error) {
        true => StoreError::Failed(format!("it cannot be read: {error}")),
        false => StoreError::Damaged(error.to_string()),
    }
}

/// As [`unreadable`], for a store that is being opened. A completely full disk is not damage: the operator must do
/// something else about it.
pub(super) fn not_opened(shard: &Path, error: &fjall::Error) -> StoreError {
    let shard = shard.display();
    let is_full = |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if io_of(error).is_some_and(is_full) {
        return StoreError::Failed(format!(
            "{shard}: the disk has no room to open it: free some, and start again ({error})"
        ));
    }
    match may_pass(error) {
        true => StoreError::Failed(format!("{shard}: it cannot be read: {error}")),
        false => StoreError::Damaged(format!("{shard}: {error}")),
    }
}

const fn io_of(error: &fjall::Error) -> Option<&io::Error> {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => Some(error),
        _ => None,
    }
}

/// Whether the same read may succeed another time. A file that is gone or ends too early does not come back, and an
/// offset outside the file is the result of damaged bytes.
fn may_pass(error: &fjall::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    io_of(error).is_some_and(|error| !matches!(error.kind(), NotFound | UnexpectedEof | InvalidData | InvalidInput))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eio() -> fjall::Error {
        fjall::Error::Storage(LsmError::Io(io::Error::from_raw_os_error(5)))
    }

    #[test]
    fn what_may_pass_is_tried_again_and_then_it_is_a_failure() {
        let mut tried = 0;
        let found = read(|| {
            tried += 1;
            if tried < TRIES { Err(eio()) } else { Ok(tried) }
        });
        assert_eq!(found, Ok(TRIES));
        let found: Result<(), _> = read(|| Err(eio()));
        assert!(matches!(found, Err(StoreError::Failed(_))), "{found:?}");
    }

    #[test]
    fn damage_is_told_at_once() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData] {
            let mut tried = 0;
            let found: Result<(), _> = read(|| {
                tried += 1;
                Err(fjall::Error::Io(kind.into()))
            });
            assert!(matches!(found, Err(StoreError::Damaged(_))), "{kind:?}");
            assert_eq!(tried, 1);
        }
        let found: Result<(), _> = read(|| Err(fjall::Error::Storage(LsmError::InvalidTrailer)));
        assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    }

    #[test]
    fn a_store_that_cannot_be_opened_for_now_is_not_damaged() {
        let told = |error: &fjall::Error| not_opened(Path::new("/shard-00"), error);
        assert!(matches!(told(&eio()), StoreError::Failed(_)));
        let full = fjall::Error::Io(io::ErrorKind::StorageFull.into());
        assert!(told(&full).to_string().contains("free some, and start again"), "{}", told(&full));
        assert!(matches!(told(&fjall::Error::Unrecoverable), StoreError::Damaged(_)));
    }
}
