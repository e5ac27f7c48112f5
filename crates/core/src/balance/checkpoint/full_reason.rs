//! Why a comparison read every entry.

/// Why every entry was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FullReason {
    /// It was asked for.
    Asked,
    /// The ledger does not say which transaction made an entry (`[ledger] incremental = false`).
    NotIncremental,
    /// Only some organizations are compared, or nothing may be changed.
    Partial,
    /// A trigger, function or table of the balances is not as it should be, so changes may have gone unmarked.
    BrokenParts,
    /// A partition of the ledger has no triggers of its own, so changes may have gone unmarked.
    UncoveredPartitions,
    /// Nothing was sealed yet.
    NoCheckpoint,
    /// The checkpoint is of another cluster, whose transactions were counted otherwise: a dump was restored.
    OtherCluster,
    /// The checkpoint was made under another mapping.
    OtherMapping,
    /// The ledger, one of its partitions or the balances are another table than they were, or in another file.
    OtherTables,
    /// A trigger of the balances or its function was switched off or made anew since, so changes may have gone unmarked.
    TriggersChanged,
    /// The ledger was truncated.
    Truncated,
    /// So many keys had an update or a delete that reading everything costs less.
    ManyMarks,
}

impl FullReason {
    /// Why, in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "it was asked for",
            Self::NotIncremental => "[ledger] incremental is false",
            Self::Partial => "only a part was compared, or nothing was to be changed",
            Self::BrokenParts => "parts of the balances are not as they should be",
            Self::UncoveredPartitions => "a partition of the ledger has no triggers of its own",
            Self::NoCheckpoint => "nothing was sealed yet",
            Self::OtherCluster => "the checkpoint is of another cluster",
            Self::OtherMapping => "the checkpoint was made under another mapping",
            Self::OtherTables => {
                "the ledger, a partition or the balances were replaced, rewritten or detached, or the names of an enum's values changed"
            }
            Self::TriggersChanged => {
                "triggers of the balances were switched off or made anew since the last run"
            }
            Self::Truncated => "the ledger was truncated",
            Self::ManyMarks => "too many keys changed to sum them one by one",
        }
    }
}
