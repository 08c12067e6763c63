//! `book`: what a shard knows of messages under way, as of a checkpoint. It grows with traffic, so it is written in
//! pages, each a record of its own; the checkpoint holds the number of pages. Every checkpoint writes all pages again,
//! with its own commit number, and drops those of the previous one.
//!
//! Invariant: [`read`] gives exactly what [`Book::pages`] was called for, or reports damage: a missing page, or one too
//! many, is never ignored.

use std::ops::ControlFlow;

use bincode::{Decode, Encode};

use super::backend::{Reader, Space, StoreError};
use super::key::Key;
use super::record::{AlarmNote, AttemptNote, CheckpointRecord, DoubtNote, ProgressNote, Record, UsesNote, decode};

/// Size of a page, bytes, give or take one entry.
const PAGE_BYTES: usize = 64 << 10;
/// Bytes of an entry of each list.
const OPEN_BYTES: usize = 42;
const DOUBT_BYTES: usize = 63;
const CANCELLED_BYTES: usize = 12;
const TRIED_BYTES: usize = 10;
const ONCE_BYTES: usize = 24;
const ALARM_BYTES: usize = 21;

/// The state of a shard after a commit: what a checkpoint writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Cursors and counts.
    pub checkpoint: CheckpointRecord,
    /// Messages under way.
    pub book: Book,
}

/// What a shard knows of messages under way. Each list ascends by address, unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Attempts without an outcome.
    pub open: Vec<OpenNote>,
    /// Messages in doubt (the ledger), and those that an operator vouched for.
    pub doubts: Vec<DoubtNote>,
    /// Messages of several parts under way.
    pub progress: Vec<ProgressNote>,
    /// Messages cancelled while queued whose entries have not been passed over yet: packed address, and the tenant
    /// whose place each holds until then.
    pub cancelled: Vec<(u64, u32)>,
    /// Messages that wait to be retried.
    pub tried: Vec<TriedNote>,
    /// Messages that were recently in doubt, settled or not: recipient, packed address, since when (ms). In the order
    /// of `since`.
    pub once_in_doubt: Vec<(u64, u64, u64)>,
    /// Alarms of expiry that are in memory.
    pub alarms: Vec<AlarmNote>,
    /// What was used of counters of limits, ascending by counter.
    pub uses: Vec<UsesNote>,
}

/// An attempt without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OpenNote {
    /// The attempt.
    pub attempt: AttemptNote,
    /// When it was recorded, ms.
    pub at: u64,
    /// How often its message had been in doubt before.
    pub doubts: u8,
}

/// The history of a message that waits to be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TriedNote {
    /// Packed address.
    pub address: u64,
    /// Attempts consumed.
    pub attempts: u8,
    /// How often it has been in doubt.
    pub doubts: u8,
}

/// One page: entries of one list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PageRecord {
    /// Of [`Book::open`].
    Open(Vec<OpenNote>),
    /// Of [`Book::doubts`].
    Doubts(Vec<DoubtNote>),
    /// Of [`Book::progress`].
    Progress(Vec<ProgressNote>),
    /// Of [`Book::cancelled`].
    Cancelled(Vec<(u64, u32)>),
    /// Of [`Book::tried`].
    Tried(Vec<TriedNote>),
    /// Of [`Book::once_in_doubt`].
    OnceInDoubt(Vec<(u64, u64, u64)>),
    /// Of [`Book::alarms`].
    Alarms(Vec<AlarmNote>),
    /// Of [`Book::uses`].
    Uses(Vec<UsesNote>),
}

impl Record for PageRecord {
    const VERSION: u8 = 2;
}

impl Book {
    /// The whole book, in pages.
    pub fn pages(self) -> Vec<PageRecord> {
        let mut pages = Vec::new();
        cut(self.open, &mut pages, PageRecord::Open, |_| OPEN_BYTES);
        cut(self.doubts, &mut pages, PageRecord::Doubts, |_| DOUBT_BYTES);
        cut(self.progress, &mut pages, PageRecord::Progress, ProgressNote::bytes);
        cut(self.cancelled, &mut pages, PageRecord::Cancelled, |_| CANCELLED_BYTES);
        cut(self.tried, &mut pages, PageRecord::Tried, |_| TRIED_BYTES);
        cut(self.once_in_doubt, &mut pages, PageRecord::OnceInDoubt, |_| ONCE_BYTES);
        cut(self.alarms, &mut pages, PageRecord::Alarms, |_| ALARM_BYTES);
        cut(self.uses, &mut pages, PageRecord::Uses, UsesNote::bytes);
        pages
    }

    fn add(&mut self, page: PageRecord) {
        match page {
            PageRecord::Open(entries) => self.open.extend(entries),
            PageRecord::Doubts(entries) => self.doubts.extend(entries),
            PageRecord::Progress(entries) => self.progress.extend(entries),
            PageRecord::Cancelled(entries) => self.cancelled.extend(entries),
            PageRecord::Tried(entries) => self.tried.extend(entries),
            PageRecord::OnceInDoubt(entries) => self.once_in_doubt.extend(entries),
            PageRecord::Alarms(entries) => self.alarms.extend(entries),
            PageRecord::Uses(entries) => self.uses.extend(entries),
        }
    }
}

/// Cuts a list into pages; `bytes`: the bytes that an entry takes on disk.
fn cut<T>(entries: Vec<T>, pages: &mut Vec<PageRecord>, page: fn(Vec<T>) -> PageRecord, bytes: impl Fn(&T) -> usize) {
    let (mut begun, mut taken) = (Vec::new(), 0);
    for entry in entries {
        taken += bytes(&entry);
        begun.push(entry);
        if taken >= PAGE_BYTES {
            pages.push(page(std::mem::take(&mut begun)));
            taken = 0;
        }
    }
    if !begun.is_empty() {
        pages.push(page(begun));
    }
}

/// Reads the book of the checkpoint of that commit, which has that many pages.
///
/// # Errors
/// Those of the store, and [`StoreError::Damaged`] for a page that is missing, too many or unreadable.
pub fn read<R: Reader>(reader: &R, commit: u64, pages: u32) -> Result<Book, StoreError> {
    let mut book = Book::default();
    let (mut next, mut failure) = (0, None);
    let (from, to) = (Key::Page(commit, 0).bytes(), Key::Page(commit + 1, 0).bytes());
    reader.range(Space::Book, &from, &to, usize::MAX, &mut |key, value| {
        match decode(value) {
            Ok(page) if key == Key::Page(commit, next).bytes() => book.add(page),
            Ok(_) => failure = Some(format!("page {next} is missing")),
            Err(error) => failure = Some(format!("page {next}: {error}")),
        }
        next += 1;
        if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if failure.is_none() && next != pages {
        failure = Some(format!("{next} pages instead of {pages}"));
    }
    failure.map_or(Ok(book), |what| Err(StoreError::Damaged(format!("book of commit {commit}: {what}"))))
}

#[cfg(test)]
mod tests {
    use super::super::backend::{Backend, Op};
    use super::super::memory::{Drops, MemoryStore};
    use super::super::record::{CounterCode, encode};
    use super::super::record_event::tests::LOST;
    use super::*;

    fn attempt(address: u64) -> AttemptNote {
        AttemptNote {
            address,
            recipient: 2,
            tenant: 3,
            carrier: 4,
            reference: 5,
            route: 6,
            class: 7,
            attempt: 8,
            parts: 9,
            set: 10,
        }
    }

    fn book(entries: u64) -> Book {
        let all = || 0..entries;
        let doubt = |address| DoubtNote {
            attempt: attempt(address),
            sent_at: 1,
            since: 2,
            lost: LOST,
            decided_at: 4,
            vouched: false,
            doubts: 1,
        };
        let progress = |address| ProgressNote { address, accepted: vec![1, 2], ..ProgressNote::default() };
        let uses = |at| UsesNote { counter: CounterCode(1, 5, vec![65]), uses: vec![(at, 2, 3)] };
        Book {
            open: all().map(|address| OpenNote { attempt: attempt(address), at: 1, doubts: 2 }).collect(),
            doubts: all().map(doubt).collect(),
            progress: all().map(progress).collect(),
            cancelled: all().map(|address| (address, 1)).collect(),
            tried: all().map(|address| TriedNote { address, attempts: 1, doubts: 2 }).collect(),
            once_in_doubt: all().map(|since| (1, 2, since)).collect(),
            alarms: all().map(|segment| AlarmNote { segment, at: 2, messages: 3, class: 4 }).collect(),
            uses: all().map(uses).collect(),
        }
    }

    fn kept(pages: &[PageRecord]) -> MemoryStore {
        let mut store = MemoryStore::new(Drops::AtOnce);
        let put = |(number, page): (usize, &PageRecord)| {
            let key = Key::Page(7, number as u32);
            Op::Put { space: key.space(), key: key.bytes(), value: encode(page) }
        };
        let of_others = [6, 8].map(|commit| {
            let key = Key::Page(commit, 0);
            Op::Put { space: key.space(), key: key.bytes(), value: encode(&PageRecord::Cancelled(vec![(9, 9)])) }
        });
        store.commit(pages.iter().enumerate().map(put).chain(of_others).collect()).expect("kept");
        store
    }

    #[test]
    fn pages_are_read_back_and_none_is_large() {
        for entries in [0, 1, 20_000] {
            let book = book(entries);
            let pages = book.clone().pages();
            let largest = pages.iter().map(|page| encode(page).len()).max().unwrap_or(0);
            assert!(largest <= PAGE_BYTES + 1_000, "{largest} bytes");
            assert!(entries < 20_000 || pages.len() > 40, "{} pages", pages.len());
            assert_eq!(read(&kept(&pages).reader(), 7, pages.len() as u32), Ok(book));
        }
    }

    #[test]
    fn a_page_that_is_missing_or_too_many_is_damage() {
        let pages = book(20_000).pages();
        let told = |pages: &[PageRecord], missing: Option<u32>, said: u32| {
            let mut store = kept(pages);
            let key = missing.map(|number| Key::Page(7, number));
            let ops = key.into_iter().map(|key| Op::Delete { space: key.space(), key: key.bytes() });
            store.commit(ops.collect()).expect("kept");
            read(&store.reader(), 7, said).map(drop)
        };
        let many = pages.len() as u32;
        assert_eq!(told(&pages, None, many), Ok(()));
        for (missing, said) in [(Some(0), many), (Some(3), many), (Some(many - 1), many), (None, many - 1)] {
            assert!(matches!(told(&pages, missing, said), Err(StoreError::Damaged(_))), "{missing:?} of {said}");
        }
    }

    #[test]
    fn entries_take_what_pages_are_cut_by() {
        let bytes = |entries| book(entries).pages().iter().map(|page| encode(page).len()).collect::<Vec<_>>();
        let each: Vec<_> = bytes(2).iter().zip(bytes(1)).map(|(two, one)| two - one).collect();
        let progress = ProgressNote { accepted: vec![1, 2], ..ProgressNote::default() }.bytes();
        let uses = UsesNote { counter: CounterCode(1, 5, vec![65]), uses: vec![(1, 2, 3)] }.bytes();
        let lists = [OPEN_BYTES, DOUBT_BYTES, progress, CANCELLED_BYTES, TRIED_BYTES, ONCE_BYTES, ALARM_BYTES, uses];
        assert_eq!(each, lists);
    }

    #[test]
    fn golden_bytes_of_pages() {
        let hex = |page| data_encoding::HEXLOWER.encode(&encode(&page));
        let tried = PageRecord::Tried(vec![TriedNote { address: 1, attempts: 2, doubts: 3 }]);
        assert_eq!(hex(tried), "0204000000010000000000000001000000000000000203");
        let open = PageRecord::Open(vec![OpenNote { attempt: attempt(1), at: 10, doubts: 11 }]);
        let expected = "0200000000010000000000000001000000000000000200000000000000030000000400050006000708090a0000000a000000000000000b";
        assert_eq!(hex(open), expected);
    }
}
