//! The import's own stream: what was started, every invoice that was taken, and the end. Progress and the report's input
//! come from it.

use std::collections::BTreeSet;

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::manner::Manner;
use crate::contracts::{
    ids::{OrderId, Sku},
    process::Process,
};

/// An import was started. Published once per file.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.started", own, version = "1.1.0")]
pub struct ImportStarted {
    /// A digest of the file's rows.
    pub digest: String,
    /// The file's name.
    pub file: String,
    /// The share of declined payments.
    pub declines: f64,
    /// The seed by which deliveries were interleaved.
    pub shuffle: Option<u64>,
    /// How its orders are run; older imports did not note it, and are orchestrated.
    #[serde(default)]
    pub process: Process,
}

/// An invoice was handed to the shop, in the same commit.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.invoice_imported", own)]
pub struct InvoiceImported {
    /// A digest of the file's rows.
    pub digest: String,
    /// The invoice's number.
    pub invoice: String,
    /// What it was.
    pub kind: InvoiceKind,
    /// Rows that bear its number.
    pub rows: u64,
    /// The sum of its kept lines, in minor units.
    pub amount: i64,
    /// Rows that are no business of the shop, as older imports noted them; now `import.rows_noted` does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedRow>,
    /// Rows that could not be read, as older imports noted them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRow>,
    /// A digest of what its rows say; older imports did not note it.
    pub content: Option<String>,
    /// What a credit note gives back, of which orders; older imports did not note it.
    pub owed: Option<Vec<Owed>>,
    /// Why the shop did not take it.
    pub refused: Option<String>,
}

/// Rows of the file that come to nothing were noted, so many at a time. Published before its first invoice.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.rows_noted", own)]
pub struct RowsNoted {
    /// A digest of the file's rows.
    pub digest: String,
    /// Counts from 0.
    pub part: u64,
    /// Rows that are no business of the shop.
    pub skipped: Vec<SkippedRow>,
    /// Rows that could not be read, or whose invoice the shop does not take.
    pub unreadable: Vec<UnreadableRow>,
}

/// The rest of the file will not be handed in, unless somebody resumes it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.suspended", own)]
pub struct ImportSuspended {
    /// A digest of the file's rows.
    pub digest: String,
    /// Why.
    pub reason: String,
}

/// The rest of the file is handed in after all.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.resumed", own)]
pub struct ImportResumed {
    /// A digest of the file's rows.
    pub digest: String,
}

/// The whole file was handed in.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.finished", own)]
pub struct ImportFinished {
    /// A digest of the file's rows.
    pub digest: String,
    /// Rows without a readable invoice.
    pub rows: u64,
    /// Invoice numbers of which no row could be read.
    pub invoices: u64,
    /// Rows that could not be read and belong to no invoice, as older imports noted them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableRow>,
}

/// What an invoice was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceKind {
    /// An order.
    Order,
    /// A credit note.
    CreditNote,
    /// Stock found or written off.
    Stock,
    /// Nothing but ledger rows.
    Skipped,
    /// The shop did not take it.
    Refused,
}

/// Goods of a credit note that come back out of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// The order.
    pub order: OrderId,
    /// When they are handed in: the order has surely arrived by then.
    pub due: Timestamp,
    /// The note's lines.
    pub lines: Vec<OwedLine>,
    /// Pence to give back.
    pub amount: i64,
    /// They came back before without a credit note: nothing is due for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

/// Units of one line of a credit note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwedLine {
    /// Its number in the note.
    pub line: u32,
    /// The article.
    pub sku: Sku,
    /// Units.
    pub quantity: i64,
    /// Pence.
    pub amount: i64,
    /// The same units by lines of the order: number and units.
    pub of: Vec<(u32, i64)>,
}

/// A row that is no business of the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkippedRow {
    /// Its line in the file.
    pub line: u64,
    /// Its article code.
    pub code: String,
    /// Why it was skipped.
    pub reason: String,
}

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadableRow {
    /// Its line in the file.
    pub line: u64,
    /// Its invoice, if that much could be read; older imports did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    /// Why.
    pub reason: String,
}

/// What can happen to an import.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ImportEvent {
    Started(ImportStarted),
    Noted(RowsNoted),
    Imported(InvoiceImported),
    Suspended(ImportSuspended),
    Resumed(ImportResumed),
    Finished(ImportFinished),
}

/// Starts an import, or goes on with it.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.start", own)]
pub struct StartImport {
    /// A digest of the file's rows.
    pub digest: String,
    /// The file's name.
    pub file: String,
    /// The share of declined payments.
    pub declines: f64,
    /// The seed by which deliveries are interleaved.
    pub shuffle: Option<u64>,
    /// How its orders are run.
    pub process: Process,
}

/// Notes rows that come to nothing; a part that was noted before changes nothing.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.note_rows", own)]
pub struct NoteRows {
    /// A digest of the file's rows.
    pub digest: String,
    /// Counts from 0.
    pub part: u64,
    /// Rows that are no business of the shop.
    pub skipped: Vec<SkippedRow>,
    /// Rows that could not be read, or whose invoice the shop does not take.
    pub unreadable: Vec<UnreadableRow>,
}

/// Sets the rest of a file aside.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.suspend", own)]
pub struct SuspendImport {
    /// A digest of the file's rows.
    pub digest: String,
    /// Why.
    pub reason: String,
}

/// Goes on with an import that was suspended.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.resume", own)]
pub struct ResumeImport {
    /// A digest of the file's rows.
    pub digest: String,
}

/// Notes an invoice.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.take_invoice", own)]
pub struct TakeInvoice {
    /// A digest of the file's rows.
    pub digest: String,
    /// The invoice's number.
    pub invoice: String,
    /// What it is.
    pub kind: InvoiceKind,
    /// Rows that bear its number.
    pub rows: u64,
    /// The sum of its kept lines, in minor units.
    pub amount: i64,
    /// A digest of what its rows say.
    pub content: String,
    /// What a credit note gives back, of which orders.
    pub owed: Vec<Owed>,
    /// Why the shop does not take it.
    pub refused: Option<String>,
}

/// Ends an import.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.finish", own)]
pub struct FinishImport {
    /// A digest of the file's rows.
    pub digest: String,
    /// Rows without a readable invoice.
    pub rows: u64,
    /// Invoice numbers of which no row could be read.
    pub invoices: u64,
}

/// What an import can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ImportCommand {
    Start(StartImport),
    Note(NoteRows),
    Take(TakeInvoice),
    Suspend(SuspendImport),
    Resume(ResumeImport),
    Finish(FinishImport),
}

/// An import.
#[derive(Default)]
pub struct Journal {
    manner: Option<Manner>,
    taken: BTreeSet<String>,
    parts: u64,
    finished: bool,
    suspended: bool,
}

/// Why an import does not go on.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum ImportRejection {
    #[rejection(
        "other_declines",
        "this import was started with --declines {started}, not {wanted}: use the same, or another directory"
    )]
    OtherDeclines { started: f64, wanted: f64 },
    #[rejection(
        "other_process",
        "this import was started with --process {started}, not {wanted}: leave the flag out to go on as it was begun, or use \
         another directory"
    )]
    OtherProcess { started: Process, wanted: Process },
    #[rejection(
        "suspended",
        "this import was set aside after {invoices} invoices, by --abandon or since the shop was opened: to take the rest \
         after all, add --resume"
    )]
    Suspended { invoices: u64 },
    #[rejection("already_taken", "invoice {invoice} was taken before")]
    AlreadyTaken { invoice: String },
}

impl Decider for Journal {
    const CATEGORY: &'static str = "import";
    type Id = String;
    type Command = ImportCommand;
    type Event = ImportEvent;
    type Rejection = ImportRejection;

    fn address(command: &ImportCommand, _: &Envelope) -> String {
        match command {
            ImportCommand::Start(start) => start.digest.clone(),
            ImportCommand::Note(note) => note.digest.clone(),
            ImportCommand::Take(take) => take.digest.clone(),
            ImportCommand::Suspend(suspend) => suspend.digest.clone(),
            ImportCommand::Resume(resume) => resume.digest.clone(),
            ImportCommand::Finish(finish) => finish.digest.clone(),
        }
    }

    fn decide(&self, _: &String, command: ImportCommand, _: &Context) -> Result<Vec<ImportEvent>, ImportRejection> {
        match command {
            ImportCommand::Start(start) => match self.manner {
                Some(started) => {
                    started.admits(Manner { declines: start.declines, process: start.process })?;
                    match self.suspended {
                        true => Err(ImportRejection::Suspended { invoices: self.taken.len() as u64 }),
                        false => Ok(vec![]),
                    }
                }
                None => Ok(vec![ImportEvent::Started(ImportStarted {
                    digest: start.digest,
                    file: start.file,
                    declines: start.declines,
                    shuffle: start.shuffle,
                    process: start.process,
                })]),
            },
            ImportCommand::Note(note) if note.part < self.parts => Ok(vec![]),
            ImportCommand::Note(NoteRows { digest, part, skipped, unreadable }) => {
                Ok(vec![ImportEvent::Noted(RowsNoted { digest, part, skipped, unreadable })])
            }
            ImportCommand::Suspend(_) if self.finished || self.suspended => Ok(vec![]),
            ImportCommand::Suspend(SuspendImport { digest, reason }) => {
                Ok(vec![ImportEvent::Suspended(ImportSuspended { digest, reason })])
            }
            ImportCommand::Resume(_) if !self.suspended => Ok(vec![]),
            ImportCommand::Resume(ResumeImport { digest }) => Ok(vec![ImportEvent::Resumed(ImportResumed { digest })]),
            ImportCommand::Take(take) if self.taken.contains(&take.invoice) => {
                Err(ImportRejection::AlreadyTaken { invoice: take.invoice })
            }
            ImportCommand::Take(take) => Ok(vec![ImportEvent::Imported(InvoiceImported {
                digest: take.digest,
                invoice: take.invoice,
                kind: take.kind,
                rows: take.rows,
                amount: take.amount,
                skipped: Vec::new(),
                unreadable: Vec::new(),
                content: Some(take.content),
                owed: Some(take.owed),
                refused: take.refused,
            })]),
            ImportCommand::Finish(_) if self.finished => Ok(vec![]),
            ImportCommand::Finish(finish) => Ok(vec![ImportEvent::Finished(ImportFinished {
                digest: finish.digest,
                rows: finish.rows,
                invoices: finish.invoices,
                unreadable: Vec::new(),
            })]),
        }
    }

    fn evolve(&mut self, event: &ImportEvent) {
        match event {
            ImportEvent::Started(e) => self.manner = Some(Manner { declines: e.declines, process: e.process }),
            ImportEvent::Noted(e) => self.parts = e.part + 1,
            ImportEvent::Suspended(_) => self.suspended = true,
            ImportEvent::Resumed(_) => self.suspended = false,
            ImportEvent::Imported(e) => _ = self.taken.insert(e.invoice.clone()),
            ImportEvent::Finished(_) => self.finished = true,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 64 * self.taken.len()
    }
}

/// The service that keeps the journals.
pub fn service() -> Service {
    Service::new("import").decider::<Journal>()
}

#[cfg(test)]
mod tests;
