//! Schedules: commands that are sent at planned times, with an account of every time.
//!
//! A service declares one beside its handlers:
//!
//! ```
//! # use factum_core::{payload::{Command, Event}, service::{Durations, Service}};
//! use factum_core::schedule::{Missed, Overlap, Schedule};
//! # fn stock<TakeStock: Command, StockTaken: Event>(take: fn(String) -> TakeStock) -> Service {
//! Service::new("stock").schedule(
//!     Schedule::cron("nightly-stock-take", "0 3 * * *")
//!         .zone("Europe/London")
//!         .jitter(5.minutes())
//!         .missed(Missed::RunLast)
//!         .overlapping(Overlap::Skip)
//!         .done_by::<StockTaken>()
//!         .sends(move |occurrence| take(occurrence.scheduled.to_string())),
//! )
//! # }
//! ```
//!
//! Its whole name is `<service>.<name>`, here `stock.nightly-stock-take`, and its stream `schedule-<service>.<name>`. Each
//! occurrence has exactly one ending there: it *ran* (`schedule.ran`, on time or late), or it was *skipped*
//! (`schedule.skipped`, with the reason, for many at once). With the event that it ran, its command is sent by a reaction of
//! the service; what that leads to bears the correlation id that the event names. So everything about it is what all
//! aggregates are, and a restart neither loses an occurrence nor runs one twice.
//!
//! Not at all on data time: an app whose clock is moved by its data declares no schedule and looks at none. What should have
//! run in such a time is backfilled.
//!
//! Daylight saving: a fixed time (`30 1 * * *`, also of lists and ranges: `0,30 1-3 * * *`) that the clock leaves out runs right
//! behind the gap, and one that it shows twice runs the first time. A pattern with `*` or `*/n` in minute or hour goes by what
//! the clock shows: nothing in the gap, and twice where it goes back. `every` does not know of clocks at all.

mod decider;
mod declared;
mod definition;
mod messages;
mod platform;
mod roster;
mod row;
mod state;
mod times;
mod watch;

pub use decider::No;
pub use declared::{Declaration, Occurrence, Schedule};
pub use definition::{Definition, Missed, Overlap, When};
pub use messages::*;
pub use platform::{LOOKS_BY, opening, service};
pub use row::{Looked, ScheduleRow};
pub use state::{Counts, Ending, Pause, Standing, State, UnderWay};
pub use times::Times;

#[cfg(test)]
mod tests;
