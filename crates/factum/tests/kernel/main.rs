//! Faults of the real kernel: kills, power cuts, failing syncs and full disks, on real file systems.
//!
//! This process is the recorder. It is never killed, starts writers (this program again, as `writer …`), hears what each
//! tries, gets acknowledged and sees, lets a fault happen, and looks at what is left. A failed check begins with the
//! name of the invariant, as `docs/reliability.md` lists them.
//!
//! There is no harness, because the program is also the writer. `FACTUM_SEED` repeats the drawn numbers of a run,
//! `FACTUM_KILLS`, `FACTUM_CUTS` and `FACTUM_CYCLES` make it longer. What cannot run here is skipped and counted, with
//! its reason; `FACTUM_REQUIRE=power,strace,full` makes that a failure.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod bank;
mod bank_check;
mod child;
mod entries;
mod full;
mod full_app;
mod history;
mod kills;
mod log_check;
mod log_writer;
mod power;
mod report;
mod traced;

use std::{panic, process::ExitCode, time::Instant};

use child::Level;

/// How a test ended that did not fail.
enum Outcome {
    Passed,
    /// What it needs, and has not.
    Skipped(String),
}

/// A test's name, what it needs of the machine, and the test.
type Test = (&'static str, &'static str, fn() -> Outcome);

const TESTS: &[Test] = &[
    ("the_log_keeps_what_it_acknowledged_over_kills", "", || kills::run(Level::Log)),
    ("the_app_keeps_what_it_acknowledged_over_kills", "", || kills::run(Level::App)),
    ("the_log_keeps_what_it_acknowledged_over_power_cuts", "power", || power::run(Level::Log)),
    ("the_app_keeps_what_it_acknowledged_over_power_cuts", "power", || power::run(Level::App)),
    ("a_failing_system_call_loses_nothing_acknowledged", "strace", traced::run),
    ("a_full_disk_refuses_appends_and_loses_nothing", "full", full::run),
    ("an_app_on_a_full_disk_goes_on_when_there_is_room", "full", full_app::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "writer") {
        child::write(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        TESTS.iter().for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let required = std::env::var("FACTUM_REQUIRE").unwrap_or_default();
    let (start, mut passed, mut failed, mut skipped, mut filtered) = (Instant::now(), 0, 0, 0, 0);
    for (name, need, test) in TESTS {
        if !is_wanted(name) {
            filtered += 1;
            continue;
        }
        let began = Instant::now();
        match panic::catch_unwind(test) {
            Ok(Outcome::Passed) => {
                passed += 1;
                println!("test {name} ... ok <{:.1}s>", began.elapsed().as_secs_f64());
            }
            Ok(Outcome::Skipped(reason)) if !required.split(',').any(|wanted| wanted == *need) => {
                skipped += 1;
                println!("test {name} ... ignored, {reason}");
            }
            Ok(Outcome::Skipped(reason)) => {
                failed += 1;
                println!("test {name} ... FAILED: it is required and was skipped: {reason}");
            }
            Err(_) => {
                failed += 1;
                println!("test {name} ... FAILED");
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let took = start.elapsed().as_secs_f64();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; {filtered} filtered \
         out; finished in {took:.2}s"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// How often something is done: what the environment says, else the usual.
fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The seed of all that is drawn, printed.
fn seed(of: &str) -> u64 {
    let seed =
        std::env::var("FACTUM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("kernel: {of}: FACTUM_SEED={seed}");
    seed
}
