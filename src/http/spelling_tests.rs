//! One message as typed, and what is meant by it; each flaw in the words of this API.

use std::sync::{Arc, LazyLock};

use super::*;
use stentor_core::{
    admission::{Defaults, Meant, NumberList, Recipients, Rules, Tenant, TenantOptions, numbering::Numbering},
    model::{Head, Msisdn, SenderId, TenantId},
};

pub(in crate::http) static NUMBERING: LazyLock<Numbering> = LazyLock::new(|| Numbering::new(None).expect("metadata"));
const NOW: Wall = Wall(1_782_907_200_000);

/// The message as meant, with everything that it borrows made readable: from, body, udh, ref, tags, tlvs.
fn meant(json: &str, tenant: &Tenant) -> Result<(Head, Vec<String>), (Code, String)> {
    let typed: Typed<'_> = serde_json::from_str(json).expect("JSON");
    let rules = Rules { now: NOW, tenant, is_admin: false, defaults: &Defaults::default(), numbering: &NUMBERING };
    let mut scratch = Scratch::default();
    let told = |flaw: Flaw| (flaw.code, flaw.field.unwrap_or_default().into_owned());
    let (_, Meant { head, content }) = super::meant(&typed, &mut scratch, &rules).map_err(told)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let from = content.from.to_string();
    let parts =
        [text(content.body), text(content.udh), content.reference.into(), content.tags.into(), text(content.tlvs)];
    Ok((head, [from].into_iter().chain(parts).collect()))
}

pub(in crate::http) fn plain(json: &str) -> Result<(Head, Vec<String>), (Code, String)> {
    meant(json, &Tenant::default())
}

#[test]
fn defaults_fill_what_is_not_said() {
    let (head, content) = plain(r#"{"to":"+49 151 12345678","body":"hi"}"#).expect("good");
    let expected = Head {
        to: Msisdn::from_digits(b"4915112345678").expect("number"),
        receipt: true,
        parts: 1,
        expires_at: NOW + 2 * 86_400_000,
        ..Head::default()
    };
    assert_eq!((head, content), (expected, ["", "hi", "", "", "", ""].map(String::from).to_vec()));
}

#[test]
fn everything_that_can_be_said() {
    let json = r#"{"to":"+4915112345678","from":"+491511111111","data":"AAEC","udh":"BgUEC4Qj8A==","class":"otp","key":"k",
        "send_at":"2026-07-01T13:00:00Z","expires_in":"10m","encoding":"binary","flash":true,"receipt":false,
        "parts_max":1,"tlvs":[{"tag":"0x1400","text":"11"},{"tag":5121,"hex":"0aFF"}],"ref":"r","tags":["a","b"]}"#;
    let (head, content) = plain(json).expect("good");
    assert_eq!((head.class, head.encoding, head.flash, head.receipt), (Class::Otp, Encoding::Binary, true, false));
    assert_eq!((head.send_at, head.expires_at), (NOW + 3_600_000, NOW + 4_200_000));
    let tlvs = String::from_utf8_lossy(b"\x14\0\0\x0211\x14\x01\0\x02\x0a\xff").into_owned();
    let udh = String::from_utf8_lossy(&[6, 5, 4, 0x0B, 0x84, 0x23, 0xF0]).into_owned();
    assert_eq!(content, ["491511111111".into(), "\0\u{1}\u{2}".into(), udh, "r".into(), "a,b".into(), tlvs]);
}

#[test]
fn each_flaw_names_its_field() {
    let long = "a".repeat(5_000);
    for (fields, code, field) in [
        (r#""body":"x""#, Code::MissingField, "to"),
        (r#""to":"123","body":"x""#, Code::InvalidRecipient, "to"),
        (r#""to":"0151 1234567","body":"x""#, Code::InvalidRecipient, "to"),
        (r#""to":"+4915112345678""#, Code::MissingField, "body"),
        (r#""to":"+4915112345678","body":"""#, Code::InvalidBody, "body"),
        (r#""to":"+4915112345678","body":"x","data":"AA==""#, Code::ConflictingFields, "data"),
        (r#""to":"+4915112345678","body":"x","udh":"AA==""#, Code::ConflictingFields, "udh"),
        (r#""to":"+4915112345678","body":"x","encoding":"binary""#, Code::ConflictingFields, "encoding"),
        (r#""to":"+4915112345678","data":"AA==","encoding":"gsm7""#, Code::ConflictingFields, "encoding"),
        (r#""to":"+4915112345678","body":"x","encoding":"utf8""#, Code::InvalidEncoding, "encoding"),
        (r#""to":"+4915112345678","body":"naïve","encoding":"gsm7""#, Code::Unencodable, "body"),
        (r#""to":"+4915112345678","data":"A""#, Code::InvalidData, "data"),
        (r#""to":"+4915112345678","data":"""#, Code::InvalidData, "data"),
        (r#""to":"+4915112345678","data":"AA==","udh":"060504""#, Code::InvalidUdh, "udh"),
        (r#""to":"+4915112345678","data":"AA==","udh":"BQADAQI=""#, Code::InvalidUdh, "udh"),
        (r#""to":"+4915112345678","body":"x","from":"""#, Code::InvalidSender, "from"),
        (r#""to":"+4915112345678","body":"x","from":"Twelve chars""#, Code::InvalidSender, "from"),
        (r#""to":"+4915112345678","body":"x","class":"Otp""#, Code::InvalidClass, "class"),
        (r#""to":"+4915112345678","body":"x","key":"""#, Code::InvalidKey, "key"),
        (r#""to":"+4915112345678","body":"x","send_at":"noon""#, Code::InvalidTime, "send_at"),
        (r#""to":"+4915112345678","body":"x","send_at":"2028-07-01T12:00:00Z""#, Code::InvalidTime, "send_at"),
        (r#""to":"+4915112345678","body":"x","expires_in":0"#, Code::InvalidTime, "expires_in"),
        (r#""to":"+4915112345678","body":"x","expires_in":"+5m""#, Code::InvalidTime, "expires_in"),
        (r#""to":"+4915112345678","body":"x","expires_in":"5é""#, Code::InvalidTime, "expires_in"),
        (r#""to":"+4915112345678","body":"x","expires_in":"15d""#, Code::InvalidTime, "expires_in"),
        (r#""to":"+4915112345678","body":"x","expires_in":99999999999999999"#, Code::InvalidTime, "expires_in"),
        (r#""to":"+4915112345678","body":"x","expires_at":"2026-02-30T00:00:00Z""#, Code::InvalidTime, "expires_at"),
        (r#""to":"+4915112345678","body":"x","expires_at":"2026-08-01T00:00:00Z""#, Code::InvalidTime, "expires_at"),
        (
            r#""to":"+4915112345678","body":"x","expires_in":5,"expires_at":"2026-07-02T00:00:00Z""#,
            Code::ConflictingFields,
            "expires_at",
        ),
        (
            r#""to":"+4915112345678","body":"x","send_at":"2026-07-02T00:00:00Z","expires_at":"2026-07-02T00:00:00Z""#,
            Code::InvalidTime,
            "expires_at",
        ),
        (r#""to":"+4915112345678","body":"x","parts_max":0"#, Code::InvalidPartsMax, "parts_max"),
        (r#""to":"+4915112345678","body":"x","parts_max":256"#, Code::InvalidPartsMax, "parts_max"),
        (&format!(r#""to":"+4915112345678","body":"{long}""#), Code::TooManyParts, "body"),
        (&format!(r#""to":"+4915112345678","body":"{long}","parts_max":32"#), Code::TooManyParts, "body"),
        (&format!(r#""to":"+4915112345678","body":"{}""#, long.repeat(8)), Code::InvalidBody, "body"),
        (&format!(r#""to":"+4915112345678","body":"x","key":"{}""#, &long[..256]), Code::InvalidKey, "key"),
        (&format!(r#""to":"+4915112345678","body":"x","ref":"{}""#, &long[..257]), Code::InvalidRef, "ref"),
        (&format!(r#""to":"+4915112345678","body":"x","tags":["{}"]"#, &long[..257]), Code::InvalidTags, "tags"),
        (r#""to":"+4915112345678","body":"x","tags":["a,b"]"#, Code::InvalidTags, "tags"),
        (r#""to":"+4915112345678","body":"x","tags":[""]"#, Code::InvalidTags, "tags"),
        (r#""to":"+4915112345678","body":"x","tlvs":[{"tag":1}]"#, Code::InvalidTlvs, "tlvs"),
        (r#""to":"+4915112345678","body":"x","tlvs":[{"tag":65536,"text":""}]"#, Code::InvalidTlvs, "tlvs"),
        (r#""to":"+4915112345678","body":"x","tlvs":[{"tag":"1400","text":""}]"#, Code::InvalidTlvs, "tlvs"),
        (r#""to":"+4915112345678","body":"x","tlvs":[{"tag":1060,"text":"x"}]"#, Code::InvalidTlvs, "tlvs"),
        (r#""to":"+4915112345678","body":"x","tlvs":[{"tag":9,"hex":"abc"}]"#, Code::InvalidTlvs, "tlvs"),
        (r#""to":"+4915112345678","body":"x","tlvs":[{"tag":9,"hex":"ab","text":""}]"#, Code::InvalidTlvs, "tlvs"),
    ] {
        assert_eq!(plain(&format!("{{{fields}}}")).err(), Some((code, field.to_owned())), "{fields:.200}");
    }
}

/// From users: fixing one field per request, a client learned of the next wrong field only then.
#[test]
fn all_wrong_fields_of_a_message_are_told_at_once() {
    let wrong = |json: &str| {
        let typed: Typed<'_> = serde_json::from_str(json).expect("JSON");
        let tenant = Tenant::default();
        let rules =
            Rules { now: NOW, tenant: &tenant, is_admin: false, defaults: &Defaults::default(), numbering: &NUMBERING };
        let flaw = super::meant(&typed, &mut Scratch::default(), &rules).expect_err("flaws");
        let of = |flaw: &Flaw| format!("{} {}", flaw.field.as_deref().unwrap_or("-"), flaw.code.text());
        flaw.each().map(of).collect::<Vec<_>>()
    };
    let all = r#"{"to":"12","from":"Twelve chars","boyd":"x","data":"A!","class":"Otp","key":"","send_at":"noon",
        "expires_in":"15d","encoding":"utf8","parts_max":0,"tags":["a,b"],"tlvs":[{"tag":1}],"flash":1}"#;
    let expected = [
        "boyd unknown_field",
        "flash invalid_type",
        "tags invalid_tags",
        "tlvs invalid_tlvs",
        "class invalid_class",
        "send_at invalid_time",
        "data invalid_data",
        "encoding invalid_encoding",
        "to invalid_recipient",
        "from invalid_sender",
        "key invalid_key",
        "expires_in invalid_time",
    ];
    assert_eq!(wrong(all), expected);
    let times =
        r#"{"to":"+4915112345678","body":"x","send_at":"2028-07-01T12:00:00Z","expires_in":"15d","parts_max":0}"#;
    assert_eq!(wrong(times), ["send_at invalid_time", "expires_in invalid_time", "parts_max invalid_parts_max"]);
    assert_eq!(wrong("{}"), ["to missing_field", "body missing_field"]);
    assert_eq!(wrong(r#"{"to":49,"body":{}}"#), ["to invalid_type", "body invalid_type"]);
    assert_eq!(wrong("[]"), ["- malformed_json"]);
}

#[test]
fn what_is_wrong_is_told_for_people() {
    let detail = |fields: &str| {
        let json = format!(r#"{{"to":"+4915112345678",{fields}}}"#);
        let typed: Typed<'_> = serde_json::from_str(&json).expect("JSON");
        let tenant = Tenant::default();
        let rules =
            Rules { now: NOW, tenant: &tenant, is_admin: false, defaults: &Defaults::default(), numbering: &NUMBERING };
        let mut scratch = Scratch::default();
        super::meant(&typed, &mut scratch, &rules).expect_err("a flaw").detail.into_owned()
    };
    let long = "a".repeat(161);
    let tags = format!(r#""tags":["{long}","{long}"]"#);
    for (fields, told) in [
        (r#""body":"naïve","encoding":"gsm7""#, "\"ï\" (character 2) does not exist in GSM 7-bit"),
        (r#""data":"AA==","udh":"06050415""#, "; it looks like hexadecimal, but must be base64"),
        (r#""data":"A!==""#, "not base64: the character at byte 1"),
        (&format!(r#""body":"{long}","parts_max":1"#), "it takes 2 parts; 1 are allowed (`parts_max`)"),
        (r#""body":"x","tags":["a,b"]"#, "\"a,b\": a tag must not be empty or contain a comma or a control character"),
        (&format!(r#""body":"x",{tags}"#), "more than 256 bytes in all"),
        (
            r#""body":"x","tlvs":[{"tag":9,"text":""},{"tag":1060,"text":"x"}]"#,
            "number 1: 0x0424 is set by Stentor itself",
        ),
        (&format!(r#""body":"x","tlvs":[{}]"#, [r#"{"tag":9,"text":""}"#; 17].join(",")), "more than 16"),
        (r#""body":"x","from":"Twelve chars""#, "it is longer than 11 characters, or 15 digits"),
        (r#""body":"x","expires_in":"15d""#, "must be at most 14 days after the message is due"),
    ] {
        assert!(detail(fields).contains(told), "{fields:.200}: {}", detail(fields));
    }
}

#[test]
fn parts_are_counted_as_they_will_be_sent() {
    let parts = |fields: String| plain(&format!(r#"{{"to":"+4915112345678",{fields}}}"#)).map(|(head, _)| head.parts);
    assert_eq!(parts(format!(r#""body":"{}""#, "a".repeat(160))), Ok(1));
    assert_eq!(parts(format!(r#""body":"{}""#, "a".repeat(161))), Ok(2));
    assert_eq!(parts(format!(r#""body":"{}""#, "ж".repeat(71))), Ok(2));
    assert_eq!(parts(format!(r#""body":"{}","encoding":"ucs2""#, "a".repeat(71))), Ok(2));
    assert_eq!(parts(format!(r#""data":"{}""#, "AAAA".repeat(50))), Ok(2));
    assert_eq!(parts(format!(r#""body":"{}","parts_max":255"#, "a".repeat(39_015))), Ok(255));
}

#[test]
fn what_was_due_in_the_past_is_due_now_and_expires_by_its_own_time() {
    let times = |fields: &str| {
        plain(&format!(r#"{{"to":"+4915112345678","body":"x",{fields}}}"#))
            .map(|(head, _)| (head.send_at, head.expires_at))
    };
    assert_eq!(times(r#""send_at":"2026-07-01T11:00:00Z","expires_in":7200"#), Ok((Wall(0), NOW + 3_600_000)));
    assert_eq!(times(r#""expires_at":"2026-07-01T11:00:00Z""#), Ok((Wall(0), Wall(NOW.0 - 3_600_000))));
}

#[test]
fn a_tenant_sends_as_itself_and_where_it_may() {
    let mut block = NumberList::default();
    assert!(block.add("+49159999*"));
    let options = TenantOptions {
        id: TenantId(7),
        from: SenderId::parse("ACME").expect("sender"),
        senders: vec!["ACME".to_owned()],
        countries: vec!["DE".to_owned()],
        classes: vec![Class::Otp, Class::Transactional],
        recipients: vec![Arc::new(Recipients { block, ..Recipients::default() })],
        ..TenantOptions::default()
    };
    let tenant = Tenant::new(options);
    let (head, content) = meant(r#"{"to":"+4915112345678","body":"x"}"#, &tenant).expect("good");
    assert_eq!((head.tenant, content[0].as_str()), (TenantId(7), "ACME"));
    let refused = |json| meant(json, &tenant).err();
    let code = |code, field: &str| Some((code, field.to_owned()));
    assert_eq!(refused(r#"{"to":"+4915112345678","from":"Bank","body":"x"}"#), code(Code::SenderNotAllowed, "from"));
    assert_eq!(refused(r#"{"to":"+4366012345678","body":"x"}"#), code(Code::CountryNotAllowed, "to"));
    assert_eq!(refused(r#"{"to":"+4915999999999","body":"x"}"#), code(Code::RecipientNotAllowed, "to"));
    assert_eq!(
        refused(r#"{"to":"+4915112345678","class":"emergency","body":"x"}"#),
        code(Code::ClassNotAllowed, "class")
    );
    assert_eq!(refused(r#"{"to":"+4915112345678","class":"urgent","body":"x"}"#), code(Code::InvalidClass, "class"));
}
