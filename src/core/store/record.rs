//! Every value but segments: the records that a shard writes, and their bytes: a version byte, then bincode with fixed-size
//! integers. They mirror the rooms' own types with plain integers, so that such a type can change without the disk format.

use std::fmt;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{Decode, Encode};

use crate::delivery::{Happened, Lost};
use crate::model::{Agreement, CarrierError, Numbers, Tail};

pub use super::record_event::{EventNote, StatedEvent};
pub use super::record_handset::{HandsetRecord, JoiningRecord, PartRecord};
pub use super::record_list::{DueCode, DueRecord, FifoCode, FifoNote, ListRecord, ReadyRecord, TakenNote};
pub use super::record_set::{CounterCode, SetRecord, UsesNote};

/// Larger than any record: a length above this is refused before memory is reserved for it.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// bincode's settings for all records: little endian, fixed-size integers.
pub const BINCODE: Configuration<LittleEndian, Fixint, Limit<RECORD_BYTES_MAX>> =
    bincode::config::standard().with_fixed_int_encoding().with_limit();

/// A value that is stored with a version byte before it.
pub trait Record: Encode + Decode<()> {
    /// The version that is written today.
    const VERSION: u8 = 1;

    /// Reads what an older version wrote, given without its version byte.
    ///
    /// # Errors
    /// [`DecodeError`]: no such version was ever written, or the bytes are damaged.
    fn decode_older(version: u8, _bytes: &[u8]) -> Result<Self, DecodeError> {
        Err(DecodeError::version(version))
    }
}

/// The bytes are not a record of this kind: damage, or another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(pub String);

impl DecodeError {
    pub(super) fn version(version: u8) -> Self {
        Self(format!("version {version}"))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "unreadable record: {}", self.0)
    }
}

impl std::error::Error for DecodeError {}

/// The bytes of a record.
pub fn encode<R: Record>(record: &R) -> Vec<u8> {
    let mut out = vec![R::VERSION];
    let written = bincode::encode_into_std_write(record, &mut out, BINCODE);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    out
}

/// Reads a record back.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, DecodeError> {
    let (&version, rest) = bytes.split_first().ok_or_else(|| DecodeError("empty".into()))?;
    if version == R::VERSION { decode_body(rest) } else { R::decode_older(version, rest) }
}

pub(super) fn decode_body<R: Decode<()>>(bytes: &[u8]) -> Result<R, DecodeError> {
    let (record, used) = bincode::decode_from_slice(bytes, BINCODE).map_err(|error| DecodeError(error.to_string()))?;
    if used != bytes.len() {
        return Err(DecodeError(format!("{} bytes too many", bytes.len() - used)));
    }
    Ok(record)
}

impl Record for TurnRecord {
    const VERSION: u8 = 6;
}

impl Record for CheckpointRecord {
    const VERSION: u8 = 6;
}

impl Record for ReceiptNote {
    const VERSION: u8 = 2;
}
impl Record for RestoredRecord {}
impl Record for WaitingRecord {}
#[cfg(test)]
impl Record for DoubtNote {}

impl Record for NoticeRecord {}
impl Record for InboundRecord {
    const VERSION: u8 = 4;
}
impl Record for StateRecord {
    const VERSION: u8 = 3;
}

/// `ev`: everything that one turn decided. Replaying the records since the checkpoint restores the shard's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TurnRecord {
    /// Wall clock of the turn, ms; the time of all its events.
    pub wall: u64,
    /// Segments that the turn wrote.
    pub segments: Vec<SegmentNote>,
    /// Attempts that the turn recorded.
    pub attempts: Vec<AttemptNote>,
    /// All other events.
    pub events: Vec<EventNote>,
    /// Messages that became ready, by fifo.
    pub appended: Vec<(FifoCode, u32)>,
    /// Fifos whose heads moved: the new head, and how many messages were taken.
    pub taken: Vec<TakenNote>,
    /// Entries that were put off, by era.
    pub put_off: Vec<PutOffNote>,
    /// Eras of the delay queue whose heads moved: the new head.
    pub due_taken: Vec<DueTakenNote>,
    /// Next free part reference after the turn.
    pub next_reference: u16,
    /// Changes of the alarms of expiry.
    pub alarms: AlarmsNote,
    /// Entries in lists whose messages ended there (positive), or that were passed over (negative): list, generation,
    /// how many. The generation is the one that was present then or, for restored messages, the one before it.
    pub ended: Vec<(u32, u8, i32)>,
    /// The latest expiry among the messages that expired here, ms; 0 if none did.
    pub expired_to: u64,
    /// Messages from handsets in the batch: how many, and their bytes.
    pub handsets: (u32, u64),
}

/// What one turn put off, in one era.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PutOffNote {
    /// The era of the clock.
    pub era: u32,
    /// Entries put into it.
    pub entries: u32,
    /// How many of these are alarms of expiry.
    pub alarms: u32,
}

/// What one turn took from one era of the delay queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DueTakenNote {
    /// The era of the clock.
    pub era: u32,
    /// New head: tick.
    pub tick: u64,
    /// New head: commit.
    pub commit: u64,
    /// New head: index.
    pub index: u32,
    /// Entries taken.
    pub entries: u32,
    /// How many of these are alarms of expiry.
    pub alarms: u32,
}

/// How alarms of expiry moved between the delay queue and memory in one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AlarmsNote {
    /// Alarms taken from the delay queue that are in memory from then on: packed address of the segment's last message,
    /// and class.
    pub kept: Vec<(u64, u8)>,
    /// Segments that no longer have an alarm in memory.
    pub done: Vec<u64>,
}

/// A new segment, as its turn records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SegmentNote {
    /// Its number.
    pub number: u64,
    /// Messages in it.
    pub messages: u32,
    /// The earliest expiry in it, ms.
    pub expires_at: u64,
    /// The most urgent class in it.
    pub class: u8,
}

/// An attempt, as recorded before its bytes are sent, and as a checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AttemptNote {
    /// Packed address.
    pub address: u64,
    /// Recipient.
    pub recipient: u64,
    /// Tenant number.
    pub tenant: u32,
    /// Carrier number.
    pub carrier: u16,
    /// The reference that its parts share.
    pub reference: u16,
    /// Route of its lane.
    pub route: u16,
    /// Class of its lane.
    pub class: u8,
    /// Number of the attempt, from 1.
    pub attempt: u8,
    /// Number of parts, as counted at ingest.
    pub parts: u8,
    /// Set of counters of its lane.
    pub set: u32,
}

/// `win`: receipts that are waited for since this commit, and receipts that came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReceiptsRecord {
    /// One for each part that a carrier took.
    pub entries: Vec<ReceiptNote>,
    /// Keys (see [`ReceiptNote::key`]) whose final receipt came, with the recipients of their parts. To be applied
    /// after all of `entries`.
    pub answered: Vec<(u64, u64)>,
    /// Parts about which their carriers will be asked: some are new in `entries`, others are recorded again.
    pub asked: Vec<AskedNote>,
}

impl Record for ReceiptsRecord {
    const VERSION: u8 = 4;
}

impl ReceiptsRecord {
    /// Whether the record is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.answered.is_empty() && self.asked.is_empty()
    }
}

/// A part about which its carrier will be asked: everything that a query needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AskedNote {
    /// Its key, as in [`ReceiptNote::key`].
    pub key: u64,
    /// Its recipient.
    pub recipient: u64,
    /// The carrier that took it.
    pub carrier: u16,
    /// When it was sent, seconds since 1970.
    pub sent: u32,
    /// Until when its state is of interest, seconds since 1970.
    pub until: u32,
    /// The message id that the carrier gave it.
    pub id: Vec<u8>,
    /// The sender; empty: the carrier's default, or it is no longer known.
    pub sender: Vec<u8>,
}

/// A part that waits for its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReceiptNote {
    /// Hash of carrier group and canonical message id.
    pub key: u64,
    /// Packed address.
    pub address: u64,
    /// Recipient, to tell parts with the same id apart.
    pub recipient: u64,
    /// Until when its message waits for the receipt, seconds since 1970: a later receipt counts as late.
    pub until: u32,
    /// The last digits of its sender's number, as in [`Tail`].
    pub sender: u32,
    /// Carrier group.
    pub group: u16,
    /// The reference that the parts of its attempt share.
    pub reference: u16,
    /// Number of the part.
    pub part: u8,
    /// How many parts the message has.
    pub parts: u8,
}

impl ReceiptNote {
    /// What a receipt's numbers say about the part. `is_number_ignored`: numbers that contradict it count as saying
    /// nothing.
    pub fn agreement(&self, numbers: Numbers, is_number_ignored: bool) -> Agreement {
        match numbers.agreement(Tail::of(self.recipient), Tail::from_index(self.sender)) {
            Agreement::Contradicts if is_number_ignored => Agreement::SaysNothing,
            known => known,
        }
    }
}

#[cfg(test)]
impl ReceiptNote {
    /// The note of a message with one part, whose receipt is waited for without a time limit.
    pub const fn of_one_part(key: u64, recipient: u64, address: u64) -> Self {
        Self {
            key,
            address,
            recipient,
            until: u32::MAX,
            sender: Tail::NONE.index(),
            group: 0,
            reference: 0,
            part: 1,
            parts: 1,
        }
    }
}

/// `dup`: fingerprints, in the order in which they were claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct KeysRecord {
    /// How far the wall clock was ahead of the clock for ages (ms), and from which of `keys` on: one pair, and one more
    /// for each jump.
    pub ahead_ms: Vec<(u32, i64)>,
    /// Key, content, packed address, when it was claimed (ms), tenant.
    pub keys: Vec<(u128, u64, u64, u64, u32)>,
}

impl Record for KeysRecord {
    const VERSION: u8 = 3;
}

/// `outbox`: a notice to the client that a message was given up although it may have arrived. It is written whether or
/// not the client asked for notices. Nothing sends these notices yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NoticeRecord {
    /// When it was given up, ms.
    pub wall: u64,
    /// Packed address.
    pub address: u64,
    /// Tenant number.
    pub tenant: u32,
    /// Recipient.
    pub recipient: u64,
    /// Class.
    pub class: u8,
    /// Carrier of the last attempt.
    pub carrier: u16,
    /// Number of that attempt.
    pub attempt: u8,
    /// The event that ended it, as in `ev`.
    pub end: Happened,
    /// How the attempt was lost.
    pub lost: Lost,
}

/// `orphan`: a receipt whose message is not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct InboundRecord {
    /// When it came in, ms.
    pub wall: u64,
    /// Carrier group.
    pub group: u16,
    /// Address that it came from, as a number; 0 if it is not one.
    pub from: u64,
    /// Message id, as the carrier wrote it.
    pub id: Vec<u8>,
    /// Number of its state.
    pub state: u8,
    /// The error in it.
    pub error: CarrierError,
    /// The reference of our part, if the receipt returns it.
    pub reference: Option<u16>,
    /// The beginning of its text.
    pub text: Vec<u8>,
    /// The carrier that it came from.
    pub carrier: u16,
    /// The last digits of its two numbers, as in [`Tail`]: source, destination.
    pub tails: (u32, u32),
    /// It could be about any of several parts.
    pub is_ambiguous: bool,
    /// Only the form of its text shows that it is a receipt.
    pub is_untyped: bool,
}

/// `st`: the folded events of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct StateRecord {
    /// Messages in the segment.
    pub messages: u32,
    /// How many of them are settled.
    pub settled: u32,
    /// The last commit whose events are included.
    pub folded_to: u64,
    /// The time of the newest event, or the segment's own time, ms.
    pub newest: u64,
    /// Sorted by slot, then by commit.
    pub events: Vec<StatedEvent>,
}

/// `meta`: the state of the shard after a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CheckpointRecord {
    /// That commit; every event up to it is folded.
    pub commit: u64,
    /// Next free segment number.
    pub next_segment: u64,
    /// First segment that retention has not dropped.
    pub first_segment: u64,
    /// Fifos: name, head, newest commit, messages waiting. If a fifo is not listed, every record of it up to `commit`
    /// was taken.
    pub fifos: Vec<FifoNote>,
    /// The delay queue's eras, ascending. If an era is not listed, everything in it was taken.
    pub due: Vec<DueNote>,
    /// How many pages its `book` has.
    pub pages: u32,
    /// First commit whose `win` record still counts.
    pub receipts_from: u64,
    /// First commit whose `dup` record still counts.
    pub keys_from: u64,
    /// How far the wall clock is ahead of the clock for ages, ms: the sum of its jumps.
    pub ahead_ms: i64,
    /// Next free part reference.
    pub next_reference: u16,
    /// Next free run number.
    pub next_run: u64,
    /// First commit whose `outbox` records are within retention.
    pub outbox_from: u64,
    /// Ascending: a commit, and a time (ms) that no record of `outbox` up to that commit is newer than.
    pub outbox_marks: Vec<(u64, u64)>,
    /// First commit whose `handset` records are within retention.
    pub handsets_from: u64,
    /// As `outbox_marks`, for `handset`.
    pub handset_marks: Vec<(u64, u64)>,
    /// Messages from handsets that are kept, between two marks: last commit, how many, their bytes. Ascending.
    pub handset_counts: Vec<(u64, u64, u64)>,
    /// Entries in lists whose messages have ended: as in [`TurnRecord::ended`].
    pub ended: Vec<(u32, u8, i64)>,
    /// What has ended by its expiry: the expiry up to which (ms), in segments below which number. Several pairs if the
    /// clock went back.
    pub ended_to: Vec<(u64, u64)>,
}

/// An era of the delay queue, as a checkpoint holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DueNote {
    /// The era.
    pub era: u32,
    /// Head: tick.
    pub tick: u64,
    /// Head: commit.
    pub commit: u64,
    /// Head: index.
    pub index: u32,
    /// Entries waiting.
    pub waiting: u64,
    /// How many of these are alarms of expiry.
    pub alarms: u64,
}

/// An alarm of expiry, as `book` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AlarmNote {
    /// The segment.
    pub segment: u64,
    /// When it is due, ms.
    pub at: u64,
    /// Messages in the segment.
    pub messages: u32,
    /// The most urgent class among the unsent messages.
    pub class: u8,
}

/// Bytes of one [`DueNote`] on disk.
pub const DUE_BYTES: usize = 40;
/// Bytes of a checkpoint whose lists are all empty.
pub const CHECKPOINT_BYTES: usize = 135;
/// Bytes of one fifo.
pub const FIFO_BYTES: usize = 34;
/// Bytes of one mark.
pub const MARK_BYTES: usize = 16;
/// Bytes of one entry of `handset_counts`.
pub const COUNT_BYTES: usize = 24;
/// Bytes of one entry of `ended`.
pub const ENDED_BYTES: usize = 13;
/// Bytes of one entry of `ended_to`.
pub const ENDED_TO_BYTES: usize = 16;
/// Bytes of one [`ProgressNote`] without its parts.
pub const PROGRESS_BYTES: usize = 46;

impl CheckpointRecord {
    /// How many bytes it takes on disk.
    pub fn bytes(&self) -> usize {
        CHECKPOINT_BYTES
            + self.fifos.len() * FIFO_BYTES
            + self.due.len() * DUE_BYTES
            + (self.outbox_marks.len() + self.handset_marks.len()) * MARK_BYTES
            + self.handset_counts.len() * COUNT_BYTES
            + self.ended.len() * ENDED_BYTES
            + self.ended_to.len() * ENDED_TO_BYTES
    }
}

/// A message in doubt, as `book` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DoubtNote {
    /// The attempt without an outcome.
    pub attempt: AttemptNote,
    /// When the attempt was recorded, ms.
    pub sent_at: u64,
    /// When it became in doubt, ms.
    pub since: u64,
    /// How the attempt was lost.
    pub lost: Lost,
    /// When its policy sends it again or gives it up, ms.
    pub decided_at: u64,
    /// The operator has stated that the carrier has it.
    pub vouched: bool,
    /// How often its message was in doubt because of what a carrier did, this time included.
    pub doubts: u8,
}

/// The progress of a message of several parts, as `book` holds it. Sets of parts are lists of part numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ProgressNote {
    /// Packed address.
    pub address: u64,
    /// Carrier number.
    pub carrier: u16,
    /// The reference that the parts share.
    pub reference: u16,
    /// How many parts it has.
    pub parts: u8,
    /// The message is final.
    pub closed: bool,
    /// When this progress began, ms.
    pub since: u64,
    /// Parts that the carrier took.
    pub accepted: Vec<u8>,
    /// Parts that were reported delivered.
    pub delivered: Vec<u8>,
    /// Parts that have a final receipt.
    pub settled: Vec<u8>,
}

impl ProgressNote {
    /// How many bytes it takes on disk.
    pub fn bytes(&self) -> usize {
        PROGRESS_BYTES + self.accepted.len() + self.delivered.len() + self.settled.len()
    }
}

/// `meta`: how many messages of each tenant wait in this shard, by tenant; messages without a tenant are left out.
/// Overwritten by each commit that changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WaitingRecord(pub Vec<(u32, u64)>);

/// `meta`: the shard was restored from a backup, and what happens to messages that were unsent in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RestoredRecord {
    /// How many restores the shard has behind it, including this one.
    pub generation: u8,
    /// The last commit in the backup.
    pub commit: u64,
    /// When the backup was begun, ms: everything acknowledged before that is in it.
    pub mark: u64,
    /// When it was restored, ms.
    pub at: u64,
    /// Segments from this number on were written by this shard; those below it come from the backup.
    pub below: u64,
    /// What happens to messages that were unsent in the backup, by class: 0 held, 1 sent, 2 given up.
    pub unsent: [u8; 4],
    /// Ranges of segment numbers that were never used, from every restore: the first unused number, and the first that
    /// is used again.
    pub gaps: Vec<(u64, u64)>,
}

#[cfg(test)]
mod tests {
    use crate::delivery::Resolution;
    use crate::model::DeadLetterReason;
    use crate::store::record_event::tests::LOST;

    use super::*;

    fn hex(bytes: Vec<u8>) -> String {
        data_encoding::HEXLOWER.encode(&bytes)
    }

    #[test]
    fn golden_bytes_of_what_waits() {
        let due = DueRecord(vec![(1, 2, 3, 5, 6, 4)]);
        assert_eq!(hex(encode(&due)), "0301000000000000000100000000000000".to_owned() + "020300050000000600000004");
        let waiting = WaitingRecord(vec![(3, 4)]);
        assert_eq!(hex(encode(&waiting)), "010100000000000000030000000400000000000000");
    }

    fn unhex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hex")
    }

    #[test]
    fn golden_bytes_of_keys() {
        let keys = KeysRecord { ahead_ms: vec![(1, -2)], keys: vec![(2, 3, 4, 5, 6)] };
        let ahead = "010000000000000001000000feffffffffffffff";
        let key = "0100000000000000020000000000000000000000000000000300000000000000040000000000000005000000000000\
                   0006000000";
        assert_eq!(hex(encode(&keys)), format!("03{ahead}{key}"));
        for other in ["02", "04"] {
            assert!(decode::<KeysRecord>(&unhex(&format!("{other}{ahead}{key}"))).is_err());
        }
    }

    #[test]
    fn golden_bytes_of_receipts() {
        let note = ReceiptNote {
            key: 1,
            address: 2,
            recipient: 3,
            until: 4,
            sender: 5,
            group: 6,
            reference: 7,
            part: 8,
            parts: 9,
        };
        let entries = "0100000000000000010000000000000002000000000000000300000000000000040000000500000006000700\
                       0809";
        let asked =
            AskedNote { key: 1, recipient: 2, carrier: 3, sent: 4, until: 5, id: vec![0x41], sender: vec![0x42] };
        let record = ReceiptsRecord { entries: vec![note], answered: vec![(11, 12)], asked: vec![asked] };
        let answered = "01000000000000000b000000000000000c00000000000000";
        let asked = "010000000000000001000000000000000200000000000000030004000000050000000100000000000000410100000000\
                     00000042";
        assert_eq!(hex(encode(&record)), format!("04{entries}{answered}{asked}"));
        assert_eq!(decode(&unhex(&format!("04{entries}{answered}{asked}"))), Ok(record));
        for other in ["03", "05"] {
            assert!(decode::<ReceiptsRecord>(&unhex(&format!("{other}{entries}{answered}{asked}"))).is_err());
        }
    }

    /// Found by fuzzing (`store_record`): memory was reserved for any length found in the bytes.
    #[test]
    fn a_length_beyond_reason_is_refused() {
        for length in [u64::MAX, 1 << 40] {
            let bytes = [&[1][..], &length.to_le_bytes()].concat();
            assert!(decode::<ReadyRecord>(&bytes).is_err());
            assert!(decode::<KeysRecord>(&bytes).is_err());
            assert!(decode::<DueRecord>(&bytes).is_err());
        }
    }

    #[test]
    fn golden_bytes_of_the_outbox() {
        let notice = NoticeRecord {
            wall: 1,
            address: 2,
            tenant: 3,
            recipient: 4,
            class: 5,
            carrier: 6,
            attempt: 7,
            end: Happened::Dead { reason: DeadLetterReason::InDoubtDropped, by: Some(Resolution::PolicyDrop) },
            lost: LOST,
        };
        let expected = "010100000000000000020000000000000003000000040000000000000005060007\
                        0311020509000000";
        assert_eq!(hex(encode(&notice)), expected);
    }

    #[test]
    fn golden_bytes_of_what_is_parked() {
        let inbound = InboundRecord {
            wall: 1,
            id: vec![0x41],
            state: 2,
            reference: Some(2),
            carrier: 3,
            tails: (4, 5),
            ..InboundRecord::default()
        };
        let expected = "0401000000000000000000000000000000000001000000000000004102\
                        0127010200000000000000000003000400000005000000\
                        0000";
        assert_eq!(hex(encode(&inbound)), expected);
    }

    #[test]
    fn a_checkpoint_knows_its_bytes() {
        let mut record = CheckpointRecord::default();
        assert_eq!(record.bytes(), encode(&record).len());
        record.fifos = vec![FifoNote { fifo: (1, 2, 3), commit: 4, index: 5, newest: 6, waiting: 7 }; 4];
        record.outbox_marks = vec![(1, 2); 9];
        (record.handset_marks, record.handset_counts) = (vec![(1, 2); 13], vec![(1, 2, 3); 14]);
        (record.ended, record.ended_to) = (vec![(1, 2, 3); 11], vec![(1, 2); 12]);
        assert_eq!(record.bytes(), encode(&record).len());
    }

    #[test]
    fn refuses_other_versions_and_left_overs() {
        let bytes = encode(&ReadyRecord::default());
        assert_eq!(decode::<ReadyRecord>(&bytes), Ok(ReadyRecord::default()));
        assert!(decode::<ReadyRecord>(&[&bytes[..], &[0]].concat()).is_err());
        let mut other = bytes;
        other[0] = 2;
        assert!(decode::<ReadyRecord>(&other).is_err());
        assert!(decode::<ReadyRecord>(&[]).is_err());
    }
}
