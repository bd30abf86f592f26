//! What became of a plan's items: counted, and why some were left out.

use factum_core::letter::{MAX_REASON_BYTES, short};
use serde::{Deserialize, Serialize};

/// Items that failed, of which a plan keeps the names.
const MAX_FAILURES: usize = 100;
/// Reasons that are told apart; what is left out for any other is counted together.
const MAX_REASONS: usize = 20;
/// Items that are named of those that one reason leaves out.
const MAX_WHO: usize = 20;

/// What became of a plan's items until now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// Items that were carried out.
    pub done: u64,
    /// Items that failed, or failed again; each is a letter.
    pub failed: u64,
    /// Items that were left out, those that are gone among them.
    pub left_out: u64,
    /// Items that were not there any more when their turn came; known at the end.
    pub gone: u64,
    /// Why the others were left out.
    pub reasons: Vec<LeftOut>,
    /// The first 100 that failed.
    pub failures: Vec<String>,
}

/// Items that one reason leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// What stands against it; at most 1 KiB.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// The first 20 of them.
    pub who: Vec<String>,
}

impl Tally {
    /// How many items were looked at.
    pub fn looked_at(&self) -> u64 {
        self.done + self.failed + self.left_out
    }

    /// Counts one that failed.
    pub fn fails(&mut self, item: &str) {
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(item.to_owned());
        }
    }

    /// Counts one that is left out. Behind 20 reasons it is for "other reasons".
    pub fn leaves_out(&mut self, item: &str, reason: &str) {
        self.left_out += 1;
        let reason = short(reason, MAX_REASON_BYTES);
        let place = |groups: &[LeftOut], reason: &str| groups.iter().position(|group| group.reason == reason);
        let reason = match place(&self.reasons, &reason) {
            None if self.reasons.len() >= MAX_REASONS => "other reasons".to_owned(),
            _ => reason,
        };
        let at = place(&self.reasons, &reason).unwrap_or_else(|| {
            self.reasons.push(LeftOut { reason, ..LeftOut::default() });
            self.reasons.len() - 1
        });
        let group = &mut self.reasons[at];
        group.count += 1;
        if group.who.len() < MAX_WHO {
            group.who.push(item.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_names_are_bounded_and_all_are_counted() {
        let mut tally = Tally::default();
        for number in 0..150 {
            tally.leaves_out(&format!("a-{number}"), "it is behind the pivot");
            tally.fails(&format!("f-{number}"));
        }
        for number in 0..150 {
            tally.leaves_out(&format!("b-{number}"), &format!("reason {number}"));
        }
        tally.leaves_out("b-0", "reason 0");
        tally.leaves_out("c-0", &"x".repeat(2_000));
        assert_eq!((tally.left_out, tally.failed, tally.looked_at()), (302, 150, 452));
        assert_eq!((tally.failures.len(), tally.failures[99].as_str()), (MAX_FAILURES, "f-99"));
        let first = &tally.reasons[0];
        assert_eq!((first.count, first.who.len(), first.who[19].as_str()), (150, MAX_WHO, "a-19"));
        assert_eq!(tally.reasons.len(), MAX_REASONS + 1);
        assert_eq!((tally.reasons[1].count, tally.reasons[MAX_REASONS].count), (2, 132));
        assert_eq!(tally.reasons[MAX_REASONS].reason, "other reasons");
        let mut long = Tally::default();
        long.leaves_out("c-0", &"x".repeat(2_000));
        assert!(long.reasons[0].reason.len() <= MAX_REASON_BYTES);
    }
}
