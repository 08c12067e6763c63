//! Every limit of the HTTP door, and how they relate. Knows numbers; each is enforced where its name is used.

/// What one core allows. Times in milliseconds, sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections per core; one more is answered 503 and closed. An idle one costs about 24 KiB, most of it the
    /// parser's two buffers.
    pub connections_max: usize,
    /// Request line and headers together; more is 431.
    pub header_bytes_max: usize,
    /// A body as it travels; more is 413.
    pub body_bytes_max: usize,
    /// A body after decompression; more is 413.
    pub decoded_bytes_max: usize,
    /// How many times larger than on the wire a body may become; more is 413.
    pub decoded_ratio_max: usize,
    /// What requests and answers of a core hold at once, apart from the one request that is lent what it needs; who does
    /// not fit waits.
    pub memory_bytes_max: usize,
    /// How long memory is waited for; then 503.
    pub memory_ms: u64,
    /// Framing of a body (sizes of chunks, extensions, trailers) that is taken beside as much again as it has content; more
    /// is 400.
    pub framing_bytes_max: u64,
    /// From accepting, or from a request's first byte, until its headers are complete; then 408.
    pub header_ms: u64,
    /// For a body, however small; then 408. Each byte that arrives earns more time by [`Self::body_rate_min`].
    pub body_ms: u64,
    /// The slowest sender that a large body is taken from, in bytes per second.
    pub body_rate_min: u64,
    /// Between requests; then the connection is closed.
    pub idle_ms: u64,
    /// A peer may keep us waiting for this long until it takes its answer; each byte that it takes earns time by
    /// [`Self::answer_rate_min`]. Then it is cut off.
    pub write_ms: u64,
    /// The slowest reader that an answer is given to, in bytes per second.
    pub answer_rate_min: u64,
    /// While others wait for memory, a body or an answer that moved slower than this, in bytes per second, ...
    pub pace_rate_min: u64,
    /// ... for so long is cut off.
    pub pace_ms: u64,
    /// After our last byte, for the peer to read it and close too.
    pub linger_ms: u64,
}

/// The least that is shared.
const MEMORY_BYTES_MIN: usize = 1 << 20;

impl Limits {
    /// What holds where the configuration says nothing.
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

    /// How the limits relate.
    ///
    /// # Errors
    /// The relation that does not hold, in words for whoever wrote the configuration.
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
            return Err("memory_bytes_max must be at least 1 MiB, so that small requests pass beside a large one");
        }
        if self.decoded_ratio_max == 0 || self.body_rate_min == 0 || self.answer_rate_min == 0 {
            return Err("decoded_ratio_max, body_rate_min and answer_rate_min must be at least 1");
        }
        if self.memory_ms <= self.pace_ms {
            return Err("memory_ms must be longer than pace_ms, or who waits is refused before who is slow is cut off");
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
