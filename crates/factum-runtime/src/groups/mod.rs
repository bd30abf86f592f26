//! Pull groups: events that programs outside fetch, hold on a lease, and settle.
//!
//! ```text
//!                                   ┌───────────── lease runs out, nack ─────────────┐
//!                                   ▼                                                │
//!  log ──► waiting for its key ──► offered ──── poll ────► leased ──── ack ────► settled ──► the cursor passes
//!              │        ▲           ▲  ▲                     │                       ▲
//!              │        │           │  └── its time comes ── waiting for its time    │ discard
//!    the key is held    │           │                        │  (attempts left)      │
//!              ▼        │           │ redrive                ▼  (none left)          │
//!         passed over ──┴───────────┴───────────────────── letter ───────────────────┘
//!              released or ended: in its order, before later ones of its key
//! ```
//!
//! | what | where | after a restart |
//! |---|---|---|
//! | settled, failed so often, waits until | [`Settled`]: a cell, written by the engine | as it was |
//! | letters, held keys and what was passed over | the engine's, as for every consumer | as it was |
//! | leases, and what is read ahead | `leases.rs`: memory, outside the engine's thread | gone: what was leased is offered again |
//!
//! A poll reads the log and the leases and costs the engine nothing. What is settled goes through the engine's inbox and is written
//! with its commits; the engine alone moves a cursor, and only over what it knows to be settled, or passed over behind a held key.

mod leases;
mod polling;
mod settled;
mod settling;
mod stands;
mod told;

pub use leases::MOST_AHEAD;
pub use polling::{Delivery, GroupError, Groups, Look, MAX_POLL, MAX_WAIT, Parts};
pub use settled::{Failure, Passing, Settle, Settled, Tries};
pub use settling::{MAX_DELAY, MAX_TOKENS, Settlement, Verdict};
pub use stands::GroupState;
pub(crate) use told::KeyStands;
pub use told::{Told, ToldAll};
