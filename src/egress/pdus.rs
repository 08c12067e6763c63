//! What goes over a carrier's connections, told to the log PDU by PDU while somebody wants that.
//!
//! Knows how a stream is cut at the place where it stands, and which way a PDU went; what its line says is `smpp::words`'s.

use stentor_core::link::BindId;
use stentor_smpp::{
    framer::{Frame, Framer, PDU_OCTETS_MAX},
    words::{Detail, InWords},
};

/// Tells the PDUs of one carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PduLog {
    carrier: Box<str>,
    detail: Detail,
}

/// Which way a PDU went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the carrier: handed to the socket, or about to be.
    Sent,
    /// From the carrier.
    Received,
}

impl PduLog {
    /// Of that carrier, with so much detail.
    pub fn new(carrier: &str, detail: Detail) -> Self {
        Self { carrier: carrier.into(), detail }
    }

    /// Whole PDUs that go out.
    pub fn sent(&self, bind: BindId, bytes: &[u8]) {
        cut(&mut Framer::new(PDU_OCTETS_MAX), bytes, |frame| self.tell(bind, Direction::Sent, frame));
    }

    /// What came in, behind what `tap` has seen.
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

/// Where the incoming stream of one connection stands.
#[derive(Debug)]
pub struct Tap(Framer);

impl Tap {
    /// Of a stream whose reader has `begun` with a PDU and waits for the rest of it.
    pub fn at(begun: &[u8]) -> Self {
        let mut framer = Framer::new(PDU_OCTETS_MAX);
        cut(&mut framer, begun, |_| {});
        Self(framer)
    }
}

/// A stream that cannot be cut is the session's to tell of; nothing behind that place is told here.
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

    /// Switched on in the middle of a PDU, wherever that is.
    #[test]
    fn a_tap_begins_where_the_reader_stands() {
        let stream = [ENQUIRE, ENQUIRE, ENQUIRE].concat();
        for place in 0..=ENQUIRE.len() {
            let mut reader = Framer::new(PDU_OCTETS_MAX);
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
