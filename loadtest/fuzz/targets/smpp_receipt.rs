//! A receipt's text and parameters, its dates, and the keys under which its id is looked for.
#![no_main]

use stentor_smpp::fuzzing::read_text;
use stentor_smpp::receipt::{Receipt, ReceiptSource, looks_like_receipt};
use stentor_smpp::receipt_date::ReceiptDate;
use stentor_smpp::receipt_id::{Dialect, IdForm, id_key};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    read_text(data);
    let Some((&[esm_class, cut, state, one, two, three], rest)) = data.split_first_chunk() else { return };
    let (id, text) = rest.split_at(rest.len().min(usize::from(cut)));
    let source = ReceiptSource {
        esm_class,
        text,
        receipted_message_id: (cut & 1 == 1).then_some(id),
        message_state: Some(state),
        network_error_code: Some([one, two, three]),
    };
    let _ = (source.is_receipt(), looks_like_receipt(text));
    let mut scratch = Vec::new();
    let receipt = Receipt::parse(&source, &mut scratch);
    for date in [receipt.submit_date, receipt.done_date].into_iter().flatten() {
        let _ = ReceiptDate::read(date).map(|date| date.unix_seconds());
    }
    let Some(id) = receipt.id else { return };
    let keys: Vec<_> = Dialect::default().candidates(7, id).collect();
    assert!((1..=3).contains(&keys.len()), "one to three keys");
    assert_eq!(keys.iter().find(|candidate| candidate.form == IdForm::Same).map(|same| same.key), Some(id_key(7, id)));
});
