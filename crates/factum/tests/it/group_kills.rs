//! A pull group whose program is killed again and again: each event is handled, in the order of its key, and no letter is lost.
#![allow(clippy::print_stdout, reason = "a child says what it does")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::Path,
    process::{Command as Process, Stdio},
};

use factum::{
    By,
    groups::{Delivery, GroupError, Settlement, Verdict},
    letter::Subject,
    letters::Query,
    ports::Scan,
    prelude::*,
    stream::Position,
};

use super::{Basket, Filled, fill};

/// Says to a child in which directory it works.
const CHILD: &str = "FACTUM_TEST_GROUP_KILLS";
const NAME: &str = "fillers";
/// Kills, if `FACTUM_KILLS` does not say.
const KILLS: u64 = 6;

async fn start(dir: &Path) -> App {
    let group = Group::new(NAME).reads::<Filled>().attempts(2);
    let service = Service::new("basket").decider::<Basket>().group(group);
    App::open(dir).unwrap().with(service).start().await.unwrap()
}

/// What a worker does: it says what it has, and fails on what is bad.
async fn work(app: &App, most: usize, wait: u64) -> usize {
    let deliveries = app.groups().poll(NAME, most, wait.secs()).await.unwrap();
    let count = deliveries.len();
    for Delivery { token, attempt, message, .. } in deliveries {
        let (position, key, id) = (&message["position"], &message["partitionKey"], &message["id"]);
        println!("got {position} {key} {id} {attempt}");
        let bad = message["data"]["article"] == "bad";
        let verdict = match bad {
            true => Verdict::Failed { delay: Some(0.secs()), reason: "it is bad".to_owned() },
            false => Verdict::Done,
        };
        println!("{} {position}", if bad { "fails" } else { "acks" });
        match app.groups().settle(NAME, &Settlement { tokens: vec![token], verdict }).await {
            Ok(()) => println!("{} {position}", if bad { "failed" } else { "acked" }),
            // Its lease ran out on a machine that is slow.
            Err(GroupError::Stale(_)) => println!("stale {position}"),
            Err(error) => panic!("{error}"),
        }
    }
    count
}

/// What the child does until it is killed; in a usual run of the tests, nothing.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_process_of_its_own() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let app = start(Path::new(&dir)).await;
    let fills = async {
        for number in app.position().0.. {
            // What is bad holds up only keys of its own.
            let (basket, article) = match number % 40 {
                7 => (format!("b{}", number / 40 % 3), "bad"),
                8 => (format!("b{}", number / 40 % 3), "tea"),
                _ => (format!("k{}", number % 9), "tea"),
            };
            app.execute(fill(&basket, article, 0)).await.unwrap();
        }
    };
    let worker = async || loop {
        work(&app, 5, 5).await;
    };
    tokio::join!(fills, worker(), worker());
}

/// A child that is killed when it has said so many lines; what it has said.
fn killed(dir: &Path, lines: usize) -> Vec<String> {
    let mut child = Process::new(std::env::current_exe().unwrap());
    child.args(["--exact", "group_kills::in_a_process_of_its_own", "--nocapture"]);
    let mut child = child.env(CHILD, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let mut heard = Vec::new();
    for line in said.lines() {
        let line = line.unwrap();
        if ["got ", "ack", "fail", "stale "].iter().any(|word| line.starts_with(word)) {
            heard.push(line);
        }
        if heard.len() == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(heard.len() >= lines, "the child has ended by itself: {heard:?}");
    heard
}

/// Holds what workers said against the log.
fn check(heard: &[String], log: &BTreeMap<u64, (String, bool)>) {
    let mut acking: BTreeSet<u64> = BTreeSet::new();
    let mut acked: BTreeSet<u64> = BTreeSet::new();
    let mut ids: BTreeMap<u64, &str> = BTreeMap::new();
    for line in heard {
        let words: Vec<&str> = line.split(' ').collect();
        let position: u64 = words[1].parse().unwrap();
        match words[0] {
            "got" => {
                assert!(!acked.contains(&position), "I6: {position} is given out again behind its ack");
                assert_eq!(*ids.entry(position).or_insert(words[3]), words[3], "a repeat has its id");
                let (key, _) = &log[&position];
                let earlier = log.range(..position).find(|(at, (other, _))| other == key && !acking.contains(at));
                assert!(earlier.is_none(), "I2: {position} is given out before {earlier:?}");
            }
            "acks" => _ = acking.insert(position),
            "acked" => _ = acked.insert(position),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_a_group_is_handled_whenever_its_program_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let kills = std::env::var("FACTUM_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut random = fastrand::Rng::with_seed(7);
    let mut heard = Vec::new();
    for _ in 0..kills {
        let (dir, lines) = (dir.path().to_owned(), random.usize(40..400));
        heard.extend(tokio::task::spawn_blocking(move || killed(&dir, lines)).await.unwrap());
    }
    let app = start(dir.path()).await;
    let until = app.position();
    let scan = Scan { after: Position::START, until, bytes: usize::MAX, types: None };
    let log = app.reader().scan(&scan).unwrap().messages.into_iter().filter(|it| it.type_name() == "basket.filled");
    let log: BTreeMap<u64, (String, bool)> = log
        .map(|it| {
            let event = it.decode::<Filled>().unwrap();
            (it.position.0, (event.basket.clone(), event.article == "bad"))
        })
        .collect();
    check(&heard, &log);

    // What was a letter is one: none is lost, and none is made of what never failed.
    let failed = |position: u64| heard.iter().filter(|line| **line == format!("failed {position}")).count();
    let mut dead: BTreeSet<u64> = BTreeSet::new();
    loop {
        while work(&app, 1_000, 0).await > 0 {}
        let letters = app.letters().list(Query { limit: Some(1_000), ..Query::default() }).await.unwrap().letters;
        for letter in &letters {
            let Subject::Message(position) = letter.id.subject else { panic!("a letter about {}", letter.id) };
            assert!(log[&position.0].1, "{position} never failed");
            dead.insert(position.0);
            app.letters().discard(&letter.id, &By::new("mara", "it is bad")).await.unwrap();
        }
        if letters.is_empty() {
            break;
        }
    }
    assert!(log.keys().filter(|position| failed(**position) >= 2).all(|position| dead.contains(position)));
    let bad: BTreeSet<u64> = log.iter().filter(|(_, (_, bad))| *bad).map(|(position, _)| *position).collect();
    assert_eq!(dead, bad, "I6: each event that cannot be handled was a letter");
    let state = app.groups().show(NAME).await.unwrap();
    assert_eq!((state.lag, state.leased, state.held, state.letters), (0, 0, 0, 0), "I6: {state:?}");
    app.stop().await;
}
