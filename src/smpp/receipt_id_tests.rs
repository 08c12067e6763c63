//! Forms of ids, and their hashes, which callers store on disk.

use super::*;
use proptest::prelude::*;

/// Callers store these values on disk: a change here changes their disk format.
#[test]
fn keys_are_what_they_were() {
    let golden: [(u64, &str, u64); 6] = [
        (0, "", 0xE936_6A2A_DE66_67E0),
        (0, "1", 0x54E3_60F7_41AA_77F5),
        (7, "64567564356765435676", 0xF249_0DD6_3D75_9FE9),
        (7, "16fd2706-8baf-433b-82eb-8c7fada847da", 0xEF89_E75B_95BE_ED41),
        (7, "00E1B2", 0xCBE7_78E1_66A7_51F3),
        (8, "e1b2", 0xA834_D0D4_8B71_9ED0),
    ];
    for (seed, id, key) in golden {
        assert_eq!(id_key(seed, id.as_bytes()), key, "{seed} {id:?} {:#018X}", id_key(seed, id.as_bytes()));
    }
}

/// Carriers assign ids in sequence; the buckets and short prefixes of their hashes must still be evenly distributed.
#[test]
fn ids_in_a_row_spread_evenly() {
    const IDS: usize = 1 << 16;
    let hashes: Vec<u64> = (0..IDS).map(|id| id_key(9, (1_700_000_000 + id).to_string().as_bytes())).collect();
    for shift in [0, 8, 24, 56] {
        let mut buckets = [0usize; 256];
        hashes.iter().for_each(|hash| buckets[(hash >> shift) as usize & 0xFF] += 1);
        assert!(buckets.iter().all(|count| (IDS / 256 - 100..IDS / 256 + 100).contains(count)), "{shift}: {buckets:?}");
    }
    let distinct: std::collections::BTreeSet<u32> = hashes.iter().map(|&hash| hash as u32).collect();
    assert!(distinct.len() > IDS - 6, "{}", distinct.len());
}

#[test]
fn ids_that_mean_the_same_have_one_key() {
    let same = [
        ["12345", "0012345", " 12345\0"],
        ["00AB12", "ab12", "0xAB12"],
        ["0", "000", "00"],
        [
            "16FD2706-8BAF-433B-82EB-8C7FADA847DA",
            "16fd2706-8baf-433b-82eb-8c7fada847da",
            "16Fd2706-8baf-433b-82eb-8c7fada847da",
        ],
        ["MSG-XYZ", "msg-xyz", "MSG-XYZ "],
        ["aXbY9", "AXBY9", "axby9"],
    ];
    for ids in same {
        let keys = ids.map(|id| id_key(3, id.as_bytes()));
        assert_eq!(keys, [keys[0]; 3], "{ids:?}");
    }
    let different = ["aXb", "0aXb", "0", "", "1", "10", "100", "16fd2706", "f2706"];
    let keys: std::collections::BTreeSet<u64> = different.iter().map(|id| id_key(3, id.as_bytes())).collect();
    assert_eq!(keys.len(), different.len());
    assert_ne!(id_key(3, b"12345"), id_key(4, b"12345"), "groups are told apart");
}

#[test]
fn a_receipt_finds_its_message_in_every_dialect() {
    // Receipt, response, form. The first three are like the cases of jasmin#643, jasmin#1129 and jsmpp#178.
    let cases = [
        ("305419896", "12345678", IdRelation::DecimalToHex),
        ("0305419896", "0x12345678", IdRelation::DecimalToHex),
        ("12345678", "305419896", IdRelation::HexToDecimal),
        ("2f9d3a1c", "798833180", IdRelation::HexToDecimal),
        ("2F9D3A1C", "0798833180", IdRelation::HexToDecimal),
        ("798833180", "2F9D3A1C", IdRelation::DecimalToHex),
        ("18446744073709551616", "10000000000000000", IdRelation::DecimalToHex),
        ("340282366920938463463374607431768211455", "ffffffffffffffffffffffffffffffff", IdRelation::DecimalToHex),
        ("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "340282366920938463463374607431768211455", IdRelation::HexToDecimal),
        ("0000012", "12", IdRelation::Same),
        ("00AB", "ab", IdRelation::Same),
    ];
    for (receipt, response, form) in cases {
        assert_eq!(IdRelation::between(receipt.as_bytes(), response.as_bytes()), Some(form), "{receipt} {response}");
    }
    assert_eq!(IdRelation::between(b"5", b"6"), None);
    assert_eq!(IdRelation::between(b"xyz", b"123"), None);
}

#[test]
fn no_key_is_tried_twice_and_the_learned_form_comes_first() {
    let forms = |dialect: &Dialect, id: &str| -> Vec<IdRelation> {
        dialect.candidates(1, id.as_bytes()).map(|candidate| candidate.form).collect()
    };
    let mut dialect = Dialect::default();
    assert_eq!(forms(&dialect, "1234"), [IdRelation::Same, IdRelation::DecimalToHex, IdRelation::HexToDecimal]);
    assert_eq!(forms(&dialect, "12ab"), [IdRelation::Same, IdRelation::HexToDecimal]);
    assert_eq!(forms(&dialect, "7"), [IdRelation::Same], "one digit is the same in both");
    assert_eq!(forms(&dialect, "order-7"), [IdRelation::Same]);
    assert_eq!(forms(&dialect, &"9".repeat(65)), [IdRelation::Same], "longer than a message id may be");
    assert_eq!(dialect.settled(), None);
    for _ in 0..Dialect::SETTLED_AFTER {
        assert_eq!(dialect.settled(), None);
        dialect.observe(IdRelation::DecimalToHex);
    }
    assert_eq!(dialect.settled(), Some(IdRelation::DecimalToHex));
    assert_eq!(forms(&dialect, "1234"), [IdRelation::DecimalToHex, IdRelation::Same, IdRelation::HexToDecimal]);
    dialect.observe(IdRelation::Same);
    assert_eq!(dialect.settled(), None, "one of 33 is more than one of 100");
    assert_eq!(Dialect::told(IdRelation::Same).settled(), Some(IdRelation::Same));
    let mut full = Dialect { told: None, seen: [u32::MAX, 0, 7] };
    full.observe(IdRelation::Same);
    assert_eq!(full.seen, [u32::MAX / 2 + 1, 0, 3]);
}

/// Field K4: the configured form was ignored.
#[test]
fn a_told_form_is_the_only_one_and_a_proof() {
    let forms = |dialect: Dialect, id: &str| -> Vec<(IdRelation, bool)> {
        dialect.candidates(1, id.as_bytes()).map(|candidate| (candidate.form, candidate.is_proof)).collect()
    };
    let learned = (0..100).fold(Dialect::default(), |mut dialect, _| {
        dialect.observe(IdRelation::HexToDecimal);
        dialect
    });
    let told = Dialect::told(IdRelation::DecimalToHex);
    for dialect in [told, learned.with_told(told)] {
        assert_eq!(forms(dialect, "1234"), [(IdRelation::DecimalToHex, true)]);
        assert_eq!(forms(dialect, "order-7"), [(IdRelation::Same, true)], "it cannot be translated");
    }
    assert_eq!(forms(Dialect::told(IdRelation::Same), "1234"), [(IdRelation::Same, true)]);
    let guessed = [(IdRelation::Same, true), (IdRelation::DecimalToHex, false), (IdRelation::HexToDecimal, false)];
    assert_eq!(forms(Dialect::default(), "1234"), guessed);
    let seen = [(IdRelation::HexToDecimal, true), (IdRelation::Same, false), (IdRelation::DecimalToHex, false)];
    assert_eq!(forms(learned, "1234"), seen);
    assert_eq!(forms(learned.with_told(Dialect::default()), "1234"), seen);
}

#[test]
fn simulated_ids_take_every_style() {
    let written = |style: IdStyle| {
        let mut out = Vec::new();
        style.write(0xABC, &mut out);
        String::from_utf8(out).expect("ASCII")
    };
    assert_eq!(written(IdStyle::DECIMAL), "2748");
    assert_eq!(written(IdStyle::HEX), "abc");
    assert_eq!(written(IdStyle { hexadecimal: true, upper: true, width: 8 }), "00000ABC");
    assert_eq!(written(IdStyle { hexadecimal: false, upper: false, width: 10 }), "0000002748");
}

proptest! {
    #[test]
    fn bases_translate_as_numbers_do(number in any::<u128>(), zeros in 0usize..20) {
        let decimal = format!("{}{number}", "0".repeat(zeros));
        let hexadecimal = format!("{}{number:X}", "0".repeat(zeros));
        let mut space = [0; DECIMAL_MAX];
        let (plain_decimal, plain_hexadecimal) = (number.to_string(), format!("{number:x}"));
        prop_assert_eq!(convert::<10, 16>(decimal.as_bytes(), &mut space), Some(plain_hexadecimal.as_bytes()));
        prop_assert_eq!(convert::<16, 10>(hexadecimal.as_bytes(), &mut space), Some(plain_decimal.as_bytes()));
        let found = IdRelation::between(decimal.as_bytes(), hexadecimal.as_bytes());
        prop_assert!(found == Some(IdRelation::DecimalToHex) || number < 10 && found == Some(IdRelation::Same));
    }

    #[test]
    fn the_longest_numbers_go_both_ways(digits in "[1-9a-f][0-9a-f]{40,63}") {
        let (mut one, mut other) = ([0; DECIMAL_MAX], [0; DECIMAL_MAX]);
        let decimal = convert::<16, 10>(digits.as_bytes(), &mut one).expect("a number");
        if decimal.len() <= ID_MAX {
            prop_assert_eq!(convert::<10, 16>(decimal, &mut other), Some(digits.as_bytes()));
        }
    }

    #[test]
    fn no_id_is_too_odd(id in prop::collection::vec(any::<u8>(), 0..200), seed in any::<u64>()) {
        let mut candidates = Dialect::default().candidates(seed, &id);
        prop_assert!(candidates.any(|candidate| candidate.key == id_key(seed, &id)));
    }
}
