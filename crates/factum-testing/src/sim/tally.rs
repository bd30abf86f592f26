//! What really happened to a node, counted.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

/// A kind of event in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each kind is a word that says what it is, see `Kind::words`")]
pub enum Kind {
    PowerCut,
    PowerCutInIo,
    Kill,
    KillInIo,
    Stop,
    CleanStop,
    IoError,
    FailedSync,
    DiskFull,
    ShortIo,
    WrongRead,
    RefusedStart,
    RowError,
    LostRows,
    LostAnswer,
    SentAgain,
    Repeated,
    Abandoned,
    PeerSilent,
    PeerLate,
    PeerUnknown,
    PeerRefused,
    PeerAgain,
    PeerTwice,
    Outage,
    ClockJump,
    Shuffled,
    BitFlipped,
    Refused,
    Poisoned,
    TooEarly,
    LetterTried,
    LetterRedriven,
    LetterDiscarded,
    PlanApproved,
    Moved,
    TriedAgain,
    Accounted,
    RolledOut,
    RolledBack,
    DecidedInFlight,
    FellInFlight,
    EndedInFlight,
    Commands,
    Messages,
    Calls,
}

impl Kind {
    /// Every kind, each of which a sweep of some size must have seen.
    pub const ALL: [Self; 46] = [
        Self::PowerCut,
        Self::PowerCutInIo,
        Self::Kill,
        Self::KillInIo,
        Self::Stop,
        Self::CleanStop,
        Self::IoError,
        Self::FailedSync,
        Self::DiskFull,
        Self::ShortIo,
        Self::WrongRead,
        Self::RefusedStart,
        Self::RowError,
        Self::LostRows,
        Self::LostAnswer,
        Self::SentAgain,
        Self::Repeated,
        Self::Abandoned,
        Self::PeerSilent,
        Self::PeerLate,
        Self::PeerUnknown,
        Self::PeerRefused,
        Self::PeerAgain,
        Self::PeerTwice,
        Self::Outage,
        Self::ClockJump,
        Self::Shuffled,
        Self::BitFlipped,
        Self::Refused,
        Self::Poisoned,
        Self::TooEarly,
        Self::LetterTried,
        Self::LetterRedriven,
        Self::LetterDiscarded,
        Self::PlanApproved,
        Self::Moved,
        Self::TriedAgain,
        Self::Accounted,
        Self::RolledOut,
        Self::RolledBack,
        Self::DecidedInFlight,
        Self::FellInFlight,
        Self::EndedInFlight,
        Self::Commands,
        Self::Messages,
        Self::Calls,
    ];

    /// What it is, in the plural.
    pub fn words(self) -> &'static str {
        match self {
            Self::PowerCut => "power cuts between steps",
            Self::PowerCutInIo => "power cuts at an I/O operation",
            Self::Kill => "kills between steps",
            Self::KillInIo => "kills at an I/O operation",
            Self::Stop => "stops after an error that nothing goes on from",
            Self::CleanStop => "clean stops",
            Self::IoError => "I/O errors",
            Self::FailedSync => "failed syncs",
            Self::DiskFull => "refusals of a full disk",
            Self::ShortIo => "short or interrupted reads and writes",
            Self::WrongRead => "wrong or stale reads",
            Self::RefusedStart => "starts that failed",
            Self::RowError => "errors of the rows",
            Self::LostRows => "transactions of rows lost",
            Self::LostAnswer => "lost answers",
            Self::SentAgain => "commands sent again",
            Self::Repeated => "first receipts answered again",
            Self::Abandoned => "commands given up by their clients",
            Self::PeerSilent => "calls without an answer",
            Self::PeerLate => "calls answered or carried out too late",
            Self::PeerUnknown => "calls cut off",
            Self::PeerRefused => "calls refused",
            Self::PeerAgain => "calls put off",
            Self::PeerTwice => "calls that reached a peer again",
            Self::Outage => "outages of peers",
            Self::ClockJump => "jumps of the clock",
            Self::Shuffled => "lives in shuffled order",
            Self::BitFlipped => "bits flipped in what is stored",
            Self::Refused => "commands rejected",
            Self::Poisoned => "handlers that failed",
            Self::TooEarly => "handlers that said not yet",
            Self::LetterTried => "letters tried dry",
            Self::LetterRedriven => "letters redriven",
            Self::LetterDiscarded => "letters discarded",
            Self::PlanApproved => "plans approved",
            Self::Moved => "instances of sagas moved to another version",
            Self::TriedAgain => "stopped consumers that tried again",
            Self::Accounted => "accounts of every delivery",
            Self::RolledOut => "starts of the next version",
            Self::RolledBack => "starts of the version before",
            Self::DecidedInFlight => "batches decided on a commit in flight",
            Self::FellInFlight => "batches that fell with the commit in flight",
            Self::EndedInFlight => "ends with a commit in flight",
            Self::Commands => "commands accepted",
            Self::Messages => "messages",
            Self::Calls => "calls carried out",
        }
    }
}

/// How often each kind happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Kind, u64>);

impl Tally {
    /// It happened once more.
    pub fn one(&mut self, kind: Kind) {
        self.many(kind, 1);
    }

    /// It happened so many times more.
    pub fn many(&mut self, kind: Kind, count: u64) {
        *self.0.entry(kind).or_default() += count;
    }

    /// How often.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| self.of(*kind) == 0).collect()
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        other.0.iter().for_each(|(kind, count)| self.many(*kind, *count));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted: Vec<String> =
            self.0.iter().map(|(kind, count)| format!("{} {}", grouped(*count), kind.words())).collect();
        f.write_str(&counted.join(", "))
    }
}

/// A number with commas, as people read it.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
    digits
        .chars()
        .enumerate()
        .flat_map(|(index, digit)| comma(index).then_some(',').into_iter().chain([digit]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_comma_at_each_thousand() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_never_happened_is_named() {
        let mut tally = Tally::default();
        Kind::ALL.iter().skip(1).for_each(|kind| tally.one(*kind));
        assert_eq!(tally.missing(), [Kind::ALL[0]]);
    }
}
