//! What an import's journal takes, given what it holds.

use factum::payload::Payload as _;
use factum_testing::scenario::given;

use super::*;

fn digest() -> String {
    "d".to_owned()
}

fn started() -> ImportEvent {
    begun(Process::Orchestrated)
}

fn begun(process: Process) -> ImportEvent {
    ImportEvent::Started(ImportStarted {
        digest: digest(),
        file: "rows.csv".to_owned(),
        declines: 0.0,
        shuffle: None,
        process,
    })
}

fn start() -> StartImport {
    StartImport {
        digest: digest(),
        file: "rows.csv".to_owned(),
        declines: 0.0,
        shuffle: None,
        process: Process::Orchestrated,
    }
}

fn suspended() -> ImportEvent {
    ImportEvent::Suspended(ImportSuspended { digest: digest(), reason: "abandoned".to_owned() })
}

fn part(part: u64) -> NoteRows {
    NoteRows { digest: digest(), part, skipped: Vec::new(), unreadable: Vec::new() }
}

fn noted(part: u64) -> ImportEvent {
    ImportEvent::Noted(RowsNoted { digest: digest(), part, skipped: Vec::new(), unreadable: Vec::new() })
}

#[test]
fn an_import_goes_on_until_it_is_set_aside_and_then_only_if_it_is_resumed() {
    given::<Journal>([started()]).when(start()).then_nothing();
    given::<Journal>([started(), suspended()]).when(start()).then_rejected("suspended");
    let resumed = ImportEvent::Resumed(ImportResumed { digest: digest() });
    given::<Journal>([started(), suspended()]).when(ResumeImport { digest: digest() }).then([resumed.clone()]);
    given::<Journal>([started(), suspended(), resumed]).when(start()).then_nothing();
    given::<Journal>([started()]).when(ResumeImport { digest: digest() }).then_nothing();
}

#[test]
fn an_import_goes_on_in_the_manner_in_which_it_was_begun() {
    given::<Journal>([begun(Process::Choreographed)]).when(start()).then_rejected("other_process");
    given::<Journal>([started()]).when(StartImport { declines: 0.1, ..start() }).then_rejected("other_declines");
    let same = StartImport { process: Process::Choreographed, ..start() };
    given::<Journal>([begun(Process::Choreographed)]).when(same).then_nothing();
}

#[test]
fn rows_are_noted_once_however_often_an_import_starts_again() {
    given::<Journal>([started(), noted(0)]).when(part(0)).then_nothing();
    given::<Journal>([started(), noted(0)]).when(part(1)).then([noted(1)]);
}

#[test]
fn what_is_finished_is_not_set_aside() {
    let finished =
        ImportEvent::Finished(ImportFinished { digest: digest(), rows: 0, invoices: 0, unreadable: Vec::new() });
    let suspend = SuspendImport { digest: digest(), reason: "abandoned".to_owned() };
    given::<Journal>([started(), finished]).when(suspend).then_nothing();
}

#[test]
fn what_an_older_import_noted_is_read() {
    let stored = serde_json::json!({
        "digest": "d", "invoice": "1", "kind": "order", "rows": 2, "amount": 510,
        "skipped": [{ "line": 3, "code": "B", "reason": "ledger entry: bad debt" }], "unreadable": [],
    });
    let imported = InvoiceImported::decode("import.invoice_imported", stored.to_string().as_bytes()).unwrap();
    assert_eq!((imported.skipped.len(), imported.content, imported.owed), (1, None, None));
    let stored = serde_json::json!({ "digest": "d", "file": "rows.csv", "declines": 0.1, "shuffle": null });
    let started = ImportStarted::decode("import.started", stored.to_string().as_bytes()).unwrap();
    assert_eq!(started.process, Process::Orchestrated);
}
