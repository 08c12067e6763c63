//! Numbers and names as written in the file and as sent to carriers: senders, number ranges, values that a carrier assigns.

use std::ops::Range;

use super::{LEAST, parse, with};

#[test]
fn senders_are_told_as_they_leave_however_they_are_written() {
    let text = with(
        "[defaults]\ncountry = \"DE\"\nfrom = \"+49 151 123\"\n[[tenant]]\nname = \"a\"\nkeys = [\"not-a-secret-any-more\"]\n\
         from = \"0049 (0) 151/12345678\"\nsenders = [\"+49 151*\", \"SHOP*\", \"0049 160 1234567\"]\n\
         [[route]]\nname = \"first\"\nwhen = { sender = [\"+49-151*\", \"24/7\", \"*\"] }\nfrom = \"004915112345678\"\n\
         carriers = [{ name = \"one\" }]\n",
    );
    let config = parse(&text).expect("it loads");
    assert_eq!(config.defaults.from.as_deref(), Some("49151123"));
    let tenant = &config.tenants[0];
    assert_eq!(tenant.from.as_deref(), Some("4915112345678"), "it is among the tenant's senders");
    assert_eq!(tenant.senders, ["49151*", "SHOP*", "491601234567"]);
    let route = &config.routes[0];
    assert_eq!(
        (route.from.as_deref(), &route.when.sender[..]),
        (Some("4915112345678"), &["49151*", "24/7", "*"].map(str::to_owned)[..])
    );
}

#[test]
fn a_sender_that_is_no_number_is_told_why() {
    let wrong = parse(&with("[defaults]\nfrom = \"+72345\"\n")).expect_err("no such number").to_string();
    assert_eq!(
        wrong,
        "t.toml:2:8: defaults.from: \"+72345\" is not a valid sender: 4 digits after +7; numbers there have 10 or 14"
    );
    let wrong = parse(&with("[defaults]\nfrom = \" - \"\n")).expect_err("nothing in it").to_string();
    assert!(wrong.ends_with("with a letter or digit among them"), "{wrong}");
}

#[test]
fn ranges_of_numbers_are_known_to_senders_too() {
    let ranges = "number_ranges = [{ prefix = \"+21099\", digits = [11] }, { prefix = \"4767\", digits = [14, 15] }]";
    let config = parse(&with(&format!("[defaults]\nfrom = \"+210 99 123456\"\n{ranges}\n"))).expect("it loads");
    let told: Vec<_> =
        config.defaults.number_ranges.iter().map(|range| (&range.prefix[..], &range.digits[..])).collect();
    assert_eq!(told, [("21099", &[11][..]), ("4767", &[14, 15])]);
    assert_eq!(config.defaults.from.as_deref(), Some("21099123456"));
    for wrong in [
        "{ prefix = \"049\", digits = [10] }",
        "{ prefix = \"4a\", digits = [10] }",
        "{ prefix = \"12345678\", digits = [7] }",
    ] {
        let told = parse(&with(&format!("[defaults]\nnumber_ranges = [{wrong}]\n"))).expect_err(wrong).to_string();
        assert!(told.starts_with("t.toml:2:18: defaults.number_ranges[0]: no number can match"), "{told}");
    }
    let told = parse(&with("[defaults]\nnumber_ranges = [{ digits = [10] }]\n")).expect_err("no prefix").to_string();
    assert!(told.contains("`prefix` is missing"), "{told}");
}

#[test]
fn what_a_carrier_dictates_is_taken_beyond_the_specification() {
    let with_account = |id: &str, password: &str| {
        LEAST.replace("system_id = \"me\"", &format!("system_id = \"{id}\"\npassword = \"{password}\""))
    };
    let config = parse(&with_account("me", "secret08")).expect("it loads");
    assert_eq!(config.carriers[0].beyond_smpp(), []);
    let config = parse(&with_account("a-name-of-20-octets-", "0123456789ab")).expect("it loads");
    let carrier = &config.carriers[0];
    assert_eq!((carrier.system_id.as_str(), carrier.password.reveal()), ("a-name-of-20-octets-", "0123456789ab"));
    let told: Vec<String> = carrier.beyond_smpp().into_iter().map(|(key, what)| format!("{key}: {what}")).collect();
    assert_eq!(
        told,
        [
            "system_id: 20 bytes, more than the 15 that SMPP 3.4 allows; sent in full",
            "password: 12 bytes, more than the 8 that SMPP 3.4 allows; sent in full",
        ]
    );
    let long = "x".repeat(256);
    let told = parse(&with_account("me", &long)).expect_err("more than the PDU takes").to_string();
    assert_eq!(told, "t.toml:6:12: carrier.one.password: is 256 bytes long; at most 255 can be sent");
}

/// The problems, as printed, of a file whose tenants have these numbers.
fn refused(tenants: &[&str]) -> Vec<String> {
    let table = |(at, numbers): (usize, &&str)| {
        format!("[[tenant]]\nname = \"t{at}\"\nkeys = [\"{}\"]\nnumbers = [{numbers}]\n", format!("{at}").repeat(16))
    };
    let text = LEAST.to_owned() + &tenants.iter().enumerate().map(table).collect::<String>();
    let problems = parse(&text).err().map(|problems| problems.to_string()).unwrap_or_default();
    problems.lines().map(str::to_owned).collect()
}

#[test]
fn a_number_that_no_handset_can_write_to_is_refused() {
    let ends = "is not a number: write up to 20 digits such as \"+4915112345678\" or \"72345\"";
    let wrong = ["", "+", "00", "0049 151", "+49-151", "ACME", "++49", "123456789012345678901", "\u{663}\u{664}"];
    for number in wrong {
        let told = refused(&[&format!("\"72345\", \"{number}\"")]);
        assert_eq!(told, [format!("t.toml:12:21: tenant.t0.numbers[1]: \"{number}\" {ends}")]);
    }
    assert_eq!(refused(&["\"+12345678901234567890\", \"0\", \"110\", \"004915112345678\""]), Vec::<String>::new());
}

#[test]
fn a_number_has_one_owner_however_it_is_written() {
    for (one, other) in [("72345", "72345"), ("+4915112345678", "4915112345678"), ("004915112345678", "+4915112345678")]
    {
        let told = refused(&[&format!("\"{one}\""), &format!("\"1\", \"{other}\"")]);
        let what = "tenant.t1.numbers[1]: this number already belongs to tenant `t0`: list it once";
        assert_eq!(told, [format!("t.toml:16:17: {what}")]);
        let told = refused(&[&format!("\"{one}\", \"{other}\"")]);
        assert!(told[0].contains("tenant.t0.numbers[1]: this number already belongs to tenant `t0`"), "{told:?}");
    }
}

#[test]
fn tenants_have_so_many_numbers_and_no_more() {
    let numbers = |range: Range<u32>| range.map(|at| format!("\"7{at:05}\"")).collect::<Vec<_>>().join(", ");
    let (first, second) = (numbers(0..6_000), numbers(6_000..10_000));
    assert_eq!(refused(&[&first, &second]), Vec::<String>::new());
    let told = refused(&[&first, &second, &numbers(10_000..10_500)]);
    let [told] = &told[..] else { panic!("told {} times", told.len()) };
    let what = "tenant.t2.numbers[0]: all tenants together may have 10000 numbers: remove this one and those after it";
    assert!(told.ends_with(what), "{told}");
}
