//! A schedule's reaction in its service: it sends each occurrence's command, and tells the schedule how that ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    declared::{Occurrence, Sends},
    messages::{End, EndOccurrence, ScheduleDeclared, ScheduleEvent, ScheduleRan},
};
use crate::{
    envelope::Recorded,
    error::HandlerError,
    payload::Event,
    reaction::{Effects, Folding},
};

/// Occurrences that may be under way, by their business transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The schedule, as soon as anything is under way.
    under_way: BTreeMap<String, Ran>,
    watched: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ran {
    schedule: String,
    scheduled: jiff::Timestamp,
}

pub(super) fn folding(short: &'static str, schedule: &str, sends: Option<Sends>) -> Folding<Watch> {
    let (mine, own, known) = (schedule.to_owned(), schedule.to_owned(), schedule.to_owned());
    Folding::new(short, 2)
        .snapshots()
        .fold(move |watch: &mut Watch, event: &Recorded<'_, ScheduleEvent>| {
            if event.data.schedule() == mine {
                watch.take(&event.data);
            }
        })
        .react(move |_: &Watch, event: &Recorded<'_, ScheduleRan>, fx: &mut Effects| {
            if event.data.schedule != own {
                return Ok(());
            }
            let occurrence = Occurrence::of(&event.data, event.stored.envelope().timestamp);
            if let Some(sends) = &sends {
                fx.send_draft(sends(&occurrence)?);
            }
            Ok::<(), HandlerError>(())
        })
        .rejected(move |_, refused, stored, fx| {
            let correlation_id = stored.envelope().correlation_id.to_string();
            let message = Some(refused.message.clone());
            fx.send(EndOccurrence { schedule: known.clone(), correlation_id, end: End::Rejected, message });
        })
}

/// The folding with an event by which occurrences are done.
pub(super) fn done_by<E: Event>(folding: Folding<Watch>) -> Folding<Watch> {
    folding.react(|watch: &Watch, event: &Recorded<'_, E>, fx: &mut Effects| {
        let correlation_id = event.stored.envelope().correlation_id.to_string();
        if let Some(ran) = watch.under_way.get(&correlation_id) {
            fx.send(EndOccurrence { schedule: ran.schedule.clone(), correlation_id, end: End::Done, message: None });
        }
    })
}

impl Watch {
    pub(super) fn take(&mut self, event: &ScheduleEvent) {
        match event {
            ScheduleEvent::ScheduleDeclared(ScheduleDeclared { definition, .. }) => {
                self.watched = definition.is_watched();
            }
            ScheduleEvent::ScheduleRan(ran) if self.watched && ran.how.is_waited_for() => {
                let ScheduleRan { schedule, scheduled, correlation_id, .. } = ran.clone();
                self.under_way.insert(correlation_id, Ran { schedule, scheduled });
            }
            ScheduleEvent::ScheduleEnded(ended) => {
                self.under_way.retain(|_, ran| Some(ran.scheduled) != ended.scheduled);
            }
            ScheduleEvent::ScheduleRetired(_) => self.under_way.clear(),
            _ => {}
        }
    }
}
