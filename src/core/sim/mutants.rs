//! Deliberate bugs, built into the simulated world around the real code: the oracle must catch each of them, or it
//! proves nothing. A switch of the simulator alone; the daemon has none.

/// One deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A batch counts as durable when it is handed to the disk.
    AcknowledgeEarly,
    /// The disk reports a batch as durable and keeps nothing of it.
    LoseBatch,
    /// A failed sync is tried again, and the second one counts as success.
    IgnoreFailedSync,
    /// A start takes the readable front of a torn batch for a whole batch.
    AcceptTorn,
    /// A run is registered while it is being written.
    RegisterEarly,
    /// A start replays what its checkpoint already contains, where dropped ranges came back.
    ReplayDropped,
    /// A start forgets how far lists were read.
    LoseCursor,
    /// A start forgets what waits in lists.
    LoseReady,
    /// A start forgets what waits for a limit.
    LoseParked,
    /// A start takes an empty list for one that was never used, and reads dropped entries of it that came back.
    ReadDroppedLists,
    /// The purpose of a list is not recorded.
    LoseLists,
    /// A start forgets the fingerprints of keys.
    ForgetKeys,
    /// A start forgets the parts of handsets' messages that wait for other parts.
    ForgetParts,
    /// A start forgets what was cancelled.
    ForgetCancel,
    /// A start forgets attempts and doubts that are recorded in pages of the book.
    ForgetPage,
    /// Two shards start over each other's stores.
    SwapShards,
    /// An answer of a carrier never reaches its shard.
    DropOutcomes,
    /// Mail that a full mailbox has no room for is dropped.
    DropRefused,
    /// A receipt is answered to the carrier and never given to its shard.
    ForgetReceipt,
    /// A receipt is applied to another message.
    MatchWrongId,
    /// The numbers in receipts are ignored.
    IgnoreNumbers,
    /// What the configuration says about a carrier's ids is ignored.
    IgnoreDialect,
    /// The link answers receipts before their shard has kept them.
    AnswerReceiptsEarly,
    /// The link uses a window twice as large as the contract says.
    ExceedWindow,
    /// No shard is told that a link has no bind any more.
    UnheardAbsence,
    /// The link's bucket is twice as large as the contract says.
    DoubleRate,
    /// A class takes as much of a link as it has, and leaves nothing to less urgent ones.
    CeilingIgnored,
    /// A link takes the messages of all tenants for one tenant's.
    ForgetTenants,
    /// The link does not stay silent for the first second after a start.
    SkipSilence,
    /// A batch of messages is handed to the link twice.
    SubmitTwice,
    /// A class whose policy is to give up messages in doubt sends them again.
    IgnorePolicy,
    /// Losses of a message that was already sent again are not counted.
    UncountDoubts,
    /// A lost message is sent again together with others, instead of alone.
    ForgetTrials,
    /// A receipt that comes after the final one takes the final state back.
    RegressState,
    /// Messages that a restore holds back are sent.
    SendRestored,
    /// A restore continues with the segment numbers at which the backup ends.
    ReuseNumbers,
    /// A restore treats messages in the ledger or under way by their class's policy.
    ForgetLedger,
    /// A start forgets when segments expire.
    ForgetAlarms,
    /// The search for expired messages finds nothing, and is not repeated.
    LoseVisit,
    /// The search for expired messages ignores those whose receipt did not come.
    ForgetPatience,
    /// Messages are called expired half a minute before their time.
    ExpireEarly,
    /// A tenant's quota is charged twice for each message.
    ChargeTwice,
    /// Of a receipt's error only the number is kept, not the text.
    DropErrorText,
    /// A read that failed is treated as damage.
    TakeForDamage,
    /// Control publishes entries that are handed to the disk but not durable.
    PublishEarly,
    /// A restored control continues with the version at which its backup ends.
    ReuseVersions,
    /// Shards are not told that a route is gone, only that no link takes its messages.
    RouteUnheard,
    /// The tenant that asks for a message is not compared with the message's owner.
    IgnoreTenant,
    /// A fingerprint is kept half as long as it must be.
    HalveKeys,
    /// A start takes messages from lists although their history is no longer kept, and has forgotten that they were cancelled.
    ForgetRetired,
    /// A start forgets which parts of a message a carrier has, where that is older than the time for which receipts are awaited.
    ForgetProgress,
    /// A start forgets what was used of limits before it.
    ForgetUsed,
    /// What attempts have used of limits is reported as unused.
    ReportUnused,
    /// What a carrier has used of a limit by carrier is counted for another one.
    CountOtherCarrier,
    /// Shards go on after a reload with the limits and permits from before it.
    KeepLimits,
    /// Permits are given twice.
    GiveTwice,
    /// A shard that waits for permits is forgotten.
    ForgetAsk,
}

impl Mutant {
    /// All mutants.
    pub const ALL: [Self; 57] = [
        Self::AcknowledgeEarly,
        Self::LoseBatch,
        Self::IgnoreFailedSync,
        Self::AcceptTorn,
        Self::RegisterEarly,
        Self::ReplayDropped,
        Self::LoseCursor,
        Self::LoseReady,
        Self::LoseParked,
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
        Self::CeilingIgnored,
        Self::ForgetTenants,
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
        Self::ForgetUsed,
        Self::ReportUnused,
        Self::CountOtherCarrier,
        Self::KeepLimits,
        Self::GiveTwice,
        Self::ForgetAsk,
    ];
}
