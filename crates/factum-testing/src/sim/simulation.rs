//! A simulation as its user describes it, and what a run has shown.

use std::sync::Arc;

use factum_core::{
    envelope::{Draft, digest},
    service::Service,
};
use fastrand::Rng;
use tokio::runtime::Builder;

use super::{
    driver::Run,
    peers::Peers,
    tally::Tally,
    world::{Violation, World},
};

type Services = Box<dyn Fn(&Peers, u32) -> Vec<Service>>;
type Commands = Box<dyn Fn(&mut Rng, usize) -> Draft>;
type Check = Box<dyn Fn(&World<'_>) -> Result<(), Violation>>;

/// A run of a whole node, described.
pub struct Simulation {
    pub(super) seed: u64,
    pub(super) services: Services,
    pub(super) newest: u32,
    pub(super) count: usize,
    pub(super) commands: Commands,
    pub(super) checks: Vec<Check>,
}

/// What a run has shown.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What really happened, counted.
    pub tally: Tally,
    /// Everything that happened, in order, and a digest of each file that is left; the same for the same seed.
    pub trace: Vec<String>,
    /// The promise that was not kept, if any.
    pub violation: Option<Violation>,
}

impl Simulation {
    /// A run that draws everything by this seed.
    pub fn new(seed: u64) -> Self {
        let commands = Box::new(|_: &mut Rng, _: usize| Draft {
            type_name: factum_core::id::Name::Static("none"),
            version: factum_core::id::Name::Static("1.0.0"),
            data: Arc::from(&b"{}"[..]),
        });
        Self { seed, services: Box::new(|_, _| Vec::new()), newest: 1, count: 0, commands, checks: Vec::new() }
    }

    /// The services of the node. They are made anew at each start; the peers outlive them.
    #[must_use]
    pub fn services(self, services: impl Fn(&Peers) -> Vec<Service> + 'static) -> Self {
        self.versions(1, move |peers, _| services(peers))
    }

    /// The services of the node in versions 1 to `newest` of the program: a start may be one of the next version, or, after
    /// a roll-out that failed, of the one before. At the end the newest runs.
    #[must_use]
    pub fn versions(mut self, newest: u32, services: impl Fn(&Peers, u32) -> Vec<Service> + 'static) -> Self {
        (self.newest, self.services) = (newest, Box::new(services));
        self
    }

    /// What clients send: so many commands, each made from a source of chance and its number, counted from 0.
    #[must_use]
    pub fn commands(mut self, count: usize, command: impl Fn(&mut Rng, usize) -> Draft + 'static) -> Self {
        (self.count, self.commands) = (count, Box::new(command));
        self
    }

    /// What else must hold at rest.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&World<'_>) -> Result<(), Violation> + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Runs it.
    ///
    /// # Panics
    /// If a promise was not kept: the message begins with the invariant and ends with how to replay it. Or if there is
    /// no tokio runtime to be had.
    #[allow(clippy::panic, reason = "a panic is how a test says what it found")]
    pub fn run(self) -> Report {
        let report = self.outcome();
        if let Some(violation) = &report.violation {
            let last = report.trace.len().saturating_sub(25);
            let (trace, seed) = (report.trace[last..].join("\n"), report.seed);
            let replay = format!("seed {seed}: replay it with FACTUM_SEED={seed} (the sample: `make sim SEED={seed}`)");
            panic!("{violation}\n\nthe end of the trace:\n{trace}\n\n{replay}");
        }
        report
    }

    /// Runs it, and answers also what was not kept.
    ///
    /// # Panics
    /// If there is no tokio runtime to be had.
    #[allow(clippy::expect_used, reason = "without a runtime there is nothing to test with")]
    pub fn outcome(self) -> Report {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let mut run = Run::new(&self, runtime.expect("a current-thread runtime needs nothing"));
        let violation = run.through().err();
        run.note_peers();
        run.end_life();
        let Run { mut tally, clients, peers, mut trace, disk, .. } = run;
        trace.extend(disk.paths().into_iter().map(|path| {
            let bytes = disk.bytes(&path).unwrap_or_default();
            format!("{}: {} bytes, {:016x}", path.display(), bytes.len(), digest("", &bytes))
        }));
        tally += &clients.tally;
        tally += &peers.tally();
        Report { seed: self.seed, tally, trace, violation }
    }
}
