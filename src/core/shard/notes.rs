//! Turns what a shard knows into the records of checkpoints and turns, and back.

use crate::delivery::{Doubts, InDoubt, Lost, OpenAttempt, Permit, Progress, attempt::Gravest};
use crate::model::{Address, CarrierId, Class, Lane, Msisdn, RouteId, SetNumber, TenantId, Wall};
use crate::queue::{Fifo, FifoName, Position};
use crate::store::batch::fifo_code;
use crate::store::book::OpenNote;
use crate::store::record::{AttemptNote, DoubtNote, FifoNote, ProgressNote};
use crate::traffic::PartSet;

pub(super) fn fifo_note(name: FifoName, fifo: &Fifo) -> FifoNote {
    let Position { commit, index } = fifo.head();
    FifoNote { fifo: fifo_code(name), commit, index, newest: fifo.newest(), waiting: fifo.waiting() }
}

pub(super) fn attempt_note(address: Address, open: &OpenAttempt) -> AttemptNote {
    AttemptNote {
        address: address.packed(),
        recipient: open.recipient.number(),
        tenant: open.lane.tenant.0,
        carrier: open.carrier.0,
        reference: open.reference,
        route: open.lane.route.0,
        class: open.lane.class as u8,
        attempt: open.attempt,
        parts: open.parts,
        set: open.lane.set.0,
    }
}

pub(super) fn open_note(address: Address, open: &OpenAttempt) -> OpenNote {
    OpenNote { attempt: attempt_note(address, open), at: open.at.0, doubts: open.doubts.pack() }
}

pub(super) fn doubt_note(address: Address, doubt: &InDoubt) -> DoubtNote {
    let attempt = AttemptNote {
        address: address.packed(),
        recipient: doubt.recipient.number(),
        tenant: doubt.lane.tenant.0,
        carrier: doubt.carrier.0,
        reference: doubt.reference,
        route: doubt.lane.route.0,
        class: doubt.lane.class as u8,
        attempt: doubt.attempt,
        parts: doubt.parts,
        set: doubt.lane.set.0,
    };
    DoubtNote {
        attempt,
        sent_at: doubt.sent_at.0,
        since: doubt.since.0,
        lost: doubt.lost,
        decided_at: doubt.decided_at.0,
        vouched: doubt.vouched,
        doubts: doubt.doubts.pack(),
    }
}

pub(super) fn progress_note(address: Address, progress: &Progress) -> ProgressNote {
    let list = |set: &PartSet| set.iter().collect();
    ProgressNote {
        address: address.packed(),
        carrier: progress.carrier.0,
        reference: progress.reference,
        parts: progress.parts,
        closed: progress.closed,
        since: progress.since.0,
        accepted: list(&progress.accepted),
        delivered: list(&progress.delivered),
        settled: list(&progress.settled),
    }
}

/// An attempt as it was recorded; `None` if its record makes no sense.
pub(super) fn open_attempt(note: &AttemptNote, at: Wall) -> Option<OpenAttempt> {
    let (class, tenant) = (Class::from_index(note.class)?, TenantId(note.tenant));
    Some(OpenAttempt {
        attempt: note.attempt,
        doubts: Doubts::default(),
        reference: note.reference,
        carrier: CarrierId(note.carrier),
        lane: Lane { class, route: RouteId(note.route), tenant, set: SetNumber(note.set) },
        recipient: Msisdn::from_number(note.recipient)?,
        parts: note.parts,
        at,
        segment: None,
        outcomes: 0,
        resumed: 0,
        gravest: Gravest::Accepted,
        answered: false,
        lost_on: None,
        unnoted: false,
        permit: Permit::default(),
    })
}

/// A doubt as a checkpoint holds it; `None` if its record makes no sense.
pub(super) fn doubt(note: &DoubtNote) -> Option<InDoubt> {
    let DoubtNote { attempt, sent_at, since, lost, decided_at, vouched, doubts } = *note;
    let open = open_attempt(&attempt, Wall(sent_at))?;
    let doubts = Doubts::unpack(doubts);
    Some(InDoubt { decided_at: Wall(decided_at), vouched, doubts, ..doubt_of(&open, lost, Wall(since)) })
}

pub(super) fn progress(note: &ProgressNote) -> Progress {
    let set = |parts: &[u8]| {
        let mut set = PartSet::default();
        for part in parts {
            set.insert(*part);
        }
        set
    };
    Progress {
        carrier: CarrierId(note.carrier),
        reference: note.reference,
        parts: note.parts,
        accepted: set(&note.accepted),
        delivered: set(&note.delivered),
        settled: set(&note.settled),
        closed: note.closed,
        since: Wall(note.since),
    }
}

/// The doubt that an open attempt becomes when its answer does not come.
pub(super) fn doubt_of(open: &OpenAttempt, lost: Lost, since: Wall) -> InDoubt {
    InDoubt {
        attempt: open.attempt,
        reference: open.reference,
        carrier: open.carrier,
        lane: open.lane,
        recipient: open.recipient,
        parts: open.parts,
        sent_at: open.at,
        since,
        lost,
        decided_at: if lost.held { InDoubt::HELD } else { Wall(0) },
        vouched: false,
        doubts: open.doubts.after(lost),
    }
}
