//! Splitting against an independent implementation, which works on lists of clusters whose kinds are given with the
//! characters, and encodes by looking up each character in a printed alphabet.

use super::super::coding::MessageClass;
use super::super::national::{Language, LanguageSet};
use super::super::user_data::{Reassembly, decode_text, decode_user_data};
use super::*;
use proptest::prelude::*;

const ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1B}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                        ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
const EXTENSIONS: &str = "\u{C}^{}\\[~]|€";

/// How a character joins the one before it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Alone,
    /// Always joins the character before it.
    Joins,
    /// Joins the character before it, and the next character joins this one.
    Links,
    /// Joins an unpaired flag letter.
    Flag,
    /// Joins the character before it, and the next consonant joins this one.
    Virama,
    /// Joins a virama before it.
    Consonant,
}

const POOL: [(char, Kind); 18] = [
    ('a', Kind::Alone),
    ('€', Kind::Alone),
    ('ж', Kind::Alone),
    ('漢', Kind::Alone),
    ('e', Kind::Alone),
    ('\u{301}', Kind::Joins),
    ('\u{20E3}', Kind::Joins),
    ('\u{FE0F}', Kind::Joins),
    ('\u{1F3FD}', Kind::Joins),
    ('\u{1F469}', Kind::Alone),
    ('\u{200D}', Kind::Links),
    ('\u{1F1E9}', Kind::Flag),
    ('\u{1F1EA}', Kind::Flag),
    ('\u{915}', Kind::Consonant),
    ('\u{937}', Kind::Consonant),
    ('\u{94D}', Kind::Virama),
    ('\u{93F}', Kind::Joins),
    ('\u{E31}', Kind::Joins),
];

fn kind(character: char) -> Kind {
    POOL.iter().find(|entry| entry.0 == character).map_or(Kind::Alone, |entry| entry.1)
}

fn clusters(text: &str) -> Vec<Vec<char>> {
    let mut clusters: Vec<Vec<char>> = Vec::new();
    for character in text.chars() {
        let last = clusters.last().and_then(|cluster| cluster.last()).copied();
        let joins = match (kind(character), last.map(kind)) {
            (_, None) => false,
            (Kind::Joins | Kind::Links | Kind::Virama, _) => true,
            (_, Some(Kind::Links)) => !character.is_ascii(),
            (Kind::Consonant, Some(Kind::Virama)) => true,
            (Kind::Flag, Some(Kind::Flag)) => clusters.last().is_some_and(|cluster| odd_run(cluster)),
            (Kind::Alone | Kind::Flag | Kind::Consonant, Some(_)) => false,
        };
        match clusters.last_mut() {
            Some(cluster) if joins => cluster.push(character),
            Some(_) | None => clusters.push(vec![character]),
        }
    }
    clusters
}

/// Whether the cluster ends in an odd number of flag letters.
fn odd_run(cluster: &[char]) -> bool {
    cluster.iter().rev().take_while(|&&c| kind(c) == Kind::Flag).count() % 2 == 1
}

fn naive_parts(text: &str, room: usize, units: impl Fn(char) -> usize) -> Vec<String> {
    let size = |characters: &[char]| characters.iter().map(|&c| units(c)).sum::<usize>();
    let mut parts: Vec<Vec<char>> = vec![Vec::new()];
    for cluster in clusters(text) {
        let last = parts.last_mut().expect("one at least");
        if size(last) + size(&cluster) <= room {
            last.extend(cluster);
            continue;
        }
        if !last.is_empty() {
            parts.push(Vec::new());
        }
        for character in cluster {
            if size(parts.last().expect("one at least")) + units(character) > room {
                parts.push(Vec::new());
            }
            parts.last_mut().expect("one at least").push(character);
        }
    }
    parts.into_iter().map(|part| part.into_iter().collect()).collect()
}

fn naive_gsm7(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for character in text.chars() {
        if EXTENSIONS.contains(character) {
            let code = [0x0A, 0x14, 0x28, 0x29, 0x2F, 0x3C, 0x3D, 0x3E, 0x40, 0x65];
            out.extend([0x1B, code[EXTENSIONS.chars().position(|c| c == character)?]]);
        } else {
            out.push(u8::try_from(ALPHABET.chars().position(|c| c == character && c != '\u{1B}')?).ok()?);
        }
    }
    Some(out)
}

fn naive_ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| [(unit >> 8) as u8, unit as u8]).collect()
}

fn all(content: Content, plan: Plan, reference: u16) -> Vec<(Part, Vec<u8>)> {
    let mut parts = Parts::new(content, plan, reference);
    let mut out = Vec::new();
    std::iter::from_fn(|| parts.next_into(&mut out).map(|part| (part, out.clone()))).collect()
}

/// Header length and room in units for each way of splitting, as constants rather than computed.
fn numbers(splitting: Splitting, ucs2: bool) -> (usize, usize, usize) {
    match (splitting, ucs2) {
        (Splitting::Udh16, false) => (7, 160, 152),
        (Splitting::Udh16, true) => (7, 70, 66),
        (Splitting::Sar, false) => (0, 160, 153),
        (Splitting::Sar, true) => (0, 70, 67),
        (Splitting::Single | Splitting::Udh8 | Splitting::Payload, false) => (6, 160, 153),
        (Splitting::Single | Splitting::Udh8 | Splitting::Payload, true) => (6, 70, 67),
    }
}

fn check(text: &str, splitting: Splitting) {
    let carrier = CarrierText { splitting, ..CarrierText::default() };
    let content = Content::text(text);
    let septets = naive_gsm7(text);
    let ucs2 = septets.is_none();
    let (header, single, room) = numbers(splitting, ucs2);
    let units = |c: char| {
        if ucs2 { c.len_utf16() } else { 1 + usize::from(EXTENSIONS.contains(c)) }
    };
    let length: usize = text.chars().map(units).sum();
    let expected = if length <= single { vec![text.to_owned()] } else { naive_parts(text, room, units) };
    let plan = match Plan::new(&content, &carrier) {
        Ok(plan) => plan,
        Err(TextError::TooManyParts { needed }) => {
            assert_eq!(needed as usize, expected.len());
            assert!(needed > PARTS_MAX);
            return;
        }
        Err(refused) => panic!("{refused:?}"),
    };
    let parts = all(content, plan, 0x1234);
    assert_eq!(usize::from(plan.parts()), expected.len());
    assert_eq!(parts.len(), expected.len());
    for (index, ((part, bytes), text)) in parts.iter().zip(&expected).enumerate() {
        let header = if parts.len() == 1 { 0 } else { header };
        let number = index as u8 + 1;
        let total = parts.len() as u8;
        let (head, body) = bytes.split_at(header);
        assert_eq!(body, if ucs2 { naive_ucs2(text) } else { naive_gsm7(text).expect("as the whole") });
        assert_eq!((part.number, part.total, part.has_header), (number, total, header > 0));
        match header {
            6 => assert_eq!(head, [5, 0, 3, 0x34, total, number]),
            7 => assert_eq!(head, [6, 8, 4, 0x12, 0x34, total, number]),
            _ => assert_eq!(head, [0u8; 0]),
        }
        let sar = (splitting == Splitting::Sar && total > 1).then_some(Sar { reference: 0x34, total, number });
        assert_eq!(part.sar, sar);
        assert!(bytes.len() <= if ucs2 { 140 } else { 160 });
        let read = decode_user_data(part.data_coding, DefaultAlphabet::Gsm7, part.has_header, bytes);
        assert_eq!(read.text.as_deref(), Some(text.as_str()));
    }
}

#[test]
fn the_limits_are_those_of_the_specification() {
    let parts = |text: String, splitting| {
        let carrier = CarrierText { splitting, ..CarrierText::default() };
        Plan::new(&Content::text(&text), &carrier).map(|plan| plan.parts())
    };
    for (character, single, eight, sixteen) in [("a", 160, 153, 152), ("ж", 70, 67, 66)] {
        let text = |length: usize| character.repeat(length);
        for (splitting, room) in [(Splitting::Udh8, eight), (Splitting::Udh16, sixteen), (Splitting::Sar, eight)] {
            assert_eq!(parts(text(0), splitting), Ok(1));
            assert_eq!(parts(text(single), splitting), Ok(1));
            assert_eq!(parts(text(single + 1), splitting), Ok(2));
            assert_eq!(parts(text(2 * room), splitting), Ok(2));
            assert_eq!(parts(text(2 * room + 1), splitting), Ok(3));
            assert_eq!(parts(text(255 * room), splitting), Ok(255));
            assert_eq!(parts(text(255 * room + 1), splitting), Err(TextError::TooManyParts { needed: 256 }));
        }
        let refused = TextError::TooLong { units: single as u32 + 1, room: single as u32 };
        assert_eq!(parts(text(single), Splitting::Single), Ok(1));
        assert_eq!(parts(text(single + 1), Splitting::Single), Err(refused));
        assert_eq!(parts(text(single + 1), Splitting::Payload), Ok(1));
    }
}

#[test]
fn national_elements_take_their_room() {
    let only = |language| LanguageSet::EMPTY.with(language);
    let single = National { single: only(Language::Turkish), locking: LanguageSet::EMPTY };
    let locking = National { single: LanguageSet::EMPTY, locking: only(Language::Turkish) };
    let both = National { single: only(Language::Portuguese), locking: only(Language::Turkish) };
    let turkish = "ğabcdefghi".repeat(30);
    let mixed = "ğabcdefghí".repeat(30);
    let cases: [(National, &str, usize, &[u8]); 6] = [
        (locking, &turkish, 155, &[3, 0x25, 1, 1]),
        (locking, &turkish, 156, &[8, 0, 3, 9, 2, 1, 0x25, 1, 1]),
        (locking, &turkish, 298, &[8, 0, 3, 9, 2, 1, 0x25, 1, 1]),
        (locking, &turkish, 299, &[8, 0, 3, 9, 3, 1, 0x25, 1, 1]),
        (single, &turkish, 140, &[3, 0x24, 1, 1]),
        (both, &mixed, 130, &[6, 0x24, 1, 3, 0x25, 1, 1]),
    ];
    for (national, text, length, header) in cases {
        let text: String = text.chars().take(length).collect();
        let carrier = CarrierText { national, splitting: Splitting::Sar, ..CarrierText::default() };
        let content = Content { encoding: Encoding::Gsm7, ..Content::text(&text) };
        let plan = Plan::new(&content, &carrier).expect("representable");
        let parts = all(content, plan, 9);
        assert!(parts[0].1.starts_with(header), "{length}: {:02X?}", parts[0].1);
        assert!(parts.iter().all(|(part, bytes)| part.has_header && part.sar.is_none() && bytes.len() <= 160));
        let read: String = parts
            .iter()
            .filter_map(|(part, bytes)| decode_user_data(part.data_coding, DefaultAlphabet::Gsm7, true, bytes).text)
            .collect();
        assert_eq!(read, text);
    }
    let alphabet = Alphabet::Gsm7National { single: Some(Language::Turkish), locking: Some(Language::Turkish) };
    assert_eq!([0, 4, 7, 9, 12].map(|header| alphabet.room(header)), [160, 155, 152, 149, 146]);
}

#[test]
fn pairs_and_clusters_stay_whole() {
    let first = |text: &str| {
        let plan = Plan::new(&Content::text(text), &CarrierText::default()).expect("splits");
        let (part, bytes) = all(Content::text(text), plan, 1).swap_remove(0);
        decode_user_data(part.data_coding, DefaultAlphabet::Gsm7, part.has_header, &bytes).text.expect("text")
    };
    assert_eq!(first(&("a".repeat(152) + "€" + &"b".repeat(20))), "a".repeat(152));
    assert_eq!(first(&("ж".repeat(66) + "\u{1F600}" + &"b".repeat(20))), "ж".repeat(66));
    assert_eq!(first(&("ж".repeat(66) + "e\u{301}" + &"b".repeat(20))), "ж".repeat(66));
    let family = "\u{1F469}\u{200D}\u{1F469}\u{200D}\u{1F466}";
    assert_eq!(first(&("ж".repeat(60) + family + &"b".repeat(20))), "ж".repeat(60));
    assert_eq!(
        first(&("ж".repeat(63) + "\u{1F1E9}\u{1F1EA}\u{1F1EB}\u{1F1F7}")),
        "ж".repeat(63) + "\u{1F1E9}\u{1F1EA}"
    );
    let endless = "e".to_owned() + &"\u{301}".repeat(100);
    assert_eq!(first(&endless), "e".to_owned() + &"\u{301}".repeat(66));
}

#[test]
fn binary_keeps_its_header_in_every_part() {
    let ports = udh::port_header(2948, 9200);
    assert_eq!(ports, [6, 5, 4, 0x0B, 0x84, 0x23, 0xF0]);
    let data: Vec<u8> = (0..=255).cycle().take(300).collect();
    let header = Header::check(&ports).expect("well formed");
    let content = Content { body: Body::Binary(&data), header, encoding: Encoding::Auto, flash: false };
    let plan = Plan::new(&content, &CarrierText::default()).expect("splits");
    let parts = all(content, plan, 7);
    assert_eq!(parts.len(), 3);
    let mut whole = Vec::new();
    for (part, bytes) in &parts {
        assert_eq!(bytes[..12], [11, 0, 3, 7, 3, part.number, 5, 4, 0x0B, 0x84, 0x23, 0xF0]);
        assert_eq!((part.data_coding, part.has_header), (DataCoding::BINARY, true));
        assert!(bytes.len() <= 140);
        let read = decode_user_data(part.data_coding, DefaultAlphabet::Gsm7, true, bytes);
        assert_eq!((read.header.ports(), read.text.as_deref()), (Some((2948, 9200)), None));
        whole.extend_from_slice(read.bytes);
    }
    assert_eq!(whole, data);

    let short = Content { body: Body::Binary(&data[..133]), ..content };
    let parts = all(short, Plan::new(&short, &CarrierText::default()).expect("fits"), 7);
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].1.len(), &parts[0].1[..7]), (140, &ports[..]));
}

#[test]
fn a_header_that_leaves_no_way_is_refused() {
    let ready = [5, 0, 3, 1, 2, 1];
    let header = Header::check(&ready).expect("well formed");
    let data = [0; 200];
    let refused = |length: usize, header: Header| {
        let content = Content { body: Body::Binary(&data[..length]), header, encoding: Encoding::Auto, flash: false };
        Plan::new(&content, &CarrierText::default()).map(|plan| plan.parts())
    };
    assert_eq!(refused(134, header), Ok(1));
    assert_eq!(refused(135, header), Err(TextError::HeaderNumbersParts));
    let mut big = [0; 137];
    big[..3].copy_from_slice(&[136, 0x70, 134]);
    assert_eq!(refused(3, Header::check(&big).expect("well formed")), Ok(1));
    assert_eq!(refused(4, Header::check(&big).expect("well formed")), Err(TextError::HeaderTooLong));
}

#[test]
fn a_carrier_that_speaks_latin1_or_ascii_is_told_so() {
    let bytes = |text: &str, default_alphabet| {
        let carrier = CarrierText { default_alphabet, ..CarrierText::default() };
        let plan = Plan::new(&Content::text(text), &carrier).expect("plan");
        (plan.alphabet(), all(Content::text(text), plan, 1).swap_remove(0).1)
    };
    assert_eq!(bytes("@ü[", DefaultAlphabet::Gsm7), (Alphabet::Gsm7, vec![0x00, 0x7E, 0x1B, 0x3C]));
    assert_eq!(bytes("@ü[", DefaultAlphabet::Latin1), (Alphabet::Latin1, vec![b'@', 0xFC, b'[']));
    assert_eq!(bytes("@[", DefaultAlphabet::Ascii), (Alphabet::Ascii, vec![b'@', b'[']));
    assert_eq!(bytes("ü", DefaultAlphabet::Ascii), (Alphabet::Ucs2, vec![0, 0xFC]));
    assert_eq!(bytes("€", DefaultAlphabet::Latin1), (Alphabet::Ucs2, vec![0x20, 0xAC]));
    assert_eq!(bytes("aç", DefaultAlphabet::Latin1), (Alphabet::Latin1Bytes, vec![b'a', 0xE7]));
    assert_eq!(bytes("`", DefaultAlphabet::Ascii), (Alphabet::Ascii, vec![b'`']));
    let carrier = CarrierText { default_alphabet: DefaultAlphabet::Ascii, ..CarrierText::default() };
    let strict = Content { encoding: Encoding::Gsm7, ..Content::text("grün") };
    let refused = TextError::Unrepresentable(Unrepresentable { character: 'ü', position: 2 });
    assert_eq!(Plan::new(&strict, &carrier), Err(refused));
    let carrier = CarrierText { default_alphabet: DefaultAlphabet::Latin1, ..carrier };
    let strict = Content { encoding: Encoding::Gsm7, ..Content::text("aç") };
    let refused = TextError::Unrepresentable(Unrepresentable { character: 'ç', position: 1 });
    assert_eq!(Plan::new(&strict, &carrier), Err(refused), "no septet for it at the handset");
}

#[test]
fn latin1_beyond_gsm7_has_the_room_of_bytes() {
    let carrier = CarrierText { default_alphabet: DefaultAlphabet::Latin1, ..CarrierText::default() };
    let parts = |text: &str| Plan::new(&Content::text(text), &carrier).map(|plan| plan.parts());
    assert_eq!([parts(&"ü".repeat(160)), parts(&"ü".repeat(161))], [Ok(1), Ok(2)]);
    assert_eq!([parts(&"ç".repeat(140)), parts(&"ç".repeat(141)), parts(&"ç".repeat(269))], [Ok(1), Ok(2), Ok(3)]);
    let text = "ç[".repeat(134);
    let plan = Plan::new(&Content::text(&text), &carrier).expect("plan");
    let lengths: Vec<_> = all(Content::text(&text), plan, 1).into_iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [140, 140], "each with its header");
}

#[test]
fn a_plan_may_be_of_near_characters() {
    let carrier = |default_alphabet| CarrierText { default_alphabet, transliterate: true, ..CarrierText::default() };
    let plan = |text: &str, alphabet| {
        let plan = Plan::new(&Content::text(text), &carrier(alphabet)).expect("plan");
        (plan.alphabet(), plan.parts())
    };
    assert_eq!(plan(&"“".repeat(160), DefaultAlphabet::Gsm7), (Alphabet::Gsm7, 1));
    assert_eq!(plan("Café Größe £5", DefaultAlphabet::Ascii), (Alphabet::Ascii, 1));
    assert_eq!(plan("Preis 5 €", DefaultAlphabet::Latin1), (Alphabet::Latin1, 1));
    assert_eq!(plan("façade 5 €", DefaultAlphabet::Latin1), (Alphabet::Latin1Bytes, 1));
    assert_eq!(plan("“Привет”", DefaultAlphabet::Gsm7), (Alphabet::Ucs2, 1));
    assert_eq!(plan(&"…".repeat(70), DefaultAlphabet::Gsm7), (Alphabet::Ucs2, 1), "near would be dearer");
}

#[test]
fn flash_is_a_coding() {
    let coding = |text: &str, flash_group_f| {
        let content = Content { flash: true, ..Content::text(text) };
        Plan::new(&content, &CarrierText { flash_group_f, ..CarrierText::default() }).expect("plan").data_coding()
    };
    assert_eq!([coding("a", false), coding("a", true)], [DataCoding(0x10), DataCoding(0xF0)]);
    assert_eq!([coding("ж", false), coding("ж", true)], [DataCoding(0x18), DataCoding(0x18)]);
    for flash in [0x10, 0x14, 0x18, 0xF0, 0xF4] {
        assert!(DataCoding(flash).is_flash(), "{flash:02X}");
    }
    assert_eq!(DataCoding(0xF5).class(), Some(MessageClass::Device));
}

#[test]
fn the_payload_has_an_end() {
    let carrier = CarrierText { splitting: Splitting::Payload, ..CarrierText::default() };
    let long = "a".repeat(PAYLOAD_MAX + 1);
    let content = Content::text(&long[1..]);
    let plan = Plan::new(&content, &carrier).expect("just fits");
    let parts = all(content, plan, 1);
    assert_eq!((parts.len(), parts[0].1.len(), parts[0].0.in_payload), (1, PAYLOAD_MAX, true));
    let refused = TextError::TooLong { units: PAYLOAD_MAX as u32 + 1, room: PAYLOAD_MAX as u32 };
    assert_eq!(Plan::new(&Content::text(&long), &carrier), Err(refused));
}

#[test]
fn parts_can_be_taken_up_where_they_were_left() {
    let text = "0123456789€\u{1F600}".repeat(60);
    let content = Content::text(&text);
    let plan = Plan::new(&content, &CarrierText::default()).expect("splits");
    let whole = all(content, plan, 3);
    let mut out = Vec::new();
    let mut first = Parts::new(content, plan, 3);
    for number in 1..=plan.parts() {
        let mut skipped = Parts::new(content, plan, 3);
        skipped.skip_to(number);
        let mut resumed = Parts::new(content, plan, 3).resumed(first.position());
        for parts in [&mut skipped, &mut resumed, &mut first] {
            let part = parts.next_into(&mut out).expect("not yet at the end");
            assert_eq!((part, &out), (whole[usize::from(number) - 1].0, &whole[usize::from(number) - 1].1));
        }
    }
    assert_eq!(first.next_into(&mut out), None);
    first.skip_to(255);
    assert_eq!(first.next_into(&mut out), None);
}

/// The output of the Python package smpplib for some two hundred texts, in the format of `loadtest/golden/split_smpplib.py`:
/// coding, `same` or `cuts` (it cuts pairs and clusters), the text in hexadecimal UTF-8, the parts in hexadecimal.
#[test]
fn smpplib_splits_alike() {
    let bytes = |hex: &str| -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len() / 2).map(|index| digit(index * 2)).collect()
    };
    let mut compared = 0;
    for line in include_str!("../../loadtest/golden/split-smpplib.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[coding, kind, text, parts] = &fields[..] else { panic!("{line}") };
        let text = String::from_utf8(bytes(text)).expect("UTF-8");
        let content = Content::text(&text);
        let plan = Plan::new(&content, &CarrierText::default()).expect("splits");
        let ours: Vec<Vec<u8>> = all(content, plan, 0x2A).into_iter().map(|(_, bytes)| bytes).collect();
        let theirs: Vec<Vec<u8>> = parts.split(',').map(bytes).collect();
        assert_eq!(plan.data_coding(), DataCoding(coding.parse().expect("a number")));
        let joined = |parts: &[Vec<u8>]| -> Vec<u8> {
            let header = if parts.len() > 1 { 6 } else { 0 };
            parts.iter().flat_map(|part| &part[header..]).copied().collect()
        };
        assert_eq!(joined(&ours), joined(&theirs));
        let mut message = Reassembly::new(u8::try_from(theirs.len()).expect("255 at most"));
        for (number, part) in (1..).zip(&theirs) {
            assert!(message.insert(number, if theirs.len() > 1 { &part[6..] } else { part }));
        }
        let whole = message.whole().expect("all parts are here");
        let read = decode_text(plan.data_coding(), DefaultAlphabet::Gsm7, Header::NONE, &whole);
        assert_eq!(read.as_deref(), Some(text.as_str()), "parts that cut pairs come together whole");
        match kind {
            "same" => assert_eq!(ours, theirs, "{text:?}"),
            "cuts" => assert_ne!(ours, theirs, "{text:?}"),
            other => panic!("{other}"),
        }
        compared += 1;
    }
    assert!(compared >= 200, "{compared}");
}

fn pooled() -> impl Strategy<Value = String> {
    let picked = prop::sample::select(POOL.map(|entry| entry.0).to_vec());
    prop::collection::vec((picked, 1usize..4), 0..220).prop_map(|runs| {
        runs.into_iter().flat_map(|(character, count)| std::iter::repeat_n(character, count)).collect()
    })
}

fn gsm7() -> impl Strategy<Value = String> {
    let usual = prop::sample::select(ALPHABET.chars().filter(|&c| c != '\u{1B}').collect::<Vec<_>>());
    let extended = prop::sample::select(EXTENSIONS.chars().collect::<Vec<_>>());
    prop::collection::vec(prop_oneof![6 => usual, 1 => extended], 0..700).prop_map(String::from_iter)
}

fn splitting() -> impl Strategy<Value = Splitting> {
    prop::sample::select(vec![Splitting::Udh8, Splitting::Udh16, Splitting::Sar])
}

proptest! {
    #[test]
    fn clusters_split_as_the_plain_implementation_says(text in pooled(), splitting in splitting()) {
        check(&text, splitting);
    }

    #[test]
    fn septets_split_as_the_plain_implementation_says(text in gsm7(), splitting in splitting()) {
        check(&text, splitting);
    }

    #[test]
    fn long_texts_are_counted_to_the_end(text in "[a€ж]{1,9}", times in 1usize..9000, splitting in splitting()) {
        check(&text.repeat(times), splitting);
    }

    #[test]
    fn any_text_comes_back_whole(
        text in any::<String>(),
        times in 1usize..20,
        header in prop::collection::vec(any::<u8>(), 0..120),
        languages in any::<u16>(),
        splitting in prop::sample::select(vec![Splitting::Udh8, Splitting::Udh16, Splitting::Sar, Splitting::Payload]),
        default_alphabet in prop::sample::select(vec![DefaultAlphabet::Gsm7, DefaultAlphabet::Latin1, DefaultAlphabet::Ascii]),
    ) {
        let text = text.repeat(times);
        let mut bytes = vec![(header.len() + 2) as u8, 0x70, header.len() as u8];
        bytes.extend(&header);
        let header = if header.is_empty() { Header::NONE } else { Header::check(&bytes).expect("well formed") };
        let set: LanguageSet = Language::ALL.into_iter().filter(|&l| languages & (1 << l.identifier()) != 0).collect();
        let national = National { single: set, locking: set };
        let carrier = CarrierText { default_alphabet, national, splitting, ..CarrierText::default() };
        let content = Content { header, ..Content::text(&text) };
        let Ok(plan) = Plan::new(&content, &carrier) else { return Ok(()) };
        let mut read = String::new();
        let parts = all(content, plan, 77);
        prop_assert_eq!(parts.len(), usize::from(plan.parts()));
        for (part, bytes) in parts {
            prop_assert!(part.in_payload || bytes.len() <= 160);
            let data = decode_user_data(part.data_coding, default_alphabet, part.has_header, &bytes);
            prop_assert!(data.header.iter().any(|element| element.id == 0x70) != header.is_empty());
            read.push_str(&data.text.expect("text"));
        }
        prop_assert_eq!(read, text);
    }
}
