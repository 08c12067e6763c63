//! Tests of [`judge()`] that hold for every door: drafts, and the accepted message or objection for each. The HTTP
//! wording of each objection is tested in `http/spelling_tests.rs`.

use std::sync::Arc;

use super::*;
use crate::{
    admission::{NumberList, Recipients, TenantOptions, numbering::NumberError},
    model::{Msisdn, TenantId, sender::SenderError},
};
use stentor_smpp::udh::HeaderError;

const NOW: Wall = Wall(1_782_907_200_000);
const HOUR_MS: u64 = 3_600_000;

const GOOD: Draft<'_> = Draft {
    to: Some("+4915112345678"),
    from: None,
    body: Some(Body::Text("hi")),
    class: None,
    key: None,
    send_at: None,
    expiry: None,
    encoding: None,
    flash: None,
    receipt: None,
    parts_max: None,
    reference: None,
    tags: "",
    tlvs: &[],
};

fn by<'m>(draft: &Draft<'m>, tenant: &Tenant) -> Result<Meant<'m>, Objection> {
    let numbering = Numbering::new(None).expect("metadata");
    judge(draft, &Rules { now: NOW, tenant, is_admin: false, defaults: &Defaults::default(), numbering: &numbering })
}

fn plain<'m>(draft: &Draft<'m>) -> Result<Meant<'m>, Objection> {
    by(draft, &Tenant::default())
}

#[test]
fn defaults_fill_what_is_not_said() {
    let head = Head {
        to: Msisdn::from_digits(b"4915112345678").expect("number"),
        receipt: true,
        parts: 1,
        expires_at: NOW + 2 * 86_400_000,
        ..Head::default()
    };
    assert_eq!(plain(&GOOD), Ok(Meant { head, content: Content { body: b"hi", ..Content::default() } }));
}

#[test]
fn a_class_has_an_expiry_of_its_own() {
    let (numbering, tenant) = (Numbering::new(None).expect("metadata"), Tenant::default());
    let defaults = Defaults { class: Class::Marketing, expires_in_ms: [1, 2, 3, 4], ..Defaults::default() };
    let rules = Rules { now: NOW, tenant: &tenant, is_admin: true, defaults: &defaults, numbering: &numbering };
    let lasts = |class| judge(&Draft { class, ..GOOD }, &rules).map(|meant| meant.head.expires_at.since(NOW));
    assert_eq!(Class::ALL.map(|class| lasts(Some(class))), [Ok(1), Ok(2), Ok(3), Ok(4)]);
    assert_eq!(lasts(None), Ok(4), "the class of messages that name none");
}

#[test]
fn what_is_said_holds() {
    let draft = Draft {
        from: Some("+491511111111"),
        body: Some(Body::Data { bytes: b"\0\x01", udh: &[2, 0x70, 0] }),
        class: Some(Class::Otp),
        send_at: Some(NOW + HOUR_MS),
        expiry: Some(Expiry::In(600_000)),
        flash: Some(true),
        receipt: Some(false),
        parts_max: Some(1),
        reference: Some("r"),
        tags: "a,b",
        tlvs: &[0, 9, 0, 0],
        ..GOOD
    };
    let Meant { head, content } = plain(&draft).expect("good");
    assert_eq!((head.class, head.encoding, head.flash, head.receipt), (Class::Otp, Encoding::Binary, true, false));
    assert_eq!((head.send_at, head.expires_at), (NOW + HOUR_MS, NOW + HOUR_MS + 600_000));
    let from = SenderId::parse("491511111111").expect("sender");
    let expected =
        Content { from, body: b"\0\x01", udh: &[2, 0x70, 0], reference: "r", tags: "a,b", tlvs: draft.tlvs, ..content };
    assert_eq!(content, expected);
}

#[test]
fn each_rule_has_its_objection() {
    let long = "a".repeat(limits::BODY_BYTES_MAX + 1);
    let late = Some(NOW + AHEAD_MAX_MS + 1);
    let too_long = Some(Expiry::At(NOW + VALIDITY_MAX_MS + 1));
    let text = |text| Some(Body::Text(text));
    let data = |udh| Some(Body::Data { bytes: b"x", udh });
    let parts = |needed, allowed| Objection::TooManyParts { needed, allowed };
    for (draft, objection) in [
        (Draft { to: None, ..GOOD }, Objection::NoRecipient),
        (Draft { to: Some("0151 1"), ..GOOD }, Objection::Recipient(NumberError::NotInternational)),
        (Draft { from: Some(""), ..GOOD }, Objection::Sender(SenderError::Empty)),
        (Draft { key: Some(""), ..GOOD }, Objection::Key(0)),
        (Draft { key: Some(&long[..256]), ..GOOD }, Objection::Key(256)),
        (Draft { send_at: late, ..GOOD }, Objection::DueTooLate),
        (Draft { expiry: Some(Expiry::In(VALIDITY_MAX_MS + 1)), ..GOOD }, Objection::ValidTooLong),
        (Draft { expiry: too_long, ..GOOD }, Objection::ValidTooLong),
        (Draft { send_at: Some(NOW), expiry: Some(Expiry::At(NOW)), ..GOOD }, Objection::ExpiresTooEarly),
        (Draft { reference: Some(&long[..257]), ..GOOD }, Objection::Reference(257)),
        (Draft { body: None, ..GOOD }, Objection::NoBody),
        (Draft { body: text(""), ..GOOD }, Objection::BodyLength(0)),
        (Draft { body: text(&long), ..GOOD }, Objection::BodyLength(long.len())),
        (Draft { encoding: Some(Encoding::Binary), ..GOOD }, Objection::TextAsBinary),
        (Draft { body: data(&[]), encoding: Some(Encoding::Gsm7), ..GOOD }, Objection::DataAsText),
        (Draft { body: data(&[3]), ..GOOD }, Objection::Header(HeaderError::LengthMismatch { says: 3, has: 0 })),
        (Draft { parts_max: Some(0), ..GOOD }, Objection::PartsMax),
        (Draft { parts_max: Some(256), ..GOOD }, Objection::PartsMax),
        (Draft { body: text(&long[..161]), parts_max: Some(1), ..GOOD }, parts(2, 1)),
        (Draft { body: text(&long[..153 * 16 + 1]), ..GOOD }, parts(17, 16)),
    ] {
        assert_eq!(plain(&draft), Err(objection), "{draft:.200?}");
    }
    let plain_only = Draft { body: text("naïve"), encoding: Some(Encoding::Gsm7), ..GOOD };
    assert!(matches!(plain(&plain_only), Err(Objection::Text(TextError::Unrepresentable(_)))));
}

#[test]
fn what_was_due_in_the_past_is_due_now_and_expires_by_its_own_time() {
    let times = |send_at, expiry| {
        plain(&Draft { send_at, expiry: Some(expiry), ..GOOD }).map(|meant| (meant.head.send_at, meant.head.expires_at))
    };
    let past = Wall(NOW.0 - HOUR_MS);
    assert_eq!(times(Some(past), Expiry::In(2 * HOUR_MS)), Ok((Wall(0), NOW + HOUR_MS)));
    assert_eq!(times(None, Expiry::At(past)), Ok((Wall(0), past)));
}

#[test]
fn a_tenant_sends_as_itself_and_where_it_may() {
    let tenant = Tenant::new(TenantOptions {
        id: TenantId(7),
        from: SenderId::parse("ACME").expect("sender"),
        senders: vec!["ACME".to_owned()],
        countries: vec!["DE".to_owned()],
        ..TenantOptions::default()
    });
    let meant = by(&GOOD, &tenant).expect("good");
    assert_eq!((meant.head.tenant, meant.content.from.as_str()), (TenantId(7), "ACME"));
    let bank = SenderId::parse("Bank").expect("sender");
    assert_eq!(by(&Draft { from: Some("Bank"), ..GOOD }, &tenant), Err(Objection::SenderNotAllowed(bank)));
    assert_eq!(by(&Draft { to: Some("+4366012345678"), ..GOOD }, &tenant), Err(Objection::Country));
}

#[test]
fn all_lists_of_recipients_must_agree() {
    let list = |entry: &str| {
        let mut list = NumberList::default();
        assert!(list.add(entry));
        list
    };
    let own = Recipients { allow: list("+49*"), ..Recipients::default() };
    let of_all = Recipients { block: list("+491511*"), ..Recipients::default() };
    let recipients = vec![Arc::new(own), Arc::new(of_all)];
    let tenant = Tenant::new(TenantOptions { recipients, ..TenantOptions::default() });
    let to = |to| by(&Draft { to: Some(to), ..GOOD }, &tenant).map(|meant| meant.head.to.number());
    assert_eq!(to("+49 1512 345678"), Ok(491_512_345_678));
    assert_eq!(["+4915112345678", "+4366012345678"].map(to), [Err(Objection::RecipientNotAllowed); 2]);
}

#[test]
fn a_tenant_uses_its_classes_and_an_admin_uses_all() {
    let classes = vec![Class::Otp, Class::Marketing];
    let tenant = Tenant::new(TenantOptions { classes, ..TenantOptions::default() });
    let class = |class| by(&Draft { class, ..GOOD }, &tenant).map(|meant| meant.head.class);
    assert_eq!([class(Some(Class::Otp)), class(Some(Class::Marketing))], [Ok(Class::Otp), Ok(Class::Marketing)]);
    let refused = |class| Err(Objection::ClassNotAllowed(class));
    assert_eq!(class(Some(Class::Emergency)), refused(Class::Emergency));
    assert_eq!(class(None), refused(Class::Transactional), "the class that it gets by default");
    let numbering = Numbering::new(None).expect("metadata");
    let defaults = Defaults { class: Class::Marketing, ..Defaults::default() };
    let mut rules = Rules { now: NOW, tenant: &tenant, is_admin: false, defaults: &defaults, numbering: &numbering };
    assert!(judge(&GOOD, &rules).is_ok(), "another default");
    let urgent = Draft { class: Some(Class::Emergency), ..GOOD };
    assert_eq!(objections(&urgent, &rules), [Objection::ClassNotAllowed(Class::Emergency)]);
    rules.is_admin = true;
    assert!(judge(&urgent, &rules).is_ok() && objections(&urgent, &rules).is_empty());
}
