//! What a person does about a letter or a consumer, as a delivery: tried, redriven, discarded, released, planned.

use factum_core::{
    commit::Append,
    envelope::{Draft, Kind, Stored},
    error::{HandlerError, StoreError},
    id::{MessageId, Name, check_id},
    letter::{Held, Key, Letter, LetterId, Retry, Standing, Subject, short},
    stream::{ExpectedVersion, Position, StreamId},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    failure::{About, Ended, Fault, Turn, speaking_for},
    letters,
    origin::Origin,
    run::Run,
    stage::Local,
};
use crate::{
    acts::{ActError, By, Outcome, Preview, Shown, What},
    registry::{ConsumerId, PLATFORM},
    sabotage,
    timers::Timers,
};

/// The longest reason for an act, in bytes.
pub(super) const MAX_WHY_BYTES: usize = 1 << 10;

impl Run<'_> {
    /// Carries out an act; what it changes is on the stage. The outer error is the store's.
    pub(super) fn act(&mut self, what: &What, by: &By) -> Result<Result<Outcome, ActError>, StoreError> {
        if let Err(error) = check_id("name of who acts", &by.who) {
            return Ok(Err(error.into()));
        }
        let id = match what {
            What::TryAgain(consumer) => return self.try_again(consumer, by),
            What::Saga(instance, wanted) => return self.act_on_instance(instance, wanted, by, false),
            What::TrySaga(instance, wanted) => return self.act_on_instance(instance, wanted, by, true),
            What::MakePlan(making) => return self.make_plan(making, by),
            What::Approve(id, hash) => return self.approve(id, hash, by),
            What::CancelPlan(id) => return self.cancel_plan(id, by),
            What::Try(id) | What::Redrive(id) | What::Discard(id) | What::Release(id) | What::Plan(id, _) => id,
        };
        let letter = self.work.stored_letter(self.stage, id)?;
        let Some(letter) = letter.filter(|letter| letter.standing == Standing::Open) else {
            return Ok(Err(ActError::NoLetter(id.clone())));
        };
        match what {
            What::Try(_) => self.try_dry(&letter),
            What::Redrive(_) => self.redrive(letter, by),
            What::Discard(_) => self.discard(&letter, by),
            What::Release(_) => self.let_pass(&letter, by),
            What::Plan(_, retry) => self.plan_retry(letter, retry.clone(), by),
            _ => Ok(Err(ActError::NoLetter(id.clone()))),
        }
    }

    /// Redrives letters whose time has come, or whose program has changed.
    pub(super) fn planned_retries(&mut self) -> Result<bool, StoreError> {
        if !self.work.letters.any_planned() {
            return Ok(false);
        }
        let mark = self.work.clock.mark();
        let due = self.work.letters.due(mark, &self.work.program, self.work.limits.inputs);
        let mut worked = false;
        for id in due {
            if self.is_full() {
                break;
            }
            worked = true;
            let by = By::new(PLATFORM, "planned");
            if let Err(error) = self.act(&What::Redrive(id.clone()), &by)? {
                tracing::warn!(letter = %id, %error, "a planned retry could not be made; it is not planned any more");
                if let Some(letter) = self.work.stored_letter(self.stage, &id)? {
                    self.write_letter(&Letter { retry: None, ..letter })?;
                } else {
                    self.work.letters.remove(&id);
                }
            }
        }
        Ok(worked)
    }

    pub(super) fn try_dry(&mut self, letter: &Letter) -> Result<Result<Outcome, ActError>, StoreError> {
        if let Some(call) = self.given_up_call(letter) {
            return self.try_call(letter, call);
        }
        let (id, stored) = match self.addressed(letter)? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if self.registry.group(id).is_some() {
            return Ok(Ok(self.would_offer(letter)));
        }
        let outcome = self.run_letter(id, letter, &stored).and_then(|()| self.join_dry());
        let effects = shown(&self.local, &self.work.timers);
        self.forget();
        match outcome {
            Ok(()) => Ok(Ok(Outcome::Tried(Preview { effects, failure: None }))),
            Err(Fault::Store(error)) => Err(error),
            Err(fault) => {
                let failure = Some(short(&said(&fault), MAX_WHY_BYTES));
                Ok(Ok(Outcome::Tried(Preview { effects: Vec::new(), failure })))
            }
        }
    }

    /// What joining would refuse, without joining.
    fn join_dry(&self) -> Result<(), Fault> {
        self.fits()
    }

    fn redrive(&mut self, letter: Letter, by: &By) -> Result<Result<Outcome, ActError>, StoreError> {
        if let Some(call) = self.given_up_call(&letter) {
            return self.redrive_call(&letter, call, by);
        }
        let (id, stored) = match self.addressed(&letter)? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if self.registry.group(id).is_some() {
            return self.offer_again(id, &letter, by);
        }
        if letter.unfolded {
            return self.redrive_unfolded(id, &letter, &stored, by);
        }
        let outcome = self.noted(id, &letter.id.subject, |run, verdict| match verdict {
            None => run.run_letter(id, &letter, &stored),
            Some(reason) => Err(HandlerError::Failed(reason).into()),
        });
        let followed = shown(&self.local, &self.work.timers);
        let due = letter.kept.as_ref().and_then(|kept| kept.due);
        let about = About { id, subject: letter.id.subject.clone(), stored: &stored, due, turn: Turn::Redriven };
        match self.conclude(&about, outcome)? {
            Ended::Done => {
                if !sabotage::is("redrive-acts-twice") {
                    self.end(&letter, Some(id));
                }
                self.note(&letter, "redriven", by, json!({ "outcome": "done" }))?;
                Ok(Ok(Outcome::Done { followed }))
            }
            Ended::Letter(reason) => {
                self.note(&letter, "redriven", by, json!({ "outcome": "failed", "reason": reason }))?;
                Ok(Ok(Outcome::FailedAgain { reason }))
            }
            Ended::TooEarly => {
                self.remove(&letter.id);
                self.note(&letter, "redriven", by, json!({ "outcome": "too early" }))?;
                Ok(Ok(Outcome::Done { followed: Vec::new() }))
            }
            Ended::Held(key) => {
                let problem = format!("its command goes to {key}, which is held itself: end the letter there first");
                Ok(Err(ActError::NotNow(problem)))
            }
        }
    }

    /// The message was left out of the state: if it can be read today, the state is made anew with it.
    fn redrive_unfolded(
        &mut self,
        id: ConsumerId,
        letter: &Letter,
        stored: &Stored,
        by: &By,
    ) -> Result<Result<Outcome, ActError>, StoreError> {
        let Some(folding) = super::folds::folding(self.registry, id) else {
            return Ok(Err(ActError::NotNow("its consumer has no state any more: discard the letter".to_owned())));
        };
        let mut touched = false;
        let tried = self.noted(id, &letter.id.subject, |_, verdict| match verdict {
            None => super::guard(|| {
                let mut blank = folding.blank();
                folding.fold(&mut *blank, stored, &mut touched)
            }),
            Some(reason) => Err(HandlerError::Failed(reason)),
        });
        if let Err(error) = tried
            && !touched
        {
            let about = About { id, subject: letter.id.subject.clone(), stored, due: None, turn: Turn::Redriven };
            let reason = self.letter(&about, letter.key.clone(), &error, true)?;
            self.note(letter, "redriven", by, json!({ "outcome": "failed", "reason": reason }))?;
            return Ok(Ok(Outcome::FailedAgain { reason }));
        }
        self.remove(&letter.id);
        // It reacts to the message when its state is there.
        if let Subject::Message(position) = letter.id.subject
            && folding.reacts_to(stored.type_name())
        {
            let since = self.work.clock.stamp(stored.envelope().timestamp);
            self.work.holds.hold(self.registry, id, &letter.key, letter.id.clone(), since);
            self.work.holds.push_front(id, &letter.key, position);
        }
        self.free_behind(letter, id);
        self.renew(id, folding);
        self.note(letter, "redriven", by, json!({ "outcome": "its state is made anew" }))?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    fn discard(&mut self, letter: &Letter, by: &By) -> Result<Result<Outcome, ActError>, StoreError> {
        let id = self.registry.named(&letter.id.consumer);
        match letter.unfolded {
            // Whenever the state is rebuilt it is left out again, and is no news then.
            true => {
                self.write_letter(&Letter { standing: Standing::LeftOut, retry: None, ..letter.clone() })?;
                id.into_iter().for_each(|id| self.free_behind(letter, id));
            }
            false => self.end(letter, id),
        }
        if id.is_none() {
            self.free_behind_unknown(letter)?;
        }
        self.note(letter, "discarded", by, json!({ "reason": letter.reason() }))?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    fn let_pass(&mut self, letter: &Letter, by: &By) -> Result<Result<Outcome, ActError>, StoreError> {
        let Some(id) = self.registry.named(&letter.id.consumer) else {
            return Ok(Err(ActError::NoConsumer(letter.id.consumer.clone())));
        };
        self.free_behind(letter, id);
        self.note(letter, "released", by, json!({}))?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    fn plan_retry(
        &mut self,
        letter: Letter,
        retry: Option<Retry>,
        by: &By,
    ) -> Result<Result<Outcome, ActError>, StoreError> {
        let planned = match &retry {
            None => json!({ "retry": null }),
            Some(Retry::At(at)) => json!({ "retry": at }),
            Some(Retry::OtherThan(program)) => json!({ "retryByOtherThan": program }),
        };
        self.note(&letter, "retry_planned", by, planned)?;
        self.write_letter(&Letter { retry, ..letter })?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    fn try_again(&mut self, name: &str, by: &By) -> Result<Result<Outcome, ActError>, StoreError> {
        if name.starts_with("view:") {
            // The views look by themselves; here it is written down.
            let data = json!({ "consumer": name, "by": by.who, "why": by.why });
            self.record("consumer", name, "consumer.tried_again", &data)?;
            return Ok(Ok(Outcome::Done { followed: Vec::new() }));
        }
        let Some(id) = self.registry.named(name) else { return Ok(Err(ActError::NoConsumer(name.to_owned()))) };
        if !self.work.consumers.is_stopped(id) {
            return Ok(Err(ActError::NotNow(format!("{name} has not stopped: there is nothing to try again"))));
        }
        let stands = self.work.consumers.reached(id);
        match super::folds::folding(self.registry, id) {
            Some(folding) => self.renew(id, folding),
            None => self.work.consumers.go_on(id, stands, Position::START),
        }
        self.work.look_again();
        let data = json!({ "consumer": name, "position": stands, "by": by.who, "why": by.why });
        self.record("consumer", name, "consumer.tried_again", &data)?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    /// Makes a folding's state anew from the log, aside; it acts again when it has come to where it stood.
    fn renew(&mut self, id: ConsumerId, folding: &dyn factum_core::reaction::AnyFolding) {
        let acted = self.work.consumers.apart(id).map_or(Position::START, |apart| apart.acted);
        let acted = self.handled(id).max(acted);
        self.work.folds.states.remove(&id);
        self.work.shelf.remove(&super::snapshots::fold_name(&self.registry.consumer(id).name));
        match super::guard(|| Ok(folding.blank())) {
            Ok(blank) => {
                self.work.folds.states.insert(id, blank);
                self.work.folds.stands(id, folding, acted);
                self.work.consumers.go_on(id, Position::START, acted);
            }
            Err(error) => self.stop(id, acted, &format!("it has no state to begin with: {error}")),
        }
    }

    /// The letter has ended: what waits behind it follows.
    fn end(&mut self, letter: &Letter, id: Option<ConsumerId>) {
        self.remove(&letter.id);
        if let Some(id) = id {
            self.free_behind(letter, id);
        }
    }

    fn free_behind(&mut self, letter: &Letter, id: ConsumerId) {
        let behind = |key: &Key| {
            let held = self.work.holds.get(id, key);
            held.is_some_and(|held| held.is_behind(&letter.id))
        };
        if behind(&letter.key) {
            self.work.holds.release(id, &letter.key);
            self.stage.reserve(self.work.holds.get(id, &letter.key).map_or(0, |held| held.bytes()));
        }
    }

    /// No service of this program has the consumer: what waits follows when one has it again.
    fn free_behind_unknown(&mut self, letter: &Letter) -> Result<(), StoreError> {
        let key = Held::cell(&letter.id.consumer, &letter.key);
        let Some(cell) = self.work.stored_cell(&key)? else { return Ok(()) };
        if let Some(held) = Held::decode(&cell.value)?.released_from(&letter.id) {
            self.stage.cell(key, Some(held.encode()?));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: &LetterId) {
        self.work.letters.remove(id);
        self.stage.cell(id.cell(), None);
    }

    fn write_letter(&mut self, letter: &Letter) -> Result<(), StoreError> {
        let (cell, value) = letters::cell(letter)?;
        self.stage.cell(cell, value);
        self.work.letters.put(letter);
        Ok(())
    }

    /// The letter's consumer and message.
    fn addressed(&self, letter: &Letter) -> Result<Result<(ConsumerId, Stored), ActError>, StoreError> {
        if letter.id.consumer.starts_with("view:") {
            let problem = "a view's letter is not run again: mend the view and raise its version, so that its rows are built \
                           anew with this event; or discard the letter";
            return Ok(Err(ActError::NotNow(problem.to_owned())));
        }
        if matches!(letter.id.subject, Subject::Arrival(_)) {
            let problem = "what came from others is not run again: mend what keeps it from being taken, send it once more from where \
                           it was made, and discard the letter";
            return Ok(Err(ActError::NotNow(problem.to_owned())));
        }
        let Some(id) = self.registry.named(&letter.id.consumer) else {
            return Ok(Err(ActError::NoConsumer(letter.id.consumer.clone())));
        };
        if self.work.consumers.is_stopped(id) || self.work.consumers.is_renewed(id) {
            let name = &letter.id.consumer;
            let problem = format!("{name} has stopped, or its state is being made anew: let it try again first");
            return Ok(Err(ActError::NotNow(problem)));
        }
        match (&letter.id.subject, &letter.kept) {
            (Subject::Message(position), _) => Ok(Ok((id, self.work.message_at(*position)?))),
            (_, Some(kept)) => {
                let mut message = kept.message()?;
                self.registry.upcasters.raise(&mut message);
                let stored = speaking_for(&kept.sender, message);
                Ok(stored.map(|stored| (id, stored)).map_err(|error| ActError::NotNow(error.to_string())))
            }
            (_, None) => Err(StoreError::Corrupt(format!("letter {} has no message", letter.id))),
        }
    }

    fn run_letter(&mut self, id: ConsumerId, letter: &Letter, stored: &Stored) -> Result<(), Fault> {
        // It stands in front of its key: it does not wait behind it.
        self.now_releasing = Some((id, letter.key.clone()));
        let outcome = match (&letter.id.subject, &letter.kept) {
            (Subject::Message(_), _) => self.handle(id, stored),
            (Subject::Timer(_), kept) => {
                let due = kept.as_ref().and_then(|kept| kept.due).unwrap_or(stored.envelope().timestamp);
                self.expired(id, stored, due)
            }
            (Subject::Answer(_), _) => {
                let envelope = stored.envelope();
                let cause = envelope.causation_id.clone().unwrap_or_else(|| envelope.id.clone());
                let depth = envelope.depth.saturating_sub(1);
                let at = self.work.clock.stamp(envelope.timestamp);
                self.reply(id, stored, &Origin { id: cause, at, depth, ..Origin::of(envelope) })
            }
            (Subject::Arrival(_), _) => Ok(()),
        };
        self.now_releasing = None;
        outcome
    }

    /// Every act is an event with who and why.
    pub(super) fn note(&mut self, letter: &Letter, what: &str, by: &By, more: Value) -> Result<(), StoreError> {
        let mut data = json!({
            "letter": letter.id.to_string(),
            "consumer": letter.id.consumer,
            "messageId": letter.message_id,
            "messageType": letter.type_name,
            "by": by.who,
            "why": short(&by.why, MAX_WHY_BYTES),
        });
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        self.record("letter", &letter.id.consumer, &format!("letter.{what}"), &data)
    }

    /// Appends an event of the platform itself.
    pub(super) fn record(&mut self, category: &str, key: &str, name: &str, data: &Value) -> Result<(), StoreError> {
        let unfit = |error: &dyn std::fmt::Display| StoreError::Unfit(error.to_string());
        let draft = Draft::named(Name::Shared(name.into()), data).map_err(|error| unfit(&error))?;
        let stream = StreamId::new(category, key).map_err(|error| unfit(&error))?;
        let at = self.work.clock.stamp(self.work.clock.mark());
        let id: MessageId = self.work.ids.next(at);
        let origin = Origin {
            id: id.clone(),
            correlation_id: id.clone(),
            at,
            depth: 0,
            user_id: None,
            tenant: None,
            traceparent: None,
            metadata: None,
            digest: None,
            repeat_key: None,
        };
        let source = Name::Static(PLATFORM);
        let message = origin.message(Kind::Event, draft, &source, stream.key(), id);
        let messages = vec![message];
        self.stage.append(Append { stream, expected: ExpectedVersion::Any, writer: source, messages });
        Ok(())
    }
}

/// What a fault says.
pub(super) fn said(fault: &Fault) -> String {
    match fault {
        Fault::Handler(error) => error.to_string(),
        Fault::Stream(stream, error) => format!("the state of {stream} cannot be folded: {error}"),
        Fault::Held(key) => format!("it goes to {key}, which is held"),
        Fault::Version(version) => format!("this program lacks version {version} of its saga"),
        Fault::Store(error) => error.to_string(),
    }
}

/// What a delivery would change, for people.
pub(super) fn shown(local: &Local, timers: &Timers) -> Vec<Shown> {
    let mut shown = Vec::new();
    for append in &local.appends {
        for message in &append.messages {
            shown.push(Shown {
                kind: match message.envelope.kind {
                    Kind::Event => "event",
                    Kind::Command => "command",
                    Kind::Call => "call",
                    Kind::Rejection => "rejection",
                    Kind::Receipt => "receipt",
                },
                type_name: message.envelope.type_name.to_string(),
                place: append.stream.to_string(),
                due: None,
                data: serde_json::from_slice(&message.data).ok(),
            });
        }
    }
    for (name, timer) in &local.timers {
        let due: Option<Timestamp> = timer.as_ref().and_then(|timer| timers.due_of(timer.when));
        shown.push(Shown {
            kind: if timer.is_some() { "timer" } else { "timer cancelled" },
            type_name: timer.as_ref().map_or(String::new(), |timer| timer.command.envelope.type_name.to_string()),
            place: name.to_string(),
            due,
            data: timer.as_ref().and_then(|timer| serde_json::from_slice(&timer.command.data).ok()),
        });
    }
    shown
}
