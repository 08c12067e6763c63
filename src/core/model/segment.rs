//! A segment in memory: messages admitted together, immutable afterwards. Shared by reference between the queue, the
//! storage thread that encodes it and the links that send from it.

use std::sync::Arc;

use super::ids::Address;
use super::message::Head;

/// A segment: messages in the order of admission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its number in its shard, never used twice.
    pub number: u64,
    /// The fixed parts of the messages, by slot.
    pub heads: Vec<Head>,
    /// The encoded contents of the messages.
    pub arena: Arc<Vec<u8>>,
    /// The slots that `heads` and `arena` hold, ascending; empty: all slots.
    pub slots: Vec<u16>,
}

impl Segment {
    /// The message in that slot.
    pub fn head(&self, slot: u16) -> Option<&Head> {
        let at = if self.slots.is_empty() { Some(usize::from(slot)) } else { self.slots.binary_search(&slot).ok() };
        self.heads.get(at?)
    }

    /// The encoded content of that message; empty if the head points outside the arena, which the store's checksum
    /// rules out.
    pub fn content(&self, head: &Head) -> &[u8] {
        let at = head.content_at as usize;
        self.arena.get(at..at + head.content_len as usize).unwrap_or_default()
    }

    /// The address of that slot.
    pub const fn address(&self, slot: u16) -> Address {
        Address::new(self.number, slot)
    }

    /// Bytes of memory that it takes, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.heads.len() * size_of::<Head>() + self.arena.len()
    }

    /// Bytes of memory that a copy with only these slots would take.
    pub fn bytes_of(&self, slots: impl Iterator<Item = u16>) -> usize {
        slots.filter_map(|slot| self.head(slot)).map(|head| size_of::<Head>() + head.content_len as usize).sum()
    }

    /// A copy with only these slots, so that a few waiting messages do not keep all the others in memory.
    pub fn cut(&self, slots: impl Iterator<Item = u16>) -> Self {
        let mut wanted: Vec<u16> = slots.filter(|slot| self.head(*slot).is_some()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut heads = Vec::with_capacity(wanted.len());
        let mut arena = Vec::with_capacity(self.bytes_of(wanted.iter().copied()));
        for head in wanted.iter().filter_map(|slot| self.head(*slot)) {
            let content_at = arena.len() as u32;
            arena.extend_from_slice(self.content(head));
            heads.push(Head { content_at, content_len: arena.len() as u32 - content_at, ..*head });
        }
        arena.shrink_to_fit();
        Self { number: self.number, heads, arena: Arc::new(arena), slots: wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_holds_the_wanted_messages_and_nothing_else() {
        let arena: Vec<u8> = (0..=255).collect();
        let head = |at: u32| Head { content_at: at * 10, content_len: 10, ..Head::default() };
        let whole =
            Segment { number: 7, heads: (0..25).map(head).collect(), arena: Arc::new(arena), slots: Vec::new() };
        let cut = whole.cut([20, 3, 99, 3].into_iter());
        assert_eq!((cut.number, &cut.slots[..], cut.arena.len()), (7, &[3, 20][..], 20));
        for slot in [3, 20] {
            let (of_cut, of_whole) = (cut.head(slot).expect("kept"), whole.head(slot).expect("there"));
            assert_eq!(cut.content(of_cut), whole.content(of_whole));
        }
        assert_eq!((cut.head(4), cut.head(99)), (None, None));
        assert_eq!(cut.memory_bytes(), whole.bytes_of([3, 20].into_iter()));
    }
}
