//! Calls that were given up, and that a person has made once more.

use factum_core::{
    cell::{CellKey, CellKind},
    error::StoreError,
    letter::{Letter, Subject},
};
use serde_json::json;

use super::run::Run;
use crate::{
    acts::{ActError, By, Outcome, Preview, Shown},
    outward::OpenCall,
};

impl Run<'_> {
    /// The call that a letter is about, if it is about one that was given up.
    pub(super) fn given_up_call<'a>(&self, letter: &'a Letter) -> Option<&'a str> {
        let Subject::Answer(id) = &letter.id.subject else { return None };
        self.registry.call(&letter.id.consumer).map(|_| id.as_str())
    }

    /// Shows that it would be made.
    pub(super) fn try_call(&self, letter: &Letter, id: &str) -> Result<Result<Outcome, ActError>, StoreError> {
        let Some(call) = self.call_of(id)? else { return Ok(Err(ActError::NoLetter(letter.id.clone()))) };
        let (type_name, place) = (letter.type_name.clone(), call.stream);
        let effects = vec![Shown { kind: "call", type_name, place, due: None, data: None }];
        Ok(Ok(Outcome::Tried(Preview { effects, failure: None })))
    }

    /// It is open again, under its key and with all its attempts; whether an earlier one was done is asked first. The
    /// outward loop reads of it in the event of this act.
    pub(super) fn redrive_call(
        &mut self,
        letter: &Letter,
        id: &str,
        by: &By,
    ) -> Result<Result<Outcome, ActError>, StoreError> {
        let Some(call) = self.call_of(id)? else { return Ok(Err(ActError::NoLetter(letter.id.clone()))) };
        let since = self.work.clock.stamp(self.work.clock.mark());
        let call = OpenCall { attempts: 0, unknown: true, given_up: false, since: Some(since), ..call };
        let value = call.encode().map_err(|error| StoreError::Unfit(error.to_string()))?;
        self.stage.cell(CellKey::new(CellKind::Call, id), Some(value));
        self.work.calls.insert(id.to_owned());
        self.remove(&letter.id);
        self.note(letter, "redriven", by, json!({ "outcome": "asked again" }))?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    fn call_of(&self, id: &str) -> Result<Option<OpenCall>, StoreError> {
        let key = CellKey::new(CellKind::Call, id);
        self.cell(&key)?.map(|value| OpenCall::read(&key, &value)).transpose()
    }
}
