//! The rules of a schedule: what is due, what of it runs, and what becomes of the rest.
//!
//! A schedule is looked at when something is due, and at each look one occurrence runs at most: so each begins a business
//! transaction of its own. If more is due, the next look is at once. Nothing else runs what was planned, also no declaration.

use jiff::{SignedDuration, Timestamp};

use super::{
    definition::{Definition, Missed, Overlap},
    messages::{
        End, EndOccurrence, How, Reason, ScheduleCommand, ScheduleDeclared, ScheduleEnded, ScheduleEvent,
        ScheduleLooked, SchedulePaused, ScheduleQueued, ScheduleRan, ScheduleResumed, ScheduleRetired, ScheduleSkipped,
    },
    state::{Standing, State, UnderWay},
    times::{LOOKED_AT, Stretch, TAIL, Times},
};
use crate::{
    decider::{Context, Decider},
    envelope::Envelope,
    id::check_id,
    rejection::{Rejection, RejectionKind},
};

/// Missed occurrences that run later, if all are to.
const MAX_LATE: usize = TAIL - 1;
/// Occurrences under way at once.
const MAX_UNDER_WAY: usize = 100;
/// The longest reason for an act, in bytes.
const MAX_WHY_BYTES: usize = 1 << 10;
/// A look that found nothing is not repeated before that.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// Why a schedule does not do what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// There is no such schedule.
    Unknown(String),
    /// The program does not declare it any more.
    Retired(String),
    /// An occurrence is under way, and it lets none run beside it.
    UnderWay(Timestamp),
    /// It does not occur then.
    NoOccurrence(Timestamp),
    /// That occurrence is still to come.
    ToCome(Timestamp),
    /// Its definition, or what was said of an act, does not follow the rules.
    Invalid(String),
}

impl Rejection for No {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "no_schedule",
            Self::Retired(_) => "schedule_retired",
            Self::UnderWay(_) => "under_way",
            Self::NoOccurrence(_) => "no_occurrence",
            Self::ToCome(_) => "still_to_come",
            Self::Invalid(_) => "invalid",
        }
    }
    fn kind(&self) -> RejectionKind {
        match self {
            Self::Unknown(_) => RejectionKind::Missing,
            Self::Retired(_) | Self::UnderWay(_) | Self::ToCome(_) => RejectionKind::Conflict,
            Self::NoOccurrence(_) | Self::Invalid(_) => RejectionKind::Invalid,
        }
    }
    fn message(&self) -> String {
        match self {
            Self::Unknown(name) => format!("there is no schedule {name}: `factum schedules list` shows those that are"),
            Self::Retired(name) => format!("the program does not declare {name} any more, so that it does not run"),
            Self::UnderWay(since) => format!("its occurrence of {since} is under way: wait until it has ended"),
            Self::NoOccurrence(time) => format!("it has no occurrence at {time}"),
            Self::ToCome(time) => format!("its occurrence of {time} is still to come, and runs by itself"),
            Self::Invalid(problem) => problem.clone(),
        }
    }
}

impl Decider for State {
    const CATEGORY: &'static str = "schedule";
    type Id = String;
    type Command = ScheduleCommand;
    type Event = ScheduleEvent;
    type Rejection = No;

    fn address(command: &ScheduleCommand, _: &Envelope) -> String {
        command.schedule().to_owned()
    }

    fn decide(&self, id: &String, command: ScheduleCommand, context: &Context) -> Result<Vec<ScheduleEvent>, No> {
        let correlation_id = context.correlation_id.to_string();
        let mut it =
            Deciding { state: self.clone(), schedule: id, now: context.now, correlation_id, events: Vec::new() };
        it.decide(command)?;
        it.finish()
    }

    fn evolve(&mut self, event: &ScheduleEvent) {
        // Without its time nothing can be told of it; `evolve_at` is what is called.
        self.happened(event, Timestamp::MIN);
    }

    fn evolve_at(&mut self, event: &ScheduleEvent, at: Timestamp) {
        self.happened(event, at);
    }

    fn bytes(&self) -> usize {
        let dates = self.definition.as_ref().map_or(0, |it| it.not_on.len() * 4);
        size_of::<Self>() + self.gaps.len() * 32 + (self.last.len() + self.under_way.len()) * 256 + dates
    }
}

/// A decision in the making: the state with everything in it that has been decided.
struct Deciding<'a> {
    state: State,
    schedule: &'a str,
    now: Timestamp,
    correlation_id: String,
    events: Vec<ScheduleEvent>,
}

/// What is due.
struct Due {
    /// What could not run in time.
    missed: Stretch,
    /// The first that can.
    on_time: Option<Timestamp>,
}

impl Deciding<'_> {
    fn decide(&mut self, command: ScheduleCommand) -> Result<(), No> {
        let schedule = self.schedule.to_owned();
        match command {
            ScheduleCommand::DeclareSchedule(declare) => self.declare(declare.definition),
            ScheduleCommand::RetireSchedule(_) if self.state.standing == Standing::Declared => {
                self.settle(Reason::Retired)?;
                self.happens(ScheduleRetired { schedule, look: None });
                Ok(())
            }
            ScheduleCommand::RetireSchedule(_) => Ok(()),
            ScheduleCommand::LookAtSchedule(_) => self.look(),
            ScheduleCommand::PauseSchedule(pause) => {
                self.may_act(&pause.by, &pause.why)?;
                if self.state.paused.is_none() {
                    if let Some(queued) = self.state.queued {
                        self.skip((queued, queued), 1, Reason::Paused);
                    }
                    self.happens(SchedulePaused { schedule, by: pause.by, why: pause.why, look: None });
                }
                Ok(())
            }
            ScheduleCommand::ResumeSchedule(resume) => {
                self.may_act(&resume.by, &resume.why)?;
                if self.state.paused.is_some() || self.state.attention.is_some() {
                    self.happens(ScheduleResumed { schedule, by: resume.by, why: resume.why, look: None });
                }
                Ok(())
            }
            ScheduleCommand::RunSchedule(run) => {
                self.may_act(&run.by, &run.why)?;
                self.may_run()?;
                if let Some(first) = self.stands_in_the_way() {
                    return Err(No::UnderWay(first));
                }
                self.run(self.now, How::ByHand, Some((run.by, run.why)));
                Ok(())
            }
            ScheduleCommand::BackfillSchedule(fill) => {
                self.may_act(&fill.by, &fill.why)?;
                self.may_run()?;
                self.is_past(fill.scheduled)?;
                if self.state.has_gap_at(fill.scheduled) {
                    self.run(fill.scheduled, How::Backfill, Some((fill.by, fill.why)));
                }
                Ok(())
            }
            ScheduleCommand::EndOccurrence(end) => {
                self.end(end);
                Ok(())
            }
        }
    }

    fn declare(&mut self, definition: Definition) -> Result<(), No> {
        if self.state.standing == Standing::Declared {
            if self.state.definition.as_ref() == Some(&definition) {
                return Ok(());
            }
            if self.state.definition.as_ref().is_some_and(|it| it.done_by != definition.done_by) {
                self.ends_all(|_| true, End::Redefined);
            }
            self.settle(Reason::Redefined)?;
        }
        Times::of(&definition).map_err(No::Invalid)?;
        self.happens(ScheduleDeclared { schedule: self.schedule.to_owned(), definition, look: None });
        Ok(())
    }

    /// What is due.
    fn look(&mut self) -> Result<(), No> {
        self.overrun();
        if self.state.is_running() {
            match self.state.queued {
                Some(queued) if self.stands_in_the_way().is_none() => self.occurs(queued)?,
                _ => self.look_at_times()?,
            }
        }
        if self.events.is_empty() && self.next_look()?.is_some() {
            self.happens(ScheduleLooked { schedule: self.schedule.to_owned(), look: None });
        }
        Ok(())
    }

    fn look_at_times(&mut self) -> Result<(), No> {
        let Some((definition, times, through)) = self.plan()? else { return Ok(()) };
        if let Some(until) = self.state.paused_until.filter(|until| *until > through) {
            let paused = times.between(through, until, LOOKED_AT);
            if let (Some(first), Some(last)) = (paused.first, paused.last()) {
                self.skip((first, last), paused.count, Reason::Paused);
                return Ok(());
            }
        }
        let Due { missed, on_time } = self.due(&definition, &times, through);
        let all = missed.count;
        // How many of the missed ones are skipped, the first ones; the one behind them runs.
        let skipped = match definition.missed {
            Missed::Skip => all,
            _ if missed.more => all,
            Missed::RunLast if on_time.is_some() => all,
            Missed::RunLast => all.saturating_sub(1),
            Missed::RunAll => all.saturating_sub(MAX_LATE as u64),
        };
        let behind = usize::try_from(all - skipped).unwrap_or(TAIL);
        if let Some(first) = missed.first.filter(|_| skipped > 0) {
            // What is not skipped is among the last ones, and so is the one in front of it.
            let to = missed.tail.len().checked_sub(behind + 1).and_then(|at| missed.tail.get(at)).copied();
            self.skip((first, to.unwrap_or(first)), skipped, Reason::Missed);
        }
        let late = missed.tail.len().checked_sub(behind).and_then(|at| missed.tail.get(at)).copied();
        if late.is_some() && self.waits(&definition) {
            return Ok(());
        }
        match late.or(on_time.filter(|_| !missed.more)) {
            Some(next) => self.occurs(next),
            None => Ok(()),
        }
    }

    /// Where all that were missed are to run, each waits until the one before it has ended.
    fn waits(&self, definition: &Definition) -> bool {
        definition.missed == Missed::RunAll && self.stands_in_the_way().is_some()
    }

    /// What is due by now, in the order of its times: none overtakes the one before it.
    fn due(&self, definition: &Definition, times: &Times, through: Timestamp) -> Due {
        let tolerance = seconds(definition.late_after_secs);
        let surely = tolerance.saturating_add(seconds(definition.jitter_secs)).saturating_add(seconds(1));
        let surely = self.now.saturating_sub(surely).unwrap_or(Timestamp::MIN);
        let mut missed = match surely > through {
            true => times.between(through, surely, LOOKED_AT),
            false => Stretch::default(),
        };
        let mut after = missed.last().unwrap_or(through);
        while !missed.more
            && let Some(next) = times.next(after)
        {
            let due = times.due(self.schedule, next);
            if due > self.now {
                break;
            }
            if self.now.duration_since(due) <= tolerance {
                return Due { missed, on_time: Some(next) };
            }
            if missed.count >= LOOKED_AT as u64 && !matches!(definition.when, super::When::Every { .. }) {
                missed.more = true;
                break;
            }
            missed.add(next);
            after = next;
        }
        Due { missed, on_time: None }
    }

    /// An occurrence is due: it runs, waits, or is skipped, because of what is under way.
    fn occurs(&mut self, scheduled: Timestamp) -> Result<(), No> {
        let Some((definition, times, _)) = self.plan()? else { return Ok(()) };
        if self.stands_in_the_way().is_some() {
            self.waits_or_not(scheduled, definition.overlap == Overlap::QueueOne);
            return Ok(());
        }
        let late = self.now.duration_since(times.due(self.schedule, scheduled));
        let is_late = late > seconds(definition.late_after_secs);
        self.run(scheduled, if is_late { How::Late } else { How::OnTime }, None);
        Ok(())
    }

    /// An occurrence cannot run now: it waits if it may, and nothing else does; else it is skipped.
    fn waits_or_not(&mut self, scheduled: Timestamp, may_wait: bool) {
        if may_wait && self.state.queued.is_none() {
            self.happens(ScheduleQueued { schedule: self.schedule.to_owned(), scheduled, look: None });
        } else {
            self.skip((scheduled, scheduled), 1, Reason::Overlapping);
        }
    }

    /// Nothing stays open of the definition that was: the last occurrence that is due runs if it may, the others are skipped.
    /// It waits for a look, which comes at once: what starts a program is one business transaction for all its schedules.
    fn settle(&mut self, reason: Reason) -> Result<(), No> {
        let Some((definition, times, through)) = self.plan()? else { return Ok(()) };
        let mut due = times.between(through, self.now, usize::MAX);
        let reason = if self.state.paused.is_some() { Reason::Paused } else { reason };
        let missed = |last: &Timestamp| {
            definition.missed == Missed::Skip
                && self.now.duration_since(times.due(self.schedule, *last)) > seconds(definition.late_after_secs)
        };
        let runs = due.last().filter(|last| reason == Reason::Redefined && !missed(last));
        if runs.is_some() {
            due.count -= 1;
            due.tail.pop_back();
        }
        if let (Some(first), Some(last)) = (due.first, due.last()) {
            self.skip((first, last), due.count, reason);
        }
        match (runs, self.state.queued) {
            (Some(runs), _) => {
                let may_wait = self.stands_in_the_way().is_none() || definition.overlap == Overlap::QueueOne;
                self.waits_or_not(runs, may_wait);
            }
            (None, Some(queued)) if reason == Reason::Retired => self.skip((queued, queued), 1, reason),
            _ => {}
        }
        Ok(())
    }

    /// Occurrences whose limit has passed are not waited for.
    fn overrun(&mut self) {
        let Some(within) = self.state.definition.as_ref().map(|it| seconds(it.within_secs)) else { return };
        let now = self.now;
        self.ends_all(|it| now.duration_since(it.since) >= within, End::Overran);
    }

    fn ends_all(&mut self, which: impl Fn(&UnderWay) -> bool, end: End) {
        let which = self.state.under_way.iter().filter(|it| which(it));
        for scheduled in which.map(|it| it.scheduled).collect::<Vec<_>>() {
            self.ends(Some(scheduled), end, None);
        }
    }

    fn end(&mut self, EndOccurrence { correlation_id, end, message, .. }: EndOccurrence) {
        let under_way = self.state.under_way.iter().find(|it| it.correlation_id == correlation_id);
        let scheduled = under_way.map(|it| it.scheduled);
        if scheduled.is_some() {
            return self.ends(scheduled, end, message);
        }
        if end == End::Rejected && self.state.standing == Standing::Declared {
            let ran = self.state.last.iter().rev().find(|it| it.correlation_id.as_ref() == Some(&correlation_id));
            // Only the first no counts.
            if ran.is_none_or(|it| it.end.is_none()) {
                self.ends(ran.map(|it| it.scheduled), end, message);
            }
        }
    }

    fn may_act(&self, by: &str, why: &str) -> Result<(), No> {
        check_id("name of who acts", by).map_err(|error| No::Invalid(error.to_string()))?;
        if why.len() > MAX_WHY_BYTES {
            let problem = format!("the reason has {} bytes; {MAX_WHY_BYTES} are allowed", why.len());
            return Err(No::Invalid(problem));
        }
        match self.state.standing {
            Standing::Unknown => Err(No::Unknown(self.schedule.to_owned())),
            Standing::Declared | Standing::Retired => Ok(()),
        }
    }

    fn may_run(&self) -> Result<(), No> {
        match self.state.standing {
            Standing::Declared => Ok(()),
            Standing::Unknown => Err(No::Unknown(self.schedule.to_owned())),
            Standing::Retired => Err(No::Retired(self.schedule.to_owned())),
        }
    }

    fn is_past(&self, scheduled: Timestamp) -> Result<(), No> {
        let Some((_, times, through)) = self.plan()? else { return Ok(()) };
        if !times.contains(scheduled) {
            return Err(No::NoOccurrence(scheduled));
        }
        if scheduled > through { Err(No::ToCome(scheduled)) } else { Ok(()) }
    }

    /// The first occurrence under way, if none may run beside it.
    fn stands_in_the_way(&self) -> Option<Timestamp> {
        let definition = self.state.definition.as_ref()?;
        let most = if definition.overlap == Overlap::Allow { MAX_UNDER_WAY } else { 1 };
        self.state.under_way.first().filter(|_| self.state.under_way.len() >= most).map(|it| it.scheduled)
    }

    /// The definition, its times, and up to where they have their endings.
    fn plan(&self) -> Result<Option<(Definition, Times, Timestamp)>, No> {
        let (Some(definition), Some(through)) = (self.state.definition.clone(), self.state.through) else {
            return Ok(None);
        };
        let times = Times::of(&definition).map_err(No::Invalid)?;
        Ok(Some((definition, times, through)))
    }

    fn run(&mut self, scheduled: Timestamp, how: How, person: Option<(String, String)>) {
        let due = |it: &Definition| Times::of(it).map_or(scheduled, |times| times.due(self.schedule, scheduled));
        let due = self.state.definition.as_ref().map_or(scheduled, due);
        let late_by_secs = (how == How::Late).then(|| self.now.duration_since(due).as_secs());
        let (by, why) = person.unzip();
        let (schedule, correlation_id) = (self.schedule.to_owned(), self.correlation_id.clone());
        self.happens(ScheduleRan { schedule, scheduled, how, late_by_secs, correlation_id, by, why, look: None });
    }

    fn skip(&mut self, (from, to): (Timestamp, Timestamp), count: u64, reason: Reason) {
        self.happens(ScheduleSkipped { schedule: self.schedule.to_owned(), from, to, count, reason, look: None });
    }

    fn ends(&mut self, scheduled: Option<Timestamp>, end: End, message: Option<String>) {
        self.happens(ScheduleEnded { schedule: self.schedule.to_owned(), scheduled, end, message, look: None });
    }

    fn happens(&mut self, event: impl Into<ScheduleEvent>) {
        let event = event.into();
        self.state.happened(&event, self.now);
        self.events.push(event);
    }

    /// When there is something to do by itself.
    fn next_look(&self) -> Result<Option<Timestamp>, No> {
        let Some((definition, times, through)) = self.plan()? else { return Ok(None) };
        let within = seconds(definition.within_secs);
        let limits = self.state.under_way.iter().map(|it| it.since.saturating_add(within).unwrap_or(Timestamp::MAX));
        let mut looks: Vec<Timestamp> = limits.collect();
        if self.state.is_running() {
            if self.state.queued.is_some() && self.stands_in_the_way().is_none() {
                looks.push(self.now);
            }
            let next = times.next(through).map(|next| times.due(self.schedule, next));
            let missed = |due: &Timestamp| self.now.duration_since(*due) > seconds(definition.late_after_secs);
            looks.extend(next.filter(|due| !(missed(due) && self.waits(&definition))));
        }
        Ok(looks.into_iter().min())
    }

    fn finish(mut self) -> Result<Vec<ScheduleEvent>, No> {
        let mut look = if self.events.is_empty() { None } else { self.next_look()? };
        if matches!(self.events.last(), Some(ScheduleEvent::ScheduleLooked(_))) {
            let soon = self.now.saturating_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX);
            look = look.map(|look| look.max(soon));
        }
        self.events.iter_mut().for_each(|event| *event.look() = look);
        Ok(self.events)
    }
}

fn seconds(count: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(count).unwrap_or(i64::MAX))
}
