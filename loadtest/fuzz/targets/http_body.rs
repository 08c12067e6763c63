//! A request's body, as object, array or lines: cut, typed, judged. What is taken can be kept and read back.
#![no_main]

use std::sync::LazyLock;

use stentor_core::admission::numbering::Numbering;
use stentor_core::admission::prints::said;
use stentor_core::admission::{Defaults, Rules, Tenant, judge};
use stentor::http::items::{Form, Items, Next};
use stentor::http::lookup::read_ids;
use stentor::http::spelling::{Scratch, draft};
use stentor::http::typed::Typed;
use stentor::http::wording;
use stentor_core::model::{Content, Wall};

const LINE_BYTES_MAX: usize = 4_096;
/// Bytes that are looked at before a pause, in the house 32 KiB.
const WORK: usize = 512;

static NUMBERING: LazyLock<Numbering> = LazyLock::new(|| Numbering::new(Some("DE")).expect("a country"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((form, body)) = data.split_first() else { return };
    let _ = read_ids(body);
    let form = if form & 1 == 0 { Form::Json } else { Form::Lines };
    let mut items = Items::new(body, form, LINE_BYTES_MAX);
    let tenant = Tenant::default();
    let rules = Rules {
        now: Wall(1_782_907_200_000),
        tenant: &tenant,
        is_admin: false,
        defaults: &Defaults::default(),
        numbering: &NUMBERING,
    };
    let (mut typed, mut scratch, mut count, mut slices) = (Typed::default(), Scratch::default(), 0, 0);
    loop {
        let mut work = WORK;
        slices += 1;
        assert!(slices <= 2 * count + body.len() / WORK + 4, "slices without end");
        let bytes = match items.next(&mut typed, &mut work) {
            Ok(Next::Message(bytes)) => bytes,
            Ok(Next::Pause) => continue,
            Ok(Next::End) | Err(_) => break,
        };
        count += 1;
        assert!(bytes <= body.len() && count <= body.len(), "more was read than there is");
        let Ok(draft) = draft(&typed, &mut scratch) else { continue };
        let mut print = Vec::new();
        said(&draft, &mut print);
        match judge(&draft, &rules) {
            Ok(meant) => {
                assert!(typed.flaw.is_none() && meant.head.parts > 0 && meant.head.expires_at >= meant.head.send_at);
                let mut arena = Vec::new();
                meant.content.encode(&mut arena);
                assert_eq!(Content::decode(&arena).ok(), Some(meant.content));
            }
            Err(objection) => drop(wording::flaw(&objection, &typed, &tenant)),
        }
    }
});
