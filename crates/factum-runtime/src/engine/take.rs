//! Taking a batch: from the log, the timers and the inbox. Reads only.

use std::{collections::VecDeque, sync::Arc};

use factum_core::{
    error::StoreError,
    ports::{Reader, Scan},
    stream::Position,
};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    arrange::{Portion, Turn},
    batch::{Batch, Delivery, route},
    consumers::Consumers,
    limits::Limits,
};
use crate::{
    inbox::{Inbox, Input, Outlook, Rested},
    registry::{ConsumerId, Registry},
    tail::{Behind, Frame, Tail},
    timers::Timers,
};

/// Where deliveries come from.
pub(super) struct Intake {
    pub(super) tail: Arc<Tail>,
    pub(super) reader: Arc<dyn Reader>,
    inbox: Inbox,
    /// Inputs that a batch put back; they come first.
    waiting: VecDeque<Input>,
    /// Who waits for a rest.
    resting: Vec<oneshot::Sender<Rested>>,
}

impl Intake {
    pub(super) fn new(tail: Arc<Tail>, reader: Arc<dyn Reader>, inbox: Inbox) -> Self {
        Self { tail, reader, inbox, waiting: VecDeque::new(), resting: Vec::new() }
    }

    /// Takes what the portion says.
    pub(super) fn take(
        &mut self,
        registry: &Registry,
        consumers: &Consumers,
        timers: &Timers,
        mark: Timestamp,
        portion: Portion,
        limits: &Limits,
    ) -> Result<Batch, StoreError> {
        let mut batch = Batch { through: consumers.cursor, shuffled: portion.shuffled, ..Batch::default() };
        if portion.inputs != Turn::Inputs {
            self.messages(registry, consumers, portion, limits, &mut batch)?;
        }
        batch.deliveries.extend(timers.due(mark, limits.inputs).into_iter().map(Delivery::Timer));
        let nothing = |batch: &Batch| batch.deliveries.is_empty() && batch.through == consumers.cursor;
        if portion.inputs != Turn::Messages || nothing(&batch) && portion.messages > 0 {
            self.inputs(&mut batch, limits);
        }
        if portion.inputs == Turn::Inputs && nothing(&batch) {
            self.messages(registry, consumers, portion, limits, &mut batch)?;
        }
        Ok(batch)
    }

    fn messages(
        &self,
        registry: &Registry,
        consumers: &Consumers,
        portion: Portion,
        limits: &Limits,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let (mut taken, mut bytes) = (0, 0);
        let more = |taken: usize, bytes: usize| taken < portion.messages && bytes < limits.batch_bytes;
        while more(taken, bytes) {
            let Some(frame) = self.frame(batch.through, limits)? else { break };
            let first = frame.messages.partition_point(|stored| stored.position <= batch.through);
            for index in first..frame.messages.len() {
                if !more(taken, bytes) {
                    break;
                }
                let stored = &frame.messages[index];
                (taken, bytes) = (taken + 1, bytes + stored.message.bytes());
                batch.through = stored.position;
                let is_next = stored.position.0 == consumers.cursor.0 + 1;
                for consumer in route(registry, stored, &mut [ConsumerId(0)]) {
                    if consumers.is_joined(*consumer) && !(is_next && consumers.had.contains(consumer)) {
                        batch.deliveries.push(Delivery::Log { frame: frame.clone(), index, consumer: *consumer });
                    }
                }
            }
            if more(taken, bytes) {
                batch.through = batch.through.max(frame.through);
            }
        }
        Ok(())
    }

    /// Inputs that wait, while nothing else is taken.
    pub(super) fn more(&mut self, cursor: Position, limits: &Limits) -> Batch {
        let mut batch = Batch { through: cursor, ..Batch::default() };
        self.inputs(&mut batch, limits);
        batch
    }

    /// Whether no input waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.inbox.is_empty()
    }

    fn inputs(&mut self, batch: &mut Batch, limits: &Limits) {
        let unread = self.tail.head().0.saturating_sub(batch.through.0);
        let (mut room, mut bytes) = (if unread < limits.backlog { limits.inputs } else { 0 }, 0);
        while room > 0 && bytes < limits.batch_bytes {
            let waited = self.waiting.pop_front().map(|input| (input.bytes(), input));
            let Some((weight, input)) = waited.or_else(|| self.inbox.take()) else { break };
            bytes += weight;
            room -= 1;
            match input {
                Input::Rest(reply) => self.resting.push(reply),
                input => batch.deliveries.push(Delivery::Input(input)),
            }
        }
        self.inbox.give_back();
    }

    /// Puts inputs back that were taken; they come first the next time, in this order.
    pub(super) fn put_back(&mut self, inputs: impl DoubleEndedIterator<Item = Input>) {
        inputs.rev().for_each(|input| self.waiting.push_front(input));
    }

    /// Takes no more from outside, and answers what waits.
    pub(super) fn close(&mut self) -> Vec<Input> {
        self.inbox.close();
        self.resting.clear();
        let mut rest: Vec<Input> = self.waiting.drain(..).collect();
        rest.extend(std::iter::from_fn(|| self.inbox.take()).map(|(_, input)| input));
        rest
    }

    /// When the outward loop goes on, if it has taken all calls, makes none and has left nothing here; nothing if it is not
    /// at rest.
    pub(super) fn outward_rests(&self, mark: Timestamp) -> Option<Outlook> {
        // Looked at first: an attempt that has ended since has left its answer in the inbox.
        let outlook = self.inbox.outlook();
        let rests = !outlook.under_way
            && outlook.seen == self.tail.head()
            && outlook.next.is_none_or(|next| next > mark)
            && self.inbox.is_empty();
        rests.then_some(outlook)
    }

    /// Whether somebody waits for a rest.
    pub(super) fn is_awaited(&self) -> bool {
        !self.resting.is_empty()
    }

    /// Tells those who wait that there is nothing more to do.
    pub(super) fn rested(&mut self, next: Option<Timestamp>) {
        let rested = Rested { position: self.tail.head(), next };
        for reply in self.resting.drain(..) {
            // Whoever waited may have gone.
            let _ = reply.send(rested);
        }
    }

    /// The messages behind a position: from the ring, or from the store if they have left it.
    fn frame(&self, after: Position, limits: &Limits) -> Result<Option<Arc<Frame>>, StoreError> {
        match self.tail.after(after) {
            Ok(frame) => Ok(frame),
            Err(Behind) => {
                let scan = Scan { after, until: self.tail.head(), bytes: limits.staged_bytes, types: None };
                let scanned = self.reader.scan(&scan)?;
                if scanned.through <= after {
                    return Ok(None);
                }
                Ok(Some(Arc::new(Frame { after, messages: scanned.messages, through: scanned.through })))
            }
        }
    }
}
