//! What comes to the engine from outside the log: commands, answers of calls, and questions of the program itself.

use std::sync::Arc;

use factum_core::{
    cell::CellKey,
    envelope::Draft,
    error::{CommitError, HandlerError},
    id::MessageId,
    rejection::Refused,
    stream::{Position, StreamId, StreamVersion},
};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::signal::Signal;

/// Inputs that may wait.
pub const INBOX: usize = 4096;

/// A command from outside.
#[derive(Clone, Debug)]
pub struct Request {
    /// The command.
    pub draft: Draft,
    /// Its id; the same id is decided once. Made if absent.
    pub id: Option<MessageId>,
    /// A digest of what the client really sent; of the command if absent.
    pub digest: Option<u64>,
    /// When it happened; the clock's time if absent.
    pub at: Option<Timestamp>,
    /// The business transaction; a new one if absent.
    pub correlation_id: Option<MessageId>,
    /// Who asks.
    pub user_id: Option<Arc<str>>,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
}

impl Request {
    /// A command with nothing else said.
    pub fn new(draft: Draft) -> Self {
        Self { draft, id: None, digest: None, at: None, correlation_id: None, user_id: None, traceparent: None }
    }
}

/// What an accepted command got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The stream it was decided on.
    pub stream: StreamId,
    /// The stream's version with the last event that followed.
    pub version: StreamVersion,
    /// Everything that followed at once is durable up to here: wait for it to read your own write.
    pub position: Position,
    /// Whether this is the receipt of an earlier attempt with the same id.
    pub repeated: bool,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The business no. Nothing was stored.
    #[error("{}", .0.message)]
    Rejected(Refused),
    /// The id was used before, for another request.
    #[error("the id {0} was used before with another body: use a new one, or send the same body")]
    IdReused(MessageId),
    /// No service answers this command.
    #[error("no service answers the command `{0}`")]
    NoHandler(String),
    /// The inbox is full: try again a little later.
    #[error("too much is waiting: try again in a moment")]
    Busy,
    /// The engine has stopped.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
    /// The handler could not do its work; nothing was stored.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The store could not write it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// The answer to commands.
pub type Reply = oneshot::Sender<Result<Vec<Receipt>, ExecuteError>>;

/// One input.
#[derive(Debug)]
pub enum Input {
    /// Commands that are carried out together in one commit, or not at all.
    Commands(Vec<Request>, Reply),
    /// A call's answer: the command is decided and the call closed in one commit.
    Answer {
        /// The call.
        call: CellKey,
        /// What the decider gets.
        command: Draft,
        /// The message that asked for the call.
        cause: Arc<factum_core::envelope::Message>,
    },
    /// A call was tried in vain.
    Attempted {
        /// The call.
        call: CellKey,
        /// The cell's new value.
        value: Vec<u8>,
    },
    /// Tell when there is nothing more to do: nothing unread, no call open, no timer due.
    Rest(oneshot::Sender<Rested>),
}

/// How things stand at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rested {
    /// The last durable position.
    pub position: Position,
    /// When the next timer is due, if there is one.
    pub next_timer: Option<Timestamp>,
}

/// The sending side of the inbox.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: mpsc::Sender<Input>,
    signal: Arc<Signal>,
}

impl Sender {
    /// An inbox whose engine is woken by `signal`.
    pub fn new(signal: Arc<Signal>) -> (Self, mpsc::Receiver<Input>) {
        let (queue, receiver) = mpsc::channel(INBOX);
        (Self { queue, signal }, receiver)
    }

    /// How many inputs wait.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Puts an input in, or says at once that there is no room.
    ///
    /// # Errors
    /// [`ExecuteError::Busy`] if the inbox is full, [`ExecuteError::Stopped`] if nobody reads it any more.
    pub fn try_send(&self, input: Input) -> Result<(), ExecuteError> {
        self.queue.try_send(input).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ExecuteError::Busy,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        self.signal.ring();
        Ok(())
    }

    /// Puts an input in, waiting for room.
    ///
    /// # Errors
    /// [`ExecuteError::Stopped`] if nobody reads the inbox any more.
    pub async fn send(&self, input: Input) -> Result<(), ExecuteError> {
        self.queue.send(input).await.map_err(|_| stopped())?;
        self.signal.ring();
        Ok(())
    }
}

fn stopped() -> ExecuteError {
    ExecuteError::Stopped("it reads no more commands; see its health".to_owned())
}
