//! The outward loop: calls to the outside, in order per key, concurrent up to a window, retried until they have an answer.
//!
//! ```text
//!   tail, cells ──► queue of the call's name ──► ready keys ──► one task an attempt ──► answer to the engine
//!                         ▲                         ▲                  │
//!                         │ the next of its key     │ its time comes   │ in vain
//!                         └──────── over ◄──────────┴──── waiting ◄────┘
//! ```
//!
//! What waits for its next attempt holds no place in the window, and one partner's backlog stops no other: each name has
//! a queue of its own. An open call is a message of kind call and a cell. After a start the cells say what is open; from
//! then on the tail does. What was open at a start may have been under way, so that its fate is asked about first. An
//! answer goes to the engine, which closes the call in the commit that takes the answer, or keeps it in the call's cell
//! as long as it must wait; then the call is not made again.

mod attempt;
mod breaker;
mod instances;
mod lead;
mod open;
mod queue;
mod time;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use attempt::{Ended, Teller, Then, fallback};
use breaker::{Breaker, Turn, Went};
pub use breaker::{Dependency, State};
use factum_core::{
    cell::{CellKey, CellKind},
    envelope::{Kind, Stored},
    error::StoreError,
    letter::{LetterId, Subject},
    ports::{Clock, Lease, Reader, Scan},
    saga::How,
    stream::Position,
};
use futures_util::FutureExt;
use instances::Instances;
use lead::Lead;
pub use open::{OpenCall, Reply, message_of, messages_of};
use queue::{Queue, Work, find, open_call};
use time::Time;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    inbox::{Outlook, Sender},
    registry::Registry,
    signal::backoff,
    tail::{Behind, Tail},
};

/// Bytes to read at once from the store.
const SCAN_BYTES: usize = 4 << 20;
/// An attempt whose task has ended without a word is made again after this long.
const AFTER_A_PANIC: Duration = Duration::from_secs(1);

/// The event that a letter was redriven.
const REDRIVEN: &str = "letter.redriven";
/// The ends of the events by which instances of sagas withdraw calls.
const WITHDRAWING: [&str; 4] = [".step_failed", ".step_retried", ".step_resolved", ".undo_ordered"];

/// How the dependencies stand, as others may look at it.
pub type Shown = Arc<Mutex<Vec<Dependency>>>;

/// Calls of one name and key are made one after the other.
type Lane = (String, String);

/// What the outward loop works on.
pub struct Parts {
    /// The calls there are.
    pub registry: Arc<Registry>,
    /// The log.
    pub reader: Arc<dyn Reader>,
    /// Its tail.
    pub tail: Arc<Tail>,
    /// The way to the engine, for answers.
    pub inbox: Sender,
    /// Time. Waits are real time, or where the mark moves only by hand they pass with it.
    pub clock: Arc<dyn Clock>,
    /// Whether long reads of the log have a thread of their own, so that they hold up no attempt. A simulation has none:
    /// nothing happens beside it.
    pub reads_aside: bool,
}

/// See the module.
pub struct Outward {
    parts: Parts,
    time: Time,
    position: Position,
    queues: BTreeMap<String, Queue>,
    breakers: BTreeMap<String, Breaker>,
    /// Keys whose first call waits for its next attempt.
    waiting: BTreeSet<(Instant, Lane)>,
    /// Open calls that no service has any more, by name.
    unserved: BTreeMap<String, u64>,
    /// The instances of sagas that are asking.
    instances: Instances,
    shown: Shown,
    lead: Lead,
    /// Something could be made, if this process led for long enough.
    waits_to_lead: bool,
}

/// The end of a task.
struct Task {
    lane: Lane,
    /// The instance of a saga that it was for.
    instance: Option<String>,
    /// Which kind of attempt it was; nothing if nobody was asked.
    turn: Option<Turn>,
    ended: Option<Ended>,
}

impl Outward {
    /// Finds the open calls. Must be made before the engine starts, so that no call falls between cells and tail.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn open(parts: Parts) -> Result<Self, StoreError> {
        let (mut queues, mut breakers) = (BTreeMap::new(), BTreeMap::new());
        let time = Time::new(parts.clock.clone());
        for service in &parts.registry.services {
            for call in &service.calls {
                let name = format!("{}.{}", service.name, call.name);
                let queue = Queue::new(&name, call.clone(), time.now());
                let dependency = queue.dependency.clone();
                breakers.entry(dependency.clone()).or_insert_with(|| Breaker::new(&dependency, call.policy.breaker));
                queues.insert(name, queue);
            }
        }
        let position = parts.tail.head();
        let waiting = BTreeSet::new();
        let (unserved, instances, shown) = (BTreeMap::new(), Instances::default(), Shown::default());
        let (lead, waits_to_lead) = (Lead::default(), false);
        let mut outward =
            Self { parts, time, position, queues, breakers, waiting, unserved, instances, shown, lead, waits_to_lead };
        let mut calls = Vec::new();
        for cell in outward.parts.reader.cells(CellKind::Call)? {
            let open = OpenCall::decode(&cell)?;
            if open.is_open() {
                calls.push((cell.key, open));
            }
        }
        for (cell, open, stored) in messages_of(&*outward.parts.reader, calls)? {
            // An attempt may have been under way when the process ended.
            let open = OpenCall { unknown: !crate::sabotage::is("call-without-its-query"), ..open };
            outward.push(Work { stored: Arc::new(stored), cell, open });
        }
        outward.show();
        Ok(outward)
    }

    /// Attempts are only begun while this lease outlasts them.
    #[must_use]
    pub fn leased(self, lease: Option<Arc<dyn Lease>>) -> Self {
        Self { lead: Lead(lease), ..self }
    }

    /// How the dependencies stand.
    pub fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Runs until told to stop; attempts under way are then left to the next start, which asks by the same key. If the log
    /// cannot be read it waits and goes on by itself; `says` hears why, and when it is over.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>, says: impl Fn(Option<&StoreError>)) {
        let mut head = self.parts.tail.watch();
        let mut attempts: JoinSet<Task> = JoinSet::new();
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
            self.show();
            let next = self.next();
            if self.time.is_by_hand() && pulled.is_ok() {
                let next = next.and_then(|next| self.time.by_the_mark(next));
                // Who leads is a matter of real time: none passes by the mark until it is known.
                let under_way = !attempts.is_empty() || self.waits_to_lead;
                self.parts.inbox.looks(Outlook { seen: self.position, under_way, next });
            }
            let next = next.and_then(|next| self.time.sleep(next));
            let due = tokio::time::sleep_until(next.unwrap_or_else(Instant::now));
            let again = tokio::time::sleep(backoff(failures));
            let led = tokio::time::sleep(lead::LOOK);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                    Ok(task) => self.ended(task),
                    Err(error) => tracing::error!(%error, "an outward task ended early; its call is made again at the next start"),
                },
                changed = head.changed(), if pulled.is_ok() => if changed.is_err() { return },
                () = self.parts.inbox.moved(), if self.time.is_by_hand() => {}
                () = due, if next.is_some() => {}
                () = led, if self.waits_to_lead => {}
                () = again, if pulled.is_err() => {}
            }
        }
    }

    /// Takes calls that have become durable, and those for which there was no room.
    async fn pull(&mut self) -> Result<(), StoreError> {
        while self.position < self.parts.tail.head() {
            match self.parts.tail.after(self.position) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let position = self.position;
                    for stored in frame.messages.iter().filter(|stored| stored.position > position) {
                        self.take(stored).await?;
                    }
                    self.position = frame.through;
                }
                Err(Behind) => {
                    let (reader, after, until) = (self.parts.reader.clone(), self.position, self.parts.tail.head());
                    let scan = move || reader.scan(&Scan { after, until, bytes: SCAN_BYTES, types: None });
                    let scanned = read(self.parts.reads_aside, scan).await?;
                    for stored in &scanned.messages {
                        self.take(stored).await?;
                    }
                    self.position = scanned.through;
                }
            }
        }
        for (name, queue) in &mut self.queues {
            while let Some(from) = queue.wants() {
                let (reader, name) = (self.parts.reader.clone(), name.clone());
                queue.read(read(self.parts.reads_aside, move || find(&*reader, &name, from)).await?);
            }
        }
        Ok(())
    }

    /// Takes a message, if it is an open call; if this fails, the message is read again.
    async fn take(&mut self, stored: &Stored) -> Result<(), StoreError> {
        if stored.envelope().kind == Kind::Call
            && let Some(work) = open_call(&*self.parts.reader, stored.clone())?
        {
            self.push(work);
        }
        let envelope = stored.envelope();
        if envelope.kind == Kind::Event && stored.type_name() == REDRIVEN {
            self.take_again(stored).await?;
        }
        if envelope.kind == Kind::Event && WITHDRAWING.iter().any(|end| stored.type_name().ends_with(end)) {
            let is_open = |cell: &CellKey| is_open(&*self.parts.reader, cell);
            self.queues.values_mut().for_each(|queue| queue.withdraw(&envelope.partition_key, is_open));
        }
        self.position = stored.position;
        Ok(())
    }

    /// Takes a call that was given up, and that somebody wants made once more.
    async fn take_again(&mut self, stored: &Stored) -> Result<(), StoreError> {
        #[derive(serde::Deserialize)]
        struct Redriven {
            letter: LetterId,
        }
        let Ok(Redriven { letter }) = serde_json::from_slice(&stored.message.data) else { return Ok(()) };
        let Subject::Answer(id) = letter.subject else { return Ok(()) };
        if self.parts.registry.call(&letter.consumer).is_none() {
            return Ok(());
        }
        let reader = self.parts.reader.clone();
        let found = read(self.parts.reads_aside, move || {
            let cell = CellKey::new(CellKind::Call, id);
            let Some(open) = reader.cell(&cell)?.map(|found| OpenCall::decode(&found)).transpose()? else {
                return Ok(None);
            };
            let stored = message_of(&*reader, &cell.name, &open)?;
            Ok(open.is_open().then(|| Work { stored: Arc::new(stored), cell, open }))
        });
        found.await?.into_iter().for_each(|work| self.push(work));
        Ok(())
    }

    fn push(&mut self, work: Work) {
        let name = work.stored.type_name();
        match self.queues.get_mut(name) {
            Some(queue) => queue.push(work),
            None => {
                let unserved = self.unserved.entry(name.to_owned()).or_default();
                if *unserved == 0 {
                    tracing::error!(
                        call = name,
                        "no service has this call any more; it stays open, as do others of it"
                    );
                }
                *unserved += 1;
            }
        }
    }

    /// Starts as many attempts as windows and breakers allow.
    fn begin(&mut self, attempts: &mut JoinSet<Task>) {
        let (now, mark) = (self.time.now(), self.time.mark());
        self.waits_to_lead = false;
        while let Some((at, (name, key))) = self.waiting.first().cloned()
            && at <= now
        {
            self.waiting.pop_first();
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.is_due(key, at);
            }
        }
        for (name, queue) in &mut self.queues {
            let Some(breaker) = self.breakers.get_mut(&queue.dependency) else { continue };
            let call = queue.call.clone();
            // What cannot be made now keeps its place.
            let mut left = queue.ready();
            while queue.has_room() && left > 0 {
                left -= 1;
                let Some((key, work)) = queue.next() else { break };
                if !is_open(&*self.parts.reader, &work.cell) {
                    queue.over(key);
                    continue;
                }
                let lane = (name.clone(), key.clone());
                if work.open.undoes
                    && !crate::sabotage::is("undo-overtakes-its-call")
                    && self.instances.holds_up(&work.open.stream, &lane)
                {
                    queue.stands_behind(&key);
                    continue;
                }
                let teller = Teller {
                    call: call.clone(),
                    inbox: self.parts.inbox.clone(),
                    saga: saga_of(&self.parts.registry, &work),
                };
                if work.is_used_up(&call.policy.retry, mark) {
                    queue.begins(&key);
                    attempts.spawn(async move {
                        teller.last_word(work).await;
                        over(lane)
                    });
                    continue;
                }
                if breaker.is_shut(now) && crate::sabotage::is("attempt-used-up-while-open") {
                    queue.tried(&key, OpenCall { attempts: work.open.attempts + 1, ..work.open });
                    queue.waits(&key, now + AFTER_A_PANIC);
                    self.waiting.insert((now + AFTER_A_PANIC, lane));
                    continue;
                }
                if breaker.is_shut(now) {
                    if call.fallback.is_none() {
                        queue.not_now(key);
                        break;
                    }
                    match fallback(&call, &work) {
                        Some(answer) => {
                            queue.begins(&key);
                            attempts.spawn(async move {
                                teller.tell(work, How::Done, answer).await;
                                over(lane)
                            });
                        }
                        None => queue.later(key),
                    }
                    continue;
                }
                if self.lead.is_too_short_for(&call.policy) {
                    self.waits_to_lead = true;
                    queue.not_now(key);
                    break;
                }
                match work.open.attempts {
                    0 => queue.purse.first(),
                    _ => {
                        if let Err(wait) = queue.purse.retry(now) {
                            queue.waits(&key, now + wait);
                            self.waiting.insert((now + wait, lane));
                            continue;
                        }
                    }
                }
                let Some(turn) = breaker.begins(now, mark) else {
                    queue.not_now(key);
                    break;
                };
                queue.begins(&key);
                let patience = work.open.patient.then_some(mark);
                let instance = teller.saga.is_some().then(|| work.open.stream.clone());
                if let Some(instance) = &instance {
                    self.instances.begins(instance);
                }
                attempts.spawn(async move {
                    let made = AssertUnwindSafe(attempt::make(teller, work, patience, turn)).catch_unwind().await;
                    Task { lane, instance, turn: Some(turn), ended: made.ok() }
                });
            }
        }
    }

    fn ended(&mut self, Task { lane, instance, turn, ended }: Task) {
        let (now, mark) = (self.time.now(), self.time.mark());
        for (name, key) in instance.map(|instance| self.instances.ends(instance)).unwrap_or_default() {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.is_free(key);
            }
        }
        let Some(queue) = self.queues.get_mut(&lane.0) else { return };
        queue.ends();
        let (went, reason) = ended.as_ref().map_or((Went::Badly, None), |it| (it.went, it.reason.as_deref()));
        if let (Some(turn), Some(breaker)) = (turn, self.breakers.get_mut(&queue.dependency)) {
            breaker.ended(turn, went, reason, now, mark);
        }
        let Some(Ended { then, .. }) = ended else {
            tracing::error!(call = lane.0, key = lane.1, "making a call has panicked; it is made again");
            queue.waits(&lane.1, now + AFTER_A_PANIC);
            self.waiting.insert((now + AFTER_A_PANIC, lane));
            return;
        };
        match then {
            Then::Over => queue.over(lane.1),
            // It was withdrawn while it was being made.
            Then::Again(..) if !queue.first(&lane.1).is_some_and(|cell| is_open(&*self.parts.reader, cell)) => {
                queue.over(lane.1);
            }
            Then::Again(open, wait) => {
                queue.tried(&lane.1, *open);
                queue.waits(&lane.1, now + wait);
                self.waiting.insert((now + wait, lane));
            }
        }
    }

    /// When there is something to do by itself.
    fn next(&self) -> Option<Instant> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        // Only what could be made is waited for: a breaker that may close again while nothing is ready has time.
        let ready = self.queues.values().filter(|queue| queue.has_room() && queue.ready() > 0);
        let breakers = ready.filter_map(|queue| self.breakers.get(&queue.dependency)?.next());
        breakers.chain(waiting).min()
    }

    /// Notes how the dependencies stand.
    fn show(&mut self) {
        for breaker in self.breakers.values_mut() {
            breaker.shown.waiting = 0;
        }
        for queue in self.queues.values() {
            if let Some(breaker) = self.breakers.get_mut(&queue.dependency) {
                breaker.shown.waiting += queue.len() as u64;
            }
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.breakers.len();
        let is_same = shown.iter().take(known).eq(self.breakers.values().map(|breaker| &breaker.shown))
            && shown.iter().skip(known).map(|it| it.waiting).eq(self.unserved.values().copied());
        if !is_same {
            *shown = self.breakers.values().map(|breaker| breaker.shown.clone()).collect();
            shown.extend(self.unserved.iter().map(|(name, waiting)| Dependency::unserved(name, *waiting)));
        }
    }
}

/// The command by which the instance of a saga hears what became of its call.
fn saga_of(registry: &Registry, work: &Work) -> Option<String> {
    registry.versions(work.stored.stream.category()).map(|saga| saga.answer_type())
}

/// Whether a call's cell stands: nobody waits for an answer of one that was withdrawn. If the store cannot be read it does.
fn is_open(reader: &dyn Reader, cell: &CellKey) -> bool {
    !matches!(reader.cell(cell), Ok(None))
}

/// A task that asked nobody.
fn over(lane: Lane) -> Task {
    Task { lane, instance: None, turn: None, ended: Some(Ended { went: Went::Later, reason: None, then: Then::Over }) }
}

async fn read<T: Send + 'static>(
    aside: bool,
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    if !aside {
        return read();
    }
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| StoreError::Permanent(error.to_string()))?
}
