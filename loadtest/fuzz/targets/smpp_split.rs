//! Any text or bytes, split for any carrier, put together again: what comes out is what went in.
#![no_main]

use stentor_smpp::analyse::Encoding;
use stentor_smpp::coding::DefaultAlphabet;
use stentor_smpp::national::{Language, National};
use stentor_smpp::split::{Body, CarrierText, Content, Plan, Parts, Splitting};
use stentor_smpp::udh::Header;
use stentor_smpp::user_data::{Reassembly, decode_text, decode_user_data};

const SPLITTINGS: [Splitting; 5] =
    [Splitting::Single, Splitting::Udh8, Splitting::Udh16, Splitting::Sar, Splitting::Payload];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[choice, languages, udh], rest)) = data.split_first_chunk() else { return };
    let single = Language::ALL.into_iter().filter(|language| languages & 1 << (*language as u8 % 8) != 0).collect();
    let carrier = CarrierText {
        default_alphabet: [DefaultAlphabet::Gsm7, DefaultAlphabet::Latin1, DefaultAlphabet::Ascii][usize::from(choice) % 3],
        national: if choice & 0x80 == 0 { National::NONE } else { National { single, locking: single } },
        splitting: SPLITTINGS[usize::from(choice / 3) % 5],
        flash_group_f: languages & 1 == 1,
        transliterate: false,
    };
    let (header, rest) = rest.split_at(rest.len().min(usize::from(udh % 32)));
    let header = Header::check(header).unwrap_or(Header::NONE);
    let body = match std::str::from_utf8(rest) {
        Ok(text) if choice & 0x40 == 0 => Body::Text(text),
        Ok(_) | Err(_) => Body::Binary(rest),
    };
    // Only bytes may bring a header of their own.
    let header = if matches!(body, Body::Text(_)) { Header::NONE } else { header };
    let content = Content { body, header, encoding: Encoding::Auto, flash: choice & 0x20 != 0 };
    let Ok(plan) = Plan::new(&content, &carrier) else { return };
    come_together(&content, plan, carrier.default_alphabet);
});

fn come_together(content: &Content<'_>, plan: Plan, default: DefaultAlphabet) {
    let mut parts = Parts::new(*content, plan, 0x1234);
    let (mut out, mut text, mut count) = (Vec::new(), Some(String::new()), 0);
    let mut message = Reassembly::new(plan.parts());
    let mut last_header = Vec::new();
    while let Some(part) = parts.next_into(&mut out) {
        count += 1;
        assert_eq!((part.number, part.total), (count, plan.parts()));
        assert!(part.in_payload || out.len() <= 160, "a part of {} bytes", out.len());
        let read = decode_user_data(part.data_coding, default, part.has_header, &out);
        assert!(message.insert(part.number, read.bytes), "a part was there already");
        text = text.zip(read.text).map(|(before, text)| before + &text);
        last_header = out[..out.len() - read.bytes.len()].to_vec();
    }
    assert_eq!(count, plan.parts(), "parts were promised");
    let whole = message.whole().expect("all parts are here");
    match content.body {
        Body::Binary(bytes) => assert_eq!(whole, bytes),
        Body::Text(wanted) => {
            assert_eq!(text.as_deref(), Some(wanted), "{plan:?}");
            let (header, _) = if last_header.is_empty() { (Header::NONE, &[][..]) } else { Header::cut(&last_header) };
            let joined = decode_text(plan.data_coding(), default, header, &whole);
            assert_eq!(joined.as_deref(), Some(wanted), "joined first, {plan:?}");
        }
    }
}
