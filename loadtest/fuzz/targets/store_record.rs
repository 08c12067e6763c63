//! Every record and key of the store from any bytes: read or refused; what is read is written as it was.
#![no_main]

use stentor_core::store::control::{ControlRecord, EntryRecord, parse_entry_key};
use stentor_core::store::key::Key;
use stentor_core::store::record::{CheckpointRecord, DueRecord, HandsetRecord, InboundRecord, JoiningRecord, KeysRecord, ListRecord, NoticeRecord, ReadyRecord, ReceiptsRecord, StateRecord, TurnRecord, decode, encode};
use stentor_core::store::run;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let _ = (Key::number(bytes), Key::ready(bytes), Key::due(bytes), Key::list(bytes));
    let _ = Key::place(bytes);
    let _ = (run::parse_registration_key(bytes), parse_entry_key(bytes));
    if let Some(id) = std::str::from_utf8(bytes).ok().and_then(run::parse_name) {
        assert_eq!(run::parse_name(&run::name(id)), Some(id));
    }
    macro_rules! read {
        ($($number:literal $record:ident)*) => {
            match kind % 14 {
                $($number => {
                    if let Ok(record) = decode::<$record>(bytes) {
                        assert_eq!(decode::<$record>(&encode(&record)).ok(), Some(record));
                    }
                })*
                _ => {}
            }
        };
    }
    read! {
        0 CheckpointRecord 1 DueRecord 2 InboundRecord 3 KeysRecord 4 ControlRecord 5 ReadyRecord 6 ReceiptsRecord
        7 StateRecord 8 TurnRecord 9 ListRecord 10 EntryRecord 11 HandsetRecord 12 JoiningRecord 13 NoticeRecord
    }
});
