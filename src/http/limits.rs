//! Every limit of the HTTP server, and how the limits relate. Knows numbers; each is enforced where its name is used.

/// Limits of one core. Times in milliseconds, sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections per core; one more is answered with 503 and closed. An idle one costs about 24 KiB, most of it the
    /// parser's two buffers.
    pub connections_max: usize,
    /// Request line and headers together; more is 431.
    pub header_bytes_max: usize,
    /// A body as it travels, before decompression; more is 413.
    pub body_bytes_max: usize,
    /// A body after decompression; more is 413.
    pub decoded_bytes_max: usize,
    /// How many times larger a body may become by decompression; more is 413.
    pub decoded_ratio_max: usize,
    /// Memory that requests and answers of a core may hold at once, apart from the one request that is lent what it needs; a
    /// request that does not fit waits.
    pub memory_bytes_max: usize,
    /// How long a request waits for memory; then 503.
    pub memory_ms: u64,
    /// Framing of a body (chunk sizes, extensions, trailers) that is allowed beyond as many bytes as the body has content; more
    /// is 400.
    pub framing_bytes_max: u64,
    /// From accepting, or from a request's first byte, until its headers are complete; then 408.
    pub header_ms: u64,
    /// For a body, however small; then 408. Each byte that arrives adds time at the rate of [`Self::body_rate_min`].
    pub body_ms: u64,
    /// The slowest rate at which a large body is still accepted, in bytes per second.
    pub body_rate_min: u64,
    /// Between requests; then the connection is closed.
    pub idle_ms: u64,
    /// How long a peer may keep us waiting while it takes its answer; each byte that it takes adds time at the rate of
    /// [`Self::answer_rate_min`]. Then it is cut off.
    pub write_ms: u64,
    /// The slowest rate at which a client may take an answer, in bytes per second.
    pub answer_rate_min: u64,
    /// While others wait for memory, a body or an answer that is slower than this, in bytes per second ...
    pub pace_rate_min: u64,
    /// ... for this long is cut off.
    pub pace_ms: u64,
    /// How long the peer has after our last byte to read it and close as well.
    pub linger_ms: u64,
}

/// Lower bound of `memory_bytes_max`.
const MEMORY_BYTES_MIN: usize = 1 << 20;

impl Limits {
    /// The limits when the configuration sets none.
    pub const DEFAULT: Self = Self {
        connections_max: 4_096,
        header_bytes_max: 16 << 10,
        body_bytes_max: 16 << 20,
        decoded_bytes_max: 32 << 20,
        decoded_ratio_max: 100,
        memory_bytes_max: 256 << 20,
        memory_ms: 30_000,
        framing_bytes_max: 64 << 10,
        header_ms: 10_000,
        body_ms: 20_000,
        body_rate_min: 16 << 10,
        idle_ms: 75_000,
        write_ms: 30_000,
        answer_rate_min: 16 << 10,
        pace_rate_min: 64 << 10,
        pace_ms: 10_000,
        linger_ms: 2_000,
    };

    /// Checks how the limits relate.
    ///
    /// # Errors
    /// The relation that does not hold, in words for the author of the configuration.
    pub const fn check(&self) -> Result<(), &'static str> {
        if self.connections_max == 0 {
            return Err("connections_max must be at least 1");
        }
        if self.header_bytes_max < 8 << 10 {
            return Err("header_bytes_max must be at least 8192, the smallest buffer of the parser");
        }
        if self.body_bytes_max > self.decoded_bytes_max {
            return Err("body_bytes_max must not exceed decoded_bytes_max: an uncompressed body is both");
        }
        if self.memory_bytes_max < MEMORY_BYTES_MIN {
            return Err("memory_bytes_max must be at least 1 MiB, so that small requests have room beside a large one");
        }
        if self.decoded_ratio_max == 0 || self.body_rate_min == 0 || self.answer_rate_min == 0 {
            return Err("decoded_ratio_max, body_rate_min and answer_rate_min must be at least 1");
        }
        if self.memory_ms <= self.pace_ms {
            return Err(
                "memory_ms must be longer than pace_ms, or waiting requests are refused before slow ones are cut off",
            );
        }
        if self.header_ms == 0 || self.body_ms == 0 || self.idle_ms == 0 || self.write_ms == 0 || self.linger_ms == 0 {
            return Err("a time of 0 would close every connection");
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const _: () = assert!(Limits::DEFAULT.check().is_ok());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_combinations_are_named() {
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits::DEFAULT;
            change(&mut limits);
            limits.check().map_err(|why| why.split(' ').next().unwrap_or_default().to_owned())
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|limits| limits.body_bytes_max = 64 << 20), Err("body_bytes_max".to_owned()));
        assert_eq!(with(|limits| limits.memory_bytes_max = 1 << 10), Err("memory_bytes_max".to_owned()));
        assert_eq!(with(|limits| limits.memory_ms = 10_000), Err("memory_ms".to_owned()));
        assert_eq!(with(|limits| limits.header_bytes_max = 100), Err("header_bytes_max".to_owned()));
        assert_eq!(with(|limits| limits.idle_ms = 0), Err("a".to_owned()));
    }
}
