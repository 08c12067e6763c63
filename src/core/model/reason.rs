//! Names for being over a limit and for giving up. An outcome is not an error: these are values, told to whom
//! they concern; each has its page in `docs/errors/`.

/// Why a shard did not take a line; told to the client. The type says who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// Ours: the shard's queue is at its limit.
    QueueFull = 0,
    /// Ours: the window of fingerprints is at `limits.keys`.
    KeyWindowFull = 1,
    /// The client's: this key was used with another content.
    KeyReused = 2,
    /// The client's: it would expire before it could leave.
    AlreadyExpired = 3,
    /// Ours: the daemon is draining.
    Draining = 4,
    /// The operator's: no rule leads anywhere for this recipient.
    NoRoute = 5,
    /// The tenant's own quota or rate.
    OverQuota = 6,
    /// Ours: the disk is at its floor of free space.
    DiskFull = 7,
    /// The tenant's: it has more than its share of the queue, and the rest is kept for others.
    QueueShareFull = 8,
    /// The tenant's: the same of the window of fingerprints.
    KeyShareFull = 9,
}

impl Refusal {
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
        }
    }

    /// HTTP status when a whole request ends so: 429 = your quota, 503 = our limit.
    pub const fn status(self) -> u16 {
        match self {
            Self::QueueFull | Self::KeyWindowFull | Self::Draining | Self::DiskFull => 503,
            Self::KeyReused => 409,
            Self::AlreadyExpired | Self::NoRoute => 422,
            Self::OverQuota | Self::QueueShareFull | Self::KeyShareFull => 429,
        }
    }

    /// The same line may be taken later.
    pub const fn retryable(self) -> bool {
        matches!(self.status(), 429 | 503)
    }
}

/// Why a message ended `dead` (or `rejected`, `expired`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DeadLetterReason {
    /// The retry policy of its error class is used up.
    AttemptsExhausted = 1,
    /// In doubt, and its class's policy is `drop`.
    InDoubtDropped = 2,
    /// The carrier refused it for good.
    CarrierRejected = 3,
    /// Its content cannot be coded for this carrier.
    Unencodable = 4,
    /// Its rule leads nowhere any more.
    NoRoute = 5,
    /// Its time ran out before it left.
    ExpiredHere = 6,
    /// Its segment is damaged: what it said is gone.
    Unreadable = 7,
    /// Sessions were lost with it too often while nothing else was on them.
    InDoubtExhausted = 8,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::AttemptsExhausted,
        Self::InDoubtDropped,
        Self::CarrierRejected,
        Self::Unencodable,
        Self::NoRoute,
        Self::ExpiredHere,
        Self::Unreadable,
        Self::InDoubtExhausted,
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
            0 | 9.. => None,
        }
    }
}
