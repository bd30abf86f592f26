//! The table of a saga: its steps, replies, limits and undos, checked when it is built.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    moves::Moves,
    request::Request,
    step::{Match, Meaning, Step},
    uses::{Role, Use, uses},
};
use crate::{
    envelope::{Draft, Stored},
    error::HandlerError,
    id::{Name, check_name},
    payload::{Command, Event, TypeInfo},
};

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, or the abort event's type.
    pub step: String,
    /// In what way.
    pub kind: FailureKind,
    /// A word or sentence, from the reply where it gives one.
    pub reason: String,
    /// What the caller of the process is told: [`Step::fails_as`].
    pub error: Option<Name>,
}

/// In what way a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema)]
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
    /// A person wants it undone.
    Ordered,
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

type Failed<F> = Arc<dyn Fn(&F, &Failure) -> Result<Option<Draft>, HandlerError> + Send + Sync>;
pub(super) type Noting<F> = Arc<dyn Fn(&mut F, &Failure) + Send + Sync>;
type Start<F> = Arc<dyn Fn(&Stored) -> Result<F, HandlerError> + Send + Sync>;

/// The table of a saga over facts `F`: what the steps need to know, taken from the start event and from replies.
pub struct Saga<F> {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) key: &'static str,
    pub(super) start: Option<(Vec<TypeInfo>, Start<F>)>,
    pub(super) steps: Vec<Step<F>>,
    pub(super) aborts: Vec<(&'static str, Match<F>)>,
    pub(super) failed: Option<Failed<F>>,
    pub(super) noting: Option<Noting<F>>,
    /// How `saga.start` starts it.
    pub(super) request: Option<Request>,
    /// Its service has no aggregate, which a pivot would have to tell.
    pub(super) alone: bool,
    pub(super) moves: Vec<Moves>,
    /// Types of others that it names.
    pub(super) uses: Vec<Use>,
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Saga<F> {
    /// A saga; its instances are the streams `<name>-<key>`. Raise the version when steps change: an instance stays with
    /// the version that it was started by, so keep that table beside the new one ([`Service::saga`] takes both) until
    /// `/health` says that none of its instances is open, or move them ([`Saga::moves_from`]).
    ///
    /// [`Service::saga`]: crate::service::Service::saga
    pub fn new(name: &'static str, version: u32) -> Self {
        Self {
            name,
            version,
            key: "",
            start: None,
            steps: Vec::new(),
            aborts: Vec::new(),
            failed: None,
            noting: None,
            request: None,
            alone: false,
            moves: Vec::new(),
            uses: Vec::new(),
        }
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
        self.uses.extend(uses::<E>(None, Role::Read));
        self
    }

    /// The event that starts an instance, made by the command `saga.start {saga, data}`: `data` is the event's, and is refused
    /// with a sentence if it does not fit. See [`StartSaga`](super::StartSaga).
    #[must_use]
    pub fn start_on_request<E: Event>(self, facts: impl Fn(&E) -> F + Send + Sync + 'static) -> Self {
        let request = E::types().first().map(|info| Request::of::<E>(*info));
        Self { request, ..self.start(facts) }
    }

    /// The next step.
    #[must_use]
    pub fn step<S: Into<Step<F>>>(mut self, name: &'static str, build: impl FnOnce(Step<F>) -> S) -> Self {
        let mut step: Step<F> = build(Step::new(name)).into();
        self.uses.append(&mut step.uses);
        self.steps.push(step);
        self
    }

    /// A step that runs at the same time as the one before it; what follows waits for both.
    #[must_use]
    pub fn beside<S: Into<Step<F>>>(self, name: &'static str, build: impl FnOnce(Step<F>) -> S) -> Self {
        let mut saga = self.step(name, build);
        if let Some(step) = saga.steps.last_mut() {
            step.beside = true;
        }
        saga
    }

    /// The step behind which there is no way back. It must decide on the service's own aggregate, so that the aggregate
    /// itself knows. As long as its answer is open nothing is undone; if what it asks for is refused, it was not done, and
    /// everything is undone as before it.
    #[must_use]
    pub fn pivot<S: Into<Step<F>>>(self, name: &'static str, build: impl FnOnce(Step<F>) -> S) -> Self {
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
        self.uses.extend(uses::<E>(None, Role::Read));
        self
    }

    /// What the service's own aggregate is told when a step failed, in the commit that begins to undo. `None`: nothing.
    #[must_use]
    pub fn failed<C: Command>(mut self, command: impl Fn(&F, &Failure) -> Option<C> + Send + Sync + 'static) -> Self {
        self.failed = Some(Arc::new(move |facts, failure| {
            Ok(command(facts, failure).map(|command| Draft::of(&command)).transpose()?)
        }));
        self.uses.extend(uses::<C>(None, Role::Own));
        self
    }

    /// What undos need to know of the failure is kept in the facts, before the first of them is sent.
    #[must_use]
    pub fn noting(mut self, note: impl Fn(&mut F, &Failure) + Send + Sync + 'static) -> Self {
        self.noting = Some(Arc::new(note));
        self
    }

    /// How open instances of an earlier version can be moved to this one. Steps of one name are the same step; the closure
    /// names the others. An instance whose place this does not explain is not moved, and says why.
    #[must_use]
    pub fn moves_from(mut self, version: u32, build: impl FnOnce(Moves) -> Moves) -> Self {
        self.moves.push(build(Moves::new(version)));
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
        let mut calls = BTreeSet::new();
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
            for call in step.call.iter().chain(&step.undo_call) {
                if !calls.insert(call.name) {
                    return Err(problem(format!("two steps call `{}`: its answer could not be told apart", call.name)));
                }
                if call.name.contains('.') {
                    return Err(problem(format!(
                        "the call `{}` has a dot in its name: steps cannot make it",
                        call.name
                    )));
                }
            }
            if step.send.is_some() && step.call.is_some() {
                return Err(problem(format!("step `{name}` sends a command and makes a call: make two steps of it")));
            }
            if step.undo.is_some() && step.undo_call.is_some() {
                return Err(problem(format!("step `{name}` is undone by a command and by a call: choose one")));
            }
            let acts = step.send.is_some() || step.call.is_some();
            if before_pivot && acts && !step.has_undo() && !step.nothing_to_undo {
                let remedy = "add `.undo::<Command, Event>(…)`, `.undo_call(…)` or `.nothing_to_undo()`";
                return Err(problem(format!("step `{name}` stands before the pivot and has no undo: {remedy}")));
            }
            if step.pivot && step.own.is_empty() && !self.alone {
                let remedy = "add `.own(…)`, so that the aggregate itself knows that there is no way back";
                return Err(problem(format!(
                    "the pivot `{name}` decides nothing on the service's own aggregate: {remedy}"
                )));
            }
            if step.pivot && step.best_effort {
                return Err(problem(format!("the pivot `{name}` is best effort: nothing can hang on it then")));
            }
            if step.limit(false).is_zero() {
                return Err(problem(format!("step `{name}` has a limit of zero: give it time to answer")));
            }
        }
        if self.steps.first().is_some_and(|step| step.beside) {
            return Err(problem("its first step stands beside nothing: use `.step`".to_owned()));
        }
        for moves in &self.moves {
            moves.check(self.version, &names).map_err(problem)?;
        }
        Ok(())
    }
}

impl<F> Saga<F> {
    /// Whether a step stands at the pivot or behind it, so that nothing is given up by time.
    pub(super) fn is_behind_pivot(&self, index: usize) -> bool {
        self.steps.iter().position(|step| step.pivot).is_some_and(|pivot| index >= pivot)
    }
}

impl<F: 'static> fmt::Display for Saga<F> {
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
        for (index, step) in self.steps.iter().enumerate() {
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
            if let Some(call) = &step.call {
                writeln!(f, "    call: {}", call.name)?;
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
            if let Some(call) = &step.undo_call {
                writeln!(f, "    undoCall: {}", call.name)?;
            }
            if step.best_effort {
                writeln!(f, "    bestEffort: true")?;
            }
            if let Some(error) = &step.error {
                writeln!(f, "    error: {error}")?;
            }
            writeln!(f, "    within: {}s", step.limit(self.is_behind_pivot(index)).as_secs())?;
        }
        Ok(())
    }
}
