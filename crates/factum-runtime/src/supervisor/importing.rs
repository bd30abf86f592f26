//! Events of other systems, taken into the log.

use factum_core::envelope::Incoming;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::{Unit, gone};
use crate::{
    import::{Import, MAX_IMPORT, NotTaken},
    inbox::{ExecuteError, Input, Receipt, Request},
};

/// So far ahead of ours a sender's clock may be.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// Why events of others were not taken: none of those that were sent together.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Some of them may not be, by their places.
    #[error("{}", told(.0))]
    Refused(Vec<(usize, NotTaken)>),
    /// Too many at once.
    #[error("{0} events are too many at once: send {MAX_IMPORT} at most")]
    TooMany(usize),
    /// The engine or the store could not take them.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

fn told(refused: &[(usize, NotTaken)]) -> String {
    let first = refused.first().map_or(String::new(), |(at, why)| format!("event {at} is not taken: {why}"));
    match refused.len() {
        0 | 1 => first,
        more => format!("{first}; and {} more are not", more - 1),
    }
}

impl Unit {
    /// Takes events of other systems into the log, in one commit or not at all. The receipts say where each stands, also
    /// of one that was taken before: it is found by source and id, among the last 1,024 of its stream.
    ///
    /// # Errors
    /// [`ImportError`]; nothing was stored unless the store's outcome is unknown.
    pub async fn import(&self, events: Vec<Incoming>) -> Result<Vec<Receipt>, ImportError> {
        if events.len() > MAX_IMPORT {
            return Err(ImportError::TooMany(events.len()));
        }
        let (mut imports, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        let mark = self.clock.mark();
        // On data time the mark stands where the data is.
        let latest = self.clock.until(mark).map(|_| mark.saturating_add(AHEAD).unwrap_or(mark));
        for (at, event) in events.into_iter().enumerate() {
            let says = event.message.envelope.timestamp;
            let admitted = match latest.filter(|latest| says > *latest) {
                Some(_) => Err(NotTaken::Ahead { says, now: mark }),
                None => self.door.admit(&self.registry, event),
            };
            match admitted {
                Ok(import) => imports.push(import),
                Err(why) => refused.push((at, why)),
            }
        }
        if !refused.is_empty() {
            return Err(ImportError::Refused(refused));
        }
        Ok(self.append(imports).await?)
    }

    /// A command of another system, as one that is carried out here.
    ///
    /// # Errors
    /// [`NotTaken`], as a sentence for whoever sent it.
    pub fn request(&self, command: Incoming) -> Result<Request, NotTaken> {
        self.door.request(&self.registry, command)
    }

    /// The time that a message gets that does not say its own.
    pub fn now(&self) -> Timestamp {
        self.clock.stamp(self.clock.mark())
    }

    async fn append(&self, imports: Vec<Import>) -> Result<Vec<Receipt>, ExecuteError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.try_send(Input::Import(imports, reply))?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}
