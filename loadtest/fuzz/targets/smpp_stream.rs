//! A stream of PDUs through framer, decoder, encoder and both session roles.
#![no_main]

use stentor_smpp::fuzzing::decode_everything;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode_everything(data));
