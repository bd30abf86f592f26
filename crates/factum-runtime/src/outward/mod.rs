//! The outward loop: calls to the outside, in order per key, concurrent up to a window, retried until they have an answer.
//!
//! An open call is a message of kind call and a cell. After a start the cells say what is open; from then on the tail does.
//! An answer goes to the engine, which closes the call in the commit that takes the answer, or keeps it in the call's cell
//! as long as it must wait; then the call is not made again.

mod attempt;
mod open;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use factum_core::{
    call::AnyCall,
    cell::{CellKey, CellKind},
    envelope::{Kind, Stored},
    error::StoreError,
    ports::{Reader, Scan},
    stream::Position,
};
use futures_util::FutureExt;
pub use open::{OpenCall, Reply, message_of, messages_of};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    inbox::Sender,
    registry::Registry,
    signal::backoff,
    tail::{Behind, Tail},
};

/// Calls that may wait in memory; more stay in the log until there is room.
const QUEUED: usize = 4096;
/// Bytes to read at once from the store.
const SCAN_BYTES: usize = 4 << 20;

/// One open call on its way.
#[derive(Clone)]
struct Work {
    stored: Arc<Stored>,
    cell: CellKey,
    open: OpenCall,
}

/// See the module.
pub struct Outward {
    calls: HashMap<String, AnyCall>,
    reader: Arc<dyn Reader>,
    tail: Arc<Tail>,
    inbox: Sender,
    position: Position,
    lanes: BTreeMap<Lane, VecDeque<Work>>,
    ready: BTreeMap<String, VecDeque<Lane>>,
    running: HashMap<String, usize>,
    queued: usize,
}

/// Calls of one name and key are made one after the other.
type Lane = (String, String);

impl Outward {
    /// Finds the open calls. Must be made before the engine starts, so that no call falls between cells and tail.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn open(
        registry: &Registry,
        reader: Arc<dyn Reader>,
        tail: Arc<Tail>,
        inbox: Sender,
    ) -> Result<Self, StoreError> {
        let named = registry.services.iter().flat_map(|service| {
            service.calls.iter().map(|call| (format!("{}.{}", service.name, call.name), call.clone()))
        });
        let mut outward = Self {
            calls: named.collect(),
            position: tail.head(),
            reader,
            tail,
            inbox,
            lanes: BTreeMap::new(),
            ready: BTreeMap::new(),
            running: HashMap::new(),
            queued: 0,
        };
        let mut calls = Vec::new();
        for cell in outward.reader.cells(CellKind::Call)? {
            let open = OpenCall::decode(&cell)?;
            if open.is_open() {
                calls.push((cell.key, open));
            }
        }
        for (cell, open, stored) in messages_of(&*outward.reader, calls)? {
            outward.enqueue(Work { stored: Arc::new(stored), cell, open });
        }
        Ok(outward)
    }

    /// Runs until told to stop; attempts under way are then left to the next start, which asks by the same key. If the log
    /// cannot be read it waits and goes on by itself; `says` hears why, and when it is over.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>, says: impl Fn(Option<&StoreError>)) {
        let mut head = self.tail.watch();
        let mut attempts: JoinSet<Lane> = JoinSet::new();
        let mut failures = 0;
        loop {
            // Marked as seen before it is read: a move during the pull is noticed below, not slept over.
            head.borrow_and_update();
            let pulled = self.pull().await;
            match &pulled {
                Ok(()) if failures == 0 => {}
                Ok(()) => {
                    failures = 0;
                    says(None);
                }
                Err(error) => {
                    failures += 1;
                    says(Some(error));
                }
            }
            self.begin(&mut attempts);
            let room = self.queued < QUEUED && pulled.is_ok();
            let again = tokio::time::sleep(backoff(failures));
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                    Ok(lane) => self.ended(lane),
                    Err(error) => tracing::error!(%error, "an outward task ended early; its call is made again at the next start"),
                },
                changed = head.changed(), if room => if changed.is_err() { return },
                () = again, if pulled.is_err() => {}
            }
        }
    }

    /// Takes calls that have become durable.
    async fn pull(&mut self) -> Result<(), StoreError> {
        while self.queued < QUEUED && self.position < self.tail.head() {
            match self.tail.after(self.position) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => {
                    let position = self.position;
                    for stored in frame.messages.iter().filter(|stored| stored.position > position) {
                        self.take(stored)?;
                    }
                    self.position = frame.through;
                }
                Err(Behind) => {
                    let (reader, after, until) = (self.reader.clone(), self.position, self.tail.head());
                    let scan = move || reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: None });
                    let scanned = tokio::task::spawn_blocking(scan).await;
                    let scanned = scanned.map_err(|error| StoreError::Permanent(error.to_string()))??;
                    for stored in &scanned.messages {
                        self.take(stored)?;
                    }
                    self.position = scanned.through;
                }
            }
        }
        Ok(())
    }

    /// Takes a message, if it is an open call; if this fails, the message is read again.
    fn take(&mut self, stored: &Stored) -> Result<(), StoreError> {
        if stored.envelope().kind == Kind::Call {
            let cell = CellKey::new(CellKind::Call, stored.envelope().id.to_string());
            // Its cell knows under which key it is asked.
            if let Some(found) = self.reader.cell(&cell)? {
                let open = OpenCall::decode(&found)?;
                if open.is_open() {
                    self.enqueue(Work { open, stored: Arc::new(stored.clone()), cell });
                }
            }
        }
        self.position = stored.position;
        Ok(())
    }

    fn enqueue(&mut self, work: Work) {
        let name = work.stored.type_name().to_owned();
        if !self.calls.contains_key(&name) {
            tracing::error!(call = name, "no service has this call any more; it stays open");
            return;
        }
        let lane = (name.clone(), work.stored.envelope().partition_key.to_string());
        self.queued += 1;
        let waiting = self.lanes.entry(lane.clone()).or_default();
        waiting.push_back(work);
        if waiting.len() == 1 {
            self.ready.entry(name).or_default().push_back(lane);
        }
    }

    /// Starts as many calls as their windows allow.
    fn begin(&mut self, attempts: &mut JoinSet<Lane>) {
        for (name, ready) in &mut self.ready {
            let Some(call) = self.calls.get(name) else { continue };
            let running = self.running.entry(name.clone()).or_default();
            while *running < call.policy.window {
                let Some(lane) = ready.pop_front() else { break };
                let Some(work) = self.lanes.get(&lane).and_then(VecDeque::front) else { continue };
                *running += 1;
                let (call, inbox, work) = (call.clone(), self.inbox.clone(), work.clone());
                attempts.spawn(async move {
                    let made = AssertUnwindSafe(attempt::until_answered(call, inbox, work)).catch_unwind();
                    if made.await.is_err() {
                        tracing::error!(
                            call = lane.0,
                            key = lane.1,
                            "making a call has panicked; it is made again at the next start"
                        );
                    }
                    lane
                });
            }
        }
    }

    fn ended(&mut self, lane: Lane) {
        self.queued -= 1;
        if let Some(running) = self.running.get_mut(&lane.0) {
            *running -= 1;
        }
        let Some(waiting) = self.lanes.get_mut(&lane) else { return };
        waiting.pop_front();
        if waiting.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.ready.entry(lane.0.clone()).or_default().push_back(lane);
        }
    }
}
