//! A schedule as a service declares it.

use std::time::Duration;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
};

use super::{
    definition::{Definition, Missed, Overlap, When},
    messages::{How, ScheduleRan},
    times::Times,
    watch::{self, Watch},
};
use crate::{
    envelope::Draft,
    id::{MessageId, Name},
    payload::{Command, Event, PayloadError, TypeInfo},
    reaction::Folding,
};

/// An occurrence whose command is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The schedule, as `<service>.<name>`.
    pub schedule: String,
    /// The time that was planned, without jitter; of a run by hand, when it was asked for.
    pub scheduled: Timestamp,
    /// When it runs.
    pub at: Timestamp,
    /// On time, late, by hand, or as a backfill.
    pub how: How,
}

impl Occurrence {
    pub(super) fn of(ran: &ScheduleRan, at: Timestamp) -> Self {
        Self { schedule: ran.schedule.clone(), scheduled: ran.scheduled, at, how: ran.how }
    }

    /// An id that is always the same for this occurrence: for the aggregate that its command makes.
    pub fn id(&self) -> MessageId {
        MessageId::derived(&["schedule", &self.schedule, &self.scheduled.to_string()])
    }
}

pub(super) type Sends = Box<dyn Fn(&Occurrence) -> Result<Draft, PayloadError> + Send + Sync>;
type Done = Box<dyn FnOnce(Folding<Watch>) -> Folding<Watch> + Send + Sync>;

/// See [the module](super). What is not said: UTC, no jitter, late after a minute, [`Missed::RunLast`], [`Overlap::Skip`]; an
/// occurrence is done when its command is sent.
pub struct Schedule {
    name: &'static str,
    definition: Definition,
    done: Vec<Done>,
    sends: Option<(Vec<TypeInfo>, Sends)>,
}

/// What the platform knows of a service's schedule.
pub struct Declaration {
    /// `<service>.<name>`.
    pub name: String,
    /// What it is.
    pub definition: Definition,
    /// The commands that it sends.
    pub sends: Vec<TypeInfo>,
}

impl Declaration {
    /// What is wrong with it, as a sentence that says what to change.
    pub fn problem(&self) -> Option<String> {
        let nothing = || "it sends no command: end it with `.sends(…)`".to_owned();
        let problem = if self.sends.is_empty() { Some(nothing()) } else { Times::of(&self.definition).err() };
        problem.map(|problem| format!("schedule {}: {problem}", self.name))
    }
}

impl Schedule {
    /// Its name within its service.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// At the times of a cron pattern of five fields, such as `0 3 * * *`: minute, hour, day of the month, month, day of the
    /// week.
    pub fn cron(name: &'static str, pattern: &str) -> Self {
        Self::new(name, When::Cron(pattern.to_owned()))
    }

    /// At equal distances of whole seconds, counted from 1970-01-01T00:00:00Z on: every 15 minutes is at the full quarter of
    /// an hour.
    pub fn every(name: &'static str, distance: Duration) -> Self {
        // A part of a second is no distance that it could keep.
        let secs = if distance.subsec_nanos() == 0 { distance.as_secs() } else { 0 };
        Self::new(name, When::Every { secs, from: Timestamp::UNIX_EPOCH })
    }

    /// At given times of its zone, at most 10,000.
    pub fn on(name: &'static str, times: impl IntoIterator<Item = DateTime>) -> Self {
        Self::new(name, When::On(times.into_iter().collect()))
    }

    fn new(name: &'static str, when: When) -> Self {
        Self { name, definition: Definition::new(when), done: Vec::new(), sends: None }
    }

    /// Equal distances are counted from this time on instead; without effect on any other.
    #[must_use]
    pub fn from(mut self, time: Timestamp) -> Self {
        if let When::Every { from, .. } = &mut self.definition.when {
            *from = time;
        }
        self
    }

    /// The time zone of its patterns, times and days, by its name in the IANA database: `Europe/London`. The database is
    /// compiled in, and the same on every machine.
    #[must_use]
    pub fn zone(mut self, name: &str) -> Self {
        name.clone_into(&mut self.definition.zone);
        self
    }

    /// Days of the zone on which it does not occur, such as holidays: at most 10,000. They are no occurrences, and none is
    /// skipped.
    #[must_use]
    pub fn not_on(mut self, days: impl IntoIterator<Item = Date>) -> Self {
        self.definition.not_on.extend(days);
        self
    }

    /// Spreads the load: each occurrence is due up to so much later (whole seconds) than planned, by how much is told by a
    /// hash of its name and time, and never beyond the time of the next one. None overtakes the one before it.
    #[must_use]
    pub fn jitter(mut self, most: Duration) -> Self {
        self.definition.jitter_secs = most.as_secs();
        self
    }

    /// One that runs later than so much (whole seconds) after it was due is late, and missed before it ran: a minute if not
    /// said.
    #[must_use]
    pub fn late_after(mut self, tolerance: Duration) -> Self {
        self.definition.late_after_secs = tolerance.as_secs();
        self
    }

    /// What becomes of occurrences that were missed.
    #[must_use]
    pub fn missed(mut self, policy: Missed) -> Self {
        self.definition.missed = policy;
        self
    }

    /// What becomes of an occurrence that is due while one is under way.
    #[must_use]
    pub fn overlapping(mut self, policy: Overlap) -> Self {
        self.definition.overlap = policy;
        self
    }

    /// An occurrence is under way until an event of one of these types comes that belongs to its business transaction.
    /// Called again it adds others, of which any will do.
    #[must_use]
    pub fn done_by<E: Event>(mut self) -> Self {
        self.definition.done_by.extend(E::types().iter().map(|info| info.name.to_owned()));
        self.done.push(Box::new(watch::done_by::<E>));
        self
    }

    /// An occurrence that is not done within so much (whole seconds) counts as over, and health says so: a day if not said.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.definition.within_secs = limit.as_secs();
        self
    }

    /// The command that each occurrence sends. Like any handler it is pure.
    #[must_use]
    pub fn sends<C: Command>(mut self, make: impl Fn(&Occurrence) -> C + Send + Sync + 'static) -> Self {
        let make: Sends = Box::new(move |occurrence| Draft::of(&make(occurrence)));
        self.sends = Some((C::types(), make));
        self
    }

    /// What the platform knows of it, and the reaction of its service.
    pub(crate) fn of_service(self, service: &Name) -> (Declaration, Folding<Watch>) {
        let name = format!("{service}.{}", self.name);
        let (sends, make) = self.sends.unzip();
        let folding = watch::folding(self.name, &name, make);
        let folding = self.done.into_iter().fold(folding, |folding, done| done(folding));
        (Declaration { name, definition: self.definition, sends: sends.unwrap_or_default() }, folding)
    }
}
