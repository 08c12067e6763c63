//! The checks of a shard before it takes a new message: whether it is draining, whether disk and queue have room,
//! whether the message still has time. A key that is already known is answered before these checks: a client that
//! repeats a request must not hear "too late" about a message that was sent.

use super::{key_window::Seen, places::Places, shares::Over};
use crate::model::{Address, DiskRoom, Head, Refusal, TenantId, Wall};

/// The state of the process that applies to every tenant at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The wall clock.
    pub now: Wall,
    /// The process is about to stop and takes nothing new.
    pub is_draining: bool,
    /// How much room the disk has.
    pub disk: DiskRoom,
}

/// How many messages one tenant may bring in now, and how many of them it has brought. A frame belongs to one tenant,
/// so the tenant's counts are read once per frame.
#[derive(Debug, Default)]
pub struct Allowance {
    tenant: Option<TenantId>,
    messages: u64,
    over: Over,
    taken: u64,
}

/// The answer for a message whose key is known, or cannot be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The same message was taken under this address, at this time.
    Before(Address, Wall),
    /// The message is refused.
    Refused(Refusal),
}

impl Gate {
    /// The reason to refuse a message whose key is not known; `None`: it is taken.
    pub fn refusal(&self, head: &Head, allowance: &Allowance) -> Option<Refusal> {
        if self.is_draining {
            Some(Refusal::Draining)
        } else if let Some(refusal) = self.refusal_of_keys() {
            Some(refusal)
        } else if allowance.taken >= allowance.messages {
            Some(match allowance.over {
                Over::Total => Refusal::QueueFull,
                Over::Share => Refusal::QueueShareFull,
            })
        } else if head.expires_at <= self.now || head.expires_at <= head.send_at {
            Some(Refusal::AlreadyExpired)
        } else {
            None
        }
    }

    /// The reason to record nothing at all, not even keys; `None`: records are written.
    pub fn refusal_of_keys(&self) -> Option<Refusal> {
        if self.disk.is_low() { Some(Refusal::DiskFull) } else { None }
    }
}

impl Allowance {
    /// The allowance of a tenant while `taken` places of the queue are taken.
    pub fn of(tenant: TenantId, places: &mut Places, taken: u64) -> Self {
        let (messages, over) = places.room(tenant, taken);
        Self { tenant: Some(tenant), messages, over, taken: 0 }
    }

    /// Whether this is the allowance of that tenant.
    pub fn is_of(&self, tenant: TenantId) -> bool {
        self.tenant == Some(tenant)
    }

    /// Counts one message as taken.
    pub const fn take(&mut self) {
        self.taken += 1;
    }

    /// Enters what was taken into `places`: from now on these messages wait.
    pub fn close(&mut self, places: &mut Places) {
        places.enter(self.tenant.unwrap_or_default(), std::mem::take(&mut self.taken));
    }
}

impl From<Seen> for Known {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Same(first, at) => Self::Before(first, at),
            Seen::Other => Self::Refused(Refusal::KeyReused),
            Seen::ShareFull => Self::Refused(Refusal::KeyShareFull),
            Seen::New | Seen::Full => Self::Refused(Refusal::KeyWindowFull),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);
    const OPEN: Gate = Gate { now: Wall(1_000), is_draining: false, disk: DiskRoom::Ample };

    fn head(send_at: u64, expires_at: u64) -> Head {
        Head { send_at: Wall(send_at), expires_at: Wall(expires_at), ..Head::default() }
    }

    #[test]
    fn each_reason_has_its_turn() {
        let mut places = Places::new(10, &[(A, 1), (B, 1)]);
        let allowance = Allowance::of(A, &mut places, 0);
        let good = head(0, 2_000);
        assert_eq!(OPEN.refusal(&good, &allowance), None);
        let expired = [head(0, 1_000), head(5_000, 5_000), head(5_000, 4_000)];
        assert!(expired.iter().all(|head| OPEN.refusal(head, &allowance) == Some(Refusal::AlreadyExpired)));
        let low = Gate { disk: DiskRoom::Low, ..OPEN };
        assert_eq!(
            (low.refusal(&good, &allowance), low.refusal_of_keys()),
            (Some(Refusal::DiskFull), Some(Refusal::DiskFull))
        );
        let stopping = Gate { is_draining: true, ..low };
        assert_eq!(stopping.refusal(&good, &allowance), Some(Refusal::Draining));
    }

    #[test]
    fn what_a_frame_takes_is_entered_once() {
        let mut places = Places::new(10, &[(A, 1), (B, 1)]);
        let mut allowance = Allowance::of(A, &mut places, 8);
        assert!(allowance.is_of(A) && !allowance.is_of(B) && !Allowance::default().is_of(TenantId(0)));
        let taken = (0..5).map_while(|_| OPEN.refusal(&head(0, 2_000), &allowance).is_none().then(|| allowance.take()));
        assert_eq!(taken.count(), 2);
        assert_eq!(OPEN.refusal(&head(0, 2_000), &allowance), Some(Refusal::QueueFull));
        allowance.close(&mut places);
        allowance.close(&mut places);
        assert_eq!(places.iter().collect::<Vec<_>>(), [(A, 2)]);
    }

    #[test]
    fn over_its_share_a_tenant_is_told_so() {
        let mut places = Places::new(100, &[(A, 1), (B, 1)]);
        places.enter(A, 90);
        for (tenant, refusal) in [(A, Some(Refusal::QueueShareFull)), (B, None)] {
            let allowance = Allowance::of(tenant, &mut places, 90);
            assert_eq!(OPEN.refusal(&head(0, 2_000), &allowance), refusal);
        }
    }

    #[test]
    fn what_was_taken_before_is_said_whatever_holds_now() {
        let address = Address::new(1, 2);
        assert_eq!(Known::from(Seen::Same(address, Wall(3))), Known::Before(address, Wall(3)));
        let refused = [Seen::Other, Seen::Full, Seen::ShareFull].map(Known::from);
        let expected = [Refusal::KeyReused, Refusal::KeyWindowFull, Refusal::KeyShareFull].map(Known::Refused);
        assert_eq!(refused, expected);
    }
}
