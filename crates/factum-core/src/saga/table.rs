//! The table of a saga: its steps, replies, limits and undos, checked when it is built.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    envelope::{Draft, Stored},
    error::HandlerError,
    id::check_name,
    payload::{Command, Event, Payload, TypeInfo},
};

/// How long a step may take if it does not say.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, or the abort event's type.
    pub step: String,
    /// In what way.
    pub kind: FailureKind,
    /// A word or sentence, from the reply where it gives one.
    pub reason: String,
}

/// In what way a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The participant said no.
    Refused,
    /// No answer within the limit; its outcome is unknown.
    Expired,
    /// The service's own aggregate refused to go on.
    OwnRefused,
    /// An abort event came.
    Aborted,
}

/// What does not let a table be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("saga {saga}: {problem}")]
pub struct SagaProblem {
    /// The saga.
    pub saga: &'static str,
    /// A sentence: what is missing and what to write.
    pub problem: String,
}

pub(super) type Make<F> = Arc<dyn Fn(&F) -> Result<Draft, HandlerError> + Send + Sync>;
type Match<F> = Arc<dyn Fn(&mut F, &Stored) -> Result<Option<String>, HandlerError> + Send + Sync>;
type Failed<F> = Arc<dyn Fn(&F, &Failure) -> Result<Option<Draft>, HandlerError> + Send + Sync>;
type Start<F> = Arc<dyn Fn(&Stored) -> Result<F, HandlerError> + Send + Sync>;

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
    pub(super) within: Duration,
}

impl<F: 'static> Step<F> {
    fn new(name: &'static str) -> Self {
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
            within: DEFAULT_LIMIT,
        }
    }

    /// Decides on the service's own aggregate when the step begins, in the same commit. A rejection there counts as
    /// refused. Several are decided in order.
    #[must_use]
    pub fn own<C: Command>(mut self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        self.own.push(make(command));
        self
    }

    /// The command that the step sends.
    #[must_use]
    pub fn send<C: Command>(mut self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        self.send = Some((first_type::<C>(), make(command)));
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
        self.reply::<E>(Meaning::Held, false, move |_, event| test(event))
    }

    /// The command that undoes the step, and the event that confirms it.
    #[must_use]
    pub fn undo<C: Command, E: Event>(mut self, command: impl Fn(&F) -> C + Send + Sync + 'static) -> Self {
        self.undo = Some((first_type::<C>(), make(command)));
        self.reply::<E>(Meaning::Undone, false, |_, _| Some(String::new()))
    }

    /// The step leaves nothing behind that would have to be undone.
    #[must_use]
    pub fn nothing_to_undo(mut self) -> Self {
        self.nothing_to_undo = true;
        self
    }

    /// The longest time to wait for the answer; 30 s by default.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
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
        self
    }

    pub(super) fn waits(&self) -> bool {
        self.replies.iter().any(|reply| reply.meaning == Meaning::Done)
    }
}

/// The table of a saga over facts `F`: what the steps need to know, taken from the start event and from replies.
pub struct Saga<F> {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) key: &'static str,
    pub(super) start: Option<(Vec<TypeInfo>, Start<F>)>,
    pub(super) steps: Vec<Step<F>>,
    pub(super) aborts: Vec<(&'static str, Match<F>)>,
    pub(super) failed: Option<Failed<F>>,
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Saga<F> {
    /// A saga; its instances are the streams `<name>-<key>`. Raise the version when steps change: an instance stays with
    /// the version that it was started by.
    pub fn new(name: &'static str, version: u32) -> Self {
        Self { name, version, key: "", start: None, steps: Vec::new(), aborts: Vec::new(), failed: None }
    }

    /// The field (JSON name) that the start event, replies and abort events all carry, and that names the instance.
    #[must_use]
    pub fn key(mut self, field: &'static str) -> Self {
        self.key = field;
        self
    }

    /// The event that starts an instance.
    #[must_use]
    pub fn start<E: Event>(mut self, facts: impl Fn(&E) -> F + Send + Sync + 'static) -> Self {
        let start: Start<F> = Arc::new(move |stored| Ok(facts(&stored.decode::<E>()?)));
        self.start = Some((E::types(), start));
        self
    }

    /// The next step.
    #[must_use]
    pub fn step(mut self, name: &'static str, build: impl FnOnce(Step<F>) -> Step<F>) -> Self {
        self.steps.push(build(Step::new(name)));
        self
    }

    /// A step that runs at the same time as the one before it; what follows waits for both.
    #[must_use]
    pub fn beside(self, name: &'static str, build: impl FnOnce(Step<F>) -> Step<F>) -> Self {
        let mut saga = self.step(name, build);
        if let Some(step) = saga.steps.last_mut() {
            step.beside = true;
        }
        saga
    }

    /// The step behind which there is no way back. It must decide on the service's own aggregate, so that the aggregate
    /// itself knows.
    #[must_use]
    pub fn pivot(self, name: &'static str, build: impl FnOnce(Step<F>) -> Step<F>) -> Self {
        let mut saga = self.step(name, build);
        if let Some(step) = saga.steps.last_mut() {
            step.pivot = true;
        }
        saga
    }

    /// An event that ends the process before the pivot: what was sent is undone.
    #[must_use]
    pub fn abort<E: Event>(mut self, reason: impl Fn(&E) -> String + Send + Sync + 'static) -> Self {
        let matches: Match<F> = Arc::new(move |_, stored| Ok(Some(reason(&stored.decode::<E>()?))));
        self.aborts.extend(E::types().iter().map(|info| (info.name, matches.clone())));
        self
    }

    /// What the service's own aggregate is told when a step failed, in the commit that begins to undo. `None`: nothing.
    #[must_use]
    pub fn failed<C: Command>(mut self, command: impl Fn(&F, &Failure) -> Option<C> + Send + Sync + 'static) -> Self {
        self.failed = Some(Arc::new(move |facts, failure| {
            Ok(command(facts, failure).map(|command| Draft::of(&command)).transpose()?)
        }));
        self
    }

    /// Checks the table.
    ///
    /// # Errors
    /// The first [`SagaProblem`], as a sentence that says what to write.
    pub fn check(&self) -> Result<(), SagaProblem> {
        let problem = |problem: String| SagaProblem { saga: self.name, problem };
        check_name("saga", self.name).map_err(|error| problem(error.to_string()))?;
        if self.name.contains('-') {
            return Err(problem("the name is a stream category: write `_` instead of `-`".to_owned()));
        }
        if self.start.is_none() {
            return Err(problem("it has no start event: add `.start::<Event>(…)`".to_owned()));
        }
        if self.key.is_empty() {
            return Err(problem("it has no key field: add `.key(\"orderId\")`".to_owned()));
        }
        if self.steps.is_empty() {
            return Err(problem("it has no steps: add `.step(…)`".to_owned()));
        }
        let mut names = BTreeSet::new();
        let mut commands = BTreeSet::new();
        let pivot = self.steps.iter().position(|step| step.pivot);
        if self.steps.iter().filter(|step| step.pivot).count() > 1 {
            return Err(problem("it has two pivots: behind the first there is no way back already".to_owned()));
        }
        for (index, step) in self.steps.iter().enumerate() {
            let name = step.name;
            if !names.insert(name) {
                return Err(problem(format!("two steps are called `{name}`")));
            }
            for (command, _) in step.send.iter().chain(&step.undo) {
                if !commands.insert(*command) {
                    return Err(problem(format!("two steps send `{command}`: its rejection could not be told apart")));
                }
            }
            if step.send.is_some() && !step.waits() {
                return Err(problem(format!(
                    "step `{name}` sends a command but knows no reply: add `.done::<Event>()`"
                )));
            }
            let before_pivot = pivot.is_none_or(|pivot| index < pivot);
            if before_pivot && step.send.is_some() && step.undo.is_none() && !step.nothing_to_undo {
                let remedy = "add `.undo::<Command, Event>(…)` or `.nothing_to_undo()`";
                return Err(problem(format!("step `{name}` stands before the pivot and has no undo: {remedy}")));
            }
            if step.pivot && step.own.is_empty() {
                let remedy = "add `.own(…)`, so that the aggregate itself knows that there is no way back";
                return Err(problem(format!(
                    "the pivot `{name}` decides nothing on the service's own aggregate: {remedy}"
                )));
            }
            if step.within.is_zero() {
                return Err(problem(format!("step `{name}` has a limit of zero: give it time to answer")));
            }
        }
        if self.steps.first().is_some_and(|step| step.beside) {
            return Err(problem("its first step stands beside nothing: use `.step`".to_owned()));
        }
        Ok(())
    }
}

impl<F> fmt::Display for Saga<F> {
    /// The table as YAML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "saga: {}\nversion: {}\nkey: {}", self.name, self.version, self.key)?;
        if let Some((types, _)) = &self.start {
            writeln!(f, "start: {}", types.iter().map(|info| info.name).collect::<Vec<_>>().join(", "))?;
        }
        if !self.aborts.is_empty() {
            let aborts: Vec<&str> = self.aborts.iter().map(|(type_name, _)| *type_name).collect();
            writeln!(f, "abort: [{}]", aborts.join(", "))?;
        }
        writeln!(f, "steps:")?;
        for step in &self.steps {
            writeln!(f, "  - name: {}", step.name)?;
            if step.beside {
                writeln!(f, "    beside: true")?;
            }
            if step.pivot {
                writeln!(f, "    pivot: true")?;
            }
            if let Some((command, _)) = &step.send {
                writeln!(f, "    send: {command}")?;
            }
            for (word, meaning) in [("done", Meaning::Done), ("refused", Meaning::Refused), ("held", Meaning::Held)] {
                let types: BTreeSet<&str> =
                    step.replies.iter().filter(|reply| reply.meaning == meaning).map(|reply| reply.type_name).collect();
                if !types.is_empty() {
                    writeln!(f, "    {word}: [{}]", types.into_iter().collect::<Vec<_>>().join(", "))?;
                }
            }
            if let Some((command, _)) = &step.undo {
                writeln!(f, "    undo: {command}")?;
            }
            writeln!(f, "    within: {}s", step.within.as_secs())?;
        }
        Ok(())
    }
}

fn make<F, C: Command>(command: impl Fn(&F) -> C + Send + Sync + 'static) -> Make<F> {
    Arc::new(move |facts| Ok(Draft::of(&command(facts))?))
}

fn first_type<P: Payload>() -> &'static str {
    P::types().first().map_or("", |info| info.name)
}
