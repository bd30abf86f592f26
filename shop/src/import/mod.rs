//! From a file of invoice rows to what the shop must do, and through it.
//!
//! ```text
//! file.rs ──rows──> row.rs        one line: fields, numbers, what is wrong with it
//!    └──by number──> invoice.rs   order, credit note, stock adjustment, or nothing
//!                        ├──> judge.rs     what the shop would refuse is told before anything is handed in
//!                        ├──> demand.rs    first sights, and what to receive before selling
//!                        └──> returns.rs   which earlier order a credit note gives back
//! history.rs   what the directory knows before        plan.rs    what the file comes to, given that
//! loader.rs    hands it in, with commands.rs           settle.rs  brings what was cut off to rest
//! live.rs      what of the present is under way: then no file comes in
//! manner.rs    with which settings, as what was begun
//! ```

mod commands;
pub mod demand;
pub mod file;
mod history;
pub mod invoice;
pub mod journal;
mod judge;
mod live;
pub mod loader;
mod manner;
mod plan;
pub mod returns;
mod row;
pub mod settle;

#[cfg(test)]
mod totals;

use std::time::Duration;

pub use commands::order;
pub use demand::{Customer, Demand, customers, demand};
pub use file::{File, FileError, Unreadable, read};
pub use invoice::{Adjustment, Class, Invoice, Kind, Line, Skipped};
pub use returns::{Balance, Credit, Ledger, Portion, Return, ReturnLine, Sale, SoldLine};

/// How long an import waits for a store that is away, such as a server that starts again, before it ends.
const AWAY: Duration = Duration::from_secs(60);
