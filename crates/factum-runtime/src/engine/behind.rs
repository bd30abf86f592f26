//! Consumers behind the engine: each reads its own part of the log, a share of each step, and joins when it is there.

use factum_core::{error::StoreError, ports::Scan, stream::Position};

use super::{batch::is_for, run::Run};
use crate::registry::{ConsumerId, Handler};

/// Bytes that one of them reads in a step.
const SHARE_BYTES: usize = 1 << 20;

impl Run<'_> {
    /// Lets every consumer that is behind read its share, up to where the engine will stand; says whether there was one.
    pub(super) fn catch_up(&mut self, engine: Position) -> Result<bool, StoreError> {
        let behind: Vec<(ConsumerId, Position)> = self
            .work
            .consumers
            .all_apart()
            .filter(|(_, apart)| apart.stopped.is_none())
            .map(|(id, apart)| (id, apart.cursor))
            .collect();
        for (id, after) in &behind {
            if self.registry.group(*id).is_some() {
                // It reads by itself.
                self.work.consumers.move_to(self.registry, *id, engine, engine);
                continue;
            }
            self.share(*id, *after, engine)?;
        }
        Ok(!behind.is_empty())
    }

    fn share(&mut self, id: ConsumerId, after: Position, until: Position) -> Result<(), StoreError> {
        let wanted = |name: &str| self.registry.reads(id, name);
        let types: Option<&dyn Fn(&str) -> bool> = match self.registry.consumer(id).handler {
            // A rejection bears the name of the command that it answers.
            Handler::Saga(_) => None,
            Handler::Folding(at) if self.registry.service(id).foldings[at].hears_rejections() => None,
            _ => Some(&wanted),
        };
        let scanned = self.work.reader.scan(&Scan { after, until, bytes: SHARE_BYTES, types })?;
        let mut cursor = if scanned.through <= after { until } else { scanned.through };
        let mut left = self.work.limits.share;
        for stored in scanned.messages.iter().filter(|stored| is_for(self.registry, stored, id)) {
            if left == 0 || self.is_full() {
                cursor = Position(stored.position.0 - 1);
                break;
            }
            left -= 1;
            self.log(id, stored)?;
            if self.work.consumers.is_stopped(id) {
                return Ok(());
            }
        }
        self.work.consumers.move_to(self.registry, id, cursor, until);
        if self.work.consumers.is_joined(id) {
            // What waited for it may be taken now.
            self.work.look_again();
        }
        Ok(())
    }
}
