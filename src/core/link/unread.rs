//! What a carrier sends that cannot be read, for the log: the first of it, and then one in a minute at most. Knows when
//! somebody was told last; refuses to know sessions. A carrier decides how much of it comes, not how much is written.

use std::fmt::{Display, Write};

use crate::model::{Mono, Now};
use stentor_smpp::decode::DecodeError;
use stentor_smpp::framer::{BROKEN_OCTETS_MAX, FramingError};
use stentor_smpp::pdu::Header;

use super::Link;
use super::event::{Alarm, BindId, LinkEffect};

/// Between two of which somebody is told.
const TOLD_NS: u64 = 60_000_000_000;

/// Bytes of a PDU that are told at most.
pub const TOLD_OCTETS_MAX: usize = BROKEN_OCTETS_MAX;

/// See the head of this file. One for each link.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unread {
    told_at: Option<Mono>,
    untold: u64,
}

impl Unread {
    /// Another one. If somebody is to be told of it: how many came since he was told last.
    fn note(&mut self, now: Mono) -> Option<u64> {
        if self.told_at.is_some_and(|at| now.since(at) < TOLD_NS) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Link {
    /// A PDU could not be read.
    pub(super) fn tell_malformed(&mut self, bind: BindId, error: &DecodeError, body: &[u8], now: Now) {
        let Header { command_length, command_id, command_status, sequence_number } = error.header;
        let words = [command_length, command_id.0, command_status.0, sequence_number].map(u32::to_be_bytes);
        self.tell_unread(bind, error, words.as_flattened().iter().chain(body).copied(), now);
    }

    /// The stream could not be cut into PDUs.
    pub(super) fn tell_broken(&mut self, bind: BindId, error: FramingError, octets: &[u8], now: Now) {
        self.tell_unread(bind, &error, octets.iter().copied(), now);
    }

    fn tell_unread(&mut self, bind: BindId, what: &dyn Display, octets: impl Iterator<Item = u8>, now: Now) {
        let Some(untold) = self.unread.note(now.mono) else { return };
        let mut hex = String::with_capacity(2 * TOLD_OCTETS_MAX);
        for octet in octets.take(TOLD_OCTETS_MAX) {
            let _ = write!(hex, "{octet:02x}");
        }
        let (peer, what) = (self.peer(bind), what.to_string());
        self.effects.push_back(LinkEffect::Alarm(Alarm::Unread { bind, peer, what, hex, untold }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_however_many_one_in_a_minute_is_told() {
        let mut unread = Unread::default();
        let told: Vec<_> = (0..1_000).filter_map(|second| unread.note(Mono(second * 1_000_000_000))).collect();
        assert_eq!(told, [&[0][..], &[59; 16]].concat(), "the first, then each with those between");
    }
}
