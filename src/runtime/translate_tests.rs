//! Each mapping whose two sides could be confused, with a different value for everything.

use super::*;
use stentor_core::admission::Quota;
use stentor_core::control::Entries;
use stentor_core::delivery::{Backoff, DoubtPolicy, RetryPolicy};
use stentor_core::model::Msisdn;
use stentor_core::model::Period;
use stentor_core::routing::Question;

/// A configuration of two carriers, three routes and two tenants, and `rest`.
pub(super) fn config(rest: &str) -> Config {
    let text = format!("{rest}\n{TENANTS}\n{WAYS}");
    Config::parse("test.toml", &text, []).unwrap_or_else(|problems| panic!("{problems}"))
}

const WAYS: &str = r#"
[[carrier]]
name = "south"
group = "sun"
hosts = ["192.0.2.1"]
system_id = "s"
errors = { "0x58" = "permanent", "1025" = "session" }
[[carrier]]
name = "north"
hosts = ["192.0.2.2"]
system_id = "n"
default_alphabet = "latin1"
errors = { "8" = "credential" }
[[route]]
name = "codes"
when = { class = ["otp", "emergency"], tenant = "shop", tag = "login" }
carriers = [{ name = "north", weight = 3 }, { name = "south", weight = 0 }]
[[route]]
name = "brand"
when = { prefix = ["+49", "43"], sender = ["ACME*", "+4915*", "72345"] }
carriers = [{ name = "north", weight = 2 }, { name = "south", weight = 2 }]
[[route]]
name = "rest"
carriers = [{ name = "south" }]
[recipients]
block = ["+4930999*"]
"#;

const TENANTS: &str = r#"
[[tenant]]
name = "desk"
keys = ["desk-key-0123456789"]
[[tenant]]
name = "shop"
keys = ["shop-key-0123456789", "shop-key-9876543210"]
admin_keys = ["shop-admin-key-01234"]
from = "ACME"
senders = ["ACME*", "72345"]
quota = "7/day"
rate = "9/s"
countries = ["DE", "AT"]
recipients = { block = ["+4990*"] }
classes = ["otp", "transactional"]
shares = 3
weight = 5
"#;

/// Entries in which no number equals another one or the place in the file.
pub(super) fn book(config: &Config) -> Entries {
    let used = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let before = Names {
        routes: used(&["r"]),
        carriers: used(&["c", "d"]),
        groups: used(&["g", "h", "i"]),
        tenants: used(&["t", "u", "v", "w"]),
        limits: Vec::new(),
    };
    Entries::tried(&[before, names(config)]).expect("room for them")
}

#[test]
fn every_name_gets_a_number() {
    let config = config("");
    let book = book(&config);
    assert_eq!([book.route("codes"), book.route("rest")], [Some(2), Some(4)]);
    assert_eq!([book.carrier("south"), book.carrier("north")], [Some(3), Some(4)]);
    assert_eq!([book.group("sun"), book.group("north"), book.group("south")], [Some(4), Some(5), None]);
    assert_eq!([book.tenant("desk"), book.tenant("shop")], [Some(5), Some(6)]);
}

#[test]
fn routes_keep_their_order_and_conditions() {
    let config = config("");
    let routes = catalog(&config, &book(&config), ShardMap::new(1, 1)).routes.routes;
    let [codes, brand, rest] = routes.as_slice() else { panic!("three routes") };
    let ways = |route: &Route| route.ways.iter().map(|way| (way.carrier.0, way.weight)).collect::<Vec<_>>();
    assert_eq!((codes.id, codes.name.as_str(), ways(codes)), (RouteId(2), "codes", vec![(4, 3)]), "weight 0 is no way");
    assert_eq!(codes.when.classes, [Class::Otp, Class::Emergency]);
    assert_eq!((&codes.when.tenants[..], &codes.when.tags[..]), (&[TenantId(6)][..], &["login".to_owned()][..]));
    assert_eq!((brand.id, ways(brand)), (RouteId(3), vec![(4, 2), (3, 2)]));
    assert_eq!(
        (brand.when.prefixes.iter().map(Prefix::to_string).collect::<Vec<_>>().join(" "), brand.when.senders.join(" ")),
        ("49 43".into(), "ACME* 4915* 72345".into())
    );
    assert_eq!((rest.id, &rest.when, ways(rest)), (RouteId(4), &Condition::default(), vec![(3, 1)]));
}

#[test]
fn a_sender_may_be_given_by_its_beginning() {
    let config = config("");
    let catalog = catalog(&config, &book(&config), ShardMap::new(1, 1));
    let route = |from: &str| {
        let (to, from) =
            (Msisdn::from_number(4_915_112_345_678).expect("number"), SenderId::parse(from).expect("sender"));
        let question = Question { to, from: &from, class: Class::Marketing, tenant: TenantId(0), tags: "" };
        catalog.routes.find(&question).map(|route| route.name.clone()).unwrap_or_default()
    };
    assert_eq!(["ACME", "ACME24", "+491512345", "72345"].map(route), ["brand", "brand", "brand", "brand"]);
    assert_eq!(["ACM", "4916123456", "723456"].map(route), ["rest", "rest", "rest"]);
}

#[test]
fn carriers_stand_in_the_catalog_by_number() {
    let config = config("");
    let catalog = catalog(&config, &book(&config), ShardMap::new(5, 2));
    let carriers: Vec<_> =
        catalog.carriers.iter().map(|known| (known.id.0, known.name.as_str(), known.group.0)).collect();
    assert_eq!(carriers, [(3, "south", 4), (4, "north", 5)]);
    assert_eq!((catalog.shard_cores, catalog.version), (vec![0, 1, 0, 1, 0], 2));
}

#[test]
fn a_shard_gets_its_share_of_the_process() {
    let limits = "[limits]\nqueue = 1000\nkeys = 70\nkey_window = \"25h\"\n[node]\nid = 9";
    let config = config(&format!(
        "{limits}\n[defaults]\nretention = \"5h\"\nin_doubt_wait = \"7s\"\ndoubts_max = 5\n\
         in_doubt = {{ emergency = \"hold\", otp = \"resend\", marketing = \"drop\" }}"
    ));
    let options = shard_options(&config, &book(&config), ShardId(2), 7);
    assert_eq!((options.shard, options.node, options.shards), (ShardId(2), NodeId(9), 7));
    assert_eq!((options.queue_messages_max, options.keys_max, options.receipts_max), (142, 10, 142_857));
    assert_eq!(
        (options.key_window_ms, options.retention_ms, options.in_doubt_wait_ms),
        (90_000_000, 18_000_000, 7_000)
    );
    assert_eq!(options.doubts_max, 5);
    assert_eq!(options.doubt, [DoubtPolicy::Hold, DoubtPolicy::Resend, DoubtPolicy::Resend, DoubtPolicy::Drop]);
    assert_eq!(options.tenants, [(TenantId(5), 1), (TenantId(6), 3)], "equal shares unless it says otherwise");
    assert_eq!([5, 6].map(|tenant| options.weight_of(TenantId(tenant))), [1, 5], "and the weight of a turn is another");
    assert_eq!(share(3, 7), 1, "no shard is closed for good");
}

#[test]
fn the_lesser_queue_limit_counts() {
    let queue = |limits: &str| {
        let config = config(&format!("[limits]\n{limits}"));
        shard_options(&config, &Entries::default(), ShardId(0), 4).queue_messages_max
    };
    assert_eq!(queue("queue = 1000"), 250);
    assert_eq!(queue("queue = 1000\nqueue_per_shard = 200"), 200);
    assert_eq!(queue("queue = 1000\nqueue_per_shard = 900"), 250);
}

#[test]
fn each_error_class_keeps_its_policy() {
    let policy = |n: u64| {
        let (attempts, longest) = (n, 100 + n);
        format!("{{ attempts_max = {attempts}, backoff_min = \"{n}s\", backoff_max = \"{longest}s\", jitter = 0.{n} }}")
    };
    let classes = ["transient", "session", "credential", "our_bug", "unknown"];
    let lines: Vec<String> = classes.iter().zip(1..).map(|(class, n)| format!("{class} = {}", policy(n))).collect();
    let config = config(&format!("[retry]\n{}", lines.join("\n")));
    let [retry, ..] = shard_options(&config, &book(&config), ShardId(0), 1).retry;
    let expected = |n: u16| Backoff {
        attempts_max: n as u8,
        backoff_min_ms: u64::from(n) * 1_000,
        backoff_max_ms: (100 + u64::from(n)) * 1_000,
        jitter_permille: n * 100,
    };
    let found = [retry.transient, retry.session, retry.credential, retry.our_bug, retry.unknown];
    assert_eq!(found, [1, 2, 3, 4, 5].map(expected));
}

#[test]
fn a_class_of_messages_keeps_what_differs_for_it() {
    let retry = |lines: &str| {
        let config = config(&format!("[retry]\n{lines}"));
        shard_options(&config, &book(&config), ShardId(0), 1).retry
    };
    let general = RetryPolicy::default();
    let pauses = |backoff: Backoff| (backoff.attempts_max, backoff.backoff_min_ms, backoff.backoff_max_ms);
    let usual = retry("");
    assert_eq!([usual[0], usual[2], usual[3]], [general; 3]);
    assert_eq!((pauses(usual[1].transient), pauses(usual[1].unknown)), ((5, 2_000, 30_000), (3, 2_000, 30_000)));
    assert_eq!((usual[1].session, usual[1].credential), (general.session, general.credential));
    let own = retry("transient = { backoff_min = \"1s\" }\nmarketing = { attempts_max = 2, jitter = 0.5 }");
    let found = own.map(|policy| pauses(policy.transient));
    assert_eq!(found, [(5, 1_000, 600_000), (5, 2_000, 30_000), (5, 1_000, 600_000), (2, 1_000, 600_000)]);
    assert_eq!((pauses(own[3].unknown), own[3].unknown.jitter_permille), ((2, 30_000, 600_000), 500));
}

#[test]
fn each_class_keeps_its_longest_wait() {
    let wait = |lines: &str| {
        let config = config(&format!("[limits]\n{lines}"));
        shard_options(&config, &book(&config), ShardId(0), 1).class_wait_ms
    };
    assert_eq!(wait(""), [0; 4]);
    let all = "class_wait = { otp = \"1m\", transactional = \"2m\", marketing = \"3m\" }";
    assert_eq!(wait(all), [0, 60_000, 120_000, 180_000]);
}

#[test]
fn the_door_keeps_its_limits_apart() {
    let config = config(
        "[node]\ncores = 4\n[limits]\nmemory = \"64MiB\"\n[http]\nbody_max = \"1MiB\"\ninflate_ratio_max = 7\n\
         line_max = \"2KiB\"\nmessages_max = 3\nconnections_max = 10\nheader_max = \"9KiB\"\nheader_timeout = \"4s\"\n\
         body_timeout = \"5s\"\nwrite_timeout = \"6s\"\nidle_timeout = \"8s\"",
    );
    let limits = http_limits(&config);
    assert_eq!(
        limits,
        http::Limits {
            connections_max: 3,
            header_bytes_max: 9 << 10,
            body_bytes_max: 1 << 20,
            decoded_bytes_max: 1 << 20,
            decoded_ratio_max: 7,
            memory_bytes_max: 7 << 20,
            header_ms: 4_000,
            body_ms: 5_000,
            body_rate_min: u64::MAX,
            idle_ms: 8_000,
            write_ms: 6_000,
            ..http::Limits::DEFAULT
        }
    );
    assert_eq!(limits.check(), Ok(()));
    assert_eq!(request_limits(&config), RequestLimits { line_bytes_max: 2 << 10, messages_max: 3 });
    assert_eq!(cores(&config), 4);
}

#[test]
fn on_many_cores_with_little_memory_something_is_shared_beside_the_loan() {
    let shared = |text: &str| {
        let limits = http_limits(&config(text));
        assert_eq!(limits.check(), Ok(()));
        limits.memory_bytes_max >> 20
    };
    assert_eq!(shared("[node]\ncores = 64\n[limits]\nmemory = \"64MiB\""), 4);
    assert_eq!(shared("[node]\ncores = 16"), 4);
    assert_eq!(shared("[node]\ncores = 2"), 128 - 16);
    assert_eq!(shared("[node]\ncores = 1\n[limits]\nmemory = \"64MiB\""), 16);
}

#[test]
fn tenants_keep_their_keys_and_numbers() {
    let config = config("");
    let specs = tenants(&config, &book(&config));
    let [desk, shop] = specs.as_slice() else { panic!("two tenants") };
    assert_eq!((desk.tenant.id, desk.keys.as_slice()), (TenantId(5), &["desk-key-0123456789".to_owned()][..]));
    let tenant = TenantOptions {
        id: TenantId(6),
        name: "shop".to_owned(),
        from: SenderId::parse("ACME").expect("sender"),
        senders: vec!["ACME*".to_owned(), "72345".to_owned()],
        rate: Some(9),
        quota: Some(Quota { messages: 7, period: Period::Day }),
        countries: vec!["DE".to_owned(), "AT".to_owned()],
        classes: vec![Class::Otp, Class::Transactional],
        recipients: vec![recipients(&config::Recipients { block: vec!["4990*".to_owned()], ..Default::default() })],
    };
    assert_eq!(desk.tenant.classes, [Class::Otp, Class::Transactional, Class::Marketing], "all but emergency");
    let expected = TenantSpec {
        tenant,
        keys: vec!["shop-key-0123456789".to_owned(), "shop-key-9876543210".to_owned()],
        admin_keys: vec!["shop-admin-key-01234".to_owned()],
    };
    assert_eq!(*shop, expected);
}

#[test]
fn a_message_gets_the_defaults() {
    let config = config(
        "[defaults]\nclass = \"marketing\"\nfrom = \"ACME\"\nparts_max = 3\nexpires_in = \"30m\"\nclass_expires_in = { marketing = \"9s\" }",
    );
    let from = SenderId::parse("ACME").expect("sender");
    assert_eq!(
        defaults(&config),
        Defaults { class: Class::Marketing, from, expires_in_ms: [1_800_000, 600_000, 1_800_000, 9_000], parts_max: 3 }
    );
}

/// The problems that `check` reports, one line each, without the file's name.
fn problems(config: &Config) -> Vec<String> {
    let told = |problem: &Problem| format!("{}: {}", problem.path, problem.what);
    check(config, "test.toml").err().map_or_else(Vec::new, |Problems(all)| all.iter().map(told).collect())
}

#[test]
fn check_names_what_cannot_be_done() {
    let mut wrong = config(
        "[node]\nshards = 256\n[http]\ntls = { cert = \"/nowhere/c\", key = \"/nowhere/k\" }\n\
         [defaults]\ncountry = \"XQ\"",
    );
    wrong.http.header_bytes_max = 1_024;
    wrong.http.hosts = vec!["stentor.example".to_owned(), "not a name".to_owned()];
    wrong.routes[2].from = Some("ACME".to_owned());
    wrong.carriers[0].tls =
        Some(config::CarrierTls { ca: Some("/nowhere/ca".into()), ..config::CarrierTls::default() });
    wrong.carriers[1].tls = Some(config::CarrierTls { insecure: true, ..config::CarrierTls::default() });
    wrong.carriers[1].hosts[0].host = "under_score-".to_owned();
    let found = problems(&wrong);
    let begins = [
        "http.tls: /nowhere/c: No such file",
        "carrier.south.tls: /nowhere/ca: No such file",
        "carrier.north.hosts: `under_score-` cannot be in a certificate",
        "node.shards: at most 255",
        "http.hosts: \"not a name\" is not a name such as",
        "route.rest.from: not in this version",
        "defaults.country: there is no numbering plan for `XQ`",
        "http: header_bytes_max must be",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begin) in found.iter().zip(begins) {
        assert!(found.starts_with(begin), "{found}");
    }
    assert_eq!(problems(&config("")), Vec::<String>::new());
}

fn tested(given: &str, expect: &str) -> Vec<String> {
    problems(&config(&format!("[[test]]\ngiven = {{ {given} }}\nexpect = {{ {expect} }}")))
}

#[test]
fn tests_of_the_configuration_go_the_way_of_a_message() {
    let passes = |given: &str, expect: &str| assert_eq!(tested(given, expect), Vec::<String>::new(), "{given}");
    passes("to = \"+4915112345678\", from = \"ACME\", body = \"Hello\"", "route = \"brand\", encoding = \"latin1\"");
    passes("to = \"+4915112345678\", body = \"Привет\"", "route = \"rest\", encoding = \"ucs2\"");
    passes("to = \"+33612345678\", body = \"{}\"", "route = \"rest\", encoding = \"gsm7\"");
    passes(
        "to = \"+4915112345678\", class = \"otp\", tenant = \"shop\", tags = [\"x\", \"login\"]",
        "route = \"codes\"",
    );
    passes("to = \"+4915112345678\", tenant = \"shop\"", "route = \"brand\"");
    passes("to = \"0\"", "reject = \"invalid_recipient\"");
    passes("to = \"+4915112345678\", from = \"far too long a sender\"", "reject = \"invalid_sender\"");
    passes("to = \"+4915112345678\", from = \"OTHER\", tenant = \"shop\"", "reject = \"sender_not_allowed\"");
    passes("to = \"+33612345678\", tenant = \"shop\"", "reject = \"country_not_allowed\"");
    passes("to = \"+4990123456\", tenant = \"shop\"", "reject = \"recipient_not_allowed\"");
    passes("to = \"+4930999999\"", "reject = \"recipient_not_allowed\"");
    passes("to = \"+4915112345678\", class = \"marketing\", tenant = \"shop\"", "reject = \"class_not_allowed\"");
    passes("to = \"+4915112345678\", class = \"emergency\", tenant = \"desk\"", "reject = \"class_not_allowed\"");
    let long = "word ".repeat(1_000);
    passes(&format!("to = \"+33612345678\", body = \"{long}\""), "reject = \"too_many_parts\"");
    let failed = tested("to = \"+4915112345678\", from = \"ACME\"", "route = \"rest\"");
    assert!(failed.len() == 1 && failed[0].contains("expected route `rest`, got route `brand`"), "{failed:?}");
}
