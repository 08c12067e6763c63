//! How each carrier writes ids and numbers in receipts: as the catalog says, and as its receipts have shown.

use std::collections::BTreeMap;

use crate::model::CarrierId;
use stentor_smpp::receipt_id::{Dialect, IdRelation};

use super::catalog::Catalog;
use super::event::Effect;
use super::orphans::Writes;
use super::turn::Turn;

/// If the first so many receipts of a carrier have known ids, but of parts to other numbers, the operator is told.
const STRANGE_NUMBERS_MAX: u8 = 20;

/// The manners of all carriers. Of a carrier that is in no catalog only what was seen is known.
#[derive(Debug, Default)]
pub(super) struct Manners(BTreeMap<CarrierId, Manner>);

#[derive(Debug, Default)]
struct Manner {
    /// The dialect that its receipts have shown.
    seen: Dialect,
    /// The dialect that the catalog says.
    told: Dialect,
    is_number_ignored: bool,
    numbers: OfNumbers,
}

/// What was seen of the numbers in a carrier's receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfNumbers {
    /// In all receipts with a known id until now, so many, the number was not that of the part.
    Strange(u8),
    /// In some the number was right; or the operator was told that it never was.
    Known,
}

impl Default for OfNumbers {
    fn default() -> Self {
        Self::Strange(0)
    }
}

impl Manners {
    /// How a carrier writes ids, and whether its numbers are ignored.
    pub(super) fn writes(&self, carrier: CarrierId) -> Writes {
        let known = self.0.get(&carrier);
        known.map_or_else(Default::default, |manner| (manner.seen.with_told(manner.told), manner.is_number_ignored))
    }

    /// A receipt of this carrier has found its part by an id in that form.
    pub(super) fn observe(&mut self, carrier: CarrierId, form: IdRelation) {
        let manner = self.0.entry(carrier).or_default();
        manner.seen.observe(form);
        manner.numbers = OfNumbers::Known;
    }

    /// A receipt of this carrier has a known id, but of parts to other numbers.
    pub(super) fn note_strange_number(&mut self, turn: &mut Turn, carrier: CarrierId) {
        let manner = self.0.entry(carrier).or_default();
        let OfNumbers::Strange(before) = manner.numbers else { return };
        manner.numbers = OfNumbers::Strange(before + 1);
        if before + 1 < STRANGE_NUMBERS_MAX {
            return;
        }
        manner.numbers = OfNumbers::Known;
        let name = turn.catalog.carrier_name(carrier).unwrap_or_default();
        turn.effect(Effect::Alarm(format!(
            "carrier {name}: its first {STRANGE_NUMBERS_MAX} receipts bear ids of messages to other numbers; they are kept and \
             settle nothing. If it writes numbers in a way of its own, set dialect.number = \"ignore\""
        )));
    }

    /// Takes over another catalog. Returns the carriers whose manners it changes.
    pub(super) fn handle_catalog(&mut self, catalog: &Catalog) -> Vec<CarrierId> {
        let mut changed = Vec::new();
        for carrier in &catalog.carriers {
            let manner = self.0.entry(carrier.id).or_default();
            let told = (carrier.dialect, carrier.is_number_ignored);
            if (manner.told, manner.is_number_ignored) != told {
                (manner.told, manner.is_number_ignored) = told;
                changed.push(carrier.id);
            }
        }
        changed
    }
}
