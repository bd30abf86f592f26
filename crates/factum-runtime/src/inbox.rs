//! What comes to the engine from outside the log: commands, answers of calls, and questions of the program itself.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use factum_core::{
    cell::CellKey,
    envelope::{Draft, Stored},
    error::{CommitError, HandlerError},
    id::MessageId,
    letter::Letter,
    rejection::Refused,
    stream::{Position, StreamId, StreamVersion},
};
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{acts::Act, between::Arrived, groups::Settle, import::Import, signal::Signal};

/// Inputs that may wait.
pub const INBOX: usize = 4096;
/// Bytes of inputs that may wait.
pub const INBOX_BYTES: usize = 64 << 20;
/// What an input takes beside its data, about.
const UNIT: usize = 256;

/// A command from outside.
#[derive(Clone, Debug)]
pub struct Request {
    /// The command.
    pub draft: Draft,
    /// Its key: it is carried out once, and sent again it gets the first answer, within a window of 24 hours and 1,024
    /// commands of its aggregate ([`Decider::repeat_key`](factum_core::decider::Decider::repeat_key) says more). Of
    /// commands that are sent together each has its own. Without one an id is made, and nothing is remembered.
    pub id: Option<MessageId>,
    /// A plain digest of what the client really sent; of the command if absent. Only a keyed one is stored.
    pub digest: Option<u64>,
    /// When it happened; the clock's time if absent.
    pub at: Option<Timestamp>,
    /// The business transaction; a new one if absent.
    pub correlation_id: Option<MessageId>,
    /// Who asks.
    pub user_id: Option<Arc<str>>,
    /// For whom the service works.
    pub tenant: Option<Arc<str>>,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
    /// A JSON object of the user's own, which the events that it makes carry.
    pub metadata: Option<Arc<str>>,
}

impl Request {
    /// A command with nothing else said.
    pub fn new(draft: Draft) -> Self {
        Self {
            draft,
            id: None,
            digest: None,
            at: None,
            correlation_id: None,
            user_id: None,
            tenant: None,
            traceparent: None,
            metadata: None,
        }
    }
}

/// What an accepted command got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The stream it was decided on.
    pub stream: StreamId,
    /// The stream's version with the last message that followed.
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
    #[error(
        "the id {0} was used before with another body, or beside other commands: use a new one, or send the same again"
    )]
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
    /// Events of others that are taken together in one commit, or not at all.
    Import(Vec<Import>, Reply),
    /// What the program says to itself as it starts: nobody waits for it, and it is said until it is stored.
    Opening(Box<Request>),
    /// A call's answer: the command is decided and the call closed in one commit.
    Answer(Answered),
    /// A call was tried in vain.
    Attempted {
        /// The call.
        call: CellKey,
        /// The cell's new value.
        value: Vec<u8>,
    },
    /// A call has neither an answer nor a last word.
    GivenUp(Box<GivenUp>),
    /// A view has left out an event that it failed on: the letter is to be kept, and then `reply` rung.
    Letter(Box<Letter>, oneshot::Sender<()>),
    /// A view is built anew, so that its letters end; then `reply` is rung.
    Rebuilt(String, oneshot::Sender<()>),
    /// What workers of a pull group have settled: it is to be kept, and then `reply` rung.
    Settle(Box<Settle>, oneshot::Sender<()>),
    /// What came from other units on one lane, or how far the relay is: it is to be taken in, all of it, and then `reply` rung.
    Between(Box<Arrived>, oneshot::Sender<()>),
    /// What a person, or a plan, wants of a letter or a consumer.
    Act(Act),
    /// Tell when there is nothing more to do: nothing unread, no call open, no timer due. On data time a call that waits for
    /// its next attempt is no hindrance: its time comes when the mark is moved.
    Rest(oneshot::Sender<Rested>),
}

/// The answer of a call.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The call.
    pub call: CellKey,
    /// What the decider gets.
    pub command: Draft,
    /// The message that asked for the call.
    pub cause: Arc<Stored>,
}

/// A call that is given up without an answer.
#[derive(Clone, Debug)]
pub struct GivenUp {
    /// The call.
    pub call: CellKey,
    /// The cell's new value, which says why.
    pub value: Vec<u8>,
    /// The message that asked for the call.
    pub stored: Arc<Stored>,
}

impl Input {
    /// Bytes that count against [`INBOX_BYTES`].
    pub fn bytes(&self) -> usize {
        let draft = |draft: &Draft| draft.data.len() + UNIT;
        match self {
            Self::Commands(requests, _) => {
                let metadata = |request: &Request| request.metadata.as_deref().map_or(0, str::len);
                requests.iter().map(|request| draft(&request.draft) + metadata(request)).sum()
            }
            Self::Opening(request) => draft(&request.draft),
            Self::Import(imports, _) => imports.iter().map(|import| import.message.bytes() + UNIT).sum(),
            Self::Answer(answered) => draft(&answered.command) + answered.cause.message.bytes(),
            Self::Attempted { value, .. } => value.len() + UNIT,
            Self::GivenUp(given_up) => given_up.value.len() + UNIT,
            Self::Settle(settle, _) => settle.bytes() + UNIT,
            Self::Between(arrived, _) => arrived.bytes() + UNIT,
            Self::Letter(..) | Self::Rebuilt(..) | Self::Act(_) | Self::Rest(_) => UNIT,
        }
    }
}

/// How things stand at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rested {
    /// The last durable position.
    pub position: Position,
    /// When the next timer is due (those of schedules excepted, which are never over), a letter is tried again, or a key that waits is called once more; on data time also when
    /// a call that failed is made again, or a breaker lets one through.
    pub next: Option<Timestamp>,
}

/// An input that waits, with its share of the room.
#[derive(Debug)]
struct Waiting {
    input: Input,
    bytes: usize,
}

/// How many bytes of inputs wait, and who waits for fewer.
#[derive(Debug, Default)]
struct Room {
    used: AtomicUsize,
    senders: AtomicUsize,
    freed: Notify,
    /// What the outward loop is about.
    outlook: Mutex<Outlook>,
    /// Time was moved by hand.
    moved: Notify,
}

/// What the outward loop is about, where time moves only by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// It has taken all calls up to here.
    pub(crate) seen: Position,
    /// Attempts are under way.
    pub(crate) under_way: bool,
    /// When it goes on by itself.
    pub(crate) next: Option<Timestamp>,
}

impl Room {
    fn outlook(&self) -> MutexGuard<'_, Outlook> {
        // It is replaced whole.
        self.outlook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many bytes, if there are so many.
    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| (used == 0 || used + bytes <= INBOX_BYTES).then_some(used + bytes);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// Gives back the bytes of so many inputs.
    fn give_back(&self, inputs: usize, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        for _ in 0..inputs.min(self.senders.load(Ordering::Acquire)) {
            self.freed.notify_one();
        }
    }
}

/// The sending side of the inbox.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Room>,
    signal: Arc<Signal>,
}

/// The receiving side.
#[derive(Debug)]
pub struct Inbox {
    queue: mpsc::Receiver<Waiting>,
    room: Arc<Room>,
    /// How many inputs were taken whose bytes are not given back yet, and these bytes.
    taken: (usize, usize),
}

impl Inbox {
    /// The next input, if one waits, with its bytes.
    pub fn take(&mut self) -> Option<(usize, Input)> {
        let Waiting { input, bytes } = self.queue.try_recv().ok()?;
        self.taken = (self.taken.0 + 1, self.taken.1 + bytes);
        Some((bytes, input))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What the outward loop is about.
    pub(crate) fn outlook(&self) -> Outlook {
        *self.room.outlook()
    }

    /// Makes room for as many bytes as were taken: once for many inputs, since all senders share the count.
    pub fn give_back(&mut self) {
        let (inputs, bytes) = std::mem::take(&mut self.taken);
        if inputs > 0 {
            self.room.give_back(inputs, bytes);
        }
    }

    /// Takes no more.
    pub fn close(&mut self) {
        self.queue.close();
        self.room.freed.notify_waiters();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close();
    }
}

impl Sender {
    /// An inbox whose engine is woken by `signal`.
    pub fn new(signal: Arc<Signal>) -> (Self, Inbox) {
        let (queue, receiver) = mpsc::channel(INBOX);
        let room = Arc::new(Room::default());
        (Self { queue, room: room.clone(), signal }, Inbox { queue: receiver, room, taken: (0, 0) })
    }

    /// Time was moved by hand: the engine and the outward loop look at it again.
    pub fn time_moved(&self) {
        self.signal.ring();
        self.room.moved.notify_one();
    }

    /// Waits until time was moved by hand.
    pub(crate) async fn moved(&self) {
        self.room.moved.notified().await;
    }

    /// Tells the engine what the outward loop is about.
    pub(crate) fn looks(&self, outlook: Outlook) {
        let before = std::mem::replace(&mut *self.room.outlook(), outlook);
        // Whoever waits for a rest may have waited for this alone.
        if before != outlook && !outlook.under_way {
            self.signal.ring();
        }
    }

    /// How many inputs wait.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// How many bytes of inputs wait, about.
    pub fn waiting_bytes(&self) -> usize {
        self.room.used.load(Ordering::Acquire)
    }

    /// Puts an input in, or says at once that there is no room.
    ///
    /// # Errors
    /// [`ExecuteError::Busy`] if the inbox is full, [`ExecuteError::Stopped`] if nobody reads it any more.
    pub fn try_send(&self, input: Input) -> Result<(), ExecuteError> {
        match self.offer(input)? {
            None => Ok(()),
            Some(_) => Err(ExecuteError::Busy),
        }
    }

    /// Puts an input in if there is room, or gives it back.
    pub(crate) fn offer(&self, input: Input) -> Result<Option<Input>, ExecuteError> {
        let bytes = input.bytes();
        if !self.room.take(bytes) {
            return if self.queue.is_closed() { Err(stopped()) } else { Ok(Some(input)) };
        }
        match self.queue.try_send(Waiting { input, bytes }) {
            Ok(()) => {
                self.signal.ring();
                Ok(None)
            }
            Err(mpsc::error::TrySendError::Full(back)) => {
                self.room.give_back(1, bytes);
                Ok(Some(back.input))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(stopped()),
        }
    }

    /// Puts an input in, waiting for room.
    ///
    /// # Errors
    /// [`ExecuteError::Stopped`] if nobody reads the inbox any more.
    pub async fn send(&self, input: Input) -> Result<(), ExecuteError> {
        // Where there is room nothing is awaited, so that inputs of one task stay in its order (awaiting costs a task some
        // of its turn, and one that has used it up is overtaken).
        let Some(mut input) = self.offer(input)? else { return Ok(()) };
        let _waits = Waits::new(&self.room.senders);
        loop {
            let freed = self.room.freed.notified();
            tokio::pin!(freed);
            // Heard from here on: room that comes between the look and the wait is not slept over.
            freed.as_mut().enable();
            match self.offer(input) {
                Ok(None) => return Ok(()),
                Ok(Some(back)) => input = back,
                Err(error) => return Err(error),
            }
            freed.await;
        }
    }
}

/// Counts a sender as long as it waits, also one that is given up.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(senders: &'a AtomicUsize) -> Self {
        senders.fetch_add(1, Ordering::AcqRel);
        Self(senders)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn stopped() -> ExecuteError {
    ExecuteError::Stopped("it reads no more commands; see its health".to_owned())
}
