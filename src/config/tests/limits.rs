//! `[[limit]]`: what is read, and what each refusal says.

use super::super::{Limit, LimitWhen, diff};
use super::{LEAST, parse, with};
use stentor_core::limit::{Of, Over, Per, Span};
use stentor_core::model::{Class, Zone};

/// Checks the problems of the smallest file with a limit of these lines in front of it, from line 3 on.
fn check(lines: &str, expected: &[&str]) {
    let problems = parse(&with(&format!("[[limit]]\nname = \"x\"\n{lines}\n"))).expect_err(lines).to_string();
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected, "\n{lines}");
}

fn read(limit: &str) -> Limit {
    let config = parse(&with(&format!("[[limit]]\nname = \"x\"\n{limit}\n"))).expect(limit);
    config.sending_limits.into_iter().next().expect("a limit")
}

#[test]
fn a_limit_has_defaults_and_conditions() {
    let least = read("rate = \"500/s\"");
    assert_eq!((least.name.as_str(), &least.when), ("x", &LimitWhen::default()));
    assert_eq!((least.per, least.of, least.over), (Per::All, Of::Parts, Over::Wait));
    assert_eq!((least.rate.amount, least.rate.span, least.zone), (500, Span::Sliding(1_000), Zone::UTC));
    let when =
        "{ country = [\"DE\", \"AT\"], class = \"marketing\", carrier = \"one\", tag = \"t\", sender = \"+49 151*\" }";
    let full = read(&format!(
        "when = {when}\nper = \"sender\"\nof = \"messages\"\nrate = \"10000 per month\"\nzone = \"Europe/Berlin\"\nover = \"refuse\""
    ));
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let expected = LimitWhen {
        country: texts(&["DE", "AT"]),
        class: vec![Class::Marketing],
        tenant: Vec::new(),
        carrier: texts(&["one"]),
        tag: texts(&["t"]),
        sender: texts(&["49151*"]),
    };
    assert_eq!(full.when, expected, "a sender is written as it is sent");
    assert_eq!((full.per, full.of, full.over), (Per::Sender, Of::Messages, Over::Refuse));
    assert_eq!((full.rate.amount, full.rate.span), (10_000, Span::Month(full.zone)));
    assert_eq!(serde_json::to_value(&full).expect("it is shown")["zone"], "Europe/Berlin");
    assert_eq!(read("rate = \"1 per month\"").rate.span, Span::Month(Zone::UTC));
    assert_eq!(read("rate = \"1/d\"\nzone = \"UTC\"").zone, Zone::UTC);
}

#[test]
fn what_a_limit_cannot_do_is_refused() {
    check("", &["t.toml:1:1: limit.x: `rate` is missing"]);
    let rates = "expected a rate such as \"500/s\", \"1 per 10s\", \"1000 per day\" or \"10000 per month\"";
    check("rate = 500", &[&format!("t.toml:3:8: limit.x.rate: invalid value: integer `500`, {rates}")]);
    check("rate = \"1/week\"", &[&format!("t.toml:3:8: limit.x.rate: invalid value: string \"1/week\", {rates}")]);
    check("rate = \"0/s\"", &["t.toml:3:8: limit.x.rate: 0 is out of range: write a number from 1 to 1000000000000"]);
    let span = "is out of range: write a time from 1s to 31d, or \"month\"";
    for (rate, ms) in [("1 per 999ms", "999ms"), ("1/32d", "32d")] {
        check(&format!("rate = \"{rate}\""), &[&format!("t.toml:3:8: limit.x.rate: {ms} {span}")]);
    }
    check(
        "rate = \"1/s\"\nper = \"bind\"\nof = \"recipients\"\nzone = \"Europe/Berlin\"",
        &[
            "t.toml:4:7: limit.x.per: \"bind\" is not supported: use `bind_rate` of the carrier",
            "t.toml:5:6: limit.x.of: \"recipients\" is not supported in this version: count \"messages\" or \"parts\"",
            "t.toml:6:8: limit.x.zone: \"Europe/Berlin\" is for a rate \"per month\" only: in any other time, a day too, the limit \
             holds whenever it begins",
        ],
    );
    check(
        "rate = \"1/s\"\nper = \"recipient\"\nover = \"drop\"",
        &[
            "t.toml:4:7: limit.x.per: \"recipient\" is not supported in this version: count by another value, such as \"sender\"",
            "t.toml:5:8: limit.x.over: \"drop\" is not one of wait, refuse",
        ],
    );
}

#[test]
fn a_zone_that_is_unknown_is_refused() {
    let what = "is not a time zone: write an IANA name such as \"Europe/Berlin\"";
    for (zone, meant) in [
        ("Europe/Berln", "; did you mean \"Europe/Berlin\"?"),
        ("europe/berlin", "; did you mean \"Europe/Berlin\"?"),
        ("Middle-earth/Rivendell", ""),
        ("+01:00", ""),
    ] {
        let expected = format!("t.toml:4:8: limit.x.zone: \"{zone}\" {what}{meant}");
        check(&format!("rate = \"1 per month\"\nzone = \"{zone}\""), &[&expected]);
    }
}

#[test]
fn conditions_that_cannot_hold_are_refused() {
    check(
        "rate = \"1/s\"\nwhen = { country = [\"de\", \"XQ\"], class = \"opt\" }",
        &[
            "t.toml:4:20: limit.x.when.country: \"de\" is not a country code: write two capital letters (ISO 3166) such as \"DE\"",
            "t.toml:4:20: limit.x.when.country: \"XQ\" is not a country with phone numbers: write an ISO 3166 code such as \"DE\"",
            "t.toml:4:42: limit.x.when.class: \"opt\" is not one of emergency, otp, transactional, marketing; did you mean \"otp\"?",
        ],
    );
    check(
        "rate = \"1/s\"\nwhen = { carrier = \"on\", tenant = \"shop\", tag = [] }",
        &[
            "t.toml:4:20: limit.x.when.carrier: there is no carrier `on`; did you mean `one`?",
            "t.toml:4:35: limit.x.when.tenant: there is no tenant `shop`: no [[tenant]] is configured",
            "t.toml:4:49: limit.x.when.tag: an empty list matches nothing; leave `tag` out to match everything",
        ],
    );
}

#[test]
fn there_are_so_many_limits_and_each_has_its_name() {
    let limits = |names: &[String]| {
        let limit = |name: &String| format!("[[limit]]\nname = \"{name}\"\nrate = \"1/s\"\n");
        let text = LEAST.to_owned() + &names.iter().map(limit).collect::<String>();
        parse(&text).err().map(|problems| problems.to_string())
    };
    let mut many: Vec<String> = (0..1_000).map(|number| format!("l{number}")).collect();
    assert_eq!(limits(&many), None);
    many.push("one-more".to_owned());
    let told = limits(&many).expect("one too many");
    assert_eq!(told, "t.toml:3009:1: limit.one-more: there may be 1000 limits: remove this one and those after it");
    let twice = limits(&["a-b".to_owned(), "a-b".to_owned(), "a_b".to_owned()]).expect("two of one name");
    let lines: Vec<&str> = twice.lines().collect();
    assert_eq!(lines[0], "t.toml:12:1: limit.a-b: another limit already has this name: rename one of them");
    assert!(lines[1].starts_with("t.toml:15:1: limit.a_b: differs from limit `a-b` only in - and _"), "{twice}");
}

#[test]
fn a_reload_tells_of_limits_by_name() {
    let limit = |rate: &str| format!("[[limit]]\nname = \"x\"\nrate = \"{rate}\"\n");
    let [old, same, new] = ["60/m", "60 per 1m", "2 per 1s"].map(|rate| parse(&with(&limit(rate))).expect(rate));
    assert_eq!(diff(&old, &same), [], "the same rate, written differently");
    let told: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["limit.x.rate: \"60/m\" → \"2/s\""]);
    let none = parse(LEAST).expect("it loads");
    assert!(diff(&none, &new).iter().all(|change| !change.needs_restart && change.path.starts_with("limit")));
}
