//! What a reload would change, and the `[[test]]` tables of a file.

use super::super::{Decision, diff};
use super::{LEAST, parse, with};

const TWO: &str = r#"
[http]
idle_timeout = "60s"
[[carrier]]
name = "a"
hosts = ["h1"]
system_id = "me"
password = "old"
window = 5
[[carrier]]
name = "b"
hosts = ["h2"]
system_id = "me"
[[route]]
name = "otp"
when = { class = "otp" }
carriers = [{ name = "a" }]
[[route]]
name = "rest"
when = { prefix = "4" }
carriers = [{ name = "b", weight = 5 }]
[[tenant]]
name = "t"
keys = ["0123456789abcdef"]
"#;

/// The changes, as printed, after each `(old, new)` is replaced in `TWO`.
fn changes(replace: &[(&str, &str)]) -> Vec<String> {
    let mut text = TWO.to_owned();
    for (old, new) in replace {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let (old, new) = (parse(TWO).expect("it loads"), parse(&text).expect("it loads"));
    diff(&old, &new).iter().map(ToString::to_string).collect()
}

#[test]
fn changes_are_told_by_key() {
    assert_eq!(changes(&[]), [""; 0]);
    assert_eq!(changes(&[("\"60s\"", "\"1m\"")]), [""; 0], "the same duration, written differently");
    assert_eq!(
        changes(&[("window = 5", "window = 6\nrate = 9"), ("weight = 5", "weight = 4"), ("\"60s\"", "\"2m\"")]),
        [
            "carrier.a.rate: nothing → 9",
            "carrier.a.window: 5 → 6",
            "http.idle_timeout: \"1m\" → \"2m\"",
            "route.rest.carriers.b.weight: 5 → 4",
        ]
    );
}

#[test]
fn what_a_tenant_may_have_changes_while_it_runs() {
    assert_eq!(changes(&[("name = \"t\"", "name = \"t\"\nshares = 4")]), ["tenant.t.shares: 1 → 4"]);
    assert_eq!(
        changes(&[("name = \"t\"", "name = \"t\"\nweight = 7\nclasses = [\"otp\"]")]),
        ["tenant.t.classes: [\"otp\", \"transactional\", \"marketing\"] → [\"otp\"]", "tenant.t.weight: 1 → 7"]
    );
}

#[test]
fn secrets_change_unseen() {
    assert_eq!(
        changes(&[("\"old\"", "\"new\""), ("0123456789abcdef", "fedcba9876543210")]),
        ["carrier.a.password: (secret) → (secret)", "tenant.t.keys: (secret) → (secret)"]
    );
}

#[test]
fn what_needs_a_restart_says_so() {
    assert_eq!(
        changes(&[("[http]", "[node]\nid = 7\n[http]\nlisten = \"127.0.0.1:1\"")]),
        ["http.listen: [\"127.0.0.1:8080\"] → [\"127.0.0.1:1\"] (needs a restart)", "node.id: 0 → 7 (needs a restart)",]
    );
}

#[test]
fn the_order_of_routes_counts_and_that_of_carriers_does_not() {
    let (first, second) = ("when = { class = \"otp\" }", "when = { prefix = \"4\" }");
    let routes_swapped = TWO
        .replace("\"otp\"\nwhen", "\"x\"\nwhen")
        .replace("\"rest\"\nwhen", "\"otp\"\nwhen")
        .replace("\"x\"\nwhen", "\"rest\"\nwhen")
        .replace(first, "WHEN")
        .replace(second, first)
        .replace("WHEN", second)
        .replace("{ name = \"a\" }", "SHARE")
        .replace("{ name = \"b\", weight = 5 }", "{ name = \"a\" }")
        .replace("SHARE", "{ name = \"b\", weight = 5 }");
    let carrier = "[[carrier]]\nname = \"b\"\nhosts = [\"h2\"]\nsystem_id = \"me\"\n";
    let carriers_swapped = TWO.replace(carrier, "") + carrier;
    let against = |text: &str| -> Vec<String> {
        let (old, new) = (parse(TWO).expect("it loads"), parse(text).expect("it loads"));
        diff(&old, &new).iter().map(ToString::to_string).collect()
    };
    assert_eq!(against(&routes_swapped), ["route: otp → rest → rest → otp"]);
    assert_eq!(against(&carriers_swapped), [""; 0]);
}

#[test]
fn expectations_are_compared() {
    let text = with("")
        + "[[test]]\ngiven = { to = \"+491\", body = \"x\" }\nexpect = { route = \"all\", encoding = \"gsm7\" }\n\
           [[test]]\ngiven = { to = \"0\" }\nexpect = { reject = \"invalid_recipient\" }\n";
    assert_eq!(text.lines().position(|line| line == "[[test]]"), Some(LEAST.lines().count()));
    let config = parse(&text).expect("it loads");
    let sent = |encoding| Decision::Sent { route: "all".to_owned(), encoding };
    let rightly = config.failed_tests(|given| match given.to.as_str() {
        "0" => Decision::Rejected("invalid_recipient".to_owned()),
        _ => sent(Some(super::super::CarrierEncoding::Gsm7)),
    });
    assert_eq!(rightly, Ok(()));
    let wrongly = config.failed_tests(|given| match given.to.as_str() {
        "0" => sent(None),
        _ => sent(Some(super::super::CarrierEncoding::Ucs2)),
    });
    assert_eq!(
        wrongly.expect_err("both fail").to_string(),
        "t.toml:9:1: test[0]: expected route `all` with encoding `gsm7`, got route `all` with encoding `ucs2`\n\
         t.toml:12:1: test[1]: expected rejection `invalid_recipient`, got route `all`"
    );
    let refused = config.failed_tests(|_| Decision::Rejected("no_route".to_owned()));
    assert_eq!(
        refused.expect_err("both fail").to_string(),
        "t.toml:9:1: test[0]: expected route `all` with encoding `gsm7`, got rejection `no_route`\n\
         t.toml:12:1: test[1]: expected rejection `invalid_recipient`, got `no_route`"
    );
}
