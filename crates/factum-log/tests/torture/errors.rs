//! An error at every call of every script, once and for good: the log goes on rightly or says what is wrong.

use std::fmt;
use std::sync::{Arc, Mutex};

use factum_testing::sim::disk::{Call, Counts, Fault, Keep, SimDisk, When};
use fastrand::Rng;

use crate::model::{Model, batch};
use crate::run::{Run, hold, open};
use crate::scale::{grouped, seed, short_or_full};
use crate::workload::{self, Workload};

/// Faults that a call admits to.
pub const HONEST: [Fault; 6] =
    [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::ShortRead, Fault::Interrupted, Fault::SyncForgets];

#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    once: u64,
    lasting: u64,
    by_chance: u64,
    refusals: u64,
    counts: Counts,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [runs, once, lasting, by_chance, refusals, faults] =
            [self.runs, self.once, self.lasting, self.by_chance, self.refusals, self.counts.total()].map(grouped);
        write!(
            f,
            "{runs} runs ({once} with one error, {lasting} with one for good, {by_chance} with some by chance), \
             {faults} faults happened ({}), {refusals} refusals",
            self.counts
        )
    }
}

/// The calls of a script on a disk without faults, in order.
pub fn calls(workload: &Workload) -> Vec<Call> {
    let disk = SimDisk::new(workload.seed);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    disk.watch(Some(Arc::new(move |io| {
        if io.done {
            noted.lock().unwrap().push(io.call);
        }
    })));
    let mut run = Run::new(&disk, workload);
    for step in &workload.steps {
        hold(run.step(step), &|| format!("no fault, workload {} of seed {}", workload.name, workload.seed));
    }
    disk.watch(None);
    calls.lock().unwrap().clone()
}

/// Runs a script with faults; then the disk is whole again, and power is lost or the process dies.
fn one(workload: &Workload, faults: &[Fault], when: When, tally: &mut Tally) {
    let disk = SimDisk::new(workload.seed);
    for fault in faults {
        disk.plan(*fault, when);
    }
    let replay = || {
        let Workload { name, seed, .. } = workload;
        format!("replay: FACTUM_SEED={}, workload {name} of seed {seed}, {faults:?} {when:?}", crate::scale::seed())
    };
    let mut run = Run::new(&disk, workload);
    for step in &workload.steps {
        hold(run.step(step), &replay);
    }
    tally.runs += 1;
    tally.refusals += run.refusals;
    tally.counts += &disk.counts();
    disk.heal();
    disk.set_space(None);
    let model = run.end();
    assert_eq!(disk.open_files(), 0, "I16: files are open that nobody has ({})", replay());
    let draw = Rng::with_seed(workload.seed).u64(..);
    for keep in [Keep::Lost, Keep::All, Keep::Some(draw), Keep::Some(draw + 1), Keep::Torn(draw)] {
        let replay = || format!("{}, then {keep:?}", replay());
        go_on(&disk.crash(keep), workload, model.clone(), &replay);
    }
    go_on(&disk.restart(), workload, model, &|| format!("{}, then a new process", replay()));
}

/// The log on a whole disk: everything is there, another append too, and still after power was lost.
fn go_on(disk: &SimDisk, workload: &Workload, mut model: Model, replay: &dyn Fn() -> String) {
    model.reader = None;
    let opened = |disk: &SimDisk| open(disk, &workload.options()).unwrap_or_else(|e| panic!("I1: {e} ({})", replay()));
    let (mut log, _) = opened(disk);
    hold(model.check(&mut log), replay);
    let parts = workload::parts(&mut Rng::with_seed(workload.seed), 700, false);
    model.begin(&parts);
    let appended = log.append(&batch(&parts)).unwrap_or_else(|error| panic!("I1: {error} ({})", replay()));
    model.acknowledge(appended.frame);
    let (mut log, _) = opened(&disk.crash(Keep::Lost));
    hold(model.check(&mut log), replay);
}

#[test]
fn an_error_at_any_call_is_survived_or_said() {
    let mut tally = Tally::default();
    let (at_least, stride, chances) = short_or_full((1, 23, 20), (25_000, 1, 300));
    let mut round = 0;
    while tally.once + tally.lasting < at_least {
        let mut draw = 0;
        for workload in workload::all(seed() + round) {
            for (index, call) in calls(&workload).into_iter().enumerate() {
                let number = index as u64 + 1;
                for fault in HONEST.into_iter().filter(|fault| fault.fits(call)) {
                    draw += 1;
                    // A call that is interrupted for ever is tried for ever.
                    let lasts = fault != Fault::Interrupted;
                    if draw % stride == 0 {
                        tally.once += 1;
                        one(&workload, &[fault], When::At(number), &mut tally);
                    }
                    if draw % (stride * 2) == 1 % stride && lasts {
                        tally.lasting += 1;
                        one(&workload, &[fault], When::From(number), &mut tally);
                    }
                }
            }
        }
        round += 1;
    }
    for draw in 0..chances {
        for workload in workload::all(seed() + draw) {
            tally.by_chance += 1;
            one(&workload, &HONEST, When::Chance(0.01), &mut tally);
        }
    }
    println!("torture errors: {tally}, 0 acknowledged lost, 0 panics");
    for fault in HONEST {
        assert!(tally.counts.of(fault) > 0, "{fault:?} never happened: the test has lost its object");
    }
}
