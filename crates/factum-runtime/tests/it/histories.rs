//! Random histories, with snapshots and without: every answer and every stream is the same, whatever becomes of the
//! snapshots, wherever writes fail and whenever the program ends.
//!
//! `FACTUM_SEED=7` runs one seed again, `FACTUM_SEEDS=2000` so many.

use std::ops::Range;

use factum_core::{error::StoreError, ports::Snapshots, snapshot::Snapshot};
use factum_runtime::engine::Step;
use fastrand::Rng;

use super::bank::*;
use super::bench::*;
use super::snapshots::{bank_with, often};

const STEPS: usize = 60;

#[derive(Clone, Debug)]
enum Act {
    /// An account, cents, and the number of the command's id, which may have been used before.
    Pay(&'static str, i64, u32),
    Note(&'static str, i64, u32),
    /// Several payments that nobody waits for, and so many steps.
    Burst(Vec<(&'static str, i64, u32)>, u32),
    SaveCursor,
    Stop,
    Kill,
    Reload,
    /// The next write but so many fails.
    Fault(usize, Fault),
    /// Something happens to the snapshots; by this seed.
    Tamper(u64),
}

fn act(random: &mut Rng, number: u32) -> Act {
    let account = |random: &mut Rng| ["a", "b", "c"][random.usize(..3)];
    let cents = |random: &mut Rng| random.i64(-60..120);
    match random.u32(..100) {
        0..40 => {
            let number = if random.u32(..6) == 0 { random.u32(..number + 1) } else { number };
            Act::Pay(account(random), cents(random), number)
        }
        40..45 => Act::Note(account(random), cents(random), number),
        45..60 => {
            let payments = (0..random.u32(1..8)).map(|more| (account(random), cents(random), number * 100 + more));
            Act::Burst(payments.collect(), random.u32(..6))
        }
        60..65 => Act::SaveCursor,
        65..70 => Act::Stop,
        70..78 => Act::Kill,
        78..81 => Act::Reload,
        81..86 => {
            let faults = [Fault::Transient, Fault::UnknownLost, Fault::UnknownWritten];
            Act::Fault(random.usize(1..4), faults[random.usize(..3)])
        }
        _ => Act::Tamper(random.u64(..)),
    }
}

/// A program with its history, and the snapshots that it once had.
struct Run {
    bench: Option<Bench>,
    snapshots: bool,
    told: Vec<String>,
    old: Vec<(String, Snapshot)>,
    tampered: usize,
}

impl Run {
    fn new(snapshots: bool) -> Self {
        let bench = Some(Bench::with(bank_with(snapshots), often()));
        Self { bench, snapshots, told: Vec::new(), old: Vec::new(), tampered: 0 }
    }

    fn bench(&mut self) -> &mut Bench {
        self.bench.as_mut().unwrap()
    }

    fn restart(&mut self) {
        let bench = self.bench.take().unwrap();
        self.bench = Some(bench.restart(bank_with(self.snapshots)));
    }

    /// Goes on after a failure as the supervisor does, or as who starts the program again.
    fn failed(&mut self, error: &StoreError) {
        self.told.push(error.to_string());
        match error {
            StoreError::Transient(_) => self.bench().engine.reload().unwrap(),
            _ => self.restart(),
        }
    }

    fn rest(&mut self) {
        for _ in 0..10_000 {
            match self.bench().engine.step() {
                Ok(Step::Rest) => return,
                Ok(Step::Worked | Step::InFlight) => {}
                Err(error) => self.failed(&error),
            }
        }
        panic!("the engine does not come to rest");
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Pay(account, cents, number) => {
                let mut answer = self.bench().post_as(&format!("p{number}"), pay(account, *cents));
                self.rest();
                self.told.push(format!("{:?}", answer.try_recv()));
            }
            Act::Note(account, cents, number) => {
                let note = Note { id: (*account).to_owned(), cents: *cents };
                let mut answer = self.bench().post_as(&format!("n{number}"), note);
                self.rest();
                self.told.push(format!("{:?}", answer.try_recv()));
            }
            Act::Burst(payments, steps) => {
                for (account, cents, number) in payments {
                    self.bench().send(&format!("b{number}"), pay(account, *cents));
                }
                for _ in 0..*steps {
                    if let Err(error) = self.bench().engine.step() {
                        self.failed(&error);
                    }
                }
            }
            Act::SaveCursor => self.save_cursor(),
            Act::Stop => {
                self.rest();
                self.save_cursor();
                self.bench().engine.take_snapshots();
                self.restart();
            }
            Act::Kill => self.restart(),
            Act::Reload => self.bench().engine.reload().unwrap(),
            Act::Fault(behind, fault) => {
                let at = self.bench().faults.writes() + behind;
                self.bench().faults.at(at, *fault);
            }
            Act::Tamper(seed) if self.snapshots => self.tamper(&mut Rng::with_seed(*seed)),
            Act::Tamper(_) => {}
        }
    }

    fn save_cursor(&mut self) {
        if let Err(error) = self.bench().engine.save_cursor() {
            self.failed(&error);
        }
    }

    /// What may become of snapshots: each keeps a state that would be noticed if it were used wrongly.
    fn tamper(&mut self, random: &mut Rng) {
        let store = self.bench().snapshots.clone();
        let names = store.names();
        if names.is_empty() {
            return;
        }
        self.tampered += 1;
        let name = &names[random.usize(..names.len())];
        let snapshot = store.get(name).unwrap().unwrap();
        self.old.push((name.clone(), snapshot.clone()));
        let put = |name: &str, snapshot: Snapshot| store.put(name, snapshot).unwrap();
        // A state of other numbers, well formed.
        let lie = |snapshot: &Snapshot| {
            let mut lie = snapshot.clone();
            let start = lie.state.iter().rposition(|byte| *byte == b'{').unwrap_or(0);
            for byte in &mut lie.state[start..] {
                *byte = if matches!(byte, b'1'..b'9') { *byte + 1 } else { *byte };
            }
            lie
        };
        match random.u32(..9) {
            0 => store.remove(name).unwrap(),
            1 => names.iter().for_each(|name| store.remove(name).unwrap()),
            2 => {
                let (name, old) = &self.old[random.usize(..self.old.len())];
                put(name, old.clone());
            }
            3 => {
                let mut torn = snapshot;
                torn.state.truncate(random.usize(..=torn.state.len()));
                put(name, torn);
            }
            4 => put(&names[random.usize(..names.len())], snapshot),
            5 => {
                let mut ahead = lie(&snapshot);
                // Far, because only a start sifts out what the log may reach.
                ahead.at.position.0 = 100_000 + random.u64(..20);
                put(name, ahead);
            }
            6 => {
                let mut foreign = lie(&snapshot);
                foreign.at.lineage.log_id[random.usize(..16)] = 1;
                put(name, foreign);
            }
            7 => {
                let mut foreign = lie(&snapshot);
                foreign.at.lineage.epoch += 1;
                put(name, foreign);
            }
            _ => {
                let mut other = lie(&snapshot);
                other.model = random.u64(..);
                put(name, other);
            }
        }
    }
}

fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("FACTUM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FACTUM_SEEDS").unwrap_or(usual),
    }
}

#[test]
fn decisions_are_the_same_with_and_without_snapshots() {
    let (mut tampered, mut kept, mut failures) = (0, 0, 0);
    let seeds = seeds(150);
    let many = seeds.end - seeds.start > 100;
    for seed in seeds {
        let mut random = Rng::with_seed(seed);
        let (mut with, mut without) = (Run::new(true), Run::new(false));
        for number in 0..STEPS {
            let act = act(&mut random, number as u32);
            with.act(&act);
            without.act(&act);
            let at = || format!("step {number}, {act:?}, of seed {seed}; FACTUM_SEED={seed} runs it again");
            assert_eq!(with.told, without.told, "{}", at());
            assert_eq!(with.bench().log().len(), without.bench().log().len(), "{}", at());
        }
        with.rest();
        without.rest();
        for (stream, lines) in without.bench().contents() {
            assert_eq!(with.bench().contents()[&stream], lines, "{stream}; FACTUM_SEED={seed} runs it again");
        }
        with.bench().check_versions();
        assert!(with.bench().health().stopped.is_empty(), "{:?}", with.bench().health());
        tampered += with.tampered;
        kept += with.bench().snapshots.names().len();
        failures += with.told.iter().filter(|told| told.contains("as told")).count();
    }
    println!("{tampered} snapshots tampered with, {kept} left at the end, {failures} failures of writes");
    assert!(!many || tampered > 300 && kept > 300 && failures > 100, "the histories hold what they are meant to");
}
