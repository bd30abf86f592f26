//! Moving open instances to a newer version of their saga: what each step was called before, and what cannot be explained.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Act, Saga, Status, StepState, Transition,
    calls::Asked,
    instance::Instance,
    record::{EMPTY, Expire, MOVED, Record},
    transition::Records,
};
use crate::{envelope::Draft, error::HandlerError, id::Name, reaction::Effect};

/// How instances of an earlier version stand in the one that declares this.
pub struct Moves {
    /// The earlier version.
    pub(super) from: u32,
    /// By the new step's name: what it was called, or nothing if it is skipped.
    steps: BTreeMap<&'static str, Option<&'static str>>,
    facts: Option<fn(Value) -> Value>,
}

impl Moves {
    pub(super) fn new(from: u32) -> Self {
        Self { from, steps: BTreeMap::new(), facts: None }
    }

    /// The step `new` was called `old`.
    #[must_use]
    pub fn step(mut self, new: &'static str, old: &'static str) -> Self {
        self.steps.insert(new, Some(old));
        self
    }

    /// The step is new. An instance that is past its place goes on without it, and has nothing of it to undo.
    #[must_use]
    pub fn skip(mut self, new: &'static str) -> Self {
        self.steps.insert(new, None);
        self
    }

    /// How the facts are read as those of this version; as they are, if it is not said.
    #[must_use]
    pub fn facts(mut self, raise: fn(Value) -> Value) -> Self {
        self.facts = Some(raise);
        self
    }

    /// The earlier version's steps that are named.
    pub(super) fn old_names(&self) -> Vec<&'static str> {
        self.steps.values().copied().flatten().collect()
    }

    pub(super) fn check(&self, version: u32, names: &BTreeSet<&'static str>) -> Result<(), String> {
        let from = self.from;
        if from >= version {
            return Err(format!("version {version} has `.moves_from({from}, …)`: instances move to a later version"));
        }
        match self.steps.keys().find(|name| !names.contains(*name)) {
            Some(name) => {
                Err(format!("`.moves_from({from}, …)` names the step `{name}`, which version {version} has not"))
            }
            None => Ok(()),
        }
    }

    /// What a step was called.
    fn old<'a>(&'a self, new: &'a str) -> Option<&'a str> {
        self.steps.get(new).map_or(Some(new), |old| *old)
    }

    fn skips(&self, new: &str) -> bool {
        self.steps.get(new) == Some(&None)
    }
}

/// An instance as another version can take it over.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The version that it comes from.
    pub version: u32,
    status: Status,
    facts: Value,
    steps: Vec<(String, StepState)>,
    undo_attempts: u32,
    past_pivot: bool,
    asked: BTreeMap<String, Asked>,
}

impl<F: Serialize + DeserializeOwned + Default + Clone + Send + 'static> Saga<F> {
    pub(super) fn carry(&self, instance: &Instance<F>) -> Result<Option<Carried>, HandlerError> {
        let Some(status) = instance.started else { return Ok(None) };
        let facts = serde_json::to_value(&instance.facts).map_err(HandlerError::failed)?;
        let steps = self.steps.iter().map(|step| step.name.to_owned()).zip(instance.steps.iter().copied()).collect();
        let past = |(step, state): (&super::Step<F>, &StepState)| {
            step.pivot && !matches!(state, StepState::Waiting | StepState::Refused)
        };
        let past_pivot = self.steps.iter().zip(&instance.steps).any(past);
        let (version, undo_attempts) = (self.version, instance.undo_attempts);
        let asked = instance.asked.clone();
        Ok(Some(Carried { version, status, facts, steps, undo_attempts, past_pivot, asked }))
    }

    /// The instance in this version, its record and its limits; or all that stands against it.
    pub(super) fn take_over(
        &self,
        instance: &mut Instance<F>,
        carried: &Carried,
        act: &Act,
    ) -> Result<(Records, Transition), Vec<String>> {
        let (from, to) = (carried.version, self.version);
        if from >= to {
            return Err(vec![format!("version {from} runs it, and instances move to a later version")]);
        }
        let Some(moves) = self.moves.iter().find(|moves| moves.from == from) else {
            return Err(vec![format!("version {to} does not say how: add `.moves_from({from}, …)` to it")]);
        };
        let (states, mut problems) = self.states(moves, carried);
        let facts = moves.facts.map_or(carried.facts.clone(), |raise| raise(carried.facts.clone()));
        match serde_json::from_value::<F>(facts) {
            Ok(facts) => instance.facts = facts,
            Err(error) => problems.push(format!("its facts do not fit version {to}: {error}; add `.facts(…)`")),
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let said = |error: &dyn std::fmt::Display| vec![error.to_string()];
        let facts = serde_json::value::to_raw_value(&instance.facts).map_err(|error| said(&error))?;
        let record = Record {
            version: Some(to),
            from: Some(from),
            status: Some(carried.status),
            steps: self.steps.iter().map(|step| step.name.to_owned()).zip(states.iter().copied()).collect(),
            attempt: Some(carried.undo_attempts),
            facts: Some(facts),
            asked: carried.asked.clone(),
            by: Some(act.by.clone()),
            why: (!act.why.is_empty()).then(|| act.why.clone()),
            ..EMPTY
        };
        self.apply(instance, MOVED, &record).map_err(|error| said(&error))?;
        let out = self.limits_anew(carried, &states).map_err(|error| said(&error))?;
        Ok((vec![(MOVED, record)], out))
    }

    /// How each step stands.
    fn states(&self, moves: &Moves, carried: &Carried) -> (Vec<StepState>, Vec<String>) {
        let (from, to) = (carried.version, self.version);
        let mut problems = Vec::new();
        let mut taken = BTreeSet::new();
        let old_state = |name: &str| carried.steps.iter().find(|(old, _)| old == name).map(|(_, state)| *state);
        let mut states: Vec<Option<StepState>> = Vec::new();
        for step in &self.steps {
            let old = moves.old(step.name);
            let state = old.and_then(old_state);
            if let (Some(old), Some(_)) = (old, state) {
                taken.insert(old.to_owned());
            }
            states.push(state);
        }
        let begun = |state: &Option<StepState>| state.is_some_and(|state| state != StepState::Waiting);
        let last = states.iter().rposition(begun);
        // What runs beside the last one that has begun has begun too.
        let place = last.map_or(0, |last| self.group_end(last));
        for (index, step) in self.steps.iter().enumerate().take(place) {
            if begun(&states[index]) {
                continue;
            }
            match moves.skips(step.name) {
                true => states[index] = Some(StepState::Skipped),
                false => problems.push(format!(
                    "step `{}` of version {to} stands before its place: say `.step(\"{0}\", …)` or `.skip(\"{0}\")`",
                    step.name
                )),
            }
        }
        for (old, state) in &carried.steps {
            let over =
                matches!(state, StepState::Waiting | StepState::Refused | StepState::Undone | StepState::Skipped);
            if !over && !taken.contains(old) {
                problems.push(format!("step `{old}` of version {from} was sent, and no step of version {to} is it"));
            }
        }
        let states: Vec<StepState> = states.into_iter().map(|state| state.unwrap_or(StepState::Waiting)).collect();
        let behind = self.steps.iter().zip(&states).any(|(step, state)| {
            step.pivot && !matches!(state, StepState::Waiting | StepState::Refused | StepState::Skipped)
        });
        if behind != carried.past_pivot {
            let (there, here) = if carried.past_pivot { ("behind", "before") } else { ("before", "behind") };
            problems
                .push(format!("it is {there} the pivot of version {from}, and would be {here} that of version {to}"));
        }
        for (step, state) in self.steps.iter().zip(&states) {
            if let Some(call) = step.call.as_ref().filter(|_| *state == StepState::Sent)
                && !carried.asked.contains_key(call.name)
            {
                let (name, call) = (step.name, call.name);
                problems
                    .push(format!("its step `{name}` waits for the call `{call}`, which version {from} does not make"));
            }
            if carried.status == Status::Undoing && *state == StepState::Undoing && !step.has_undo() {
                problems.push(format!("its step `{}` is being undone, and has no undo in version {to}", step.name));
            }
        }
        if carried.status == Status::Running && !states.contains(&StepState::Sent) {
            problems.push(format!("none of its steps would be under way in version {to}"));
        }
        (states, problems)
    }

    fn group_end(&self, index: usize) -> usize {
        (index + 1..self.steps.len()).find(|at| !self.steps[*at].beside).unwrap_or(self.steps.len())
    }

    /// The limits of the old steps end; those of the new ones begin.
    fn limits_anew(&self, carried: &Carried, states: &[StepState]) -> Result<Transition, HandlerError> {
        let mut out = Transition::default();
        let waits = |state: StepState| matches!(state, StepState::Sent | StepState::Undoing);
        for (old, _) in carried.steps.iter().filter(|(_, state)| waits(*state)) {
            out.effects.push(Effect::Cancel(old.clone()));
        }
        for (index, state) in states.iter().enumerate().filter(|(_, state)| waits(**state)) {
            let step = &self.steps[index];
            let expire = Expire { step: step.name.to_owned(), undo: *state == StepState::Undoing };
            let type_name = Name::Shared(format!("{}.expire", self.name).into());
            let command = Draft::named(type_name, &expire)?;
            let delay = step.limit(self.is_behind_pivot(index));
            out.effects.push(Effect::After { name: step.name.to_owned(), delay, command });
        }
        Ok(out)
    }
}
