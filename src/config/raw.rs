//! The configuration as written: one struct per table, every key optional, every value with its place.
//!
//! Knows the names of the keys and the range of each number; `config/stentor.toml` says what they are for. Refuses to
//! know defaults, how keys relate, and what a secret resolves to. A key added here can at once be set by an environment
//! variable and is suggested for misspelt keys; a test demands that the reference file explains it.

use std::collections::BTreeMap;

use serde::Deserialize;
use stentor_core::link::ceiling::CEILING_MIN;
use stentor_core::queue::WEIGHT_MAX;
use toml::Spanned;

use super::choice::{
    BindKind, CarrierEncoding, CarrierKind, Class, DefaultAlphabet, DoubtPolicy, ErrorFamily, IdForm, LimitOf,
    LimitOver, LimitPer, LogFormat, LogLevel, LogPdus, LogRequests, NodeIo, NumberRule, Receipts, Splitting,
};
use super::secret::SecretRef;
use super::units::{Auto, Bytes, Int, Millis, OneOrMany, PerPeriod, PerSecond, PerSpan, Permille};

/// A key that may be absent, with the place of its value.
pub(super) type Optional<T> = Option<Spanned<T>>;

/// A limit on a number of things: at least 1, and no more than any machine could hold.
pub(super) type Count = Int<1, 1_000_000_000_000>;

/// A value of one byte.
pub(super) type Byte = Int<0, 255>;

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
        recipients: RawRecipients,
        retry: RawRetry,
        log: RawLog,
        carrier: Vec<Spanned<RawCarrier>>,
        route: Vec<Spanned<RawRoute>>,
        tenant: Vec<Spanned<RawTenant>>,
        limit: Vec<Spanned<RawLimit>>,
        test: Vec<Spanned<RawTest>>,
    }

    /// `[node]`
    RawNode {
        data_dir: Optional<String>,
        id: Optional<Int<0, 1023>>,
        shards: Optional<Auto<Int<1, 256>>>,
        cores: Optional<Auto<Int<1, 256>>>,
        io: Optional<NodeIo>,
        drain_timeout: Optional<Millis>,
        admin_socket: Optional<String>,
    }

    /// `[http]`
    RawHttp {
        listen: Optional<OneOrMany<String>>,
        hosts: Optional<OneOrMany<String>>,
        tls: Optional<RawHttpTls>,
        body_max: Optional<Bytes>,
        inflate_ratio_max: Optional<Int<1, 10_000>>,
        line_max: Optional<Bytes>,
        messages_max: Optional<Int<1, 10_000_000>>,
        connections_max: Optional<Int<1, 1_000_000>>,
        header_max: Optional<Bytes>,
        header_timeout: Optional<Millis>,
        body_timeout: Optional<Millis>,
        write_timeout: Optional<Millis>,
        idle_timeout: Optional<Millis>,
    }

    /// `[http.tls]`
    RawHttpTls {
        cert: Optional<String>,
        key: Optional<String>,
        client_ca: Optional<String>,
    }

    /// `[defaults]`
    RawDefaults {
        country: Optional<String>,
        number_ranges: Optional<Vec<Spanned<RawNumberRange>>>,
        class: Optional<Class>,
        from: Optional<String>,
        parts_max: Optional<Int<1, 255>>,
        expires_in: Optional<Millis>,
        class_expires_in: RawClassExpiry,
        retention: Optional<Millis>,
        receipt_wait: Optional<Millis>,
        in_doubt_wait: Optional<Millis>,
        doubts_max: Optional<Int<1, 100>>,
        in_doubt: RawInDoubt,
    }

    /// One of `defaults.number_ranges`.
    RawNumberRange {
        prefix: Optional<String>,
        digits: Optional<Vec<Int<7, 15>>>,
    }

    /// `[defaults.class_expires_in]`
    RawClassExpiry {
        emergency: Optional<Millis>,
        otp: Optional<Millis>,
        transactional: Optional<Millis>,
        marketing: Optional<Millis>,
    }

    /// `[defaults.in_doubt]`
    RawInDoubt {
        emergency: Optional<DoubtPolicy>,
        otp: Optional<DoubtPolicy>,
        transactional: Optional<DoubtPolicy>,
        marketing: Optional<DoubtPolicy>,
    }

    /// `[limits]`
    RawLimits {
        queue: Optional<Count>,
        queue_per_shard: Optional<Count>,
        keys: Optional<Count>,
        key_window: Optional<Millis>,
        memory: Optional<Bytes>,
        disk_floor: Optional<Bytes>,
        class_wait: RawClassWait,
    }

    /// `[limits.class_wait]`
    RawClassWait {
        otp: Optional<Millis>,
        transactional: Optional<Millis>,
        marketing: Optional<Millis>,
    }

    /// `[retry]`: one policy per error class that is retried, and what differs for a class of messages.
    RawRetry {
        transient: RawRetryPolicy,
        session: RawRetryPolicy,
        credential: RawRetryPolicy,
        our_bug: RawRetryPolicy,
        unknown: RawRetryPolicy,
        emergency: RawRetryPolicy,
        otp: RawRetryPolicy,
        transactional: RawRetryPolicy,
        marketing: RawRetryPolicy,
    }

    /// `[retry.transient]` and the other tables of `[retry]`.
    RawRetryPolicy {
        attempts_max: Optional<Int<1, 100>>,
        backoff_min: Optional<Millis>,
        backoff_max: Optional<Millis>,
        jitter: Optional<Permille>,
    }

    /// `[log]`
    RawLog {
        level: Optional<LogLevel>,
        format: Optional<LogFormat>,
        requests: Optional<LogRequests>,
    }

    /// `[[carrier]]`
    RawCarrier {
        name: Optional<String>,
        kind: Optional<CarrierKind>,
        group: Optional<String>,
        hosts: Optional<Vec<Spanned<String>>>,
        port: Optional<Int<1, 65_535>>,
        source_ip: Optional<String>,
        tls: Optional<RawCarrierTls>,
        system_id: Optional<String>,
        password: Optional<SecretRef>,
        system_type: Optional<String>,
        address_range: Optional<String>,
        numbering: RawNumbering,
        bind: Optional<BindKind>,
        binds: Optional<Int<0, 256>>,
        window: Optional<Int<1, 65_536>>,
        rate: Optional<PerSecond>,
        bind_rate: Optional<PerSecond>,
        class_ceiling: Optional<Int<{ CEILING_MIN as i64 }, 100>>,
        encoding: Optional<CarrierEncoding>,
        default_alphabet: Optional<DefaultAlphabet>,
        transliterate: Optional<bool>,
        splitting: Optional<Splitting>,
        service_type: Optional<String>,
        registered_delivery: Optional<Int<0, 31>>,
        receipts: Optional<Receipts>,
        query_rate: Optional<PerSecond>,
        query_after: Optional<Millis>,
        validity: Optional<bool>,
        user_message_reference: Optional<bool>,
        tlvs: Optional<Vec<Spanned<RawTlv>>>,
        dialect: RawDialect,
        errors: BTreeMap<String, Spanned<ErrorFamily>>,
        connect_timeout: Optional<Millis>,
        response_timeout: Optional<Millis>,
        enquire_link: Optional<Millis>,
        reconnect_min: Optional<Millis>,
        reconnect_max: Optional<Millis>,
        log_pdus: Optional<LogPdus>,
    }

    /// `tls` of a carrier.
    RawCarrierTls {
        ca: Optional<String>,
        server_name: Optional<String>,
        insecure: Optional<bool>,
        pin: Optional<OneOrMany<String>>,
        cert: Optional<String>,
        key: Optional<String>,
    }

    /// `numbering` of a carrier: `[type of number, numbering plan]` for each form of an address.
    RawNumbering {
        international: Optional<Vec<Byte>>,
        alphanumeric: Optional<Vec<Byte>>,
        short_code: Optional<Vec<Byte>>,
        recipient: Optional<Vec<Byte>>,
        bind: Optional<Vec<Byte>>,
    }

    /// `dialect` of a carrier.
    RawDialect {
        response_id: Optional<IdForm>,
        receipt_id: Optional<IdForm>,
        number: Optional<NumberRule>,
    }

    /// One of a carrier's `tlvs`.
    RawTlv {
        tag: Optional<Int<0, 65_535>>,
        text: Optional<String>,
        hex: Optional<String>,
    }

    /// `[[route]]`
    RawRoute {
        name: Optional<String>,
        when: RawWhen,
        carriers: Optional<Vec<Spanned<RawShare>>>,
        from: Optional<String>,
        failover: Optional<bool>,
    }

    /// `when` of a route.
    RawWhen {
        prefix: Optional<OneOrMany<String>>,
        sender: Optional<OneOrMany<String>>,
        class: Optional<OneOrMany<Class>>,
        tenant: Optional<OneOrMany<String>>,
        tag: Optional<OneOrMany<String>>,
    }

    /// One of a route's `carriers`.
    RawShare {
        name: Optional<String>,
        weight: Optional<Int<0, 1_000_000>>,
    }

    /// `[[tenant]]`
    RawTenant {
        name: Optional<String>,
        keys: Optional<Vec<Spanned<SecretRef>>>,
        admin_keys: Optional<Vec<Spanned<SecretRef>>>,
        from: Optional<String>,
        senders: Optional<Vec<Spanned<String>>>,
        quota: Optional<PerPeriod>,
        rate: Optional<PerSecond>,
        countries: Optional<Vec<Spanned<String>>>,
        recipients: RawRecipients,
        numbers: Optional<Vec<Spanned<String>>>,
        classes: Optional<Vec<Spanned<Class>>>,
        shares: Optional<Int<1, 1_000_000>>,
        weight: Optional<Int<1, { WEIGHT_MAX as i64 }>>,
    }

    /// `[recipients]`, and `recipients` of a tenant.
    RawRecipients {
        allow: Optional<Vec<Spanned<String>>>,
        block: Optional<Vec<Spanned<String>>>,
    }

    /// `[[limit]]`
    RawLimit {
        name: Optional<String>,
        when: RawLimitWhen,
        per: Optional<LimitPer>,
        of: Optional<LimitOf>,
        rate: Optional<PerSpan>,
        zone: Optional<String>,
        over: Optional<LimitOver>,
    }

    /// `when` of a limit.
    RawLimitWhen {
        country: Optional<OneOrMany<String>>,
        class: Optional<OneOrMany<Class>>,
        tenant: Optional<OneOrMany<String>>,
        carrier: Optional<OneOrMany<String>>,
        tag: Optional<OneOrMany<String>>,
        sender: Optional<OneOrMany<String>>,
    }

    /// `[[test]]`
    RawTest {
        given: Optional<RawGiven>,
        expect: Optional<RawExpect>,
    }

    /// `given` of a test.
    RawGiven {
        to: Optional<String>,
        from: Optional<String>,
        body: Optional<String>,
        class: Optional<Class>,
        tenant: Optional<String>,
        tags: Optional<OneOrMany<String>>,
    }

    /// `expect` of a test.
    RawExpect {
        route: Optional<String>,
        encoding: Optional<CarrierEncoding>,
        reject: Optional<String>,
    }
}
