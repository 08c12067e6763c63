//! The names that a configuration uses, and the numbers that stand for them in every record, for ever.

use crate::store::control::{ConfigurationRecord, NumberRecord};
use crate::store::record::encode;

use crate::model::Wall;

use super::entries::{Entries, Entry};
use super::kind::{Kind, Refused};
use super::{Change, Control, ControlEvent, Effect};

/// The names that a configuration uses.
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
}

impl Names {
    /// What gives each of them a number, where it has none.
    pub fn changes(&self) -> Vec<Change> {
        let kinds = [
            (Kind::Route, &self.routes),
            (Kind::Carrier, &self.carriers),
            (Kind::Group, &self.groups),
            (Kind::Tenant, &self.tenants),
        ];
        let change = |kind, name: &String| Change::Number { kind, name: name.clone() };
        kinds.into_iter().flat_map(|(kind, names)| names.iter().map(move |name| change(kind, name))).collect()
    }
}

/// Notes that a configuration, read at that time, is applied: its catalog has a version of its own then.
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

    /// Numbers as an installation gives them that has used these names, one list after the other, and no others. They are committed nowhere: for
    /// those who only try a configuration out.
    ///
    /// # Errors
    /// [`Refused`] as it would be.
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

/// The entry of a name with that number.
pub(super) fn numbered(number: u16, version: u64) -> Entry {
    Entry { version, value: encode(&NumberRecord(number)).into() }
}
