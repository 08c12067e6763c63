//! Environment variables that override the file.

use super::super::Config;
use super::{LEAST, parse, parse_under};

/// The smallest file with one variable set: the configuration, or its problems as printed.
fn under(name: &str, value: &str) -> Result<Config, String> {
    parse_under(LEAST, &[(name, value)]).map_err(|problems| problems.to_string())
}

/// The problem that a variable causes, as printed.
fn complaint(name: &str, value: &str) -> String {
    under(name, value).expect_err("it is refused")
}

#[test]
fn every_kind_of_value_can_be_given() {
    let config = parse_under(
        LEAST,
        &[
            ("STENTOR__HTTP__LISTEN", "127.0.0.1:9090"),
            ("STENTOR__HTTP__IDLE_TIMEOUT", "2m"),
            ("STENTOR__HTTP__TLS__KEY", "other"),
            ("STENTOR__HTTP__TLS", "{ cert = 'c', key = 'k' }"),
            ("STENTOR__NODE__SHARDS", "4"),
            ("STENTOR__NODE__CORES", "auto"),
            ("STENTOR__DEFAULTS__IN_DOUBT__OTP", "hold"),
            ("STENTOR__CARRIER__ONE__PORT", "2999"),
            ("STENTOR__CARRIER__ONE__PASSWORD", "12345678"),
            ("STENTOR__CARRIER__ONE__SYSTEM_ID", "\"quoted\""),
            ("STENTOR__CARRIER__ONE__TRANSLITERATE", "true"),
            ("STENTOR__CARRIER__ONE__RATE", "70"),
            ("STENTOR__CARRIER__ONE__ERRORS__0X58", "transient"),
            ("STENTOR__CARRIER__ONE__NUMBERING__RECIPIENT", "[2, 8]"),
            ("STENTOR__ROUTE__ALL__WHEN__PREFIX", "49"),
            ("STENTOR__ROUTE__ALL__WHEN__CLASS", "[\"otp\", \"marketing\"]"),
            ("STENTOR_CONFIG", "not ours"),
            ("PATH", "/bin"),
        ],
    )
    .expect("it loads");
    assert_eq!(config.http.listen[0].to_string(), "127.0.0.1:9090");
    assert_eq!(config.http.idle_timeout_ms, 120_000);
    let tls = config.http.tls.expect("TLS was given");
    assert_eq!((tls.cert.to_str(), tls.key.to_str()), (Some("c"), Some("other")));
    assert_eq!((config.node.shards, config.node.cores), (Some(4), None));
    assert_eq!(config.defaults.in_doubt.otp, super::super::DoubtPolicy::Hold);
    let carrier = &config.carriers[0];
    assert_eq!(carrier.hosts[0].to_string(), "127.0.0.1:2999");
    assert_eq!((carrier.password.reveal(), carrier.system_id.as_str()), ("12345678", "quoted"));
    assert_eq!((carrier.transliterate, carrier.rate_parts_per_s), (true, Some(70)));
    assert_eq!(carrier.errors.get(&0x58), Some(&super::super::ErrorFamily::Transient));
    assert_eq!((carrier.numbering.recipient.ton, carrier.numbering.recipient.npi), (2, 8));
    assert_eq!(config.routes[0].when.prefix, ["49"]);
    assert_eq!(config.routes[0].when.class.len(), 2);
}

#[test]
fn a_list_takes_one_value_or_a_whole_list() {
    let hosts = |value| {
        let config = under("STENTOR__CARRIER__ONE__HOSTS", value).expect("it loads");
        config.carriers[0].hosts.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(hosts("10.0.0.1:3000"), ["10.0.0.1:3000"]);
    assert_eq!(hosts("[\"10.0.0.1:3000\", \"[::1]\"]"), ["10.0.0.1:3000", "[::1]:2775"]);
}

#[test]
fn a_hyphen_is_an_underscore() {
    let text = LEAST.replace("\"one\"", "\"north-1\"");
    let config = parse_under(&text, &[("STENTOR__CARRIER__NORTH_1__WINDOW", "77")]).expect("it loads");
    assert_eq!(config.carriers[0].window, 77);
    assert_eq!(parse(&text).expect("it loads").carriers[0].window, 10);
}

#[test]
fn problems_name_the_variable() {
    let cases = [
        (
            "STENTOR__HTTP__LISEN",
            "x",
            "environment variable STENTOR__HTTP__LISEN: `lisen`: unknown key; did you mean `listen`?",
        ),
        (
            "STENTOR__HTTP",
            "x",
            "environment variable STENTOR__HTTP: is a table: append __KEY to set one key, or write the whole table as { key = value, … }",
        ),
        (
            "STENTOR__",
            "x",
            "environment variable STENTOR__: ``: unknown key; the known ones are node, http, defaults, limits, recipients, retry, log, carrier, route, tenant, limit, test",
        ),
        (
            "STENTOR__HTTP__LISTEN__X",
            "x",
            "environment variable STENTOR__HTTP__LISTEN__X: `listen` is not a table: remove what follows it in the variable's name",
        ),
        (
            "STENTOR__CARRIER__ON__WINDOW",
            "1",
            "environment variable STENTOR__CARRIER__ON__WINDOW: there is no [[carrier]] named `on`; did you mean `one`?",
        ),
        (
            "STENTOR__CARRIER__ONE",
            "1",
            "environment variable STENTOR__CARRIER__ONE: is a table: append one of its keys, as in STENTOR__CARRIER__ONE__KEY",
        ),
        (
            "STENTOR__TENANT__X__RATE",
            "1",
            "environment variable STENTOR__TENANT__X__RATE: the file has no [[tenant]], and a variable cannot add one: add it to the file",
        ),
        (
            "STENTOR__TEST__X",
            "1",
            "environment variable STENTOR__TEST__X: `test` is a list whose elements have no names: set the whole list as [ … ]",
        ),
        (
            "STENTOR__CARRIER__ONE__WINDOW",
            "0",
            "environment variable STENTOR__CARRIER__ONE__WINDOW: carrier.one.window: invalid value: integer `0`, expected a whole number from 1 to 65536",
        ),
        (
            "STENTOR__CARRIER__ONE__WINDOW",
            "many",
            "environment variable STENTOR__CARRIER__ONE__WINDOW: carrier.one.window: invalid type: string \"many\", expected a whole number from 1 to 65536",
        ),
        (
            "STENTOR__HTTP__IDLE_TIMEOUT",
            "75",
            "environment variable STENTOR__HTTP__IDLE_TIMEOUT: http.idle_timeout: invalid value: string \"75\", expected a duration such as \"250ms\", \"10s\", \"5m\", \"72h\" or \"30d\"",
        ),
        (
            "STENTOR__HTTP__LISTEN",
            "0.0.0.0:80",
            "environment variable STENTOR__HTTP__LISTEN: http.listen: without a [[tenant]] there is no authentication, so only loopback addresses are allowed: listen on 127.0.0.1 or [::1], or add a [[tenant]]",
        ),
    ];
    for (name, value, expected) in cases {
        assert_eq!(complaint(name, value), expected);
    }
}
