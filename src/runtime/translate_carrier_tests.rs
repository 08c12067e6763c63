//! On which cores links run, and that no key of a carrier ends up in another's place.

use std::collections::BTreeSet;

use super::super::tests::{book, config};
use super::*;
use crate::{host::clock::Clock, runtime::translate};
use stentor_core::link::{BindKind, CarrierEncoding, Numbering, TonNpi};
use stentor_core::model::{ErrorFamily, ShardId};
use stentor_smpp::coding::DefaultAlphabet;
use stentor_smpp::split::Splitting;
use stentor_smpp::tlv::Tlvs;

fn carrier(text: &str) -> config::Carrier {
    let text = format!(
        "[[carrier]]\nname = \"other\"\nhosts = [\"h\"]\nsystem_id = \"o\"\n\
         [[carrier]]\nname = \"this\"\nhosts = [\"192.0.2.9:99\", \"[2001:db8::1]\"]\nsystem_id = \"s\"\n{text}\n\
         [[route]]\nname = \"all\"\ncarriers = [{{ name = \"this\" }}, {{ name = \"other\" }}]"
    );
    let config = Config::parse("test.toml", &text, []).unwrap_or_else(|problems| panic!("{problems}"));
    config.carriers.into_iter().nth(1).expect("a second carrier")
}

fn options_of(text: &str) -> link::Options {
    let link = LinkId { carrier: CarrierId(7), core: 3 };
    options(&carrier(text), link, GroupId(5), ShardMap::new(4, 2))
}

fn resolver() -> Resolver {
    Resolver::with(Clock::start(), 0, |_| Ok(Vec::new())).expect("no thread")
}

/// Binds by core.
fn spread(text: &str, id: u16, cores: u8, shards: u8) -> Vec<u16> {
    let carrier = carrier(text);
    (0..cores).map(|core| binds_on(&carrier, CarrierId(id), core, ShardMap::new(shards, cores))).collect()
}

#[test]
fn a_carrier_with_a_rate_lives_on_one_core() {
    assert_eq!(spread("rate = 10\nbinds = 8", 5, 4, 4), [0, 8, 0, 0]);
    assert_eq!(spread("rate = 10\nbinds = 8", 6, 4, 4), [0, 0, 8, 0]);
    assert_eq!(spread("rate = 10\nbinds = 0", 6, 4, 4), [0, 0, 1, 0]);
    assert_eq!(spread("rate = 10", 7, 4, 2), [0, 1, 0, 0], "only on a core that runs shards");
}

#[test]
fn a_carrier_that_is_asked_has_one_pace_and_so_one_core() {
    assert_eq!(spread("receipts = \"query\"\nbinds = 8", 5, 4, 4), [0, 8, 0, 0]);
    let asked = options_of("receipts = \"query\"\nquery_rate = \"3/s\"\nquery_after = \"90s\"").query;
    assert_eq!(asked, Some(QueryOptions { rate_per_s: 3, first_ms: 90_000 }));
    let usual = options_of("receipts = \"query\"").query;
    assert_eq!(usual, Some(QueryOptions { rate_per_s: 10, first_ms: 60_000 }));
    assert_eq!(options_of("query_rate = 3").query, None, "its receipts come by themselves");
}

#[test]
fn binds_are_spread_where_there_are_enough() {
    assert_eq!(spread("binds = 0", 3, 4, 4), [1, 1, 1, 1]);
    assert_eq!(spread("binds = 0", 3, 4, 2), [1, 1, 0, 0], "nothing comes from the other cores");
    assert_eq!(spread("binds = 4", 3, 4, 4), [1, 1, 1, 1]);
    assert_eq!(spread("binds = 10", 1, 4, 4), [2, 3, 3, 2], "what is left over begins at home");
    assert_eq!(spread("binds = 10\nbind_rate = 5", 0, 4, 4), [3, 3, 2, 2]);
    assert_eq!(spread("binds = 3", 5, 4, 4), [0, 3, 0, 0], "too few: some shards would have no link");
    assert_eq!(spread("binds = 3", 5, 1, 4), [3]);
    assert_eq!(spread("binds = 0", 5, 1, 4), [1]);
}

/// For any configuration: the links that a shard refers to exist, and every bind is on some core.
#[test]
fn the_catalog_leads_to_links_that_exist() {
    for (rate, binds) in (0..2).flat_map(|rate| (0..7).map(move |binds| (rate, binds))) {
        let rate = if rate == 0 { "" } else { "rate = 10" };
        let carrier = carrier(&format!("binds = {binds}\n{rate}"));
        for (id, cores, shards) in
            (0..4).flat_map(|id| (1..5).flat_map(move |c| (1..6).map(move |s| (CarrierId(id), c, s))))
        {
            let map = ShardMap::new(shards, cores);
            let per_core: Vec<u16> = (0..cores).map(|core| binds_on(&carrier, id, core, map)).collect();
            let led_to: BTreeSet<u8> =
                (0..shards).map(|shard| home(&carrier, id, map).unwrap_or(map.core_of(ShardId(shard)).0)).collect();
            let running: BTreeSet<u8> = (0..cores).filter(|core| per_core[usize::from(*core)] > 0).collect();
            assert_eq!(led_to, running, "{binds} binds, {rate}, {id:?}, {cores} cores, {shards} shards");
            let expected = if binds > 0 { binds } else { running.len() as u16 };
            assert_eq!(per_core.iter().sum::<u16>(), expected);
        }
    }
}

#[test]
fn catalog_and_links_of_a_whole_configuration_agree() {
    let config = config("");
    let control = book(&config);
    let map = ShardMap::new(4, 2);
    let catalog = translate::catalog(&config, &control, map);
    let wanted: BTreeSet<LinkId> =
        (0..4).flat_map(|shard| catalog.links_of(ShardId(shard))).map(|(link, _)| link).collect();
    let mut made = BTreeSet::new();
    for core in 0..2 {
        for (options, dial) in links(&config, &control, core, Mono(77), map, &resolver()).expect("links") {
            assert_eq!((options.silent_until, options.shards, options.binds), (Mono(77), map, 1));
            assert_eq!(options.group, GroupId(if options.name == "south" { 4 } else { 5 }));
            assert_eq!(dial.hosts[0].name, if options.name == "south" { "192.0.2.1" } else { "192.0.2.2" });
            made.insert(options.link);
        }
    }
    assert_eq!(made, wanted);
}

/// Binds 0, 1, 2 … of all of a carrier's binds, on whatever cores, begin with hosts 0, 1, 2 …
#[test]
fn binds_are_numbered_over_all_cores() {
    let text = "[[carrier]]\nname = \"this\"\nhosts = [\"a\", \"b\"]\nsystem_id = \"s\"\nbinds = 10\n\
                [[route]]\nname = \"all\"\ncarriers = [{ name = \"this\" }]";
    let config = Config::parse("test.toml", text, []).unwrap_or_else(|problems| panic!("{problems}"));
    let (control, map) = (book(&config), ShardMap::new(4, 4));
    let mut next = 0;
    for core in 0..4 {
        for (options, _) in links(&config, &control, core, Mono(0), map, &resolver()).expect("links") {
            assert_eq!((options.binds_before, options.hosts), (next, 2));
            next += options.binds;
        }
    }
    assert_eq!(next, 10);
}

#[test]
fn the_account_is_told_as_bytes() {
    let account = options_of(
        "password = \"pass\"\nsystem_type = \"type\"\naddress_range = \"^1\"\nservice_type = \"CMT\"\ngroup = \"g\"",
    );
    let expected = Account {
        system_id: b"s".to_vec(),
        password: b"pass".to_vec(),
        system_type: b"type".to_vec(),
        address_range: b"^1".to_vec(),
    };
    assert_eq!((account.account, account.service_type), (expected, b"CMT".to_vec()));
    assert_eq!((account.name.as_str(), account.link.core, account.link.carrier), ("this", 3, CarrierId(7)));
    assert_eq!((account.group, account.hosts), (GroupId(5), 2));
}

#[test]
fn quantities_are_not_crossed() {
    let told = options_of(
        "binds = 3\nwindow = 4\nrate = 5\nbind_rate = 6\nclass_ceiling = 70\nregistered_delivery = 7\nbind = \"pair\"\n\
         connect_timeout = \"11s\"\nresponse_timeout = \"12s\"\nenquire_link = \"13s\"\nreconnect_min = \"14s\"\n\
         reconnect_max = \"15s\"\nvalidity = false\ntransliterate = true",
    );
    assert_eq!((told.binds, told.window, told.registered_delivery), (3, 4, 7));
    assert_eq!((told.rate_parts_per_s, told.bind_rate_parts_per_s, told.class_ceiling), (Some(5), Some(6), 70));
    let times = [
        told.connect_timeout_ms,
        told.response_timeout_ms,
        told.enquire_link_ms,
        told.reconnect_min_ms,
        told.reconnect_max_ms,
    ];
    assert_eq!(times, [11_000, 12_000, 13_000, 14_000, 15_000]);
    assert_eq!((told.bind, told.validity, told.transliterate), (BindKind::Pair, false, true));
    let silent = options_of("");
    assert_eq!((silent.bind, silent.validity, silent.transliterate), (BindKind::Transceiver, true, false));
    assert_eq!((silent.rate_parts_per_s, silent.bind_rate_parts_per_s, silent.class_ceiling), (None, None, 80));
}

#[test]
fn numbering_keeps_its_forms_and_order() {
    let told = options_of(
        "numbering = { international = [1, 2], alphanumeric = [3, 4], short_code = [5, 6], recipient = [2, 8], \
         bind = [4, 10] }",
    );
    let pair = |ton, npi| TonNpi { ton, npi };
    let expected = Numbering {
        international: pair(1, 2),
        alphanumeric: pair(3, 4),
        short_code: pair(5, 6),
        recipient: pair(2, 8),
        bind: pair(4, 10),
    };
    assert_eq!(told.numbering, expected);
    assert_eq!(options_of("").numbering, Numbering::default());
}

#[test]
fn words_become_their_namesakes() {
    let encoding = |word: &str| options_of(&format!("encoding = \"{word}\"")).encoding;
    use CarrierEncoding::{Auto, Gsm7, Latin1, Ucs2};
    assert_eq!(["auto", "gsm7", "latin1", "ucs2"].map(encoding), [Auto, Gsm7, Latin1, Ucs2]);
    let alphabet = |word: &str| options_of(&format!("default_alphabet = \"{word}\"")).text.default_alphabet;
    let expected = [DefaultAlphabet::Gsm7, DefaultAlphabet::Latin1, DefaultAlphabet::Ascii];
    assert_eq!(["gsm7", "latin1", "ascii"].map(alphabet), expected);
    let splitting = |word: &str| options_of(&format!("splitting = \"{word}\"")).text.splitting;
    let expected = [Splitting::Udh8, Splitting::Udh16, Splitting::Sar, Splitting::Payload];
    assert_eq!(["udh8", "udh16", "sar", "payload"].map(splitting), expected);
}

#[test]
fn a_dialect_is_settled_only_by_two_words() {
    let settled = |response: &str, receipt: &str| {
        options_of(&format!("dialect = {{ response_id = \"{response}\", receipt_id = \"{receipt}\" }}"))
            .dialect
            .settled()
    };
    assert_eq!(settled("decimal", "hex"), Some(IdRelation::HexToDecimal), "hexadecimal in the receipt");
    assert_eq!(settled("hex", "decimal"), Some(IdRelation::DecimalToHex));
    assert_eq!(settled("hex", "hex"), Some(IdRelation::Same));
    assert_eq!(settled("text", "decimal"), Some(IdRelation::Same));
    assert_eq!((settled("auto", "hex"), settled("decimal", "auto")), (None, None));
}

#[test]
fn tlvs_are_bytes_that_the_link_can_read() {
    let told = options_of("tlvs = [{ tag = 0x1401, hex = \"00ff\" }, { tag = 0x1400, text = \"42\" }]");
    assert_eq!(told.tlvs, [0x14, 0x01, 0, 2, 0x00, 0xFF, 0x14, 0x00, 0, 2, b'4', b'2']);
    assert_eq!(Tlvs::new(&told.tlvs).find(TlvTag(0x1400)), Some(&b"42"[..]));
}

#[test]
fn errors_are_sorted_and_found() {
    let told = options_of(
        "errors = { \"1025\" = \"our_bug\", \"0x58\" = \"permanent\", \"9\" = \"throttle\", \"0x08\" = \"session\", \
         \"0x45\" = \"credential\", \"0x0B\" = \"transient\", \"0x0A\" = \"unknown\" }",
    );
    let expected = [
        (0x08, ErrorFamily::Session),
        (0x09, ErrorFamily::Throttle),
        (0x0A, ErrorFamily::Unknown),
        (0x0B, ErrorFamily::Transient),
        (0x45, ErrorFamily::Credential),
        (0x58, ErrorFamily::Permanent),
        (1025, ErrorFamily::OurBug),
    ];
    assert_eq!(told.errors, expected);
}

#[test]
fn the_receipt_table_follows_the_rate() {
    let bits = |text: &str| options_of(text).receipt_table_bits;
    assert_eq!((bits("rate = 1"), bits("rate = 100"), bits("rate = 5000"), bits("")), (12, 14, 20, 20));
}

#[test]
fn connections_are_opened_as_told() {
    let mut told = carrier("connect_timeout = \"3s\"\ntls = { insecure = true }");
    told.source_ip = Some([192, 0, 2, 77].into());
    let opened = dial(&told, &resolver()).expect("dial");
    let host = |name: &str, port| Host { name: name.to_owned(), port };
    assert_eq!(opened.hosts, [host("192.0.2.9", 99), host("2001:db8::1", 2775)]);
    assert_eq!((opened.source_ip, opened.timeout), (told.source_ip, Duration::from_millis(2_850)));
    assert!(matches!(opened.tls, Some((_, None))), "the host's own name counts");
    assert!(dial(&carrier(""), &resolver()).expect("dial").tls.is_none());
    let untrusted = carrier("tls = { ca = \"/nowhere/ca\" }");
    assert!(dial(&untrusted, &resolver()).expect_err("no such file").starts_with("carrier.this.tls: /nowhere/ca: "));
}
