//! Resolves `[node]`, `[http]`, `[limits]` and `[log]`: the process, its HTTP server, its limits, its log.
//!
//! Knows the defaults and the range of each value. Refuses to know what the machine has: `auto` stays `None` here.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use toml::Spanned;

use super::choice::{Class, LogFormat, LogLevel, LogRequests, NodeIo};
use super::gather::{DAY, GIB, Gather, HOUR, KIB, MIB, MINUTE, SECOND, or};
use super::raw::{Optional, RawClassWait, RawHttp, RawHttpTls, RawLimits, RawLog, RawNode};
use super::shown;
use super::source::{Span, WHOLE};
use super::units::{Auto, Int, Millis, OneOrMany};
use stentor_core::model::Quoted;

/// Identity, data directory, shards and cores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// May be relative to the working directory.
    pub data_dir: PathBuf,
    /// 0..=1023; part of every message id.
    pub id: u16,
    /// 1..=256; `None`: the smaller of the number of cores and 16, fixed when the directory is first used.
    #[serde(serialize_with = "shown::auto")]
    pub shards: Option<u16>,
    /// Number of executors; `None`: one for each core that the process may use.
    #[serde(serialize_with = "shown::auto")]
    pub cores: Option<u16>,
    /// Kernel interface that executors use.
    pub io: NodeIo,
    /// How long carriers may take to answer after SIGTERM; submits without an answer by then are in doubt.
    #[serde(rename = "drain_timeout", serialize_with = "shown::duration")]
    pub drain_timeout_ms: u64,
    /// Path of the Unix socket over which no key is needed; `None`: there is none. May be relative to the working directory.
    pub admin_socket: Option<PathBuf>,
}

/// Longest path of a Unix socket that the kernel accepts, without the closing NUL.
const SOCKET_PATH_BYTES_MAX: usize = 107;

impl Node {
    pub(super) fn meant(raw: &RawNode, gather: &mut Gather<'_>) -> Self {
        Self {
            data_dir: gather.path(&raw.data_dir).unwrap_or_else(|| PathBuf::from("./data")),
            id: or(&raw.id, Int(0)).get(),
            shards: number(or(&raw.shards, Auto::Auto)),
            cores: number(or(&raw.cores, Auto::Auto)),
            io: or(&raw.io, NodeIo::Auto),
            drain_timeout_ms: gather.millis(&raw.drain_timeout, 9 * SECOND, SECOND..=5 * MINUTE),
            admin_socket: socket(&raw.admin_socket, gather),
        }
    }
}

fn socket(typed: &Optional<String>, gather: &mut Gather<'_>) -> Option<PathBuf> {
    let path = gather.path(typed)?;
    let bytes = path.as_os_str().len();
    if let Some(typed) = typed.as_ref().filter(|_| bytes > SOCKET_PATH_BYTES_MAX) {
        let what = format!("is {bytes} bytes long; the kernel allows {SOCKET_PATH_BYTES_MAX} for a socket's path");
        gather.refuse(&typed.span(), what);
    }
    Some(path)
}

fn number<const MIN: i64, const MAX: i64>(auto: Auto<Int<MIN, MAX>>) -> Option<u16> {
    match auto {
        Auto::Auto => None,
        Auto::Is(number) => Some(number.get()),
    }
}

/// The HTTP server: addresses, TLS, limits and timeouts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Http {
    /// Addresses to listen on; at least one.
    pub listen: Vec<SocketAddr>,
    /// Names, with or without a port, that a request's `Host` may have where no key is needed.
    pub hosts: Vec<String>,
    /// `None`: plain text.
    pub tls: Option<HttpTls>,
    /// Most bytes of a request's body, before and after decompression.
    #[serde(rename = "body_max", serialize_with = "shown::size")]
    pub body_bytes_max: u64,
    /// Most decompressed bytes per compressed byte.
    pub inflate_ratio_max: u32,
    /// Most bytes of one NDJSON line or array element.
    #[serde(rename = "line_max", serialize_with = "shown::size")]
    pub line_bytes_max: u64,
    /// Most messages of one request.
    pub messages_max: u32,
    /// Most open connections of the process.
    pub connections_max: u32,
    /// Most bytes of request line and headers.
    #[serde(rename = "header_max", serialize_with = "shown::size")]
    pub header_bytes_max: u64,
    /// Time for request line and headers, from their first byte.
    #[serde(rename = "header_timeout", serialize_with = "shown::duration")]
    pub header_timeout_ms: u64,
    /// Time for the whole body, from the end of the headers.
    #[serde(rename = "body_timeout", serialize_with = "shown::duration")]
    pub body_timeout_ms: u64,
    /// How long a client may keep an answer waiting.
    #[serde(rename = "write_timeout", serialize_with = "shown::duration")]
    pub write_timeout_ms: u64,
    /// Time between two requests of a connection.
    #[serde(rename = "idle_timeout", serialize_with = "shown::duration")]
    pub idle_timeout_ms: u64,
}

/// Paths of PEM files. Their content is checked by the HTTP server, which opens them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HttpTls {
    /// Certificate chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Private key of that certificate.
    pub key: PathBuf,
    /// Authorities: clients must show a certificate signed by one of them. `None`: no client certificate is asked for.
    pub client_ca: Option<PathBuf>,
}

/// The default of `listen`.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

impl Http {
    pub(super) fn meant(raw: &RawHttp, gather: &mut Gather<'_>) -> Self {
        let http = Self {
            listen: raw.listen.as_ref().map_or_else(|| vec![LISTEN], |typed| addresses(typed, gather)),
            hosts: raw.hosts.as_ref().map_or_else(Vec::new, |typed| typed.get_ref().0.clone()),
            tls: raw.tls.as_ref().and_then(|tls| HttpTls::meant(tls, gather)),
            body_bytes_max: gather.bytes(&raw.body_max, 16 * MIB, KIB..=GIB),
            inflate_ratio_max: or(&raw.inflate_ratio_max, Int(100)).get(),
            line_bytes_max: gather.bytes(&raw.line_max, 256 * KIB, KIB..=MIB),
            messages_max: or(&raw.messages_max, Int(100_000)).get(),
            connections_max: or(&raw.connections_max, Int(8_192)).get(),
            header_bytes_max: gather.bytes(&raw.header_max, 32 * KIB, KIB..=MIB),
            header_timeout_ms: gather.millis(&raw.header_timeout, 10 * SECOND, 100..=10 * MINUTE),
            body_timeout_ms: gather.millis(&raw.body_timeout, MINUTE, 100..=HOUR),
            write_timeout_ms: gather.millis(&raw.write_timeout, MINUTE, 100..=HOUR),
            idle_timeout_ms: gather.millis(&raw.idle_timeout, 75 * SECOND, 100..=DAY),
        };
        if http.line_bytes_max > http.body_bytes_max {
            let at = raw.line_max.as_ref().map(Spanned::span).or(raw.body_max.as_ref().map(Spanned::span));
            let what = "no such line could arrive: lower it or raise `body_max`";
            gather.refuse(&at.unwrap_or(WHOLE), format!("`line_max` is larger than `body_max`, so {what}"));
        }
        http
    }

    /// Whether only clients on this machine can connect.
    pub fn is_loopback(&self) -> bool {
        self.listen.iter().all(|address| address.ip().is_loopback())
    }
}

fn addresses(typed: &Spanned<OneOrMany<String>>, gather: &mut Gather<'_>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for text in &typed.get_ref().0 {
        match text.parse() {
            Ok(address) if found.contains(&address) => {
                gather.refuse(&typed.span(), format!("{text} is listed twice: remove one"))
            }
            Ok(address) => found.push(address),
            Err(_) => {
                let what = "write an IP address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"";
                gather.refuse(&typed.span(), format!("{} is not a listen address: {what}", Quoted(text)));
            }
        }
    }
    if typed.get_ref().0.is_empty() {
        gather.refuse(&typed.span(), "the list is empty: write at least one address such as \"127.0.0.1:8080\"");
    }
    found
}

impl HttpTls {
    fn meant(typed: &Spanned<RawHttpTls>, gather: &mut Gather<'_>) -> Option<Self> {
        let raw = typed.get_ref();
        gather.required(&raw.cert, &typed.span(), "cert");
        gather.required(&raw.key, &typed.span(), "key");
        let (cert, key) = (gather.path(&raw.cert), gather.path(&raw.key));
        Some(Self { cert: cert?, key: key?, client_ca: gather.path(&raw.client_ca) })
    }
}

/// Upper bounds of what the process holds; work beyond them is refused with an error code.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Messages not yet final, in all shards; more are refused with 503 `queue_full`.
    #[serde(rename = "queue")]
    pub queue_messages_max: u64,
    /// As `queue`, for each shard; `None`: only the total counts.
    #[serde(rename = "queue_per_shard")]
    pub queue_per_shard_messages_max: Option<u64>,
    /// Idempotency keys remembered at once; more are refused with 503 `key_window_full`.
    #[serde(rename = "keys")]
    pub keys_max: u64,
    /// How long an idempotency key is remembered; at least 24 h.
    #[serde(rename = "key_window", serialize_with = "shown::duration")]
    pub key_window_ms: u64,
    /// Memory for caches, and for requests and answers in progress.
    #[serde(rename = "memory", serialize_with = "shown::size")]
    pub memory_bytes: u64,
    /// Free bytes of the file system with the data directory; below this, new messages are refused with `disk_full`. `None`:
    /// derived from the number of shards and the size of the file system.
    #[serde(rename = "disk_floor", serialize_with = "shown::size_if_any")]
    pub disk_floor_bytes: Option<u64>,
    /// A new message that is expected to wait longer is refused with 503 `queue_slow`, by class.
    pub class_wait: ClassWait,
}

/// How long a message may be expected to wait, by class; `None`: any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassWait {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otp: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactional: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marketing: Option<Millis>,
}

impl ClassWait {
    /// That of one class, ms.
    pub fn of(&self, class: Class) -> Option<u64> {
        let typed = match class {
            // What is most urgent is never refused for that.
            Class::Emergency => None,
            Class::Otp => self.otp,
            Class::Transactional => self.transactional,
            Class::Marketing => self.marketing,
        };
        typed.map(|millis| millis.0)
    }
}

/// The shortest time for which a key may be remembered: a client that retries the next morning must not send twice.
const KEY_WINDOW_MIN: u64 = 24 * HOUR;

impl Limits {
    pub(super) fn meant(raw: &RawLimits, gather: &mut Gather<'_>) -> Self {
        let limits = Self {
            queue_messages_max: or(&raw.queue, Int(50_000_000)).get(),
            queue_per_shard_messages_max: raw.queue_per_shard.as_ref().map(|typed| typed.get_ref().get()),
            keys_max: or(&raw.keys, Int(20_000_000)).get(),
            key_window_ms: gather.millis(&raw.key_window, KEY_WINDOW_MIN, KEY_WINDOW_MIN..=30 * DAY),
            memory_bytes: gather.bytes(&raw.memory, 512 * MIB, 64 * MIB..=1024 * GIB),
            disk_floor_bytes: raw.disk_floor.is_some().then(|| gather.bytes(&raw.disk_floor, GIB, MIB..=1024 * GIB)),
            class_wait: {
                let mut of = |typed| gather.millis_if_any(typed, SECOND..=14 * DAY).map(Millis);
                let RawClassWait { otp, transactional, marketing } = &raw.class_wait;
                ClassWait { otp: of(otp), transactional: of(transactional), marketing: of(marketing) }
            },
        };
        if let Some(typed) = &raw.queue_per_shard
            && typed.get_ref().get::<u64>() > limits.queue_messages_max
        {
            let what = format!("is larger than `queue` ({}): lower it or raise `queue`", limits.queue_messages_max);
            gather.refuse(&typed.span(), what);
        }
        limits
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Log {
    /// Least important level that is written.
    pub level: LogLevel,
    /// Format of a line.
    pub format: LogFormat,
    /// Which answered requests are logged.
    pub requests: LogRequests,
}

impl Log {
    pub(super) fn meant(raw: &RawLog) -> Self {
        Self {
            level: or(&raw.level, LogLevel::Info),
            format: or(&raw.format, LogFormat::Auto),
            requests: or(&raw.requests, LogRequests::Refused),
        }
    }
}

/// The place of `listen`, for problems that concern it.
pub(super) fn listen_span(raw: &RawHttp) -> Span {
    raw.listen.as_ref().map_or(WHOLE, Spanned::span)
}
