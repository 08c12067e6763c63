//! How a carrier of the simulated world writes the numbers in its receipts, and what the configuration says about its ids.

use stentor_smpp::receipt_id::{Dialect, IdRelation};

use super::carrier::{Behaviour, IdDialect};

/// How a receipt writes the recipient's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberForm {
    /// As in the message.
    #[default]
    International,
    /// With `+` before it.
    Plus,
    /// Without the country code, with a leading zero.
    National,
    /// Recipient and sender exchanged.
    Swapped,
    /// Some digits hidden.
    Masked,
    /// Left out.
    Missing,
}

/// How one carrier writes numbers, and whether we know how it writes ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// How it writes numbers.
    pub numbers: NumberForm,
    /// The configuration says how its ids are written.
    pub is_told: bool,
}

impl Spelling {
    /// Follows from values that are drawn anyhow. Where a receipt does not name the recipient, its id must belong to
    /// one message only, must be written as the configuration says, and there must be only one shard.
    pub const fn of(behaviour: &Behaviour, shards: u8) -> Self {
        let chance = Self::chance(behaviour);
        let numbers = match (shards, chance % 12) {
            (_, 0) => NumberForm::Plus,
            (1, 1 | 2) => NumberForm::National,
            (1, 3 | 4) => NumberForm::Swapped,
            (1, 5) if behaviour.id_recipients == 0 => NumberForm::Masked,
            (1, 6) if behaviour.id_recipients == 0 => NumberForm::Missing,
            _ => NumberForm::International,
        };
        let is_silent = matches!(numbers, NumberForm::Masked | NumberForm::Missing);
        Self { numbers, is_told: is_silent || (chance / 12).is_multiple_of(2) }
    }

    /// Whether receipts carry no id; also follows from drawn values. Their numbers are international then.
    pub const fn leaves_ids_out(behaviour: &Behaviour, shards: u8) -> bool {
        shards == 1 && behaviour.id_recipients == 0 && Self::chance(behaviour) % 12 == 7
    }

    const fn chance(behaviour: &Behaviour) -> u64 {
        behaviour.response_delay.max_us ^ behaviour.receipt_delay.max_us
    }

    /// The source and destination address of a receipt.
    pub fn write(self, recipient: &[u8], sender: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let recipient = match self.numbers {
            NumberForm::International | NumberForm::Swapped => recipient.to_vec(),
            NumberForm::Plus => [b"+", recipient].concat(),
            NumberForm::National => [b"0", recipient.get(2..).unwrap_or_default()].concat(),
            NumberForm::Masked => [recipient.get(..5).unwrap_or_default(), b"****"].concat(),
            NumberForm::Missing => Vec::new(),
        };
        match self.numbers {
            NumberForm::Swapped => (sender.to_vec(), recipient),
            _ => (recipient, sender.to_vec()),
        }
    }

    /// The configuration for a carrier that writes ids in this way.
    pub const fn dialect(self, ids: IdDialect) -> Dialect {
        match ids {
            IdDialect::HexThenDecimal if self.is_told => Dialect::told(IdRelation::DecimalToHex),
            IdDialect::DecimalThenHex if self.is_told => Dialect::told(IdRelation::HexToDecimal),
            _ if self.is_told => Dialect::told(IdRelation::Same),
            _ => Dialect::untold(),
        }
    }
}
