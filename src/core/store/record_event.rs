//! Events and errors in records: the bytes that `delivery/event.rs` gives them, preceded by their length, beside the
//! message and the time. Bytes that it does not know make a record unreadable; the error names them.

use bincode::de::Decoder;
use bincode::de::read::Reader;
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use crate::delivery::event::{EVENT_BYTES_MAX, Packed};
use crate::delivery::{Happened, Lost};
use crate::model::{Address, CarrierError, Wall};

/// An event in `ev`; its time is that of the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EventNote {
    /// Packed address.
    pub address: u64,
    /// What happened to it.
    pub what: Happened,
}

impl EventNote {
    /// The message's address.
    pub const fn address(&self) -> Address {
        Address::from_packed(self.address)
    }
}

/// An event in `st`; its segment is the record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StatedEvent {
    /// Slot of the message in the segment.
    pub slot: u16,
    /// What happened to it.
    pub what: Happened,
    /// When, ms.
    pub at: u64,
}

impl StatedEvent {
    /// When it happened.
    pub const fn at(&self) -> Wall {
        Wall(self.at)
    }

    /// Most bytes that it takes in a record.
    pub const BYTES_MAX: usize = 2 + 1 + EVENT_BYTES_MAX + 8;
}

fn write<E: Encoder>(packed: &Packed, encoder: &mut E) -> Result<(), EncodeError> {
    encoder.writer().write(packed.with_len())
}

/// Reads what [`write`] wrote: a length above everything that is ever written is damage.
fn read<D: Decoder, T>(
    decoder: &mut D,
    unpack: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let len = usize::from(u8::decode(decoder)?);
    decoder.claim_bytes_read(len)?;
    // Without a copy if the decoder allows it: records are read from memory.
    if let Some(bytes) = decoder.reader().peek_read(len) {
        let unpacked = unpack(bytes);
        decoder.reader().consume(len);
        return unpacked;
    }
    let mut space = [0; EVENT_BYTES_MAX];
    let bytes = space.get_mut(..len).ok_or_else(|| DecodeError::OtherString(format!("an event of {len} bytes")))?;
    decoder.reader().read(bytes)?;
    unpack(bytes)
}

impl Encode for Happened {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write(&self.pack(), encoder)
    }
}

impl<Context> Decode<Context> for Happened {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        read(decoder, |bytes| Self::unpack(bytes).map_err(|unknown| DecodeError::OtherString(unknown.to_string())))
    }
}

impl Encode for CarrierError {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        write(&self.pack(), encoder)
    }
}

impl<Context> Decode<Context> for CarrierError {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        read(decoder, |bytes| {
            Self::unpack(bytes).ok_or_else(|| DecodeError::OtherString(format!("not an error: {bytes:?}")))
        })
    }
}

bincode::impl_borrow_decode!(CarrierError);
bincode::impl_borrow_decode!(Happened);
bincode::impl_borrow_decode!(Lost);

impl Encode for Lost {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.pack().encode(encoder)
    }
}

impl<Context> Decode<Context> for Lost {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let packed = u32::decode(decoder)?;
        Self::unpack(packed).ok_or_else(|| DecodeError::OtherString(format!("not a loss: {packed:#x}")))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::delivery::samples::samples;
    use crate::model::{CarrierId, Coding, ErrorFamily};
    use crate::store::record::{
        AlarmsNote, AttemptNote, DoubtNote, DueTakenNote, InboundRecord, PutOffNote, SegmentNote, StateRecord,
        TurnRecord, decode, encode,
    };
    use crate::traffic::Unanswered;

    use super::*;

    pub(in crate::store) const LOST: Lost =
        Lost { reason: Unanswered::ConnectionLost, bind: None, held: true, grouped: false };

    /// Bytes of records with these events and nothing else.
    fn bytes_of(events: Vec<EventNote>, stated: Vec<StatedEvent>) -> (usize, usize) {
        let turn = TurnRecord { events, ..TurnRecord::default() };
        let state = StateRecord { events: stated, ..StateRecord::default() };
        let (turn_bytes, state_bytes) = (encode(&turn), encode(&state));
        assert_eq!((decode(&turn_bytes), decode(&state_bytes)), (Ok(turn), Ok(state)));
        (turn_bytes.len(), state_bytes.len())
    }

    #[test]
    fn an_event_takes_as_many_bytes_as_it_needs_and_survives() {
        let empty = bytes_of(Vec::new(), Vec::new());
        let all = samples();
        let events = all.iter().map(|what| EventNote { address: Address::new(7, 3).packed(), what: *what }).collect();
        let stated = all.iter().map(|what| StatedEvent { slot: 3, what: *what, at: 9 }).collect();
        let full = bytes_of(events, stated);
        let of_all: usize = all.iter().map(|what| what.pack().bytes().len()).sum();
        assert_eq!((full.0 - empty.0, full.1 - empty.1), (of_all + 9 * all.len(), of_all + 11 * all.len()));
        let longest = all.iter().map(|what| what.pack().bytes().len() + 11).max();
        assert_eq!(longest, Some(StatedEvent::BYTES_MAX));
    }

    /// The history of most messages: submitted and delivered in `ev`, where the attempt has a record of its own; these
    /// two and the attempt in `st`.
    #[test]
    fn a_plain_history_takes_21_bytes_in_ev_and_39_in_st() {
        let (submitted, delivered) = (
            Happened::Submitted { parts: 1, awaits_receipt: true, coding: Coding::Gsm7 },
            Happened::Delivered { error: None },
        );
        let attempt = Happened::Attempt { carrier: CarrierId(3), attempt: 1 };
        let note = |what| EventNote { address: 1, what };
        let stated = |what| StatedEvent { slot: 1, what, at: 1 };
        let (ev, st) = (vec![note(submitted), note(delivered)], [attempt, submitted, delivered].map(stated).to_vec());
        let (empty, full) = (bytes_of(Vec::new(), Vec::new()), bytes_of(ev, st));
        assert_eq!((full.0 - empty.0, full.1 - empty.1), (21, 39));
    }

    #[test]
    fn an_unknown_event_makes_its_record_unreadable_and_is_named() {
        let error = CarrierError::of_answer(ErrorFamily::Permanent, 0x0102_0304);
        let note = EventNote { address: 1, what: Happened::Refused { error } };
        let whole = encode(&TurnRecord { events: vec![note], ..TurnRecord::default() });
        let packed = note.what.pack();
        let at = whole.windows(packed.bytes().len()).position(|some| some == packed.bytes()).expect("an event");
        let told = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            decode::<TurnRecord>(&bytes).map_err(|error| error.0).expect_err("damage")
        };
        assert!(told(at, 99).contains("no event has number 99"));
        assert!(told(at + 1, 0).contains("no event has number 6"), "an error of no family");
        assert!(told(at - 1, 200).contains("an event of 200 bytes"));
        let inbound = encode(&InboundRecord { error, ..InboundRecord::default() });
        assert_eq!(decode(&inbound), Ok(InboundRecord { error, ..InboundRecord::default() }));
        let packed = error.pack();
        let at = inbound.windows(packed.bytes().len()).position(|some| some == packed.bytes()).expect("an error");
        let mut damaged = inbound;
        damaged[at] = 0xFF;
        let told = decode::<InboundRecord>(&damaged).map_err(|error| error.0);
        assert!(told.is_err_and(|told| told.contains("not an error:")));
    }

    #[test]
    fn golden_bytes_of_the_ledger() {
        let attempt = AttemptNote {
            address: 1,
            recipient: 2,
            tenant: 3,
            carrier: 4,
            reference: 5,
            route: 6,
            class: 7,
            attempt: 8,
            parts: 9,
            set: 15,
        };
        let note = DoubtNote { attempt, sent_at: 10, since: 11, lost: LOST, decided_at: 13, vouched: true, doubts: 14 };
        let expected = "010100000000000000020000000000000003000000040005000600070809\
                        0f0000000a000000000000000b000000000000\
                        00090000000d00000000000000010e";
        let hex = data_encoding::HEXLOWER.encode(&encode(&note));
        assert_eq!(hex, expected);
    }
    #[test]
    fn golden_bytes_of_turns() {
        let segment = SegmentNote { number: 2, messages: 3, expires_at: 4, class: 1 };
        let error = CarrierError::of_answer(ErrorFamily::Throttle, 0x58);
        let turn = TurnRecord {
            wall: 1,
            segments: vec![segment],
            events: vec![EventNote { address: 2, what: Happened::Refused { error } }],
            put_off: vec![PutOffNote { era: 1, entries: 5, alarms: 2 }],
            due_taken: vec![DueTakenNote { era: 1, tick: 2, commit: 3, index: 4, entries: 5, alarms: 6 }],
            next_reference: 6,
            alarms: AlarmsNote { kept: vec![(7, 1)], done: vec![8] },
            ended: vec![(1, 2, -3)],
            expired_to: 9,
            handsets: (10, 11),
            ..TurnRecord::default()
        };
        let none = "0000000000000000";
        let expected = "06".to_owned()
            + "0100000000000000"
            + "0100000000000000020000000000000003000000040000000000000001"
            + none
            + "010000000000000002000000000000000406110058"
            + none
            + none
            + "0100000000000000010000000500000002000000"
            + "010000000000000001000000020000000000000003000000000000000400000005000000"
            + "06000000"
            + "0600"
            + "0100000000000000070000000000000001"
            + "01000000000000000800000000000000"
            + "0100000000000000"
            + "0100000002fdffffff"
            + "0900000000000000"
            + "0a0000000b00000000000000";
        let bytes = encode(&turn);
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        assert_eq!(hex, expected);
        for version in [1, 2, 3, 4, 5] {
            let other = [&[version][..], &bytes[1..]].concat();
            assert!(decode::<TurnRecord>(&other).is_err(), "version {version}");
        }
    }
}
