//! The configuration's own `[[test]]`s: each message goes the way of a client's message, up to the frame, and is encoded
//! as the carrier's link would encode it. Nothing is kept, asked or sent.

use std::borrow::Cow;

use crate::{
    config::{CarrierEncoding, Config, Decision, Given, Problems},
    http::{problem::Code, spelling, typed::Typed},
};
use stentor_core::{
    admission::{Rules, Tenant, TenantOptions},
    control::Entries,
    link::{self, smpp::compose},
    mesh::ShardMap,
    model::{GroupId, LinkId, Wall},
    routing::{Question, RouteTable},
};
use stentor_smpp::coding::Alphabet;

use super::{carrier, catalog, defaults, names, numbering, recipients, tenant_options};

/// The body of a test that has none, because then nothing depends on it.
const ANY_BODY: &str = "x";

/// Runs every `[[test]]` against the routing table.
///
/// # Errors
/// Those that did not end as expected, each with its place in the file.
pub fn failed_tests(config: &Config) -> Result<(), Problems> {
    if config.tests.is_empty() {
        return Ok(());
    }
    // A country without a plan is reported by `check` itself.
    let Ok(numbering) = numbering(config) else { return Ok(()) };
    // The numbers do not matter, because nothing is kept under them. If there are too many names, a start says so.
    let Ok(control) = Entries::tried(&[names(config)]) else { return Ok(()) };
    let routes = catalog(config, &control, ShardMap::new(1, 1)).routes;
    let defaults = defaults(config);
    config.failed_tests(|given| {
        let tenant = tenant(config, &control, given.tenant.as_deref());
        let rules =
            Rules { now: Wall(0), tenant: &tenant, is_admin: false, defaults: &defaults, numbering: &numbering };
        decide(config, &routes, &rules, given)
    })
}

fn decide(config: &Config, routes: &RouteTable, rules: &Rules<'_>, given: &Given) -> Decision {
    let rejected = |code: Code| Decision::Rejected(code.text().to_owned());
    let mut scratch = spelling::Scratch::default();
    let typed = typed(given);
    let meant = match spelling::meant(&typed, &mut scratch, rules) {
        Ok((_, meant)) => meant,
        Err(flaw) => return rejected(flaw.code),
    };
    let question = Question::of(&meant.head, &meant.content.from, meant.content.tags);
    let Some(route) = routes.find(&question) else { return rejected(Code::NoRoute) };
    let encoding = given.body.as_ref().map(|_| {
        let link = first_link(config, &route.name)?;
        compose::plan(&meant.head, &meant.content, &link).ok().map(|plan| leaves_as(plan.alphabet()))
    });
    match encoding {
        Some(None) => rejected(Code::Unencodable),
        Some(Some(encoding)) => Decision::Sent { route: route.name.clone(), encoding: Some(encoding) },
        None => Decision::Sent { route: route.name.clone(), encoding: None },
    }
}

fn typed(given: &Given) -> Typed<'_> {
    Typed {
        to: Some(Cow::Borrowed(&given.to)),
        from: given.from.as_deref().map(Cow::Borrowed),
        body: Some(Cow::Borrowed(given.body.as_deref().unwrap_or(ANY_BODY))),
        class: given.class.map(|class| Cow::Borrowed(class.name())),
        tags: Some(given.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect()),
        ..Typed::default()
    }
}

/// The tenant of that name, or tenant 0 without a name.
fn tenant(config: &Config, control: &Entries, name: Option<&str>) -> Tenant {
    let named = config.tenants.iter().find(|tenant| Some(tenant.name.as_str()) == name);
    let mut options = named.map_or_else(TenantOptions::default, |tenant| tenant_options(tenant, control));
    options.recipients.push(recipients(&config.recipients));
    Tenant::new(options)
}

/// The link of the route's first carrier that has a weight.
fn first_link(config: &Config, route: &str) -> Option<link::Options> {
    let route = config.routes.iter().find(|known| known.name == route)?;
    let share = route.carriers.iter().find(|share| share.weight > 0)?;
    let found = config.carriers.iter().find(|carrier| carrier.name == share.name)?;
    Some(carrier::options(found, LinkId::default(), GroupId::default(), ShardMap::new(1, 1)))
}

/// The model's `ASCII` is a carrier's default alphabet; in the configuration that is `gsm7`.
fn leaves_as(alphabet: Alphabet) -> CarrierEncoding {
    match alphabet {
        Alphabet::Gsm7 | Alphabet::Gsm7National { .. } | Alphabet::Ascii => CarrierEncoding::Gsm7,
        Alphabet::Latin1 | Alphabet::Latin1Bytes => CarrierEncoding::Latin1,
        Alphabet::Ucs2 | Alphabet::Binary => CarrierEncoding::Ucs2,
    }
}
