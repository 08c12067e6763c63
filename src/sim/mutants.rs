//! Deliberate bugs, built into the simulated world around the real code: each must be caught by the oracle, or the oracle
//! proves nothing.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A batch counts as durable when it is handed to the disk.
    AcknowledgeEarly,
    /// The disk says yes and keeps nothing of one batch.
    LoseBatch,
    /// A receipt is answered to the carrier and never given to its shard.
    ForgetReceipt,
    /// An answer of a carrier never reaches its shard.
    DropOutcomes,
    /// The link believes in a larger window than the contract says.
    ExceedWindow,
    /// The link believes in a higher rate than the contract says.
    ExceedRate,
    /// The link does not stay silent for a second after a start.
    SkipSilence,
    /// A batch of messages is handed to the link twice.
    SubmitTwice,
    /// A start forgets the fingerprints of keys.
    ForgetKeys,
    /// A class whose policy is to give up what is in doubt sends it again.
    IgnorePolicy,
    /// A start forgets the second half of the turns behind the checkpoint's fifos.
    LoseReady,
    /// The link answers receipts before their shard has kept them.
    AnswerReceiptsEarly,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::AcknowledgeEarly,
        Self::LoseBatch,
        Self::ForgetReceipt,
        Self::DropOutcomes,
        Self::ExceedWindow,
        Self::ExceedRate,
        Self::SkipSilence,
        Self::SubmitTwice,
        Self::ForgetKeys,
        Self::IgnorePolicy,
        Self::LoseReady,
        Self::AnswerReceiptsEarly,
    ];
}
