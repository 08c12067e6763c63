//! Logs the PDUs of a carrier's connections, while the operator has that switched on (`log_pdus`).
//!
//! Knows how to start cutting a stream in the middle of a PDU, and the direction of each PDU; `smpp::words` knows what its
//! line says.

use stentor_core::link::BindId;
use stentor_smpp::{
    framer::{Frame, Framer, PDU_BYTES_MAX},
    words::{Detail, InWords},
};

/// Logs the PDUs of one carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PduLog {
    carrier: Box<str>,
    detail: Detail,
}

/// Direction of a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the carrier: written to the socket, or about to be.
    Sent,
    /// From the carrier.
    Received,
}

impl PduLog {
    /// The log of that carrier's PDUs, with this much detail.
    pub fn new(carrier: &str, detail: Detail) -> Self {
        Self { carrier: carrier.into(), detail }
    }

    /// Logs outgoing bytes, which must be complete PDUs.
    pub fn sent(&self, bind: BindId, bytes: &[u8]) {
        cut(&mut Framer::new(PDU_BYTES_MAX), bytes, |frame| self.tell(bind, Direction::Sent, frame));
    }

    /// Logs the PDUs that end in these incoming bytes, which follow those that `tap` has seen.
    pub fn received(&self, bind: BindId, tap: &mut Tap, bytes: &[u8]) {
        cut(&mut tap.0, bytes, |frame| self.tell(bind, Direction::Received, frame));
    }

    fn tell(&self, BindId(bind): BindId, direction: Direction, frame: &Frame<'_>) {
        let (carrier, words) = (&*self.carrier, InWords::new(frame, self.detail));
        match direction {
            Direction::Sent => tracing::info!(carrier, bind, direction = "sent", "{carrier} ← {words}"),
            Direction::Received => tracing::info!(carrier, bind, direction = "received", "{carrier} → {words}"),
        }
    }
}

/// The position of the log in the incoming stream of one connection: the PDU that is not yet complete.
#[derive(Debug)]
pub struct Tap(Framer);

impl Tap {
    /// A tap for a stream whose reader has received the bytes `begun` of a PDU and waits for the rest.
    pub fn at(begun: &[u8]) -> Self {
        let mut framer = Framer::new(PDU_BYTES_MAX);
        cut(&mut framer, begun, |_| {});
        Self(framer)
    }
}

/// Calls `tell` for each complete PDU. If the stream cannot be cut, the session reports that; nothing after that place is
/// logged here.
fn cut(framer: &mut Framer, mut bytes: &[u8], mut tell: impl FnMut(&Frame<'_>)) {
    while let Some(found) = framer.next_frame(&mut bytes) {
        let Ok(frame) = found else { return };
        tell(&frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENQUIRE: [u8; 16] = [0, 0, 0, 16, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 7];

    fn seen(framer: &mut Framer, bytes: &[u8]) -> Vec<u32> {
        let mut numbers = Vec::new();
        cut(framer, bytes, |frame| numbers.push(frame.header.sequence_number));
        numbers
    }

    /// The log may be switched on anywhere in a PDU.
    #[test]
    fn a_tap_begins_where_the_reader_stands() {
        let stream = [ENQUIRE, ENQUIRE, ENQUIRE].concat();
        for place in 0..=ENQUIRE.len() {
            let mut reader = Framer::new(PDU_BYTES_MAX);
            assert_eq!(seen(&mut reader, &stream[..place]).len(), place / ENQUIRE.len());
            let mut tap = Tap::at(reader.begun());
            let rest = seen(&mut tap.0, &stream[place..]);
            assert_eq!(rest, seen(&mut reader, &stream[place..]), "at byte {place}");
        }
    }

    #[test]
    fn a_stream_that_is_none_is_not_told() {
        let mut tap = Tap::at(&[]);
        assert!(seen(&mut tap.0, b"HTTP/1.1 200 OK\r\n\r\n").is_empty());
        assert!(seen(&mut tap.0, &ENQUIRE).is_empty());
    }
}
