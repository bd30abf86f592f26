//! The import's own stream: what was started, every invoice that was taken, and the end. Progress and the report's input
//! come from it.

use std::collections::BTreeSet;

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An import was started. Published once per file.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.started")]
pub struct ImportStarted {
    /// A digest of the file's rows.
    pub digest: String,
    /// The file's name.
    pub file: String,
    /// The share of declined payments.
    pub declines: f64,
    /// The seed by which deliveries were interleaved.
    pub shuffle: Option<u64>,
}

/// An invoice was handed to the shop, in the same commit.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.invoice_imported")]
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
    /// Rows that are no business of the shop.
    pub skipped: Vec<SkippedRow>,
    /// Rows that could not be read.
    pub unreadable: Vec<UnreadableRow>,
}

/// The whole file was handed in.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("import.finished")]
pub struct ImportFinished {
    /// A digest of the file's rows.
    pub digest: String,
    /// Rows without a readable invoice.
    pub rows: u64,
    /// Invoice numbers of which no row could be read.
    pub invoices: u64,
    /// Rows that could not be read and belong to no invoice.
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
    /// Why.
    pub reason: String,
}

/// What can happen to an import.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ImportEvent {
    Started(ImportStarted),
    Imported(InvoiceImported),
    Finished(ImportFinished),
}

/// Starts an import, or goes on with it.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.start")]
pub struct StartImport {
    /// A digest of the file's rows.
    pub digest: String,
    /// The file's name.
    pub file: String,
    /// The share of declined payments.
    pub declines: f64,
    /// The seed by which deliveries are interleaved.
    pub shuffle: Option<u64>,
}

/// Notes an invoice.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.take_invoice")]
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
    /// Rows that are no business of the shop.
    pub skipped: Vec<SkippedRow>,
    /// Rows that could not be read.
    pub unreadable: Vec<UnreadableRow>,
}

/// Ends an import.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("import.finish")]
pub struct FinishImport {
    /// A digest of the file's rows.
    pub digest: String,
    /// Rows without a readable invoice.
    pub rows: u64,
    /// Invoice numbers of which no row could be read.
    pub invoices: u64,
    /// Rows that could not be read and belong to no invoice.
    pub unreadable: Vec<UnreadableRow>,
}

/// What an import can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum ImportCommand {
    Start(StartImport),
    Take(TakeInvoice),
    Finish(FinishImport),
}

/// An import.
#[derive(Default)]
pub struct Journal {
    declines: Option<f64>,
    taken: BTreeSet<String>,
    finished: bool,
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
            ImportCommand::Take(take) => take.digest.clone(),
            ImportCommand::Finish(finish) => finish.digest.clone(),
        }
    }

    fn decide(&self, _: &String, command: ImportCommand, _: &Context) -> Result<Vec<ImportEvent>, ImportRejection> {
        match command {
            ImportCommand::Start(start) => match self.declines {
                Some(started) if started != start.declines => {
                    Err(ImportRejection::OtherDeclines { started, wanted: start.declines })
                }
                Some(_) => Ok(vec![]),
                None => Ok(vec![ImportEvent::Started(ImportStarted {
                    digest: start.digest,
                    file: start.file,
                    declines: start.declines,
                    shuffle: start.shuffle,
                })]),
            },
            ImportCommand::Take(take) if self.taken.contains(&take.invoice) => {
                Err(ImportRejection::AlreadyTaken { invoice: take.invoice })
            }
            ImportCommand::Take(take) => Ok(vec![ImportEvent::Imported(InvoiceImported {
                digest: take.digest,
                invoice: take.invoice,
                kind: take.kind,
                rows: take.rows,
                amount: take.amount,
                skipped: take.skipped,
                unreadable: take.unreadable,
            })]),
            ImportCommand::Finish(_) if self.finished => Ok(vec![]),
            ImportCommand::Finish(finish) => Ok(vec![ImportEvent::Finished(ImportFinished {
                digest: finish.digest,
                rows: finish.rows,
                invoices: finish.invoices,
                unreadable: finish.unreadable,
            })]),
        }
    }

    fn evolve(&mut self, event: &ImportEvent) {
        match event {
            ImportEvent::Started(e) => self.declines = Some(e.declines),
            ImportEvent::Imported(e) => _ = self.taken.insert(e.invoice.clone()),
            ImportEvent::Finished(_) => self.finished = true,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + 64 * self.taken.len()
    }
}

impl Journal {
    /// Whether an invoice was handed in.
    pub fn has(&self, invoice: &str) -> bool {
        self.taken.contains(invoice)
    }

    /// How many invoices were handed in.
    pub fn count(&self) -> usize {
        self.taken.len()
    }

    /// Whether the whole file was handed in.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the import was started.
    pub fn is_started(&self) -> bool {
        self.declines.is_some()
    }
}

/// The service that keeps the journals.
pub fn service() -> Service {
    Service::new("import").decider::<Journal>()
}
