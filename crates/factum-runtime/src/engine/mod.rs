//! The engine: one sequential loop that runs a unit's pure handlers in batches.
//!
//! [`Engine::step`] takes a batch, runs it delivery by delivery on cached state, and launches all effects together with the
//! cursor as one commit. Those who wait hear when it is durable, and only then; meanwhile the next batch may be run. Nothing in here
//! waits for anything but the store.
//!
//! | stage | file | may touch |
//! |---|---|---|
//! | the batch loop | `batch_loop.rs` | all of it |
//! | take | `take.rs`, `arrange.rs` | reads: the tail, the timers' order, the inbox |
//! | address and load | `key.rs`, `load.rs` | states, snapshots, the log |
//! | run | `run.rs`, `decide.rs`, `import.rs`, `saga.rs`, `effects.rs`, `act.rs` | the states and what lives between batches (`work.rs`), the stage |
//! | a handler that fails | `failure.rs` | letters, held keys, stops |
//! | held keys | `holds.rs`, released in `release.rs` | the log, the stage |
//! | pull groups | `groups.rs` | the log, letters, held keys, the stage |
//! | calls that were given up | `calls.rs` | letters, the stage |
//! | open instances of sagas | `instances.rs`, their limits `running.rs` | the log, the stage |
//! | acts and plans | `act.rs`, `plans.rs` | letters, held keys, the log, the stage |
//! | who is behind | `behind.rs`, `consumers.rs` | the log, the stage |
//! | one by one | `one_by_one.rs` | notes |
//! | launch, land | `submit.rs` | the stage, those who wait |
//! | in flight | `flight.rs` | the committer, those who wait |
//!
//! (LMAX's business logic processor, Restate's partition processor and Zeebe's stream processor are built so.)

mod act;
mod ahead;
mod arrange;
mod backfill;
mod batch;
mod batch_loop;
mod behind;
mod calls;
mod causes;
mod consumers;
mod decide;
mod deliver;
mod due;
mod effects;
mod failure;
mod flight;
mod folds;
mod groups;
mod holds;
mod import;
mod instances;
mod key;
mod letters;
mod limits;
mod load;
mod noting;
mod one_by_one;
mod origin;
mod plans;
#[cfg(feature = "sabotage")]
mod planted;
mod release;
mod report;
mod run;
mod running;
mod saga;
mod snapshots;
mod stage;
mod states;
mod submit;
mod take;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use arrange::Arrange;
pub(crate) use batch::Rejected;
use consumers::Consumers;
pub(crate) use consumers::OWN_CURSORS;
pub use consumers::{Ran, stands};
use factum_core::{
    digest_key::DigestKey,
    error::StoreError,
    ports::{Clock, IdSource, Notes, Snapshots},
    stream::Position,
};
pub(crate) use failure::guard;
pub use flight::Flight;
use flight::Flights;
use folds::Folds;
use holds::Holds;
use instances::Instances;
pub use instances::{Open, SagaCount};
use jiff::Timestamp;
use letters::Letters;
pub use limits::Limits;
use noting::Noting;
use one_by_one::OneByOne;
pub use report::{Bound, EngineHealth, Stands, StoppedConsumer};
use snapshots::Shelf;
use stage::Stage;
use states::States;
use submit::{Decided, Submit, give_back};
use take::Intake;
use work::Work;
pub(crate) use work::message_at;

use crate::{
    committer::Committer,
    digests::Digests,
    groups::ToldAll,
    inbox::{ExecuteError, Inbox, Input, Request},
    registry::Registry,
    shapes::{self, Shapes},
    signal::Signal,
    timers::Timers,
};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something: there may be more.
    Worked,
    /// Nothing: a commit is in flight, and until it lands there is nothing else to do. Only with [`Engine::apart`].
    InFlight,
    /// Nothing is unread and nothing waits.
    Rest,
}

/// What an engine works on.
pub struct Parts {
    /// Who handles what.
    pub registry: Arc<Registry>,
    /// Writes.
    pub committer: Arc<Committer>,
    /// Commands from outside, answers of calls.
    pub inbox: Inbox,
    /// States kept beside the log; a slow `put` holds the engine up.
    pub snapshots: Arc<dyn Snapshots>,
    /// What the process was about when it ended.
    pub notes: Arc<dyn Notes>,
    /// Of digests of commands from outside.
    pub digest_key: DigestKey,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Box<dyn IdSource>,
    /// The version of the program, for letters.
    pub program: String,
    /// What the log may hold that the program cannot read.
    pub shapes: Shapes,
    /// The order within a batch.
    pub arrange: Arrange,
    /// Bounds.
    pub limits: Limits,
}

/// See the module.
pub struct Engine {
    registry: Arc<Registry>,
    intake: Intake,
    arrange: Arrange,
    /// The next batch is run in the order of the log, because it could not be run shuffled.
    once_as_taken: bool,
    one_by_one: OneByOne,
    work: Work,
    submit: Submit,
    /// A batch that was run and waits for the one in flight.
    decided: Option<Decided>,
    /// The store has failed, and no commit has landed since.
    in_doubt: bool,
    /// Commits that were refused in a row.
    refusals: u32,
    /// What is in memory is not what the store has: it must be read anew before anything else.
    stale: bool,
    health: report::Shared,
    /// Steps so far: a full report is not made after each.
    steps: u32,
    /// When the clock was looked at last, if standstills are watched for.
    looked: Option<Timestamp>,
}

impl Engine {
    /// An engine that goes on where the log says that it was.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn new(parts: Parts) -> Result<Self, StoreError> {
        let Parts { registry, committer, inbox, snapshots, notes, digest_key, clock, ids, .. } = parts;
        let Parts { program, shapes, arrange, limits, .. } = parts;
        let (reader, tail) = (committer.reader(), committer.tail());
        let mut digests = Digests::open(digest_key, &*reader)?;
        let list = shapes.list.clone().map(|list| (shapes::cell(), list));
        let first = list.into_iter().chain(digests.cell.take()).collect();
        let groups = groups::GroupCells::default();
        let work = Work {
            states: States::new(limits.state_bytes, limits.snapshot_messages),
            shelf: Shelf::open(snapshots, reader.clone()),
            reader: reader.clone(),
            flights: Flights::new(committer, groups.told()),
            clock,
            ids,
            limits,
            program,
            noting: Noting::new(notes),
            digests,
            consumers: Consumers::default(),
            folds: Folds::default(),
            timers: Timers::default(),
            groups,
            calls: BTreeSet::new(),
            answers: BTreeMap::new(),
            answers_due: false,
            answers_after: None,
            holds: Holds::default(),
            jobs: BTreeMap::new(),
            letters: Letters::default(),
            instances: Instances::default(),
            unfolded: Vec::new(),
            holds_unknown: shapes.holds_any(),
            started: false,
            paced: Vec::new(),
            uncorrelated: import::Uncorrelated::default(),
            ahead: ahead::Ahead::default(),
        };
        let head = tail.head();
        let mut engine = Self {
            registry,
            intake: Intake::new(tail, reader, inbox),
            arrange,
            once_as_taken: false,
            one_by_one: OneByOne::default(),
            work,
            submit: Submit { saved: Position::START, stands: Position::START, first },
            decided: None,
            in_doubt: false,
            refusals: 0,
            stale: false,
            health: report::begin(&shapes),
            steps: 0,
            looked: None,
        };
        engine.reload()?;
        let work = &mut engine.work;
        if work.noting.is_on() {
            let at = (work.consumers.cursor, work.clock.mark());
            engine.one_by_one = OneByOne::after_an_end(&mut work.noting, at, work.limits.messages, head);
        }
        work.noting.watch_over(work.calls.iter().chain(work.answers.keys()).cloned());
        if !work.is_on_data_time()
            && let Some(draft) = engine.registry.opening()
        {
            engine.intake.put_back([Input::Opening(Box::new(Request::new(draft)))].into_iter());
        }
        Ok(engine)
    }

    /// How it stands; kept up to date by every step.
    pub fn health(&self) -> Arc<std::sync::Mutex<EngineHealth>> {
        self.health.clone()
    }

    /// What is durable of the pull groups; told behind each commit.
    pub fn groups(&self) -> Arc<ToldAll> {
        self.work.groups.told()
    }

    /// From now on the engine may leave a commit in flight when a step returns, to be carried out by whoever calls
    /// [`Flight::carry_out`]. `launched` is rung when there is one to be carried out, `landed` when it is over: then another step
    /// is worth a try.
    pub fn apart(&mut self, launched: Arc<Signal>, landed: Arc<Signal>) -> Arc<Flight> {
        self.work.flights.apart(launched, landed)
    }

    /// From now on [`Engine::step`] is called every second at least: if it is not, the unit has stood still, which uses up no
    /// step's limit.
    pub fn watch_standstill(&mut self) {
        self.looked = Some(self.work.clock.mark());
    }

    /// When something is due next: a timer, a letter's planned retry, a key that waits.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.work.next_time()
    }

    /// The same but for schedules, which are never over.
    pub fn next_of_work(&self) -> Option<Timestamp> {
        self.work.next_of_work()
    }

    /// How many commits were refused in a row.
    pub fn refusals(&self) -> u32 {
        self.refusals
    }

    /// Does something that changes what is in memory along with the store. If it fails, or panics, everything is read anew
    /// before the next such thing.
    fn unless_it_fails<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.stale {
            self.in_doubt = true;
            self.reload()?;
        }
        self.stale = true;
        let done = act(self)?;
        self.stale = false;
        Ok(done)
    }

    /// Drops everything derived and reads it again, with what is in flight.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or cannot be read; the next step tries again.
    pub fn reload(&mut self) -> Result<(), StoreError> {
        self.stale = true;
        self.land(true)?;
        if let Some(decided) = self.decided.take() {
            give_back(&mut self.intake, decided.pending);
        }
        let registry = self.registry.clone();
        self.work.load(&registry)?;
        self.stale = false;
        (self.submit.saved, self.submit.stands) = (self.work.consumers.cursor, self.work.consumers.cursor);
        self.report(true);
        Ok(())
    }

    /// Whether the store may be well again after this, so that another step is worth a try. If not, the program must be
    /// started again.
    pub fn may_recover(error: &StoreError) -> bool {
        match error {
            StoreError::Transient(_) | StoreError::Full(_) | StoreError::Unfit(_) | StoreError::Conflict(_) => true,
            StoreError::OutcomeUnknown(_)
            | StoreError::Fenced(_)
            | StoreError::Corrupt(_)
            | StoreError::Permanent(_) => false,
        }
    }

    /// Writes the cursors, if they moved over messages without effects.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub fn save_cursor(&mut self) -> Result<(), StoreError> {
        if self.is_busy() {
            self.unless_it_fails(Self::land_all)?;
        }
        let moved = self.submit.saved != self.work.consumers.cursor || self.work.consumers.has_changed();
        if moved || self.stale || self.work.owes_time() { self.write_cursor() } else { Ok(()) }
    }

    /// Writes the cursors and how long the unit has run: for a stop in order.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub fn save_at_stop(&mut self) -> Result<(), StoreError> {
        if self.work.timers.has_limits() { self.write_cursor() } else { self.save_cursor() }
    }

    /// Writes the cursors, moved or not: to see whether the store can be written again.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub fn write_cursor(&mut self) -> Result<(), StoreError> {
        self.unless_it_fails(|engine| {
            engine.land_all()?;
            let (stage, pending) = (Stage::default(), Vec::new());
            engine.decided = Some(Decided { stage, pending, force: true, follows: false, deliveries: 0, last: None });
            engine.launch()
        })
    }

    /// Whether anything was decided that is not durable.
    fn is_busy(&self) -> bool {
        self.work.flights.is_aloft() || self.decided.is_some()
    }

    /// Everything that was decided becomes durable, or falls.
    fn land_all(&mut self) -> Result<(), StoreError> {
        self.land(true)?;
        self.launch()?;
        self.land(true)?;
        Ok(())
    }

    /// Takes snapshots of all foldings, and of all large aggregates in the cache that have changed since their last: for a
    /// stop in order, after [`Engine::save_cursor`]. Ends where too much waits to be written.
    pub fn take_snapshots(&mut self) {
        if self.is_busy() {
            return;
        }
        let registry = self.registry.clone();
        self.work.take_snapshots(&registry, self.submit.saved);
    }

    /// The engine ends in order: the next start need not look for a message that ends processes.
    pub fn end(&mut self) {
        self.work.noting.end();
    }

    /// Answers everybody who waits that the engine stops.
    pub fn shut(&mut self, reason: &str) {
        if let Err(error) = self.land(true) {
            // Those who waited for it have heard.
            tracing::error!(%error, "what was in flight at the end was not stored");
        }
        if let Some(decided) = self.decided.take() {
            give_back(&mut self.intake, decided.pending);
        }
        for input in self.intake.close() {
            match input {
                Input::Commands(_, reply) | Input::Import(_, reply) => {
                    _ = reply.send(Err(ExecuteError::Stopped(reason.to_owned())))
                }
                Input::Act(act) => _ = act.reply.send(Err(crate::acts::ActError::Stopped(reason.to_owned()))),
                _ => {}
            }
        }
    }
}
