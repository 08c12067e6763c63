//! Deliberate bugs, built into the simulated world around the real code: each must be caught by the oracle, or the oracle
//! proves nothing. A switch of the simulator alone; the daemon has none.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A batch counts as durable when it is handed to the disk.
    AcknowledgeEarly,
    /// The disk says yes and keeps nothing of one batch.
    LoseBatch,
    /// A failed sync is tried again, and counts.
    IgnoreFailedSync,
    /// A start takes the readable front of a torn batch for a batch.
    AcceptTorn,
    /// A run is registered while it is being written.
    RegisterEarly,
    /// A start replays what its checkpoint holds already, where dropped ranges came back.
    ReplayDropped,
    /// A start forgets how far lists were read.
    LoseCursor,
    /// A start forgets what waits in lists.
    LoseReady,
    /// A start takes an empty list for one that was never used, and reads what was dropped of it and has come back.
    ReadDroppedLists,
    /// What a list is for is not recorded.
    LoseLists,
    /// A start forgets the fingerprints of keys.
    ForgetKeys,
    /// A start forgets the parts of handsets' messages that wait for others.
    ForgetParts,
    /// A start forgets what was cancelled.
    ForgetCancel,
    /// A start forgets attempts and doubts that stand in pages of the book.
    ForgetPage,
    /// Two shards start over each other's stores.
    SwapShards,
    /// An answer of a carrier never reaches its shard.
    DropOutcomes,
    /// What a full mailbox has no room for is not kept.
    DropRefused,
    /// A receipt is answered to the carrier and never given to its shard.
    ForgetReceipt,
    /// A receipt is taken for another message's.
    MatchWrongId,
    /// The numbers in receipts are not looked at.
    IgnoreNumbers,
    /// What the configuration says of a carrier's ids is not looked at.
    IgnoreDialect,
    /// The link answers receipts before their shard has kept them.
    AnswerReceiptsEarly,
    /// The link believes in a window twice as large as the contract says.
    ExceedWindow,
    /// No shard hears that a link has no bind any more.
    UnheardAbsence,
    /// The link's bucket is twice as large as the contract says.
    DoubleRate,
    /// The link does not stay silent for a second after a start.
    SkipSilence,
    /// A batch of messages is handed to the link twice.
    SubmitTwice,
    /// A class whose policy is to give up what is in doubt sends it again.
    IgnorePolicy,
    /// What is sent again and lost again is not counted.
    UncountDoubts,
    /// What was lost goes again beside whatever there is.
    ForgetTrials,
    /// A receipt after the end takes the end back.
    RegressState,
    /// What a restore holds is sent.
    SendRestored,
    /// A restore goes on with the numbers of segments at which the backup ends.
    ReuseNumbers,
    /// A restore leaves what stands in the ledger, or is under way, to its class's policy.
    ForgetLedger,
    /// A start forgets when segments expire.
    ForgetAlarms,
    /// Who looks for what has expired finds nothing, and does not look again.
    LoseVisit,
    /// Who looks for what has expired does not see whose receipt did not come.
    ForgetPatience,
    /// What is looked at is called expired half a minute before its time.
    ExpireEarly,
    /// A tenant's quota is charged twice for what it brings in.
    ChargeTwice,
    /// Of a receipt's error only the number is kept.
    DropErrorText,
    /// A read that failed is taken for damage.
    TakeForDamage,
    /// Control publishes what is handed to the disk, and not durable.
    PublishEarly,
    /// A restored control goes on with the version at which its backup ends.
    ReuseVersions,
    /// Shards are not told that a route is gone, only that nobody takes what goes by it.
    RouteUnheard,
    /// Who asks for a message is not compared with whose it is.
    IgnoreTenant,
    /// A fingerprint is kept half as long as it must be.
    HalveKeys,
    /// A start takes up what stands in lists of messages whose history is not kept, and of which it has forgotten that they were
    /// cancelled.
    ForgetRetired,
    /// A start forgets which parts a carrier has of a message, where that is older than receipts are waited for.
    ForgetProgress,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 48] = [
        Self::AcknowledgeEarly,
        Self::LoseBatch,
        Self::IgnoreFailedSync,
        Self::AcceptTorn,
        Self::RegisterEarly,
        Self::ReplayDropped,
        Self::LoseCursor,
        Self::LoseReady,
        Self::ReadDroppedLists,
        Self::LoseLists,
        Self::ForgetKeys,
        Self::ForgetParts,
        Self::ForgetCancel,
        Self::ForgetPage,
        Self::SwapShards,
        Self::DropOutcomes,
        Self::DropRefused,
        Self::ForgetReceipt,
        Self::MatchWrongId,
        Self::IgnoreNumbers,
        Self::IgnoreDialect,
        Self::AnswerReceiptsEarly,
        Self::ExceedWindow,
        Self::UnheardAbsence,
        Self::DoubleRate,
        Self::SkipSilence,
        Self::SubmitTwice,
        Self::IgnorePolicy,
        Self::UncountDoubts,
        Self::ForgetTrials,
        Self::RegressState,
        Self::SendRestored,
        Self::ReuseNumbers,
        Self::ForgetLedger,
        Self::ForgetAlarms,
        Self::LoseVisit,
        Self::ForgetPatience,
        Self::ExpireEarly,
        Self::ChargeTwice,
        Self::DropErrorText,
        Self::TakeForDamage,
        Self::PublishEarly,
        Self::ReuseVersions,
        Self::RouteUnheard,
        Self::IgnoreTenant,
        Self::HalveKeys,
        Self::ForgetRetired,
        Self::ForgetProgress,
    ];
}
