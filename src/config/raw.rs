//! The configuration as written: one struct per table, every key optional, every value with its place.
//!
//! Knows the names of the keys and the range of each number; `config/stentor.toml` says what they are for. Refuses to
//! know defaults, how keys relate, and what a secret resolves to. A key added here can at once be set by an environment
//! variable and is suggested for misspelt keys; a test demands that the reference file explains it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::choice::{
    BindMode, CarrierKind, Class, DefaultAlphabet, Encoding, ErrorClass, IdForm, InDoubt, LogFormat, LogLevel, LogPdus,
    LogRequests, NodeIo, NumberRule, Receipts, Splitting,
};
use super::secret::SecretRef;
use super::units::{Auto, Bytes, Int, Millis, OneOrMany, PerSecond, Permille, Quota};

/// A key that may be absent, with the place of its value.
pub(super) type Typed<T> = Option<Spanned<T>>;

/// A limit on a number of things: at least 1, and no more than any machine could hold.
pub(super) type Count = Int<1, 1_000_000_000_000>;

/// A value of one byte.
pub(super) type Octet = Int<0, 255>;

macro_rules! raw {
    ($($(#[doc = $doc:literal])* $name:ident { $($key:ident: $type:ty,)* })*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields, expecting = "a table")]
        // each key is explained in config/stentor.toml, which a test compares with this list
        pub struct $name {
            $(pub $key: $type,)*
        }
    )*};
}

raw! {
    /// The whole file.
    RawConfig {
        node: RawNode,
        http: RawHttp,
        defaults: RawDefaults,
        limits: RawLimits,
        retry: RawRetry,
        log: RawLog,
        carrier: Vec<Spanned<RawCarrier>>,
        route: Vec<Spanned<RawRoute>>,
        tenant: Vec<Spanned<RawTenant>>,
        test: Vec<Spanned<RawTest>>,
    }

    /// `[node]`
    RawNode {
        data_dir: Typed<String>,
        id: Typed<Int<0, 1023>>,
        shards: Typed<Auto<Int<1, 256>>>,
        cores: Typed<Auto<Int<1, 256>>>,
        io: Typed<NodeIo>,
        drain_timeout: Typed<Millis>,
        admin_socket: Typed<String>,
    }

    /// `[http]`
    RawHttp {
        listen: Typed<OneOrMany<String>>,
        hosts: Typed<OneOrMany<String>>,
        tls: Typed<RawHttpTls>,
        body_max: Typed<Bytes>,
        inflate_ratio_max: Typed<Int<1, 10_000>>,
        line_max: Typed<Bytes>,
        messages_max: Typed<Int<1, 10_000_000>>,
        connections_max: Typed<Int<1, 1_000_000>>,
        header_max: Typed<Bytes>,
        header_timeout: Typed<Millis>,
        body_timeout: Typed<Millis>,
        write_timeout: Typed<Millis>,
        idle_timeout: Typed<Millis>,
    }

    /// `[http.tls]`
    RawHttpTls {
        cert: Typed<String>,
        key: Typed<String>,
        client_ca: Typed<String>,
    }

    /// `[defaults]`
    RawDefaults {
        country: Typed<String>,
        number_ranges: Typed<Vec<Spanned<RawNumberRange>>>,
        class: Typed<Class>,
        from: Typed<String>,
        parts_max: Typed<Int<1, 255>>,
        expires_in: Typed<Millis>,
        retention: Typed<Millis>,
        receipt_wait: Typed<Millis>,
        in_doubt_wait: Typed<Millis>,
        doubts_max: Typed<Int<1, 100>>,
        in_doubt: RawInDoubt,
    }

    /// One of `defaults.number_ranges`.
    RawNumberRange {
        prefix: Typed<String>,
        digits: Typed<Vec<Int<7, 15>>>,
    }

    /// `[defaults.in_doubt]`
    RawInDoubt {
        emergency: Typed<InDoubt>,
        otp: Typed<InDoubt>,
        transactional: Typed<InDoubt>,
        marketing: Typed<InDoubt>,
    }

    /// `[limits]`
    RawLimits {
        queue: Typed<Count>,
        queue_per_shard: Typed<Count>,
        keys: Typed<Count>,
        key_window: Typed<Millis>,
        memory: Typed<Bytes>,
        disk_floor: Typed<Bytes>,
    }

    /// `[retry]`: one policy per error class that is retried.
    RawRetry {
        transient: RawRetryPolicy,
        session: RawRetryPolicy,
        credential: RawRetryPolicy,
        our_bug: RawRetryPolicy,
        unknown: RawRetryPolicy,
    }

    /// `[retry.transient]` and the other tables of `[retry]`.
    RawRetryPolicy {
        attempts_max: Typed<Int<1, 100>>,
        backoff_min: Typed<Millis>,
        backoff_max: Typed<Millis>,
        jitter: Typed<Permille>,
    }

    /// `[log]`
    RawLog {
        level: Typed<LogLevel>,
        format: Typed<LogFormat>,
        requests: Typed<LogRequests>,
    }

    /// `[[carrier]]`
    RawCarrier {
        name: Typed<String>,
        kind: Typed<CarrierKind>,
        group: Typed<String>,
        hosts: Typed<Vec<Spanned<String>>>,
        port: Typed<Int<1, 65_535>>,
        source_ip: Typed<String>,
        tls: Typed<RawCarrierTls>,
        system_id: Typed<String>,
        password: Typed<SecretRef>,
        system_type: Typed<String>,
        address_range: Typed<String>,
        numbering: RawNumbering,
        bind: Typed<BindMode>,
        binds: Typed<Int<0, 256>>,
        window: Typed<Int<1, 65_536>>,
        rate: Typed<PerSecond>,
        bind_rate: Typed<PerSecond>,
        encoding: Typed<Encoding>,
        default_alphabet: Typed<DefaultAlphabet>,
        transliterate: Typed<bool>,
        splitting: Typed<Splitting>,
        service_type: Typed<String>,
        registered_delivery: Typed<Int<0, 31>>,
        receipts: Typed<Receipts>,
        query_rate: Typed<PerSecond>,
        query_after: Typed<Millis>,
        validity: Typed<bool>,
        user_message_reference: Typed<bool>,
        tlvs: Typed<Vec<Spanned<RawTlv>>>,
        dialect: RawDialect,
        errors: BTreeMap<String, Spanned<ErrorClass>>,
        connect_timeout: Typed<Millis>,
        response_timeout: Typed<Millis>,
        enquire_link: Typed<Millis>,
        reconnect_min: Typed<Millis>,
        reconnect_max: Typed<Millis>,
        log_pdus: Typed<LogPdus>,
    }

    /// `tls` of a carrier.
    RawCarrierTls {
        ca: Typed<String>,
        server_name: Typed<String>,
        insecure: Typed<bool>,
        pin: Typed<OneOrMany<String>>,
        cert: Typed<String>,
        key: Typed<String>,
    }

    /// `numbering` of a carrier: `[type of number, numbering plan]` for each form of an address.
    RawNumbering {
        international: Typed<Vec<Octet>>,
        alphanumeric: Typed<Vec<Octet>>,
        short_code: Typed<Vec<Octet>>,
        recipient: Typed<Vec<Octet>>,
        bind: Typed<Vec<Octet>>,
    }

    /// `dialect` of a carrier.
    RawDialect {
        response_id: Typed<IdForm>,
        receipt_id: Typed<IdForm>,
        number: Typed<NumberRule>,
    }

    /// One of a carrier's `tlvs`.
    RawTlv {
        tag: Typed<Int<0, 65_535>>,
        text: Typed<String>,
        hex: Typed<String>,
    }

    /// `[[route]]`
    RawRoute {
        name: Typed<String>,
        when: RawWhen,
        carriers: Typed<Vec<Spanned<RawShare>>>,
        from: Typed<String>,
        failover: Typed<bool>,
    }

    /// `when` of a route.
    RawWhen {
        prefix: Typed<OneOrMany<String>>,
        sender: Typed<OneOrMany<String>>,
        class: Typed<OneOrMany<Class>>,
        tenant: Typed<OneOrMany<String>>,
        tag: Typed<OneOrMany<String>>,
    }

    /// One of a route's `carriers`.
    RawShare {
        name: Typed<String>,
        weight: Typed<Int<0, 1_000_000>>,
    }

    /// `[[tenant]]`
    RawTenant {
        name: Typed<String>,
        keys: Typed<Vec<Spanned<SecretRef>>>,
        admin_keys: Typed<Vec<Spanned<SecretRef>>>,
        from: Typed<String>,
        senders: Typed<Vec<Spanned<String>>>,
        quota: Typed<Quota>,
        rate: Typed<PerSecond>,
        countries: Typed<Vec<Spanned<String>>>,
        numbers: Typed<Vec<Spanned<String>>>,
        shares: Typed<Int<1, 1_000_000>>,
    }

    /// `[[test]]`
    RawTest {
        given: Typed<RawGiven>,
        expect: Typed<RawExpect>,
    }

    /// `given` of a test.
    RawGiven {
        to: Typed<String>,
        from: Typed<String>,
        body: Typed<String>,
        class: Typed<Class>,
        tenant: Typed<String>,
        tags: Typed<OneOrMany<String>>,
    }

    /// `expect` of a test.
    RawExpect {
        route: Typed<String>,
        encoding: Typed<Encoding>,
        reject: Typed<String>,
    }
}
