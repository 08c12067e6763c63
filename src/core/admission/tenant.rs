//! What a tenant may do: as which sender, to which countries and numbers, and how much it may send. Doors find out who the caller is
//! and which tenant it belongs to.

use std::sync::Arc;

use super::{
    meter::{Meter, Quota},
    numbering::Numbering,
    recipients::Recipients,
};
use crate::model::{Class, Msisdn, SenderId, TenantId};

/// A tenant as it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantOptions {
    /// Its number, bound to its name for ever.
    pub id: TenantId,
    /// Its name; empty for the nameless tenant.
    pub name: String,
    /// Sender of messages that give none; empty: the installation's default.
    pub from: SenderId,
    /// Senders that it may use; empty: any. An entry that ends in `*` allows all senders that begin with the text
    /// before it.
    pub senders: Vec<String>,
    /// Most messages in any second; `None`: no limit.
    pub rate: Option<u32>,
    /// Most messages per calendar period; `None`: no limit.
    pub quota: Option<Quota>,
    /// Countries that it may send to, ISO 3166; empty: any.
    pub countries: Vec<String>,
    /// Classes that its messages may have; empty: any.
    pub classes: Vec<Class>,
    /// To which numbers its messages may go: all of these must agree. Its own, and those of the whole installation.
    pub recipients: Vec<Arc<Recipients>>,
}

/// A tenant with its meter.
#[derive(Debug, Default)]
pub struct Tenant {
    /// Its configuration.
    pub options: TenantOptions,
    /// Counts what it has brought in.
    pub meter: Meter,
}

impl Tenant {
    /// A tenant that has brought in nothing yet.
    pub fn new(options: TenantOptions) -> Self {
        let meter = Meter::new(options.rate, options.quota);
        Self { options, meter }
    }

    /// The same tenant with another configuration: what it has already brought in still counts.
    pub fn renewed(&self, options: TenantOptions) -> Self {
        let meter = self.meter.renewed(options.rate, options.quota);
        Self { options, meter }
    }

    /// Its number.
    pub const fn id(&self) -> TenantId {
        self.options.id
    }

    /// Whether it may use this sender; the carrier's own (empty) is always allowed.
    pub fn may_send_as(&self, sender: &SenderId) -> bool {
        let senders = &self.options.senders;
        senders.is_empty() || sender.is_empty() || senders.iter().any(|pattern| sender.fits(pattern))
    }

    /// Whether it may send to this recipient's country.
    pub fn may_send_to(&self, to: Msisdn, numbering: &Numbering) -> bool {
        let countries = &self.options.countries;
        countries.is_empty() || numbering.is_in(to, countries)
    }

    /// Whether its messages may go to this recipient.
    pub fn may_write_to(&self, to: Msisdn) -> bool {
        self.options.recipients.iter().all(|recipients| recipients.may_be(to))
    }

    /// Whether its messages may have this class.
    pub fn may_send_with(&self, class: Class) -> bool {
        let classes = &self.options.classes;
        classes.is_empty() || classes.contains(&class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_taken_at_their_word() {
        let senders = |list: &[&str]| list.iter().map(|sender| (*sender).to_owned()).collect();
        let shop =
            Tenant::new(TenantOptions { senders: senders(&["ACME", "4915*", "+72345"]), ..TenantOptions::default() });
        let may = |tenant: &Tenant, sender: &str| tenant.may_send_as(&SenderId::parse(sender).expect("sender"));
        assert!(may(&shop, "ACME") && may(&shop, "+491512345678") && may(&shop, "72345"));
        assert!(!may(&shop, "ACM") && !may(&shop, "ACMEX") && !may(&shop, "4916123"));
        assert!(shop.may_send_as(&SenderId::default()) && may(&Tenant::default(), "Anyone"));
    }

    #[test]
    fn countries_are_those_of_the_number() {
        let numbering = Numbering::new(None).expect("metadata");
        let tenant = Tenant::new(TenantOptions { countries: vec!["DE".to_owned()], ..TenantOptions::default() });
        let may =
            |tenant: &Tenant, number| tenant.may_send_to(Msisdn::from_number(number).expect("a number"), &numbering);
        assert!(may(&tenant, 4_915_112_345_678) && !may(&tenant, 4_366_012_345_678));
        assert!(may(&Tenant::default(), 4_366_012_345_678));
    }

    #[test]
    fn classes_are_those_that_are_listed() {
        let classes = vec![Class::Otp, Class::Marketing];
        let tenant = Tenant::new(TenantOptions { classes, ..TenantOptions::default() });
        assert_eq!(Class::ALL.map(|class| tenant.may_send_with(class)), [false, true, false, true]);
        assert!(Class::ALL.into_iter().all(|class| Tenant::default().may_send_with(class)));
    }
}
