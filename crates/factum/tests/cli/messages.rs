//! `factum log dump` and `tail`.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use serde_json::Value;
use tempfile::tempdir;

use crate::{factum, filled, next_segment, run, spawn, start, stop, text, write};

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn positions(out: &str) -> Vec<u64> {
    lines(out).iter().map(|message| message["position"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_has_the_messages_asked_for_in_the_public_form() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 12).await;
    let data = text(dir.path());
    let dump = |more: &[&str]| run(&[&["log", "dump", data], more].concat());
    let all = dump(&[]);
    assert_eq!((all.code, all.errors.as_str()), (0, ""));
    assert_eq!(positions(&all.out), (1..=12).collect::<Vec<_>>());
    let first = &lines(&all.out)[0];
    assert_eq!((&first["type"], &first["kind"]), (&"note.written".into(), &"event".into()));
    assert_eq!(
        (&first["subject"], &first["sequence"], &first["data"]["text"]),
        (&"note-n0".into(), &1.into(), &"text 0".into())
    );
    assert_eq!(positions(&dump(&["--after", "3", "--until", "6"]).out), [4, 5, 6]);
    assert_eq!(positions(&dump(&["--after", "10", "--limit", "1"]).out), [11]);
    assert_eq!(positions(&dump(&["--until", "99", "--limit", "0"]).out), [0_u64; 0]);
    assert_eq!(positions(&dump(&["--stream", "note-n1"]).out), [2, 5, 8, 11]);
    assert_eq!(positions(&dump(&["--stream", "note-n1", "--after", "2", "--limit", "2"]).out), [5, 8]);
    assert_eq!(positions(&dump(&["--type", "note.lost"]).out), [0_u64; 0]);
    assert_eq!(positions(&dump(&["--type", "note.lost", "--type", "note.written", "--limit", "2"]).out), [1, 2]);
    dump(&["--stream", "notes"]).refuses("must have the form category-key");
    dump(&["--after", "13"]).refuses("position 13 is behind the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_has_enough_ends_a_dump_quietly() {
    let dir = tempdir().unwrap();
    let app = start(dir.path()).await;
    for _ in 0..20 {
        write(&app, "n", &"long ".repeat(10_000)).await;
    }
    stop(app).await;
    let mut child = spawn(factum(&["log", "dump", text(dir.path())]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(positions(&line), [1]);
    // As a shell tells it of `cat`: what was not shown may have been anything.
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let mut errors = String::new();
    child.stderr.unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_finds_no_room_is_not_done_and_says_so() {
    let full = || std::fs::File::options().write(true).open("/dev/full");
    if full().is_err() {
        eprintln!("skipped: there is no /dev/full here");
        return;
    }
    let dir = tempdir().unwrap();
    filled(dir.path(), 3).await;
    for arguments in [&["log", "dump", text(dir.path())][..], &["log", "info", text(dir.path())], &["--help"]] {
        let child = spawn(factum(arguments).stdout(full().unwrap()).stderr(Stdio::piped()));
        let ended = child.wait_with_output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{error}");
        assert!(error.starts_with("error: cannot write the answer: "), "{error}");
    }
    // Nobody hears the error either.
    let child = spawn(factum(&["log", "info", "/missing"]).stderr(full().unwrap()));
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_shows_texts_of_others_without_what_steers_a_terminal() {
    let dir = tempdir().unwrap();
    let app = start(dir.path()).await;
    write(&app, "n", "a\u{1b}[2K\u{9b}1A\u{202e}b").await;
    stop(app).await;
    let told = run(&["log", "tail", text(dir.path())]).out;
    assert!(told.contains(r"a\u001b[2K") && !told.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_is_the_last_messages() {
    let dir = tempdir().unwrap();
    filled(dir.path(), 12).await;
    let data = text(dir.path());
    assert_eq!(positions(&run(&["log", "tail", data, "--json"]).out), (3..=12).collect::<Vec<_>>());
    let told = run(&["log", "tail", data, "-n", "1"]);
    assert!(told.out.starts_with("12 20") && told.out.contains("Z note.written note-n2@4 {"), "{}", told.out);
    assert_eq!(run(&["log", "tail", data, "-n", "0"]).out, "");
    assert_eq!(run(&["log", "tail", data, "-n", "99"]).out.lines().count(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_tail_goes_on_over_new_segments_of_a_running_app() {
    let dir = tempdir().unwrap();
    let app = start(dir.path()).await;
    write(&app, "n", "before").await;
    let mut child = spawn(factum(&["log", "tail", text(dir.path()), "-f", "--json"]).stdout(Stdio::piped()));
    let mut seen = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(positions(&seen.next().unwrap()), [1], "it is open now");
    next_segment(&app).await;
    write(&app, "n", "behind").await;
    let head = app.position().0;
    for position in 2..=head {
        assert_eq!(positions(&seen.next().unwrap()), [position]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    stop(app).await;
}
