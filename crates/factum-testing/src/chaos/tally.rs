//! Which faults were ordered, and which happened.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};

/// A fault at a place: how often it was ordered, and how often it happened there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// It was drawn.
    pub ordered: u64,
    /// It was seen to happen: an order may come to nothing, because a process was killed meanwhile.
    pub happened: u64,
    /// Why it cannot be had here, if it cannot.
    pub skipped: Option<String>,
}

/// The faults of a run; clones count into the same. Its text form is a table.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<(String, String), Count>>>);

impl Tally {
    /// A fault was drawn.
    pub fn ordered(&self, fault: &str, at: &str) {
        self.change(fault, at, |count| count.ordered += 1);
    }

    /// It has happened.
    pub fn happened(&self, fault: &str, at: &str) {
        self.change(fault, at, |count| count.happened += 1);
    }

    /// It was ordered, and has happened.
    pub fn met(&self, fault: &str, at: &str) {
        self.ordered(fault, at);
        self.happened(fault, at);
    }

    /// It cannot be had here.
    pub fn skipped(&self, fault: &str, at: &str, why: &str) {
        self.change(fault, at, |count| count.skipped = Some(why.to_owned()));
    }

    /// How often.
    pub fn count(&self, fault: &str, at: &str) -> Count {
        self.open().get(&(fault.to_owned(), at.to_owned())).cloned().unwrap_or_default()
    }

    /// How often a fault happened, wherever.
    pub fn happenings(&self, fault: &str) -> u64 {
        self.open().iter().filter(|((name, _), _)| name == fault).map(|(_, count)| count.happened).sum()
    }

    fn change(&self, fault: &str, at: &str, change: impl FnOnce(&mut Count)) {
        change(self.open().entry((fault.to_owned(), at.to_owned())).or_default());
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<(String, String), Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["fault", "at", "ordered", "happened", ""]);
        for ((fault, at), Count { ordered, happened, skipped }) in self.open().iter() {
            let note = skipped.as_ref().map(|why| format!("skipped: {why}")).unwrap_or_default();
            table.add_row([fault.clone(), at.clone(), ordered.to_string(), happened.to_string(), note]);
        }
        for column in table.column_iter_mut().skip(2).take(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ordered_and_what_happened_are_told_apart() {
        let tally = Tally::default();
        tally.ordered("kill", "opening");
        tally.met("kill", "running");
        tally.skipped("full disk", "data", "only root mounts");
        assert_eq!(tally.count("kill", "opening"), Count { ordered: 1, happened: 0, skipped: None });
        assert_eq!((tally.happenings("kill"), tally.happenings("full disk")), (1, 0));
        let text = tally.to_string();
        assert!(text.contains("skipped: only root mounts"), "{text}");
    }
}
