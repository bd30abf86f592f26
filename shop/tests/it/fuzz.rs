//! What the fuzzer does with bytes that the shop reads; ordinary tests run the same on its corpus, and on mutations of that.
//!
//! The targets for `cargo fuzz` stand in `shop/fuzz`, with the corpus.

use std::{cell::RefCell, env, fs, io::Write, path::PathBuf};

use factum::id::unseen;
use fastrand::Rng;
use shop::import::{File, Unreadable, read};
use tempfile::NamedTempFile;
use tokio::runtime::Runtime;

use crate::{
    bodies::{
        damage::damage,
        one,
        routes::{BODIES, Case},
        world::World,
    },
    rows::{HEADER, row},
};

/// `Ok`, or what does not hold.
pub type Verdict = Result<(), String>;

/// One of the functions of this module.
pub type Target = fn(&[u8]) -> Verdict;

/// The targets, by name.
pub const TARGETS: [(&str, Target); 2] = [("files", files), ("bodies", bodies)];
/// Mutations of each target's corpus; `FACTUM_FUZZ` for more.
const MUTATED: usize = 500;
/// Requests that one shop takes.
const SHOP: usize = 1_000;
/// Bytes of a reason at most.
const LONGEST_REASON: usize = 1_000;

/// Any bytes as a file to import, packed or not: it is refused in a sentence, or each of its rows is told once.
pub fn files(input: &[u8]) -> Verdict {
    let mut file = NamedTempFile::new().map_err(|error| error.to_string())?;
    file.write_all(input).map_err(|error| error.to_string())?;
    let told = |text: &str| text.chars().all(|char| !char.is_control() && !unseen(char));
    let File { invoices, unreadable, rows, .. } = match read(file.path()) {
        Ok(file) => file,
        Err(error) if told(&error.to_string()) => return Ok(()),
        Err(error) => return Err(format!("a terminal would obey {error:?}")),
    };
    let kept = |row: &&Unreadable| invoices.iter().any(|invoice| Some(&invoice.number) == row.invoice.as_ref());
    let inside: u64 = invoices.iter().map(|invoice| invoice.rows).sum();
    if inside + unreadable.iter().filter(|row| !kept(row)).count() as u64 != rows {
        return Err(format!("{inside} rows are kept and {} told of {rows}", unreadable.len()));
    }
    if !unreadable.is_sorted_by(|a, b| a.line < b.line) {
        return Err("a line is told twice".to_owned());
    }
    match unreadable.iter().find(|row| row.reason.len() > LONGEST_REASON || !told(&row.reason)) {
        Some(row) => Err(format!("line {}: {:?}", row.line, row.reason)),
        None => Ok(()),
    }
}

thread_local! {
    static OPEN: RefCell<Option<(Runtime, World, usize)>> = const { RefCell::new(None) };
}

/// A byte that chooses the route, and any bytes as its body: what must hold of every request.
pub fn bodies(input: &[u8]) -> Verdict {
    let Some((route, body)) = input.split_first() else { return Ok(()) };
    OPEN.with_borrow_mut(|open| {
        let (runtime, mut world, taken) = open.take().unwrap_or_else(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let world = runtime.block_on(World::open());
            (runtime, world, 0)
        });
        let takes = &BODIES[usize::from(*route) % BODIES.len()];
        let case = Case::plain(takes, &world, body.to_vec());
        let verdict = runtime.block_on(one(&world, &case, Some(takes)));
        if taken < SHOP {
            *open = Some((runtime, world, taken + 1));
        } else {
            runtime.block_on(world.is_well());
        }
        verdict.map(drop).map_err(|wrong| format!("{wrong}\n{case}"))
    })
}

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Small files and requests to begin with.
#[cfg(test)]
fn seeds(target: &str) -> Vec<Vec<u8>> {
    if target == "bodies" {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(World::open());
        let mut random = Rng::with_seed(1);
        let body = |(route, takes): (u8, &crate::bodies::routes::Takes)| {
            [vec![route], takes.sound(&world, &mut random).to_string().into_bytes()].concat()
        };
        return (0..).zip(BODIES).map(body).collect();
    }
    let rows = [
        row("1", "TEA", 2, "2.55"),
        row("1", "POST", 1, "18"),
        row("C2", "TEA", -1, "2.55"),
        row("3", "D", -1, "5"),
        row("4", "\"A,B\"", 1, "x"),
        row("5", "CUP", -9, "0").replace(",7,", ",,"),
    ];
    let plain = format!("{HEADER}\n{}\n", rows.join("\n"));
    let months = format!("\u{feff}{}", plain.replace('\n', "\r\n").replace("2010-12-02 08:26:00", "12/2/2010 8:26"));
    let packed = zstd::encode_all(plain.as_bytes(), 3).unwrap();
    vec![plain.clone().into_bytes(), months.into_bytes(), packed, HEADER.as_bytes().to_vec()]
}

#[test]
fn whatever_the_corpus_or_a_mutation_of_it_is_it_is_read_or_refused() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    let seed = number("FACTUM_SEED").unwrap_or(1) as u64;
    for (target, run) in TARGETS {
        let mut files: Vec<PathBuf> = fs::read_dir(corpus(target)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let inputs: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(inputs.len() > 3, "no corpus for {target}");
        for (file, input) in files.iter().zip(&inputs) {
            run(input).unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
        }
        let mut random = Rng::with_seed(seed);
        for round in 0..number("FACTUM_FUZZ").unwrap_or(MUTATED) {
            let mut input = random.choice(&inputs).unwrap().clone();
            for _ in 0..random.usize(1..4) {
                damage(&mut input, &mut random);
            }
            run(&input).unwrap_or_else(|wrong| panic!("{target}, FACTUM_SEED={seed}, round {round}: {wrong}"));
        }
    }
}

#[test]
#[ignore = "writes the corpus anew: cargo test -p shop --test it fuzz -- --ignored"]
fn seeds_are_written_to_the_corpus() {
    for (target, _) in TARGETS {
        fs::create_dir_all(corpus(target)).unwrap();
        for (index, seed) in seeds(target).into_iter().enumerate() {
            fs::write(corpus(target).join(format!("seed-{index:02}")), seed).unwrap();
        }
    }
}
