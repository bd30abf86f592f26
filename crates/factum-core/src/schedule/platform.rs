//! The platform's part of schedules: their streams, their timers, their rows.

use super::{
    declared::Declaration,
    messages::{DeclareSchedule, ListSchedules, LookAtSchedule, RetireSchedule, RosterEvent, ScheduleEvent},
    roster::Roster,
    row::ScheduleRow,
    state::State,
};
use crate::{
    envelope::{Draft, Recorded},
    payload::PayloadError,
    reaction::{Effects, Reaction},
    service::Service,
    timer::TimerTo,
    view::Rows,
};

const LOOK: TimerTo<LookAtSchedule> = TimerTo::new("look");
const TIMER: &str = "schedule-timer";
/// The category of the stream whose timers look at schedules; it is followed by a hyphen in the names of the timers.
pub const LOOKS_BY: &str = "factum.schedule_timer";

/// The service of the platform that runs schedules: added by the registry where a service declares any.
pub fn service(platform: &'static str) -> Service {
    let listing = |event: &Recorded<'_, RosterEvent>, fx: &mut Effects| match &event.data {
        RosterEvent::ScheduleListed(listed) => {
            let (schedule, definition) = (listed.schedule.clone(), listed.definition.clone());
            fx.send(DeclareSchedule { schedule, definition });
        }
        RosterEvent::ScheduleUnlisted(unlisted) => fx.send(RetireSchedule { schedule: unlisted.schedule.clone() }),
    };
    let look = |event: &Recorded<'_, ScheduleEvent>, fx: &mut Effects| match *event.data.clone().look() {
        Some(at) => fx.at(LOOK, at, LookAtSchedule { schedule: event.data.schedule().to_owned() }),
        None => fx.cancel(LOOK),
    };
    let row = |rows: &mut Rows<'_, ScheduleRow>, event: &Recorded<'_, ScheduleEvent>| {
        let (name, at) = (event.data.schedule().to_owned(), event.stored.envelope().timestamp);
        rows.upsert(&name, || ScheduleRow::new(&name), |row| row.happened(&event.data, at));
    };
    Service::new(platform)
        .decider_with_snapshots::<State>(2)
        .decider::<Roster>()
        .reaction(Reaction::new("schedule-listing", listing).by("schedule"))
        .reaction(Reaction::new(TIMER, look).sets(LOOK))
        .view(2, row)
        .needs_person::<ScheduleRow>("needsPerson", "`factum schedules show …`")
}

/// What a program says to its schedules as it starts. Said again it changes nothing.
///
/// # Errors
/// [`PayloadError`] if it has no JSON form.
pub fn opening<'a>(declared: impl Iterator<Item = &'a Declaration>) -> Result<Draft, PayloadError> {
    let schedules = declared.map(|it| (it.name.clone(), it.definition.clone())).collect();
    Draft::of(&ListSchedules { schedules })
}
