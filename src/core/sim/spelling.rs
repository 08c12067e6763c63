//! How a carrier of the simulated world writes the numbers in its receipts, and what we were told of its ids.

use stentor_smpp::receipt_id::{Dialect, IdForm};

use super::carrier::{Behaviour, IdDialect};

/// How the recipient of a message stands in its receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberForm {
    /// As the message had it.
    #[default]
    International,
    /// With `+` before it.
    Plus,
    /// Without its country, with a zero instead.
    National,
    /// In the place of the sender, and the sender in its place.
    Swapped,
    /// Some digits hidden.
    Masked,
    /// Not at all.
    Missing,
}

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// Of numbers.
    pub numbers: NumberForm,
    /// The configuration says how its ids are written.
    pub is_told: bool,
}

impl Spelling {
    /// By what is drawn anyhow. Where a receipt does not name its message it must be alone under its id, written as the
    /// configuration says, and come to the one shard that there is.
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

    /// Whether receipts bear no id, likewise. Their numbers are international then.
    pub const fn leaves_ids_out(behaviour: &Behaviour, shards: u8) -> bool {
        shards == 1 && behaviour.id_recipients == 0 && Self::chance(behaviour) % 12 == 7
    }

    const fn chance(behaviour: &Behaviour) -> u64 {
        behaviour.response_delay.max_us ^ behaviour.receipt_delay.max_us
    }

    /// Source and destination of a receipt.
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

    /// What the configuration says of a carrier that writes ids so.
    pub const fn dialect(self, ids: IdDialect) -> Dialect {
        match ids {
            IdDialect::HexThenDecimal if self.is_told => Dialect::told(IdForm::DecimalToHex),
            IdDialect::DecimalThenHex if self.is_told => Dialect::told(IdForm::HexToDecimal),
            _ if self.is_told => Dialect::told(IdForm::Same),
            _ => Dialect::untold(),
        }
    }
}
