//! The driver: lets a node, its clients, its peers and its disk take turns as the seed wants, and keeps the trace.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use factum_core::{Timestamp, error::StoreError, ports::Clock};
use factum_runtime::engine::Engine;
use fastrand::Rng;
use tokio::runtime::Runtime;

use super::{
    clients::Clients,
    clock::SimClock,
    disk::{Fault, Keep, SimDisk, When},
    node::{How, Node, Trouble, read_all},
    operator::PlanAnswer,
    peers::Peers,
    poison,
    rows::SimRows,
    seen::{Seen, line},
    simulation::Simulation,
    tally::{Kind, Tally},
    world::Violation,
};

/// When every run begins: 2026-01-02T03:04:05Z.
const START: Timestamp = Timestamp::constant(1_767_323_045, 0);

/// What an armed crash leaves to the next life.
type Cut = Arc<Mutex<Option<Left>>>;

/// What a life leaves to the next one.
pub(super) struct Left {
    disk: SimDisk,
    rows: SimRows,
    lost_rows: usize,
    kind: Kind,
}

impl Left {
    /// By a loss of power.
    fn by_power(disk: &SimDisk, rows: &SimRows, keep: Keep, kind: Kind) -> Self {
        let (rows, lost_rows) = rows.crash();
        Self { disk: disk.crash(keep), rows, lost_rows, kind }
    }

    /// By the end of the process alone.
    pub fn by_end(disk: &SimDisk, rows: &SimRows, kind: Kind) -> Self {
        Self { disk: disk.restart(), rows: rows.restart(), lost_rows: 0, kind }
    }
}

pub(super) struct Run<'s> {
    pub sim: &'s Simulation,
    pub runtime: Runtime,
    pub random: Rng,
    pub clock: SimClock,
    pub disk: SimDisk,
    pub rows: SimRows,
    pub peers: Peers,
    pub clients: Clients,
    pub seen: Seen,
    pub node: Option<Node>,
    pub how: How,
    /// Of the program that runs.
    version: u32,
    pub tally: Tally,
    pub trace: Vec<String>,
    /// Whether the disk has less space than the log may want.
    pub is_short: bool,
    /// The letters when somebody looked last.
    letters: Vec<String>,
    /// A plan that the operator has asked for.
    pub planned: Option<PlanAnswer>,
    cut: Cut,
}

impl<'s> Run<'s> {
    pub(super) fn new(sim: &'s Simulation, runtime: Runtime) -> Self {
        let mut random = Rng::with_seed(sim.seed);
        // What the outward loop draws for its waits comes from the thread's own source.
        fastrand::seed(random.u64(..));
        let how = How::drawn(&mut random);
        Self {
            sim,
            runtime,
            clock: SimClock::new(START),
            disk: SimDisk::new(random.u64(..)),
            rows: SimRows::new(random.u64(..)),
            peers: Peers::new(random.u64(..)),
            clients: Clients::new(random.u64(..)),
            seen: Seen::default(),
            node: None,
            how,
            version: 1,
            tally: Tally::default(),
            trace: Vec::new(),
            is_short: false,
            letters: Vec::new(),
            planned: None,
            cut: Cut::default(),
            random,
        }
    }

    pub(super) fn through(&mut self) -> Result<(), Violation> {
        poison::heal();
        let mut wanted = 0;
        let mut after = 0;
        while wanted < self.sim.count || after < 40 {
            if wanted < self.sim.count && self.random.u8(..6) == 0 {
                // Now and then two that belong together.
                let together = if self.random.u8(..8) == 0 { 2 } else { 1 };
                let drafts = (0..together).map(|more| (self.sim.commands)(&mut self.random, wanted + more)).collect();
                wanted += together;
                self.clients.want(drafts);
            }
            if wanted >= self.sim.count {
                after += 1;
            }
            self.turn()?;
        }
        self.settle()?;
        self.aftermath()
    }

    /// Somebody's turn.
    fn turn(&mut self) -> Result<(), Violation> {
        let Some(node) = &mut self.node else {
            if self.random.bool() {
                self.space(None);
            }
            let time = Duration::from_millis(self.random.u64(..3_000));
            self.pass(time);
            return self.start(false);
        };
        match self.random.u8(..122) {
            0..=16 => self.clients.send(node, self.clock.mark(), 0.8),
            17..=51 => {
                let steps = self.random.usize(1..=6);
                if let Err(error) = node.engine_steps(steps) {
                    return self.stop_after(&error);
                }
            }
            52..=62 => {
                if let Err(error) = node.views.step() {
                    self.trace.push(format!("views: {error}"));
                }
            }
            63..=79 => {
                let most = if self.random.u8(..8) == 0 { 20_000 } else { 300 };
                let time = Duration::from_millis(self.random.u64(1..most));
                self.pass(time);
            }
            80..=83 => self.seen.compare(node, &mut self.random)?,
            84..=85 => {
                let saved = node.engine.save_cursor();
                if let Err(error) = saved
                    && !Engine::may_recover(&error)
                {
                    return self.stop_after(&error);
                }
            }
            86..=87 => {
                if let Err(error) = node.committer.idle() {
                    self.trace.push(format!("idle: {error}"));
                }
            }
            88 => {
                let minutes = self.random.u64(1..3_000);
                self.clock.pass(Duration::from_secs(60 * minutes));
                self.tally.one(Kind::ClockJump);
                self.trace.push(format!("the clock jumps by {minutes} minutes"));
            }
            89..=92 => self.plan_fault(),
            93 => {
                let chance = if self.random.bool() { 0.3 } else { 0.0 };
                self.rows.fail(chance);
                self.trace.push(format!("rows fail with chance {chance}"));
            }
            94 => self.peers.break_down(self.random.u32(1..12)),
            95..=96 => {
                let power = self.random.bool().then(|| super::faults::keep(&mut self.random));
                let left = match power {
                    Some(keep) => Left::by_power(&self.disk, &self.rows, keep, Kind::PowerCut),
                    None => Left::by_end(&self.disk, &self.rows, Kind::Kill),
                };
                self.die(left);
                return Ok(());
            }
            97..=98 => self.arm(),
            99..=104 => self.operate(),
            105..=106 => self.deploy(),
            107 | 112..=117 => self.try_again(),
            118.. => self.carry_out(),
            108..=110 => self.account()?,
            _ => return self.clean_stop(),
        }
        self.afterwards()
    }

    /// What follows from a turn: the crash that came in the middle of it, or what everybody sees now.
    pub fn afterwards(&mut self) -> Result<(), Violation> {
        self.note_peers();
        if let Some(left) = self.taken_cut() {
            self.die(left);
            return Ok(());
        }
        self.look()?;
        let (failed, too_early) = poison::take_hits();
        self.tally.many(Kind::Poisoned, failed);
        self.tally.many(Kind::TooEarly, too_early);
        let Some(node) = &self.node else { return Ok(()) };
        // An operator watches the health.
        let stopped = !node.health().stopped.is_empty() || !node.stopped_views().is_empty() || node.outward_has_ended();
        if stopped && self.random.u8(..12) == 0 {
            return self.clean_stop();
        }
        Ok(())
    }

    /// Everybody looks at what is new.
    pub fn look(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        let new = self.seen.look(node, self.how.ring_bytes)?;
        self.tally.many(Kind::Messages, new.len() as u64);
        self.trace.extend(new.iter().map(line));
        // Answers that came while the disk did not let anybody look are judged when it does.
        if self.seen.messages.len() as u64 == node.tail.head().0 {
            self.clients.receive(&self.seen.messages, false)?;
        }
        self.trace.append(&mut self.clients.trace);
        let stands = node.letters();
        if self.letters != stands {
            self.trace.push(format!("letters: {stands:?}"));
            self.letters = stands;
        }
        Ok(())
    }

    /// Time passes, for the node's clock and for the outward loop.
    pub fn pass(&mut self, time: Duration) {
        self.clock.pass(time);
        if let Some(node) = &self.node {
            node.outward_for(&self.runtime, time);
        }
    }

    /// The committer's half gets its turn, and now and then the disk does not let it through.
    fn carry_out(&mut self) {
        let Some(node) = &self.node else { return };
        if node.is_in_flight() && self.random.u8(..3) == 0 {
            let fault = if self.random.bool() { Fault::Full } else { Fault::Io };
            self.disk.plan(fault, When::At(self.disk.calls() + 1));
            self.trace.push(format!("the next I/O operation: {fault:?}"));
        }
        node.carry_out();
    }

    /// The power, or the process, goes at one of the next I/O operations.
    fn arm(&mut self) {
        let number = self.disk.calls() + self.random.u64(1..40);
        let power = self.random.bool().then(|| super::faults::keep(&mut self.random));
        let (disk, rows, cut) = (self.disk.clone(), self.rows.clone(), self.cut.clone());
        self.disk.watch(Some(Arc::new(move |io| {
            let mut cut = cut.lock().unwrap_or_else(PoisonError::into_inner);
            if io.number == number && !io.done {
                *cut = Some(match power {
                    Some(keep) => Left::by_power(&disk, &rows, keep, Kind::PowerCutInIo),
                    None => Left::by_end(&disk, &rows, Kind::KillInIo),
                });
            }
        })));
    }

    fn taken_cut(&self) -> Option<Left> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The node is gone; the next one finds what is left.
    pub fn die(&mut self, left: Left) {
        self.tally.one(left.kind);
        self.tally.many(Kind::LostRows, left.lost_rows as u64);
        self.trace.push(format!("-- {:?}", left.kind));
        self.end_life();
        (self.disk, self.rows) = (left.disk, left.rows);
    }

    pub(super) fn end_life(&mut self) {
        self.disk.watch(None);
        if let Some(node) = self.node.take() {
            self.tally.many(Kind::DecidedInFlight, node.decided_in_flight);
            self.tally.many(Kind::FellInFlight, node.fell_in_flight);
            self.tally.many(Kind::EndedInFlight, u64::from(node.is_in_flight()));
            node.end(&self.runtime);
        }
        let _ = self.taken_cut();
        self.count_faults();
        self.clients.hang_up();
        self.trace.append(&mut self.clients.trace);
    }

    fn count_faults(&mut self) {
        let counts = self.disk.counts();
        for fault in Fault::ALL {
            let kind = match fault {
                Fault::Io => Kind::IoError,
                Fault::Full => Kind::DiskFull,
                Fault::ShortRead | Fault::ShortWrite | Fault::Interrupted => Kind::ShortIo,
                Fault::SyncForgets => Kind::FailedSync,
                Fault::FlipRead | Fault::Stale => Kind::WrongRead,
                Fault::FlipStored => Kind::BitFlipped,
            };
            self.tally.many(kind, counts.of(fault));
        }
        self.tally.many(Kind::RowError, self.rows.failures());
    }

    /// The engine has failed for good: it tells those who wait, and the process ends.
    pub fn stop_after(&mut self, error: &StoreError) -> Result<(), Violation> {
        self.trace.push(format!("engine: {error}"));
        if let Some(left) = self.taken_cut() {
            self.die(left);
            return Ok(());
        }
        if let Some(node) = &mut self.node {
            node.engine.shut(&error.to_string());
        }
        self.look()?;
        self.die(Left::by_end(&self.disk, &self.rows, Kind::Stop));
        Ok(())
    }

    /// An operator stops the node; what cannot be finished is left to the next.
    pub fn clean_stop(&mut self) -> Result<(), Violation> {
        let Some(node) = self.node.take() else { return Ok(()) };
        let cut = self.cut.clone();
        let outcome = node.stop(&self.runtime, |node| {
            if cut.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return Ok(());
            }
            let new = self.seen.look(node, self.how.ring_bytes)?;
            self.tally.many(Kind::Messages, new.len() as u64);
            self.trace.extend(new.iter().map(line));
            match self.seen.messages.len() as u64 == node.tail.head().0 {
                true => self.clients.receive(&self.seen.messages, false),
                false => Ok(()),
            }
        })?;
        self.note_peers();
        if let Err(problem) = outcome {
            self.trace.push(format!("the stop was not clean: {problem}"));
        }
        let stopped = || Left::by_end(&self.disk, &self.rows, Kind::CleanStop);
        let left = self.taken_cut().unwrap_or_else(stopped);
        self.die(left);
        Ok(())
    }

    /// Starts the node, on a disk that may fail, or on a healthy one.
    pub fn start(&mut self, healthy: bool) -> Result<(), Violation> {
        self.how = How::drawn(&mut self.random);
        let planned = !healthy && self.plan_start_faults();
        if !healthy && self.random.u8(..10) == 0 {
            self.arm();
        }
        self.roll(healthy);
        let services = (self.sim.services)(&self.peers, self.version);
        let started = Node::start(&self.runtime, services, &self.disk, &self.rows, &self.clock, &self.how);
        self.disk.heal();
        match started {
            Ok(node) => {
                self.node = Some(node);
                self.trace.push(format!("-- start of version {}: {:?}", self.version, self.how));
                if self.how.shuffled.is_some() {
                    self.tally.one(Kind::Shuffled);
                }
                self.hold_against_what_was_seen()?;
                self.afterwards()
            }
            Err(Trouble::LogBehindRows(problem)) => Violation::found("I4", problem),
            Err(Trouble::Refused(problem)) if planned || self.rows.failures() > 0 || self.is_short => {
                self.trace.push(format!("-- no start: {problem}"));
                let refused = || Left::by_end(&self.disk, &self.rows, Kind::RefusedStart);
                let left = self.taken_cut().unwrap_or_else(refused);
                self.die(left);
                Ok(())
            }
            Err(Trouble::Refused(problem)) => Violation::found(
                "I15",
                format!("nothing is wrong with the disk, and the node does not start: {problem}"),
            ),
        }
    }

    /// Which version of the program is started.
    fn roll(&mut self, healthy: bool) {
        let (before, newest) = (self.version, self.sim.newest);
        self.version = match self.random.u8(..8) {
            _ if healthy => newest,
            0..=1 => before.saturating_add(1).min(newest),
            2 => before.saturating_sub(1).max(1),
            _ => before,
        };
        match self.version.cmp(&before) {
            std::cmp::Ordering::Greater => self.tally.one(Kind::RolledOut),
            std::cmp::Ordering::Less => self.tally.one(Kind::RolledBack),
            std::cmp::Ordering::Equal => {}
        }
    }

    /// What was seen before a crash is there after it.
    fn hold_against_what_was_seen(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        let (seen, head) = (self.seen.messages.len(), node.tail.head().0);
        if head < seen as u64 {
            return Violation::found("I4", format!("position {seen} was seen, and now the log ends at {head}"));
        }
        match read_all(&*node.reader, factum_core::stream::Position::START) {
            Ok(messages) => self.seen.same(&messages, 0, "I3"),
            Err(error) => Violation::found("I15", format!("nothing is wrong with the disk, and it says: {error}")),
        }
    }

    pub fn note_peers(&mut self) {
        self.trace.append(&mut self.peers.take_trace());
        self.trace.append(&mut self.clients.trace);
    }
}
