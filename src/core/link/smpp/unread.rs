//! Reports PDUs that cannot be read: the first one, then at most one a minute.
//!
//! Knows when the operator was last told; refuses to know sessions. The carrier decides how many such PDUs come, so it must
//! not decide how many lines the log gets.

use std::fmt::{Display, Write};

use crate::model::{Mono, Now};
use stentor_smpp::decode::DecodeError;
use stentor_smpp::framer::{BROKEN_BYTES_MAX, FramingError};
use stentor_smpp::pdu::Header;

use super::super::Link;
use super::super::event::{Alarm, BindId, LinkEffect};

/// Minimum time between two reports.
const TOLD_NS: u64 = 60_000_000_000;

/// Maximum number of bytes of a PDU in a report.
pub(crate) const TOLD_BYTES_MAX: usize = BROKEN_BYTES_MAX;

/// When unreadable PDUs were last reported. One for each link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unread {
    told_at: Option<Mono>,
    untold: u64,
}

impl Unread {
    /// Counts an unreadable PDU. If it is to be reported: the number of PDUs since the last report that were not.
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
    pub(in crate::link) fn tell_malformed(&mut self, bind: BindId, error: &DecodeError, body: &[u8], now: Now) {
        let Header { command_length, command_id, command_status, sequence_number } = error.header;
        let words = [command_length, command_id.0, command_status.0, sequence_number].map(u32::to_be_bytes);
        self.tell_unread(bind, error, words.as_flattened().iter().chain(body).copied(), now);
    }

    /// The stream could not be cut into PDUs.
    pub(in crate::link) fn tell_broken(&mut self, bind: BindId, error: FramingError, bytes: &[u8], now: Now) {
        self.tell_unread(bind, &error, bytes.iter().copied(), now);
    }

    fn tell_unread(&mut self, bind: BindId, what: &dyn Display, bytes: impl Iterator<Item = u8>, now: Now) {
        let Some(untold) = self.unread.note(now.mono) else { return };
        let mut hex = String::with_capacity(2 * TOLD_BYTES_MAX);
        for byte in bytes.take(TOLD_BYTES_MAX) {
            let _ = write!(hex, "{byte:02x}");
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
