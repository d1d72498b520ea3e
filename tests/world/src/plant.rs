//! Faults that can be planted in the world, so that its checks are seen to find them.

/// A mistake that somebody could make in a machine or at its edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The agent answers work before it is carried out.
    SettleBeforeEffect,
    /// The log takes a change whatever stands there.
    ForgetRevisionCheck,
    /// The agent claims its count in a making of the stream that it has not read.
    HaveFromAnotherIncarnation,
    /// The work stream takes a write whatever stands before it.
    LetAnOldLeaderWrite,
    /// The agent deletes what is ours and not in the whole answer.
    RemoveStrays,
    /// What is ours and not in the whole answer goes, and nobody writes down that it went.
    DropStrays,
    /// An agent is told that a batch of acknowledgements was folded which was lost.
    SeenPastALostBatch,
    /// A GET that fails is read as "it is not there".
    FailedGetReadAsAbsent,
    /// The agent keeps what it has read in place of what is done and confirmed.
    RememberWhatWasRead,
    /// A change whose publish failed is appended again behind what stands there, without a look at what that is.
    RepeatBlindly,
    /// Removal work is taken away before it is answered.
    ForgetUnanswered,
    /// Who takes over decides and writes before it has read the log up to its fence.
    LeadBehindTheLog,
    /// Writes of one term expect the stream's last sequence and do not look whose fence is the newest.
    ExpectTheStreamAlone,
    /// Work is ordered by the epoch of its writer: what a restored hub writes counts as newer than all that clusters hold.
    OrderByTheWriter,
    /// A copy that is ahead is answered as applied.
    AheadAnsweredAsApplied,
    /// Removals that are too many go out without a confirmation.
    HeldRemovalGoesOut,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::SettleBeforeEffect,
        Self::ForgetRevisionCheck,
        Self::HaveFromAnotherIncarnation,
        Self::LetAnOldLeaderWrite,
        Self::RemoveStrays,
        Self::DropStrays,
        Self::SeenPastALostBatch,
        Self::FailedGetReadAsAbsent,
        Self::RememberWhatWasRead,
        Self::RepeatBlindly,
        Self::ForgetUnanswered,
        Self::LeadBehindTheLog,
        Self::ExpectTheStreamAlone,
        Self::OrderByTheWriter,
        Self::AheadAnsweredAsApplied,
        Self::HeldRemovalGoesOut,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SettleBeforeEffect => "settle-before-effect",
            Self::ForgetRevisionCheck => "forget-revision-check",
            Self::HaveFromAnotherIncarnation => "have-from-another-incarnation",
            Self::LetAnOldLeaderWrite => "let-an-old-leader-write",
            Self::RemoveStrays => "remove-strays",
            Self::DropStrays => "drop-strays",
            Self::SeenPastALostBatch => "seen-past-a-lost-batch",
            Self::FailedGetReadAsAbsent => "failed-get-read-as-absent",
            Self::RememberWhatWasRead => "remember-what-was-read",
            Self::RepeatBlindly => "repeat-blindly",
            Self::ForgetUnanswered => "forget-unanswered",
            Self::LeadBehindTheLog => "lead-behind-the-log",
            Self::ExpectTheStreamAlone => "expect-the-stream-alone",
            Self::OrderByTheWriter => "order-by-the-writer",
            Self::AheadAnsweredAsApplied => "ahead-answered-as-applied",
            Self::HeldRemovalGoesOut => "held-removal-goes-out",
        }
    }

    /// Whether it shows only in fleets whose hub is restored.
    pub fn needs_restore(self) -> bool {
        matches!(self, Self::OrderByTheWriter | Self::AheadAnsweredAsApplied)
    }
}
