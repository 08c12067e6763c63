//! Receipts on their way to a client: the data of each, and the window of those sent and not yet acknowledged. A
//! receipt leaves the window only when it is acknowledged; the unacknowledged ones of a lost connection are sent again,
//! as carriers do. Knows no sockets and no timers.

use std::collections::VecDeque;

use stentor_core::model::time::Wall;
use stentor_core::sim::carrier::{Fate, IssuedId, Way};

use super::wire::Address;

/// Identifies one connection for ever; indices are reused, generations are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    pub index: u32,
    pub generation: u32,
}

/// An address that outlives its PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnedAddress {
    ton: u8,
    npi: u8,
    length: u8,
    digits: [u8; 20],
}

impl OwnedAddress {
    /// Copies an address; bytes beyond 20 (which the reader refuses) are cut off.
    pub(super) fn new(address: &Address<'_>) -> Self {
        let length = address.digits.len().min(20);
        let mut digits = [0; 20];
        digits[..length].copy_from_slice(&address.digits[..length]);
        Self { ton: address.ton, npi: address.npi, length: length as u8, digits }
    }

    /// The address as a borrowed view.
    pub(super) fn borrow(&self) -> Address<'_> {
        Address { ton: self.ton, npi: self.npi, digits: &self.digits[..usize::from(self.length)] }
    }
}

/// One receipt to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub id: IssuedId,
    pub fate: Fate,
    pub way: Way,
    /// When its message was submitted.
    pub submitted: Wall,
    /// The connection over which its message was submitted.
    pub origin: ConnectionId,
    /// Index of the account, whose other binds may carry it too.
    pub account: u32,
    pub recipient: OwnedAddress,
    pub sender: OwnedAddress,
}

/// One connection's outgoing receipts.
#[derive(Debug)]
pub(super) struct DeliverWindow {
    queue: VecDeque<Receipt>,
    /// Receipts in the order of their sequence numbers, the first with `base_sequence`; `true`: acknowledged.
    in_flight: VecDeque<(Receipt, bool)>,
    base_sequence: u32,
    window: usize,
}

impl DeliverWindow {
    /// Nothing to send; at most `window` receipts will be unacknowledged.
    pub(super) fn new(window: usize) -> Self {
        Self { queue: VecDeque::new(), in_flight: VecDeque::new(), base_sequence: 1, window: window.max(1) }
    }

    /// Queues a receipt.
    pub(super) fn push(&mut self, receipt: Receipt) {
        self.queue.push_back(receipt);
    }

    /// The next receipt to write now and its sequence number; `None` if none is queued or the window is full.
    pub(super) fn poll(&mut self) -> Option<(u32, Receipt)> {
        if self.in_flight.len() >= self.window {
            return None;
        }
        let receipt = self.queue.pop_front()?;
        let sequence = self.base_sequence + self.in_flight.len() as u32;
        self.in_flight.push_back((receipt, false));
        Some((sequence, receipt))
    }

    /// Handles an acknowledgement; gives the receipt that it settles, `None` if there is none.
    pub(super) fn handle_acknowledgement(&mut self, sequence: u32) -> Option<Receipt> {
        let index = sequence.checked_sub(self.base_sequence)? as usize;
        let (receipt, acknowledged) = self.in_flight.get_mut(index).filter(|(_, acknowledged)| !acknowledged)?;
        *acknowledged = true;
        let receipt = *receipt;
        while self.in_flight.front().is_some_and(|(_, acknowledged)| *acknowledged) {
            self.in_flight.pop_front();
            self.base_sequence += 1;
        }
        Some(receipt)
    }

    /// Takes everything that is not yet acknowledged, oldest first; the window is empty afterwards.
    pub(super) fn take_unsettled(&mut self) -> impl Iterator<Item = Receipt> {
        let sent = std::mem::take(&mut self.in_flight);
        let queued = std::mem::take(&mut self.queue);
        sent.into_iter().filter(|(_, acknowledged)| !acknowledged).map(|(receipt, _)| receipt).chain(queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(id: u64) -> Receipt {
        let address = OwnedAddress::new(&Address { ton: 1, npi: 1, digits: b"4915110000000" });
        Receipt {
            id: IssuedId(id),
            fate: Fate::Delivered,
            way: Way::Same,
            submitted: Wall(0),
            origin: ConnectionId { index: 0, generation: 0 },
            account: 0,
            recipient: address,
            sender: address,
        }
    }

    #[test]
    fn window_holds_and_every_receipt_is_settled_or_handed_back() {
        let mut window = DeliverWindow::new(2);
        (0..5).for_each(|id| window.push(receipt(id)));
        let sent: Vec<_> = std::iter::from_fn(|| window.poll()).map(|(sequence, r)| (sequence, r.id.0)).collect();
        assert_eq!(sent, [(1, 0), (2, 1)]);
        assert_eq!(window.handle_acknowledgement(2).map(|r| r.id.0), Some(1));
        assert_eq!(window.handle_acknowledgement(2), None);
        assert_eq!(window.poll(), None, "the oldest still holds its place");
        assert_eq!(window.handle_acknowledgement(1).map(|r| r.id.0), Some(0));
        assert_eq!(window.poll().map(|(sequence, r)| (sequence, r.id.0)), Some((3, 2)));
        assert_eq!([0, 1, 4, u32::MAX].map(|sequence| window.handle_acknowledgement(sequence)), [None; 4]);
        assert_eq!(window.take_unsettled().map(|r| r.id.0).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(window.take_unsettled().count(), 0);
    }
}
