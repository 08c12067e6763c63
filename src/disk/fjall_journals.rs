//! Checks the journals of a shard before fjall opens them, and repairs the one thing that may be repaired: a torn tail.
//!
//! Knows: where fjall keeps its journals and its lists of tables, in which order, and how to react to each end of
//! the scanner.
//! Refuses to know: the bytes of a journal (`scanner`), the content of the lost batch.
//!
//! - A torn tail of the newest journal was never acknowledged: it is copied to `<journal>.torn-<n>`, then cut off. If
//!   the disk has no room for the copy, none is kept: otherwise the store could never be opened again.
//! - Anything else that is wrong was acknowledged: nothing is changed, and the start is refused with an explanation.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::private;
use stentor_core::store::backend::StoreError;
use stentor_core::store::scanner::{self, JournalEnd, Numbers, Scan};

const READ_BYTES: usize = 1 << 20;
/// fjall's own file: it exists once a database is complete.
const VERSION_FILE: &str = "version";

/// What was found in the journals, for the log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Journals {
    /// How many journal files there are.
    pub count: usize,
    /// Bytes of complete batches in them.
    pub bytes: u64,
    /// Complete batches in them.
    pub batches: u64,
    /// The torn tail, if one was cut off.
    pub torn: Option<TornTail>,
    /// For all journals together, as [`Scan::numbers`].
    pub numbers: BTreeMap<u64, Numbers>,
}

/// A torn tail that was cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// The journal that was cut.
    pub journal: PathBuf,
    /// The offset at which it was cut: the end of the last complete batch, bytes.
    pub at: u64,
    /// How many bytes were cut off, not counting zeroes at the end.
    pub bytes: u64,
    /// The file with the bytes; `None`: the disk had no room for it.
    pub copy: Option<PathBuf>,
}

/// Checks all journals in `shard`, which fjall must not have open, and makes them ready to open. A directory that does
/// not exist, or holds no database yet, is ready.
///
/// # Errors
/// [`StoreError::Damaged`] when acknowledged batches would be lost by opening (nothing was changed);
/// [`StoreError::Failed`] when a file cannot be read, copied or cut.
pub(super) fn prepare(shard: &Path) -> Result<Journals, StoreError> {
    let journals = list(shard)?;
    if !has_version(shard)? {
        return abandon_unfinished(shard, &journals);
    }
    check_table_lists(shard)?;
    let mut found = Journals { count: journals.len(), ..Journals::default() };
    let mut last_seqno = None;
    for (index, (_, path)) in journals.iter().enumerate() {
        let bytes = read_written(path).map_err(|error| failed("read", path, &error))?;
        let scan = scanner::scan(&bytes);
        found.bytes += scan.end as u64;
        found.batches += scan.batches;
        check_order(path, last_seqno, &scan)?;
        last_seqno = scan.last_seqno.or(last_seqno);
        for (space, numbers) in &scan.numbers {
            found.numbers.entry(*space).and_modify(|before| *before = before.then(*numbers)).or_insert(*numbers);
        }
        let is_newest = index + 1 == journals.len();
        match scan.after {
            JournalEnd::Clean => {}
            JournalEnd::Torn if is_newest => found.torn = Some(cut(path, &bytes, scan.end, copy_aside)?),
            JournalEnd::Torn => {
                return Err(damaged(path, scan.end, "nothing valid follows, but the journal is not the newest"));
            }
            JournalEnd::Damaged { next_valid } => {
                return Err(damaged(path, scan.end, &format!("a valid batch follows at byte {next_valid}")));
            }
        }
    }
    Ok(found)
}

/// Each key space lists its tables in a file `v<number>`, and names that file and its checksum in `current`. fjall
/// reads the list without verifying the checksum: a flipped bit in it would move a table to another place, or leave one
/// out.
fn check_table_lists(shard: &Path) -> Result<(), StoreError> {
    let spaces = shard.join("keyspaces");
    let entries = match fs::read_dir(&spaces) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("list", &spaces, &error)),
    };
    for entry in entries {
        let space = entry.map_err(|error| failed("list", &spaces, &error))?.path();
        let current = space.join("current");
        let named = match fs::read(&current) {
            Ok(named) => named,
            // Its creation was never finished: fjall removes it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(failed("read", &current, &error)),
        };
        let wrong = |what: &Path| {
            let why = "the checksum of the list of tables does not match";
            StoreError::Damaged(format!("{}: {why}. Nothing was changed; restore from a backup.", what.display()))
        };
        let (number, rest) = named.split_first_chunk::<8>().ok_or_else(|| wrong(&current))?;
        let (sum, _) = rest.split_first_chunk::<16>().ok_or_else(|| wrong(&current))?;
        let list = space.join(format!("v{}", u64::from_le_bytes(*number)));
        let bytes = match fs::read(&list) {
            Ok(bytes) => bytes,
            // A key space that was dropped is removed file by file, and a crash may leave any of the files. fjall knows
            // which key spaces were dropped, and opens no other one without its list.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("read", &list, &error)),
        };
        if xxh3_128(&bytes) != u128::from_le_bytes(*sum) {
            return Err(wrong(&list));
        }
    }
    Ok(())
}

/// Journal number and path, ascending: the newest last.
fn list(shard: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let entries = match fs::read_dir(shard) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", shard, &error)),
    };
    let mut journals = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed("list", shard, &error))?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jnl")) {
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let number = number.ok_or_else(|| {
                StoreError::Damaged(format!("{} is not the name of a journal; move it away", path.display()))
            })?;
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

fn check_order(path: &Path, before: Option<u64>, scan: &Scan) -> Result<(), StoreError> {
    match (before, scan.first_seqno) {
        (Some(before), Some(first)) if first <= before => {
            Err(damaged(path, 0, &format!("it begins with batch {first}, but an older journal ends with {before}")))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

/// Whether fjall's version file exists and has content: a crash may leave its name without its bytes.
fn has_version(shard: &Path) -> Result<bool, StoreError> {
    let path = shard.join(VERSION_FILE);
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes.iter().any(|byte| *byte != 0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("read", &path, &error)),
    }
}

/// fjall writes its version file last when it creates a database, and cannot continue a creation that a crash
/// interrupted. Before that file is written nothing is committed, so the files may be removed; if something was
/// committed, it is damage.
fn abandon_unfinished(shard: &Path, journals: &[(u64, PathBuf)]) -> Result<Journals, StoreError> {
    let lost = |what: &str| {
        StoreError::Damaged(format!("{}: the file \"{VERSION_FILE}\" is missing or empty, but {what}", shard.display()))
    };
    let has_tables = match fs::read_dir(shard.join("keyspaces")) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed("list", shard, &error)),
    };
    if has_tables {
        return Err(lost("there are key spaces"));
    }
    for (_, path) in journals {
        if !read_written(path).map_err(|error| failed("read", path, &error))?.is_empty() {
            return Err(lost("a journal is not empty"));
        }
    }
    for (_, path) in journals {
        fs::remove_file(path).map_err(|error| failed("remove", path, &error))?;
    }
    let version = shard.join(VERSION_FILE);
    match fs::remove_file(&version) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &version, &error)),
        Ok(()) | Err(_) => Ok(Journals::default()),
    }
}

/// The file without the zeroes at its end; a journal is allocated ahead and may have up to 64 MiB of them.
fn read_written(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; READ_BYTES];
    // Reserved memory that is not touched costs nothing; growing step by step would double the peak.
    let mut written = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0));
    let mut zeroes = 0;
    loop {
        let count = file.read(&mut chunk)?;
        let read = chunk.get(..count).unwrap_or_default();
        let end = scanner::written_end(read, 0);
        if count == 0 {
            return Ok(written);
        }
        if end > 0 {
            written.resize(written.len() + zeroes, 0);
            written.extend_from_slice(read.get(..end).unwrap_or_default());
            zeroes = 0;
        }
        zeroes += count - end;
    }
}

/// Writes the bytes into a file of that name, durably.
fn copy_aside(copy: &Path, tail: &[u8]) -> io::Result<()> {
    let mut file = private::file(copy, OpenOptions::new().write(true).create_new(true))?;
    file.write_all(tail)?;
    file.sync_all()?;
    copy.parent().map_or(Ok(()), |shard| File::open(shard)?.sync_all())
}

fn cut(
    journal: &Path,
    bytes: &[u8],
    at: usize,
    copy_aside: impl Fn(&Path, &[u8]) -> io::Result<()>,
) -> Result<TornTail, StoreError> {
    let tail = bytes.get(at..).unwrap_or_default();
    let copy = (1_u32..)
        .map(|n| journal.with_extension(format!("jnl.torn-{n}")))
        .find(|path| !path.exists())
        .ok_or_else(|| StoreError::Failed("every file name for a torn tail is taken".to_owned()))?;
    let copy = match copy_aside(&copy, tail) {
        Ok(()) => Some(copy),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            // Half a copy is useless, and takes the room that opening needs.
            let _ = fs::remove_file(&copy);
            None
        }
        Err(error) => return Err(failed("copy the torn tail of", journal, &error)),
    };
    let cut = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(journal)?;
        file.set_len(at as u64)?;
        file.sync_all()
    };
    cut().map_err(|error| failed("cut", journal, &error))?;
    Ok(TornTail { journal: journal.to_owned(), at: at as u64, bytes: tail.len() as u64, copy })
}

fn damaged(journal: &Path, at: usize, why: &str) -> StoreError {
    StoreError::Damaged(format!(
        "{}: bad bytes after byte {at}, and {why}. Acknowledged messages would be lost by opening it; nothing was changed. \
         Keep a copy of the whole directory and restore from a backup, or ask for help with the copy.",
        journal.display()
    ))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen when a carrier had filled the disk: the start needed room for the copy, and room never became free.
    #[test]
    fn a_torn_tail_is_cut_without_a_copy_where_there_is_no_room_for_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let journal = directory.path().join("0.jnl");
        fs::write(&journal, b"whole torn").expect("written");
        let full = |copy: &Path, _: &[u8]| -> io::Result<()> {
            fs::write(copy, b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let torn = cut(&journal, b"whole torn", 5, full).expect("cut");
        assert_eq!((torn.copy, torn.bytes), (None, 5));
        assert_eq!(fs::read(&journal).expect("there"), b"whole");
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 1, "half a copy is of no use");
        let broken = |_: &Path, _: &[u8]| -> io::Result<()> { Err(io::ErrorKind::PermissionDenied.into()) };
        assert!(cut(&journal, b"whole", 2, broken).is_err());
        assert_eq!(fs::read(&journal).expect("there"), b"whole");
        assert!(cut(&journal, b"whole", 2, copy_aside).is_ok_and(|torn| torn.copy.is_some_and(|copy| copy.exists())));
    }
}
