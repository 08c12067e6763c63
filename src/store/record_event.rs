//! Events in records: the octets that `delivery/event.rs` gives them, beside the message and the time. Octets that it does not
//! know make a record unreadable, and are named.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use crate::delivery::event::EVENT_OCTETS;
use crate::delivery::{Happened, Lost};
use crate::model::{Address, Wall};

/// An event in `ev`; its time is that of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EventNote {
    /// Packed address.
    pub address: u64,
    /// What happened to it.
    pub what: Happened,
}

impl EventNote {
    /// To which message.
    pub const fn address(&self) -> Address {
        Address::from_packed(self.address)
    }
}

/// An event in `st`, whose segment is its record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StatedEvent {
    /// Which message of the segment.
    pub slot: u16,
    /// What happened to it.
    pub what: Happened,
    /// When, ms.
    pub at: u64,
}

impl StatedEvent {
    /// When.
    pub const fn at(&self) -> Wall {
        Wall(self.at)
    }

    /// What it takes in a record.
    pub const OCTETS: usize = 2 + EVENT_OCTETS + 8;
}

impl Encode for Happened {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.pack().encode(encoder)
    }
}

impl<Context> Decode<Context> for Happened {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let octets = <[u8; EVENT_OCTETS]>::decode(decoder)?;
        Self::unpack(octets).map_err(|unknown| DecodeError::OtherString(unknown.to_string()))
    }
}

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
        Self::unpack(packed).ok_or_else(|| DecodeError::OtherString(format!("nothing is lost as {packed:#x}")))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::delivery::event::tests::samples;
    use crate::store::record::{AttemptNote, DoubtNote, StateRecord, TurnRecord, decode, encode};
    use crate::traffic::Unanswered;

    use super::*;

    pub(in crate::store) const LOST: Lost = Lost { reason: Unanswered::ConnectionLost, bind: None, held: true };

    /// Octets of records that hold so much and nothing else.
    fn octets_of(events: Vec<EventNote>, stated: Vec<StatedEvent>) -> (usize, usize) {
        let turn = TurnRecord { events, ..TurnRecord::default() };
        let state = StateRecord { events: stated, ..StateRecord::default() };
        let (turn_octets, state_octets) = (encode(&turn), encode(&state));
        assert_eq!((decode(&turn_octets), decode(&state_octets)), (Ok(turn), Ok(state)));
        (turn_octets.len(), state_octets.len())
    }

    #[test]
    fn an_event_takes_13_octets_and_15_with_its_time_and_survives() {
        let empty = octets_of(Vec::new(), Vec::new());
        let all = samples();
        let events = all.iter().map(|what| EventNote { address: Address::new(7, 3).packed(), what: *what }).collect();
        let stated = all.iter().map(|what| StatedEvent { slot: 3, what: *what, at: 9 }).collect();
        let full = octets_of(events, stated);
        assert_eq!((full.0 - empty.0, full.1 - empty.1), (13 * all.len(), StatedEvent::OCTETS * all.len()));
        assert_eq!(StatedEvent::OCTETS, 15);
    }

    #[test]
    fn an_event_that_nobody_knows_makes_its_record_unreadable_and_is_named() {
        let note = EventNote { address: 1, what: Happened::Refused { status: 0x0102_0304 } };
        let mut octets = encode(&TurnRecord { events: vec![note], ..TurnRecord::default() });
        let at = octets.windows(EVENT_OCTETS).position(|five| five == note.what.pack()).expect("an event");
        octets[at] = 99;
        let told = decode::<TurnRecord>(&octets).map_err(|error| error.0);
        assert!(told.is_err_and(|told| told.contains("no event has kind 99")));
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
        };
        let note = DoubtNote { attempt, sent_at: 10, since: 11, lost: LOST, resend_at: 13, vouched: true };
        let expected = "0101000000000000000200000000000000030000000400050006000708090a000000000000000b000000000000\
                        00090000000d0000000000000001";
        let hex: String = encode(&note).iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
