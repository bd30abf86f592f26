//! Taking a batch: reads only.

use std::sync::Arc;

use factum_core::{error::StoreError, ports::Scan, stream::Position};

use super::{
    Engine,
    batch::{Delivery, route},
};
use crate::{
    inbox::Input,
    registry::{ConsumerId, Registry},
    tail::{Behind, Frame},
};

impl Engine {
    /// Takes messages, timers and inputs; if batches hold only one of messages and inputs, those whose turn it is, or
    /// else the others.
    pub(super) fn take(
        &mut self,
        registry: &Registry,
        inputs_turn: Option<bool>,
        batch: &mut Vec<Delivery>,
    ) -> Result<Position, StoreError> {
        let mut through = self.consumers.cursor;
        if inputs_turn != Some(true) {
            through = self.take_messages(registry, batch)?;
        }
        for (name, timer) in self.timers.due(self.clock.mark(), self.limits.inputs) {
            batch.push(Delivery::Timer { name, timer });
        }
        if inputs_turn != Some(false) || (batch.is_empty() && through == self.consumers.cursor) {
            self.take_inputs(through, batch);
        }
        if inputs_turn == Some(true) && batch.is_empty() {
            through = self.take_messages(registry, batch)?;
        }
        Ok(through)
    }

    fn take_messages(&mut self, registry: &Registry, batch: &mut Vec<Delivery>) -> Result<Position, StoreError> {
        let most = self.arrange.messages(self.limits.messages);
        let mut through = self.consumers.cursor;
        let mut taken = 0;
        while taken < most {
            let Some(frame) = self.frame(through)? else { break };
            let first = frame.messages.partition_point(|stored| stored.position <= through);
            for index in first..frame.messages.len() {
                if taken == most {
                    break;
                }
                taken += 1;
                let stored = &frame.messages[index];
                through = stored.position;
                for consumer in route(registry, stored, &mut [ConsumerId(0)]) {
                    if self.consumers.takes(*consumer, stored.position) {
                        batch.push(Delivery::Log { frame: frame.clone(), index, consumer: *consumer });
                    }
                }
            }
            if taken < most {
                through = through.max(frame.through);
            }
        }
        Ok(through)
    }

    fn take_inputs(&mut self, through: Position, batch: &mut Vec<Delivery>) {
        let unread = self.tail.head().0.saturating_sub(through.0);
        let mut room = if unread < self.limits.backlog { self.limits.inputs } else { 0 };
        while room > 0 {
            let Some(input) = self.waiting.pop_front().or_else(|| self.inbox.try_recv().ok()) else { break };
            match input {
                Input::Rest(reply) => self.resting.push(reply),
                input => batch.push(Delivery::Input(input)),
            }
            room -= 1;
        }
    }

    /// The messages behind a position: from the ring, or from the store if they have left it.
    fn frame(&self, after: Position) -> Result<Option<Arc<Frame>>, StoreError> {
        match self.tail.after(after) {
            Ok(frame) => Ok(frame),
            Err(Behind) => {
                let scan = Scan { after, until: self.tail.head(), bytes: self.limits.staged_bytes, types: None };
                let scanned = self.reader.scan(&scan)?;
                if scanned.through <= after {
                    return Ok(None);
                }
                Ok(Some(Arc::new(Frame { messages: scanned.messages, through: scanned.through })))
            }
        }
    }
}
