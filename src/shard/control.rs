//! The control shard: one more identity with a store of its own, for what is not per recipient. Today it keeps the book
//! of names: which number stands for which route, carrier, group and tenant, for ever, because those numbers are on disk.

use crate::store::record::NamesRecord;

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

/// The book of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    book: NamesRecord,
}

impl Control {
    /// The book as the control store holds it; empty for a new one.
    pub const fn recover(book: NamesRecord) -> Self {
        Self { book }
    }

    /// Enters names that are new. Gives the record to be committed before any number is used, if anything changed.
    pub fn declare(&mut self, names: &Names) -> Option<NamesRecord> {
        let before = self.book.clone();
        enter(&mut self.book.routes, &names.routes);
        enter(&mut self.book.carriers, &names.carriers);
        enter(&mut self.book.groups, &names.groups);
        enter(&mut self.book.tenants, &names.tenants);
        if self.book == before {
            return None;
        }
        self.book.version += 1;
        Some(self.book.clone())
    }

    /// The book, as it is committed.
    pub const fn book(&self) -> &NamesRecord {
        &self.book
    }

    /// Version of the book: grows with each change.
    pub const fn version(&self) -> u64 {
        self.book.version
    }

    /// The route's number, from 1.
    pub fn route(&self, name: &str) -> Option<u16> {
        number(&self.book.routes, name)
    }

    /// The carrier's number, from 1.
    pub fn carrier(&self, name: &str) -> Option<u16> {
        number(&self.book.carriers, name)
    }

    /// The carrier group's number, from 1.
    pub fn group(&self, name: &str) -> Option<u16> {
        number(&self.book.groups, name)
    }

    /// The tenant's number, from 1; 0 is the nameless one.
    pub fn tenant(&self, name: &str) -> Option<u32> {
        number(&self.book.tenants, name).map(u32::from)
    }
}

fn enter(book: &mut Vec<String>, names: &[String]) {
    for name in names {
        if !book.contains(name) {
            book.push(name.clone());
        }
    }
}

fn number(book: &[String], name: &str) -> Option<u16> {
    let index = book.iter().position(|known| known == name)?;
    u16::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(routes: &[&str]) -> Names {
        Names { routes: routes.iter().map(|&name| name.into()).collect(), ..Names::default() }
    }

    #[test]
    fn a_number_once_given_stays() {
        let mut control = Control::default();
        assert_eq!(control.declare(&names(&["a", "b"])).map(|book| book.version), Some(1));
        assert_eq!(control.declare(&names(&["b"])), None);
        let book = control.declare(&names(&["c"])).expect("news");
        let control = Control::recover(book);
        assert_eq!((control.route("a"), control.route("b"), control.route("c")), (Some(1), Some(2), Some(3)));
        assert_eq!((control.route("d"), control.version()), (None, 2));
    }
}
