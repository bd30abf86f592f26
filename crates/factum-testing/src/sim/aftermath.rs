//! The end of a run: everything is healed, the node comes to rest, and what it has done is held against the invariants.

use std::{path::Path, sync::Arc, time::Duration};

use factum_adapters::embedded::{self, Embedded, Options};
use factum_core::{
    envelope::Stored,
    error::StoreError,
    memory_rows::MemoryRows,
    ports::{Backend, Clock, Query, Reader, RowReader},
    stream::Position,
    upcast::Raised,
};
use factum_runtime::{
    committer::Committer,
    registry::Registry,
    views::{Parts, Views},
};

use super::{
    disk::SimDisk,
    driver::{Left, Run},
    invariants::{self, Evidence},
    node::{LOG, read_all},
    operator::redrive_all,
    poison, refusals, sagas,
    seen::line,
    tally::Kind,
    world::{Violation, World},
};

/// Rounds in which a healthy node must come to rest.
const ROUNDS: usize = 3_000;
/// Steps of the engine in a round.
const STEPS: usize = 10_000;
/// Rounds in a row in which it may work without a rest: whoever needs more does something again and again.
const BUSY: usize = 10;

impl Run<'_> {
    /// Heals everything and lets the node work until nothing is left to do: no command without an answer, no open call,
    /// no timer.
    pub fn settle(&mut self) -> Result<(), Violation> {
        self.disk.watch(None);
        self.disk.heal();
        self.space(None);
        self.rows.fail(0.0);
        self.peers.heal();
        poison::heal();
        self.trace.push("-- everything is healed".to_owned());
        if self.node.is_some() {
            // Whatever a fault has stopped goes on after a start.
            self.clean_stop()?;
        }
        self.rows.fail(0.0);
        let (mut wait, mut busy) = (20, 0);
        for _ in 0..ROUNDS {
            if self.node.is_none() {
                self.start(true)?;
            }
            let Some(node) = &mut self.node else { continue };
            self.clients.send(node, self.clock.mark(), 1.0);
            let engine = node.engine_steps(STEPS);
            let views = node.views.step();
            if let Some(problem) =
                engine.as_ref().err().map(StoreError::to_string).or(views.as_ref().err().map(|error| error.to_string()))
            {
                return Violation::found("I6", format!("nothing fails any more, and yet: {problem}"));
            }
            self.note_peers();
            self.look()?;
            let Some(node) = &self.node else { continue };
            let health = node.health();
            let stopped = health.stopped.iter().map(|stopped| format!("{}: {}", stopped.consumer, stopped.reason));
            if let Some(stopped) = stopped.chain(node.stopped_views()).next() {
                return Violation::found("I6", format!("nothing fails any more, and yet it stopped: {stopped}"));
            }
            busy = if matches!(engine, Ok(false)) { busy + 1 } else { 0 };
            if busy == BUSY {
                let steps = BUSY * STEPS;
                return Violation::found("I6", format!("the engine has worked for {steps} steps without a rest"));
            }
            let at_rest = matches!(engine, Ok(true)) && matches!(views, Ok(false));
            // Everything is mended: what waits is redriven, as often as it takes.
            if health.letters > 0 && at_rest {
                redrive_all(node);
                continue;
            }
            if health.held > 0 && at_rest && node.engine.next_of_work().is_none() {
                let held = health.held;
                return Violation::found("I6", format!("{held} messages are held, and nothing holds them"));
            }
            if health.calls > 0 {
                self.pass(Duration::from_millis(wait));
                wait = (wait * 2).min(60_000);
            } else if at_rest && self.clients.are_done() {
                match node.engine.next_of_work() {
                    None if health.cursor < node.tail.head().0 => {
                        let (cursor, head) = (health.cursor, node.tail.head());
                        return Violation::found(
                            "I6",
                            format!("the engine rests at {cursor}, and the log ends at {head}"),
                        );
                    }
                    None => return Ok(()),
                    Some(due) => self.clock.pass_until(due),
                }
                wait = 20;
            }
        }
        let health = self.node.as_ref().map(|node| node.health());
        Violation::found("I6", format!("a healthy node does not come to rest: {health:?}"))
    }

    /// Starts the node once more over what is there, closes it, and looks at everything from outside.
    pub fn aftermath(&mut self) -> Result<(), Violation> {
        let before = (self.peers.attempts(), self.peers.effects().len(), self.seen.messages.len());
        self.die(Left::by_end(&self.disk, &self.rows, Kind::Kill));
        self.settle()?;
        let after = (self.peers.attempts(), self.peers.effects().len(), self.seen.messages.len());
        if before != after {
            let problem = format!(
                "a start at rest changed the world: attempts, effects, messages were {before:?}, now they are {after:?}"
            );
            return Violation::found("I12", problem);
        }
        self.clean_stop()?;
        let (log, reader) = read(&self.disk)?;
        let services = (self.sim.services)(&self.peers, self.sim.newest);
        let Ok(registry) = Registry::new(services) else { return Violation::found("setup", "services do not fit") };
        let registry = Arc::new(registry);
        let effects = self.peers.effects();
        let refused = self.peers.refused();
        invariants::check(&Evidence {
            log: &log,
            seen: &self.seen,
            asks: &self.clients.asks,
            effects: &effects,
            refused: &refused,
            registry: &registry,
        })?;
        let programs = (1..=self.sim.newest).map(|version| Registry::new((self.sim.services)(&self.peers, version)));
        refusals::check(&log, &self.clients.asks, &programs.flatten().collect::<Vec<_>>())?;
        self.tally.many(Kind::Moved, sagas::moved(&log, &registry));
        let rows = self.rows.restart();
        let rows = factum_core::ports::RowStore::reader(&rows);
        rebuilt(&self.disk, &registry, &*rows)?;
        let rebuilt = (self.peers.attempts(), self.peers.effects().len(), self.seen.messages.len());
        if rebuilt != after {
            return Violation::found(
                "I12",
                format!("building the rows anew changed the world: {after:?}, {rebuilt:?}"),
            );
        }
        let reader = Raised::over(reader, &registry.upcasters);
        let raised = read_all(&*reader, Position::START).map_err(|error| Violation {
            invariant: "I15".to_owned(),
            found: format!("nothing is wrong with the disk, and it says: {error}"),
        })?;
        let world = World { log: &raised, reader: &reader, effects: &effects, rows: &*rows };
        self.sim.checks.iter().try_for_each(|check| check(&world))?;
        (0..3).try_for_each(|_| self.damage(&log))
    }

    /// I15: with one bit of the log flipped, it says the same, or it says that it cannot.
    fn damage(&mut self, log: &[Stored]) -> Result<(), Violation> {
        let disk = self.disk.restart();
        let segments: Vec<_> =
            disk.paths().into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "segment")).collect();
        let Some(path) = self.random.choice(&segments) else { return Ok(()) };
        let bits = 8 * disk.bytes(path).map_or(0, |bytes| bytes.len()) as u64;
        let bit = self.random.u64(..bits.max(1));
        if !disk.flip(path, bit) {
            return Ok(());
        }
        self.tally.one(Kind::BitFlipped);
        let found = open(&disk).and_then(|backend| read_all(&*backend.reader(), Position::START));
        match found {
            Ok(found) if found != log => {
                let (there, was, path) = (found.len(), log.len(), path.display());
                let problem =
                    format!("bit {bit} of {path} is wrong, and {there} of {was} messages are read as if it were right");
                Violation::found("I15", problem)
            }
            _ => Ok(()),
        }
    }
}

fn open(disk: &SimDisk) -> Result<Embedded, StoreError> {
    let options = Options { disk: Arc::new(disk.clone()), ..Options::default() };
    embedded::open_with(Path::new(LOG), options).map(|(backend, _)| backend)
}

/// The log as a plain reader finds it.
fn read(disk: &SimDisk) -> Result<(Vec<Stored>, Arc<dyn Reader>), Violation> {
    let reader = open(&disk.restart()).map(|backend| backend.reader());
    let read = reader.and_then(|reader| Ok((read_all(&*reader, Position::START)?, reader)));
    read.or_else(|error| Violation::found("I15", format!("nothing is wrong with the disk, and it says: {error}")))
}

/// I11: the rows that were kept up are the rows that are built from the log.
fn rebuilt(disk: &SimDisk, registry: &Arc<Registry>, kept: &dyn RowReader) -> Result<(), Violation> {
    let broken = |problem: String| Violation { invariant: "I11".to_owned(), found: problem };
    let backend = open(&disk.restart()).map_err(|error| broken(error.to_string()))?;
    let committer = Committer::new(Box::new(backend), registry.owners.clone()).upcasting(&registry.upcasters);
    let rows = Box::new(MemoryRows::new());
    let views = Views::open(Parts::alone(registry.clone(), rows, committer.reader(), committer.tail()));
    let mut views = views.map_err(|error| broken(error.to_string()))?;
    while views.step().map_err(|error| broken(error.to_string()))? {}
    let anew = views.rows();
    let everything = Query { limit: u64::MAX, ..Query::default() };
    for view in registry.services.iter().flat_map(|service| &service.views) {
        let table = view.table().name;
        let page = |rows: &dyn RowReader| rows.page(table, &everything).map_err(|error| broken(error.to_string()));
        let (kept, anew) = (page(kept)?.rows, page(&*anew)?.rows);
        if let Some((kept, anew)) = first_difference(&kept, &anew) {
            return Err(broken(format!("in `{table}` stands {kept}; built from the log it is {anew}")));
        }
    }
    Ok(())
}

fn first_difference(kept: &[Vec<u8>], anew: &[Vec<u8>]) -> Option<(String, String)> {
    let text = |row: Option<&Vec<u8>>| row.map_or("nothing".into(), |row| String::from_utf8_lossy(row).into_owned());
    let different = |index: &usize| kept.get(*index) != anew.get(*index);
    let index = (0..kept.len().max(anew.len())).find(different)?;
    Some((text(kept.get(index)), text(anew.get(index))))
}

/// Messages of the end of a log, for people.
pub(super) fn lines(messages: &[&Stored]) -> String {
    messages.iter().map(|stored| line(stored)).collect::<Vec<_>>().join("; ")
}
