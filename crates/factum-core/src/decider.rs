//! Deciders: the aggregate's rules. `decide` answers a command with events or a rejection, `evolve` takes an event in.
//!
//! The pattern is Jérémie Chassaing's *functional event sourcing decider*: state is a fold of the stream's events and
//! nothing else, so a decision can be made again at any time with the same result.

use std::{any::Any, borrow::Cow, fmt::Display, marker::PhantomData};

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    envelope::{Draft, Envelope, Kind, Message, Stored, digest},
    error::HandlerError,
    id::{MessageId, Name},
    payload::{Command, Event, Payload, TypeInfo},
    rejection::{Refused, Rejection},
    snapshot::Codec,
    stream::StreamId,
};

/// What a decision may know besides the state and the command. There is no clock and no randomness in it.
#[derive(Clone, Debug)]
pub struct Context {
    /// When this happens: the input's own time, a timer's due time, or the cause's time.
    pub now: Timestamp,
    /// The id of the message that is being handled.
    pub message_id: MessageId,
    /// The business transaction.
    pub correlation_id: MessageId,
    /// The service that handles it.
    pub service: Name,
}

/// An aggregate. Pure: no clock, no database, no async.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no decider",
    label = "an aggregate with its rules is expected here",
    note = "implement `Decider` for it: `address`, `decide` and `evolve`; its state must be `Default` and `Send`"
)]
pub trait Decider: Default + Send + 'static {
    /// The category of its streams; lower case, no hyphen.
    const CATEGORY: &'static str;
    /// The aggregate's id; its text is the stream's key.
    type Id: Display + Send;
    /// What can be asked.
    type Command: Command;
    /// What can happen.
    type Event: Event;
    /// Why it can be refused.
    type Rejection: Rejection;

    /// Which aggregate a command addresses.
    fn address(command: &Self::Command, envelope: &Envelope) -> Self::Id;

    /// Answers a command: the events that follow from it (none if it changes nothing), or why not.
    ///
    /// # Errors
    /// The rejection, which is stored and answered.
    fn decide(
        &self,
        id: &Self::Id,
        command: Self::Command,
        context: &Context,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Takes an event in. It has happened; it cannot be refused.
    fn evolve(&mut self, event: &Self::Event);

    /// Takes an event in, and when it happened: for a state that forgets what is long over. It is what is called; by
    /// default it calls [`evolve`](Decider::evolve). Times may go back, where recorded data comes late.
    fn evolve_at(&mut self, event: &Self::Event, _at: Timestamp) {
        self.evolve(event);
    }

    /// What a command is about, where one aggregate serves many: for a warehouse, its article. A command from outside
    /// that is sent again under its key gets the first answer as long as it is not older than 24 hours and among the last
    /// 1,024 of its aggregate, *or among the last 64 with this key*; so that one busy client does not make the aggregate
    /// forget what another has sent. By default a command has none.
    ///
    /// Only commands from outside that bear a key are asked. What it says is stored with what follows, so that it may
    /// change from one version of the program to the next.
    fn repeat_key(_command: &Self::Command) -> Option<Cow<'_, str>> {
        None
    }

    /// About how many bytes of memory the state takes, for the cache's bound. States that own collections should count
    /// them.
    fn bytes(&self) -> usize {
        size_of::<Self>() + 64
    }
}

/// A decoded command with the stream it addresses.
pub struct Addressed {
    /// The stream.
    pub stream: StreamId,
    request: Box<dyn Any + Send>,
}

impl Addressed {
    /// A command that was read into this.
    pub(crate) fn new(stream: StreamId, request: impl Any + Send) -> Self {
        Self { stream, request: Box::new(request) }
    }

    /// What it was read into.
    pub(crate) fn request<T: Any>(self) -> Result<T, HandlerError> {
        self.request.downcast::<T>().map(|request| *request).map_err(|_| mixed_up())
    }
}

/// What a decider answered.
#[derive(Debug)]
pub enum Decision {
    /// These events follow.
    Accepted(Vec<Draft>),
    /// No.
    Refused(Refused),
}

/// A decider without its types, as the engine holds it.
pub trait AnyDecider: Send + Sync {
    /// The category of its streams.
    fn category(&self) -> &'static str;
    /// Commands it answers.
    fn commands(&self) -> Vec<TypeInfo>;
    /// Events it makes.
    fn events(&self) -> Vec<TypeInfo>;
    /// Reads a command and finds the stream it addresses.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit or the address is not a valid stream key.
    fn address(&self, message: &Message) -> Result<Addressed, HandlerError>;
    /// A plain digest of what a command is about: [`Decider::repeat_key`]. It tells too much to be stored.
    fn repeat_key(&self, command: &Addressed) -> Option<u64>;
    /// The state of a stream without events.
    fn blank(&self) -> Box<dyn Any + Send>;
    /// Decides, and takes the events that follow into the state.
    ///
    /// # Errors
    /// [`HandlerError`] if an event cannot be encoded. The state must be dropped then.
    fn decide(&self, state: &mut dyn Any, command: Addressed, context: &Context) -> Result<Decision, HandlerError>;
    /// Takes a stored event into the state. Messages of other types leave it unchanged.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit.
    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError>;
    /// Whether a stored event can be read; messages of other types can.
    ///
    /// # Errors
    /// [`HandlerError`] if the data does not fit.
    fn reads(&self, stored: &Stored) -> Result<(), HandlerError>;
    /// Whether its streams may hold events of types that the program does not know any more, and it reads them all the same.
    fn reads_any(&self) -> bool {
        false
    }
    /// About how many bytes the state takes.
    fn bytes(&self, state: &dyn Any) -> usize;
    /// How its states are kept in snapshots, if they are.
    fn snapshots(&self) -> Option<Codec>;
}

/// Takes a decider's types away.
pub fn erase<D: Decider>() -> Box<dyn AnyDecider> {
    erased::<D>(None)
}

/// Takes a decider's types away; its states are kept in snapshots of this version.
pub fn erase_with_snapshots<D: Decider + Clone + Serialize + DeserializeOwned>(version: u32) -> Box<dyn AnyDecider> {
    erased::<D>(Some(Codec::of::<D>(version, &D::Event::types())))
}

fn erased<D: Decider>(snapshots: Option<Codec>) -> Box<dyn AnyDecider> {
    let events = D::Event::types().iter().map(|info| info.name).collect();
    Box::new(Typed::<D> { events, snapshots, marker: PhantomData })
}

struct Typed<D> {
    events: Vec<&'static str>,
    snapshots: Option<Codec>,
    marker: PhantomData<fn() -> D>,
}

struct Request<D: Decider> {
    id: D::Id,
    command: D::Command,
}

impl<D: Decider> AnyDecider for Typed<D> {
    fn category(&self) -> &'static str {
        D::CATEGORY
    }

    fn commands(&self) -> Vec<TypeInfo> {
        D::Command::types()
    }

    fn events(&self) -> Vec<TypeInfo> {
        D::Event::types()
    }

    fn address(&self, message: &Message) -> Result<Addressed, HandlerError> {
        let command = D::Command::decode(&message.envelope.type_name, &message.data)?;
        let id = D::address(&command, &message.envelope);
        let stream = StreamId::new(D::CATEGORY, &id.to_string())?;
        Ok(Addressed::new(stream, Request::<D> { id, command }))
    }

    fn repeat_key(&self, command: &Addressed) -> Option<u64> {
        let request = command.request.downcast_ref::<Request<D>>()?;
        D::repeat_key(&request.command).map(|key| digest("", key.as_bytes()))
    }

    fn blank(&self) -> Box<dyn Any + Send> {
        Box::new(D::default())
    }

    fn decide(&self, state: &mut dyn Any, command: Addressed, context: &Context) -> Result<Decision, HandlerError> {
        let state = typed::<D>(state)?;
        let request = command.request::<Request<D>>()?;
        match state.decide(&request.id, request.command, context) {
            Err(rejection) => Ok(Decision::Refused(rejection.into())),
            Ok(events) => {
                let drafts: Result<Vec<Draft>, _> = events.iter().map(Draft::of).collect();
                for event in &events {
                    state.evolve_at(event, context.now);
                }
                Ok(Decision::Accepted(drafts?))
            }
        }
    }

    fn evolve(&self, state: &mut dyn Any, stored: &Stored) -> Result<(), HandlerError> {
        if stored.envelope().kind != Kind::Event || !self.events.contains(&stored.type_name()) {
            return Ok(());
        }
        typed::<D>(state)?.evolve_at(&stored.decode()?, stored.envelope().timestamp);
        Ok(())
    }

    fn reads(&self, stored: &Stored) -> Result<(), HandlerError> {
        if stored.envelope().kind == Kind::Event && self.events.contains(&stored.type_name()) {
            stored.decode::<D::Event>()?;
        }
        Ok(())
    }

    fn bytes(&self, state: &dyn Any) -> usize {
        state.downcast_ref::<D>().map_or(0, D::bytes)
    }

    fn snapshots(&self) -> Option<Codec> {
        self.snapshots
    }
}

fn typed<D: Decider>(state: &mut dyn Any) -> Result<&mut D, HandlerError> {
    state.downcast_mut::<D>().ok_or_else(mixed_up)
}

fn mixed_up() -> HandlerError {
    HandlerError::failed("two deciders share one stream category; give each its own")
}
