//! Records as earlier versions wrote them, and what they become. Read only; nothing here is written any more.

use bincode::Decode;

use super::record::{
    AttemptNote, CheckpointRecord, DecodeError, DoubtNote, FifoNote, ProgressNote, Record, decode_body,
};

/// Version 1 knew no alarms of expiry.
#[derive(Decode)]
struct CheckpointRecord1 {
    commit: u64,
    next_segment: u64,
    first_segment: u64,
    fifos: Vec<FifoNote>,
    due_head: (u64, u64, u32),
    due_waiting: u64,
    open: Vec<(AttemptNote, u64)>,
    doubts: Vec<DoubtNote>,
    progress: Vec<ProgressNote>,
    cancelled: Vec<u64>,
    tried: Vec<(u64, u8)>,
    receipts_from: u64,
    keys_from: u64,
    next_reference: u16,
    next_run: u64,
    once_in_doubt: Vec<(u64, u64, u64)>,
    outbox_from: u64,
    outbox_marks: Vec<(u64, u64)>,
}

impl Record for CheckpointRecord {
    const VERSION: u8 = 2;

    fn decode_older(version: u8, octets: &[u8]) -> Result<Self, DecodeError> {
        if version != 1 {
            return Err(DecodeError::version(version));
        }
        let older: CheckpointRecord1 = decode_body(octets)?;
        Ok(Self {
            commit: older.commit,
            next_segment: older.next_segment,
            first_segment: older.first_segment,
            fifos: older.fifos,
            due_head: older.due_head,
            due_waiting: older.due_waiting,
            open: older.open,
            doubts: older.doubts,
            progress: older.progress,
            cancelled: older.cancelled.into_iter().map(|address| (address, 0)).collect(),
            tried: older.tried,
            receipts_from: older.receipts_from,
            keys_from: older.keys_from,
            next_reference: older.next_reference,
            next_run: older.next_run,
            once_in_doubt: older.once_in_doubt,
            outbox_from: older.outbox_from,
            outbox_marks: older.outbox_marks,
            alarms_from: older.next_segment,
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{decode, encode};
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
        pairs.collect::<Result<_, _>>().expect("hex")
    }

    #[test]
    fn golden_bytes_of_checkpoints_in_both_versions() {
        let alarm = super::super::record::AlarmNote { segment: 1, at: 2, messages: 3, class: 1 };
        let checkpoint = CheckpointRecord {
            commit: 7,
            next_segment: 5,
            due_alarms: 1,
            alarms: vec![alarm],
            alarms_from: 4,
            ended: vec![(1, 2, false, -1)],
            ended_to: vec![(6, 5)],
            ..CheckpointRecord::default()
        };
        let numbers = "0700000000000000".to_owned() + "0500000000000000" + &"00".repeat(8 + 8 + 20 + 8);
        let rest = "00".repeat(5 * 8 + 8 + 8 + 2 + 8 + 8 + 8 + 8);
        let alarms = "0100000000000000".to_owned()
            + "0100000000000000"
            + "0100000000000000"
            + "0200000000000000"
            + "0300000001"
            + "0400000000000000"
            + "0100000000000000"
            + "01020000ffffffffffffffff"
            + "0100000000000000"
            + "0600000000000000"
            + "0500000000000000";
        assert_eq!(hex(&encode(&checkpoint)), format!("02{numbers}{rest}{alarms}"));
        let found: CheckpointRecord = decode(&unhex(&format!("01{numbers}{rest}"))).expect("version 1");
        assert_eq!((found.commit, found.alarms_from, found.alarms.len()), (7, 5, 0), "older segments have no alarm");
    }
}
