//! Names for limits that were exceeded and for reasons to give up. An outcome is not an error: these are values for the
//! client or operator concerned; each has its page in `docs/errors/`.

/// Why a shard did not take a message; the client is told. Each variant says who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Stentor: the shard's queue is at its limit.
    QueueFull = 0,
    /// Stentor: the window of fingerprints is at `limits.keys`.
    KeyWindowFull = 1,
    /// The client: this key was used with other content.
    KeyReused = 2,
    /// The client: the message would expire before it could be sent.
    AlreadyExpired = 3,
    /// Stentor: the daemon is draining.
    Draining = 4,
    /// The operator: no routing rule leads to a carrier for this recipient.
    NoRoute = 5,
    /// The tenant: its own quota or rate is used up.
    OverQuota = 6,
    /// Stentor: the disk is at its floor of free space.
    DiskFull = 7,
    /// The tenant: it uses more than its share of the queue, and the rest is kept for other tenants.
    QueueShareFull = 8,
    /// The tenant: it uses more than its share of the window of fingerprints.
    KeyShareFull = 9,
    /// The client: a limit of the configuration has no room, and it refuses what is over it.
    OverLimit = 10,
    /// Stentor: the shard has no number left for another set of counters of limits.
    LimitsFull = 11,
    /// Stentor: the message would wait longer than its class may.
    QueueSlow = 12,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::QueueFull,
        Self::KeyWindowFull,
        Self::KeyReused,
        Self::AlreadyExpired,
        Self::Draining,
        Self::NoRoute,
        Self::OverQuota,
        Self::DiskFull,
        Self::QueueShareFull,
        Self::KeyShareFull,
        Self::OverLimit,
        Self::LimitsFull,
        Self::QueueSlow,
    ];

    /// The stable code of the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::KeyWindowFull => "key_window_full",
            Self::KeyReused => "key_reused",
            Self::AlreadyExpired => "already_expired",
            Self::Draining => "draining",
            Self::NoRoute => "no_route",
            Self::OverQuota => "over_quota",
            Self::DiskFull => "disk_full",
            Self::QueueShareFull => "queue_share_full",
            Self::KeyShareFull => "key_share_full",
            Self::OverLimit => "over_limit",
            Self::LimitsFull => "limits_full",
            Self::QueueSlow => "queue_slow",
        }
    }

    /// HTTP status if a whole request ends with it: 429 = the tenant's quota, 503 = a limit of this installation.
    pub const fn status(self) -> u16 {
        match self {
            Self::QueueFull
            | Self::KeyWindowFull
            | Self::Draining
            | Self::DiskFull
            | Self::LimitsFull
            | Self::QueueSlow => 503,
            Self::KeyReused => 409,
            Self::AlreadyExpired | Self::NoRoute => 422,
            Self::OverQuota | Self::QueueShareFull | Self::KeyShareFull | Self::OverLimit => 429,
        }
    }

    /// Whether the same message may be taken later.
    pub const fn retryable(self) -> bool {
        matches!(self.status(), 429 | 503)
    }
}

/// Why a message ended `dead` (or `rejected`, `expired`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DeadLetterReason {
    /// The retry policy of its error class allows no more attempts.
    AttemptsExhausted = 1,
    /// It was in doubt, and its class's policy is `drop`.
    InDoubtDropped = 2,
    /// The carrier refused it permanently.
    CarrierRejected = 3,
    /// Its content cannot be coded for this carrier.
    Unencodable = 4,
    /// Its routing rule no longer leads to a carrier.
    NoRoute = 5,
    /// It expired before it was sent.
    ExpiredHere = 6,
    /// Its segment is damaged: its content is lost.
    Unreadable = 7,
    /// Its session was lost too often while no other message was on it.
    InDoubtExhausted = 8,
    /// A limit that was set after it was accepted can never let it pass: it has more parts than the limit allows in all.
    OverLimit = 9,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::AttemptsExhausted,
        Self::InDoubtDropped,
        Self::CarrierRejected,
        Self::Unencodable,
        Self::NoRoute,
        Self::ExpiredHere,
        Self::Unreadable,
        Self::InDoubtExhausted,
        Self::OverLimit,
    ];

    /// The stable code of the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::InDoubtDropped => "in_doubt_dropped",
            Self::CarrierRejected => "carrier_rejected",
            Self::Unencodable => "unencodable",
            Self::NoRoute => "no_route",
            Self::ExpiredHere => "expired",
            Self::Unreadable => "unreadable",
            Self::InDoubtExhausted => "in_doubt_exhausted",
            Self::OverLimit => "over_limit",
        }
    }

    /// As read back from disk.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            1 => Some(Self::AttemptsExhausted),
            2 => Some(Self::InDoubtDropped),
            3 => Some(Self::CarrierRejected),
            4 => Some(Self::Unencodable),
            5 => Some(Self::NoRoute),
            6 => Some(Self::ExpiredHere),
            7 => Some(Self::Unreadable),
            8 => Some(Self::InDoubtExhausted),
            9 => Some(Self::OverLimit),
            0 | 10.. => None,
        }
    }
}
