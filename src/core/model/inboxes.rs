//! Which tenant owns each number that handsets write to.

use std::collections::BTreeMap;

use super::ids::TenantId;

/// The owner of each number; numbers are compared by their digits alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inboxes(BTreeMap<Vec<u8>, TenantId>);

impl Inboxes {
    /// Messages from handsets to this number belong to that tenant; if the number has an owner already, it keeps it.
    pub fn add(&mut self, number: &str, owner: TenantId) {
        self.0.entry(bare(number.as_bytes()).to_vec()).or_insert(owner);
    }

    /// The tenant that owns the number, written as its carrier writes it.
    pub fn owner(&self, to: &[u8]) -> Option<TenantId> {
        self.0.get(bare(to)).copied()
    }
}

/// A number without the prefix that marks it as international, which some carriers write and others leave out.
pub fn bare(number: &[u8]) -> &[u8] {
    let plain = number.strip_prefix(b"+").or_else(|| number.strip_prefix(b"00"));
    plain.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_owner_however_it_is_written() {
        let mut inboxes = Inboxes::default();
        inboxes.add("+4915112345678", TenantId(1));
        inboxes.add("12345", TenantId(2));
        inboxes.add("0012345", TenantId(3));
        for written in ["+4915112345678", "004915112345678", "4915112345678"] {
            assert_eq!(inboxes.owner(written.as_bytes()), Some(TenantId(1)), "{written}");
        }
        assert_eq!(inboxes.owner(b"12345"), Some(TenantId(2)), "who named it first");
        for other in ["", "+", "1234", "123456", "15112345678"] {
            assert_eq!(inboxes.owner(other.as_bytes()), None, "{other}");
        }
    }
}
