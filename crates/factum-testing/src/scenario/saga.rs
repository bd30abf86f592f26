//! Sagas: events that have happened, a reply, a limit that passes or a person, then commands, decisions, calls and limits.
//!
//! ```text
//! saga(fulfilment())
//!     .given((created(), reserved()))
//!     .when(PaymentFailed { … })
//!     .then([ReleaseStock { … }])
//!     .decides([CancelOrder { … }])
//!     .waits("reserve", 30.secs())
//!     .is(Status::Undoing);
//! ```
//!
//! Behind each input the instance is folded again from its own events, so that every scenario also proves that it comes
//! back as it was when the program starts again, with its facts.
#![allow(clippy::panic, reason = "an assertion library: a panic is how a test says what it found")]

use std::{any::Any, collections::BTreeMap, time::Duration};

use factum_core::{
    call::CallTo,
    envelope::{Draft, Kind, Stored},
    id::{MessageId, Name},
    payload::{Command, Event},
    reaction::Effect,
    rejection::{Refused, RejectionKind},
    saga::{Act, AnySaga, Asks, CallAnswer, How, Input, Saga, Status, StepState, Transition, Wanted},
    stream::{Position, StreamId, StreamVersion},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{IntoEvents, NOW, again, draft, message};
use crate::difference::{difference, line};

/// An event of any service, as a saga hears it.
pub struct Said(Draft);

impl<E: Event> From<E> for Said {
    #[track_caller]
    fn from(event: E) -> Self {
        Self(draft(&again(&event)))
    }
}

/// A command to any service, as a saga sends it.
pub struct Sent(Draft);

impl<C: Command> From<C> for Sent {
    #[track_caller]
    fn from(command: C) -> Self {
        Self(draft(&again(&command)))
    }
}

/// An instance of a saga to which nothing has happened yet.
///
/// # Panics
/// With what is wrong with the table, if it is.
#[track_caller]
#[must_use = "say when() and then()"]
pub fn saga<F>(table: Saga<F>) -> Instance
where
    F: Serialize + DeserializeOwned + Default + Clone + Send + 'static,
{
    if let Err(problem) = table.check() {
        panic!("{problem}");
    }
    let saga: Box<dyn AnySaga> = Box::new(table);
    Instance {
        state: saga.blank(),
        saga,
        stream: None,
        messages: Vec::new(),
        limits: BTreeMap::new(),
        open: BTreeMap::new(),
        refuses: BTreeMap::new(),
        last: Last::default(),
    }
}

/// See [`saga`].
pub struct Instance {
    saga: Box<dyn AnySaga>,
    state: Box<dyn Any + Send>,
    /// Known from its first event on.
    stream: Option<StreamId>,
    /// What stands in its stream, but for its commands.
    messages: Vec<Stored>,
    /// The limits that run, by step.
    limits: BTreeMap<String, (Duration, Draft)>,
    /// The calls that are open, by name.
    open: BTreeMap<&'static str, MessageId>,
    /// Commands to the service's own aggregate that it rejects, with the codes.
    refuses: BTreeMap<&'static str, &'static str>,
    last: Last,
}

/// What the last input was, and what it has brought.
#[derive(Default)]
struct Last {
    input: String,
    event: Option<Stored>,
    events: Vec<Draft>,
    sent: Vec<Draft>,
    decided: Vec<Draft>,
    asked: Vec<Asks>,
    withdrawn: Vec<&'static str>,
}

impl Instance {
    /// The service's own aggregate rejects commands of the type `C` from now on.
    #[must_use = "say then()"]
    pub fn refusing<C: Command>(mut self, code: &'static str) -> Self {
        self.refuses.extend(C::types().iter().map(|info| (info.name, code)));
        self
    }

    /// This has happened, one after the other; what followed is not looked at.
    ///
    /// # Panics
    /// If the saga does not read one of them, or fails on it.
    #[track_caller]
    #[must_use = "say then()"]
    pub fn given(mut self, events: impl IntoEvents<Said>) -> Self {
        for event in events.into_events() {
            self = self.when(event);
        }
        self
    }

    /// An event arrives: one that starts it, a reply, or one that ends it.
    ///
    /// # Panics
    /// If the saga does not read it or fails on it, or it is about another instance.
    #[track_caller]
    #[must_use = "say then()"]
    pub fn when(mut self, event: impl Into<Said>) -> Self {
        let Said(event) = event.into();
        let name = event.type_name.to_string();
        let saga = self.saga.name();
        assert!(self.saga.types().contains(&name.as_str()), "saga {saga} does not read {name}: no step knows it");
        let stream = StreamId::new("scenario", "1").unwrap_or_else(|error| panic!("{error}"));
        let stored = stored(stream, Kind::Event, event);
        let instance = self.saga.instance_of(&stored).unwrap_or_else(|error| panic!("{error}"));
        let known = self.stream.get_or_insert_with(|| instance.clone());
        assert!(*known == instance, "{name} is about {instance}, but this scenario is about {known}");
        self.take(&name, Input::Event(&stored));
        self.last.event = Some(stored);
        self
    }

    /// A participant says no to its command of the type `C`.
    ///
    /// # Panics
    /// If the saga fails on it.
    #[track_caller]
    #[must_use = "say then()"]
    pub fn when_rejected<C: Command>(mut self, code: &str) -> Self {
        let refused = rejection(code);
        let name = C::types().first().map_or("", |info| info.name);
        self.take(&format!("the rejection of {name}"), Input::Rejection { command: name, refused: &refused });
        self
    }

    /// The limit of a step, or of its undo, passes.
    ///
    /// # Panics
    /// If no limit of that step runs.
    #[track_caller]
    #[must_use = "say then()"]
    pub fn when_late(mut self, step: &str) -> Self {
        let Some((_, command)) = self.limits.remove(step) else {
            panic!("no limit of step `{step}` runs; those that do: {}", names(self.limits.keys()))
        };
        let expired = stored(self.stream(), Kind::Command, command);
        self.take(&format!("the end of the limit of `{step}`"), Input::Expired(&expired));
        self
    }

    /// A call is done.
    ///
    /// # Panics
    /// If that call is not open, or the saga fails on the answer.
    #[track_caller]
    #[must_use = "say then()"]
    pub fn when_done<R, A: Serialize>(self, call: CallTo<R, A>, answer: &A) -> Self {
        self.answered(call.name(), How::Done, Some(value(answer)), None)
    }

    /// A call is refused, for good.
    ///
    /// # Panics
    /// As [`Instance::when_done`].
    #[track_caller]
    #[must_use = "say then()"]
    pub fn when_refused<R, A: Serialize>(self, call: CallTo<R, A>, answer: &A) -> Self {
        self.answered(call.name(), How::Refused, Some(value(answer)), None)
    }

    /// All attempts of a call are used up: it may have happened.
    ///
    /// # Panics
    /// As [`Instance::when_done`].
    #[track_caller]
    #[must_use = "say then()"]
    pub fn when_given_up<R, A>(self, call: CallTo<R, A>, reason: &str) -> Self {
        self.answered(call.name(), How::GaveUp, None, Some(reason.to_owned()))
    }

    /// A person acts.
    ///
    /// # Panics
    /// If it cannot be done, with the reason that the person is given.
    #[track_caller]
    #[must_use = "say then()"]
    pub fn when_person(mut self, what: Wanted) -> Self {
        let act = Act { what, by: "a person".to_owned(), why: "a scenario".to_owned() };
        self.take(&format!("{:?} by a person", act.what), Input::Act(&act));
        self
    }

    /// It sends these commands, and no others, in this order.
    ///
    /// # Panics
    /// With the difference, if it is not so.
    #[track_caller]
    pub fn then(self, commands: impl IntoEvents<Sent>) -> Self {
        self.same("was not followed by the expected commands", commands, &self.last.sent);
        self
    }

    /// Nothing follows: no command, no decision, no call, no event of its own.
    ///
    /// # Panics
    /// With what does, if it is not so.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        let Last { events, sent, decided, asked, .. } = &self.last;
        let all = [events, sent, decided].into_iter().flatten().chain(asked.iter().map(|asks| &asks.request));
        let list: String = all.map(|draft| format!("\n  {}", line(draft))).collect();
        assert!(list.is_empty(), "expected nothing to follow {}, but there is{list}", self.last.input);
        self
    }

    /// It decides these commands on the service's own aggregate, and no others, in this order; those that are rejected too.
    ///
    /// # Panics
    /// With the difference, if it is not so.
    #[track_caller]
    pub fn decides(self, commands: impl IntoEvents<Sent>) -> Self {
        self.same("was not followed by the expected decisions", commands, &self.last.decided);
        self
    }

    /// It makes this call.
    ///
    /// # Panics
    /// With what it asks, if it is not so.
    #[track_caller]
    pub fn asks<R: Serialize, A>(self, call: CallTo<R, A>, request: &R) -> Self {
        let (name, input) = (call.name(), &self.last.input);
        let Some(asked) = self.last.asked.iter().find(|asks| asks.name == name) else {
            let asked = names(self.last.asked.iter().map(|asks| asks.name));
            panic!("expected the call `{name}` behind {input}; calls that are made: {asked}")
        };
        let expected = Draft::named(Name::Static(name), request).unwrap_or_else(|error| panic!("{error}"));
        if let Some(difference) = difference(&[expected], std::slice::from_ref(&asked.request)) {
            panic!("{input} does not ask what was expected:\n{difference}");
        }
        self
    }

    /// It waits for that call no longer.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn withdraws<R, A>(self, call: CallTo<R, A>) -> Self {
        let (name, input) = (call.name(), &self.last.input);
        assert!(self.last.withdrawn.contains(&name), "expected {input} to withdraw the call `{name}`, and it does not");
        self
    }

    /// A step, or its undo, has so long to be answered.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn waits(self, step: &str, limit: Duration) -> Self {
        match self.limits.get(step) {
            Some((actual, _)) => assert!(*actual == limit, "step `{step}` has {actual:?} to answer, not {limit:?}"),
            None => panic!("step `{step}` has no limit; those that have: {}", names(self.limits.keys())),
        }
        self
    }

    /// No step waits for anything.
    ///
    /// # Panics
    /// With those that do.
    #[track_caller]
    pub fn waits_for_nothing(self) -> Self {
        let limits = &self.limits;
        assert!(limits.is_empty(), "expected that nothing is waited for, but {} is", names(limits.keys()));
        assert!(self.open.is_empty(), "expected that no call is open, but {} is", names(self.open.keys()));
        self
    }

    /// The instance stands so.
    ///
    /// # Panics
    /// If it stands otherwise, with all its steps.
    #[track_caller]
    pub fn is(self, status: Status) -> Self {
        match self.saga.status(&*self.state) {
            Some((actual, steps)) => assert!(actual == status, "it is {actual:?}, not {status:?}: {steps:?}"),
            None => panic!("it has not started: expected {status:?}"),
        }
        self
    }

    /// A step stands so.
    ///
    /// # Panics
    /// If it stands otherwise, or there is no such step.
    #[track_caller]
    pub fn step(self, name: &str, state: StepState) -> Self {
        let steps = self.saga.status(&*self.state).map_or_else(Vec::new, |(_, steps)| steps);
        match steps.iter().find(|(step, _)| *step == name) {
            Some((_, actual)) => assert!(*actual == state, "step `{name}` is {actual:?}, not {state:?}: {steps:?}"),
            None => panic!("there is no step `{name}`, or it has not started; steps: {steps:?}"),
        }
        self
    }

    /// It does not go on without a person, or it does.
    ///
    /// # Panics
    /// If it is not so.
    #[track_caller]
    pub fn needs_person(self, needs: bool) -> Self {
        let needed = self.saga.standing(&*self.state).is_some_and(|standing| standing.needs_person);
        assert!(needed == needs, "behind {} a person is needed: {needed}, expected {needs}", self.last.input);
        self
    }

    /// The same event once more changes nothing: twice is once.
    ///
    /// # Panics
    /// If it is not so, or the last input was no event.
    #[track_caller]
    pub fn again_changes_nothing(mut self) -> Self {
        let Some(event) = self.last.event.take() else { panic!("{} is no event", self.last.input) };
        let name = format!("{} once more", event.type_name());
        self.take(&name, Input::Event(&event));
        self.then_nothing()
    }

    #[track_caller]
    fn answered(mut self, call: &str, how: How, data: Option<String>, reason: Option<String>) -> Self {
        assert!(
            self.open.remove(call).is_some(),
            "the call `{call}` is not open, so that nobody hears an answer; open calls: {}",
            names(self.open.keys())
        );
        let data = data.and_then(|data| serde_json::value::RawValue::from_string(data).ok());
        let answer = CallAnswer { call: call.to_owned(), how, data, reason };
        let type_name = Name::Shared(self.saga.answer_type().into());
        let command = Draft::named(type_name, &answer).unwrap_or_else(|error| panic!("{error}"));
        let told = stored(self.stream(), Kind::Command, command);
        self.take(&format!("{how:?} of the call `{call}`"), Input::Told(&told));
        self
    }

    #[track_caller]
    fn take(&mut self, name: &str, input: Input<'_>) {
        self.last = Last { input: name.to_owned(), ..Last::default() };
        let (refuses, decided) = (&self.refuses, &mut self.last.decided);
        let mut own = |command: Draft| {
            let refused = refuses.get(&*command.type_name).map_or(Ok(()), |code| Err(rejection(code)));
            decided.push(command);
            Ok(refused)
        };
        match self.saga.run(&mut *self.state, input, &mut own) {
            Ok(followed) => self.follow(followed),
            Err(error) => panic!("saga {} failed on {name}: {error}", self.saga.name()),
        }
        self.folds_to_the_same();
    }

    #[track_caller]
    fn follow(&mut self, Transition { events, effects, asks, withdrawn, .. }: Transition) {
        for event in &events {
            self.messages.push(stored(self.stream(), Kind::Event, event.clone()));
        }
        self.last.events = events;
        for effect in effects {
            match effect {
                Effect::Send(command) => self.last.sent.push(command),
                Effect::After { name, delay, command } => _ = self.limits.insert(name, (delay, command)),
                Effect::Cancel(name) => _ = self.limits.remove(&name),
                effect @ (Effect::Emit(..) | Effect::At { .. } | Effect::Call { .. }) => {
                    panic!("a saga has no such effect: {effect:?}")
                }
            }
        }
        let gone = |id: &MessageId| withdrawn.contains(id);
        self.last.withdrawn = self.open.iter().filter(|(_, id)| gone(id)).map(|(name, _)| *name).collect();
        self.open.retain(|_, id| !gone(id));
        for Asks { name, request, .. } in &asks {
            let request = Draft { type_name: Name::Shared(format!("scenario.{name}").into()), ..request.clone() };
            let mut call = stored(self.stream(), Kind::Call, request);
            let id = MessageId::derived(&["scenario", name, &self.messages.len().to_string()]);
            call.message.envelope.id = id.clone();
            let noted = self.saga.asked(&mut *self.state, name, &id);
            noted.unwrap_or_else(|error| panic!("{error}"));
            self.messages.push(call);
            self.open.insert(name, id);
        }
        self.last.asked = asks;
    }

    /// The state folded from the stream is the state in memory.
    #[track_caller]
    fn folds_to_the_same(&self) {
        let mut state = self.saga.blank();
        for stored in &self.messages {
            let folded = self.saga.evolve(&mut *state, stored);
            folded.unwrap_or_else(|error| panic!("{} cannot be folded: {error}", stored.type_name()));
        }
        let shown = |state: &dyn Any| match self.saga.carried(state) {
            Ok(carried) => format!("{carried:#?}"),
            Err(error) => panic!("{error}"),
        };
        let (folded, live) = (shown(&*state), shown(&*self.state));
        assert!(folded == live, "after a restart the instance would be another one:\n{folded}\ninstead of\n{live}");
    }

    #[track_caller]
    fn same(&self, problem: &str, expected: impl IntoEvents<Sent>, actual: &[Draft]) {
        let expected: Vec<Draft> = expected.into_events().into_iter().map(|Sent(command)| command).collect();
        if let Some(difference) = difference(&expected, actual) {
            panic!("{} {problem}:\n{difference}", self.last.input);
        }
    }

    #[track_caller]
    fn stream(&self) -> StreamId {
        let Some(stream) = &self.stream else { panic!("the saga has not started: begin with an event") };
        stream.clone()
    }
}

fn rejection(code: &str) -> Refused {
    Refused { code: code.to_owned(), kind: RejectionKind::Conflict, message: code.to_owned() }
}

#[track_caller]
fn value(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap_or_else(|error| panic!("the answer cannot be written as JSON: {error}"))
}

fn names<N: AsRef<str>>(names: impl Iterator<Item = N>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{}`", name.as_ref())).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn stored(stream: StreamId, kind: Kind, draft: Draft) -> Stored {
    Stored { position: Position(1), stream, version: StreamVersion(1), message: message(draft, kind, NOW) }
}
