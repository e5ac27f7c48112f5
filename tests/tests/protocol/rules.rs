//! The rules that the protocol rests on, each of which can be left out.

use crate::protocol::Wrong;

/// A rule that the triggers or the runs keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    /// An update or a delete marks its keys whatever the entry's age, not only below the watermark.
    MarksWhateverAge,
    /// An update marks the key that the entry leaves, as well as the one that it comes to.
    MarksBothKeys,
    /// An insert that claims another transaction marks its key.
    MarksForeignTransaction,
    /// The watermark is the oldest transaction under way, not the newest one.
    WatermarkIsOldest,
    /// Balances are read in the snapshot in which entries are read.
    OneSnapshot,
    /// A seal holds the entries below the watermark alone.
    SealsBelowWatermark,
    /// An entry that names no transaction is an old one.
    SealsUnnumbered,
    /// The sums and the watermark move in one transaction.
    SealIsWhole,
    /// A marked key is sealed anew from all of its entries.
    ResealsMarked,
    /// Those marks are removed that the snapshot has.
    RemovesMarksSeen,
    /// A checkpoint of another file is not believed.
    KnowsFile,
    /// A run says nothing of a ledger that was replaced since it began, and compares again.
    LooksAtFileAgain,
    /// What seems to differ by the seal is summed from all entries before it is told or repaired.
    Confirms,
    /// A run that read every entry marks what differs.
    MarksDifferent,
    /// A key with an open finding is summed from all entries.
    KeepsFindingsInView,
    /// A run closes only what it compared.
    ClosesCompared,
    /// The organizations whose turn it is are summed again.
    SumsInTurn,
    /// The seal keeps count and hash beside the sum.
    KeepsHash,
    /// What was found changed in sealed history is recorded in the transaction that seals it anew.
    RecordsHistoryWithSeal,
    /// What a run marks since the seal is wrong is not taken for a trigger's mark.
    TellsMarksApart,
    /// A repair adds what is lacking, and does not write the sum.
    RepairAdds,
    /// A run holds the run lock from before its snapshot until its repair is over.
    LocksBeforeSnapshot,
    /// The session that holds the run lock is the one that repairs.
    RepairsInLockSession,
    /// A repair looks whether the ledger is in the file that was compared.
    RepairKnowsFile,
}

impl Rule {
    /// Every rule, with what goes wrong without it.
    pub(crate) const ALL: [(Self, Wrong); 24] = [
        (Self::MarksWhateverAge, Wrong::FalseMatch),
        (Self::MarksBothKeys, Wrong::FalseMatch),
        (Self::MarksForeignTransaction, Wrong::FalseMatch),
        (Self::WatermarkIsOldest, Wrong::FalseMatch),
        (Self::OneSnapshot, Wrong::FalseMatch),
        (Self::SealsBelowWatermark, Wrong::FalseMatch),
        (Self::SealsUnnumbered, Wrong::BadRepair),
        (Self::SealIsWhole, Wrong::FalseMatch),
        (Self::ResealsMarked, Wrong::FalseMatch),
        (Self::RemovesMarksSeen, Wrong::FalseMatch),
        (Self::KnowsFile, Wrong::FalseMatch),
        (Self::LooksAtFileAgain, Wrong::FalseMatch),
        (Self::Confirms, Wrong::BadRepair),
        (Self::MarksDifferent, Wrong::FalseMatch),
        (Self::KeepsFindingsInView, Wrong::FalseGone),
        (Self::ClosesCompared, Wrong::FalseGone),
        (Self::SumsInTurn, Wrong::LostHistory),
        (Self::KeepsHash, Wrong::LostHistory),
        (Self::RecordsHistoryWithSeal, Wrong::LostHistory),
        (Self::TellsMarksApart, Wrong::LostHistory),
        (Self::RepairAdds, Wrong::BadRepair),
        (Self::LocksBeforeSnapshot, Wrong::BadRepair),
        (Self::RepairsInLockSession, Wrong::BadRepair),
        (Self::RepairKnowsFile, Wrong::BadRepair),
    ];
}
