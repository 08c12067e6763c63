//! Every key of a shard's store: the whole key space in one place. All numbers big endian, so that bytes sort as numbers.
//!
//! To change a key or a record: give the record a new version byte, keep reading the old one, add golden bytes of the
//! new one to its test, raise the format version of the directory if an older daemon must not open it, and describe the
//! change in `docs/STORAGE.md`.

use crate::model::SetNumber;
use crate::queue::{Era, FifoName, Generation, ListKind, ListNumber};

use super::backend::Space;

/// The first bytes of a list's key in `meta`.
const LIST_PREFIX: &[u8; 5] = b"list\0";
/// The first bytes of the key of a set of counters in `meta`.
const SET_PREFIX: &[u8; 4] = b"set\0";

/// A key, and the record stored under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `seg`: a segment. Lives until all its messages are final and retention has passed.
    Segment(u64),
    /// `st`: the folded events of a segment. Lives as long as the segment.
    State(u64),
    /// `ready`: what a commit made ready in one fifo. Lives until the fifo's head is past it.
    Ready(FifoName, u64),
    /// `ev`: what a commit decided. Lives until folded.
    Turn(u64),
    /// `due`: what a commit put off to a tick, in an era of the clock: era, tick, commit. Lives until the head of its
    /// era is past it.
    Due(Era, u64, u64),
    /// `win`: receipts that are waited for since a commit. Lives until the epoch is sealed.
    Receipts(u64),
    /// `dup`: fingerprints that a commit recorded. Lives as long as the dedup window.
    Keys(u64),
    /// `orphan`: a receipt whose message is not known, by commit and index in it. Lives as long as receipts are waited
    /// for.
    Orphan(u64, u32),
    /// `outbox`: a notice, by commit and index in it. Lives for retention.
    Outbox(u64, u32),
    /// `book`: a page of what was under way at the checkpoint after that commit. Lives until the next checkpoint.
    Page(u64, u32),
    /// `handset`: a message from a handset, by commit and index in it. Lives for retention.
    Handset(u64, u32),
    /// `joining`: a part of a message that is not complete yet, or what is remembered of a joined one, by commit and
    /// index in it.
    Joining(u64, u32),
    /// `meta`: the checkpoint.
    Checkpoint,
    /// `meta` of control: its version. Overwritten by each commit.
    Control,
    /// `meta`: the shard was restored from a backup. Lives for ever.
    Restored,
    /// `meta`: how many messages of each tenant wait. Overwritten when that changes.
    Waiting,
    /// `meta`: what a list is for. Lives for ever.
    List(ListNumber),
    /// `meta`: a set of counters. Lives for ever.
    Set(SetNumber),
}

impl Key {
    /// The space in which it is stored.
    pub const fn space(self) -> Space {
        match self {
            Self::Segment(_) => Space::Segment,
            Self::State(_) => Space::State,
            Self::Ready(..) => Space::Ready,
            Self::Turn(_) => Space::Event,
            Self::Due(..) => Space::Due,
            Self::Receipts(_) => Space::Receipt,
            Self::Keys(_) => Space::Dedup,
            Self::Orphan(..) => Space::Orphan,
            Self::Outbox(..) => Space::Outbox,
            Self::Page(..) => Space::Book,
            Self::Handset(..) => Space::Handset,
            Self::Joining(..) => Space::Joining,
            Self::Checkpoint | Self::Control | Self::Restored | Self::Waiting | Self::List(_) | Self::Set(_) => {
                Space::Meta
            }
        }
    }

    /// Its encoded bytes.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Segment(number) | Self::State(number) => number.to_be_bytes().to_vec(),
            Self::Turn(commit) | Self::Receipts(commit) | Self::Keys(commit) => commit.to_be_bytes().to_vec(),
            Self::Ready(name, commit) => {
                let mut key = Vec::with_capacity(14);
                key.extend_from_slice(&name.list.0.to_be_bytes());
                key.extend_from_slice(&[name.generation.0, name.kind.code()]);
                key.extend_from_slice(&commit.to_be_bytes());
                key
            }
            Self::Due(era, tick, commit) => {
                [&era.0.to_be_bytes()[..], &tick.to_be_bytes()[..], &commit.to_be_bytes()[..]].concat()
            }
            Self::Orphan(commit, index)
            | Self::Outbox(commit, index)
            | Self::Handset(commit, index)
            | Self::Joining(commit, index)
            | Self::Page(commit, index) => [&commit.to_be_bytes()[..], &index.to_be_bytes()[..]].concat(),
            Self::Checkpoint => b"checkpoint".to_vec(),
            Self::Control => b"control".to_vec(),
            Self::Restored => b"restored".to_vec(),
            Self::Waiting => b"waiting".to_vec(),
            Self::List(number) => [&LIST_PREFIX[..], &number.0.to_be_bytes()].concat(),
            Self::Set(number) => [&SET_PREFIX[..], &number.0.to_be_bytes()].concat(),
        }
    }

    /// The number in a key; the first one if the key has several.
    pub fn number(bytes: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
    }

    /// Commit and index in it, from a key that has both.
    pub fn place(bytes: &[u8]) -> Option<(u64, u32)> {
        let (commit, index) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*commit), u32::from_be_bytes(index.try_into().ok()?)))
    }

    /// Reads a `ready` key back.
    pub fn ready(bytes: &[u8]) -> Option<(FifoName, u64)> {
        let (list, rest) = bytes.split_first_chunk::<4>()?;
        let (&[generation, kind], commit) = rest.split_first_chunk::<2>()?;
        let (list, generation) = (ListNumber(u32::from_be_bytes(*list)), Generation(generation));
        Some((FifoName { list, generation, kind: ListKind::from_code(kind)? }, Self::number(commit)?))
    }

    /// Reads the key of a list back.
    pub fn list(bytes: &[u8]) -> Option<ListNumber> {
        let number = bytes.strip_prefix(LIST_PREFIX)?.try_into().ok()?;
        Some(ListNumber(u32::from_be_bytes(number)))
    }

    /// Reads the key of a set of counters back.
    pub fn set(bytes: &[u8]) -> Option<SetNumber> {
        let number = bytes.strip_prefix(SET_PREFIX)?.try_into().ok()?;
        Some(SetNumber(u32::from_be_bytes(number)))
    }

    /// The bounds, first inclusive and last exclusive, between which the keys of all sets of counters lie.
    pub fn set_bounds() -> (Vec<u8>, Vec<u8>) {
        (SET_PREFIX.to_vec(), [&SET_PREFIX[..], &[u8::MAX; 5]].concat())
    }

    /// The bounds, first inclusive and last exclusive, between which the keys of all lists lie.
    pub fn list_bounds() -> (Vec<u8>, Vec<u8>) {
        (LIST_PREFIX.to_vec(), [&LIST_PREFIX[..], &[u8::MAX; 5]].concat())
    }

    /// Reads a `due` key back: era, tick and commit.
    pub fn due(bytes: &[u8]) -> Option<(Era, u64, u64)> {
        let (era, rest) = bytes.split_first_chunk::<4>()?;
        Some((Era(u32::from_be_bytes(*era)), Self::number(rest)?, Self::number(rest.get(8..)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let name = FifoName { list: ListNumber(0x0102), generation: Generation(3), kind: ListKind::Fresh };
        assert_eq!(Key::Ready(name, 5).bytes(), [0, 0, 1, 2, 3, 9, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(Key::ready(&Key::Ready(name, 5).bytes()), Some((name, 5)));
        assert_eq!(Key::Due(Era(3), 1, 2).bytes(), [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(Key::due(&Key::Due(Era(3), 7, 9).bytes()), Some((Era(3), 7, 9)));
        assert_eq!(Key::Segment(258).bytes(), [0, 0, 0, 0, 0, 0, 1, 2]);
        for key in [Key::Orphan(1, 2), Key::Outbox(1, 2), Key::Handset(1, 2), Key::Joining(1, 2)] {
            assert_eq!(key.bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
            assert_eq!(Key::place(&key.bytes()), Some((1, 2)));
        }
        assert_eq!(Key::place(&Key::Due(Era(3), 1, 2).bytes()), None);
        assert_eq!(Key::Checkpoint.bytes(), b"checkpoint");
        assert_eq!(Key::Control.bytes(), b"control");
        assert_eq!(Key::Restored.bytes(), b"restored");
        assert_eq!(Key::Waiting.bytes(), b"waiting");
        let list = Key::List(ListNumber(258));
        assert_eq!(list.bytes(), b"list\0\0\0\x01\x02");
        assert_eq!(Key::list(&list.bytes()), Some(ListNumber(258)));
        assert_eq!([&b"list\0\0\0\x01"[..], b"waiting"].map(Key::list), [None; 2]);
        let set = Key::Set(SetNumber(258));
        assert_eq!((set.bytes().as_slice(), Key::set(&set.bytes())), (&b"set\0\0\0\x01\x02"[..], Some(SetNumber(258))));
        let (first, end) = Key::set_bounds();
        assert!(Key::Set(SetNumber(0)).bytes() >= first && Key::Set(SetNumber(u32::MAX)).bytes() < end);
        let (first, end) = Key::list_bounds();
        assert!(Key::List(ListNumber(0)).bytes() >= first && Key::List(ListNumber(u32::MAX)).bytes() < end);
    }

    #[test]
    fn numbers_sort_as_bytes() {
        assert!(Key::Turn(255).bytes() < Key::Turn(256).bytes());
        assert!(Key::Due(Era(0), 1, 999).bytes() < Key::Due(Era(0), 2, 0).bytes());
        assert!(Key::Due(Era(0), u64::MAX, 0).bytes() < Key::Due(Era(1), 0, 0).bytes());
        let ready = |list, generation, kind, commit| {
            Key::Ready(FifoName { list: ListNumber(list), generation: Generation(generation), kind }, commit).bytes()
        };
        assert!(ready(255, 9, ListKind::Fresh, u64::MAX) < ready(256, 0, ListKind::Returned(0), 0));
        assert!(ready(1, 0, ListKind::Fresh, 256) < ready(1, 1, ListKind::Returned(0), 255));
    }
}
