//! What is read of a request's head: the query of records, cursors, instants, keys.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use stentor::http::auth::{TenantSpec, Tenants};
use stentor::http::records::{Cursor, Query};
use stentor::http::rfc3339;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&shards, rest)) = data.split_first() else { return };
    if let Ok(value) = hyper::header::HeaderValue::from_bytes(rest) {
        let tenants = Tenants::new(vec![TenantSpec { keys: vec!["key".to_owned()], ..TenantSpec::default() }]);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let admitted = tenants.admit(Some(&value), peer).is_ok();
        assert!(!admitted || rest.ends_with(b"key"), "a wrong key was let in");
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if let Ok(query) = Query::read(text, None, shards) {
        let mut written = Vec::new();
        query.cursor.push(&mut written);
        let written = String::from_utf8(written).expect("hexadecimal");
        assert_eq!(Cursor::parse(&written, shards).ok(), Some(query.cursor));
    }
    if let Ok(at) = rfc3339::parse(text) {
        let mut written = Vec::new();
        rfc3339::push(&mut written, at);
        let written = String::from_utf8(written).expect("ASCII");
        // Only years of four digits are read; one near the end may be written with another offset.
        if written.len() == "2026-01-31T12:00:00.000Z".len() {
            assert_eq!(rfc3339::parse(&written), Ok(at), "{text} was written as {written}");
        }
    }
});
