//! Every key of a shard's store: the whole key space in one place. All numbers big endian, so that bytes sort as numbers.
//!
//! To change a key or a record: give the record a new version octet, keep reading the old one, add golden bytes of the
//! new one to its test, raise the format version of the directory if an older daemon must not open it, and write it down
//! in `docs/STORAGE.md`.

use crate::model::{Class, Lane, RouteId};
use crate::queue::{FifoKind, FifoName};

use super::backend::Space;

/// A key with its space.
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
    /// `due`: what a commit put off to a tick. Lives until the head is past it.
    Due(u64, u64),
    /// `win`: receipts that a commit began to wait for. Lives until the epoch is sealed.
    Receipts(u64),
    /// `dup`: fingerprints that a commit recorded. Lives for the dedup window.
    Keys(u64),
    /// `orphan`: a receipt that nobody could use, by commit and place in it. Lives for 72 h.
    Orphan(u64, u32),
    /// `outbox`: a notice or a message from a handset, by commit and place in it. Lives for retention.
    Outbox(u64, u32),
    /// `meta`: the checkpoint.
    Checkpoint,
    /// `meta`: the control shard's book of names.
    Names,
    /// `meta`: that the shard was restored from a backup. Lives for ever.
    Restored,
    /// `meta`: how many messages of each tenant wait. Overwritten by the next.
    Waiting,
}

impl Key {
    /// Where it lives.
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
            Self::Checkpoint | Self::Names | Self::Restored | Self::Waiting => Space::Meta,
        }
    }

    /// Its bytes.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Self::Segment(number) | Self::State(number) => number.to_be_bytes().to_vec(),
            Self::Turn(commit) | Self::Receipts(commit) | Self::Keys(commit) => commit.to_be_bytes().to_vec(),
            Self::Ready(name, commit) => {
                let mut key = vec![name.lane.class as u8];
                key.extend_from_slice(&name.lane.route.0.to_be_bytes());
                key.push(name.kind.code());
                key.extend_from_slice(&commit.to_be_bytes());
                key
            }
            Self::Due(tick, commit) => [tick.to_be_bytes(), commit.to_be_bytes()].concat(),
            Self::Orphan(commit, index) | Self::Outbox(commit, index) => {
                [&commit.to_be_bytes()[..], &index.to_be_bytes()[..]].concat()
            }
            Self::Checkpoint => b"checkpoint".to_vec(),
            Self::Names => b"names".to_vec(),
            Self::Restored => b"restored".to_vec(),
            Self::Waiting => b"waiting".to_vec(),
        }
    }

    /// The number that a key of one number holds, or the first of several.
    pub fn number(bytes: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
    }

    /// Reads a `ready` key back.
    pub fn ready(bytes: &[u8]) -> Option<(FifoName, u64)> {
        let (&class, rest) = bytes.split_first()?;
        let (route, rest) = rest.split_first_chunk::<2>()?;
        let (&kind, commit) = rest.split_first()?;
        let kind = FifoKind::from_code(kind)?;
        let lane = Lane { class: Class::from_index(class)?, route: RouteId(u16::from_be_bytes(*route)) };
        Some((FifoName { lane, kind }, Self::number(commit)?))
    }

    /// Reads a `due` key back: tick and commit.
    pub fn due(bytes: &[u8]) -> Option<(u64, u64)> {
        Some((Self::number(bytes)?, Self::number(bytes.get(8..)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let lane = Lane { class: Class::Marketing, route: RouteId(0x0102) };
        let name = FifoName { lane, kind: FifoKind::Fresh };
        assert_eq!(Key::Ready(name, 5).bytes(), [3, 1, 2, 9, 0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(Key::ready(&Key::Ready(name, 5).bytes()), Some((name, 5)));
        assert_eq!(Key::Due(1, 2).bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(Key::due(&Key::Due(7, 9).bytes()), Some((7, 9)));
        assert_eq!(Key::Segment(258).bytes(), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(Key::Checkpoint.bytes(), b"checkpoint");
        assert_eq!(Key::Restored.bytes(), b"restored");
        assert_eq!(Key::Waiting.bytes(), b"waiting");
    }

    #[test]
    fn numbers_sort_as_bytes() {
        assert!(Key::Turn(255).bytes() < Key::Turn(256).bytes());
        assert!(Key::Due(1, 999).bytes() < Key::Due(2, 0).bytes());
    }
}
