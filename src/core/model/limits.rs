//! Every limit that is not configuration, in one place, and how the limits relate.

/// Most messages in one segment: a lookup decompresses a whole segment.
pub const SEGMENT_MESSAGES_MAX: usize = 1_000;
/// Most bytes of encoded content in one segment, unless one message alone is larger.
pub const SEGMENT_BYTES_MAX: usize = 1 << 20;
/// Most messages that one turn admits into one batch, not counting small requests added on top: bounds the length of a
/// commit.
pub const TURN_MESSAGES_MAX: usize = 32_000;
/// Most bytes of encoded content that one turn admits into one batch.
pub const TURN_BYTES_MAX: usize = 16 << 20;
/// Longest text body, bytes (255 parts of 153 septets, as UTF-8).
pub const BODY_BYTES_MAX: usize = 255 * 153;
/// Most parts of one message (the concatenation header has one byte for the number).
pub const PARTS_MAX: u8 = 255;
/// Longest client reference, and longest list of tags, bytes.
pub const REFERENCE_BYTES_MAX: usize = 256;
/// Longest idempotency key, bytes.
pub const KEY_BYTES_MAX: usize = 255;
/// Bytes of a carrier's message id that are kept (SMPP 3.4 allows 64; some carriers send more).
pub const CARRIER_ID_BYTES_MAX: usize = 128;
/// Bytes of a receipt's text that are kept while its message is not known: for people to read, nothing is matched by
/// them.
pub const RECEIPT_TEXT_MAX: usize = 160;
/// Most parts of a message from a handset that are joined: a part that claims to belong to a longer message is taken as
/// a whole message. Real senders stay far below.
pub const HANDSET_PARTS_MAX: u8 = 64;
/// Bytes kept of an address as a carrier wrote it (SMPP 3.4 allows 20 in `deliver_sm`).
pub const ADDRESS_BYTES_MAX: usize = 20;
/// State deltas since the last fold after which the next fold is due.
pub const FOLD_DELTAS: usize = 256 * 1024;
/// Attempts that a shard may have open on all links together before it starts no more of bulk; urgent messages may
/// exceed it, limited by their links' free slots.
pub const OPEN_ATTEMPTS_MAX: usize = 65_536;

const _: () = assert!(SEGMENT_MESSAGES_MAX <= u16::MAX as usize + 1);
const _: () = assert!(TURN_MESSAGES_MAX >= SEGMENT_MESSAGES_MAX);
const _: () = assert!(TURN_BYTES_MAX >= SEGMENT_BYTES_MAX);
const _: () = assert!(OPEN_ATTEMPTS_MAX < FOLD_DELTAS);
