//! SMPP 3.4 as values: no socket, no clock, no thread.
//!
#![doc = include_str!("README.md")]
//!
//! From the bytes upwards: [`framer`] cuts a stream into PDUs, [`decode`] reads them into the borrowed fields of
//! [`pdu`] and [`tlv`], [`encode`] writes them, and [`session`] decides in both roles which PDU may be sent when.
//! [`words`] describes a PDU for human readers. The other modules deal with texts: codings, user data headers, splitting
//! and receipts.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))] // no input may cause a panic

pub mod analyse;
mod cluster;
pub mod coding;
pub mod decode;
pub mod encode;
pub mod field;
pub mod framer;
pub mod fuzzing;
pub mod gsm7;
mod gsm7_tables;
pub mod national;
mod national_tables;
pub mod pdu;
pub mod receipt;
pub mod receipt_date;
pub mod receipt_id;
pub mod receipt_write;
mod repertoire;
pub mod session;
pub mod split;
pub mod status;
pub mod time_format;
pub mod tlv;
pub mod transliterate;
mod transliterate_tables;
pub mod ucs2;
pub mod udh;
pub mod user_data;
pub mod window;
pub mod words;
