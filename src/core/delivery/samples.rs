//! Sample events of every kind, for the tests of all code that stores, reads or shows events.

use crate::model::{
    CarrierError, CarrierId, Coding, DeadLetterReason, ErrorFamily, ErrorOrigin, ErrorText, Prng, ReceiptState,
    RouteId, SetNumber, TenantId,
};
use crate::traffic::{NotWritten, Unanswered};

use super::doubt::{Lost, LostBind, Resolution};
use super::event::Happened;

/// Numbers from which the details of events are made: boundary values and random ones.
fn numbers() -> Vec<u32> {
    let mut chance = Prng::new(5);
    let mut numbers = vec![0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
    numbers.extend((0..200).map(|_| chance.next_u64() as u32 >> (chance.next_u64() % 32)));
    numbers
}

pub fn error(family: ErrorFamily, origin: ErrorOrigin, text: &str, number: u32) -> CarrierError {
    CarrierError { family, origin, text: ErrorText::cut(text.as_bytes()), number }
}

/// The error of an answer with this command status, of the transient family.
pub const fn busy(status: u32) -> CarrierError {
    CarrierError::of_answer(ErrorFamily::Transient, status)
}

/// One error of each family and origin, with this number.
fn errors(number: u32) -> impl Iterator<Item = CarrierError> {
    let texts = ["", "0", "27", "nul", "0x1F", "ABSENT_S", "a ~?"];
    let kinds = ErrorFamily::ALL.into_iter().flat_map(|family| ErrorOrigin::ALL.map(|origin| (family, origin)));
    kinds.zip(texts.into_iter().cycle()).map(move |((family, origin), text)| error(family, origin, text, number))
}

/// Events of every kind, with many combinations of details.
pub fn samples() -> Vec<Happened> {
    let mut samples = Vec::new();
    for n in numbers() {
        let [low, high, ..] = n.to_le_bytes();
        let bind = Some(LostBind { core: high, number: n as u16 });
        let lost = |reason| [None, bind].map(|bind| Lost { reason, bind, held: n % 2 == 0, grouped: n % 3 == 0 });
        samples.extend([
            Happened::Due { from_backup: n % 2 == 0 },
            Happened::Attempt { carrier: CarrierId(n as u16), attempt: low },
            Happened::PartAccepted { part: low, parts: high },
            Happened::Submitted {
                parts: low,
                awaits_receipt: n % 2 == 0,
                coding: Coding::ALL[usize::from(high) % Coding::ALL.len()],
            },
            Happened::PartDelivered { part: low },
            Happened::Cancelled { place_of: TenantId(n) },
            Happened::Rerouted { route: RouteId(n as u16) },
            Happened::Regrouped { set: SetNumber(n) },
        ]);
        samples.extend(Unanswered::ALL.into_iter().flat_map(lost).map(|lost| Happened::InDoubt { lost }));
        samples.extend(errors(n).flat_map(|error| {
            let (refused, rejected) = (Happened::Refused { error }, Happened::Rejected { error });
            let (delivered, expired) =
                (Happened::Delivered { error: Some(error) }, Happened::Expired { error: Some(error) });
            [refused, rejected, delivered, expired, Happened::Undelivered { error }]
        }));
    }
    samples.extend([
        Happened::NoReceipt,
        Happened::Delivered { error: None },
        Happened::Expired { error: None },
        Happened::Undelivered { error: CarrierError::default() },
    ]);
    samples.extend(NotWritten::ALL.map(|why| Happened::Returned { why }));
    let said = |receipt| [Happened::Intermediate { receipt }, Happened::Late { receipt }];
    samples.extend(ReceiptState::ALL.into_iter().flat_map(said));
    for by in Resolution::ALL {
        samples.extend([Happened::Resent { by }, Happened::Resolved { by }]);
        let dead = |reason| [None, Some(by)].map(|by| Happened::Dead { reason, by });
        samples.extend(DeadLetterReason::ALL.into_iter().flat_map(dead));
    }
    samples
}
