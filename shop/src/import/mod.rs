//! From a file of invoice rows to what the shop must do: pure reading and planning, nothing is sent from here.
//!
//! ```text
//! file.rs ──rows──> row.rs        one line: fields, numbers, what is wrong with it
//!    └──by number──> invoice.rs   order, credit note, stock adjustment, or nothing
//!                        ├──> demand.rs    first sights, and what to receive before selling
//!                        └──> returns.rs   which earlier order a credit note gives back
//! ```

pub mod demand;
pub mod file;
pub mod invoice;
pub mod journal;
pub mod loader;
pub mod returns;
mod row;

#[cfg(test)]
mod totals;

pub use demand::{Customer, Demand, customers, demand};
pub use file::{File, FileError, Unreadable, read};
pub use invoice::{Adjustment, Class, Invoice, Kind, Line, Skipped};
pub use returns::{Balance, Credit, Ledger, Portion, Return, ReturnLine};
