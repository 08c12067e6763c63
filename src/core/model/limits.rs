//! Every limit that is not configuration, in one place, with how they relate.

/// Messages in one segment at most: a lookup decompresses one.
pub const SEGMENT_MESSAGES_MAX: usize = 1_000;
/// Bytes of encoded content in one segment at most, unless one message alone is larger.
pub const SEGMENT_BYTES_MAX: usize = 1 << 20;
/// Messages that one turn admits into one batch at most, small requests on top of it left out: bounds the length of a commit.
pub const TURN_MESSAGES_MAX: usize = 32_000;
/// Bytes of encoded content that one turn admits into one batch at most.
pub const TURN_BYTES_MAX: usize = 16 << 20;
/// Bytes of a text body at most (255 parts of 153 septets, as UTF-8).
pub const BODY_BYTES_MAX: usize = 255 * 153;
/// Parts of one message at most (the concatenation header has one byte for it).
pub const PARTS_MAX: u8 = 255;
/// Bytes of a client's reference, of a key, of all tags together.
pub const REFERENCE_BYTES_MAX: usize = 256;
/// Bytes of an idempotency key.
pub const KEY_BYTES_MAX: usize = 255;
/// Bytes of a carrier's message id that are kept (SMPP 3.4 allows 64; some send more).
pub const CARRIER_ID_BYTES_MAX: usize = 128;
/// Bytes of a receipt's text that are kept while nobody knows its message: for people, nothing is matched by them.
pub const RECEIPT_TEXT_MAX: usize = 160;
/// Parts of a message from a handset that are joined at most: what calls itself part of a longer one is taken as whole. Senders
/// stop far below.
pub const HANDSET_PARTS_MAX: u8 = 64;
/// Bytes of an address that are kept as a carrier wrote it (SMPP 3.4 allows 20 in `deliver_sm`).
pub const ADDRESS_BYTES_MAX: usize = 20;
/// State deltas since the last fold, at most, before the next one is due.
pub const FOLD_DELTAS: usize = 256 * 1024;
/// Attempts that a shard may have open at all links together before it begins no more of bulk; urgent ones come on top,
/// bounded by their links' free slots.
pub const OPEN_ATTEMPTS_MAX: usize = 65_536;

const _: () = assert!(SEGMENT_MESSAGES_MAX <= u16::MAX as usize + 1);
const _: () = assert!(TURN_MESSAGES_MAX >= SEGMENT_MESSAGES_MAX);
const _: () = assert!(TURN_BYTES_MAX >= SEGMENT_BYTES_MAX);
const _: () = assert!(OPEN_ATTEMPTS_MAX < FOLD_DELTAS);
