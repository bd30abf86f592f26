//! Calls that say that all is well and give or store something else: a wrong bit, a sector as it was before.

use factum_log::LogError;
use factum_testing::sim::disk::{Counts, Fault, Keep, SimDisk, When};

use crate::errors::calls;
use crate::model::{Model, Problem};
use crate::run::{Run, hold, open};
use crate::scale::{grouped, seed, short_or_full};
use crate::workload::{self, Workload};

/// Faults that a call does not admit to.
const LIES: [Fault; 3] = [Fault::FlipRead, Fault::FlipStored, Fault::Stale];

#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    loud: u64,
    harmless: u64,
    last_lost: u64,
    counts: Counts,
}

/// One script and one lie.
struct Lie<'a> {
    workload: &'a Workload,
    fault: Fault,
    call: u64,
    draw: u64,
}

impl Lie<'_> {
    fn replay(&self) -> String {
        let Workload { name, seed, .. } = self.workload;
        let Self { fault, call, draw, .. } = self;
        format!("replay: FACTUM_SEED={}, workload {name} of seed {seed}, {fault:?} at call {call}, draw {draw}", {
            crate::scale::seed()
        })
    }

    fn run(&self, tally: &mut Tally) {
        let disk = SimDisk::new(self.workload.seed);
        disk.reseed(self.draw);
        disk.plan(self.fault, When::At(self.call));
        let mut run = Run::new(&disk, self.workload);
        let ended = self.workload.steps.iter().try_for_each(|step| run.step(step));
        tally.counts += &disk.counts();
        tally.runs += 1;
        disk.heal();
        disk.set_space(None);
        let mut model = run.model.lock().unwrap().clone();
        model.reader = None;
        let stored = self.fault == Fault::FlipStored;
        match ended {
            Err(Problem::LastLost(sentence)) => {
                assert!(stored, "{sentence} ({})", self.replay());
                tally.last_lost += 1;
                return;
            }
            Err(Problem::Refused(error)) => {
                self.check_loud(&error);
                tally.loud += 1;
            }
            other => {
                hold(other, &|| self.replay());
                tally.harmless += 1;
            }
        }
        // A lie of the moment has changed nothing for good, whether it was noticed or not.
        drop(run);
        for disk in [disk.restart(), disk.crash(Keep::Lost)] {
            match (check(&disk, self.workload, model.clone()), stored) {
                (Err(Problem::Refused(error)), true) => self.check_loud(&error),
                (Err(Problem::LastLost(_)), true) => tally.last_lost += 1,
                (checked, _) => hold(checked, &|| format!("afterwards, {}", self.replay())),
            }
        }
    }

    /// A refusal names a file and what is wrong with it.
    fn check_loud(&self, error: &LogError) {
        let loud = matches!(error, LogError::Damaged { .. } | LogError::UnknownFormat { .. });
        assert!(loud, "I15: {error} ({})", self.replay());
    }
}

fn check(disk: &SimDisk, workload: &Workload, mut model: Model) -> Result<(), Problem> {
    let (mut log, _) = open(disk, &workload.options())?;
    model.check(&mut log)
}

#[test]
fn a_lie_of_the_disk_is_harmless_or_said_and_none_of_the_moment_is_made_lasting() {
    let mut tally = Tally::default();
    let (rounds, draws, stride) = short_or_full((1, 1, 7), (6, 3, 1));
    let mut drawn = 0;
    for round in 0..rounds {
        for workload in workload::all(seed() + round) {
            for (index, call) in calls(&workload).into_iter().enumerate() {
                for fault in LIES {
                    for draw in (0..draws).filter(|_| fault.fits(call)) {
                        drawn += 1;
                        if drawn % stride == 0 {
                            Lie { workload: &workload, fault, call: index as u64 + 1, draw }.run(&mut tally);
                        }
                    }
                }
            }
        }
    }
    // Scripts with a full disk have other faults too.
    let told = LIES.map(|fault| format!("{} {fault:?}", tally.counts.of(fault))).join(", ");
    let Tally { runs, loud, harmless, last_lost, counts } = &tally;
    println!(
        "torture lies: {} runs, {} lies happened ({told}): {} said, {} harmless, {} times an unproven last batch lost",
        grouped(*runs),
        grouped(LIES.iter().map(|fault| counts.of(*fault)).sum()),
        grouped(*loud),
        grouped(*harmless),
        grouped(*last_lost)
    );
    for fault in LIES {
        assert!(counts.of(fault) > 0, "{fault:?} never happened: the test has lost its object");
    }
    assert!(*loud > 0 && *harmless > 0);
}
