//! Backfills: the occurrences of a schedule that a plan fills in. Whether one is missing its schedule decides.

use factum_core::{
    envelope::Draft,
    error::{CommitError, StoreError},
    letter::{MAX_REASON_BYTES, short},
    schedule::BackfillSchedule,
};
use jiff::Timestamp;

use super::{
    decide::Unmet,
    failure::Fault,
    plans::{AboutItem, Carried, Portion},
    run::Run,
};
use crate::{
    acts::{By, Preview},
    inbox::{ExecuteError, Request},
    plans::{Backfill, Item, Plan},
    schedules::{MAX_FILL, times_of},
};

impl Run<'_> {
    /// Whether there is anything to fill in, and not too much.
    pub(super) fn fillable(&self, fill: &Backfill, total: u64) -> Result<(), String> {
        if self.registry.schedule(&fill.schedule).is_none() {
            return Err(format!("this program declares no schedule `{}`", fill.schedule));
        }
        if total > MAX_FILL as u64 {
            return Err(format!("these are more than {MAX_FILL} occurrences: name a shorter time"));
        }
        Ok(())
    }

    /// The next times, whether they are missing or not.
    pub(super) fn occurrences_behind(&self, fill: &Backfill, plan: &Plan, most: usize) -> Portion {
        let after = match plan.cursor {
            Some(Item::Occurrence(last)) => Some(last),
            _ => None,
        };
        let times = self.registry.schedule(&fill.schedule).map(|definition| times_of(definition, fill, after));
        let mut times = times.into_iter().flatten();
        let taken = times.by_ref().take(most);
        let items = taken.map(|time| (Item::Occurrence(time), AboutItem::Occurrence(time))).collect();
        Portion { items, is_last: times.next().is_none(), through: None }
    }

    pub(super) fn fill_in(&mut self, fill: &Backfill, time: Timestamp, by: &By) -> Result<Carried, StoreError> {
        let request = request(fill, time, by)?;
        let before = self.stage.bytes();
        match self.outside(None, |run| run.requests(&[request])) {
            Ok(_) if self.stage.bytes() > before => Ok(Carried::Done),
            // It has run.
            Ok(_) => Ok(Carried::Gone),
            Err(ExecuteError::Commit(CommitError::Store(error))) => Err(error),
            Err(error) => Ok(Carried::LeftOut(error.to_string())),
        }
    }

    pub(super) fn would_fill_in(&mut self, fill: &Backfill, time: Timestamp) -> Result<Preview, StoreError> {
        let request = request(fill, time, &By::new(crate::registry::PLATFORM, ""))?;
        let outcome = self.requests(&[request]);
        let effects = super::act::shown(&self.local, &self.work.timers);
        self.forget();
        let fails = |problem: String| Preview { effects: Vec::new(), failure: Some(short(&problem, MAX_REASON_BYTES)) };
        match outcome {
            Ok(_) => Ok(Preview { effects, failure: None }),
            Err(Unmet::Told(error)) => Ok(fails(error.to_string())),
            Err(Unmet::Fault(Fault::Store(error))) => Err(error),
            Err(Unmet::Fault(fault)) => Ok(fails(super::act::said(&fault))),
        }
    }
}

fn request(fill: &Backfill, scheduled: Timestamp, by: &By) -> Result<Request, StoreError> {
    let command =
        BackfillSchedule { schedule: fill.schedule.clone(), scheduled, by: by.who.clone(), why: by.why.clone() };
    Ok(Request::new(Draft::of(&command).map_err(|error| StoreError::Unfit(error.to_string()))?))
}
