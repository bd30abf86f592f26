//! The corpus of the fuzz targets, what was found with them, and a short mutation of both by seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests are tests too")]

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use factum_testing::fuzz::{TARGETS, Target, seeds};
use fastrand::Rng;

/// Mutated inputs for each target; `FACTUM_FUZZ` for more.
const MUTATED: usize = 300;

fn place(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target)
}

/// The inputs of a target in a folder, by name.
fn files(kind: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(place(kind, target)).unwrap();
    let mut files: Vec<_> = folder.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// What is wrong with an input, and how to find it again.
fn problem(name: &str, target: Target, input: &[u8]) -> Option<String> {
    let problem = match catch_unwind(AssertUnwindSafe(|| target(input))) {
        Ok(Ok(())) => return None,
        Ok(Err(problem)) => problem,
        Err(_) => "it panicked; see above".to_owned(),
    };
    let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{name}: {problem}\ninput: {hex}"))
}

/// Runs the inputs of a folder through their target; answers how many there were.
fn run(kind: &str, (target, run_it): (&str, Target)) -> usize {
    let files = files(kind, target);
    let problems: Vec<_> = files.iter().filter_map(|(name, input)| problem(name, run_it, input)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    files.len()
}

#[test]
fn whatever_the_corpus_holds_is_read_or_refused() {
    for target in TARGETS {
        assert!(run("corpus", target) > 0, "no corpus for {}", target.0);
    }
}

#[test]
fn what_the_fuzzer_once_found_stays_mended() {
    let found = TARGETS.into_iter().filter(|(target, _)| place("regressions", target).exists());
    let counts: Vec<usize> = found.map(|target| run("regressions", target)).collect();
    assert!(counts.iter().sum::<usize>() > 0, "no regressions");
}

#[test]
fn whatever_a_mutation_of_the_corpus_is_it_is_read_or_refused() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("FACTUM_SEED").unwrap_or(1);
    let count = number("FACTUM_FUZZ").map_or(MUTATED, |count| count as usize);
    for (target, run_it) in TARGETS {
        let mut corpus: Vec<Vec<u8>> = files("corpus", target).into_iter().map(|(_, input)| input).collect();
        corpus.extend(seeds(target).unwrap());
        let mut rng = Rng::with_seed(seed);
        for round in 0..count {
            let input = mutated(&corpus, &mut rng);
            let found = problem(&format!("{target}, FACTUM_SEED={seed}, round {round}"), run_it, &input);
            assert!(found.is_none(), "{}", found.unwrap_or_default());
        }
    }
}

/// One input with a few changes: bits, bytes that decide much, pieces gone or doubled, the end of another input.
fn mutated(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.usize(1..5) {
        let at = rng.usize(..input.len().max(1));
        let upto = (at + rng.usize(1..9)).min(input.len());
        match rng.u8(..6) {
            _ if input.is_empty() => input.push(rng.u8(..)),
            0 => input[at] ^= 1 << rng.u8(..8),
            1 => input[at] = rng.choice([0, 1, 2, 3, 4, 0x7f, 0x80, 0xff, b'"', b'{']).unwrap(),
            2 => drop(input.drain(at..upto)),
            3 => {
                let piece = input[at..upto].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let other = &corpus[rng.usize(..corpus.len())];
                input.splice(at.., other[at.min(other.len())..].iter().copied());
            }
            _ => input[at..upto].fill_with(|| rng.u8(..)),
        }
    }
    input
}

#[test]
#[ignore = "writes the corpus anew from its generator: cargo test -p factum-testing --test fuzz -- --ignored"]
fn seeds_are_written_to_the_corpus() {
    for (target, _) in TARGETS {
        fs::create_dir_all(place("corpus", target)).unwrap();
        for (index, seed) in seeds(target).unwrap().into_iter().enumerate() {
            fs::write(place("corpus", target).join(format!("seed-{index:02}")), seed).unwrap();
        }
    }
}
