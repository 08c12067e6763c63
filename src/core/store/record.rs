//! Every value but segments: what a shard writes, and its bytes. A version byte, then bincode with fixed-size integers.
//! Structures here mirror the rooms' own types with plain integers, so that a type can change without the disk noticing.

use std::fmt;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{Decode, Encode};

use crate::delivery::{Happened, Lost};
use crate::model::{Agreement, CarrierError, Numbers, Tail};

pub use super::record_event::{EventNote, StatedEvent};
pub use super::record_handset::{HandsetRecord, JoiningRecord, PartRecord};
pub use super::record_list::{FifoCode, FifoNote, ListRecord, ReadyRecord, TakenNote};

/// More than any record holds: a length that says more is refused before memory is reserved for it.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// bincode's settings for all records: little endian, fixed-size integers.
pub const BINCODE: Configuration<LittleEndian, Fixint, Limit<RECORD_BYTES_MAX>> =
    bincode::config::standard().with_fixed_int_encoding().with_limit();

/// A value with a version byte before it.
pub trait Record: Encode + Decode<()> {
    /// What is written today.
    const VERSION: u8 = 1;

    /// Reads what an older version wrote, without its byte.
    ///
    /// # Errors
    /// [`DecodeError`]: no such version was ever written, or damage.
    fn decode_older(version: u8, _octets: &[u8]) -> Result<Self, DecodeError> {
        Err(DecodeError::version(version))
    }
}

/// Bytes that are no record of this kind: damage, or another version.
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

pub(super) fn decode_body<R: Decode<()>>(octets: &[u8]) -> Result<R, DecodeError> {
    let (record, used) = bincode::decode_from_slice(octets, BINCODE).map_err(|error| DecodeError(error.to_string()))?;
    if used != octets.len() {
        return Err(DecodeError(format!("{} octets too many", octets.len() - used)));
    }
    Ok(record)
}

impl Record for DueRecord {
    const VERSION: u8 = 2;
}

impl Record for TurnRecord {
    const VERSION: u8 = 5;
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

/// `ev`: all that one turn decided. Replaying the records since the checkpoint gives the shard back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct TurnRecord {
    /// Wall clock of the turn, ms; the time of all its events.
    pub wall: u64,
    /// Segments that it wrote.
    pub segments: Vec<SegmentNote>,
    /// Attempts that it recorded.
    pub attempts: Vec<AttemptNote>,
    /// Everything else that happened.
    pub events: Vec<EventNote>,
    /// Messages that became ready, by fifo.
    pub appended: Vec<(FifoCode, u32)>,
    /// Fifos whose head moved: new head and how many messages were taken.
    pub taken: Vec<TakenNote>,
    /// Entries put off, by era.
    pub put_off: Vec<PutOffNote>,
    /// New heads of the delay queue, by era, where they moved.
    pub due_taken: Vec<DueTakenNote>,
    /// Next free part reference.
    pub next_reference: u16,
    /// Alarms of expiry that moved.
    pub alarms: AlarmsNote,
    /// Entries of lists whose messages ended there (above zero), or that were passed over (below): list, the generation that
    /// was the present one then or, of what was restored, the one before, how many.
    pub ended: Vec<(u32, u8, i32)>,
    /// The latest expiry of a message that ended by it here, ms; 0 if none did.
    pub expired_to: u64,
    /// Messages from handsets that its batch holds, and their bytes.
    pub handsets: (u32, u64),
}

/// What one turn put off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PutOffNote {
    /// The era of the clock.
    pub era: u32,
    /// Entries put into it.
    pub entries: u32,
    /// How many of these are alarms of expiry.
    pub alarms: u32,
}

/// What one turn took from the delay queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DueTakenNote {
    /// The era of the clock.
    pub era: u32,
    /// Its head now.
    pub tick: u64,
    /// Its head now.
    pub commit: u64,
    /// Its head now.
    pub index: u32,
    /// Entries taken.
    pub entries: u32,
    /// How many of these are alarms of expiry.
    pub alarms: u32,
}

/// How alarms of expiry moved between the delay queue and memory in one turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AlarmsNote {
    /// Of those taken from the delay queue, what is in memory from then on: packed address of the segment's last message, class.
    pub kept: Vec<(u64, u8)>,
    /// Segments that memory holds no alarm of any more.
    pub done: Vec<u64>,
}

/// A segment as its turn records it.
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

/// An attempt as recorded before its bytes leave, and as a checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AttemptNote {
    /// Packed address.
    pub address: u64,
    /// Recipient.
    pub recipient: u64,
    /// Owner.
    pub tenant: u32,
    /// Carrier.
    pub carrier: u16,
    /// Part reference.
    pub reference: u16,
    /// Lane: route.
    pub route: u16,
    /// Lane: class.
    pub class: u8,
    /// Attempt number.
    pub attempt: u8,
    /// Parts, as counted at ingest.
    pub parts: u8,
}

/// `due`: packed address, class, route, tenant, reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DueRecord(pub Vec<(u64, u8, u16, u32, u8)>);

/// `win`: receipts that are waited for since this commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ReceiptsRecord {
    /// One for each part that the carrier took.
    pub entries: Vec<ReceiptNote>,
    /// Keys (see [`ReceiptNote::key`]) whose final receipt came, with the recipients of their parts. They hold after all of
    /// `entries`.
    pub answered: Vec<(u64, u64)>,
    /// Parts about which their carriers are asked: some of `entries`, and others that are said again.
    pub asked: Vec<AskedNote>,
}

impl Record for ReceiptsRecord {
    const VERSION: u8 = 4;
}

impl ReceiptsRecord {
    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.answered.is_empty() && self.asked.is_empty()
    }
}

/// A part about which its carrier is asked: what a question needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AskedNote {
    /// As of [`ReceiptNote::key`].
    pub key: u64,
    /// Its recipient.
    pub recipient: u64,
    /// The carrier that took it.
    pub carrier: u16,
    /// When, seconds.
    pub sent: u32,
    /// Until when anybody wants to know, seconds.
    pub until: u32,
    /// Its id, as the carrier gave it.
    pub id: Vec<u8>,
    /// From whom it was sent; empty: from the carrier's own, or it is not known any more.
    pub sender: Vec<u8>,
}

/// A part that waits for its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReceiptNote {
    /// Hash of carrier group and canonical message id.
    pub key: u64,
    /// Packed address.
    pub address: u64,
    /// Recipient, to tell parts of one id apart.
    pub recipient: u64,
    /// Until when its message waits for it, seconds: a receipt after that is late.
    pub until: u32,
    /// What its sender's number ends in, as of [`Tail`].
    pub sender: u32,
    /// Carrier group.
    pub group: u16,
    /// The reference that the parts of its attempt share.
    pub reference: u16,
    /// Part number.
    pub part: u8,
    /// Parts of the message.
    pub parts: u8,
}

impl ReceiptNote {
    /// What the numbers of a receipt say of it. `is_number_ignored`: they may not say that it is another's.
    pub fn agreement(&self, numbers: Numbers, is_number_ignored: bool) -> Agreement {
        match numbers.agreement(Tail::of(self.recipient), Tail::from_index(self.sender)) {
            Agreement::Contradicts if is_number_ignored => Agreement::SaysNothing,
            known => known,
        }
    }
}

#[cfg(test)]
impl ReceiptNote {
    /// A message of one part, whose receipt is waited for without an end.
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
    /// From which of them on the wall clock was how far ahead of the clock that tells ages, ms: one, and another for each jump.
    pub ahead_ms: Vec<(u32, i64)>,
    /// Key, content, packed address, when (ms), tenant.
    pub keys: Vec<(u128, u64, u64, u64, u32)>,
}

impl Record for KeysRecord {
    const VERSION: u8 = 3;
}

/// `outbox`: a notice that is due whether or not somebody asked for notices, and that nobody sends yet: a message was given up
/// that may have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NoticeRecord {
    /// When, ms.
    pub wall: u64,
    /// Packed address.
    pub address: u64,
    /// Owner.
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

/// `orphan`: a receipt that nobody could use yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct InboundRecord {
    /// When it came in, ms.
    pub wall: u64,
    /// Carrier group.
    pub group: u16,
    /// Address that it came from; 0 if it has no shape of a number.
    pub from: u64,
    /// Raw message id.
    pub id: Vec<u8>,
    /// State by its number.
    pub state: u8,
    /// What it says of an error.
    pub error: CarrierError,
    /// The reference of our part, if the receipt carries one back.
    pub reference: Option<u16>,
    /// Its beginning.
    pub text: Vec<u8>,
    /// The carrier that it came from.
    pub carrier: u16,
    /// What the two numbers end in that it names, as of [`Tail`]: source, destination.
    pub tails: (u32, u32),
    /// It could have been about several parts.
    pub is_ambiguous: bool,
    /// Nothing but the look of its text says that it is a receipt.
    pub is_untyped: bool,
}

/// `st`: a segment's folded events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct StateRecord {
    /// Messages in the segment.
    pub messages: u32,
    /// How many of them are settled.
    pub settled: u32,
    /// The last commit whose events are in here.
    pub folded_to: u64,
    /// The newest event, or the segment's own time, ms.
    pub newest: u64,
    /// By slot, then in the order of commits.
    pub events: Vec<StatedEvent>,
}

/// `meta`: the shard as it stood after a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct CheckpointRecord {
    /// The commit that it stands after; every event up to it is folded.
    pub commit: u64,
    /// Next free segment number.
    pub next_segment: u64,
    /// First segment that retention has not dropped.
    pub first_segment: u64,
    /// Fifos: name, head, newest commit, messages waiting. Of one that is not here every record up to `commit` was taken.
    pub fifos: Vec<FifoNote>,
    /// Delay queue, by era, ascending. Of one that is not here everything was taken.
    pub due: Vec<DueNote>,
    /// How many pages `book` has for it.
    pub pages: u32,
    /// First commit whose `win` record still counts.
    pub receipts_from: u64,
    /// First commit whose `dup` record still counts.
    pub keys_from: u64,
    /// How far the wall clock is ahead of the clock that tells ages, ms: as far as it has jumped.
    pub ahead_ms: i64,
    /// Next free part reference.
    pub next_reference: u16,
    /// Next free run number.
    pub next_run: u64,
    /// First commit whose `outbox` records are within retention.
    pub outbox_from: u64,
    /// Commits up to which `outbox` is older than a time (ms): ascending.
    pub outbox_marks: Vec<(u64, u64)>,
    /// The same of `handset`.
    pub handsets_from: u64,
    /// The same of `handset`.
    pub handset_marks: Vec<(u64, u64)>,
    /// Messages from handsets that are kept, between two marks: last commit, how many, their bytes. Ascending.
    pub handset_counts: Vec<(u64, u64, u64)>,
    /// Entries of lists whose messages have ended: as in [`TurnRecord::ended`].
    pub ended: Vec<(u32, u8, i64)>,
    /// What has ended by its expiry: up to which (ms), of segments below which number. Several where the clock went back.
    pub ended_to: Vec<(u64, u64)>,
}

/// An era of the delay queue in a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DueNote {
    /// Which.
    pub era: u32,
    /// Its head.
    pub tick: u64,
    /// Its head.
    pub commit: u64,
    /// Its head.
    pub index: u32,
    /// Entries waiting.
    pub waiting: u64,
    /// How many of these are alarms of expiry.
    pub alarms: u64,
}

/// An alarm of expiry in `book`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AlarmNote {
    /// Of which segment.
    pub segment: u64,
    /// When, ms.
    pub at: u64,
    /// Messages in the segment.
    pub messages: u32,
    /// The most urgent class of what is unsent.
    pub class: u8,
}

/// An era of the delay queue.
pub const DUE_OCTETS: usize = 40;
/// Bytes of a checkpoint without any entry, and of one entry of each list.
pub const CHECKPOINT_OCTETS: usize = 135;
/// A fifo.
pub const FIFO_OCTETS: usize = 34;
/// A mark of what is kept for the retention.
pub const MARK_OCTETS: usize = 16;
/// Messages from handsets between two marks.
pub const COUNT_OCTETS: usize = 24;
/// Lists with entries of messages that have ended.
pub const ENDED_OCTETS: usize = 13;
/// A step of what was ended.
pub const ENDED_TO_OCTETS: usize = 16;
/// Progress of a message, without its parts.
pub const PROGRESS_OCTETS: usize = 46;

impl CheckpointRecord {
    /// How many bytes it takes on disk.
    pub fn octets(&self) -> usize {
        CHECKPOINT_OCTETS
            + self.fifos.len() * FIFO_OCTETS
            + self.due.len() * DUE_OCTETS
            + (self.outbox_marks.len() + self.handset_marks.len()) * MARK_OCTETS
            + self.handset_counts.len() * COUNT_OCTETS
            + self.ended.len() * ENDED_OCTETS
            + self.ended_to.len() * ENDED_TO_OCTETS
    }
}

/// An entry of the ledger in `book`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DoubtNote {
    /// Which attempt.
    pub attempt: AttemptNote,
    /// When it was recorded, ms.
    pub sent_at: u64,
    /// Since when it is in doubt, ms.
    pub since: u64,
    /// How it was lost.
    pub lost: Lost,
    /// When its policy sends it again or gives it up, ms.
    pub decided_at: u64,
    /// Somebody says that the carrier has it.
    pub vouched: bool,
    /// How often its message was in doubt, this time included, by what its carrier did.
    pub doubts: u8,
}

/// Progress of a message of several parts in `book`. Sets are lists of part numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ProgressNote {
    /// Packed address.
    pub address: u64,
    /// Carrier.
    pub carrier: u16,
    /// Part reference.
    pub reference: u16,
    /// Parts.
    pub parts: u8,
    /// The message is final.
    pub closed: bool,
    /// Since when, ms.
    pub since: u64,
    /// Parts taken by the carrier.
    pub accepted: Vec<u8>,
    /// Parts called delivered.
    pub delivered: Vec<u8>,
    /// Parts with a final receipt.
    pub settled: Vec<u8>,
}

impl ProgressNote {
    /// How many bytes it takes on disk.
    pub fn octets(&self) -> usize {
        PROGRESS_OCTETS + self.accepted.len() + self.delivered.len() + self.settled.len()
    }
}

/// `meta`: how many messages of each tenant wait in this shard, by tenant; without those that belong to none. Overwritten
/// by each commit that changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WaitingRecord(pub Vec<(u32, u64)>);

/// `meta`: that a shard was restored from a backup, and what is to become of what was unsent then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RestoredRecord {
    /// How many restores lie behind this shard, this one included.
    pub generation: u8,
    /// The last commit in the backup.
    pub commit: u64,
    /// When the backup was begun, ms: everything acknowledged before is in it.
    pub mark: u64,
    /// When it was restored, ms.
    pub at: u64,
    /// Segments from this number on are of this shard's own; those below were there at the mark.
    pub below: u64,
    /// What becomes of what was unsent at the mark, by class: 0 held, 1 sent, 2 given up.
    pub unsent: [u8; 4],
    /// Segment numbers that were never used, by every restore: first one, and the first that is used again.
    pub gaps: Vec<(u64, u64)>,
}

#[cfg(test)]
mod tests {
    use crate::delivery::Resolution;
    use crate::model::DeadLetterReason;
    use crate::store::record_event::tests::LOST;

    use super::*;

    fn hex(bytes: Vec<u8>) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes_of_what_waits() {
        let due = DueRecord(vec![(1, 2, 3, 5, 4)]);
        assert_eq!(hex(encode(&due)), "0201000000000000000100000000000000".to_owned() + "0203000500000004");
        let waiting = WaitingRecord(vec![(3, 4)]);
        assert_eq!(hex(encode(&waiting)), "010100000000000000030000000400000000000000");
    }

    fn unhex(text: &str) -> Vec<u8> {
        let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
        pairs.collect::<Result<_, _>>().expect("hex")
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

    /// Found by fuzzing (`store_record`): memory was reserved for whatever length stood there.
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
    fn a_checkpoint_knows_its_octets() {
        let mut record = CheckpointRecord::default();
        assert_eq!(record.octets(), encode(&record).len());
        record.fifos = vec![FifoNote { fifo: (1, 2, 3), commit: 4, index: 5, newest: 6, waiting: 7 }; 4];
        record.outbox_marks = vec![(1, 2); 9];
        (record.handset_marks, record.handset_counts) = (vec![(1, 2); 13], vec![(1, 2, 3); 14]);
        (record.ended, record.ended_to) = (vec![(1, 2, 3); 11], vec![(1, 2); 12]);
        assert_eq!(record.octets(), encode(&record).len());
    }

    #[test]
    fn refuses_other_versions_and_left_overs() {
        let bytes = encode(&ReadyRecord::default());
        assert_eq!(decode::<ReadyRecord>(&bytes), Ok(ReadyRecord::default()));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode::<ReadyRecord>(&longer).is_err());
        let mut other = bytes;
        other[0] = 2;
        assert!(decode::<ReadyRecord>(&other).is_err());
        assert!(decode::<ReadyRecord>(&[]).is_err());
    }
}
