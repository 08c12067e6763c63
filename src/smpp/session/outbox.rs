//! The outgoing bytes, and their positions in the stream.
//!
//! Knows three positions of one outgoing stream: `written ≤ taken ≤ queued`. Bytes after `taken` can still be withdrawn;
//! those before it the caller has; those before `written` the socket has accepted. Refuses to know why bytes are sent.

use super::super::pdu::Header;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queued: Vec<u8>,
    taken: u64,
    written: u64,
}

impl Outbox {
    /// The buffer to append whole PDUs to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.queued
    }

    /// Position after the last queued byte.
    pub(super) fn end(&self) -> u64 {
        self.taken + self.queued.len() as u64
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Number of bytes that the socket has not accepted.
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.end() - self.written
    }

    /// Appends everything queued to `out`.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> bool {
        if self.queued.is_empty() {
            return false;
        }
        self.taken = self.end();
        if out.is_empty() {
            std::mem::swap(out, &mut self.queued);
        } else {
            out.extend_from_slice(&self.queued);
        }
        self.queued.clear();
        true
    }

    pub(super) fn record_written(&mut self, bytes: u64) {
        self.written = self.written.saturating_add(bytes).min(self.taken);
    }

    /// Withdraws all requests that were not taken; responses stay.
    pub(super) fn call_back_requests(&mut self) {
        let mut kept = Vec::new();
        let mut rest = &self.queued[..];
        while let Some((header, _)) = Header::read(rest) {
            let Some((pdu, after)) = rest.split_at_checked(header.command_length as usize) else {
                break;
            };
            if header.command_id.is_response() {
                kept.extend_from_slice(pdu);
            }
            rest = after;
        }
        self.queued = kept;
    }

    pub(super) fn call_back_all(&mut self) {
        self.queued = Vec::new();
    }
}
