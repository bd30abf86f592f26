//! The account of a reconciliation: what is open, and how a comparison ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use factum_core::{
    Timestamp,
    decider::{Context, Decider as _},
    id::{MessageId, Name},
};
use serde_json::json;

use super::{
    job::{Both, Compared, Pair},
    ledger::Ledger,
    *,
};

const NAME: &str = "books.sides";

fn name() -> String {
    NAME.to_owned()
}

/// Tells the account something, and takes in what follows.
fn tell(ledger: &mut Ledger, command: impl Into<ReconciliationCommand>) -> Result<Vec<ReconciliationEvent>, No> {
    let id = MessageId::derived(&["test"]);
    let context = Context {
        now: Timestamp::UNIX_EPOCH,
        message_id: id.clone(),
        correlation_id: id,
        service: Name::Static(SERVICE),
    };
    let events = ledger.decide(&name(), command.into(), &context)?;
    events.iter().for_each(|event| ledger.evolve(event));
    Ok(events)
}

/// A comparison that finds these, and that those are gone; answers how many of both are told.
fn compared(ledger: &mut Ledger, run: u64, found: Vec<Mismatch>, gone: Vec<String>) -> (usize, usize) {
    tell(ledger, Compare { reconciliation: name() }).unwrap();
    let mismatches = found.len() as u64;
    let report =
        ReportComparison { reconciliation: name(), run, compared: 20_000, mismatches, found, gone, unsettled: 1 };
    let events = tell(ledger, report).unwrap();
    assert!(matches!(events.last(), Some(ReconciliationEvent::Finished(_))));
    let count = |is: fn(&ReconciliationEvent) -> bool| events.iter().filter(|event| is(event)).count();
    (
        count(|event| matches!(event, ReconciliationEvent::MismatchFound(_))),
        count(|event| matches!(event, ReconciliationEvent::MismatchGone(_))),
    )
}

fn mismatches(numbers: std::ops::Range<usize>) -> Vec<Mismatch> {
    let mismatch = |number| Mismatch { key: format!("k{number:05}"), expected: Some(json!(number)), found: None };
    numbers.map(mismatch).collect()
}

fn keys(numbers: std::ops::Range<usize>) -> Vec<String> {
    mismatches(numbers).into_iter().map(|mismatch| mismatch.key).collect()
}

#[test]
fn what_is_open_is_bounded_and_what_one_comparison_says_too() {
    let mut ledger = Ledger::default();
    assert_eq!(compared(&mut ledger, 1, mismatches(0..MOST), vec![]), (MOST, 0));
    // Nothing is mended: the others are counted only.
    assert_eq!(compared(&mut ledger, 2, mismatches(MOST..2 * MOST), vec![]), (0, 0));
    // Each night a thousand are mended, and others are found in their place, also while something always moves.
    for run in 3..23 {
        let at = (run as usize - 3) * MOST;
        let (found, gone) = (mismatches(at + MOST..at + 2 * MOST), keys(at..at + MOST));
        assert_eq!(compared(&mut ledger, run, found, gone), (MOST, MOST));
    }
    let last = keys(20 * MOST..21 * MOST);
    assert_eq!(compared(&mut ledger, 23, vec![], last.clone()), (0, MOST));
    assert_eq!(compared(&mut ledger, 24, vec![], last), (0, 0), "what is not open is not gone");
}

#[test]
fn what_is_open_is_told_again_only_with_other_values_also_where_there_is_no_room() {
    let mut ledger = Ledger::default();
    compared(&mut ledger, 1, mismatches(0..MOST), vec![]);
    let mut again = mismatches(0..2);
    again[1].found = Some(json!("other"));
    assert_eq!(compared(&mut ledger, 2, again, vec![]), (1, 0));
}

#[test]
fn a_person_ends_a_comparison_and_what_it_answers_later_is_nobodys() {
    let mut ledger = Ledger::default();
    let end = || EndComparison { reconciliation: name(), by: "mara".to_owned(), why: "its letter is gone".to_owned() };
    assert_eq!(tell(&mut ledger, end()), Err(No::NotUnderWay { reconciliation: name() }));
    tell(&mut ledger, Compare { reconciliation: name() }).unwrap();
    let reason = "ended by mara: its letter is gone".to_owned();
    let ended = ComparisonFailed { reconciliation: name(), run: 1, reason };
    assert_eq!(tell(&mut ledger, end()).unwrap(), [ended.into()]);
    let late = FailComparison { reconciliation: name(), run: 1, reason: String::new() };
    assert_eq!(tell(&mut ledger, late).unwrap(), []);
    assert_eq!(compared(&mut ledger, 2, mismatches(0..1), vec![]), (1, 0));
}

fn values(values: &[(&str, i64)]) -> BTreeMap<String, i64> {
    values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
}

/// What a comparison comes to, of what is open and two readings, expected first.
fn comparison(open: Vec<Mismatch>, first: [BTreeMap<String, i64>; 2], second: [BTreeMap<String, i64>; 2]) -> Compared {
    let nothing: fn(crate::App) -> job::Later<_> = |_| Box::pin(async { Ok(BTreeMap::new()) });
    let pair = Pair {
        expected: ("one", Arc::new(nothing)),
        found: ("other", Arc::new(nothing)),
        agree: Arc::new(|expected, found| expected == found),
        settle: Duration::ZERO,
    };
    let [first, second] = [first, second].map(|[expected, found]| Both { expected, found });
    let open = open.into_iter().map(|mismatch| (mismatch.key.clone(), mismatch)).collect();
    pair.compared(open, (&first, pair.differing(&first)), &second)
}

#[test]
fn of_what_is_open_is_gone_what_agrees_at_either_reading_and_nothing_that_differs_or_moves() {
    let open = ["agrees", "agreed", "differs", "moves", "left"].map(|key| Mismatch {
        key: key.to_owned(),
        expected: Some(json!(1)),
        found: None,
    });
    let first =
        [values(&[("agrees", 1), ("agreed", 1), ("differs", 1), ("moves", 1)]), values(&[("agrees", 1), ("new", 2)])];
    let second = [
        values(&[("agrees", 1), ("agreed", 1), ("differs", 1), ("moves", 2)]),
        values(&[("agrees", 1), ("agreed", 1), ("new", 2)]),
    ];
    let found = Mismatch { key: "new".to_owned(), expected: None, found: Some(json!(2)) };
    let gone = ["agreed", "agrees", "left"].map(str::to_owned).to_vec();
    let expected = Compared { compared: 5, mismatches: 2, found: vec![found], gone, unsettled: 1 };
    assert_eq!(comparison(open.to_vec(), first, second), expected);
}

#[test]
fn what_a_comparison_answers_fits_into_a_message_whatever_the_keys() {
    const BYTES: usize = factum_core::commit::MAX_MESSAGE_BYTES - (64 << 10);
    // Six bytes of JSON each.
    let key = |number: usize, kind: char| format!("{kind}{}{number:05}", "\u{1}".repeat(600));
    let both = || {
        let wrong = (0..3_000).map(|number| (key(number, 'w'), 1)).collect();
        [wrong, BTreeMap::new()]
    };
    let opened = comparison(vec![], both(), both());
    assert!(opened.found.len() > 100 && opened.mismatches == 3_000, "{}", opened.found.len());
    let distinct: std::collections::BTreeSet<&String> = opened.found.iter().map(|mismatch| &mismatch.key).collect();
    assert_eq!(distinct.len(), opened.found.len(), "they begin alike and are of one length");
    let open = |kind| opened.found.iter().map(move |it| Mismatch { key: format!("{kind}{}", it.key), ..it.clone() });
    let open: Vec<Mismatch> = "abcdefgh".chars().flat_map(open).take(MOST).collect();
    let Compared { compared, mismatches, found, gone, unsettled } = comparison(open, both(), both());
    assert!(!found.is_empty() && gone.len() > 50, "{} {}", found.len(), gone.len());
    let report = ReportComparison { reconciliation: name(), run: 1, compared, mismatches, found, gone, unsettled };
    let draft = factum_core::envelope::Draft::of(&report).unwrap();
    assert!(draft.data.len() < BYTES, "{}", draft.data.len());
}
