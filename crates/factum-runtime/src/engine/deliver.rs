//! One delivery of a batch to what it is for: a message, a timer, an input.

use factum_core::{
    envelope::Kind,
    error::{CommitError, HandlerError, StoreError},
    letter::{Key, Letter, LetterId, Standing, Subject},
};

use super::{
    act::said,
    batch::Delivery,
    decide::Unmet,
    failure::{About, Fault, Turn},
    letters,
    run::Run,
    submit::{Pending, Sent},
};
use crate::{
    inbox::{ExecuteError, GivenUp, Input, Receipt},
    outward::OpenCall,
    timers::{Due, Timers},
};

impl Run<'_> {
    /// Runs a delivery. One with a verdict is not run: it fails for that reason.
    pub(super) fn deliver(
        &mut self,
        delivery: Delivery,
        verdict: Option<&str>,
        pending: &mut Vec<Pending>,
    ) -> Result<(), StoreError> {
        match (delivery, verdict) {
            // It has parted within this batch, and reads the message at a place of its own.
            (Delivery::Log { consumer, .. }, _) if !self.work.consumers.is_joined(consumer) => Ok(()),
            (Delivery::Log { frame, index, consumer }, None) => self.log(consumer, &frame.messages[index]),
            (Delivery::Log { frame, index, consumer }, Some(reason)) => {
                let stored = &frame.messages[index];
                let subject = Subject::Message(stored.position);
                self.condemned(&About { id: consumer, subject, stored, due: None, turn: Turn::First }, reason)
            }
            (Delivery::Timer(due), None) => self.timer(&due),
            (Delivery::Timer(due), Some(reason)) => self.condemned_timer(&due, reason),
            (Delivery::Input(input), verdict) => self.input(input, verdict, pending),
        }
    }

    /// A delivery that is not to be run, for this reason.
    pub(super) fn condemned(&mut self, about: &About<'_>, reason: &str) -> Result<(), StoreError> {
        let key = Key::Ordered(self.key(about.id, about.stored));
        let is_event = about.stored.envelope().kind == Kind::Event;
        let folds = is_event && super::folds::folding(self.registry, about.id).is_some();
        self.letter(about, key, &HandlerError::Failed(reason.to_owned()), folds)?;
        Ok(())
    }

    fn condemned_timer(&mut self, due: &Due, reason: &str) -> Result<(), StoreError> {
        let Some((id, stored, _)) = self.due_command(due)? else { return Ok(()) };
        let subject = Subject::Timer(due.name.to_string());
        self.condemned(&About { id, subject, stored: &stored, due: Some(due.at), turn: Turn::First }, reason)?;
        self.work.timers.remove(&due.name);
        self.stage.cell(Timers::cell(&due.name), None);
        Ok(())
    }

    fn input(&mut self, input: Input, verdict: Option<&str>, pending: &mut Vec<Pending>) -> Result<(), StoreError> {
        match input {
            Input::Commands(requests, reply) => {
                let outcome = self.outside(verdict, |run| run.requests(&requests));
                let store = store_error(&outcome);
                pending.push(Pending::Sent { sent: Sent::Commands(requests), reply, outcome });
                store.map_or(Ok(()), Err)
            }
            Input::Import(imports, reply) => {
                let outcome = self.outside(verdict, |run| run.imports(&imports));
                let store = store_error(&outcome);
                pending.push(Pending::Sent { sent: Sent::Import(imports), reply, outcome });
                store.map_or(Ok(()), Err)
            }
            Input::Opening(request) => {
                let outcome = self.outside(verdict, |run| run.requests(std::slice::from_ref(&*request)));
                let store = store_error(&outcome);
                if let Err(error) = outcome {
                    tracing::error!(%error, "the program's schedules could not be listed: they run as they were");
                }
                pending.push(Pending::Kept(Input::Opening(request)));
                store.map_or(Ok(()), Err)
            }
            Input::Answer(answered) => {
                // Nobody would send it again if the commit failed.
                pending.push(Pending::Kept(Input::Answer(answered.clone())));
                match verdict {
                    None => self.answered(&answered),
                    Some(reason) => self.condemned_answer(&answered, reason),
                }
            }
            Input::Attempted { call, value } => {
                if self.work.calls.contains(&call.name) {
                    pending.push(Pending::Kept(Input::Attempted { call: call.clone(), value: value.clone() }));
                    self.stage.cell(call, Some(value));
                }
                Ok(())
            }
            Input::GivenUp(given_up) => {
                pending.push(Pending::Kept(Input::GivenUp(given_up.clone())));
                self.given_up(&given_up)
            }
            Input::Letter(letter, reply) => {
                let (cell, value) = letters::cell(&letter)?;
                self.work.letters.put(&letter);
                self.stage.cell(cell, value);
                pending.push(Pending::Kept(Input::Letter(letter, reply)));
                Ok(())
            }
            Input::Rebuilt(consumer, reply) => {
                self.end_letters(&consumer);
                pending.push(Pending::Kept(Input::Rebuilt(consumer, reply)));
                Ok(())
            }
            Input::Settle(settle, reply) => {
                if verdict.is_some() {
                    // Whoever waits hears that it came to nothing.
                    return Ok(());
                }
                // Nobody would settle it again while it is here.
                pending.push(Pending::Kept(Input::Settle(settle.clone(), reply)));
                self.settle(&settle)
            }
            Input::Between(arrived, reply) => {
                // Whoever waits hears that it came to nothing.
                let outcome = self.outside(verdict, |run| run.arrived(&arrived));
                let store = store_error(&outcome);
                match outcome {
                    Ok(_) => pending.push(Pending::Kept(Input::Between(arrived, reply))),
                    Err(error) => {
                        tracing::error!(%error, cell = %arrived.cell.0, "what came from other units was not taken in")
                    }
                }
                store.map_or(Ok(()), Err)
            }
            Input::Act(act) => {
                let outcome = match verdict {
                    Some(reason) => Ok(Err(crate::acts::ActError::NotNow(reason.to_owned()))),
                    None => self.act(&act.what, &act.by),
                };
                let (outcome, store) = match outcome {
                    Ok(outcome) => (outcome, Ok(())),
                    Err(error) => (Err(error.clone().into()), Err(error)),
                };
                pending.push(Pending::Act { reply: act.reply, outcome });
                store
            }
            // It was taken out when it was taken.
            Input::Rest(_) => Ok(()),
        }
    }

    /// Commands or events from outside, together or not at all.
    pub(super) fn outside(
        &mut self,
        verdict: Option<&str>,
        run: impl FnOnce(&mut Self) -> Result<Vec<Receipt>, Unmet>,
    ) -> Result<Vec<Receipt>, ExecuteError> {
        if let Some(reason) = verdict {
            return Err(HandlerError::Failed(reason.to_owned()).into());
        }
        let outcome = run(self).and_then(|receipts| {
            self.join()?;
            Ok(receipts)
        });
        outcome.map_err(|unmet| {
            self.forget();
            match unmet {
                Unmet::Told(error) => error,
                Unmet::Fault(Fault::Handler(error)) => error.into(),
                Unmet::Fault(Fault::Stream(stream, error)) => {
                    let problem = format!("the state of {stream} cannot be folded: {error}");
                    HandlerError::Payload(problem).into()
                }
                Unmet::Fault(fault @ Fault::Version(_)) => HandlerError::Failed(said(&fault)).into(),
                Unmet::Fault(Fault::Held(key)) => HandlerError::Failed(format!("{key} is held")).into(),
                Unmet::Fault(Fault::Store(error)) => CommitError::Store(error).into(),
            }
        })
    }

    /// A call that has neither an answer nor a last word: its letter is of the call itself.
    fn given_up(&mut self, given_up: &GivenUp) -> Result<(), StoreError> {
        let name = &given_up.call.name;
        if !self.work.calls.contains(name) {
            return Ok(());
        }
        let envelope = given_up.stored.envelope();
        let call = OpenCall::read(&given_up.call, &given_up.value)?;
        let mut letter = Letter {
            id: LetterId::new(envelope.type_name.to_string(), Subject::Answer(name.clone())),
            standing: Standing::Open,
            key: Key::Ordered(envelope.partition_key.to_string()),
            type_name: envelope.type_name.to_string(),
            message_id: envelope.id.to_string(),
            correlation_id: envelope.correlation_id.to_string(),
            failures: Vec::new(),
            failure_count: call.attempts,
            changed_at: self.work.reader.head(),
            retry: None,
            unfolded: false,
            kept: None,
        };
        let at = self.work.clock.stamp(envelope.timestamp);
        letter.failed(at, &call.reason.unwrap_or_default(), &self.work.program);
        let (cell, value) = letters::cell(&letter)?;
        self.stage.cell(cell, value);
        self.stage.cell(given_up.call.clone(), Some(given_up.value.clone()));
        self.work.letters.put(&letter);
        self.work.calls.remove(name);
        Ok(())
    }

    /// The letters of a view have ended, because its rows are built anew.
    fn end_letters(&mut self, consumer: &str) {
        for id in self.work.letters.ids(consumer) {
            self.work.letters.remove(&id);
            self.stage.cell(id.cell(), None);
        }
    }
}

/// What the store said, if it was the store.
fn store_error(outcome: &Result<Vec<Receipt>, ExecuteError>) -> Option<StoreError> {
    match outcome {
        Err(ExecuteError::Commit(CommitError::Store(error))) => Some(error.clone()),
        _ => None,
    }
}
