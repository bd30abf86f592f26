//! The list of a program's schedules, so that one that it does not declare any more is noticed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    definition::Definition,
    messages::{ListSchedules, RosterCommand, RosterEvent, ScheduleListed, ScheduleUnlisted},
};
use crate::{
    decider::{Context, Decider},
    envelope::Envelope,
    rejection::Never,
};

/// All schedules that are declared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster(BTreeMap<String, Definition>);

impl Decider for Roster {
    const CATEGORY: &'static str = "schedule_roster";
    type Id = &'static str;
    type Command = RosterCommand;
    type Event = RosterEvent;
    type Rejection = Never;

    fn address(_: &RosterCommand, _: &Envelope) -> &'static str {
        "all"
    }

    fn decide(&self, _: &&'static str, command: RosterCommand, _: &Context) -> Result<Vec<RosterEvent>, Never> {
        let RosterCommand::ListSchedules(ListSchedules { schedules }) = command;
        let gone = self.0.keys().filter(|name| !schedules.contains_key(*name)).cloned();
        let mut events: Vec<RosterEvent> = gone.map(|schedule| ScheduleUnlisted { schedule }.into()).collect();
        for (schedule, definition) in schedules {
            if self.0.get(&schedule) != Some(&definition) {
                events.push(ScheduleListed { schedule, definition }.into());
            }
        }
        Ok(events)
    }

    fn evolve(&mut self, event: &RosterEvent) {
        match event {
            RosterEvent::ScheduleListed(listed) => {
                self.0.insert(listed.schedule.clone(), listed.definition.clone());
            }
            RosterEvent::ScheduleUnlisted(unlisted) => _ = self.0.remove(&unlisted.schedule),
        }
    }
}
