//! One step of a saga: what it sends, which answers it knows, how long it waits, how it is undone.

use std::{sync::Arc, time::Duration};

use super::{
    calls::StepCall,
    uses::{Role, Use, uses},
};
use crate::{
    envelope::{Draft, Stored},
    error::HandlerError,
    id::Name,
    payload::{Command, Event, Payload},
};

/// How long a step before the pivot may take if it does not say.
const LIMIT: Duration = Duration::from_secs(30);
/// How long one that makes a call may take before the pivot: eight attempts of 10 s, and the waits between them.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// How long one at or behind the pivot may take, if it does not say, before a person is called: nothing gives up there.
pub(super) const LIMIT_BEHIND: Duration = Duration::from_secs(24 * 3600);
/// How often an undo is sent, if the step does not say, before a person is called.
const UNDO_ATTEMPTS: u32 = 5;

pub(super) type Make<F> = Arc<dyn Fn(&F) -> Result<Draft, HandlerError> + Send + Sync>;
pub(super) type Match<F> = Arc<dyn Fn(&mut F, &Stored) -> Result<Option<String>, HandlerError> + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Done,
    Refused,
    Held,
    Undone,
}

pub(super) struct Reply<F> {
    pub(super) type_name: &'static str,
    pub(super) meaning: Meaning,
    pub(super) keeps: bool,
    pub(super) matches: Match<F>,
}

pub(super) struct Hold<F> {
    pub(super) own: Make<F>,
    pub(super) within: Duration,
}

/// One step of a saga.
pub struct Step<F> {
    pub(super) name: &'static str,
    pub(super) beside: bool,
    pub(super) pivot: bool,
    pub(super) own: Vec<Make<F>>,
    pub(super) send: Option<(&'static str, Make<F>)>,
    pub(super) undo: Option<(&'static str, Make<F>)>,
    pub(super) nothing_to_undo: bool,
    pub(super) replies: Vec<Reply<F>>,
    pub(super) hold: Option<Hold<F>>,
    /// What it asks the outside, instead of sending a command.
    pub(super) call: Option<StepCall<F>>,
    pub(super) undo_call: Option<StepCall<F>>,
    pub(super) within: Option<Duration>,
    pub(super) undo_attempts: u32,
    /// What follows begins also if it fails.
    pub(super) best_effort: bool,
    /// What the caller of the process is told if it fails.
    pub(super) error: Option<Name>,
    /// Types of others that it names.
    pub(super) uses: Vec<Use>,
}

impl<F: 'static> Step<F> {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            beside: false,
            pivot: false,
            own: Vec::new(),
            send: None,
            undo: None,
            nothing_to_undo: false,
            replies: Vec::new(),
            hold: None,
            call: None,
            undo_call: None,
            within: None,
            undo_attempts: UNDO_ATTEMPTS,
            best_effort: false,
            error: None,
            uses: Vec::new(),
        }
    }

    /// Decides on the service's own aggregate when the step begins, in the same commit. A rejection there counts as
    /// refused. Several are decided in order.
    #[must_use]
    pub fn own<C: Command>(mut self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        self.own.push(make(command));
        self.uses.extend(uses::<C>(Some(self.name), Role::Own));
        self
    }

    /// The command that the step sends.
    #[must_use]
    pub fn send<C: Command>(mut self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        self.send = Some((first_type::<C>(), make(command)));
        self.uses.extend(uses::<C>(Some(self.name), Role::Sent));
        self
    }

    /// The event that says that the step is done.
    #[must_use]
    pub fn done<E: Event>(self) -> Self {
        self.reply::<E>(Meaning::Done, false, |_, _| Some(String::new()))
    }

    /// The event that says that the step is done, if its data says so.
    #[must_use]
    pub fn done_if<E: Event>(self, test: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.reply::<E>(Meaning::Done, false, move |_, event| test(event).then(String::new))
    }

    /// The event that says that the step is done; what later steps need of it is kept in the facts.
    #[must_use]
    pub fn done_keeping<E: Event>(self, keep: impl Fn(&mut F, &E) + Send + Sync + 'static) -> Self {
        self.reply::<E>(Meaning::Done, true, move |facts, event| {
            keep(facts, event);
            Some(String::new())
        })
    }

    /// The event that says no, with the reason that it gives.
    #[must_use]
    pub fn refused<E: Event>(self, reason: impl Fn(&E) -> String + Send + Sync + 'static) -> Self {
        self.reply::<E>(Meaning::Refused, false, move |_, event| Some(reason(event)))
    }

    /// The event that says no, if its data says so; what the end needs of it is kept in the facts.
    #[must_use]
    pub fn refused_if<E: Event>(self, test: impl Fn(&mut F, &E) -> Option<String> + Send + Sync + 'static) -> Self {
        self.reply::<E>(Meaning::Refused, true, test)
    }

    /// The event that neither ends nor refuses the step but makes it wait for a person: the service's own aggregate is
    /// told, and the step's limit is `within` from then on.
    #[must_use]
    pub fn held_if<E: Event, C: Command>(
        mut self,
        test: impl Fn(&E) -> Option<String> + Send + Sync + 'static,
        own: impl Fn(&F) -> C + Send + Sync + 'static,
        within: Duration,
    ) -> Self {
        self.hold = Some(Hold { own: make(own), within });
        self.uses.extend(uses::<C>(Some(self.name), Role::Own));
        self.reply::<E>(Meaning::Held, false, move |_, event| test(event))
    }

    /// Whether anything of it can be undone.
    pub(super) fn has_undo(&self) -> bool {
        self.undo.is_some() || self.undo_call.is_some()
    }

    /// The command that undoes the step, and the event that confirms it.
    #[must_use]
    pub fn undo<C: Command, E: Event>(mut self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        self.undo = Some((first_type::<C>(), make(command)));
        self.uses.extend(uses::<C>(Some(self.name), Role::Sent));
        self.reply::<E>(Meaning::Undone, false, |_, _| Some(String::new()))
    }

    /// The step leaves nothing behind that would have to be undone.
    #[must_use]
    pub fn nothing_to_undo(mut self) -> Self {
        self.nothing_to_undo = true;
        self
    }

    /// The longest time to wait for the answer. Before the pivot the step has failed then, and what was sent is undone; 30 s
    /// if it does not say. At the pivot and behind it nothing is given up: a person is called; 24 h if it does not say.
    ///
    /// Only time counts in which the unit runs: neither an hour off nor a standstill of its process (more than 2 s) uses it up,
    /// and while its instance is held, or the program lacks its version, it stands still. A kill may take back running time
    /// of the last second, or of an eighth of what was left.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// How often the undo is sent before a person is called; 5 times if it does not say. It waits as long as the step, then
    /// twice as long each time.
    #[must_use]
    pub fn undo_attempts(mut self, attempts: u32) -> Self {
        self.undo_attempts = attempts.max(1);
        self
    }

    /// The process goes on if the step is refused or silent. One that was refused is passed over; what a silent one may have
    /// done is undone with the rest, should a later step fail.
    #[must_use]
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// What the caller of the process is told if this step fails: a stable word such as `payment_failed`, which stands in
    /// the instance ([`Shown::error`](super::Shown)) beside the reason.
    #[must_use]
    pub fn fails_as(mut self, error: &'static str) -> Self {
        self.error = Some(Name::Static(error));
        self
    }

    fn reply<E: Event>(
        mut self,
        meaning: Meaning,
        keeps: bool,
        test: impl Fn(&mut F, &E) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let matches: Match<F> = Arc::new(move |facts, stored| Ok(test(facts, &stored.decode::<E>()?)));
        for info in E::types() {
            self.replies.push(Reply { type_name: info.name, meaning, keeps, matches: matches.clone() });
        }
        self.uses.extend(uses::<E>(Some(self.name), Role::Read));
        self
    }

    /// How long it may take.
    pub(super) fn limit(&self, behind_pivot: bool) -> Duration {
        let usual = match (behind_pivot, &self.call) {
            (true, _) => LIMIT_BEHIND,
            (false, Some(_)) => CALL_LIMIT,
            (false, None) => LIMIT,
        };
        self.within.unwrap_or(usual)
    }

    pub(super) fn waits(&self) -> bool {
        self.call.is_some() || self.replies.iter().any(|reply| reply.meaning == Meaning::Done)
    }
}

fn make<F, C: Command>(command: impl Fn(&F) -> C + Send + Sync + 'static) -> Make<F> {
    Arc::new(move |facts| Ok(Draft::of(&command(facts))?))
}

fn first_type<P: Payload>() -> &'static str {
    P::types().first().map_or("", |info| info.name)
}
