//! What happens to a handler that fails: the guard around user code, the letter, the held key, the stop.
//!
//! | what fails | what follows |
//! |---|---|
//! | `react`, `answer`, `decide`, a saga | a letter, and the consumer's key is held; the rest of the batch goes on |
//! | an event that cannot be decoded for a fold | the same; the state is as it was |
//! | a fold that ran | the state is dropped, and the consumer stops alone in front of the message |
//! | folding an aggregate or an instance | a letter, and the stream is held |
//! | a command from outside | its caller's error |
//! | an instance whose version of its saga the program lacks | no letter; it is held until a program has it, or it is moved |
//! | a handler that says *not yet* | no letter; the key is held until the forerunner or the limit |
//! | the store | nobody's failure: the batch is given up and taken again |

use std::panic::{AssertUnwindSafe, catch_unwind};

use factum_core::{
    cell::{CellKey, CellKind},
    commit::{check_append, check_cell},
    envelope::{Kind, Message, Stored},
    error::{HandlerError, NameError, NotYet, StoreError, panic_text},
    letter::{Kept, Key, Letter, LetterId, Standing, Subject, Why},
    reaction::{OnDead, unplaced},
    stream::{Position, StreamId},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    key::{key_of, on_dead},
    letters,
    run::Run,
    stage::Local,
};
use crate::{
    registry::{ConsumerId, Handler},
    sabotage,
    timers::Timers,
};

/// Why a delivery came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The handler's own failure, or one of what it wanted.
    Handler(HandlerError),
    /// The state of this stream cannot be folded.
    Stream(StreamId, HandlerError),
    /// It must wait behind this held key.
    Held(Key),
    /// The program lacks this version of a saga.
    Version(u32),
    /// The store could not be read.
    Store(StoreError),
}

impl From<HandlerError> for Fault {
    fn from(error: HandlerError) -> Self {
        Self::Handler(error)
    }
}
impl From<NameError> for Fault {
    fn from(error: NameError) -> Self {
        Self::Handler(error.into())
    }
}
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            // What a handler wanted has no stored form.
            StoreError::Unfit(problem) => Self::Handler(HandlerError::Failed(problem)),
            error => Self::Store(error),
        }
    }
}

/// Runs user code; a panic is its failure.
pub(crate) fn guard<T>(handler: impl FnOnce() -> Result<T, HandlerError>) -> Result<T, HandlerError> {
    // States that the handler touched are dropped by the caller, so a half-changed one is never seen.
    catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|panic| Err(HandlerError::Panicked(panic_text(&*panic))))
}

/// What a delivery was about: for its letter, if it fails.
pub(super) struct About<'a> {
    pub(super) id: ConsumerId,
    pub(super) subject: Subject,
    /// The message, in the form that handlers read.
    pub(super) stored: &'a Stored,
    /// A timer's due time.
    pub(super) due: Option<Timestamp>,
    pub(super) turn: Turn,
}

/// Which time it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The first, at its place.
    First,
    /// Once more, as the next of its key that is being released.
    Released,
    /// Once more, as a letter.
    Redriven,
}

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its effects are on the stage.
    Done,
    /// It waits behind this held key.
    Held(Key),
    /// It has become a letter.
    Letter(String),
    /// It said that it is too early; its key is held.
    TooEarly,
}

impl Run<'_> {
    /// Takes a delivery's changes onto the stage, or makes of its failure what must follow.
    pub(super) fn conclude(&mut self, about: &About<'_>, outcome: Result<(), Fault>) -> Result<Ended, StoreError> {
        match outcome.and_then(|()| self.join()) {
            Ok(()) => Ok(Ended::Done),
            Err(fault) => {
                self.forget();
                match fault {
                    Fault::Store(error) => Err(error),
                    Fault::Held(key) => Ok(Ended::Held(key)),
                    Fault::Version(version) => Ok(self.lacks(about, version)),
                    Fault::Handler(HandlerError::NotYet(wait)) => self.too_early(about, wait),
                    Fault::Handler(error) => {
                        let key = self.key(about.id, about.stored);
                        self.letter(about, Key::Ordered(key), &error, false).map(Ended::Letter)
                    }
                    Fault::Stream(stream, error) => {
                        let problem = format!("the state of {stream} cannot be folded: {error}");
                        let error = HandlerError::Failed(problem);
                        self.letter(about, Key::stream(&stream), &error, false).map(Ended::Letter)
                    }
                }
            }
        }
    }

    /// What a consumer orders by. Where that fails, its message fails for the same reason and stands for itself.
    pub(super) fn key(&self, id: ConsumerId, stored: &Stored) -> String {
        key_of(self.registry, id, stored).unwrap_or_else(|_| stored.envelope().partition_key.to_string())
    }

    /// The instance waits for a program that has its version.
    fn lacks(&mut self, about: &About<'_>, version: u32) -> Ended {
        let (id, text) = (about.id, self.key(about.id, about.stored));
        let key = Key::Ordered(text);
        tracing::debug!(saga = self.registry.consumer(id).name, %key, version, "this program lacks the instance's version: it is held");
        let since = self.work.clock.stamp(about.stored.envelope().timestamp);
        self.work.holds.lacks(self.registry, id, &key, version, since);
        self.stage.reserve(self.work.holds.get(id, &key).map_or(0, |held| held.bytes()));
        // It stays where it is among those that wait.
        if about.turn == Turn::Released { Ended::TooEarly } else { Ended::Held(key) }
    }

    fn too_early(&mut self, about: &About<'_>, wait: NotYet) -> Result<Ended, StoreError> {
        let (id, text) = (about.id, self.key(about.id, about.stored));
        let key = Key::Ordered(text.clone());
        let reacts = matches!(self.registry.consumer(id).handler, Handler::Reaction(_) | Handler::Folding(_));
        let Subject::Message(position) = about.subject else {
            let error = HandlerError::failed("only what reacts to an event of the log may say that it is too early");
            return self.letter(about, key, &error, false).map(Ended::Letter);
        };
        if !reacts || about.stored.envelope().kind != Kind::Event {
            let error = HandlerError::failed("only what reacts to an event may say that it is too early");
            return self.letter(about, key, &error, false).map(Ended::Letter);
        }
        if let Some((name, _)) = &wait.forerunner
            && !self.registry.readers(name).contains(&id)
        {
            let consumer = &self.registry.consumer(id).name;
            let problem = format!("{consumer} waits for {name}, which it does not read: it would never come");
            return self.letter(about, key, &HandlerError::Failed(problem), false).map(Ended::Letter);
        }
        let mark = self.work.clock.mark();
        let until = self.work.holds.limit_of(id, &key, position).unwrap_or_else(|| {
            let from = self.work.clock.stamp(about.stored.envelope().timestamp);
            let limit = SignedDuration::try_from(wait.limit).unwrap_or(SignedDuration::MAX);
            from.saturating_add(limit).unwrap_or(Timestamp::MAX)
        });
        if until <= mark {
            let error = HandlerError::Failed(format!("it was too early until its limit: {wait}"));
            return self.letter(about, key, &error, false).map(Ended::Letter);
        }
        let since = self.work.clock.stamp(about.stored.envelope().timestamp);
        tracing::debug!(consumer = self.registry.consumer(id).name, key = text, %wait, "too early: the key is held");
        self.work.holds.wait(self.registry, id, &key, (position, until), wait, since);
        self.stage.reserve(self.work.holds.get(id, &key).map_or(0, |held| held.bytes()));
        Ok(Ended::TooEarly)
    }

    /// Writes a letter and holds its key. Answers the reason.
    pub(super) fn letter(
        &mut self,
        about: &About<'_>,
        key: Key,
        error: &HandlerError,
        unfolded: bool,
    ) -> Result<String, StoreError> {
        let name = self.registry.consumer(about.id).name.clone();
        let (work, envelope) = (&mut *self.work, about.stored.envelope());
        let at = work.clock.stamp(envelope.timestamp);
        let id = LetterId::new(name.clone(), about.subject.clone());
        let mut letter = match work.stored_letter(self.stage, &id)? {
            Some(letter) => letter,
            None => Letter {
                id: id.clone(),
                standing: Standing::Open,
                key: key.clone(),
                type_name: envelope.type_name.to_string(),
                message_id: envelope.id.to_string(),
                correlation_id: envelope.correlation_id.to_string(),
                failures: Vec::new(),
                failure_count: 0,
                changed_at: Position::START,
                retry: None,
                unfolded,
                kept: match about.subject {
                    // What only arrives is no delivery.
                    Subject::Message(_) | Subject::Arrival(_) => None,
                    Subject::Timer(_) | Subject::Answer(_) => {
                        Some(Kept::of(&about.stored.message, about.stored.stream.as_str(), about.due)?)
                    }
                },
            },
        };
        letter.failed(at, &error.to_string(), &work.program);
        letter.changed_at = work.reader.head();
        letter.retry = None;
        if sabotage::is("letter-without-its-cause") {
            letter.failures.clear();
        }
        tracing::error!(
            letter = %id,
            kind = letter.type_name,
            key = %key,
            correlation = letter.correlation_id,
            failures = letter.failure_count,
            reason = letter.reason(),
            "handler failed: a letter waits for a person"
        );
        let (cell, value) = letters::cell(&letter)?;
        self.stage.cell(cell, value);
        work.letters.put(&letter);
        // A letter that was released before has let its key go.
        let holds = about.turn != Turn::Redriven
            || work.holds.get(about.id, &key).is_some_and(|held| held.why == Why::Letter(id.clone()));
        if holds && on_dead(self.registry, about.id) == OnDead::Hold && !sabotage::is("holding-off") {
            work.holds.hold(self.registry, about.id, &key, id, at);
            self.stage.reserve(work.holds.get(about.id, &key).map_or(0, |held| held.bytes()));
        }
        if work.letters.kept(&name) >= work.limits.letters {
            let most = work.limits.letters;
            let problem = format!("it has {most} letters: let it try again when it is mended, and end them");
            let position = self.position(about);
            self.stop(about.id, position, &problem);
        }
        Ok(letter.reason().to_owned())
    }

    /// Where a consumer stands when it has handled this.
    fn position(&self, about: &About<'_>) -> Position {
        match about.subject {
            Subject::Message(position) if about.turn == Turn::First => position,
            _ => self.handled(about.id),
        }
    }

    /// Stops a consumer that has handled everything up to `cursor`; the others go on.
    pub(super) fn stop(&mut self, id: ConsumerId, cursor: Position, reason: &str) {
        let name = &self.registry.consumer(id).name;
        tracing::error!(consumer = name, position = cursor.0 + 1, reason, "a consumer stops; the others go on");
        self.work.consumers.stop(id, cursor, reason);
    }

    /// Drops what the delivery has changed.
    pub(super) fn forget(&mut self) {
        let local = std::mem::take(&mut self.local);
        for stream in &local.touched {
            self.work.states.remove(stream);
        }
    }

    /// Puts a delivery's changes on the stage.
    pub(super) fn join(&mut self) -> Result<(), Fault> {
        self.fits()?;
        let Local { appends, timers, cells, touched: _ } = std::mem::take(&mut self.local);
        // Cells first: a timer that fires deletes its cell, and what it causes may set it again.
        for (key, value) in cells {
            match key.kind {
                CellKind::Call if value.is_some() => _ = self.work.calls.insert(key.name.clone()),
                CellKind::Call => {
                    self.work.calls.remove(&key.name);
                    self.work.answers.remove(&key.name);
                }
                CellKind::Saga => self.work.instances.put(self.registry, &key, value.as_deref())?,
                _ => {}
            }
            self.stage.cell(key, value);
        }
        for (name, timer) in timers {
            match timer {
                Some(timer) => {
                    let value = timer.encode()?;
                    self.stage.cell(Timers::cell(&name), Some(value));
                    self.work.timers.set(name, timer.when);
                }
                None => {
                    if self.work.timers.remove(&name) {
                        self.stage.cell(Timers::cell(&name), None);
                    }
                }
            }
        }
        appends.into_iter().for_each(|append| self.stage.append(append));
        Ok(())
    }

    /// What the rules of the commit would refuse is the handler's failure, not the batch's.
    pub(super) fn fits(&self) -> Result<(), Fault> {
        let local = &self.local;
        let refused = |refusal| HandlerError::failed(refusal);
        let mut bytes = 0;
        for append in &local.appends {
            bytes += check_append(&self.registry.owners, append).map_err(refused)?;
        }
        for (key, value) in &local.cells {
            bytes += check_cell(key, value.as_deref()).map_err(refused)?;
        }
        for (name, timer) in &local.timers {
            let key = CellKey::new(CellKind::Timer, &**name);
            bytes += check_cell(&key, None).map_err(refused)?;
            bytes += timer.as_ref().map_or(0, |timer| timer.command.bytes());
        }
        let limit = self.work.limits.delivery_bytes();
        if bytes > limit {
            let problem = format!("one delivery makes {bytes} bytes of messages; {limit} are allowed");
            return Err(HandlerError::Failed(problem).into());
        }
        Ok(())
    }
}

/// A message that stands in no stream, in the form that handlers read.
pub(super) fn speaking_for(sender: &str, message: Message) -> Result<Stored, HandlerError> {
    Ok(unplaced(StreamId::parse(sender)?, message))
}
