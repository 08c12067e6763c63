//! `[[limit]]` as shards and the core that counts see it: numbers in the place of names.

use std::sync::Arc;

use crate::config::{self, Config};
use stentor_core::{
    admission::numbering::Numbering,
    control::Entries,
    limit::{LimitTable, Rule, When},
    model::{Country, LimitId},
};

use super::{carrier_id, numbering, tenant_id};

/// The limits in the order of the file.
pub(super) fn table(config: &Config, control: &Entries) -> LimitTable {
    LimitTable { rules: config.sending_limits.iter().map(|meant| rule(meant, control)).collect() }
}

fn rule(meant: &config::Limit, control: &Entries) -> Rule {
    let when = &meant.when;
    Rule {
        id: LimitId(control.limit(&meant.name).unwrap_or_default()),
        name: meant.name.clone(),
        when: When {
            countries: when.country.iter().filter_map(|code| Country::new(code)).collect(),
            classes: when.class.clone(),
            tenants: when.tenant.iter().map(|name| tenant_id(name, control)).collect(),
            carriers: when.carrier.iter().map(|name| carrier_id(name, control)).collect(),
            tags: when.tag.clone(),
            senders: when.sender.clone(),
        },
        per: meant.per,
        of: meant.of,
        amount: meant.rate.amount,
        span: meant.rate.span,
        over: meant.over,
    }
}

/// What finds out a recipient's country, if a limit asks for it: it takes megabytes.
pub(super) fn countries(config: &Config, table: &LimitTable) -> Option<Arc<Numbering>> {
    // A country of the configuration without a plan is reported by `check`.
    if table.reads_country() { numbering(config).ok().map(Arc::new) } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::{catalog, names, tests::config};
    use super::*;
    use stentor_core::{
        control::Names,
        limit::{Of, Over, Per, Span},
        mesh::ShardMap,
        model::{CarrierId, Class, Msisdn, TenantId, Zone},
    };

    const LIMITS: &str = r#"
[[limit]]
name = "all-day"
rate = "9 per day"
[[limit]]
name = "campaigns"
when = { country = ["DE", "AT"], class = "marketing", tenant = "shop", tag = ["a", "b"], sender = ["+49151*", "ACME"] }
per = "sender"
of = "messages"
rate = "10000 per month"
zone = "Asia/Kathmandu"
over = "refuse"
"#;

    fn entries(config: &Config) -> Entries {
        let before = Names { limits: vec!["gone".to_owned()], tenants: vec!["t".to_owned()], ..Names::default() };
        Entries::tried(&[before, names(config)]).expect("room for them")
    }

    #[test]
    fn limits_keep_their_conditions_and_get_numbers() {
        let config = config(LIMITS);
        let catalog = catalog(&config, &entries(&config), ShardMap::new(1, 1));
        let [day, campaigns] = catalog.limits.rules.as_slice() else { panic!("two limits") };
        let expected = Rule {
            id: LimitId(2),
            name: "all-day".to_owned(),
            when: When::default(),
            per: Per::All,
            of: Of::Parts,
            amount: 9,
            span: Span::Sliding(86_400_000),
            over: Over::Wait,
        };
        assert_eq!(*day, expected);
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let when = When {
            countries: ["DE", "AT"].iter().filter_map(|code| Country::new(code)).collect(),
            classes: vec![Class::Marketing],
            tenants: vec![TenantId(3)],
            carriers: Vec::new(),
            tags: texts(&["a", "b"]),
            senders: texts(&["49151*", "ACME"]),
        };
        assert_eq!((campaigns.id, &campaigns.when), (LimitId(3), &when));
        assert_eq!((campaigns.per, campaigns.of, campaigns.over), (Per::Sender, Of::Messages, Over::Refuse));
        assert_eq!((campaigns.amount, Some(campaigns.span)), (10_000, Zone::parse("Asia/Kathmandu").map(Span::Month)));
        let numbering = catalog.numbering.as_ref().expect("a limit asks for the country");
        let to = Msisdn::from_number(4_915_112_345_678).expect("a number");
        assert_eq!(numbering.country(to), Country::new("DE"));
    }

    #[test]
    fn what_finds_countries_is_there_only_if_a_limit_asks() {
        let made = |limits: &str| {
            let config = config(limits);
            catalog(&config, &entries(&config), ShardMap::new(1, 1)).numbering.is_some()
        };
        let limit = |more: &str| format!("[[limit]]\nname = \"x\"\nrate = \"1/s\"\n{more}\n");
        assert_eq!(
            [made(""), made(&limit("per = \"tenant\"")), made(&limit("per = \"country\""))],
            [false, false, true]
        );
    }

    #[test]
    fn a_carrier_is_named_by_its_number() {
        let meant = config::Limit {
            name: "x".to_owned(),
            when: config::LimitWhen { carrier: vec!["b".to_owned()], ..config::LimitWhen::default() },
            per: Per::Carrier,
            of: Of::Parts,
            rate: config::PerSpan { amount: 1, span: Span::Month(Zone::UTC) },
            zone: Zone::UTC,
            over: Over::Wait,
        };
        let named = Names { carriers: vec!["a".to_owned(), "b".to_owned()], ..Names::default() };
        let control = Entries::tried(&[named]).expect("room for them");
        assert_eq!(rule(&meant, &control).when.carriers, [CarrierId(2)]);
    }
}
