//! Several versions of one saga, side by side: each instance is run by the table that started it, or that it was moved to.

use std::any::Any;

use super::{
    AnySaga, Input, Own, SagaProblem, Standing, Transition,
    acts::{Act, What},
    record::{COMPENSATED, COMPLETED, MOVED, STARTED, read},
};
use crate::{envelope::Stored, error::HandlerError, id::MessageId, payload::TypeInfo, stream::StreamId};

/// See the module. Newest first, at least one.
pub struct Versions(Vec<Box<dyn AnySaga>>);

/// An instance, pinned to its version.
#[derive(Default)]
struct Pinned {
    /// Nothing before it has started.
    version: Option<u32>,
    ended: bool,
    /// Nothing if this program has not that version.
    state: Option<Box<dyn Any + Send>>,
}

impl Versions {
    /// The first version that is declared.
    pub fn of(saga: Box<dyn AnySaga>) -> Self {
        Self(vec![saga])
    }

    /// One more version.
    pub fn add(&mut self, saga: Box<dyn AnySaga>) {
        let at = self.0.iter().position(|known| known.version() < saga.version()).unwrap_or(self.0.len());
        self.0.insert(at, saga);
    }

    /// All of them, newest first.
    pub fn all(&self) -> &[Box<dyn AnySaga>] {
        &self.0
    }

    /// The one that starts new instances.
    pub fn newest(&self) -> &dyn AnySaga {
        &*self.0[0]
    }

    /// The table of a version.
    pub fn version(&self, version: u32) -> Option<&dyn AnySaga> {
        self.0.iter().find(|saga| saga.version() == version).map(|saga| &**saga)
    }

    /// Its name, which is its streams' category.
    pub fn name(&self) -> &'static str {
        self.newest().name()
    }

    /// Event types that any version reads.
    pub fn types(&self) -> Vec<&'static str> {
        let mut types: Vec<&str> = self.0.iter().flat_map(|saga| saga.types()).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    /// The types of others that any version reads and sends, as it declares them.
    pub fn declared(&self) -> Vec<TypeInfo> {
        self.0.iter().flat_map(|saga| saga.uses()).map(|of_others| of_others.info).collect()
    }

    /// Event types that it makes itself.
    pub fn own_types(&self) -> Vec<String> {
        self.newest().own_types()
    }

    /// The command type by which a limit comes back.
    pub fn expire_type(&self) -> String {
        self.newest().expire_type()
    }

    /// The command type by which the answer of a call comes back.
    pub fn answer_type(&self) -> String {
        self.newest().answer_type()
    }

    /// Notes the message of a call that an instance has made.
    ///
    /// # Errors
    /// [`HandlerError`] if the state is of another saga.
    pub fn asked(&self, state: &mut dyn Any, name: &str, id: &MessageId) -> Result<(), HandlerError> {
        let pinned = pinned(state)?;
        match (pinned.version.and_then(|version| self.version(version)), &mut pinned.state) {
            (Some(table), Some(state)) => table.asked(&mut **state, name, id),
            _ => Ok(()),
        }
    }

    /// Checks the tables, and that they go together.
    ///
    /// # Errors
    /// [`SagaProblem`]: a sentence.
    pub fn check(&self) -> Result<(), SagaProblem> {
        let saga = self.name();
        let problem = |problem: String| Err(SagaProblem { saga, problem });
        for (at, table) in self.0.iter().enumerate() {
            table.check()?;
            let version = table.version();
            if self.0[..at].iter().any(|other| other.version() == version) {
                return problem(format!(
                    "there are two tables of version {version}: raise the number of the newer one"
                ));
            }
            if table.key() != self.newest().key() {
                let (one, other) = (table.key(), self.newest().key());
                return problem(format!(
                    "version {version} has the key `{one}`, not `{other}`: all versions share one"
                ));
            }
            for (from, names) in table.moves() {
                let Some(old) = self.version(from) else { continue };
                let known: Vec<&str> = old.limits().into_iter().map(|(name, _)| name).collect();
                if let Some(name) = names.into_iter().find(|name| !known.contains(name)) {
                    return problem(format!(
                        "version {version} moves from the step `{name}`, which version {from} has not"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The instance that an event belongs to.
    ///
    /// # Errors
    /// [`HandlerError`] if the event does not carry the key field.
    pub fn instance_of(&self, stored: &Stored) -> Result<StreamId, HandlerError> {
        self.newest().instance_of(stored)
    }

    /// The state of an instance that has not started.
    pub fn blank(&self) -> Box<dyn Any + Send> {
        Box::new(Pinned::default())
    }

    /// Takes one of the instance's own events in; its commands and others change nothing.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit.
    pub fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        let pinned = pinned(state)?;
        if let Some((event, record)) = read(self.name(), stored)? {
            match event.as_str() {
                STARTED | MOVED => {
                    pinned.version = record.version;
                    pinned.state = record.version.and_then(|version| Some(self.version(version)?.blank()));
                }
                COMPLETED | COMPENSATED => pinned.ended = true,
                _ => {}
            }
        }
        match (pinned.version.and_then(|version| self.version(version)), &mut pinned.state) {
            (Some(table), Some(state)) => table.evolve(&mut **state, stored),
            _ => Ok(()),
        }
    }

    /// The version of an open instance that this program has not.
    pub fn lacks(&self, state: &dyn Any) -> Option<u32> {
        let pinned = state.downcast_ref::<Pinned>()?;
        pinned.version.filter(|_| pinned.state.is_none() && !pinned.ended)
    }

    /// Takes an input; the state has the transition's events in it afterwards.
    ///
    /// # Errors
    /// [`HandlerError`]; the state must be dropped then.
    pub fn run(&self, state: &mut dyn Any, input: Input<'_>, own: Own<'_>) -> Result<Transition, HandlerError> {
        let pinned = pinned(state)?;
        if let Input::Act(act @ Act { what: What::Move(to), .. }) = input {
            return self.move_to(pinned, *to, act);
        }
        let Some(version) = pinned.version else {
            let table = self.newest();
            let mut state = table.blank();
            let out = table.run(&mut *state, input, own)?;
            if let Some(standing) = table.standing(&*state) {
                let ended = standing.status > super::Status::Undoing;
                *pinned = Pinned { version: Some(table.version()), ended, state: Some(state) };
            }
            return Ok(out);
        };
        let (Some(table), Some(state)) = (self.version(version), &mut pinned.state) else {
            return match pinned.ended {
                // First appended wins: behind the end nothing counts.
                true => Ok(Transition::default()),
                false => Err(lacking(self.name(), version)),
            };
        };
        let out = table.run(&mut **state, input, own)?;
        pinned.ended = table.standing(&**state).is_some_and(|standing| standing.status > super::Status::Undoing);
        Ok(out)
    }

    fn move_to(&self, pinned: &mut Pinned, to: u32, act: &Act) -> Result<Transition, HandlerError> {
        let name = self.name();
        let (Some(from), false) = (pinned.version, pinned.ended) else {
            return Err(HandlerError::failed("it has ended, or never began: there is nothing to move"));
        };
        if from == to {
            return Err(HandlerError::Failed(format!("it is run by version {to} already")));
        }
        let (Some(old), Some(state)) = (self.version(from), &pinned.state) else { return Err(lacking(name, from)) };
        let Some(new) = self.version(to) else {
            let known: Vec<String> = self.0.iter().map(|table| table.version().to_string()).collect();
            let known = known.join(", ");
            return Err(HandlerError::Failed(format!("this program has no version {to} of {name}: it has {known}")));
        };
        let carried = old.carried(&**state)?.ok_or_else(|| HandlerError::failed("it has not started"))?;
        let (state, out) = new.receive(&carried, act).map_err(|problems| HandlerError::Failed(problems.join("; ")))?;
        *pinned = Pinned { version: Some(to), ended: false, state: Some(state) };
        Ok(out)
    }

    /// About how many bytes the state takes.
    pub fn bytes(&self, state: &dyn Any) -> usize {
        let Some(pinned) = state.downcast_ref::<Pinned>() else { return 0 };
        match (pinned.version.and_then(|version| self.version(version)), &pinned.state) {
            (Some(table), Some(state)) => 64 + table.bytes(&**state),
            _ => 64,
        }
    }

    /// How an instance stands in short: nothing before its start and behind its end, or if the program lacks its version.
    pub fn standing(&self, state: &dyn Any) -> Option<Standing> {
        let pinned = state.downcast_ref::<Pinned>()?;
        let standing = self.version(pinned.version?)?.standing(&**pinned.state.as_ref()?)?;
        (!pinned.ended).then_some(standing)
    }
}

fn lacking(saga: &str, version: u32) -> HandlerError {
    HandlerError::Failed(format!("this program has no version {version} of saga {saga}: start one that has it too"))
}

fn pinned(state: &mut dyn Any) -> Result<&mut Pinned, HandlerError> {
    state.downcast_mut().ok_or_else(|| HandlerError::failed("a saga was given the state of another one"))
}
