//! What is read of a message as typed, and which flaws are reported.

use super::*;

fn flaw(json: &str) -> Option<(Code, Option<String>)> {
    let typed: Typed<'_> = serde_json::from_str(json).expect("JSON");
    typed.flaws.into_iter().next().map(|flaw| (flaw.code, flaw.field.map(Cow::into_owned)))
}

fn of(code: Code, field: &str) -> Option<(Code, Option<String>)> {
    Some((code, Some(field.to_owned())))
}

#[test]
fn every_field_is_read() {
    let json = r#"{"to":"1","from":"2","body":"3\n","data":"4","udh":"5","class":"6","key":"7","send_at":"8",
        "expires_in":9,"expires_at":"10","encoding":"11","flash":true,"receipt":false,"parts_max":12,
        "tlvs":[{"tag":13,"text":"14"},{"tag":15,"hex":"16"}],"ref":"17","tags":["18","19"]}"#;
    let text = |text: &'static str| Some(Cow::Borrowed(text));
    let tlvs = vec![
        TypedTlv { tag: Some(Loose::Number(13)), text: text("14"), hex: None },
        TypedTlv { tag: Some(Loose::Number(15)), text: None, hex: text("16") },
    ];
    let expected = Typed {
        to: text("1"),
        from: text("2"),
        body: text("3\n"),
        data: text("4"),
        udh: text("5"),
        class: text("6"),
        key: text("7"),
        send_at: text("8"),
        expires_in: Some(Loose::Number(9)),
        expires_at: text("10"),
        encoding: text("11"),
        flash: Some(true),
        receipt: Some(false),
        parts_max: Some(12),
        tlvs: Some(tlvs),
        reference: text("17"),
        tags: Some(vec!["18".into(), "19".into()]),
        flaws: Vec::new(),
        is_unread: false,
    };
    assert_eq!(serde_json::from_str::<Typed<'_>>(json).expect("JSON"), expected);
    for known in FIELDS {
        assert_eq!(Field::from_name(known.name), Some(known.field));
        let json = format!("{{\"{}\":null}}", known.name);
        assert_eq!(serde_json::from_str::<Typed<'_>>(&json).expect("JSON"), Typed::default());
        assert!(serde_json::from_str::<serde_json::Value>(known.schema).is_ok(), "{}", known.schema);
    }
}

/// Libraries whose numbers are all floats write `2.0`.
#[test]
fn a_whole_number_is_one_however_it_is_written() {
    let json = r#"{"parts_max":2.0,"expires_in":600.0,"tlvs":[{"tag":5120.0}]}"#;
    let typed: Typed<'_> = serde_json::from_str(json).expect("JSON");
    let tag = typed.tlvs.and_then(|mut tlvs| tlvs.pop()).and_then(|tlv| tlv.tag);
    assert_eq!(
        (typed.parts_max, typed.expires_in, tag),
        (Some(2), Some(Loose::Number(600)), Some(Loose::Number(5120)))
    );
    let odd = [0.5, -1.0, 1e300, f64::MAX, f64::NAN, 9_007_199_254_740_992.0];
    assert_eq!(odd.map(whole), [None; 6]);
    let typed: Typed<'_> = serde_json::from_str(r#"{"parts_max":2e0,"expires_in":6E2,"to":"4e5"}"#).expect("JSON");
    let told: Vec<_> = typed.flaws.iter().map(|flaw| flaw.detail.clone()).collect();
    assert!(told.len() == 2 && told.iter().all(|told| told.contains("a number with an exponent")), "{told:?}");
}

#[test]
fn plain_text_is_not_copied() {
    let json = r#"{"to":"1","body":"plain é"}"#;
    let typed: Typed<'_> = serde_json::from_str(json).expect("JSON");
    assert!(matches!((typed.to, typed.body), (Some(Cow::Borrowed(_)), Some(Cow::Borrowed(_)))));
}

#[test]
fn each_wrong_field_is_kept_and_the_rest_is_read() {
    let typed: Typed<'_> =
        serde_json::from_str(r#"{"too":"1","to":2,"ref":"x","clas":3,"body":{},"flash":0}"#).expect("JSON");
    let wrong: Vec<_> = typed.flaws.iter().map(|flaw| (flaw.code, flaw.field.as_deref().unwrap_or(""))).collect();
    let expected = [
        (Code::UnknownField, "too"),
        (Code::InvalidType, "to"),
        (Code::UnknownField, "clas"),
        (Code::InvalidType, "body"),
        (Code::InvalidType, "flash"),
    ];
    assert_eq!((wrong.as_slice(), typed.reference.as_deref()), (expected.as_slice(), Some("x")));
    let endless = format!("{{{}\"x\":1}}", "\"y\":1,".repeat(10_000));
    let typed: Typed<'_> = serde_json::from_str(&endless).expect("JSON");
    assert_eq!(typed.flaws.len(), FLAWS_MAX);
    assert_eq!(flaw(r#"{"too":"1","to":2}"#), of(Code::UnknownField, "too"));
    assert_eq!(flaw(r#"{"template":{"a":[1,{}]},"vars":{}}"#), of(Code::UnknownField, "template"));
    assert_eq!(flaw(r#"{"callback_url":"https://example.com"}"#), of(Code::UnknownField, "callback_url"));
    assert_eq!(flaw(r#"{"to":"1","to":"2"}"#), of(Code::DuplicateField, "to"));
    for (field, wrong) in [
        ("to", "49"),
        ("to", "-4.9"),
        ("body", "[\"a\"]"),
        ("body", "{}"),
        ("flash", "1"),
        ("receipt", "\"true\""),
        ("parts_max", "-1"),
        ("parts_max", "1.5"),
        ("expires_in", "true"),
        ("tags", "\"a\""),
        ("tags", "[\"a\",1]"),
        ("tags", "[null]"),
        ("tlvs", "[{\"tag\":1,\"bytes\":\"\"}]"),
        ("tlvs", "[{\"tag\":true,\"hex\":\"\"}]"),
        ("tlvs", "[{\"tag\":1,\"tag\":2,\"hex\":\"\"}]"),
    ] {
        assert_eq!(flaw(&format!("{{\"{field}\":{wrong},\"ref\":\"x\"}}")), of(Code::InvalidType, field), "{wrong}");
    }
}

#[test]
fn a_message_is_an_object() {
    for json in ["1", "-1", "1.5", "\"a\"", "\"\\n\"", "true", "null", "[1,[2],{}]"] {
        assert_eq!(flaw(json), Some((Code::MalformedJson, None)), "{json}");
    }
    for broken in ["", "{", "{\"to\":}", "{\"to\":\"\\ud800\"}", "{\"to\":\"a\nb\"}"] {
        assert!(serde_json::from_str::<Typed<'_>>(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_near_miss_is_named() {
    for (typed, meant) in [
        ("Send-At", "; did you mean `send_at`?"),
        ("clas", "; did you mean `class`?"),
        ("boyd", "; did you mean `body`?"),
        ("sender", ""),
        ("template", ""),
    ] {
        let json = format!("{{\"{typed}\":\"\"}}");
        let read: Typed<'_> = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read.flaws[0].detail, format!("there is no field \"{typed}\"{meant}"));
    }
}

#[test]
fn a_list_is_kept_as_far_as_one_over_its_limit() {
    let listed =
        |field: &str, item: &str| format!("{{\"{field}\":[{}{item}],\"ref\":\"x\"}}", format!("{item},").repeat(1_000));
    for (field, item, kept) in [("tags", "\"a\"", TAGS_MAX + 1), ("tlvs", "{\"tag\":1,\"hex\":\"\"}", TLVS_MAX + 1)] {
        let json = listed(field, item);
        let typed: Typed<'_> = serde_json::from_str(&json).expect("JSON");
        let found = typed.tags.map_or(0, |tags| tags.len()) + typed.tlvs.map_or(0, |tlvs| tlvs.len());
        assert_eq!((found, typed.reference.as_deref(), typed.flaws.len()), (kept, Some("x"), 0), "{field}");
    }
    assert_eq!(flaw(&listed("tags", "1")), of(Code::InvalidType, "tags"));
    assert!(serde_json::from_str::<Typed<'_>>(&listed("tags", "\"a\"").replace("],", ",")).is_err());
}

#[test]
fn a_long_name_is_told_in_short() {
    let json = format!("{{\"{}\":1}}", "\\u0080".repeat(40_000));
    let typed: Typed<'_> = serde_json::from_str(&json).expect("JSON");
    let flaw = &typed.flaws[0];
    assert!(
        flaw.detail.len() < 700 && flaw.field.as_ref().is_some_and(|field| field.chars().count() == FIELD_SHOWN_MAX)
    );
}
