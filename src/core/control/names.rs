//! The names that a configuration uses, and the numbers that stand for them in every record.

use crate::store::control::{ConfigurationRecord, NumberRecord};
use crate::store::record::encode;

use crate::model::Wall;

use super::entries::{Entries, Entry};
use super::kind::{Kind, Refused};
use super::{Change, Control, ControlEvent, Effect};

/// The names that a configuration uses, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Routes.
    pub routes: Vec<String>,
    /// Carriers.
    pub carriers: Vec<String>,
    /// Carrier groups.
    pub groups: Vec<String>,
    /// Tenants.
    pub tenants: Vec<String>,
    /// Limits.
    pub limits: Vec<String>,
}

impl Names {
    /// The changes that give a number to each name that has none yet.
    pub fn changes(&self) -> Vec<Change> {
        let kinds = [
            (Kind::Route, &self.routes),
            (Kind::Carrier, &self.carriers),
            (Kind::Group, &self.groups),
            (Kind::Tenant, &self.tenants),
            (Kind::Limit, &self.limits),
        ];
        let change = |kind, name: &String| Change::Number { kind, name: name.clone() };
        kinds.into_iter().flat_map(|(kind, names)| names.iter().map(move |name| change(kind, name))).collect()
    }
}

/// The change that records that a configuration, read at that time, is in force: so every new configuration has a
/// version.
pub fn applied(at: Wall) -> Change {
    let value = encode(&ConfigurationRecord { at: at.0 });
    Change::Put { kind: Kind::Configuration, key: b"applied".to_vec(), value }
}

impl Entries {
    /// The route's number, from 1.
    pub fn route(&self, name: &str) -> Option<u16> {
        self.number(Kind::Route, name)
    }

    /// The carrier's number, from 1.
    pub fn carrier(&self, name: &str) -> Option<u16> {
        self.number(Kind::Carrier, name)
    }

    /// The carrier group's number, from 1.
    pub fn group(&self, name: &str) -> Option<u16> {
        self.number(Kind::Group, name)
    }

    /// The tenant's number, from 1; 0 is the nameless one.
    pub fn tenant(&self, name: &str) -> Option<u32> {
        self.number(Kind::Tenant, name).map(u32::from)
    }

    /// The limit's number, from 1.
    pub fn limit(&self, name: &str) -> Option<u16> {
        self.number(Kind::Limit, name)
    }

    /// The numbers that an installation gives if it has used only these names, one list after the other. Nothing is
    /// committed: this is for commands that only try a configuration out.
    ///
    /// # Errors
    /// [`Refused`], as control would answer.
    pub fn tried(names: &[Names]) -> Result<Self, Refused> {
        let mut control = Control::default();
        for names in names {
            control.handle(ControlEvent::Change { ticket: 0, changes: names.changes() });
            if let Some(batch) = control.poll_commit() {
                control.handle_committed(batch.record.version);
            }
        }
        while let Some(effect) = control.poll_effect() {
            if let Effect::Reply(_, Err(refused)) = effect {
                return Err(refused);
            }
        }
        Ok((**control.published()).clone())
    }
}

/// The entry of a name that has this number.
pub(super) fn numbered(number: u16, version: u64) -> Entry {
    Entry { version, value: encode(&NumberRecord(number)).into() }
}
